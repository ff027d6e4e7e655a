from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from vidcam import Explainer, Recipe, cli, explain
from vidcam.cam.attribute import class_activation_map, class_activation_maps
from vidcam.cam.capture import captured
from vidcam.cam.targets import class_scores
from vidcam.errors import ModelError, SettingsError
from vidcam.models import huggingface
from vidcam.models.registry import Model, load_model
from vidcam.models.torchvision_import import import_torchvision
from vidcam.playground.demo import demo_clip

FAMILIES = ("videomae", "timesformer", "vivit", "vjepa2")
VARIANTS: dict[str, dict[str, Any]] = {
    "videomae that reads one token": {"use_mean_pooling": False},
    "timesformer of joint attention": {"attention_type": "joint_space_time"},
    "timesformer of one block": {"num_hidden_layers": 1},
}
LABELS = ("walking", "waving", "bowing", "jumping", "nothing")
Written = Callable[..., Path]


@pytest.fixture(scope="session")
def transformers() -> Any:
    import_torchvision()  # transformers imports it
    return pytest.importorskip("transformers", reason="transformers is not installed: pip install 'vidcam[hf]'")


@pytest.fixture
def written(transformers: Any, tmp_path: Path) -> Written:
    """A function that writes a small network of a family and its processor, and returns the folder."""

    def write(family: str, plant: Callable[[nn.Module, str], None] | None = None, **settings: Any) -> Path:
        family = family.split()[0]
        config, processor = _described(transformers, family, settings)
        torch.manual_seed(0)
        network = transformers.AutoModelForVideoClassification.from_config(config)
        if plant is not None:
            plant(network, family)
        network.save_pretrained(tmp_path / family)
        processor.save_pretrained(tmp_path / family)
        return tmp_path / family

    return write


def _described(transformers: Any, family: str, settings: dict[str, Any]) -> tuple[Any, Any]:
    """Return the config of a network for windows of 4 frames of 32x32 pixels, in patches of 8x8, and its processor."""
    small: dict[str, Any] = {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    size = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}
    match family:
        case "videomae":
            small |= {"image_size": 32, "patch_size": 8, "num_frames": 4, "tubelet_size": 2}
            return transformers.VideoMAEConfig(**{**small, **labels, **settings}), transformers.VideoMAEImageProcessor(
                **size
            )
        case "timesformer":
            small |= {"image_size": 32, "patch_size": 8, "num_frames": 4}
            config = transformers.TimesformerConfig(**{**small, **labels, **settings})
            return config, transformers.VideoMAEImageProcessor(image_mean=[0.45] * 3, image_std=[0.225] * 3, **size)
        case "vivit":
            small |= {"image_size": 32, "tubelet_size": [2, 8, 8], "num_frames": 4}
            return transformers.VivitConfig(**{**small, **labels, **settings}), transformers.VivitImageProcessor(**size)
    small |= {"crop_size": 32, "patch_size": 8, "frames_per_clip": 4, "num_pooler_layers": 1, "pred_hidden_size": 24}
    small |= {"pred_num_attention_heads": 2, "pred_num_hidden_layers": 1, "mlp_ratio": 2.0}
    del small["intermediate_size"]
    return transformers.VJEPA2Config(**{**small, **labels, **settings}), transformers.VJEPA2VideoProcessor(crop_size=32)


