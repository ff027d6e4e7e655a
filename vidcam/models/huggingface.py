"""Video classifiers of Hugging Face transformers, from the hub or from a folder that `save_pretrained` wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.cam.layout import Layout
from vidcam.errors import ModelError, counted
from vidcam.models.preprocess import Preprocess
from vidcam.models.torchvision_import import import_torchvision
from vidcam.models.weights import State, read_state
from vidcam.untrusted.text import one_line

PREFIX = "hf:"

_DESCRIPTION = ["config.json", "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"]
_WEIGHTS = {  # name of the file → patterns of all its parts
    "model.safetensors": ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"],
    "pytorch_model.bin": ["pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"],
}

_FRAME_RATES = {  # frames per second of the training clips: the dataset's divided by the published stride
    # VideoMAE, arXiv 2203.12602: stride 4 of Kinetics at 30
    **{f"MCG-NJU/videomae-{size}-finetuned-kinetics": 30 / 4 for size in ("small", "base", "large", "huge")},
    # TimeSformer, arXiv 2102.05095: stride 32, high resolution 16, of Kinetics at 30
    **{f"facebook/timesformer-base-finetuned-{data}": 30 / 32 for data in ("k400", "k600")},
    **{f"facebook/timesformer-hr-finetuned-{data}": 30 / 16 for data in ("k400", "k600")},
    # ViViT, arXiv 2103.15691: stride 2 of Kinetics at 25
    **{name: 25 / 2 for name in ("google/vivit-b-16x2", "google/vivit-b-16x2-kinetics400")},
}


@dataclass(frozen=True)
class _Family:
    """A family of networks.

    Attributes:
        frames: of a window, given the config.
        size: (height, width) of a frame in pixels.
        tubelet: (frames, height, width) of the part of a window that one token is made of.
        layer: the last layer whose patch tokens the score depends on alone: behind it, a class token or query has
            gathered them.
        tokens: the layer that gives the first tokens, before all blocks.
        pattern: order of the tokens, see `Layout`.
    """

    frames: Callable[[Any], int]
    size: Callable[[Any], tuple[int, int]]
    tubelet: Callable[[Any], tuple[int, int, int]]
    layer: Callable[[Any], str]
    tokens: str
    pattern: str = "n (t h w) c"


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _before_last_block(family: str, config: Any) -> str:
    last = config.num_hidden_layers - 1
    return f"{family}.encoder.layer.{last - 1}" if last else f"{family}.embeddings"


def _videomae_layer(config: Any) -> str:
    if config.use_mean_pooling:  # over the last block's tokens
        return f"videomae.encoder.layer.{config.num_hidden_layers - 1}"
    return _before_last_block("videomae", config)  # the first patch's token is read, which the block also passes on


FAMILIES: dict[str, _Family] = {
    "videomae": _Family(
        frames=lambda config: config.num_frames,
        size=lambda config: _pair(config.image_size),
        tubelet=lambda config: (config.tubelet_size, *_pair(config.patch_size)),
        layer=_videomae_layer,
        tokens="videomae.embeddings",
    ),
    "timesformer": _Family(
        frames=lambda config: config.num_frames,
        size=lambda config: _pair(config.image_size),
        tubelet=lambda config: (1, *_pair(config.patch_size)),
        # In a block tokens are grouped by position, then by frame: none of its layers but the output has all of them.
        layer=lambda config: _before_last_block("timesformer", config),
        tokens="timesformer.embeddings",
        pattern="n (h w t) c",
    ),
    "vivit": _Family(
        frames=lambda config: config.num_frames,
        size=lambda config: _pair(config.image_size),
        tubelet=lambda config: tuple(config.tubelet_size),
        layer=lambda config: f"vivit.layers.{config.num_hidden_layers - 1}.layernorm_before",
        tokens="vivit.embeddings",
    ),
    "vjepa2": _Family(
        frames=lambda config: config.frames_per_clip,
        size=lambda config: _pair(config.crop_size),
        tubelet=lambda config: (config.tubelet_size, *_pair(config.patch_size)),
        layer=lambda config: "pooler.cross_attention_layer.layer_norm1",
        tokens="vjepa2.encoder.embeddings",
    ),
}


@dataclass(frozen=True)
class Checkpoint:
    """A video classifier as its publisher describes it; its weights are read by `published`.

    Attributes:
        name: a repository of the hub, "ORG/NAME", or the path of a folder.
        folder: with its description: the folder itself, or the hub's cache.
        config: transformers' configuration of the network.
        labels: of the classes.
        preprocess: from frames to windows.
        frames: frames per window.
        frame_rate: frames per second of its training clips; None if they are not known.
        layer: the default target layer.
        tokens: the layer that gives the first tokens.
        layout: grid and order of the tokens.
    """

    name: str
    folder: Path
    config: Any
    labels: tuple[str, ...]
    preprocess: Preprocess
    frames: int
    frame_rate: float | None
    layer: str
    tokens: str
    layout: Layout

    @property
    def several(self) -> bool:
        """True if classes do not exclude each other."""
        return self.config.problem_type == "multi_label_classification"

    def build(self, classes: int) -> nn.Module:
        """Return the network with random weights."""
        config = deepcopy(self.config)
        config.num_labels = classes
        if config.hidden_act in ("gelu_fast", "gelu_new"):
            # The same function in one operation, which has a rule in `vidcam.cam.relevance`.
            config.hidden_act = "gelu_pytorch_tanh"
        network: nn.Module = _transformers().AutoModelForVideoClassification.from_config(
            config, dtype=torch.float32, trust_remote_code=False
        )
        return network

    def published(self) -> State:
        """Return the weights of the folder, or the hub's, from its cache or downloaded into it; no code in them is run.

        Raises:
            ModelError: they cannot be downloaded or read, or lack parameters of the network.
        """
        folder = self.folder if _is_folder(self.name) else _with_weights(self.name, self.folder.name)
        if not any(folder.glob("model*.safetensors")):
            for file in sorted(folder.glob("pytorch_model*.bin")):
                read_state(file)  # which checks what a pickle claims
        with _quiet() as transformers, _told(self.name, "its weights cannot be loaded"):
            network, report = transformers.AutoModelForVideoClassification.from_pretrained(
                folder,
                config=deepcopy(self.config),
                dtype=torch.float32,
                weights_only=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
        missing = sorted(report["missing_keys"])
        unused = sorted(key for key in report["unexpected_keys"] if key.startswith(f"{network.base_model_prefix}."))
        for keys, problem in (
            (missing, "missing in its weights"),
            (unused, "in its weights and not in its config's network"),
        ):
            if keys:
                raise ModelError(
                    f"{PREFIX}{self.name}: {counted(len(keys), 'parameter')} {problem}, such as {keys[0]}; "
                    "give a checkpoint that was trained to classify videos"
                )
        state: State = network.state_dict()
        return state


def checkpoint(name: str) -> Checkpoint:
    """Return a checkpoint of the hub or of a folder, described by its config and its processor.

    Args:
        name: a repository of the hub, "ORG/NAME", or a folder that `save_pretrained` wrote.

    Raises:
        ModelError: transformers is not installed; the description cannot be downloaded or read; the network is not one
            whose tokens vidcam knows; or it has no classes.
    """
    folder = Path(name).expanduser() if _is_folder(name) else _downloaded(name, _DESCRIPTION)
    with _quiet() as transformers, _told(name, "its config.json cannot be used"):
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise ModelError(
            f"{PREFIX}{name} is a network of type {config.model_type!r}; the order of tokens is known for "
            f"{', '.join(FAMILIES)}: load another one with transformers and give it to vidcam.own_model with its layout"
        )
    if getattr(config, "attention_type", None) == "space_only":
        raise ModelError(
            f"{PREFIX}{name} looks at each frame apart (attention_type space_only), and no layer has time; "
            "give one with divided_space_time or joint_space_time"
        )
    with _told(name, "its config.json cannot be used"):
        labels = tuple(str(config.id2label[index]) for index in range(config.num_labels))
        window = (family.frames(config), *family.size(config))
        t, h, w = (size // part for size, part in zip(window, family.tubelet(config), strict=True))
        layout, layer, tokens = Layout(grid=(t, h, w), pattern=family.pattern), family.layer(config), family.tokens
    if config.num_labels < 2 or config.problem_type == "regression":
        raise ModelError(
            f"{PREFIX}{name} has no classes to choose from ({counted(config.num_labels, 'output')}, "
            f"problem_type {config.problem_type}); give it to vidcam.own_model, which explains a function of the output"
        )
    with _quiet() as transformers, _told(name, "its processor cannot be used"):
        if not any((folder / file).is_file() for file in _DESCRIPTION[1:]):
            raise ModelError("there is none; save the processor into the same folder, with its save_pretrained")
        processor = transformers.AutoVideoProcessor.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        ).to_dict()
        preprocess = _preprocess(processor, family.size(config))
        frame_rate = float(processor["fps"]) if processor.get("fps") else _FRAME_RATES.get(name)
    return Checkpoint(
        name, folder, config, labels, preprocess, family.frames(config), frame_rate, layer, tokens, layout
    )


def frames_first(windows: Tensor) -> Tensor:
    """Return the input of these networks, (N, T, 3, H, W), from windows (N, 3, T, H, W)."""
    return rearrange(windows, "n c t h w -> n t c h w")


def _preprocess(processor: dict[str, Any], size: tuple[int, int]) -> Preprocess:
    """Return the preprocessing of a processor.

    Args:
        processor: its settings.
        size: (height, width) of a frame that the network takes.

    Raises:
        ModelError: it does not give frames of that size.
    """
    resized, cropped = processor["size"], processor["crop_size"]
    sides = ("height", "width")
    shorter = resized.get("shortest_edge")
    if not processor["do_resize"] or not (shorter or all(side in resized for side in sides)):
        raise ModelError(
            f"it resizes frames to {resized if processor['do_resize'] else None}; save one that gives a size"
        )
    if processor["do_center_crop"] and tuple(cropped[side] for side in sides) != size:
        raise ModelError(
            f"it crops frames to {cropped}, and the network takes {size[0]}x{size[1]} pixels; save its own"
        )
    rescales, normalizes = processor["do_rescale"], processor["do_normalize"]
    mean: Any = processor["image_mean"] if normalizes else (0.0, 0.0, 0.0)
    std: Any = processor["image_std"] if normalizes else (1.0, 1.0, 1.0)
    offset = 1.0 if rescales and processor.get("offset") else 0.0  # ViViT: (scale · pixel - 1 - mean) / std
    return Preprocess(
        resize=shorter or (resized["height"], resized["width"]),
        crop=size,
        mean=tuple(value + offset for value in mean),
        std=tuple(std),
        scale=float(processor["rescale_factor"]) if rescales else 1.0,
    )


def _is_folder(name: str) -> bool:
    """Return True if a name is that of a folder: of one that is there, or written as a path."""
    return name.startswith((".", "/", "~")) or Path(name).is_dir()


def _downloaded(name: str, patterns: list[str], revision: str | None = None) -> Path:
    """Return the folder in the hub's cache that holds files of a repository, downloaded if they are not there."""
    _transformers()
    from huggingface_hub import snapshot_download

    with _told(name, "it cannot be downloaded"):
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))


