from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidcam.evaluation import temporal
from vidcam.evaluation.temporal import METHODS, LocalizedClip, localized_clips, temporal_table, truths_of, two_clip_test
from vidcam.metrics.localization import Truth
from vidcam.models.registry import load_model
from vidcam.playground.scene import FPS, eventful_scene, joined_scenes
from vidcam.results.localization import Localization
from vidcam.temporal.segments import Segment
from vidcam.video.reader import Clip

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
        clip="clip.mp4", model="m", layer="l", method=method, region=(0.0, 0.0, 1.0, 1.0), windowing={}, times=times, labels=labels,
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
    assert late["mAP"]["0.3"] > 0 and late["average_mAP"] == pytest.approx(  # type: ignore[index]
        np.mean([late["mAP"][f"0.{n}"] for n in range(3, 8)])  # type: ignore[index]
    )
    later = _table(one=_perfect("gradcam++", 10 / FPS))["default"]
    assert later["average_mAP"] == pytest.approx(np.mean([later["mAP"][f"0.{n}"] for n in range(3, 8)]))  # type: ignore[index]
    assert later["mAP"]["0.3"] > later["mAP"]["0.7"]  # type: ignore[index]
    empty = _perfect("gradcam++", 1e6)
    nothing = _table(one=empty)["default"]
    assert nothing["average_mAP"] == 0 and nothing["onset_error_frames"] is None


def test_recall_is_that_of_the_ten_best_proposals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The perfect segments come behind ten or nine better ones that are nothing."""
    recalls = []
    for wrong in (9, 10):

        def cut(self: Localization, curve: str, params: object, wrong: int = wrong) -> tuple[Segment, ...]:
            better = [Segment(100.0 + n, 100.5 + n, SCENE.acts[0].label, 0.9) for n in range(wrong)]
            return (*better, *(Segment(t.start, t.end, t.label, 0.5) for t in truths_of(SCENE, "clip")[:1]))

        monkeypatch.setattr(Localization, "cut", cut)
        recalls.append(_table(one=_perfect("gradcam++"))["default"]["average_recall"])
    assert recalls[0] > 0 and recalls[1] == 0  # type: ignore[operator]


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
def test_clips_are_those_of_the_seed_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    class Explainer:
        def localize(self, path: Path) -> list[Localization]:
            assert len(list(Clip(path))) == eventful_scene(5, int(path.stem[2:])).frames
            return [_perfect(method) for method in METHODS]

    done: list[tuple[int, int]] = []
    monkeypatch.setattr(temporal, "_explainer", lambda model: Explainer())
    clips = list(localized_clips(load_model("playground-c3d"), 5, 2, lambda *n: done.append(n)))
    assert [clip.truths for clip in clips] == [truths_of(eventful_scene(5, n), f"5-000{n}") for n in range(2)]
    assert done == [(1, 2), (2, 2)] and [list(clip.found) for clip in clips] == [[*METHODS]] * 2


@pytest.mark.slow
def test_rendered_clips_are_localized_by_both_methods() -> None:
    done: list[tuple[int, int]] = []
    (clip,) = localized_clips(load_model("playground-r2plus1d"), 0, 1, lambda *n: done.append(n))
    assert clip.truths == truths_of(SCENE, "0-0000") and list(clip.found) == [*METHODS] and done == [(1, 1)]
    assert not Path(clip.found["gradcam"].clip).exists()
    default = temporal_table([clip])["default"]
    assert 0 < default["average_mAP"] <= 1 and default["hit_rate"] == 1


class Peaked:
    """Localizes every class at one time, by both methods and every curve at another."""

    def __init__(self, at: dict[str, float]) -> None:
        self.at, self.asked = at, []  # type: ignore[var-annotated]

    def localize(self, path: Path, labels: list[str]) -> list[Localization]:
        frames = [frame.time for frame in Clip(path)]
        self.asked.append((labels, len(frames)))
        found = []
        for method in METHODS:
            curves = np.zeros((2, 96))
            curves[:, round(self.at[method] * FPS)] = 1
            found.append(replace(_perfect(method), times=np.array(frames), labels=tuple(labels), scores=curves,
                                 evidence=np.roll(curves, 48, 1), maps=np.zeros((2, 96, 1, 1))))  # fmt: skip
        return found


@pytest.mark.slow
def test_the_strongest_frame_for_a_class_lies_in_its_half_of_joined_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """One time for both classes hits one half of two; the boundary is in the second half."""
    boundary, done = 48 / FPS, []
    explainer = Peaked({"gradcam++": boundary, "gradcam": 0.0})
    monkeypatch.setattr(temporal, "_explainer", lambda model: explainer)
    shares = two_clip_test(load_model("playground-c3d"), 0, 2, lambda *n: done.append(n))
    assert shares == {f"{m} {c}": 0.5 for m in METHODS for c in ("score", "evidence", "combined")}
    assert [(labels, frames) for labels, frames in explainer.asked] == [
        ([scene.label for scene in joined_scenes(0, index)], 96) for index in range(2)
    ]
    assert done == [(1, 2), (2, 2)]


@pytest.mark.parametrize(("late", "hit"), [(0, True), (-1, False)])
def test_a_class_of_the_second_half_is_hit_from_the_first_frame_of_it(
    monkeypatch: pytest.MonkeyPatch, late: int, hit: bool
) -> None:
    class Second(Peaked):
        def localize(self, path: Path, labels: list[str]) -> list[Localization]:
            both = super().localize(path, labels)
            return [replace(f, labels=f.labels[1:], scores=f.scores[1:], evidence=f.scores[1:]) for f in both]

    at = (48 + late) / FPS
    monkeypatch.setattr(temporal, "_explainer", lambda model: Second(dict.fromkeys(METHODS, at)))
    shares = two_clip_test(load_model("playground-c3d"), 0, 1)
    assert shares["gradcam++ score"] == shares["gradcam evidence"] == float(hit)
