"""Recipe: the settings of an explanation. Every option is defined here and only here.

The same object is the settings in a YAML file, the shared options of every command, a corpus setting and the keywords of
`vidcam.explain`. It is validated when it is made, and nowhere else.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import fields, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from typing_extensions import Self, TypedDict

from vidcam.errors import SettingsError, nearest, one_of
from vidcam.results.drawing import COLORMAPS, FORMATS, STYLES, Drawing
from vidcam.untrusted.text import fitted, shortened
from vidcam.untrusted.yaml import read_yaml

if TYPE_CHECKING:
    from vidcam.cam.fusion import Fusion
    from vidcam.cam.scored import InputParams
    from vidcam.models.registry import Model
    from vidcam.results.drawing import Colormap, Style
    from vidcam.temporal.factor import Factor
    from vidcam.temporal.motion import Evidence

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Pixels = Annotated[int, Field(ge=1, le=8192)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Cells = Annotated[int, Field(ge=1, le=100_000)]


def _whole(value: Any) -> Any:
    """Return a whole number of NumPy or torch as an int, and any other value, True and False included, unchanged."""
    return operator.index(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


Frames = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=100_000)]


class Validated(BaseModel):
    """Settings that are checked when they are made.

    Raises:
        SettingsError: a setting is unknown or has a wrong value.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise SettingsError(_described(error, type(self).model_fields)) from error


