from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import vidcam
from tests.conftest import numbered, write_video
from tests.corpus.conftest import serving
from vidcam.corpus import engines
from vidcam.corpus.manifest import Shard
from vidcam.corpus.run import Tally, run_corpus
from vidcam.errors import OutputError, SettingsError, VidcamError
from vidcam.playground.demo import demo_clips
from vidcam.recipe import ExplainConfig, read_config

pytestmark = pytest.mark.slow

FLOAT32 = ExplainConfig(dtype="float32")


def _manifest(folder: Path, rows: list[str], header: str = "path") -> Path:
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def _rows(table: Path) -> list[dict[str, object]]:
    return pq.read_table(table).drop_columns(["timings"]).to_pylist()  # type: ignore[no-any-return]


def test_each_row_is_what_explaining_its_clip_gives(tmp_path: Path) -> None:
    clips = demo_clips()
    manifest = _manifest(
        tmp_path,
        [
            f"{clips[0]},,,,x",
            f"{clips[1]},bowing,1,3,y",
            "gone.mp4,,,,z",
            f"{clips[2]},flying,,,",
            f"{clips[2]},kicking - bowing,,2,",
        ],
        "path,target,start,end,split",
    )
    tally = run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(1))
    assert (tally.rows, tally.explained, tally.failed, tally.done) == (5, 3, 2, 5) and tally.first_error.startswith(
        "gone.mp4 does not exist"
    )
    rows = _rows(tally.table)
    alone = vidcam.explain(clips[0], dtype="float32")
    assert rows[0]["prediction"] == alone.top[0][0] and rows[0]["frames"] == alone.frames
    assert rows[0]["probability"] == pytest.approx(alone.top[0][1], abs=1e-3)
    stored = vidcam.load_explanation(tmp_path / "out" / "clips" / str(rows[0]["id"])[-2:] / str(rows[0]["id"]))
    np.testing.assert_allclose(stored.maps, alone.maps, atol=1e-3 * alone.peak)
    assert stored.clip == str(clips[0])
    (found,) = (s for s in rows[0]["segments"] if s["score"] == max(s["score"] for s in rows[0]["segments"]))  # type: ignore[attr-defined, index]
    localized = vidcam.localize(clips[0], classes=[alone.target.label], dtype="float32").segments[0]
    assert abs(found["start"] - localized.start) < 0.6 and abs(found["end"] - localized.end) < 0.6
    assert rows[1]["explained"] == "bowing" and rows[1]["seconds"] == pytest.approx(2, abs=0.1)
    assert rows[3]["error_kind"] == "TargetError" and "flying" in str(rows[3]["error"])
    assert rows[4]["explained"] == "kicking - bowing" and rows[4]["error"] is None


@pytest.mark.usefixtures("in_process")
def test_again_and_with_what_failed(tmp_path: Path, clip_path: Path) -> None:
    manifest, told = _manifest(tmp_path, ["clip.mp4", "late.mp4"]), []
    tally = run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(2), progress=lambda *p: told.append(p))
    assert (tally.done, tally.failed) == (2, 1) and told[0] == (0, 2) and told[-1] == (2, 2)
    clip_path.rename(tmp_path / "late.mp4")
    again = run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(2))
    assert (again.done, again.failed) == (0, 1)
    retried = run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(2), retry_failed=True)
    assert (retried.done, retried.failed) == (1, 0)
    with pytest.raises(OutputError, match=r"stride: None, now 4"):
        run_corpus(manifest, tmp_path / "out", FLOAT32.model_copy(update={"stride": 4}))
    anew = run_corpus(manifest, tmp_path / "out", FLOAT32.model_copy(update={"stride": 4}), overwrite=True)
    assert (anew.done, anew.failed) == (2, 1)


