"""A worker process that explains clips, and its supervisor, which survives its crashes."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from vidcam.corpus.job import Job, Record, failure_record
from vidcam.corpus.manifest import Entry
from vidcam.corpus.results import Results
from vidcam.errors import SettingsError, VidcamError
from vidcam.process import Ended, Process, answer_questions
from vidcam.video.urls import is_url

if TYPE_CHECKING:
    from vidcam.corpus.explaining import ClipExplainer
    from vidcam.corpus.provenance import Provenance

_TO_LOAD = 600  # seconds a network may take to load
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # a sum is the same however many workers there are


class Stopped(Exception):
    """The end of the run on request; the clip in progress is left for the next run."""


class Worker:
    """One process with the network loaded, which explains clips one after the other.

    A clip that crashes, hangs or exceeds a limit ends only this process: its record holds the error, and the next clip
    gets a new process.

    Args:
        job: the settings of the run.
        stopping: event that ends the work when it is set.
        index: number of the worker on its machine, which selects one of several GPUs.
    """

    def __init__(self, job: Job, stopping: Event, index: int = 0) -> None:
        self._job, self._stopping, self._index = job, stopping, index
        self._process = Process("vidcam.corpus.worker", _ONE_THREAD, quiet=True)
        self._loaded = False

    def take(self, job: Job, stopping: Event) -> None:
        """Take another job; the process goes on, and loads its network."""
        self._job, self._stopping, self._loaded = job, stopping, False

    @property
    def process(self) -> int | None:
        """The process's number in the system, or None while it does not run."""
        return self._process.number

    def finish(self, entry: Entry, results: Results) -> Record:
        """Explain a clip, write its results or its error, and return its record.

        Raises:
            VidcamError: the run cannot go on with any clip: the network cannot be loaded, or the disk is full.
            Stopped: the run is to end.
        """
        for last in (
            False,
            True,
        ):  # the process may have been killed from outside; the second time it is the clip's fault
            with results.place(entry) as work:
                record = self._record({"entry": entry.model_dump(), "folder": str(work)}, entry, retry=not last)
                if record is not None:
                    return _commit(entry, record, work, results)
        raise AssertionError("the last try gives a record")

    def check(self) -> Provenance:
        """Load the network, test the job on black frames, see `Explaining.check`, and return versions and weights.

        Raises:
            VidcamError: the job cannot be done with any clip.
        """
        self._load()
        try:
            return self._ask({"try": True}, _TO_LOAD, inf)
        except Ended as ended:
            raise VidcamError(
                f"the process that tried the network on black frames ended ({_how(ended)}); is there memory for it? "
                "give fewer --workers"
            ) from ended

    def dtype(self, entry: Entry, results: Results) -> str | None:
        """Return the name of the dtype that a clip allows, see `Explaining.dtype`; None if the clip cannot be used."""
        with results.place(entry) as work:  # what a killed process leaves of a fetched clip is swept
            answer = self._record({"dtype_of": entry.model_dump(), "folder": str(work)}, entry, retry=False)
        return (answer or {}).get("dtype")

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.close()

    def _record(self, question: dict[str, Any], entry: Entry, retry: bool) -> Record | None:
        """Return the worker's answer; without one, a record of the failure, or None if the clip can be retried."""
        self._load()
        limits = self._job.limits
        try:
            answer = self._ask(question, limits.seconds, limits.memory << 20)
        except Ended as ended:
            match ended.reason:
                case "time":
                    return failure_record(
                        entry, "time", f"{entry.shown} took more than {limits.seconds:g} s and was ended"
                    )
                case "memory":
                    return failure_record(
                        entry, "memory", f"{entry.shown} took more than {limits.memory} MiB and was ended"
                    )
            if retry:
                return None
            how = f" ({ended.signal})" if ended.signal else ""
            return failure_record(entry, "crash", f"the process that worked on {entry.shown} died{how}, twice")
        if "unexpected" in answer:  # the process is not used again: it may be in any state
            self.close()
            return failure_record(entry, answer["unexpected"], answer["message"])
        return answer

    def _load(self) -> None:
        """Start the process and load the network, unless that is done."""
        if self._loaded and self.process is not None:
            return
        job = self._job.model_dump(mode="json")
        try:
            answer = self._ask({"job": job, "index": self._index}, _TO_LOAD, inf)
        except Ended as ended:
            raise VidcamError(
                f"the process that was to load the network ended ({_how(ended)}); is there memory for it? "
                "give fewer --workers"
            ) from ended
        if "unusable" in answer:
            self.close()
            raise VidcamError(str(answer["unusable"]))
        self._loaded = True

    def _ask(self, question: dict[str, Any], seconds: float, memory: float) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._process.ask(
                question, seconds=seconds, memory=memory, stopping=self._stopping
            )
        except Ended as ended:
            if ended.reason == "stopped":
                raise Stopped from ended
            raise
        if "stop" in answer:
            raise VidcamError(str(answer["stop"]))
        return answer