def _brightness_counts(network: nn.Module, family: str) -> None:
    """Set the weights so that "waving" is the brightness of the window: attention everywhere, values as they are.

    A token's first channel is the brightness of its tubelet; its second is constant, without which a normalisation would
    leave nothing of the brightness. All blocks pass tokens on, and what gathers them, the last attention or the mean over
    tokens, mixes them in equal parts.
    """
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            norm = name.endswith("weight") and parameter.ndim == 1
            parameter.fill_(1.0 if norm else 0.0)
        next(p for name, p in parameters.items() if ".patch_embeddings." in name and p.ndim >= 4)[0] = 10.0
        next(p for name, p in parameters.items() if ".patch_embeddings." in name and p.ndim == 1)[1] = 100.0
        parameters["classifier.weight"][1, 0] = 1.0
        gathers = {  # the last attention over tokens; VideoMAE has the mean
            "videomae": (
                "videomae.encoder.layer.1.attention.attention.value",
                "videomae.encoder.layer.1.attention.output.dense",
            ),
            "timesformer": ("attention.attention.qkv", "attention.output.dense"),
            "vivit": ("vivit.layers.1.attention.v_proj", "vivit.layers.1.attention.o_proj"),
            "vjepa2": ("pooler.cross_attention_layer.cross_attn.v_proj",),
        }[family]
        for name in gathers:
            if family == "timesformer":
                last = network.config.num_hidden_layers - 1  # type: ignore[union-attr]
                name = f"timesformer.encoder.layer.{last}.{name}"
            weight = parameters[f"{name}.weight"]
            weight[-weight.shape[1] :] = torch.eye(weight.shape[1])  # the values are the last rows of query, key, value


def _window(t: int, h: int, w: int, steps: int) -> Tensor:
    """Return a dark window (1, 3, 4, 32, 32) with one bright tubelet, at a place of a grid of steps x 4 x 4."""
    window, depth = torch.zeros(1, 3, 4, 32, 32), 4 // steps
    window[:, :, depth * t : depth * (t + 1), 8 * h : 8 * (h + 1), 8 * w : 8 * (w + 1)] = 1.0
    return window


def _maps(model: Model, windows: Tensor, method: str = "gradcam++") -> Tensor:
    """Return the maps of class 1 on the layer's own grid, (N, t, h, w)."""
    spec = model.spec
    layer = spec.layer_for(method)
    with captured(model.network, [layer], windows, layout=spec.layout, pack=spec.pack) as capture:
        (heat,) = class_activation_maps(capture, lambda out: class_scores(out)[:, 1], [method]).values()
    return heat


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradcam++", "attnlrp"])
@pytest.mark.parametrize("family", [*FAMILIES, *VARIANTS])
def test_the_map_lies_on_the_tubelet_that_the_score_comes_from(family: str, method: str, written: Written) -> None:
    model = load_model(f"hf:{written(family, _brightness_counts, **VARIANTS.get(family, {}))}")
    if family.startswith("videomae"):  # its fixed codes of positions are no evidence
        model.network.videomae.embeddings.position_embeddings.zero_()
    steps = 4 if family.startswith("timesformer") else 2
    for t, h, w in ((0, 0, 1), (1, 2, 0), (steps - 1, 3, 2), (0, 1, 3)):
        window = _window(t, h, w, steps)
        with torch.no_grad():
            seen, dark = (model.network(model.spec.pack(x)).logits[0, 1] for x in (window, 0 * window))
        assert seen > dark
        heat = _maps(model, window, method)[0]
        assert heat.shape == (steps, 4, 4)
        assert heat[t, h, w] / heat.sum() > 0.9, (t, h, w, heat)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_score_flows_through_the_default_layer_at_every_token(family: str, written: Written) -> None:
    model = load_model(f"hf:{written(family)}")
    spec = model.spec
    window = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    blind = {"timesformer": "timesformer.encoder.layer.1", "vivit": "vivit.layers.1"}.get(family)
    layers = [spec.layer, *([blind] if blind else [])]
    with captured(model.network, layers, window, layout=spec.layout, pack=spec.pack) as capture:
        gradients = capture.gradients(capture.output.logits[:, 1])
    assert gradients[spec.layer].abs().sum(1).min() > 0
    if blind:  # behind the last block the class token alone is read
        assert gradients[blind].abs().max() == 0


@pytest.mark.parametrize("family", [*FAMILIES, *VARIANTS])
def test_the_kernel_of_the_attention_does_not_change_relevance(family: str, written: Written) -> None:
    model = load_model(f"hf:{written(family, **VARIANTS.get(family, {}))}")
    windows = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    fused = _maps(model, windows, "attnlrp")
    model.network.config._attn_implementation = "eager"  # type: ignore[union-attr]
    torch.testing.assert_close(_maps(model, windows, "attnlrp"), fused, rtol=1e-3, atol=1e-7)
    assert fused.std() > 0