@pytest.mark.usefixtures("in_process")
def test_weights_that_changed_under_their_name_are_other_settings(tmp_path: Path, clip_path: Path) -> None:
    from vidcam.playground.spec import bundled_weights

    weights = tmp_path / "w.safetensors"
    weights.write_bytes(bundled_weights("playground-r2plus1d").read_bytes())
    config = FLOAT32.model_copy(update={"weights": str(weights)})
    run_corpus(_manifest(tmp_path, ["clip.mp4"]), tmp_path / "out", config, engine=engines.local(1))
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(OutputError, match="sha256"):
        run_corpus(_manifest(tmp_path, ["clip.mp4"]), tmp_path / "out", config)
    with pytest.raises(VidcamError, match=r"gone\.pth cannot be read"):
        run_corpus(
            _manifest(tmp_path, ["clip.mp4"]), tmp_path / "o2", FLOAT32.model_copy(update={"weights": "gone.pth"})
        )


@pytest.mark.usefixtures("in_process")
def test_what_it_computes_in_is_found_once_and_kept(tmp_path: Path, clip_path: Path) -> None:
    manifest = _manifest(tmp_path, ["gone.mp4", "clip.mp4"])
    run_corpus(manifest, tmp_path / "out", engine=engines.local(1))
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["dtype"] == "auto" and settings["computes_in"] in ("float32", "bfloat16")
    settings["computes_in"] = "float16"
    (tmp_path / "out" / "settings.json").write_text(json.dumps(settings))
    write_video(tmp_path / "gone.mp4", [numbered(i, 48, 64) for i in range(24)])
    tally = run_corpus(manifest, tmp_path / "out", engine=engines.local(1), retry_failed=True)
    folder = tmp_path / "out" / "clips" / str(_rows(tally.table)[0]["id"])[-2:] / str(_rows(tally.table)[0]["id"])
    assert vidcam.load_explanation(folder).computation["dtype"] == "float16"


@pytest.mark.usefixtures("in_process")
def test_shards_and_then_the_whole(tmp_path: Path, clip_path: Path) -> None:
    manifest = _manifest(tmp_path, [f"clip.mp4,{i / 10}" for i in range(3)], "path,start")
    done = [
        run_corpus(manifest, tmp_path / "out", FLOAT32, shard=Shard(i, 2), engine=engines.local(1)).done for i in (1, 2)
    ]
    assert done == [2, 1]
    whole = run_corpus(manifest, tmp_path / "out", FLOAT32)
    assert whole.done == 0 and [row["start"] for row in _rows(whole.table)] == [0.0, 0.1, 0.2]


def test_clips_elsewhere(tmp_path: Path, clip_path: Path) -> None:
    with serving(tmp_path) as host:
        url = f"http://user:S3CR3T@{host}/clip.mp4?X-Amz-Signature=S3CR3T"
        manifest = _manifest(tmp_path, [url, url.replace("clip", "gone"), "clip.mp4"])
        out = tmp_path / "out"
        tally = run_corpus(manifest, out, FLOAT32, engine=engines.local(1), films=True)
    rows = _rows(tally.table)
    assert rows[0]["clip"] == f"http://{host}/clip.mp4?…" and rows[0]["error"] is None
    assert {k: rows[0][k] for k in ("prediction", "probability", "segments")} == {
        k: rows[2][k] for k in ("prediction", "probability", "segments")
    }
    assert str(rows[1]["error"]).startswith(f"http://{host}/gone.mp4?… cannot be fetched")
    folder = out / "clips" / str(rows[0]["id"])[-2:] / str(rows[0]["id"])
    assert {p.name for p in folder.iterdir()} == {
        "overlay.mp4", "curve.png", "curve.csv", "explanation.npz", "summary.json", "result.json",
    }  # fmt: skip
    timings = json.loads((folder / "summary.json").read_text())["timings"]
    assert timings["explain_s"] > 0 and timings["draw_s"] > 0 and timings["encode_s"] > 0
    for path in out.rglob("*"):
        assert not path.is_file() or b"S3CR3T" not in path.read_bytes(), path