class Recipe(Validated):
    """Settings of an explanation: layers, methods, windows, precision and device.

    Attributes:
        layer: name of the target layer, or "auto" for the model's default by the method; several, with commas, are fused.
        method: one of `vidcam.cam.input_methods.METHOD_NAMES`; several, with commas, give one explanation each. "auto" is
            the model's default: "gradcam++" for most, "gradcam++t" for a network that scores frames. Those of
            `vidcam.cam.input_methods.INPUT_METHODS` explain the network at its input, in float32, and take no layer.
        fusion: fusion of the maps of several layers, "mean" or "max", see `vidcam.cam.fusion.fuse`.
        evidence: "whole"; "motion" for the evidence that a window loses when its frames are replaced by its middle frame,
            "appearance" for the rest, see `vidcam.temporal.motion`; several, with commas, give one explanation each. The
            network runs twice for motion and appearance. Not with `dense` or several layers, and not for `localize`.
        factor: number that a window's map is multiplied by, relative to the other windows of the clip, see
            `vidcam.temporal.factor`; for "gradcam++softmax" always the probability.
        context: reflect half a window of frames before the clip's first frame and after its last, so that frames at its
            ends are also in the middle of a window. Not with `dense`.
        stride: source frames between the starts of windows; half a window by default, a quarter for `localize`.
        sampling_rate: source frames between the frames of a window; by default the one that brings the clip nearest
            to the frame rate that the network was trained at.
        frame_rate: frames per second of frames without times; by default the rate that the network was trained at.
        dtype: the trunk's; "auto" is the fastest of this device if the explanation stays the same, see
            `vidcam.engine.precision`.
        dense: run the trunk once over long spans, see `vidcam.engine.spans`: faster the smaller the stride is, but
            approximate; the explanation's warnings say how closely it agrees.
        check: test each map, see `vidcam.engine.check`: hiding its hottest tenth must cost more of the score than hiding
            as much at random. Runs the network on 23 windows more. Not with `dense`, parts of the evidence and
            `localize`.
        absent: what stands in the place of hidden parts of a window, for the check and for methods that hide parts: "frozen"
            (the middle frame), "neighbour" (the nearest frame of another quarter of the window), "blurred",
            "frozen-blurred" or "grey", see `vidcam.cam.hiding.absent`; "auto" for each one's own.
        passes: most forward passes of the network for each window and target, by a method at the input; by default the
            method's own number.
        stretches: number of stretches of a window for `shapley`.
        device: "auto" (the GPU where there is one), "cpu", "cuda", "cuda:1" or "mps". By default a network by name
            runs as with "auto", and your own stays where it is.
        colormap, opacity, opacity_power, style, format, film_width, film_rate, highlights: of the films and pictures that
            show an explanation, see `vidcam.results.drawing.Drawing`. Not for `localize`.

    Raises:
        SettingsError: a setting is unknown or has a wrong value.

    Example:
        >>> Recipe(method="gradcam", stride=4).stride
        4
        >>> Recipe(fusion="median")
        Traceback (most recent call last):
        vidcam.errors.SettingsError: there is no fusion 'median'; choose one of mean, max
    """

    layer: str = Field(
        default="auto", min_length=1, description="auto, or names from `vidcam layers`; several are fused."
    )
    method: str = Field(default="auto", description="auto, or names from `vidcam methods`, with commas.")
    fusion: str = Field(default="mean", description="Of several layers: mean, or max as in LayerCAM.")
    evidence: str = Field(default="whole", description="whole, motion or appearance; several with commas.")
    factor: str = Field(
        default="probability", description="Of each window's map in the clip: probability, exp (the paper's) or none."
    )
    context: bool = Field(
        default=True, description="Reflect half a window of frames at both ends of the clip, so that no window is cut."
    )
    stride: Frames | None = Field(
        default=None, description="Source frames between windows; by default half a window, a quarter to localize."
    )
    sampling_rate: Frames | None = Field(
        default=None,
        description="Source frames between the frames of a window; by default from the network's frame rate.",
    )
    frame_rate: Annotated[float, Field(ge=0.01, lt=1e6, allow_inf_nan=False)] | None = Field(
        default=None, description="Frames per second of pictures in a folder; by default the network's, else 25."
    )
    dtype: Dtype = Field(default="auto", description="Of the trunk: auto, float32, bfloat16 or float16.")
    dense: bool = Field(default=False, description="Faster but approximate; prints how closely it agrees.")
    check: bool = Field(
        default=False, description="Test whether hiding the hottest tenth costs more of the score than a random tenth."
    )
    absent: str = Field(
        default="auto",
        description="In place of hidden parts: auto, frozen, neighbour, blurred, frozen-blurred or grey.",
    )
    passes: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="Most network passes for a window, by a method at the input; by default its own number.",
    )
    stretches: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=1000)] = Field(
        default=8, description="Stretches of a window, for shapley."
    )
    device: str | None = Field(
        default=None,
        max_length=64,
        description="auto (the GPU where there is one), cpu, cuda, cuda:1 or mps; by default auto.",
    )
    colormap: str = Field(default="inferno", description=f"Colours of the heat: {', '.join(COLORMAPS)}.")
    opacity: float = Field(default=0.8, description="Of the colours at the strongest heat, 0 to 1.")
    opacity_power: float = Field(
        default=1.0, description="Opacity grows as this power of the heat; below 1 faint heat shows more."
    )
    style: str = Field(default="overlay", description=f"Of the pictures: {', '.join(STYLES)}.")
    format: str = Field(
        default="mp4",
        description=f"Of the film: {', '.join(FORMATS)}; several with commas. mp4 is always written; png is a grid of frames.",
    )
    film_width: Frames | None = Field(
        default=None,
        description="Pixels of webm, gif and webp, at most; by default 640 for gif and webp.",
    )
    film_rate: float | None = Field(
        default=None, description="Frames per second of webm, gif and webp; by default gif and webp have at most 10."
    )
    highlights: bool = Field(default=False, description="Write a film of the strongest segments, too.")

    @field_validator("method")
    @classmethod
    def _method_exists(cls, methods: str) -> str:
        from vidcam.cam.input_methods import check_method  # torch

        for name in methods.split(","):
            if name.strip() != "auto":
                check_method(name.strip())
        return methods

    @field_validator("fusion")
    @classmethod
    def _fusion_exists(cls, fusion: str) -> str:
        from vidcam.cam.fusion import FUSIONS

        return one_of(fusion, FUSIONS, "fusion")

    @field_validator("check")
    @classmethod
    def _check_is_window_by_window(cls, check: bool, info: ValidationInfo) -> bool:
        if check and info.data.get("dense"):
            raise ValueError("it tests maps of windows, and dense computes those of spans; leave one of them out")
        if check and info.data.get("evidence", "whole") != "whole":
            raise ValueError("it tests the whole evidence, and a part of it is asked for; leave one of them out")
        return check

    @field_validator("absent")
    @classmethod
    def _absent_exists(cls, absent: str) -> str:
        from vidcam.cam.hiding import ABSENT  # torch

        return one_of(absent, ("auto", *ABSENT), "kind of absence")

    @field_validator("factor")
    @classmethod
    def _factor_exists(cls, factor: str) -> str:
        from vidcam.temporal.factor import FACTORS

        return one_of(factor, FACTORS, "factor")

    @field_validator("evidence")
    @classmethod
    def _evidence_exists(cls, evidence: str) -> str:
        from vidcam.temporal.motion import EVIDENCES

        for name in evidence.split(","):
            one_of(name.strip(), EVIDENCES, "evidence")
        return evidence

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        assert self.drawing is not None  # or it has raised
        return self

    @property
    def drawing(self) -> Drawing:
        """The settings of films and pictures."""
        return Drawing(**{one.name: getattr(self, one.name) for one in fields(Drawing)})

    @property
    def input_params(self) -> InputParams:
        """The parameters of the methods at the input."""
        from vidcam.cam.scored import InputParams  # torch

        return InputParams(self.absent, self.passes, self.stretches)

    @property
    def evidences(self) -> tuple[Evidence, ...]:
        """The kinds of evidence, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.evidence.split(",")))  # type: ignore[misc]

    @property
    def splits(self) -> bool:
        """True if motion or appearance is explained, for which windows are run frozen, too."""
        return self.evidences != ("whole",)

    def changed(self, **settings: Any) -> Self:
        """Return a copy with the given settings changed.

        Raises:
            SettingsError: a setting is unknown or has a wrong value.
        """
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **settings})


class LocalizeSettings(TypedDict, total=False):
    """The keywords of `vidcam.localize`: the fields of `Recipe` but evidence, check and drawing, for type checkers."""

    layer: str
    method: str
    fusion: Fusion
    factor: Factor
    context: bool
    stride: int | None
    sampling_rate: int | None
    frame_rate: float | None
    dtype: Dtype
    dense: bool
    absent: str
    passes: int | None
    stretches: int
    device: str | None


class Settings(LocalizeSettings, total=False):
    """The keywords of `vidcam.explain`: the fields of `Recipe`, for type checkers."""

    evidence: str
    check: bool
    colormap: Colormap
    opacity: float
    opacity_power: float
    style: Style
    format: str
    film_width: int | None
    film_rate: float | None
    highlights: bool


class PreprocessConfig(BaseModel):
    """Preprocessing from a frame to the network's input: the fields of `vidcam.Preprocess`."""

    model_config = ConfigDict(extra="forbid")

    resize: Pixels | tuple[Pixels, Pixels]
    crop: tuple[Pixels, Pixels]
    mean: tuple[Number, Number, Number]
    std: tuple[Deviation, Deviation, Deviation]
    scale: Number = 1 / 255
    bgr: bool = False


