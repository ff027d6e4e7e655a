"""A Python process that answers questions as JSON, within limits of time and memory."""

from __future__ import annotations

import json
import os
import subprocess  # nosec B404
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import Queue
from threading import Event, Thread
from typing import Any

import psutil

_LOOK_EVERY = 0.1  # seconds, at the clock and the memory
_TO_DIE = 5  # seconds to wait for a killed process
_LONGEST = 2**20  # bytes of a message


class Ended(Exception):
    """The process ended before it answered.

    Attributes:
        reason: "time" or "memory" (a limit), "stopped" (on request) or "died".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Process:
    """A process that runs a module of this package. It starts with the first question and again after it ended.

    Args:
        module: the module's name; it calls `answer_questions` when it is run.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def ask(
        self,
        question: Any,
        *,
        seconds: float,
        memory: int,
        stopping: Event,
        progress: Callable[[Any], None],
    ) -> Any:
        """Ask one question and wait for the answer.

        Args:
            question: anything that JSON can hold.
            seconds: limit of time.
            memory: limit of resident memory in bytes.
            stopping: ends the process when it is set.
            progress: is called with every value that the process reports before its answer.

        Raises:
            Ended: there is no answer. The next question starts a new process.
        """
        if self._process is None or self._process.poll() is not None:
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
            self.close()
            raise Ended("died") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process, whatever it is doing."""
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
                env={**os.environ, **_environment()},
                start_new_session=True,  # Ctrl-C is for the parent, which ends this process
            )


def answer_questions(answer: Callable[[Any, Callable[[Any], None]], Any]) -> None:
    """In the process: answer one question after the other. The process exits when the parent is gone.

    Args:
        answer: is called with a question and a function that reports progress; returns the answer.
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


def _environment() -> dict[str, str]:
    """Modules are imported from where the parent does, and from nowhere else: not from the current directory."""
    return {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONSAFEPATH": "1"}


def _resident(process: int) -> int:
    """Bytes of memory that a process holds; 0 once it has ended."""
    try:
        return int(psutil.Process(process).memory_info().rss)
    except psutil.Error:
        return 0
