"""What a run of `vidcam explain` may be told in a YAML file; `configs/*.yaml` are instances of it."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vidcam.errors import SettingsError


class ExplainConfig(BaseModel):
    """One explanation: the network, what of it is explained, and how the clip is cut into windows."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = "playground-r2plus1d"
    weights: str = "default"
    labels: str | None = None
    layer: str = "auto"
    method: str = "gradcam++"
    target: str | int = "top"
    stride: int | None = Field(None, ge=1)
    sampling_rate: int | None = Field(None, ge=1)


def read_config(path: Path | None, flags: dict[str, str | int | None]) -> ExplainConfig:
    """A config from a YAML file, or the defaults, with the flags that were given (not None) on top.

    Raises:
        SettingsError: the file cannot be read, is not a mapping, or has a wrong or unknown setting.
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
        return ExplainConfig.model_validate({**stored, **{k: v for k, v in flags.items() if v is not None}})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        known = ", ".join(ExplainConfig.model_fields)
        raise SettingsError(
            f"{where}: {name}: {first['msg']} (given: {first['input']!r}); settings are {known}"
        ) from error
