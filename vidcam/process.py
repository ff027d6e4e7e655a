"""A worker process that answers questions in JSON, within limits of time and memory."""

from __future__ import annotations

import json
import os
import subprocess  # nosec B404
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue
from signal import Signals
from threading import Event, Thread
from typing import Any

import psutil

_LOOK_EVERY = 0.1  # seconds, at the clock and the memory
_TO_DIE = 5  # seconds to wait for a killed process
_LONGEST = 2**24  # bytes of a message


class Ended(Exception):
    """The end of the process before it answered.

    Attributes:
        reason: "time" or "memory" (a limit), "stopped" (on request) or "died".
        signal: name of the signal that killed it, or "".
    """

    def __init__(self, reason: str, signal: str = "") -> None:
        super().__init__(reason)
        self.reason, self.signal = reason, signal


class Process:
    """A process that runs a module of this package, started by the first question and again after it ended.

    Args:
        module: the module's name; it calls `answer_questions` when it is run.
        environment: further environment variables of the process.
        quiet: True to discard its standard error.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None, *, quiet: bool = False) -> None:
        self._module, self._environment, self._quiet = module, dict(environment or {}), quiet
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    @property
    def number(self) -> int | None:
        """The process's number in the system, or None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def ask(
        self,
        question: Any,
        *,
        seconds: float,
        memory: float,
        stopping: Event,
        progress: Callable[[Any], None] = lambda value: None,
    ) -> Any:
        """Send a question and return the answer.

        Args:
            question: a value for JSON.
            seconds: limit of time.
            memory: limit of resident memory in bytes; infinity for none.
            stopping: event that ends the process when it is set.
            progress: called with every value that the process reports before its answer.

        Raises:
            Ended: there is no answer. The next question starts a new process.
        """
        if self.number is None:
            self._start()
        assert self._process is not None and self._connection is not None
        began = looked = time.monotonic()
        try:
            self._connection.send_bytes(json.dumps(question).encode())
            while True:
                if self._connection.poll(_LOOK_EVERY):
                    message = json.loads(self._connection.recv_bytes(_LONGEST))
                    if "answer" in message:
                        return message["answer"]
                    progress(message["progress"])
                if stopping.is_set():
                    raise Ended("stopped")
                now = time.monotonic()
                if now - began > seconds:
                    raise Ended("time")
                if now - looked >= _LOOK_EVERY:
                    looked = now
                    if _resident(self._process.pid) > memory:
                        raise Ended("memory")
        except (EOFError, OSError, ValueError) as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_TO_DIE)
            code = self._process.poll() or 0
            self.close()
            raise Ended("died", Signals(-code).name if code < 0 else "") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the process."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_TO_DIE)
        self._process = self._connection = None

    def _start(self) -> None:
        self.close()
        self._connection, other = Pipe()
        with other:
            # Python itself, by its own path and without a shell: nothing from outside is in the command.
            self._process = subprocess.Popen(  # nosec B603
                [sys.executable, "-m", self._module, str(other.fileno())],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if self._quiet else None,
                env={**os.environ, **self._environment, **_import_path()},
                start_new_session=True,  # Ctrl-C is for the parent, which ends this process
            )


def answer_questions(answer: Callable[[Any, Callable[[Any], None]], Any]) -> None:
    """Answer the parent's questions in the worker process, one after the other; exit when the parent is gone.

    Args:
        answer: called with a question and a function that reports progress; returns the answer.
    """
    connection = Connection(int(sys.argv[1]))
    questions: Queue[Any] = Queue()

    def listen() -> None:
        with suppress(EOFError, OSError):
            while True:
                questions.put(json.loads(connection.recv_bytes(_LONGEST)))
        os._exit(1)

    def send(message: dict[str, Any]) -> None:
        connection.send_bytes(json.dumps(message).encode())

    Thread(target=listen, daemon=True).start()
    while True:
        send({"answer": answer(questions.get(), lambda value: send({"progress": value}))})


def _import_path() -> dict[str, str]:
    """Return the environment that imports this package from its own place and nothing from the current directory."""
    ours, given = str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{ours}{os.pathsep}{given}" if given else ours, "PYTHONSAFEPATH": "1"}


def _resident(process: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it has ended."""
    try:
        return int(psutil.Process(process).memory_info().rss)
    except psutil.Error:
        return 0
