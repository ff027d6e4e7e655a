from __future__ import annotations

import pytest

from vidcam.models.registry import ModelSpec
from vidcam.models.weights import read_state
from vidcam.playground.actions import LABELS
from vidcam.playground.networks import R2PLUS1D, SMALL_C3D
from vidcam.playground.recurrent import RECURRENT
from vidcam.playground.shift import SHIFT
from vidcam.playground.spec import bundled_weights
from vidcam.playground.tubelet import TUBELET


@pytest.mark.parametrize(
    ("spec", "frames"),
    [(R2PLUS1D, 16), (SMALL_C3D, 16), (TUBELET, 16), (RECURRENT, 8), (SHIFT, 8)],
    ids=lambda v: getattr(v, "name", v),
)
def test_bundled_weights_fit_their_network_to_the_last_parameter(spec: ModelSpec, frames: int) -> None:
    state = read_state(bundled_weights(spec.name))
    missing, unexpected = spec.build(len(LABELS)).load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    assert spec.published().keys() == state.keys()
    assert spec.frames == spec.frame_rate == frames and spec.background == "nothing"


@pytest.mark.parametrize("spec", [TUBELET, RECURRENT, SHIFT], ids=lambda spec: spec.name)
def test_weights_are_small(spec: ModelSpec) -> None:
    assert bundled_weights(spec.name).stat().st_size <= 2_000_000
