from __future__ import annotations

import pytest
import torch

from vidcam.errors import SettingsError
from vidcam.models.device import device_named


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_named("auto") == device_named("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_named("auto") == torch.device("cuda")


@pytest.mark.parametrize("name", ["tpu", "", "cuda:99", "cpu; rm", "meta", "7"])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(SettingsError, match=r"there is no device .*give auto, cpu, or cuda") as caught:
        device_named(name)
    assert "\n" not in str(caught.value)
