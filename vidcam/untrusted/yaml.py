"""YAML from untrusted sources: a small file cannot make large values, and no value runs code."""

from __future__ import annotations

from pathlib import Path

import yaml

from vidcam.errors import SettingsError
from vidcam.untrusted.files import read_regular
from vidcam.untrusted.text import one_line

_MOST_BYTES = 256 << 10
_MOST_LEVELS = 20
_MOST_VALUES = 10_000
_MOST_LETTERS = 2000  # of one value; a longer number could not be shown in a message


def read_yaml(path: Path) -> object:
    """Return the value in a YAML file; an empty file gives an empty mapping.

    Raises:
        SettingsError: the file cannot be read, is too large, or holds more than settings need.
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
    """Check, before a value is made, that YAML does not make large values from a small file.

    Raises:
        ValueError: there is an alias, a value nested too deeply or of too many letters, or there are too many values.
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
