"""Kinds of networks for scripts/networks.py, with weights by which the brightness of a place and a time is the score.

Every convolution and linear layer passes one channel on, the brightness, from the middle of its kernel; norms change
nothing. In transformers the blocks pass tokens on, and the last attention or mean gathers them in equal parts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vidcam import own_model
from vidcam.cam.layout import Layout
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model, load_model
from vidcam.models.torchvision_import import import_torchvision

FRAMES, SIZE, RATE = 8, (32, 48), 8
"""Frames per window, (height, width) in pixels and frames per second of the small networks."""
GRID = (FRAMES, 4, 6)
"""Places of the small networks' layers: one for each frame and 8x8 pixels."""


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


@torch.no_grad()
def passing_brightness(network: nn.Module, channel: int = 0, classes: int = 400) -> None:
    """Set the weights of convolutions and recurrent layers so that class 1 is the brightness, and class 0 its opposite.

    Args:
        network: its last layer of that many outputs is the classifier.
        channel: that holds the brightness in every layer.
        classes: outputs of the classifier.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)]
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.RNNBase):
            for name, parameter in module.named_parameters():
                parameter.abs_()
                if isinstance(module, nn.GRU) and "weight" in name:  # of the old state half, whatever the input
                    parameter.view(3, module.hidden_size, -1)[1] = 0
    for layer in layers:
        kernel = layer.weight.shape[2:]
        if layer.bias is not None:
            layer.bias.zero_()
        layer.weight.zero_()
        patches = bool(kernel) and kernel == layer.stride  # type: ignore[comparison-overlap]
        middle = (...,) if patches else (..., *(size // 2 for size in kernel))
        share = 1 / kernel.numel() if patches else 1.0
        if layer.weight.shape[1] <= 3 and getattr(layer, "groups", 1) == 1:  # of colours, or of a flow
            layer.weight[channel][middle] = share / 3
        elif getattr(layer, "groups", 1) > 1:
            layer.weight[:, 0][middle] = share
        else:
            layer.weight[channel, channel][middle] = share
    classifier = [layer for layer in layers if len(layer.weight) == classes][-1]
    classifier.weight[...] = 0.0
    classifier.weight[0, channel] = -1.0  # no score is the same for all windows
    classifier.weight[1 % classes, channel] = 1.0


@torch.no_grad()
def passing_tokens(network: nn.Module, classifier: str, gathers: tuple[str, ...], passes: tuple[str, ...] = ()) -> None:
    """Set the weights of a transformer so that class 1 is the brightness.

    A token's first channel is the brightness of its tubelet. Its second and third are -10 and 10, without which a
    normalisation would leave nothing of the brightness, or make darkness negative.

    Args:
        network: a transformer.
        classifier: name of the last layer.
        gathers: names of the values and the projection of the last attention, if the score does not read all tokens.
        passes: ends of the names of other layers that change the number of channels, or that pool.
    """
    parameters = dict(network.named_parameters())
    for name, parameter in parameters.items():
        parameter.fill_(1.0 if name.endswith("weight") and parameter.ndim == 1 else 0.0)
    embedding = next(name for name, p in parameters.items() if p.ndim >= 4 and p.shape[1] == 3)
    weight = parameters[embedding]
    kernel, module = weight.shape[2:], network.get_submodule(embedding.removesuffix(".weight"))
    if kernel == module.stride:
        weight[0] = 30 / weight[0].numel()
    else:
        weight[0][(..., *(size // 2 for size in kernel))] = 10.0
    parameters[embedding.removesuffix("weight") + "bias"][1:3] = torch.tensor([-10.0, 10.0])
    for name, parameter in parameters.items():
        if name.endswith(passes) and parameter.ndim == 2:
            parameter[:3, :3] = torch.eye(3)
        elif name.endswith(passes) and parameter.ndim == 5:
            parameter[:, 0][(..., *(size // 2 for size in parameter.shape[2:]))] = 1.0
    for name in gathers:
        values = parameters[f"{name}.weight"]
        values[-values.shape[1] :] = torch.eye(values.shape[1])  # the last rows of query, key, value
    parameters[f"{classifier}.weight"][:2, 0] = torch.tensor([-1.0, 1.0])


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


class Convolution(nn.Module):
    """A 3D convolution of patches whose mean is classified.

    Args:
        classes: outputs of the classifier.
        end: returns the network's output, given the scores (N, classes).
        middle: returns the features that are averaged, given those of the convolution, (N, 4, T, H, W).
    """

    def __init__(
        self, classes: int = 3, end: Callable[[Tensor], Any] = lambda scores: scores, middle: Any = nn.Identity()
    ) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv3d(3, 4, (1, 8, 8), (1, 8, 8)), nn.ReLU()
        self.fc, self.end, self.middle = nn.Linear(4, classes), end, middle

    def features(self, x: Tensor) -> Tensor:
        """Return the features of windows, (N, 4, T, H, W)."""
        return self.middle(self.relu(self.conv(x)))

    def forward(self, x: Tensor) -> Any:
        """Return `end` of the scores of windows (N, 3, T, H, W)."""
        return self.end(self.fc(self.features(x).mean((2, 3, 4))))


class Frames(nn.Module):
    """A 2D convolution on each frame, and a head on the features of frames (N, T, 4).

    Args:
        head: "mean", "max", "LSTM", "GRU" or "attention".
        in_the_batch: True to run the convolution once on all frames, as rows of the batch; False to call it for each.
    """

    def __init__(self, head: str, in_the_batch: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.in_the_batch, self.head = nn.Conv2d(3, 4, 8, 8), in_the_batch, head
        if head in ("LSTM", "GRU"):
            self.recurrent = getattr(nn, head)(4, 4, batch_first=True)
        if head == "attention":
            self.attention = nn.Linear(4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of windows (N, 3, T, H, W)."""
        if self.in_the_batch:
            n, _, t, _, _ = x.shape
            steps = self.conv(x.transpose(1, 2).flatten(0, 1)).relu().mean((2, 3)).view(n, t, 4)
        else:
            steps = torch.stack([self.conv(frame).relu().mean((2, 3)) for frame in x.unbind(2)], 1)
        match self.head:
            case "mean":
                pooled = steps.mean(1)
            case "max":
                pooled = steps.amax(1)
            case "attention":
                pooled = (self.attention(steps).softmax(1) * steps).sum(1)
            case _:
                pooled = self.recurrent(steps)[0][:, -1]
        return self.fc(pooled)