class OwnModelConfig(BaseModel):
    """A user's own network: the function that makes it, and the arguments of `vidcam.own_model`.

    Attributes:
        factory: "package.module:function".
        pack, output, probabilities: as for `vidcam.own_model`, functions as "package.module:function".
    """

    model_config = ConfigDict(extra="forbid")

    factory: str
    arguments: dict[str, Any] = {}
    preprocess: PreprocessConfig | None = None
    frames: Frames = 16
    frame_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    layer: str = "auto"
    pack: str | None = None
    output: int | str | None = None
    scores: Literal["n c", "n", "n t", "n t c", "n c t"] = "n c"
    probabilities: str = "auto"
    unit: str = ""
    layout: str | None = Field(default=None, max_length=64)
    grid: tuple[Cells, Cells, Cells] | None = Field(default=None, validate_default=True)

    @field_validator("grid")
    @classmethod
    def _layout_exists(cls, grid: tuple[int, int, int] | None, info: ValidationInfo) -> tuple[int, int, int] | None:
        from vidcam.cam.layout import Layout  # torch

        if "layout" in info.data:  # or it had no valid value
            Layout(info.data["layout"], grid)
        return grid


class ExplainConfig(Recipe):
    """A recipe, its network and its target: the settings of a YAML file and of a command.

    Attributes:
        model: a name (`vidcam models` lists them), or in a YAML file a user's own network.
        weights: "default", "none" or a file.
        labels: a file of class labels, one a line; docs/how-to/own-classes.md lists other forms.
        target: "top", "top5", a label, a class index, or "A - B".
    """

    model: str | OwnModelConfig = Field(default="playground-r2plus1d", description="A name from `vidcam models`.")
    weights: str = Field(default="default", description="default, none, or a .pth, .pt or .safetensors file.")
    labels: str | None = Field(
        default=None, description="Text file with one class label a line; by default the network's own."
    )
    target: str | int = Field(default="top", description="top, top5, a label, a class index, or 'A - B'.")

    def load(self, *, tested: bool = False) -> Model:
        """Load the model with its weights and labels, and return it.

        Args:
            tested: True to leave out the tests of a user's own network, see `vidcam.models.own.own_model`.

        Raises:
            VidcamError: the model, weights, labels or device cannot be used.
        """
        from vidcam.models.registry import load_model

        device = "auto" if self.device is None else self.device
        if isinstance(self.model, str):
            return load_model(self.model, self.weights, self.labels, device)
        from vidcam.cam.layout import Layout
        from vidcam.models.device import device_named
        from vidcam.models.own import ASSUMED, built, function_named, own_model
        from vidcam.models.preprocess import Preprocess

        own = self.model
        functions: dict[str, Any] = {}
        for name, value in (("pack", own.pack), ("output", own.output), ("probabilities", own.probabilities)):
            if name == "pack" and value is None:
                continue
            named = isinstance(value, str) and ":" in value
            functions[name] = function_named(str(value), name) if named else value
        network, note = built(own.factory, own.arguments, self.weights)
        model = own_model(
            network.to(device_named(device)),
            preprocess=Preprocess(**own.preprocess.model_dump()) if own.preprocess else ASSUMED,
            frames=own.frames,
            frame_rate=own.frame_rate,
            layer=own.layer,
            labels=self.labels,
            name=own.factory,
            layout=Layout(own.layout, own.grid),
            scores=own.scores,
            unit=own.unit,
            weights=self.weights,
            tested=tested,
            **functions,
        )
        return replace(model, note="; ".join(filter(None, [note, model.note])))


