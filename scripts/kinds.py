"""Kinds of networks for scripts/networks.py, each with the weights of scripts/planted.py."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from planted import passing_brightness, passing_tokens
from small_networks import (
    FRAMES,
    GRID,
    RATE,
    SIZE,
    ChannelsLast,
    Checkpointed,
    Convolution,
    ConvolutionalRecurrence,
    Crops,
    Frames,
    InPlace,
    Pathways,
    ScoresOfFrames,
    Siamese,
    Tokens,
    TwoInputs,
    resnet_of_frames,
)
from torch import Tensor, nn

from vidcam import own_model
from vidcam.cam.layout import Layout
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model, load_model
from vidcam.models.torchvision_import import import_torchvision


@dataclass(frozen=True)
class Kind:
    """A kind of network, with planted evidence.

    Attributes:
        name: of the row.
        load: returns the network as vidcam takes it.
        target: of the explanation; 1 is the brightness.
        refused: a part of the error, if it has to be refused.
        lit: the part of a place and of a step that is bright: where the network's layers with strides look.
    """

    name: str
    load: Callable[[], Model]
    target: Any = 1
    refused: str = ""
    lit: tuple[float, float] = (0.0, 0.5)


def black_is_zero(height: int, width: int) -> Preprocess:
    """Return a preprocessing of frames of a size that gives 0 for black and 1 for white."""
    return Preprocess((height, width), (height, width), (0.0,) * 3, (1.0,) * 3)


def named(name: str, frames: int, side: int, channel: int = 0) -> Callable[[], Model]:
    """Return a function that loads a network of convolutions by its name, for windows of a size."""

    def load() -> Model:
        model = load_model(name, "none", device="cpu")
        passing_brightness(model.network, channel, model.spec.num_classes)
        network = model.network
        with torch.no_grad():
            if name.startswith("slowfast"):  # the fast pathway's brightness stands behind the slow one's channels
                classifier = network.get_submodule("blocks.6.proj")
                classifier.weight[1, 2048] = 1.0
            if name == "c3d":  # its first linear layer reads all places of a channel
                network.get_submodule("fc6").weight[0, :16] = 1.0
        return _of_size(model, frames, side)

    return load


def transformer(name: str, frames: int, side: int, classifier: str, gathers: tuple[str, ...], *passes: str) -> Any:
    """Return a function that loads a transformer by its name, for windows of a size."""

    def load() -> Model:
        model = load_model(name, "none", device="cpu")
        passing_tokens(model.network, classifier, gathers, passes)
        return _of_size(model, frames, side)

    return load


def _of_size(model: Model, frames: int, side: int) -> Model:
    return replace(model, note="", spec=replace(model.spec, frames=frames, preprocess=black_is_zero(side, side)))


def hugging_face(family: str, **settings: Any) -> Callable[[], Model]:
    """Return a function that loads a small network of a family of Hugging Face, from a folder that it writes."""

    def load() -> Model:
        import_torchvision()  # transformers imports it
        import transformers

        small: dict[str, Any] = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 3}
        sizes = {"image_size": 32, "patch_size": 8, "num_frames": 8, "tubelet_size": 2, "intermediate_size": 32}
        processor = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        values, output = (
            f"{family}.encoder.layer.1.attention.attention.",
            f"{family}.encoder.layer.1.attention.output.dense",
        )
        match family:
            case "videomae":
                config = transformers.VideoMAEConfig(**small, **sizes, **settings)
                gathers = () if config.use_mean_pooling else (values + "value", output)
            case "timesformer":
                config = transformers.TimesformerConfig(**small, **{**sizes, **settings})
                gathers = (values + "qkv", output)
            case "vivit":
                config = transformers.VivitConfig(**small, **{**sizes, "tubelet_size": [2, 8, 8]}, **settings)
                gathers = ("vivit.layers.1.attention.v_proj", "vivit.layers.1.attention.o_proj")
            case _:
                config = transformers.VJEPA2Config(
                    **small, crop_size=32, patch_size=8, frames_per_clip=8, num_pooler_layers=1, pred_hidden_size=24,
                    pred_num_attention_heads=2, pred_num_hidden_layers=1, mlp_ratio=2.0, **settings,
                )  # fmt: skip
                gathers = ("pooler.cross_attention_layer.cross_attn.v_proj",)
        network = transformers.AutoModelForVideoClassification.from_config(config)
        passing_tokens(network, "classifier", gathers)
        with tempfile.TemporaryDirectory() as folder:
            network.save_pretrained(folder)
            transformers.VideoMAEImageProcessor(**processor).save_pretrained(folder)
            model = load_model(f"hf:{folder}", device="cpu")
        if family == "videomae":  # its fixed codes of positions are no evidence
            model.network.get_submodule("videomae.embeddings").position_embeddings.zero_()
        spec = replace(model.spec, name=f"hf:{family}", labels=lambda: ("class 0", "class 1", "class 2"))
        return _of_size(replace(model, spec=spec, labels=spec.labels()), 8, 32)

    return load


def own(network: Callable[[], nn.Module], classes: int = 3, **settings: Any) -> Callable[[], Model]:
    """Return a function that makes a model of a small network, by `own_model` with settings."""

    def load() -> Model:
        made = network()
        if isinstance(made, Tokens):
            passing_tokens(made, "fc", () if made.reads == "mean" else ("blocks.1.qkv", "blocks.1.project"))
        else:
            passing_brightness(made, classes=classes)
        given: dict[str, Any] = {"frames": FRAMES, "frame_rate": RATE, "preprocess": black_is_zero(*SIZE), **settings}
        change = given.pop("change", lambda network: network)
        return own_model(change(made), **given)

    return load


def _nested(scores: Tensor) -> dict[str, Any]:
    return {"boxes": [torch.zeros_like(scores), {"logits of boxes": scores}], "count": len(scores)}


def _in_nested(output: dict[str, Any]) -> Tensor:
    return output["boxes"][1]["logits of boxes"][:, 1]


def _script(network: nn.Module) -> Any:
    return torch.jit.trace(network.eval(), torch.zeros(1, 3, FRAMES, *SIZE))


def _export(network: nn.Module) -> Any:
    return torch.export.export(network.eval(), (torch.zeros(1, 3, FRAMES, *SIZE),)).module()


def _kinds() -> Iterator[Kind]:
    yield Kind("`r3d_18`, torchvision", named("r3d_18", 32, 112))
    yield Kind("`mc3_18`, torchvision", named("mc3_18", 8, 112))
    yield Kind("`r2plus1d_18`, torchvision", named("r2plus1d_18", 32, 112))
    yield Kind("`s3d`, torchvision", named("s3d", 32, 224))
    yield Kind(
        "`mvit_v2_s`, torchvision",
        transformer(
            "mvit_v2_s", 16, 224, "head.1", ("blocks.15.attn.qkv", "blocks.15.attn.project.0"),
            ".project.weight", "blocks.15.attn.pool_v.pool.weight",
        ),
        lit=(0.0, 0.125),
    )  # fmt: skip
    yield Kind("`swin3d_t`, torchvision", transformer("swin3d_t", 8, 128, "head", (), "reduction.weight"))
    yield Kind("`slow_r50`, pytorchvideo", named("slow_r50", 8, 224))
    yield Kind("`slowfast_r50`, pytorchvideo", named("slowfast_r50", 32, 224))
    yield Kind("`x3d_xs`, pytorchvideo", named("x3d_xs", 4, 160))
    yield Kind("`r2plus1d_r50`, pytorchvideo", named("r2plus1d_r50", 16, 224))
    yield Kind("`i3d_r50`, pytorchvideo", named("i3d_r50", 8, 224))
    yield Kind("`csn_r101`, pytorchvideo", named("csn_r101", 32, 224))
    yield Kind("`c3d`", named("c3d", 16, 112))
    yield Kind("`i3d`, Inception", named("i3d", 32, 224), lit=(0.5, 1.0))
    yield Kind("`slow_r50-mmaction`", named("slow_r50-mmaction", 8, 64))
    yield Kind("`i3d_r50-mmaction`", named("i3d_r50-mmaction", 32, 64))
    yield Kind("`slowfast_r50-mmaction`", named("slowfast_r50-mmaction", 32, 64))
    yield Kind("`r3d_50-kenshohara`", named("r3d_50-kenshohara", 64, 64))
    yield Kind("`tsn_r50`", named("tsn_r50", 8, 64))
    yield Kind("`tsm_r50`", named("tsm_r50", 8, 64, channel=-1))
    yield Kind("`resnet18`, a picture", named("resnet18", 1, 64))
    yield Kind("`hf:` VideoMAE", hugging_face("videomae"))
    yield Kind("`hf:` VideoMAE that reads one token", hugging_face("videomae", use_mean_pooling=False))
    yield Kind("`hf:` TimeSformer", hugging_face("timesformer"))
    yield Kind("`hf:` TimeSformer of joint attention", hugging_face("timesformer", attention_type="joint_space_time"))
    yield Kind("`hf:` ViViT", hugging_face("vivit"))
    yield Kind("`hf:` V-JEPA 2", hugging_face("vjepa2"))
    yield from _own_kinds()


def _own_kinds() -> Iterator[Kind]:
    yield Kind("3D convolution", own(Convolution))
    yield Kind("tokens (t h w), mean", own(lambda: Tokens("t h w", "mean"), layout=Layout("n (t h w) c", GRID)))
    yield Kind("tokens (t h w), class token", own(lambda: Tokens("t h w", "first"), layout=Layout("n (t h w) c", GRID)))
    yield Kind("tokens (h w t), class token", own(lambda: Tokens("h w t", "first"), layout=Layout("n (h w t) c", GRID)))
    yield Kind(
        "tokens (t h w), token behind them",
        own(lambda: Tokens("t h w", "last"), layout=Layout("n (t h w _) c", GRID)),
    )
    yield Kind(
        "tokens of each frame, class tokens",
        own(lambda: Tokens("h w", "first"), layout=Layout("(n t) (h w) c", GRID)),
    )
    yield Kind("tokens without a layout", own(lambda: Tokens("t h w", "mean")), refused="give their layout")
    yield Kind(
        "tokens with a grid of another size",
        own(lambda: Tokens("t h w", "mean"), layout=Layout("n (t h w) c", (8, 4, 5))),
        refused="give their layout",
    )
    yield Kind(
        "tokens (h w t) taken for (t h w)",
        own(lambda: Tokens("h w t", "first"), layout=Layout("n (t h w) c", GRID)),
        refused="and does in 'n (h w t) c'",
    )
    yield Kind(
        "tokens with the sides of the grid exchanged",
        own(lambda: Tokens("t h w", "mean"), layout=Layout("n (t h w) c", (8, 6, 4))),
        refused="with grid (8, 4, 6)",
    )
    yield Kind("axes (t h w c)", own(ChannelsLast, layout=Layout("n t h w c"), layer="block"))
    yield Kind("axes (t h w c) without a layout", own(ChannelsLast, layer="block"), refused="and does in 'n t h w c'")
    yield Kind("frames in the batch, mean", own(lambda: Frames("mean", True), layout=Layout("(n t) c h w")))
    yield Kind("frames in the batch, maximum", own(lambda: Frames("max", True), layout=Layout("(n t) c h w")))
    yield Kind("frames in the batch, attention", own(lambda: Frames("attention", True), layout=Layout("(n t) c h w")))
    yield Kind("frames in the batch, GRU", own(lambda: Frames("GRU", True), layout=Layout("(n t) c h w")))
    yield Kind("frames in the batch, ResNet-18", own(resnet_of_frames, layout=Layout("(n t) c h w")))
    yield Kind("frames in the batch without a layout", own(lambda: Frames("mean", True)), refused="give their layout")
    yield Kind("layer called for each frame, LSTM", own(lambda: Frames("LSTM", False)))
    yield Kind("layer called for each frame, GRU", own(lambda: Frames("GRU", False)))
    yield Kind("convolutional recurrence", own(ConvolutionalRecurrence, layer="cell"))
    yield Kind("siamese", own(Siamese, layer="conv"), refused="is called 2 times")
    yield Kind("one of several clips", own(Crops, pack=lambda windows: windows[:, None]))
    yield Kind(
        "two crops of each window",
        own(Crops, pack=lambda windows: torch.stack([windows, windows], 1)),
        refused="gives 2 rows for one window",
    )
    yield Kind("two inputs", own(TwoInputs, pack=lambda x: (x, x), layer="rgb,other"))
    yield Kind("two inputs by name", own(TwoInputs, pack=lambda x: {"other": x, "frames": x}, layer="other"))
    yield Kind("two inputs in a list", own(Pathways, pack=lambda x: [x[:, :, ::4], x], layer="rgb,other"))
    yield Kind("frames and optical flow", own(lambda: TwoInputs(2), pack="rgb_and_flow", layer="rgb"))
    yield Kind("one logit", own(lambda: Convolution(1), classes=1), target=0)
    yield Kind("several labels", own(Convolution, probabilities="sigmoid"))
    yield Kind("regression", own(Convolution, probabilities="none", unit="years"))
    yield Kind("scores of frames, a time", own(ScoresOfFrames, scores="n t c"), target="class 1 @ TIME")
    yield Kind(
        "probabilities out",
        own(lambda: Convolution(end=lambda scores: scores.softmax(1))),
        refused="gives probabilities itself",
    )
    yield Kind(
        "probabilities out, `given`",
        own(lambda: Convolution(end=lambda scores: scores.softmax(1)), probabilities="given"),
    )
    yield Kind(
        "tuple out",
        own(lambda: Convolution(end=lambda scores: (scores * 2, scores))),
        refused="give its name as output",
    )
    yield Kind("tuple out, `output=1`", own(lambda: Convolution(end=lambda scores: (-scores, scores)), output=1))
    yield Kind("nested structure, a function", own(lambda: Convolution(end=_nested)), target=_in_nested)
    yield Kind("operations in place behind the layer", own(lambda: Convolution(middle=InPlace()), layer="relu"))
    yield Kind("checkpointing", own(lambda: Convolution(middle=Checkpointed(False)), layer="relu"))
    yield Kind(
        "reentrant checkpointing",
        own(lambda: Convolution(middle=Checkpointed(True)), layer="relu"),
        refused="switch activation checkpointing off",
    )
    yield Kind("TorchScript", own(Convolution, change=_script), refused="give the nn.Module")
    yield Kind("`torch.export`", own(Convolution, change=_export), refused="give the nn.Module")
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        yield Kind(str(dtype).removeprefix("torch."), own(Convolution, change=lambda n, dtype=dtype: n.to(dtype)))


KINDS = tuple(_kinds())
