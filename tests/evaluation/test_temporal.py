from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidcam.evaluation.temporal import METHODS, LocalizedClip, localized_clips, temporal_table, truths_of, two_clip_test
from vidcam.metrics.localization import Truth
from vidcam.models.registry import load_model
from vidcam.playground.scene import FPS, eventful_scene
from vidcam.results.localization import Localization

SCENE = eventful_scene(0, 0)


def test_truths_are_the_acts_in_seconds() -> None:
    truths = truths_of(SCENE, "video")
    assert truths == tuple(Truth("video", a.label, a.start / FPS, a.end / FPS) for a in SCENE.acts) and len(truths) == 3


def _perfect(method: str, shift: float = 0.0) -> Localization:
    """Curves that are 1 while a class happens, `shift` seconds late, and 0 elsewhere."""
    times = np.arange(SCENE.frames) / FPS
    labels = tuple(dict.fromkeys(act.label for act in SCENE.acts))
    curves = np.zeros((len(labels), len(times)))
    for truth in truths_of(SCENE, "clip"):
        curves[labels.index(truth.label), (times >= truth.start + shift) & (times < truth.end + shift)] = 1
    return Localization(
        clip="clip.mp4", model="m", layer="l", method=method, region=(0.0, 0.0, 1.0, 1.0), times=times, labels=labels,
        scores=curves, evidence=curves, maps=np.zeros((len(labels), len(times), 1, 1)), curve="score", segments=(),
    )  # fmt: skip


def _table(**found: Localization) -> dict[str, dict[str, object]]:
    return temporal_table([LocalizedClip(truths_of(SCENE, "clip"), {m: found.get("one") or found[m] for m in METHODS})])


def test_a_table_of_a_perfect_a_late_and_an_empty_localization() -> None:
    table = _table(one=_perfect("gradcam++"))
    assert set(table) == {"default"} | {f"{m} {c}" for m in METHODS for c in ("score", "evidence", "combined")}
    assert table["default"] == table["gradcam++ combined"]
    assert table["default"]["average_mAP"] == pytest.approx(1) and table["default"]["hit_rate"] == 1
    assert table["default"]["onset_error_frames"] == table["default"]["offset_error_frames"] == 0
    late = _table(one=_perfect("gradcam++", 4 / FPS))["default"]
    assert late["onset_error_frames"] == pytest.approx(4) and late["offset_error_frames"] == pytest.approx(4)
    assert late["mAP"]["0.1"] == pytest.approx(1) and late["found"] == 1  # type: ignore[index]
    empty = _perfect("gradcam++", 1e6)
    nothing = _table(one=empty)["default"]
    assert nothing["average_mAP"] == 0 and nothing["onset_error_frames"] is None


def test_methods_are_not_mixed_up() -> None:
    table = temporal_table(
        [
            LocalizedClip(
                truths_of(SCENE, "clip"), {"gradcam++": _perfect("gradcam++"), "gradcam": _perfect("gradcam", 4.0)}
            )
        ]
    )
    assert table["gradcam++ score"]["average_mAP"] > table["gradcam score"]["average_mAP"]


@pytest.mark.slow
def test_rendered_clips_are_localized_by_both_methods() -> None:
    done: list[tuple[int, int]] = []
    (clip,) = localized_clips(load_model("playground-r2plus1d"), 0, 1, lambda *n: done.append(n))
    assert clip.truths == truths_of(SCENE, "0-0000") and list(clip.found) == [*METHODS] and done == [(1, 1)]
    assert not Path(clip.found["gradcam"].clip).exists()
    default = temporal_table([clip])["default"]
    assert 0 < default["average_mAP"] <= 1 and default["hit_rate"] == 1


@pytest.mark.slow
def test_the_strongest_frame_for_a_class_lies_in_its_half_of_joined_clips() -> None:
    shares = two_clip_test(load_model("playground-r2plus1d"), 0, 2)
    assert set(shares) == {f"{m} {c}" for m in METHODS for c in ("score", "evidence", "combined")}
    assert shares["gradcam++ score"] >= 0.75 and all(0 <= share <= 1 for share in shares.values())
