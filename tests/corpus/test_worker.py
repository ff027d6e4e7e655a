from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from tests.corpus.conftest import FATES, served
from vidcam.corpus.explaining import ClipExplainer
from vidcam.corpus.job import Job, Limits
from vidcam.corpus.manifest import Entry
from vidcam.corpus.results import Results
from vidcam.corpus.worker import Stopped, Worker
from vidcam.errors import VidcamError

pytestmark = pytest.mark.slow


@pytest.fixture
def worker(deadly: Job) -> Iterator[Worker]:
    with closing(Worker(deadly, Event())) as worker:
        yield worker


def _children() -> set[psutil.Process]:
    return {
        p
        for p in psutil.Process().children()
        if p.status() != psutil.STATUS_ZOMBIE and "vidcam.corpus.worker" in p.cmdline()
    }


def test_each_clip_meets_its_own_fate_and_no_other(deadly: Job, tmp_path: Path) -> None:
    results = Results(tmp_path / "out")
    with closing(Worker(deadly.model_copy(update={"films": True}), Event())) as worker:
        records = {fate: worker.finish(Entry(path=f"clip{fate}.mp4"), results) for fate in FATES}
    assert {fate: record.get("error_kind", "") for fate, record in records.items()} == FATES
    assert records[2]["error"] == "the process that worked on clip2.mp4 died (SIGSEGV), twice"
    assert records[3]["error"] == "clip3.mp4 took more than 5 s and was ended"
    assert records[4]["error"] == "clip4.mp4 took more than 1500 MiB and was ended"
    assert (tmp_path / "died-once").exists()
    assert records[6]["error"] == "RuntimeError: what nobody thought of"
    assert (
        records[7]["error"] == "clip7.mp4 cannot be read (No such file or directory); give a file that exists"
    )  # it was there before
    for fate, kind in FATES.items():
        names = {p.name for p in results.folder(Entry(path=f"clip{fate}.mp4")).iterdir()}
        assert (names == {"result.json"}) == bool(kind)
        assert kind or {"overlay.mp4", "explanation.npz", "summary.json", "result.json"} <= names
    assert not _children()


