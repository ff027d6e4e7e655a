from __future__ import annotations

import pytest

from vidcam.corpus.limits import Limits
from vidcam.errors import SettingsError


@pytest.mark.parametrize("name", Limits.model_fields)
def test_limits_are_positive(name: str) -> None:
    assert getattr(Limits(**{name: 1}), name) == 1
    with pytest.raises(SettingsError, match=name):
        Limits(**{name: 0})
