"""A process that explains clips and may die of them, and the one that watches it."""

from __future__ import annotations

import json
import os
import subprocess  # nosec B404
import sys
import time
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue
from signal import Signals
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import psutil

from vidcam.corpus.job import Job, Record, failed
from vidcam.corpus.manifest import Entry
from vidcam.corpus.results import Results
from vidcam.corpus.urls import is_url
from vidcam.errors import SettingsError, VidcamError

if TYPE_CHECKING:
    from vidcam.corpus.explaining import Explaining
    from vidcam.corpus.provenance import Provenance

_LOOK_EVERY = 0.1  # seconds, at the time and the memory a clip takes
_TO_LOAD = 600  # seconds a network may take to load
_TO_DIE = 5  # seconds a killed process may take; one that hangs in a file system takes longer, and is left alone
_ENVIRONMENT = {
    "PYTHONSAFEPATH": "1",  # nothing is imported from the current directory by accident
    "OMP_NUM_THREADS": "1",  # a sum is the same however many workers there are
    "MKL_NUM_THREADS": "1",
}


class Stopped(Exception):
    """The run ends; the clip that was being worked on is left for the next one."""


class Worker:
    """One process with the network in it, and its clips, one after the other.

    A clip that crashes, hangs or grows beyond the limits takes the process with it and nothing else: its record says
    what happened, and the next clip gets a new process.

    Args:
        job: what is done.
        stopping: set by whoever wants it to end.
        index: of several workers on one machine; it says which of its GPUs is taken.
    """

    def __init__(self, job: Job, stopping: Event, index: int = 0) -> None:
        self._job, self._stopping, self._index = job, stopping, index
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def finish(self, entry: Entry, results: Results) -> Record:
        """Explain a clip, or find out why that cannot be, and put it down.

        Raises:
            VidcamError: the run cannot go on, whatever the clip: the network cannot be had, or the disk is full.
            Stopped: it was wanted.
        """
        for last in (False, True):  # a process may have been killed by somebody; the second time it was the clip
            with results.place(entry) as work:
                record = self._asked({"entry": entry.model_dump(), "folder": str(work)}, entry, retry=not last)
                if record is not None:
                    return _committed(entry, record, work, results)
        raise AssertionError("the last try gives a record")

    def tried(self) -> Provenance:
        """Load the network, and find out if the job can be done at all, see `Explaining.tried`; what it is done by.

        Raises:
            VidcamError: it cannot.
        """
        self._started()
        answer, trouble = self._told({"try": True}, _TO_LOAD, None)
        if answer is None:
            self.close()
            raise VidcamError(
                f"the process that tried the network on black frames ended ({trouble or 'it died'}); is there memory "
                "for it? give fewer --workers"
            )
        if "stop" in answer:
            raise VidcamError(str(answer["stop"]))
        return answer

    def dtype(self, entry: Entry) -> str | None:
        """What the trunk may compute in, see `Explaining.dtype`; None where a clip cannot tell."""
        answer = self._asked({"dtype_of": entry.model_dump()}, entry, retry=False)
        return (answer or {}).get("dtype")

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_TO_DIE)
        self._process = self._connection = None

    def _asked(self, question: dict[str, Any], entry: Entry, retry: bool) -> Record | None:
        """The answer; where the process ended without one a record that says so, or None if it is to be tried again."""
        self._started()
        limits = self._job.limits
        answer, trouble = self._told(question, limits.seconds, limits.memory)
        if answer is None:
            code = self._process.poll() if self._process is not None else None
            self.close()
            match trouble:
                case "time":
                    return failed(entry, "time", f"{entry.shown} took more than {limits.seconds:g} s and was ended")
                case "memory":
                    return failed(entry, "memory", f"{entry.shown} took more than {limits.memory} MiB and was ended")
            if retry:
                return None
            how = f" ({Signals(-code).name})" if code is not None and code < 0 else ""
            return failed(entry, "crash", f"the process that worked on {entry.shown} died{how}, twice")
        if "stop" in answer:
            raise VidcamError(str(answer["stop"]))
        if "unexpected" in answer:  # the process is not used again: it may be in any state
            self.close()
            return failed(entry, answer["unexpected"], answer["message"])
        return answer

    def _started(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self._start()

    def _start(self) -> None:
        self.close()
        self._connection, other = Pipe()
        with other:
            # Python itself, by its own path and without a shell: nothing from outside is in the command.
            self._process = subprocess.Popen(  # nosec B603
                [sys.executable, "-m", "vidcam.corpus.worker", str(other.fileno()), str(self._index)],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,  # Ctrl-C is for the run, which ends its processes
            )
        answer, trouble = self._told(json.loads(self._job.model_dump_json()), _TO_LOAD, None)
        if answer is None:
            code = self._process.poll()
            self.close()
            raise VidcamError(
                f"the process that was to load the network ended ({trouble or code}); is there memory for it? "
                "give fewer --workers"
            )
        if "unusable" in answer:
            self.close()
            raise VidcamError(str(answer["unusable"]))

    def _told(self, question: dict[str, Any], seconds: float, memory: int | None) -> tuple[dict[str, Any] | None, str]:
        """The process's answer, or None and which limit it broke ("" where it died)."""
        assert self._connection is not None and self._process is not None
        until = time.monotonic() + seconds
        try:
            self._connection.send_bytes(json.dumps(question).encode())
            while not self._connection.poll(_LOOK_EVERY):
                if self._stopping.is_set():
                    raise Stopped
                if time.monotonic() > until:
                    return None, "time"
                if memory is not None and _resident(self._process.pid) > memory << 20:
                    return None, "memory"
            answer: dict[str, Any] = json.loads(self._connection.recv_bytes())
            return answer, ""
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_TO_DIE)
            return None, ""