@pytest.mark.usefixtures("in_process")
def test_what_cannot_be_put_down_is_its_clips(
    deadly: Job, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, commit = Results(tmp_path / "out"), Results.commit

    def breaking(self: Results, entry: Entry, record: dict[str, object], work: Path) -> None:
        if "error" not in record:
            "\ud800".encode()
        commit(self, entry, record, work)

    monkeypatch.setattr(Results, "commit", breaking)
    record = worker.finish(Entry(path="clip1.mp4"), results)
    assert record["error_kind"] == "UnicodeEncodeError" and results.record(Entry(path="clip1.mp4")) == record


def test_a_process_that_takes_another_job_computes_what_a_new_one_does(
    deadly: Job, worker: Worker, tmp_path: Path
) -> None:
    made_by = worker.check()
    (before,) = _children()
    other = deadly.model_copy(update={"dtype": "float32", "made_by": made_by})
    with closing(Worker(other, Event())) as new:
        expected = new.finish(Entry(path="clip1.mp4"), Results(tmp_path / "new"))
    worker.take(other, Event())
    found = worker.finish(Entry(path="clip1.mp4"), Results(tmp_path / "out"))
    assert {**found, "timings": 0} == {**expected, "timings": 0} and _children() == {before}


@pytest.mark.usefixtures("in_process")
def test_a_process_with_other_weights_than_the_run_is_refused(deadly: Job, tmp_path: Path) -> None:
    with closing(Worker(deadly, Event())) as worker:
        made_by = worker.check()
    other = deadly.model_copy(update={"made_by": {**made_by, "weights_sha256": "ab" * 32}})
    with closing(Worker(other, Event())) as worker, pytest.raises(VidcamError, match=r"weights: abababababab…, now "):
        worker.finish(Entry(path="clip1.mp4"), Results(tmp_path / "out"))
    same = deadly.model_copy(update={"made_by": made_by})
    with closing(Worker(same, Event())) as worker:
        assert "error" not in worker.finish(Entry(path="clip1.mp4"), Results(tmp_path / "out"))


def test_a_process_that_is_stopped_is_ended_by_the_limit(deadly: Job, worker: Worker, tmp_path: Path) -> None:
    results = Results(tmp_path / "out")
    worker.finish(Entry(path="clip1.mp4"), results)
    (process,) = _children()
    process.suspend()
    record = worker.finish(Entry(path="clip8.mp4"), results)
    assert record["error_kind"] == "time" and not process.is_running()
    assert "error" not in worker.finish(Entry(path="clip1.mp4", start=0.1), results)


def test_a_server_that_stalls_is_left_at_the_limit(deadly: Job, worker: Worker, tmp_path: Path) -> None:
    stalled = Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        stalled.wait(60)

    with served(answer) as host:
        record = worker.finish(Entry(path=f"http://user:S3CR3T@{host}/clip.mp4?sig=S3CR3T"), Results(tmp_path / "out"))
        stalled.set()
    assert record["error"] == f"http://{host}/clip.mp4?… took more than 5 s and was ended"
    assert not any(b"S3CR3T" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_whoever_wants_it_to_end_is_heard(deadly: Job, tmp_path: Path) -> None:
    stopping = Event()
    job = deadly.model_copy(update={"limits": Limits(seconds=200)})
    with closing(Worker(job, stopping)) as worker:
        Thread(target=lambda: (time.sleep(5), stopping.set())).start()
        with pytest.raises(Stopped):  # and not a record of the limit of time
            worker.finish(Entry(path="clip3.mp4"), Results(tmp_path / "out"))
    assert not _children() and not list((tmp_path / "out").rglob("result.json"))


def test_it_ends_with_the_run(deadly: Job, worker: Worker, tmp_path: Path) -> None:
    worker.finish(Entry(path="clip1.mp4"), Results(tmp_path / "out"))
    (process,) = _children()
    connection = worker._process._connection
    assert connection is not None
    connection.close()  # as when the run is killed
    process.wait(5)


def test_a_file_that_the_system_does_not_open_is_its_rows(deadly: Job, worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    results = Results(tmp_path / "out")
    worker.finish(Entry(path="clip1.mp4"), results)
    before = worker.process
    for path in ("x" * 300 + ".mp4", "x/" * 4000, "/proc/self/mem", "loop"):
        record = worker.finish(Entry(path=path), results)
        assert record["error_kind"] == "ClipError" and worker.process == before, path
        assert worker.dtype(Entry(path=path), results) is None and worker.process == before, path


def test_what_a_killed_process_fetched_is_swept(
    deadly: Job, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    stalled, results = Event(), Results(tmp_path / "out")

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(b"0" * 1000)
            stalled.wait(60)

    with served(answer) as host:
        entry = Entry(path=f"filecache::http://user:S3CR3T@{host}/clip.mp4?sig=S3CR3T")
        assert worker.dtype(entry, results) is None and not list((tmp_path / "out").rglob("*S3CR3T*"))
        assert worker.finish(entry, results)["error_kind"] == "time"
        stalled.set()
    left = [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
    kept = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not left and [path.name for path in kept] == ["result.json"] and b"S3CR3T" not in kept[0].read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "flying"}, r"label 'flying' is not one of the model's 3 classes"),
        ({"layer": "tail"}, r"has no layer 'tail'"),
        ({"method": "gradcam,gradcam++"}, r"several results are asked for \(2 methods\)"),
        ({"target": "top5"}, r"is several classes"),
        ({"weights": "gone.pth"}, r"gone\.pth does not exist"),
    ],
)
def test_what_is_wrong_for_every_clip_is_told_at_once(
    deadly: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], message: str
) -> None:
    job = deadly.model_copy(update={"config": deadly.config.model_copy(update=change)})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VidcamError, match=message):
        ClipExplainer(job)


def test_what_is_wrong_is_told_by_the_worker(deadly: Job, tmp_path: Path) -> None:
    job = deadly.model_copy(update={"config": deadly.config.model_copy(update={"layer": "tail"})})
    with closing(Worker(job, Event())) as worker, pytest.raises(VidcamError, match="has no layer 'tail'"):
        worker.finish(Entry(path="clip1.mp4"), Results(tmp_path / "out"))


def test_a_network_that_kills_its_process_when_it_is_made(deadly: Job, tmp_path: Path) -> None:
    text = (tmp_path / "deadly.py").read_text()
    (tmp_path / "deadly.py").write_text(text.replace("torch.manual_seed(0)", "os.kill(os.getpid(), signal.SIGKILL)"))
    with closing(Worker(deadly, Event())) as worker, pytest.raises(VidcamError, match="was to load the network ended"):
        worker.finish(Entry(path="clip1.mp4"), Results(tmp_path / "out"))


@pytest.mark.usefixtures("in_process")
def test_limits_of_pictures_and_of_time(deadly: Job, tmp_path: Path) -> None:
    job = deadly.model_copy(update={"limits": Limits(pixels=32 * 32, duration=0.4)})
    with closing(Worker(job, Event())) as worker:
        results = Results(tmp_path / "out")
        kinds = {p: worker.finish(Entry(path="clip1.mp4", start=0, end=p), results).get("error") for p in (0.3, 0.5)}
        assert kinds == {0.3: None, 0.5: "clip1.mp4 lasts more than 0.4 s; allow more, or give start and end"}
    job = deadly.model_copy(update={"limits": Limits(pixels=32 * 31)})
    with closing(Worker(job, Event())) as worker:
        told = worker.finish(Entry(path="clip8.mp4"), results)["error"]
        assert told.startswith("clip8.mp4 has pictures of 32x32 pixels, and at most 992 are allowed")
