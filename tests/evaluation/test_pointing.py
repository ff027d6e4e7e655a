from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.conftest import METHODS
from vidcam.errors import ClipError
from vidcam.evaluation.inference import Subject
from vidcam.evaluation.pointing import Pointing, localization_measures
from vidcam.evaluation.samples import Sample
from vidcam.explainer import Explainer
from vidcam.export.measures import pointing_figure
from vidcam.metrics.baselines import BASELINES
from vidcam.models.registry import Model
from vidcam.recipe import Recipe


@pytest.mark.slow
def test_a_method_beats_the_trivial_explanations_on_a_clip_it_understands(sample: Sample, subject: Subject) -> None:
    figures = Pointing(subject)(sample)
    assert sorted(figures) == sorted([*METHODS, *BASELINES])
    best = max(figures[name]["pointing_game"] for name in BASELINES)
    assert figures["gradcam++"]["pointing_game"] > best
    assert all(0 <= value <= 1 for values in figures.values() for value in values.values())
    pointing_figure([{"clip": "a", "figures": figures}]).canvas.draw()


def test_a_map_that_is_the_mask_is_perfect_and_one_a_frame_late_is_not() -> None:
    mask = np.zeros((10, 16, 16), bool)
    for t in range(3, 8):
        mask[t, 4:8, 2 * t - 4 : 2 * t] = True  # two pixels a frame
    perfect = localization_measures(mask.astype(float), mask)
    assert {name: value for name, value in perfect.items() if not name.startswith("loc_")} == {
        "pointing_game": 1, "pointing_game_exact": 1, "pointing_game_clip": 1, "energy_inside": 1,
        "energy_while_acting": 1, "saliency_iou": 1, "time_auc": 1, "empty_frames": 0,
    }  # fmt: skip
    late = localization_measures(np.roll(mask, 1, axis=0).astype(float), mask)
    assert late["energy_inside"] == pytest.approx(0.4) and late["energy_while_acting"] == pytest.approx(0.8)
    assert late["saliency_iou"] < 0.5 and late["empty_frames"] == pytest.approx(0.2)
    assert localization_measures(np.zeros(mask.shape), mask)["empty_frames"] == 1


def test_the_tolerance_is_a_sixteenth_of_the_shorter_side() -> None:
    """Of 32 x 48 pixels: two pixels beside the mask hit, three do not."""
    mask = np.zeros((2, 32, 48), bool)
    mask[:, 10:20, 10:20] = True
    heat = np.zeros((2, 32, 48))
    heat[0, 15, 21], heat[1, 15, 22] = 1, 2
    found = localization_measures(heat, mask)
    assert (found["pointing_game"], found["pointing_game_exact"], found["pointing_game_clip"]) == (0.5, 0, 0)
    heat[0] *= 3
    assert localization_measures(heat, mask)["pointing_game_clip"] == 1


def test_the_overlap_at_each_threshold_and_the_time_by_hand() -> None:
    mask = np.zeros((4, 8, 8), bool)
    mask[1:3, 2:6, 2:6] = True
    heat = np.zeros((4, 8, 8))
    heat[1, 2:6, 2:6] = [[1, 0.4, 0.2, 0.0]] * 4  # all in the tube of 32 voxels
    heat[3, 0, :4] = [0.3, 0.3, 0.1, 0.6]
    found = localization_measures(heat, mask)
    assert [found[f"loc_{t}"] for t in ("0", "0.25", "0.5")] == pytest.approx([12 / 36, 8 / 35, 4 / 33])
    assert found["energy_inside"] == found["energy_while_acting"] == pytest.approx(6.4 / 7.7)
    assert found["empty_frames"] == 0.5 and found["time_auc"] == pytest.approx((1 + 1 + 0.5 + 0) / 4)


@pytest.mark.slow
def test_the_true_class_is_explained(sample: Sample, subject: Subject) -> None:
    other = next(label for label in subject.labels if label not in (sample.label, "nothing"))
    figures, others = Pointing(subject)(sample), Pointing(subject)(replace(sample, label=other))
    assert figures["gradcam"]["energy_inside"] > others["gradcam"]["energy_inside"]
    assert figures["ones"] == others["ones"]


def test_places_need_a_truth(sample: Sample, subject: Subject) -> None:
    with pytest.raises(ClipError, match="has no sidecar"):
        Pointing(subject)(Sample("x", sample.frames, 16))
    nobody = replace(sample, mask=np.zeros(sample.frames.shape[:3], bool))
    with pytest.raises(ClipError, match="shows nobody who acts"):
        Pointing(subject)(nobody)


@pytest.mark.slow
def test_several_layers_are_fused(sample: Sample, model: Model) -> None:
    figures = Pointing(Subject.of(Explainer(model, Recipe(layer="layer2,layer3"))))(sample)
    assert figures["gradcam++"]["pointing_game"] > 0.3
