"""Explanation of the clips of all visitors, one after the other, in a separate process."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable
from threading import Event, Lock

from vidcam.app.limits import Limits
from vidcam.app.results import ARCHIVE, Result, Results
from vidcam.app.uploads import Upload
from vidcam.errors import VidcamError
from vidcam.process import Ended, Process

UNEXPECTED = "This clip could not be explained (unexpected error); the server's log has more."
GONE = "Drop a clip first."
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
        upload: Upload,
        model: str,
        target: str,
        method: str,
        progress: Callable[[float, str], None],
    ) -> Result:
        """Explain a clip and return the new result, which replaces the session's former one.

        Args:
            session: the internal name of the visitor's session.
            upload: the clip.
            model, target, method: as for `vidcam.explain`; the target may also be "top5".
            progress: called with the share that is done, in [0, 1], and the name of the step.

        Raises:
            VidcamError: the clip could not be explained; the message is for the visitor.
        """
        stopping = Event()
        with self._turn:
            result = self._results.new(session, upload.address, upload.name)
            self._running = session, stopping
            try:
                _take(upload, result)
                error = self._ask(result, model, target, method, progress, stopping)
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
        model: str,
        target: str,
        method: str,
        progress: Callable[[float, str], None],
        stopping: Event,
    ) -> str:
        """Return the error for the visitor, or "" if the clip was explained."""
        limits = self._limits
        job = {
            "folder": str(result.folder),
            "clip": result.clip,
            "archive": ARCHIVE,
            "model": model,
            "target": target,
            "method": method,
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
                progress=lambda done: progress(done["share"], done["step"]),
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
        if _ABSOLUTE.search(error):
            log.error("%r could not be explained: %s", result.clip, error)
            return UNEXPECTED
        return error


def _take(upload: Upload, result: Result) -> None:
    """Return the clip in the folder of the result, as a hard link if the file system can, else as a copy."""
    clip = result.folder / "clip" / result.clip
    try:
        try:
            os.link(upload.path, clip)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(upload.path, clip)
    except FileNotFoundError as error:
        raise VidcamError(GONE) from error