POISON = [
    '{"path": ',
    "[" * 100_000,
    '["clip.mp4"]',
    '{"path": "clip.mp4", "target": "\\ud800"}',
    '{"path": "clip.mp4", "start": 2, "end": 1}',
    '{"path": "clip.mp4", "x": "' + "x" * 2**20 + '"}',
    '{"path": "http://[bad/clip.mp4"}',
    '{"path": "nothing://user:S3CR3T@host/clip.mp4"}',
    '{"path": "cut.mp4"}',
    '{"path": "gone.mp4"}',
    '{"path": "pipe.mp4"}',
    '{"path": "clip.mp4", "target": "top5"}',
    '{"path": "clip.mp4", "target": 99999}',
]
KINDS = ["ManifestError"] * 6 + ["ClipError"] * 5 + ["TargetError"] * 2


@pytest.mark.usefixtures("in_process")
def test_whatever_is_in_a_row_it_fails_alone(tmp_path: Path, clip_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(clip_path.read_bytes()[:500])
    os.mkfifo(tmp_path / "pipe.mp4")
    name = os.fsdecode(b"caf\xe9.mp4")
    clip_path.rename(tmp_path / name)
    (tmp_path / "clip.mp4").symlink_to(name)
    manifest = tmp_path / "manifest.jsonl"
    good = b'{"path": "caf\xe9.mp4"}\n'
    manifest.write_bytes("\n".join(POISON).encode() + b"\n" + good)
    tally = run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(1), films=True)
    assert (tally.rows, tally.explained, tally.failed, tally.done) == (14, 1, 13, 14)
    rows = _rows(tally.table)
    assert [row["error_kind"] for row in rows] == [*KINDS, None] and rows[-1]["clip"] == "caf\\xe9.mp4"
    assert tally.first_error == rows[0]["error"] and str(rows[0]["error"]).startswith("row 1: it is not JSON")
    assert "S3CR3T" not in str(rows)
    again = run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(1), films=True)
    assert again.done == 0 and _rows(again.table) == rows
    retried = run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(1), films=True, retry_failed=True)
    assert retried.done == 13 and _rows(retried.table) == rows
    manifest.write_text("\n".join(POISON[:6]))
    with pytest.raises(SettingsError, match=r"has no row that can be used; row 1: it is not JSON"):
        run_corpus(manifest, tmp_path / "out", FLOAT32)


@pytest.mark.usefixtures("in_process")
def test_a_setting_that_does_not_fit_a_clip_is_its_rows(tmp_path: Path) -> None:
    frames = [numbered(i, 48, 64) for i in range(40)]
    for name, rate in (("quick.mp4", 32), ("slow.mp4", 16)):
        write_video(tmp_path / name, frames, time_base=Fraction(1, rate))
    manifest = _manifest(tmp_path, ["slow.mp4", "quick.mp4", "slow.mp4"])
    config = FLOAT32.model_copy(update={"stride": 20})
    tally = run_corpus(manifest, tmp_path / "out", config, engine=engines.local(1))
    assert [row["error_kind"] for row in _rows(tally.table)] == ["SettingsError", None, "SettingsError"]
    assert (tally.rows, tally.explained, tally.failed, tally.done) == (3, 1, 2, 2)
    tally = run_corpus(manifest, tmp_path / "auto", ExplainConfig(stride=20), engine=engines.local(1))
    assert tally.explained == 1  # the first clip cannot tell what it is computed in


@pytest.mark.usefixtures("in_process")
def test_sound_that_no_film_can_hold_is_its_rows(tmp_path: Path, clip_path: Path) -> None:
    loud = tmp_path / "loud.mkv"
    with av.open(str(clip_path)) as source, av.open(str(loud), "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("flac", rate=192000, layout="mono")
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 192000), np.int16), format="s16", layout="mono")
        tone.sample_rate, tone.pts = 192000, 0
        for part in av.AudioResampler("s16", "mono", 192000, frame_size=4608).resample(tone):
            target.mux(sound.encode(part))
        target.mux(sound.encode(None))
    manifest = _manifest(tmp_path, ["loud.mkv", "clip.mp4"])
    tally = run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(1), films=True)
    assert tally.done == 2 and _rows(tally.table)[1]["error"] is None


