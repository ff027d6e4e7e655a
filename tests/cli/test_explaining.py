from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Vidcam
from tests.conftest import numbered, write_video
from vidcam.playground.demo import demo_clip
from vidcam.results.stored import load_explanation
from vidcam.video.reader import Clip


@pytest.mark.slow
def test_explain_prints_its_summary_as_json_and_nothing_else(vidcam: Vidcam, clip_path: Path, tmp_path: Path) -> None:
    result = vidcam("explain", clip_path, "--out", tmp_path / "out", "--json", "--target", "waving")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    keys = {"clip", "model", "layer", "method", "target", "frames", "windows", "outputs", "timings"}
    assert keys <= set(summary) and summary["frames"] == 24
    assert summary["target"]["label"] == "waving"
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())


@pytest.mark.slow
def test_profile_prints_the_stages_that_the_summary_holds(
    vidcam: Vidcam, clip_path: Path, tmp_path: Path, decodings: list[Path]
) -> None:
    told = vidcam("explain", clip_path, "--out", tmp_path / "out", "--profile").stderr
    timings = json.loads((tmp_path / "out" / "summary.json").read_text())["timings"]
    assert set(timings) >= {"decode_s", "resize_s", "network_s", "film_decode_s", "draw_s", "encode_s", "figures_s"}
    for stage, seconds in timings.items():
        assert re.search(rf"{stage.removesuffix('_s').replace('_', ' ')} +{seconds:.3f}", told), stage
    film, floor = timings["draw_s"] + timings["encode_s"], timings["decode_s"] + timings["encode_s"]
    assert f"the film took {(film + timings['film_decode_s']) / floor:.2f} times the {floor:.3f} s" in told
    assert decodings == [clip_path], "the frames of a small clip are kept for its film"


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The clips whose frames were decoded, one entry for each time."""
    found: list[Path] = []
    plain = Clip._timed
    monkeypatch.setattr(Clip, "_timed", lambda self: found.append(self.path) or plain(self))
    return found


@pytest.mark.slow
def test_several_clips_and_several_classes(vidcam: Vidcam, tmp_path: Path) -> None:
    clips = [write_video(tmp_path / f"{n}.mp4", [numbered(i, 32, 32) for i in range(4)]) for n in "ab"]
    result = vidcam("explain", *clips, "--out", tmp_path / "out", "--target", "top2")
    assert result.returncode == 0, result.stderr
    for name in "ab":
        places = sorted((tmp_path / "out" / name).iterdir())
        assert [p.name[:2] for p in places] == ["1-", "2-", "re"]
        assert all((p / "overlay.mp4").exists() for p in places[:2])
    assert result.stdout.count(f"report   {tmp_path / 'out'}") == 2
    again = vidcam("explain", *clips, "--out", tmp_path / "out", "--target", "top2", "--overwrite", "--json")
    assert [Path(json.loads(line)["clip"]).name for line in again.stdout.splitlines()] == ["a.mp4"] * 2 + ["b.mp4"] * 2


@pytest.mark.slow
def test_several_methods_and_layers_have_folders_of_their_own(vidcam: Vidcam, clip_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--method", "gradcam++,layercam", "--layer", "layer2,layer3", "--target", "waving - bowing")
    result = vidcam("explain", clip_path, "--out", out, *arguments)
    assert result.returncode == 0, result.stderr
    folders = {p.parent.relative_to(out).as_posix() for p in out.rglob("summary.json")}
    methods = ("gradcam++", "layercam")
    assert folders == {m + part for m in methods for part in ("", "/layer2", "/layer3")}
    told = [line.split(maxsplit=1)[1] for line in result.stdout.splitlines() if line.startswith("  method ")]
    assert set(told) == {f"{m} at {layer}" for m in methods for layer in ("layer2", "layer3", "layer2,layer3")}
    fused = load_explanation(out / "layercam")
    assert (fused.layer, fused.method, fused.target.label) == ("layer2,layer3", "layercam", "waving - bowing")


@pytest.mark.slow
def test_motion_and_appearance_have_folders_of_their_own(vidcam: Vidcam, tmp_path: Path) -> None:
    out, kinds = tmp_path / "out", ("--evidence", "motion,appearance")
    result = vidcam("explain", demo_clip(), "--out", out, *kinds)
    assert result.returncode == 0, result.stderr
    assert "motion share of" in " ".join(result.stderr.split())
    for kind in ("motion", "appearance"):
        assert load_explanation(out / kind).kind == kind
        assert (out / kind / "curve.csv").read_text().startswith("frame,time_s,score,evidence,motion_share")
    page = (out / "report.html").read_text()
    assert "Motion is the heat that a window loses" in page
    assert page.count('name="view"') == 2 and "motion, motion share" in page and "appearance, motion share" in page
    again = vidcam("explain", demo_clip(), "--out", out, *kinds)
    assert again.returncode == 2 and "already holds appearance/curve.csv" in again.stderr
    (tmp_path / "settings.yaml").write_text("evidence: motion")
    for command, said in (
        (("localize", demo_clip(), "--config", tmp_path / "settings.yaml"), "segments are cut from the whole evidence"),
        (("tubes", demo_clip(), *kinds), "several results are asked for (2 kinds of evidence)"),
        (("explain", demo_clip(), "--dense", *kinds), "leave dense out"),
    ):
        refused = vidcam(*command, "--out", tmp_path / "other")
        assert refused.returncode == 2 and said in " ".join(refused.stderr.split())


@pytest.mark.slow
def test_how_it_is_computed_can_be_said_and_is_told(vidcam: Vidcam, tmp_path: Path) -> None:
    arguments = ("explain", demo_clip(), "--overwrite", "--out", tmp_path, "--dtype", "float32", "--json")
    plain, dense = (vidcam(*arguments, *more) for more in ((), ("--dense",)))
    assert plain.returncode == dense.returncode == 0, plain.stderr + dense.stderr
    computation = json.loads(plain.stdout)["computation"]
    told = {"dtype": "float32", "fidelity": pytest.approx(1), "dense": False, "context": True, "factor": "probability"}
    assert computation == told
    computation = json.loads(dense.stdout)["computation"]
    assert computation["dense"] and f"correlate by {computation['dense_agreement']:.3f}" in dense.stderr
    assert load_explanation(tmp_path).computation == computation


@pytest.mark.slow
def test_localize_says_which_segments_are_shown(vidcam: Vidcam, tmp_path: Path) -> None:
    clip = demo_clip()
    for label, said in (("jumping jack", "; the best"), ("waving", "none with a confidence of 0.4 or more")):
        result = vidcam("localize", clip, "--classes", label, "--out", tmp_path / label)
        assert result.returncode == 0, result.stderr
        assert said in result.stdout and (label in result.stdout.partition("timeline")[0]) == (label == "jumping jack")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("localize", "--method", "gradcam,gradcam++"), "2 methods"),
        (
            ("tubes", "--method", "gradcam,gradcam++", "--evidence", "motion,appearance"),
            "2 methods, 2 kinds of evidence",
        ),
        (("tubes", "--target", "top3"), "target top3"),
        (("caption", "--method", "gradcam,gradcam++"), "2 methods"),
    ],
)
def test_one_result_is_not_taken_from_several(
    vidcam: Vidcam, clip_path: Path, tmp_path: Path, command: tuple[str, ...], said: str
) -> None:
    name, *options = command
    result = vidcam(name, clip_path, "--out", tmp_path / "out", *options)
    assert result.returncode == 2 and f"several results are asked for ({said}), and only one" in " ".join(
        result.stderr.split()
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_compare(vidcam: Vidcam, clip_path: Path, tmp_path: Path) -> None:
    arguments = ("compare", clip_path, "--out", tmp_path / "out", "--target", "waving,bowing", "--method", "gradcam++")
    result = vidcam(*arguments)
    assert result.returncode == 0, result.stderr
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["compare.html", "compare.mp4", "curves.pdf", "curves.svg", "grid.png"]
    assert all(name in result.stdout for name in names)
    again = vidcam(*arguments)
    assert again.returncode == 2 and "already holds" in again.stderr


@pytest.mark.slow
def test_tubes(vidcam: Vidcam, tmp_path: Path) -> None:
    arguments = ("tubes", demo_clip(), "--out", tmp_path / "out")
    result = vidcam(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    stored = json.loads(result.stdout)
    assert stored["tubes"] and all(len(t["boxes"]) == t["end_frame"] - t["start_frame"] for t in stored["tubes"])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["tubes.json", "tubes.mp4"]
    again = vidcam(*arguments)
    assert again.returncode == 2 and "already holds" in again.stderr
    assert "give a share between 0 and 1" in vidcam("tubes", demo_clip(), "--threshold", "2").stderr


@pytest.mark.slow
def test_caption(vidcam: Vidcam, clip_path: Path, tmp_path: Path) -> None:
    arguments = ("caption", clip_path, "--out", tmp_path / "out")
    result = vidcam(*arguments, "--sentence", "the red figure", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["words"] == ["the", "red", "figure"] and all(0 < p <= 1 for p in told["probabilities"])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["caption.mp4", "report.html"]
    assert "already holds" in vidcam(*arguments).stderr
    unknown = vidcam("caption", clip_path, "--out", tmp_path / "o", "--sentence", "a zebra")
    assert unknown.returncode == 2 and "does not know 'a'" in unknown.stderr


@pytest.mark.slow
def test_a_picture_gives_a_picture(vidcam: Vidcam, tmp_path: Path) -> None:
    Image.fromarray(numbered(3, 90, 120)).save(tmp_path / "photo.jpg")
    arguments = ("explain", tmp_path / "photo.jpg", "--out", tmp_path / "out", "--model", "resnet18")
    result = vidcam(*arguments, "--weights", "none", "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert (summary["frames"], summary["windows"], summary["layer"]) == (1, 1, "layer4")
    with Image.open(summary["outputs"]["overlay"]) as overlay:
        assert overlay.format == "PNG" and overlay.width / overlay.height < 120 / 90
    again = vidcam(*arguments, "--weights", "none")
    assert again.returncode == 2 and "already holds" in again.stderr


def test_existing_outputs_are_refused_before_any_work(vidcam: Vidcam, clip_path: Path, tmp_path: Path) -> None:
    (tmp_path / "curve.png").write_text("mine")
    result = vidcam("explain", clip_path, "--out", tmp_path)
    assert result.returncode == 2 and "already holds curve.png" in result.stderr
    assert (tmp_path / "curve.png").read_text() == "mine"


@pytest.mark.slow
def test_real_clips_keep_frames_times_and_sound(vidcam: Vidcam, real_clips: Path, tmp_path: Path) -> None:
    import av

    source = real_clips / "eye_makeup.avi"
    result = vidcam("explain", source, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    with av.open(str(source)) as before, av.open(str(tmp_path / "out" / "overlay.mp4")) as after:
        times = [sorted(f.time for f in c.decode(video=0)) for c in (before, after)]
        assert after.streams.audio
    # AVI has no times; FFmpeg counts them from one that is not shown.
    np.testing.assert_allclose(times[1], np.array(times[0]) - times[0][0], atol=1e-6)
