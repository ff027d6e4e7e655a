from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import numbered, write_video
from vidcam.playground.demo import demo_clip
from vidcam.results.explanation import load_explanation


def vidcam(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vidcam.cli", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_explain_prints_its_summary_as_json_and_nothing_else(clip_path: Path, tmp_path: Path) -> None:
    result = vidcam("explain", clip_path, "--out", tmp_path / "out", "--json", "--target", "waving")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    keys = {"clip", "model", "layer", "method", "target", "frames", "windows", "outputs", "timings"}
    assert keys <= set(summary) and summary["frames"] == 24
    assert summary["target"]["label"] == "waving"
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())


@pytest.mark.slow
def test_several_clips_and_several_classes(tmp_path: Path) -> None:
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
def test_several_methods_and_layers_have_folders_of_their_own(clip_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--method", "gradcam++,layercam", "--layer", "layer2,layer3", "--target", "waving - bowing")
    result = vidcam("explain", clip_path, "--out", out, *arguments)
    assert result.returncode == 0, result.stderr
    folders = {p.parent.relative_to(out).as_posix() for p in out.rglob("summary.json")}
    methods = ("gradcam++", "layercam")
    assert folders == {m + part for m in methods for part in ("", "/layer2", "/layer3")}
    fused = load_explanation(out / "layercam")
    assert (fused.layer, fused.method, fused.target.label) == ("layer2,layer3", "layercam", "waving - bowing")


@pytest.mark.slow
def test_how_it_is_computed_can_be_said_and_is_told(tmp_path: Path) -> None:
    arguments = ("explain", demo_clip(), "--overwrite", "--out", tmp_path, "--dtype", "float32", "--json")
    plain, dense = (vidcam(*arguments, *more) for more in ((), ("--dense",)))
    assert plain.returncode == dense.returncode == 0, plain.stderr + dense.stderr
    computation = json.loads(plain.stdout)["computation"]
    assert computation == {"dtype": "float32", "fidelity": pytest.approx(1), "dense": False}
    computation = json.loads(dense.stdout)["computation"]
    assert computation["dense"] and f"correlate by {computation['dense_agreement']:.3f}" in dense.stderr
    assert load_explanation(tmp_path).computation == computation


@pytest.mark.slow
def test_compare(clip_path: Path, tmp_path: Path) -> None:
    arguments = ("compare", clip_path, "--out", tmp_path / "out", "--target", "waving,bowing", "--method", "gradcam++")
    result = vidcam(*arguments)
    assert result.returncode == 0, result.stderr
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["compare.mp4", "curves.pdf", "curves.svg", "grid.png"]
    assert all(name in result.stdout for name in names)
    again = vidcam(*arguments)
    assert again.returncode == 2 and "already holds" in again.stderr


@pytest.mark.slow
def test_tubes(tmp_path: Path) -> None:
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
def test_errors_can_be_gone_on_with(tmp_path: Path) -> None:
    arguments = ("errors", "--out", tmp_path / "out", "--count", 3, "--films", 1, "--json")
    first = vidcam(*arguments)
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    assert found["clips"] == 3 and Path(found["page"]).is_file()
    records = tmp_path / "out" / "records.jsonl"
    before = records.read_text()
    assert json.loads(vidcam(*arguments).stdout) == found and records.read_text() == before
    other = vidcam(*arguments, "--method", "gradcam")
    assert other.returncode == 2 and "other settings" in other.stderr
    nothing = vidcam("errors", "--out", tmp_path / "o", "--data", tmp_path / "none")
    assert nothing.returncode == 2 and "is not a folder" in nothing.stderr


@pytest.mark.slow
def test_caption(clip_path: Path, tmp_path: Path) -> None:
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
def test_a_picture_gives_a_picture(tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_localize_and_evaluate(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "v.mp4", [numbered(i, 32, 32) for i in range(40)])
    truth = {"v": {"subset": "s", "duration": 4.0, "annotations": [{"label": "waving", "segment": [1, 2]}]}}
    (tmp_path / "t.json").write_text(json.dumps({"database": truth}))
    out = tmp_path / "out"
    arguments = ("localize", clip, "--out", out, "--classes", "waving,bowing", "--truth", tmp_path / "t.json")
    result = vidcam(*arguments)
    assert result.returncode == 0, result.stderr
    assert {p.name for p in out.iterdir()} == {
        "segments.json",
        "segments.csv",
        "segments.vtt",
        "timeline.png",
        "report.html",
    }
    again = vidcam(*arguments)
    assert again.returncode == 2 and "already holds" in again.stderr
    files = ("--predictions", out / "segments.json", "--truth", tmp_path / "t.json")
    printed = json.loads(vidcam("evaluate", "temporal", *files, "--json").stdout)
    assert len(printed["tiou"]) == len(printed["mAP"]) == 10 and 0 <= printed["average_mAP"] <= 1
    assert vidcam("evaluate", "temporal", *files, "--subset", "x").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("explain", "none.mp4", "--out", "o"), "none.mp4 does not exist"),
        (("explain", "{clip}", "--out", "o", "--model", "c4d"), "there is no model 'c4d'"),
        (("explain", "{clip}", "--out", "o", "--target", "wavin"), "nearest: waving"),
        (
            ("explain", "{clip}", "--out", "o", "--layer", "conv9"),
            "has no layer 'conv9'; its space-time layers are stem.0,",
        ),
        (("explain", "{clip}", "--out", "o", "--method", "x"), "there is no method 'x'"),
        (("explain", "{clip}", "--out", "o", "--stride", "0"), "stride"),
        (("explain", "{clip}", "--out", "o", "--dtype", "half"), "dtype: Input should be 'auto', 'float32',"),
        (("localize", "{clip}", "--out", "o", "--dtype", "half"), "there is no dtype 'half'; choose one of auto"),
        (
            ("explain", "{clip}", "--out", "o", "--dense", "--layer", "layer2,layer3"),
            "dense explains one layer, and layer2, layer3 are given",
        ),
        (("explain", "{clip}", "--out", "o", "--weights", "none.pth"), "weights file none.pth does not exist"),
        (("explain", "{clip}", "{clip}", "--out", "o"), "several clips are named 'clip'"),
        (("layers", "c4d"), "there is no model 'c4d'"),
        (("compare", "{clip}", "--out", "o", "--method", "gradcam"), "one explanation has nothing beside it"),
        (("localize", "{clip}", "--out", "o", "--classes", "wavin"), "nearest: waving"),
        (("localize", "{clip}", "--out", "o", "--curve", "x"), "there is no curve 'x'"),
        (("localize", "{clip}", "--out", "o", "--truth", "t.json"), "t.json cannot be read"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(
    clip_path: Path, tmp_path: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = vidcam(*[a.format(clip=clip_path) for a in arguments])
    assert result.returncode == 2
    assert message in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1 and result.stdout == ""
    assert not (tmp_path / "o").exists()


def test_existing_outputs_are_refused_before_any_work(clip_path: Path, tmp_path: Path) -> None:
    (tmp_path / "curve.png").write_text("mine")
    result = vidcam("explain", clip_path, "--out", tmp_path)
    assert result.returncode == 2 and "already holds curve.png" in result.stderr
    assert (tmp_path / "curve.png").read_text() == "mine"


def test_help_and_import_do_not_load_torch() -> None:
    code = "import sys, vidcam, vidcam.cli; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert vidcam("--help").returncode == 0


@pytest.mark.slow
def test_models_and_layers() -> None:
    models = json.loads(vidcam("models", "--json").stdout)
    assert {"playground-r2plus1d", "r2plus1d_18", "c3d"} <= {m["name"] for m in models}
    layers = json.loads(vidcam("layers", "playground-r2plus1d", "--json").stdout)
    expected = {"layer": "layer3", "shape": [128, 8, 14, 14], "stride": [2, 8, 8], "field": [25, 73, 73]}
    assert {**expected, "default": True} in layers


@pytest.mark.slow
def test_doctor_finds_everything_in_order() -> None:
    result = vidcam("doctor")
    assert result.returncode == 0, result.stdout
    assert "H.264 encoder" in result.stdout


def test_playground_render(tmp_path: Path) -> None:
    arguments = ("playground", "render", "--out", tmp_path, "--seed", "4", "--count", "2", "--frames", "16")
    assert vidcam(*arguments).returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["4-0000.json", "4-0000.mp4", "4-0001.json", "4-0001.mp4"]
    assert vidcam(*arguments).returncode == 2


@pytest.mark.slow
def test_real_clips_keep_frames_times_and_sound(real_clips: Path, tmp_path: Path) -> None:
    import av

    source = real_clips / "eye_makeup.avi"
    result = vidcam("explain", source, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    with av.open(str(source)) as before, av.open(str(tmp_path / "out" / "overlay.mp4")) as after:
        times = [sorted(f.time for f in c.decode(video=0)) for c in (before, after)]
        assert after.streams.audio
    # AVI has no times; FFmpeg counts them from one that is not shown.
    np.testing.assert_allclose(times[1], np.array(times[0]) - times[0][0], atol=1e-6)


@pytest.mark.slow
def test_evaluate_writes_records_a_summary_and_a_figure_and_goes_on(tmp_path: Path) -> None:
    vidcam("playground", "render", "--out", str(tmp_path / "clips"), "--count", "2", "--frames", "48", "--seed", "3")
    for family, measure in (("faithfulness", "average_drop"), ("localization", "pointing_game"), ("sanity", "noise")):
        arguments = ["evaluate", family, "--data", str(tmp_path / "clips"), "--methods", "gradcam++,gradcam"]
        out = tmp_path / family
        found = json.loads(vidcam(*arguments, "--json", "--out", str(out)).stdout)
        assert found == json.loads((out / "results.json").read_text())
        assert measure in found["methods"]["gradcam++"] and f"{measure}_interval" in found["methods"]["gradcam"]
        assert (set(found["baselines"]) == {"centre", "ones", "motion", "random"}) == (family != "sanity")
        assert (out / "figure.png").stat().st_size > 10_000
        assert len((out / "records.jsonl").read_text().splitlines()) == 2
    assert "2 clips" in vidcam(*arguments, "--out", str(out)).stdout


@pytest.mark.slow
def test_evaluate_tells_what_is_wrong(tmp_path: Path) -> None:
    wrong = {
        ("--fill", "pink"): "there is no fill 'pink'",
        ("--data", str(tmp_path)): "holds no clips",
        ("--methods", "gradcamm"): "there is no method 'gradcamm'",
        ("--dtype", "int8"): "there is no dtype 'int8'",
    }
    for arguments, message in wrong.items():
        found = vidcam("evaluate", "faithfulness", *arguments)
        assert found.returncode == 2
        assert message in found.stderr
