"""Explanation of the clips of all visitors, one after the other, in a separate process."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from threading import Event, Lock

from vidcam.app.choice import Choice
from vidcam.app.jobs import LABELS_GONE, WEIGHTS_GONE, Files
from vidcam.app.limits import Limits
from vidcam.app.names import LABELS, WEIGHTS
from vidcam.app.results import ARCHIVE, Result, Results
from vidcam.app.uploads import Upload
from vidcam.errors import VidcamError
from vidcam.process import Ended, Process

UNEXPECTED = "This clip could not be explained (unexpected error); the server's log has more."
GONE = "Drop a clip or choose a sample first."
_ABSOLUTE = re.compile(r"(?<![\w./:<])/\w|\b[A-Za-z]:\\")  # a path of this machine
log = logging.getLogger("vidcam.app")


class Explainer:
    """The explainer of uploads; a clip that crashes or breaks a limit ends only the process that reads it.

    Args:
        results: the store of results.
        limits: of the page.
    """

    def __init__(self, results: Results, limits: Limits) -> None:
        self._results, self._limits = results, limits
        self._process = Process("vidcam.app.job")
        self._turn = Lock()
        self._running: tuple[str, Event] | None = None  # session, and the event that ends its work

    def explain(
        self,
        session: str,
        files: Files,
        choice: Choice,
        progress: Callable[[str, int, int], None],
    ) -> Result:
        """Explain a clip and return the new result, which replaces the session's former one.

        Args:
            session: the internal name of the visitor's session.
            files: the clip, and the visitor's own weights and class names, if any.
            choice: how it is explained.
            progress: called with the name of the step, a key of `vidcam.app.progress.STEPS`, the number of its frames that
                are done, and of all of them.

        Raises:
            VidcamError: the clip could not be explained; the message is for the visitor.
        """
        if files.clip is None:
            raise VidcamError(GONE)
        stopping = Event()
        with self._turn:
            result = self._results.new(session, files.clip.address, files.clip.name)
            self._running = session, stopping
            try:
                _take(files.clip, result.folder / "clip" / result.clip, GONE)
                own = _own_files(files, result.folder)
                error = self._ask(result, choice, own, progress, stopping)
                if error or stopping.is_set():
                    raise VidcamError(error or UNEXPECTED)
            except BaseException:
                self._results.delete(result)
                raise
            finally:
                self._running = None
        return result

    def end(self, session: str) -> None:
        """End the work for a session."""
        running = self._running
        if running is not None and running[0] == session:
            running[1].set()

    def close(self) -> None:
        """End the work and the process."""
        running = self._running
        if running is not None:
            running[1].set()
        with self._turn:
            self._process.close()

    def _ask(
        self,
        result: Result,
        choice: Choice,
        own: dict[str, str | None],
        progress: Callable[[str, int, int], None],
        stopping: Event,
    ) -> str:
        """Return the error for the visitor, or "" if the clip was explained."""
        limits = self._limits
        job = {
            "folder": str(result.folder),
            "clip": result.clip,
            "archive": ARCHIVE,
            **asdict(choice),
            **own,
            "frames": limits.frames,
            "seconds": limits.seconds,
            "pixels": limits.pixels,
        }
        try:
            answer = self._process.ask(
                job,
                seconds=limits.work_seconds,
                memory=limits.memory,
                stopping=stopping,
                progress=lambda now: progress(now["step"], now["done"], now["of"]),
            )
        except Ended as ended:
            match ended.reason:
                case "time":
                    return f"{result.clip} took more than {limits.work_seconds:g} s to explain and was ended."
                case "memory":
                    return f"{result.clip} took more than {limits.memory >> 20} MiB of memory and was ended."
                case "stopped":
                    return "The page was closed."
            log.error("the process that explained %r died", result.clip)
            return f"{result.clip} ended the process that read it; it may be broken."
        if "unexpected" in answer:
            log.error("%r could not be explained:\n%s", result.clip, answer["unexpected"])
            return UNEXPECTED
        error = str(answer.get("error", ""))
        typed = {repr(choice.target), repr(choice.layer)}  # as messages name it
        if _ABSOLUTE.search("''".join(re.split("|".join(map(re.escape, typed)), error))):
            log.error("%r could not be explained: %s", result.clip, error)
            return UNEXPECTED
        return error


def _own_files(files: Files, folder: Path) -> dict[str, str | None]:
    """Make a visitor's weights and labels available in a folder, and return the names of both, as a job holds them.

    Raises:
        VidcamError: a file is of another kind, or was deleted.
    """
    weights, labels = files.weights, files.labels
    if weights is not None:
        if not weights.name.endswith(WEIGHTS):
            raise VidcamError(
                f"the weights are no {WEIGHTS} file, the one kind that this page reads; save them with "
                "safetensors, or use the command line"
            )
        _take(weights, folder / weights.name, WEIGHTS_GONE)
    if labels is not None:
        if not labels.name.endswith(LABELS):
            raise VidcamError(
                f"the class names are no file that this page reads; give a {', '.join(LABELS[:-1])} or {LABELS[-1]} file"
            )
        _take(labels, folder / labels.name, LABELS_GONE)
    return {"weights": weights.name if weights else None, "labels": labels.name if labels else None}


def _take(upload: Upload, path: Path, gone: str) -> None:
    """Make a file of an upload available at a path, as a hard link if the file system can, else as a copy.

    Raises:
        VidcamError: the upload was deleted; the message is `gone`.
    """
    try:
        try:
            os.link(upload.path, path)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(upload.path, path)
    except FileNotFoundError as error:
        raise VidcamError(gone) from error
