from __future__ import annotations

import pytest

from vidcam import errors
from vidcam.errors import SettingsError, VidcamError, counted, nearest, one_of


def test_every_kind_is_a_vidcam_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) == 7 and all(issubclass(kind, VidcamError) for kind in kinds)


@pytest.mark.parametrize("given", ["median", "Mean", "", None, 1, True])
def test_one_of_takes_what_is_equal_and_of_the_same_type(given: object) -> None:
    assert one_of("mean", ("max", "mean"), "fusion") == "mean" and one_of(1, (0, 1), "number") == 1
    with pytest.raises(SettingsError, match=r"there is no fusion .*; choose one of mean, max"):
        one_of(given, ("mean", "max"), "fusion")
    with pytest.raises(SettingsError):
        one_of(True, (0, 1), "number")


def test_nearest_are_those_that_hold_the_word_then_those_that_look_like_it() -> None:
    words = ["waving", "bowing", "hand waving", "kicking", "squatting"]
    assert nearest("WAV", words) == ["waving", "hand waving"]
    assert nearest("wavin", words)[0] == "waving" and nearest("bwing", words)[0] == "bowing"
    assert nearest("zzzz", words) == [] and len(nearest("ing", words, 2)) == 2


def test_a_count_of_one_has_the_singular() -> None:
    assert [counted(n, "frame") for n in (0, 1, 2, 1200)] == ["0 frames", "1 frame", "2 frames", "1,200 frames"]
    assert [counted(n, "class") for n in (0, 1, 2)] == ["0 classes", "1 class", "2 classes"]
