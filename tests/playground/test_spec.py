from __future__ import annotations

import pytest

from vidcam.errors import ModelError
from vidcam.models.registry import ModelSpec
from vidcam.models.weights import read_state
from vidcam.playground.actions import LABELS
from vidcam.playground.networks import R2PLUS1D, SMALL_C3D
from vidcam.playground.recurrent import RECURRENT
from vidcam.playground.shift import SHIFT
from vidcam.playground.spec import bundled_weights
from vidcam.playground.tubelet import TUBELET


@pytest.mark.parametrize("spec", [R2PLUS1D, SMALL_C3D, TUBELET], ids=lambda spec: spec.name)
def test_bundled_weights_fit_their_network_to_the_last_parameter(spec: ModelSpec) -> None:
    state = read_state(bundled_weights(spec.name))
    missing, unexpected = spec.build(len(LABELS)).load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    assert spec.published().keys() == state.keys()
    assert spec.frames == spec.frame_rate == 16 and spec.background == "nothing"


def test_the_weights_of_the_transformer_are_small() -> None:
    assert bundled_weights(TUBELET.name).stat().st_size <= 2_000_000


@pytest.mark.parametrize("spec", [RECURRENT, SHIFT], ids=lambda spec: spec.name)
def test_networks_that_are_not_trained_yet_say_how_to_train_them(spec: ModelSpec) -> None:
    with pytest.raises(ModelError, match=rf"vidcam playground train {spec.name} --out FILE.*--weights FILE"):
        spec.published()
    assert spec.frames == spec.frame_rate == 8