def _with_weights(name: str, revision: str) -> Path:
    """Return the folder in the hub's cache that holds the weights, of safetensors if the repository has them."""
    for patterns in _WEIGHTS.values():
        folder = _downloaded(name, patterns, revision)
        if any(next(folder.glob(pattern), None) for pattern in patterns):
            return folder
    raise ModelError(
        f"{PREFIX}{name} has none of {', '.join(_WEIGHTS)}; give a repository with the weights of a network"
    )


def _transformers() -> ModuleType:
    import_torchvision()  # transformers imports it
    try:
        import transformers
    except ImportError as error:
        raise ModelError(
            f"networks of Hugging Face need transformers, which does not import ({one_line(str(error))}); "
            "pip install 'vidcam[hf]'"
        ) from error
    return transformers


@contextmanager
def _quiet() -> Iterator[ModuleType]:
    """Yield transformers without its progress bars and warnings: what they say is in the errors here."""
    transformers = _transformers()
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _told(name: str, problem: str) -> Iterator[None]:
    """Turn an error of transformers or the hub into a ModelError that names the checkpoint and says what to do.

    Args:
        name: of the checkpoint.
        problem: the beginning of the message.
    """
    try:
        yield
    except Exception as error:  # they raise anything: OSError, ValueError, KeyError, their own
        where = (
            "give a folder that save_pretrained of the network and of its processor wrote"
            if _is_folder(name)
            else "check the name at huggingface.co and the connection, or give a folder: hf:./FOLDER"
        )
        raise ModelError(f"{PREFIX}{name}: {problem} ({one_line(str(error))}); {where}") from error