def _how(ended: Ended) -> str:
    return ended.signal or ended.reason


def _commit(entry: Entry, record: Record, work: Path, results: Results) -> Record:
    """Write a clip's results and return its record; a record that cannot be written is replaced by one that says so."""
    try:
        results.commit(entry, record, work)
    except VidcamError:
        raise
    except Exception as error:  # an unexpected kind of clip
        record = failure_record(entry, type(error).__name__, f"its results cannot be put down ({type(error).__name__})")
        results.commit(entry, record, work)
    return record


class _Answers:
    """The worker's side of the dialogue: loads the network of each job, and explains its clips."""

    def __init__(self) -> None:
        self._explaining: ClipExplainer | None = None

    def __call__(self, question: dict[str, Any], _: Callable[[Any], None]) -> dict[str, Any]:
        """Return the answer to a question."""
        if "job" not in question:
            assert self._explaining is not None, "a job comes before its clips"
            return _answer(self._explaining, question)
        self._explaining = None  # its memory serves for the next network
        try:
            self._explaining = _load_job(Job.model_validate(question["job"]), question["index"])
        except Exception as error:  # of any kind; the run reports it
            return {"unusable": str(error) if isinstance(error, VidcamError) else f"{type(error).__name__}: {error}"}
        return {"ready": True}


def _load_job(job: Job, index: int) -> ClipExplainer:
    from vidcam.engine.memory import collector_paused, keep_freed_memory

    keep_freed_memory()
    with collector_paused():
        import torch

        from vidcam.corpus.explaining import ClipExplainer
        from vidcam.corpus.provenance import differences

    if torch.cuda.is_available():
        torch.cuda.set_device(index % torch.cuda.device_count())
    with suppress(FileNotFoundError):  # on another machine
        os.chdir(job.directory)
    explaining = ClipExplainer(job)
    if job.made_by and (other := differences(job.made_by, explaining.made_by)):
        raise SettingsError(
            f"a process of the run does not compute what the others do ({other}); install the same versions on every "
            "machine, and give a network that has the same weights each time it is made"
        )
    return explaining


def _answer(explaining: ClipExplainer, question: dict[str, Any]) -> dict[str, Any]:
    path = ""
    try:
        if "try" in question:
            return explaining.check()
        if "dtype_of" in question:
            return _dtype(explaining, Entry.model_validate(question["dtype_of"]), Path(question["folder"]))
        entry = Entry.model_validate(question["entry"])
        path = entry.path
        return explaining.record(entry, Path(question["folder"]))
    except VidcamError as error:  # no clip's fault
        return {"stop": str(error)}
    except Exception as error:  # an unexpected kind of clip
        kind = type(error).__name__
        return {"unexpected": kind, "message": kind if is_url(path) else f"{kind}: {error}"}


def _dtype(explaining: ClipExplainer, entry: Entry, folder: Path) -> dict[str, Any]:
    try:
        return {"dtype": explaining.dtype(entry, folder)}
    except VidcamError:
        return {"dtype": None}


if __name__ == "__main__":
    answer_questions(_Answers())
