from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Vidcam
from vidcam.models.registry import model_names, spec_named


@pytest.mark.slow
def test_models_and_layers(vidcam: Vidcam) -> None:
    models = json.loads(vidcam("models", "--json").stdout)
    assert {"playground-r2plus1d", "r2plus1d_18", "c3d"} <= {m["name"] for m in models}
    layers = json.loads(vidcam("layers", "playground-r2plus1d", "--json").stdout)
    expected = {"layer": "layer3", "shape": [128, 8, 14, 14], "stride": [2, 8, 8], "field": [25, 73, 73]}
    assert {**expected, "default": True} in layers


def test_models_say_how_those_of_hugging_face_are_named(vidcam: Vidcam) -> None:
    told = " ".join(vidcam("models").stdout.split())
    assert "hf:ORG/NAME" in told and "vidcam[hf]" in told and "videomae, timesformer, vivit, vjepa2" in told


def test_the_list_of_models_fits_80_columns_and_leaves_nothing_out(vidcam: Vidcam) -> None:
    told = vidcam("models").stdout
    assert max(map(len, told.splitlines())) <= 80
    lines = {line.split()[0]: line.split() for line in told.splitlines() if line.strip()}
    assert lines["r2plus1d_18"] == ["r2plus1d_18", "400", "16", "15", "layer4", "gradcam++"]
    together = "".join(told.split())
    for spec in map(spec_named, model_names()):
        assert "".join(spec.source.split()) in together and spec.name in lines
