"""What a run of `vidcam explain` may be told in a YAML file; `configs/*.yaml` are instances of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vidcam.errors import SettingsError
from vidcam.text import fitted, one_line, shortened
from vidcam.untrusted import read_regular

if TYPE_CHECKING:
    from vidcam.models.registry import Model

_MOST_BYTES = 256 << 10
_MOST_LEVELS = 20
_MOST_VALUES = 10_000
_MOST_LETTERS = 2000  # of one value; a longer number could not be shown in a message

Pixels = Annotated[int, Field(ge=1, le=8192)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Frames = Annotated[int, Field(ge=1, le=100_000)]
Cells = Annotated[int, Field(ge=1, le=100_000)]


class PreprocessConfig(BaseModel):
    """From a frame to the network's input; the fields of `vidcam.Preprocess`."""

    model_config = ConfigDict(extra="forbid")

    resize: Pixels | tuple[Pixels, Pixels]
    crop: tuple[Pixels, Pixels]
    mean: tuple[Number, Number, Number]
    std: tuple[Deviation, Deviation, Deviation]
    scale: Number = 1 / 255
    bgr: bool = False


class OwnModelConfig(BaseModel):
    """A user's own network: who makes it and what it expects; see `vidcam.own_model`."""

    model_config = ConfigDict(extra="forbid")

    factory: str
    arguments: dict[str, Any] = {}
    preprocess: PreprocessConfig | None = None
    frames: Frames = 16
    frame_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    layer: str = "auto"
    channels_last: bool = False
    grid: tuple[Cells, Cells, Cells] | None = None


class ExplainConfig(BaseModel):
    """One explanation: the network, what of it is explained, and how the clip is cut into windows."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str | OwnModelConfig = "playground-r2plus1d"
    weights: str = "default"
    labels: str | None = None
    layer: str = "auto"
    method: str = "gradcam++"
    fusion: Literal["mean", "max"] = "mean"
    target: str | int = "top"
    stride: Frames | None = None
    sampling_rate: Frames | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    dense: bool = False
    device: str = Field(default="auto", max_length=64)

    def load(self) -> Model:
        """The model with its weights and labels.

        Raises:
            ModelError: it cannot be had.
        """
        from vidcam.models.registry import load_model

        if isinstance(self.model, str):
            return load_model(self.model, self.weights, self.labels, self.device)
        from vidcam.cam.layout import Layout
        from vidcam.models.device import device_named
        from vidcam.models.own import ASSUMED, built, own_model
        from vidcam.models.preprocess import Preprocess

        own = self.model
        return own_model(
            built(own.factory, own.arguments, self.weights).to(device_named(self.device)),
            preprocess=Preprocess(**own.preprocess.model_dump()) if own.preprocess else ASSUMED,
            frames=own.frames,
            frame_rate=own.frame_rate,
            layer=own.layer,
            labels=self.labels,
            name=own.factory,
            layout=Layout(own.channels_last, own.grid),
            weights=self.weights,
        )


def read_config(
    path: Path | None, flags: Mapping[str, str | int | bool | None], *, trusted: bool = False
) -> ExplainConfig:
    """A config from a YAML file, or the defaults, with the flags that were given (not None) on top.

    Args:
        path: the file.
        flags: settings by name.
        trusted: whether the file may name a factory, whose code is then run to make the network.

    Raises:
        SettingsError: the file cannot be read, is not a mapping, has a wrong or unknown setting, or names code to run
            and is not trusted.
    """
    stored = {} if path is None else _settings_in(path)
    where = f"config {path}" if path is not None else "the settings"
    if not isinstance(stored, dict):
        raise SettingsError(f"{where} holds a {type(stored).__name__}; settings are expected, one `name: value` a line")
    try:
        config = ExplainConfig.model_validate({**stored, **{k: v for k, v in flags.items() if v is not None}})
    except ValidationError as error:
        first = max(error.errors(), key=lambda e: len(e["loc"]))  # the deepest: inside the model, not beside it
        name = ".".join(str(part) for part in first["loc"] if part != OwnModelConfig.__name__)
        known = ", ".join(ExplainConfig.model_fields)
        raise SettingsError(
            f"{where}: {fitted(name, 120)}: {fitted(first['msg'], 200)} (given: {shortened(first['input'])}); "
            f"settings are {known}"
        ) from error
    if isinstance(config.model, OwnModelConfig) and not trusted:
        raise SettingsError(
            f"{where} names code to run (factory {shortened(config.model.factory)}), and such a file may come from anybody; "
            "look at it, and pass --trust-config if it may"
        )
    return config


def _settings_in(path: Path) -> object:
    """Read a YAML file; an empty one holds no settings.

    Raises:
        SettingsError: it cannot be read, is too large, or says more than settings need.
    """
    try:
        text = read_regular(path, _MOST_BYTES).decode("utf-8")
        _check_events(text)
        stored: object = yaml.safe_load(text)
    except Exception as error:  # PyYAML raises anything on values that it cannot make: ValueError, RecursionError, ...
        reason = one_line(str(error))
        raise SettingsError(f"config {path} cannot be read ({reason}); give a YAML file") from error
    return {} if stored is None else stored


def _check_events(text: str) -> None:
    """Refuse, before a value is made, the YAML that makes large values from a small file.

    Raises:
        ValueError: there is an alias, a value inside too many others or of too many letters, or there are too many values.
    """
    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = f"line {event.start_mark.line + 1 if event.start_mark else 1}"
        match event:
            case yaml.AliasEvent():
                raise ValueError(f"{line} uses *{event.anchor}; write the value out")
            case yaml.CollectionStartEvent():
                depth += 1
            case yaml.CollectionEndEvent():
                depth -= 1
            case yaml.ScalarEvent():
                values += 1
                if len(event.value) > _MOST_LETTERS:
                    raise ValueError(f"{line} has a value of more than {_MOST_LETTERS:,} letters")
        if depth > _MOST_LEVELS:
            raise ValueError(f"{line} is nested deeper than {_MOST_LEVELS} levels")
        if values > _MOST_VALUES:
            raise ValueError(f"there are more than {_MOST_VALUES:,} values")
