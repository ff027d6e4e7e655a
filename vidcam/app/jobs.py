"""The clips that wait or are explained: one of a session, and of a network address at most half of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vidcam.app.limits import Limits, share
from vidcam.app.uploads import Refused, Upload


@dataclass
class Job:
    """A clip that waits or is explained.

    Attributes:
        session: who asked.
        address: of the visitor in the network.
        clip: the upload, or None where there is none.
    """

    session: str
    address: str
    clip: Upload | None = None


class Jobs:
    """All jobs: those that are in the queue, and those whose request is on its way there.

    Args:
        queued: gives those in the queue.
        limits: of the page.
    """

    def __init__(self, queued: Callable[[], list[Job]], limits: Limits) -> None:
        self._queued, self._limits = queued, limits
        self._joining: list[Job] = []

    @contextmanager
    def joining(self, session: str, address: str) -> Iterator[Job]:
        """Hold a place for a job until the queue has taken or refused it.

        Raises:
            Refused: the session has a job, or its address has its share.
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

    def clips(self) -> set[str]:
        """The keys of the uploads that jobs need."""
        return {job.clip.key for job in self._all() if job.clip is not None}

    def _all(self) -> list[Job]:
        return self._joining + self._queued()
