"""What a run of `vidcam explain` may be told in a YAML file; `configs/*.yaml` are instances of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vidcam.errors import SettingsError

if TYPE_CHECKING:
    from vidcam.models.registry import Model


class PreprocessConfig(BaseModel):
    """From a frame to the network's input; the fields of `vidcam.Preprocess`."""

    model_config = ConfigDict(extra="forbid")

    resize: int | tuple[int, int]
    crop: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: float = 1 / 255
    bgr: bool = False


class OwnModelConfig(BaseModel):
    """A user's own network: who makes it and what it expects; see `vidcam.own_model`."""

    model_config = ConfigDict(extra="forbid")

    factory: str
    arguments: dict[str, Any] = {}
    preprocess: PreprocessConfig | None = None
    frames: int = Field(default=16, ge=1)
    frame_rate: float | None = Field(default=None, gt=0)
    layer: str = "auto"
    channels_last: bool = False
    grid: tuple[int, int, int] | None = None


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
    stride: int | None = Field(default=None, ge=1)
    sampling_rate: int | None = Field(default=None, ge=1)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    dense: bool = False

    def load(self) -> Model:
        """The model with its weights and labels.

        Raises:
            ModelError: it cannot be had.
        """
        from vidcam.models.registry import load_model

        if isinstance(self.model, str):
            return load_model(self.model, self.weights, self.labels)
        from vidcam.cam.layout import Layout
        from vidcam.models.own import ASSUMED, built, own_model
        from vidcam.models.preprocess import Preprocess

        own = self.model
        return own_model(
            built(own.factory, own.arguments, self.weights),
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
    stored: object = {}
    if path is not None:
        try:
            stored = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise SettingsError(f"config {path} cannot be read ({reason}); give a YAML file") from error
        stored = {} if stored is None else stored
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
            f"{where}: {name}: {first['msg']} (given: {first['input']!r}); settings are {known}"
        ) from error
    if isinstance(config.model, OwnModelConfig) and not trusted:
        raise SettingsError(
            f"{where} names code to run (factory {config.model.factory!r}), and such a file may come from anybody; "
            "look at it, and pass --trust-config if it may"
        )
    return config