def read_config(
    path: Path | None,
    flags: Mapping[str, Any] = {},
    *,
    defaults: Mapping[str, Any] = {},
    trusted: bool = False,
) -> ExplainConfig:
    """Return the config of a YAML file, or the defaults, overridden by the flags that are not None.

    Args:
        path: the file.
        flags: settings by name.
        defaults: settings whose defaults differ from those of `ExplainConfig`.
        trusted: True if the file can name a factory, whose code is then run to make the network.

    Raises:
        SettingsError: the file cannot be read, is not a mapping, has a wrong or unknown setting, or names code to run
            and is not trusted.
    """
    stored = {} if path is None else read_yaml(path)
    where = f"config {path}" if path is not None else "the settings"
    if not isinstance(stored, dict):
        raise SettingsError(f"{where} holds a {type(stored).__name__}; settings are expected, one `name: value` a line")
    names = {str(name): value for name, value in stored.items()}
    try:
        config = ExplainConfig(**{**defaults, **names, **{k: v for k, v in flags.items() if v is not None}})
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error
    if isinstance(config.model, OwnModelConfig) and not trusted:
        raise SettingsError(
            f"{where} names code to run (factory {shortened(config.model.factory)}), and such a file may come from anybody; "
            "look at it, and pass --trust-config if it may"
        )
    return config


def _described(error: ValidationError, known: Mapping[str, Any]) -> str:
    """Return a message that names the wrong setting, the reason and the value given."""
    first = max(error.errors(), key=lambda e: len(e["loc"]))  # the deepest: inside the model, not beside it
    name = ".".join(str(part) for part in first["loc"] if part != OwnModelConfig.__name__)
    if first["type"] == "extra_forbidden":
        near = nearest(name, known)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"there is no setting {shortened(name)}; {hint}settings are {', '.join(known)}"
    return f"{fitted(name, 120)}: {fitted(first['msg'], 200)} (given: {shortened(first['input'])})"