@pytest.mark.usefixtures("in_process")
def test_other_versions_and_weights_are_refused_or_marked(tmp_path: Path, clip_path: Path) -> None:
    manifest = _manifest(tmp_path, ["clip.mp4", "late.mp4"])
    run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(1))
    path = tmp_path / "out" / "settings.json"
    settings = json.loads(path.read_text())
    assert settings["versions"]["vidcam"] == version("vidcam") and len(settings["weights_sha256"]) == 64
    now = settings["weights_sha256"][:12]
    settings["versions"]["vidcam"], settings["weights_sha256"] = "0.0.1", "ab" * 32
    path.write_text(json.dumps(settings))
    changes = f"vidcam: 0.0.1, now {version('vidcam')}; weights: abababababab…, now {now}…"
    with pytest.raises(OutputError) as raised:
        run_corpus(manifest, tmp_path / "out", FLOAT32)
    assert f"({changes}); pass --accept-changes" in str(raised.value)
    clip_path.rename(tmp_path / "late.mp4")
    goes_on = {"accept_changes": True, "retry_failed": True}
    tally = run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(1), **goes_on)  # type: ignore[arg-type]
    assert tally.explained == 2 and [row["changes"] for row in _rows(tally.table)] == [None, changes]
    with pytest.raises(OutputError, match="other settings"):
        run_corpus(manifest, tmp_path / "out", ExplainConfig(stride=4), accept_changes=True)
    anew = run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(1), overwrite=True)
    assert anew.done == 2 and {row["changes"] for row in _rows(anew.table)} == {None}


@pytest.mark.usefixtures("in_process")
def test_a_wrong_setting_deletes_nothing(tmp_path: Path, clip_path: Path) -> None:
    manifest = _manifest(tmp_path, ["clip.mp4"])
    done = run_corpus(manifest, tmp_path / "out", FLOAT32, engine=engines.local(1))
    for wrong in ({"layer": "tail"}, {"layer": "stem,trunk", "dense": True}, {"stride": 99, "sampling_rate": 1}):
        with pytest.raises(VidcamError, match=r"tail|layer|stride 99"):
            run_corpus(manifest, tmp_path / "out", FLOAT32.model_copy(update=wrong), overwrite=True)
    assert _rows(done.table)[0]["error"] is None


@pytest.mark.usefixtures("in_process")
def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(
    tmp_path: Path, small_disk: Callable[[str, str], Path]
) -> None:
    write_video(tmp_path / "clip.mp4", [numbered(i, 48, 64) for i in range(24)])
    manifest = _manifest(tmp_path, [f"clip.mp4,{i / 100}" for i in range(12)], "path,start")
    out = small_disk("small", "size=300k")
    with pytest.raises(VidcamError, match="is the disk full"):
        run_corpus(manifest, out, FLOAT32, engine=engines.local(2))
    done = len(list(out.glob("clips/*/*/result.json")))
    assert 0 < done < 12 and not list(out.glob(".work*")) and not (out / "results.parquet").exists()
    subprocess.run(["mount", "-o", "remount,size=20m", out], check=True)
    tally = run_corpus(manifest, out, FLOAT32, engine=engines.local(2))
    assert (tally.done, tally.failed) == (12 - done, 0)