def test_methods_with_other_default_layers(written: Written) -> None:
    model = load_model(f"hf:{written('vivit')}")
    assert Explainer(model, Recipe(method="attnlrp")).layers == ("vivit.embeddings",)
    assert Explainer(model, Recipe(method="attnlrp", layer="vivit.layers.0")).layers == ("vivit.layers.0",)
    assert Explainer(model, Recipe(method="gradcam,gradcam++")).layers == ("vivit.layers.1.layernorm_before",)
    with pytest.raises(
        SettingsError, match=r"differ: vivit.*norm_before for gradcam, vivit.embeddings for attnlrp; give"
    ):
        Explainer(model, Recipe(method="gradcam,attnlrp"))


@pytest.mark.parametrize("family", FAMILIES)
def test_frames_are_prepared_as_by_the_processor(family: str, written: Written, transformers: Any) -> None:
    folder = written(family)
    preprocess = load_model(f"hf:{folder}").spec.preprocess
    frames = np.random.default_rng(0).integers(0, 256, (4, 36, 52, 3), np.uint8)  # of the size that it resizes to
    own = preprocess.windows([[preprocess.frame(frame) for frame in frames]])
    processor = transformers.AutoVideoProcessor.from_pretrained(folder)
    (theirs,) = dict(processor(torch.from_numpy(frames).permute(0, 3, 1, 2), return_tensors="pt")).values()
    torch.testing.assert_close(huggingface.frames_first(own), theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_gives_its_weights_and_labels(family: str, written: Written, transformers: Any) -> None:
    folder = written(family)
    model = load_model(f"hf:{folder}")
    theirs = transformers.AutoModelForVideoClassification.from_pretrained(folder).eval()
    window = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            model.network(model.spec.pack(window)).logits, theirs(window.transpose(1, 2)).logits, atol=1e-5, rtol=1e-4
        )
    assert model.labels == LABELS and model.spec.frames == 4
    assert model.spec.preprocess.resize == 36 and model.spec.preprocess.crop == (32, 32)
    assert model.spec.frame_rate is None and "frame rate" in model.note and "--sampling-rate" in model.note
    assert "random" in load_model(f"hf:{folder}", "none").note


def test_a_pickled_half_network_of_several_labels(written: Written) -> None:
    folder = written("videomae", problem_type="multi_label_classification")
    model = load_model(f"hf:{folder}")
    state = {name: value.half() for name, value in model.network.state_dict().items()}
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    half = load_model(f"hf:{folder}")
    assert half.float_dtype == torch.float32
    torch.testing.assert_close(half.network.classifier.weight, state["classifier.weight"].float())
    assert half.spec.probabilities(torch.tensor([[0.0, 2.0]]))[0, 0] == 0.5


def test_a_file_of_weights_and_other_classes(written: Written, tmp_path: Path) -> None:
    folder = written("vivit")
    state = dict(load_model(f"hf:{folder}").network.state_dict())
    state["classifier.weight"], state["classifier.bias"] = torch.ones(3, 24), torch.ones(3)
    torch.save(state, tmp_path / "mine.pth")
    model = load_model(f"hf:{folder}", tmp_path / "mine.pth")
    assert model.labels == ("class 0", "class 1", "class 2")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path]:
    """A hub of folders by name, of which a download copies what its patterns name."""
    repositories: dict[str, Path] = {}

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert revision in (None, "0a1b")
        for file in repositories[name].iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                (tmp_path / "cache" / "0a1b").mkdir(parents=True, exist_ok=True)
                shutil.copy(file, tmp_path / "cache" / "0a1b")
        return str(tmp_path / "cache" / "0a1b")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return repositories


@pytest.mark.parametrize(
    ("name", "family", "rate"),
    [
        ("MCG-NJU/videomae-base-finetuned-kinetics", "videomae", 7.5),
        ("facebook/timesformer-hr-finetuned-k600", "timesformer", 1.875),
        ("google/vivit-b-16x2-kinetics400", "vivit", 12.5),
        ("somebody/vivit", "vivit", None),
    ],
)
def test_the_hub(name: str, family: str, rate: float | None, hub: dict[str, Path], written: Written) -> None:
    hub[name] = written(family)
    model = load_model(f"hf:{name}")
    assert model.spec.frame_rate == rate and model.labels == LABELS
    assert bool(model.note) == (rate is None)


