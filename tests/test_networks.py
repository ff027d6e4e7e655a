"""The script that makes the table of docs/networks.md, on some of its kinds."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from vidcam.cam.capture import Capture
from vidcam.errors import LayerError

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("networks")


def _row(networks: Any, name: str) -> Any:
    (kind,) = (kind for kind in networks.KINDS if kind.name == name)
    return networks.measured(kind)


RIGHT = [
    "3D convolution",
    "tokens (h w t), class token",
    "frames in the batch, mean",
    "layer called for each frame, LSTM",
    "two inputs in a list",
    "float16",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "`r3d_18`, torchvision",
            "`tsn_r50`",
            "`tsm_r50`",
            "`i3d_r50-mmaction`",
            "`hf:` TimeSformer",
            "`hf:` V-JEPA 2",
        )
    ),
]


@pytest.mark.parametrize("name", RIGHT)
def test_kinds_that_are_right(networks: Any, name: str) -> None:
    row = _row(networks, name)
    assert row.outcome == "right" and row.place >= 0.9 and row.time >= 0.9, row
    assert row.line(name).count("|") == 8 and row.said == ""


@pytest.mark.slow
def test_of_two_streams_the_map_of_one_is_right_and_the_other_is_said(networks: Any) -> None:
    row = _row(networks, "frames and optical flow")
    assert row.outcome == "right" and row.place >= 0.9 and row.time >= 0.9, row
    assert "a part of 0.88 passes by the layer" in row.said


REFUSED = ["tokens (h w t) taken for (t h w)", "siamese", "probabilities out", "reentrant checkpointing", "TorchScript"]


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad", "ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_kinds_that_are_refused(networks: Any, name: str) -> None:
    row = _row(networks, name)
    assert row.outcome == "refused" and row.said and row.layer == ""


def _last_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    every: Any = Capture.activations.fget  # type: ignore[attr-defined]
    last = property(lambda capture: {name: a[:, :, -1:].expand_as(a) for name, a in every(capture).items()})
    monkeypatch.setattr(Capture, "activations", last)


def _untested_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidcam.models.trial.better_layout", lambda *given: None)


def _another_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*given: Any) -> None:
        raise LayerError("something else")

    monkeypatch.setattr("vidcam.cam.capture._check_calls", told)


FAULTS = {
    "layer called for each frame, LSTM": _last_call_alone,
    "tokens (h w t) taken for (t h w)": _untested_order,
    "siamese": _another_error,
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(
    networks: Any, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FAULTS[name](monkeypatch)
    assert networks.main(["--only", name]) == 1
    assert "1 WRONG" in capsys.readouterr().out
