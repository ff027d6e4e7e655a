"""Clips that wait or are being explained: one per session, and half of all per network address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vidcam.app.limits import Limits, share
from vidcam.app.uploads import Refused, Upload

WEIGHTS_GONE = "The weights are not here any more; drop them again."
LABELS_GONE = "The class names are not here any more; drop them again."


@dataclass(frozen=True)
class Files:
    """The files of an explanation, each None if there is none.

    Attributes:
        clip: the upload, or a sample.
        weights: the upload of a checkpoint in place of the network's own weights.
        labels: the upload of the names of its classes.
    """

    clip: Upload | None = None
    weights: Upload | None = None
    labels: Upload | None = None


@dataclass
class Job:
    """A clip that waits or is being explained.

    Attributes:
        session: the internal name of the visitor's session.
        address: the visitor's network address.
        files: that it needs.
    """

    session: str
    address: str
    files: Files = Files()


class Jobs:
    """All jobs: those in the queue, and those whose request has not reached it yet.

    Args:
        queued: returns the jobs in the queue.
        limits: of the page.
    """

    def __init__(self, queued: Callable[[], list[Job]], limits: Limits) -> None:
        self._queued, self._limits = queued, limits
        self._joining: list[Job] = []

    @contextmanager
    def joining(self, session: str, address: str) -> Iterator[Job]:
        """Yield a job that reserves a place until the queue has accepted or refused it.

        Args:
            session: the internal name of the visitor's session.
            address: the visitor's network address.

        Raises:
            Refused: the session has a job already, or its address has reached its share.
        """
        jobs = self._all()
        if any(job.session == session for job in jobs):
            raise Refused(429, "A clip of yours is being explained; wait for it.")
        theirs = {job.session for job in jobs if job.address == address}
        if len(theirs) >= share(self._limits.waiting):
            raise Refused(429, "Too many clips of your network address wait; try again when one is explained.")
        job = Job(session, address)
        self._joining.append(job)
        try:
            yield job
        finally:
            self._joining.remove(job)

    def uploads(self) -> set[str]:
        """Return the keys of the uploads that jobs need."""
        return {upload.key for job in self._all() for upload in vars(job.files).values() if upload is not None}

    def _all(self) -> list[Job]:
        return self._joining + self._queued()