def test_safetensors_of_the_hub_come_before_pickles(hub: dict[str, Path], written: Written, tmp_path: Path) -> None:
    hub["org/both"] = written("videomae")
    (hub["org/both"] / "pytorch_model.bin").write_bytes(b"of no use")
    load_model("hf:org/both")
    assert not (tmp_path / "cache" / "0a1b" / "pytorch_model.bin").exists()
    (hub["org/both"] / "model.safetensors").rename(tmp_path / "elsewhere")
    (tmp_path / "cache" / "0a1b" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"pytorch_model.bin cannot be read"):
        load_model("hf:org/both")
    (hub["org/both"] / "pytorch_model.bin").unlink()
    (tmp_path / "cache" / "0a1b" / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match=r"has none of model.safetensors, pytorch_model.bin"):
        load_model("hf:org/both")


@pytest.mark.slow
@pytest.mark.parametrize(("offline", "reason"), [("0", "connection"), ("1", "HF_HUB_OFFLINE")])
def test_a_hub_that_cannot_be_reached(offline: str, reason: str, transformers: Any, tmp_path: Path) -> None:
    refused = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": offline}
    command = [
        sys.executable,
        "-m",
        "vidcam.cli",
        "explain",
        str(demo_clip()),
        "--model",
        "hf:org/name",
        "--out",
        "out",
    ]
    run = _run(command, refused)
    assert run.returncode == 2, run.stderr
    told = " ".join(run.stderr.split())
    assert "hf:org/name: it cannot be downloaded" in told and reason in told and "hf:./FOLDER" in told
    assert "Traceback" not in run.stderr


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_the_extra_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"pip install 'vidcam\[hf\]'"):
        load_model(f"hf:{tmp_path}")


def _without_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def _of_another_type(folder: Path) -> None:
    _changed(folder / "config.json", model_type="bert")


def _of_foreign_code(folder: Path) -> None:
    (folder / "theirs.py").write_text("raise SystemExit('their code was run')")
    _changed(folder / "config.json", model_type="theirs", auto_map={"AutoConfig": "theirs.Config"})


def _without_a_classifier(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in state.items() if "classifier" not in k}, folder / "model.safetensors", {"format": "pt"})


def _of_another_depth(folder: Path) -> None:
    _changed(folder / "config.json", num_hidden_layers=1)


def _of_another_width(folder: Path) -> None:
    _changed(folder / "config.json", intermediate_size=40)


def _damaged(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x00" * 100)


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("their code was run",)


def _of_code(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"classifier.weight": _Code()}, 2))


