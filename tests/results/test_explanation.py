from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidcam.errors import SettingsError
from vidcam.results.explanation import ExplainedTarget, Explanation


def explanation(
    maps: np.ndarray, *, clip: Path = Path("clip.mp4"), size: tuple[int, int] = (12, 16), **changes: object
) -> Explanation:
    frames = len(maps)
    values: dict[str, object] = {
        "clip": str(clip),
        "model": "m",
        "weights": "none",
        "layer": "l",
        "method": "gradcam++",
        "target": ExplainedTarget(1, "a <b>", 0.5),
        "top": (("a <b>", 0.5),),
        "size": size,
        "region": (0.0, 0.0, float(size[1]), float(size[0])),
        "times": np.arange(frames) / 10,
        "maps": maps.astype(np.float32),
        "scores": np.linspace(0, 1, frames, dtype=np.float32),
        "evidence": maps.mean((1, 2)).astype(np.float32),
        "window_starts": np.array([0]),
        "window_scores": np.array([0.5], np.float32),
        "windowing": {"length": frames, "stride": 1, "sampling_rate": 1, "rate": None},
        **changes,
    }
    return Explanation(**values)  # type: ignore[arg-type]


def test_heatmaps_share_one_scale_over_the_clip() -> None:
    maps = np.zeros((2, 3, 4))
    maps[0], maps[1] = 2.0, 4.0
    found = explanation(maps)
    np.testing.assert_allclose(found.heatmap(0), 0.5)
    np.testing.assert_allclose(found.heatmap(1), 1.0)


def test_heat_stays_in_the_region_the_network_sees() -> None:
    found = explanation(np.ones((1, 2, 2)), region=(4.0, 2.0, 10.0, 12.0))
    heat = found.heatmap(0)
    assert heat.shape == (12, 16)
    np.testing.assert_allclose(heat[2:12, 4:10], 1)
    assert heat.sum() == pytest.approx(60)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_maps_give_flat_finite_heat(value: float) -> None:
    heat = explanation(np.full((2, 3, 3), value)).heatmap(1)
    assert np.isfinite(heat).all() and np.ptp(heat) < 1e-6


def test_a_frame_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match="no frame 2 in a clip of 2 frames"):
        explanation(np.ones((2, 3, 3))).heatmap(2)


def test_several_explanations_share_a_scale() -> None:
    found = explanation(np.full((1, 2, 2), 2.0))
    np.testing.assert_allclose(found.heatmap(0, peak=8.0), 0.25)


@pytest.mark.parametrize("peak", [-1.0, float("nan"), float("inf")])
def test_a_peak_that_is_none(peak: float) -> None:
    with pytest.raises(SettingsError, match="peak is"):
        explanation(np.ones((2, 2, 2))).heatmap(0, peak)


def test_the_curve_is_four_columns_of_all_frames() -> None:
    found = explanation(np.arange(12.0).reshape(3, 2, 2))
    curve = found.curve
    assert curve.frame.tolist() == [0, 1, 2] and curve.time.tolist() == [0, 0.1, 0.2]
    np.testing.assert_allclose(curve.score, [0, 0.5, 1])
    np.testing.assert_allclose(curve.evidence, [1.5, 5.5, 9.5])
    assert found.frames == 3 and found.peak == 11


def test_the_summary_is_all_but_the_arrays_and_the_frames() -> None:
    found = explanation(np.ones((2, 3, 3)), warnings=("a note",), stretch=(1.0, None))
    assert set(found.summary()) == set(vars(found)) - set(found.arrays()) - {"source"} | {"frames", "windows"}
    assert found.summary()["warnings"] == ["a note"] and found.summary()["stretch"] == [1.0, None]
    assert found.summary()["target"] == {
        "index": 1, "label": "a <b>", "probability": 0.5, "value": None, "unit": "",
    }  # fmt: skip


def test_a_repr_is_a_line() -> None:
    text = repr(explanation(np.ones((300, 4, 4))))
    assert len(text) < 200 and "'a <b>', probability 0.500, 300 frames" in text