def test_ray_gives_what_this_machine_gives(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, [*map(str, demo_clips()), "gone.mp4"])
    local = run_corpus(manifest, tmp_path / "local", FLOAT32, engine=engines.local(2))
    ray = run_corpus(manifest, tmp_path / "ray", FLOAT32, engine=engines.ray(workers=2))
    assert _rows(ray.table) == _rows(local.table) and (ray.done, ray.failed) == (local.done, local.failed)
    assert not list((tmp_path / "ray").glob(".work*"))


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """The command line on 24 stretches of a clip, each of which takes its time."""
    (tmp_path / "slowly.py").write_text(
        "import time, torch\nfrom torch import nn\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    parts = nn.Conv3d(3, 8, 3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 4)\n"
        "    network = nn.Sequential(*parts)\n"
        "    network.register_forward_hook(lambda *_: time.sleep(0.05))\n"
        "    return network\n"
    )
    write_video(tmp_path / "clip.mp4", [numbered(i, 48, 64) for i in range(40)])
    _manifest(tmp_path, [f"clip.mp4,{i / 100}" for i in range(24)], "path,start")
    preprocess = {"resize": 112, "crop": [112, 112], "mean": [0.5] * 3, "std": [0.5] * 3}
    config = {"model": {"factory": "slowly:build", "preprocess": preprocess}, "stride": 4, "dtype": "float32"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return [
        sys.executable,
        "-m",
        "vidcam.cli",
        "corpus",
        "run",
        "manifest.csv",
        "--config",
        "config.yaml",
        "--trust-config",
    ]


def _start(command: list[str], folder: Path, out: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, "--out", out, "--workers", "2", "--json"],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # Tests that run in the background inherit an ignored SIGINT; a terminal's command does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def _finished(folder: Path, out: str) -> int:
    return len(list((folder / out).glob("clips/*/*/result.json")))


def _some_finished(process: subprocess.Popen[str], folder: Path, out: str, more: int) -> int:
    """Wait until so many more clips are finished; how many are."""
    before = _finished(folder, out)
    for _ in range(4000):
        if (done := _finished(folder, out)) >= before + more or process.poll() is not None:
            return done
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"nothing is finished: {process.communicate()}")


def _workers_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if "vidcam.corpus.worker" in process.cmdline() and process.cwd() == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def undisturbed(in_process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Tally]:
    """The same run in this process, which nothing ends."""
    monkeypatch.chdir(tmp_path)

    def run(out: str) -> Tally:
        config = read_config(tmp_path / "config.yaml", trusted=True)
        return run_corpus(tmp_path / "manifest.csv", tmp_path / out, config, engine=engines.local(1))

    return run


def test_killed_again_and_again_it_comes_to_the_same_table(
    command: list[str], undisturbed: Callable[[str], Tally], tmp_path: Path
) -> None:
    undisturbed("whole")
    chance, times = random.Random(0), {}
    for _ in range(2):
        process = _start(command, tmp_path, "killed")
        _some_finished(process, tmp_path, "killed", chance.randrange(1, 4))
        time.sleep(chance.random() * 0.3)
        process.kill()
        process.communicate()
        times |= {p: p.stat().st_mtime_ns for p in tmp_path.glob("killed/clips/*/*/result.json") if p not in times}
    assert 2 <= len(times) < 24 and undisturbed("killed").done == 24 - len(times)
    assert all(path.stat().st_mtime_ns == then for path, then in times.items())  # done once
    assert _rows(tmp_path / "killed" / "results.parquet") == _rows(tmp_path / "whole" / "results.parquet")
    leftovers = {p.name for p in (tmp_path / "killed").iterdir()} - {"clips", "settings.json", "results.parquet"}
    assert leftovers <= {".lock-1-of-1", ".lock-settings"}
    for process in _workers_of(tmp_path):
        process.wait(5)


def test_interrupted_it_ends_cleanly_and_goes_on(
    command: list[str], undisturbed: Callable[[str], Tally], tmp_path: Path
) -> None:
    done = 0
    for how in (signal.SIGINT, signal.SIGTERM):
        process = _start(command, tmp_path, "out")
        _some_finished(process, tmp_path, "out", 2)
        process.send_signal(how)
        out, told = process.communicate(timeout=200)
        assert process.returncode == 130 and not out and "Traceback" not in told
        assert done + 2 <= (done := _finished(tmp_path, "out")) < 24
        assert not _workers_of(tmp_path) and not list((tmp_path / "out").glob(".work*"))
    assert undisturbed("out").done == 24 - done


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_manifest_without_rows_is_refused(tmp_path: Path, suffix: str) -> None:
    manifest = tmp_path / f"m.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({"path": pa.array([], pa.string())}), manifest)
    else:
        manifest.write_text("path\n" if suffix == "csv" else "\n")
    with pytest.raises(SettingsError, match="has no rows; give a row for each clip"):
        run_corpus(manifest, tmp_path / "out")
    assert not (tmp_path / "out").exists()
