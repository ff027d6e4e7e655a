from __future__ import annotations

import re

import pytest

from vidcam.cam import input_methods
from vidcam.cam.input_methods import INPUT_METHODS, METHOD_NAMES, PASSES, check_method, installed_methods
from vidcam.cam.methods import METHODS
from vidcam.cam.pixels import pixel_shares
from vidcam.errors import SettingsError


def test_names_of_methods() -> None:
    assert not set(METHODS) & set(INPUT_METHODS) and list(PASSES) == list(INPUT_METHODS)
    for name in METHOD_NAMES:
        check_method(name)
    with pytest.raises(
        SettingsError, match=r"there is no method 'cam'; choose one of gradcam\+\+, .*, rise, occlusion"
    ):
        check_method("cam")


def test_methods_of_captum_are_left_out_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed_methods() == METHOD_NAMES
    monkeypatch.setattr(input_methods, "find_spec", lambda name: None)
    missing = set(METHOD_NAMES) - set(installed_methods())
    assert missing == {"occlusion", "integrated-gradients"}


@pytest.mark.parametrize("name", INPUT_METHODS)
def test_passes_are_those_of_the_docstring(name: str) -> None:
    described = pixel_shares if name == "integrated-gradients" else INPUT_METHODS[name]
    *_, said = re.findall(r"(\d+) (?:passes )?by default", str(described.__doc__))  # stretches have a default, too
    assert int(said) == PASSES[name]