def _changed(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def _processor(**settings: Any) -> Callable[[Path], None]:
    return lambda folder: _changed(folder / "preprocessor_config.json", **settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_processor, r"processor cannot be used \(there is none; save the processor into the same folder"),
        (_of_another_type, "type 'bert'; the order of tokens is known for videomae, timesformer, vivit, vjepa2"),
        (_of_foreign_code, "config.json cannot be used"),
        (_without_a_classifier, r"2 parameters missing in its weights, such as classifier.bias; give a checkpoint"),
        (_of_another_depth, "in its weights and not in its config's network, such as videomae.encoder.layer.1"),
        (_of_another_width, "its weights cannot be loaded"),
        (_damaged, "its weights cannot be loaded"),
        (_of_code, "pytorch_model.bin cannot be read as plain parameters"),
        (lambda folder: _changed(folder / "config.json", id2label={"0": "a", "2": "b"}), "config.json cannot be used"),
        (lambda folder: _changed(folder / "config.json", patch_size=0), "config.json cannot be used"),
        (_processor(do_resize=False), "it resizes frames to None"),
        (_processor(crop_size={"height": 16, "width": 16}), "the network takes 32x32 pixels"),
        (_processor(size={"shortest_edge": 24}), r"crop \(32, 32\) is larger than the frame after resize 24"),
        (lambda folder: _changed(folder / "config.json", problem_type="regression"), "has no classes to choose from"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be used"),
    ],
)
def test_folders_that_cannot_be_explained(
    change: Callable[[Path], None], message: str, written: Written, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = written("videomae")
    change(folder)
    with pytest.raises(ModelError, match=message):
        load_model(f"hf:{folder}")
    assert "their code was run" not in capfd.readouterr().out


@pytest.mark.parametrize("family", FAMILIES)
def test_long_spans_are_refused(family: str, written: Written) -> None:
    model = load_model(f"hf:{written(family)}")
    with pytest.raises(SettingsError, match=r"tokens for [24] steps in time; leave dense out"):
        Explainer(model, Recipe(dense=True))


def test_frames_apart_are_refused(written: Written) -> None:
    with pytest.raises(ModelError, match="looks at each frame apart"):
        load_model(f"hf:{written('timesformer', attention_type='space_only')}")


def test_a_folder_that_is_not_there(transformers: Any) -> None:
    with pytest.raises(ModelError, match=r"hf:\./nowhere: .*give a folder"):
        load_model("hf:./nowhere")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_bright_place_of_a_clip_is_found(family: str, written: Written) -> None:
    folder = written(family, _brightness_counts)
    file = next(folder.glob("*preprocessor_config.json"))
    _changed(file, image_mean=[-1.0 if family == "vivit" else 0.0] * 3, image_std=[1.0] * 3)  # black is 0
    clip = np.zeros((4, 36, 36, 3), np.uint8)
    clip[2:, 18:26, 10:18] = 255  # patch (2, 1) of the central 32x32 pixels
    found = explain(clip, f"hf:{folder}", "waving", context=False, factor="none", dtype="float32")
    assert found.maps.shape == (4, 4, 4)
    assert found.maps[:, 2, 1].sum() > 0.9 * found.maps.sum()
    assert found.maps[2:].sum() > 0.86 * found.maps.sum()  # interpolation from 2 steps leaves an eighth before


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_commands(family: str, written: Written, tmp_path: Path) -> None:
    name, clip = f"hf:{written(family)}", str(demo_clip())
    (default,) = [layer for layer in json.loads(_told("layers", name, "--json")) if layer["default"]]
    assert default["shape"] == [24, 4 if family == "timesformer" else 2, 4, 4]
    _told("explain", clip, "--model", name, "--out", str(tmp_path / "out"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["model"] == name and any("frame rate" in warning for warning in summary["warnings"])
    _told("localize", clip, "--model", name, "--out", str(tmp_path / "when"), "--dtype", "bfloat16")
    _told("explain", clip, "--model", name, "--out", str(tmp_path / "lrp"), "--method", "attnlrp")
    _told("localize", clip, "--model", name, "--out", str(tmp_path / "lrp when"), "--method", "attnlrp")
    _told("compare", clip, "--model", f"{name},playground-c3d", "--method", "gradcam", "--out", str(tmp_path / "both"))


def _told(*arguments: str) -> str:
    run = CliRunner().invoke(cli.app, arguments)
    assert run.exit_code == 0, (run.output, run.exception)
    return run.stdout


@pytest.mark.parametrize("family", FAMILIES)
def test_a_map_of_the_windows_size(family: str, written: Written) -> None:
    model = load_model(f"hf:{written(family)}")
    spec = model.spec
    windows = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    maps = class_activation_map(model.network, windows, layer=spec.layer, target=1, layout=spec.layout, pack=spec.pack)
    assert maps.shape == (2, 4, 32, 32) and maps.std() > 0


@pytest.mark.parametrize(
    ("family", "layer"), [("timesformer", "timesformer.encoder.layer.1"), ("vivit", "vivit.layers.1")]
)
def test_a_layer_behind_which_the_class_token_alone_is_read_is_said(family: str, layer: str, written: Written) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (4, 36, 36, 3), np.uint8)
    found = explain(clip, f"hf:{written(family)}", 1, layer=layer, method="gradcam++", context=False, dtype="float32")
    assert not found.maps.any()
    assert f"the gradient of its score is 0 everywhere at layer {layer}" in found.warnings[0]