class ConvolutionalRecurrence(nn.Module):
    """A convolution of each frame and of the state before it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cell, self.fc = nn.Conv2d(3, 4, 8, 8), nn.Conv2d(8, 4, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of windows (N, 3, T, H, W)."""
        frames = self.conv(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(x), -1))
        state = torch.zeros_like(frames[:, 0])
        for frame in frames.unbind(1):
            state = 0.5 * state + self.cell(torch.cat([frame, state], 1)).relu()
        return self.fc(state.mean((2, 3)))


class Siamese(nn.Module):
    """One convolution of both halves of a window."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv3d(3, 4, (1, 8, 8), (1, 8, 8)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of windows (N, 3, T, H, W)."""
        before, after = (self.conv(half).relu().mean((2, 3, 4)) for half in x.chunk(2, 2))
        return self.fc(before + after)


class Block(nn.Module):
    """A block of a transformer: attention over all tokens and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.project = nn.Linear(8, 24), nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens (N, L, 8)."""
        q, k, v = self.qkv(self.norm1(x)).chunk(3, 2)
        x = x + self.project(nn.functional.scaled_dot_product_attention(q, k, v))
        return x + self.mlp(self.norm2(x))


class Tokens(nn.Module):
    """A transformer of tokens in an order.

    Args:
        order: "t h w", "h w t", or "h w" for the tokens of each frame apart.
        reads: the token that is classified: "first" or "last", a class token there, or "mean" of all.
    """

    def __init__(self, order: str, reads: str) -> None:
        super().__init__()
        self.patch, self.order, self.reads = nn.Conv3d(3, 8, (1, 8, 8), (1, 8, 8)), order, reads
        self.token, self.blocks = nn.Parameter(torch.zeros(1, 1, 8)), nn.Sequential(Block(), Block())
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, 3)
        gathers = () if reads == "mean" else ("blocks.1.qkv", "blocks.1.project")
        passing_tokens(self, "fc", gathers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of windows (N, 3, T, H, W)."""
        x = self.patch(x).permute(0, *(2 + "thw".index(axis) for axis in self.order.split()), *self._frames(), 1)
        tokens = x.flatten(1, -2) if self.order != "h w" else x.permute(0, 3, 1, 2, 4).flatten(0, 1).flatten(1, 2)
        rows = self.token.expand(len(tokens), -1, -1)
        match self.reads:
            case "first":
                tokens = torch.cat([rows, tokens], 1)
            case "last":
                tokens = torch.cat([tokens, rows], 1)
        tokens = self.norm(self.blocks(tokens))
        read = {"first": tokens[:, 0], "last": tokens[:, -1], "mean": tokens.mean(1)}[self.reads]
        scores = self.fc(read)
        return scores.view(-1, FRAMES, 3).mean(1) if self.order == "h w" else scores

    def _frames(self) -> tuple[int, ...]:
        return (2,) if self.order == "h w" else ()


class ChannelsLast(Convolution):
    """A convolution whose block gives (N, T, H, W, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of windows (N, 3, T, H, W)."""
        return self.fc(self.block(self.features(x).movedim(1, -1)).relu().mean((1, 2, 3)))


class TwoInputs(nn.Module):
    """A stream of frames and a stream of another input, whose scores are added.

    Args:
        channels: of the other input.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.rgb, self.other = (nn.Conv3d(c, 4, (1, 8, 8), (1, 8, 8)) for c in (3, channels))
        self.fc = nn.Linear(4, 3)

    def forward(self, frames: Tensor, other: Tensor) -> Tensor:
        """Return the scores of frames (N, 3, T, H, W) and another input (N, channels, T, H, W)."""
        return self.fc(sum(conv(x).relu().mean((2, 3, 4)) for conv, x in ((self.rgb, frames), (self.other, other))))


class Pathways(TwoInputs):
    """Two streams given as one list."""

    def forward(self, pathways: list[Tensor]) -> Tensor:  # type: ignore[override]
        """Return the scores of frames and another input, (N, 3, T, H, W) each."""
        return super().forward(*pathways)


class Crops(Convolution):
    """A network that averages the scores of crops, (N, K, 3, T, H, W)."""

    def forward(self, x: Tensor) -> Any:
        """Return the scores of windows (N, K, 3, T, H, W)."""
        n, crops = x.shape[:2]
        return super().forward(x.flatten(0, 1)).view(n, crops, -1).mean(1)


class ScoresOfFrames(Convolution):
    """A network that scores frames, (N, T, classes)."""

    def forward(self, x: Tensor) -> Any:
        """Return the scores of the frames of windows."""
        return self.fc(self.features(x).mean((3, 4)).transpose(1, 2))


class Checkpointed(nn.Module):
    """A part that is computed again in the backward pass."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.part, self.reentrant = nn.Conv3d(4, 4, 1), reentrant

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, 4, T, H, W)."""
        return checkpoint(self.part, x, use_reentrant=self.reentrant)


class InPlace(nn.Module):
    """A shortcut that is added in place, and a rectifier that works in place."""

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, 4, T, H, W)."""
        y = x.sigmoid()
        y -= 0.5
        y += x
        return y.relu_()


def own(network: Callable[[], nn.Module], classes: int = 3, **settings: Any) -> Callable[[], Model]:
    """Return a function that makes a model of a small network, by `own_model` with settings."""

    def load() -> Model:
        made = network()
        if not isinstance(made, Tokens):  # which is set already
            passing_brightness(made, classes=classes)
        given: dict[str, Any] = {"frames": FRAMES, "frame_rate": RATE, "preprocess": black_is_zero(*SIZE), **settings}
        change = given.pop("change", lambda network: network)
        return own_model(change(made), **given)

    return load


def _resnet_of_frames() -> nn.Module:
    """Return torchvision's ResNet-18 on frames as rows of the batch, and the mean of its scores."""
    import_torchvision()
    import torchvision

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.resnet = torchvision.models.resnet18(num_classes=3)

        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = self.resnet(x.transpose(1, 2).flatten(0, 1))
            return scores.view(len(x), -1, 3).mean(1)

    return Mean()


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
    yield Kind("frames in the batch, ResNet-18", own(_resnet_of_frames, layout=Layout("(n t) c h w")))
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