def _committed(entry: Entry, record: Record, work: Path, results: Results) -> Record:
    """The record as it was put down: where it cannot be, one that says so."""
    try:
        results.commit(entry, record, work)
    except VidcamError:
        raise
    except Exception as error:  # of a clip nobody thought of
        record = failed(entry, type(error).__name__, f"its results cannot be put down ({type(error).__name__})")
        results.commit(entry, record, work)
    return record


def _resident(process: int) -> int:
    """Bytes of memory a process holds; 0 once it has ended."""
    try:
        return int(psutil.Process(process).memory_info().rss)
    except psutil.Error:
        return 0


def main(descriptor: int, index: int) -> None:
    """In the process: load what the job needs, then answer; end when nobody asks any more."""
    connection = Connection(descriptor)
    questions: Queue[dict[str, Any]] = Queue()

    def listen() -> None:
        with suppress(EOFError, OSError):
            while True:
                questions.put(json.loads(connection.recv_bytes()))
        os._exit(1)  # the run is gone, and with it the reason for what is being done

    Thread(target=listen, daemon=True).start()

    def answer(given: dict[str, Any]) -> None:
        connection.send_bytes(json.dumps(given).encode())

    try:
        import torch

        from vidcam.allocator import keep_freed_memory
        from vidcam.corpus.explaining import Explaining
        from vidcam.corpus.provenance import differences

        keep_freed_memory()
        if torch.cuda.is_available():
            torch.cuda.set_device(index % torch.cuda.device_count())
        job = Job.model_validate(questions.get())
        with suppress(FileNotFoundError):  # on another machine
            os.chdir(job.directory)
        explaining = Explaining(job)
        if job.made_by and (other := differences(job.made_by, explaining.made_by)):
            raise SettingsError(
                f"a process of the run does not compute what the others do ({other}); install the same versions on every "
                "machine, and give a network that has the same weights each time it is made"
            )
    except Exception as error:  # whatever it is, the run is told
        told = str(error) if isinstance(error, VidcamError) else f"{type(error).__name__}: {error}"
        answer({"unusable": told})
        return
    answer({"ready": True})
    while True:
        answer(_answered(explaining, questions.get()))


def _answered(explaining: Explaining, question: dict[str, Any]) -> dict[str, Any]:
    path = ""
    try:
        if "try" in question:
            return explaining.tried()
        if "dtype_of" in question:
            return _dtype(explaining, Entry.model_validate(question["dtype_of"]))
        entry = Entry.model_validate(question["entry"])
        path = entry.path
        return explaining.record(entry, Path(question["folder"]))
    except VidcamError as error:  # no clip's fault
        return {"stop": str(error)}
    except Exception as error:  # of a clip nobody thought of
        kind = type(error).__name__
        return {"unexpected": kind, "message": kind if is_url(path) else f"{kind}: {error}"}


def _dtype(explaining: Explaining, entry: Entry) -> dict[str, Any]:
    try:
        return {"dtype": explaining.dtype(entry)}
    except VidcamError:
        return {"dtype": None}


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
