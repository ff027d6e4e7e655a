"""A job with its network loaded: explains a clip, writes its results and returns its record."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidcam.cam.targets import target_of, top_count
from vidcam.corpus.job import Job, Record, failure_record, manifest_columns
from vidcam.corpus.manifest import Entry, clip_location
from vidcam.corpus.provenance import Provenance, provenance
from vidcam.errors import ClipError, ModelError, OutputError, TargetError, VidcamError
from vidcam.explainer import Explainer
from vidcam.export.outputs import all_or_nothing
from vidcam.export.results import draw, store
from vidcam.models.inference import prepared, structure_of
from vidcam.models.registry import Model
from vidcam.results.explanation import Explanation
from vidcam.temporal.curves import combined_curve
from vidcam.temporal.segments import distinct, frame_edges, segments_of
from vidcam.untrusted.text import fitted, printable
from vidcam.video.kept import KeptClip
from vidcam.video.reader import Clip
from vidcam.video.urls import fetch, is_url

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES}
_LONGEST_NAME = 1000  # characters of a clip's name in a message
_FRAME_RATE = 60  # frames per second at which a clip's duration is counted, where its header says nothing


class ClipExplainer:
    """A job with its network loaded.

    Attributes:
        made_by: the versions and weights that its results come from.

    Raises:
        VidcamError: a setting of the job is wrong for every clip.
    """

    def __init__(self, job: Job) -> None:
        config = job.config
        self.job = job
        explainer = Explainer(config.load(tested=job.made_by is not None), config)
        self.made_by: Provenance = provenance(explainer.model.network)
        explainer.refuse_several()
        self.model: Model = explainer.model
        if self.model.spec.unrecognised or self.model.spec.probabilities is None:
            raise ModelError(
                f"{self.model.spec.name} gives no probabilities of classes, which a corpus has columns for; explain its "
                "clips with `vidcam explain`"
            )
        self._check(config.target)
        if config.stride and (config.sampling_rate or not self.model.spec.frame_rate):  # whatever a clip's frame rate
            explainer.windowing(self.model.spec.frame_rate or 1.0)
        if job.dtype != "auto":  # as it is made here it is used for all clips: "auto" would look at each anew
            explainer = explainer.on(
                prepared(self.model, getattr(torch, job.dtype), structure_of(self.model, explainer.layers))
            )
        self.explainer = explainer

    def _check(self, target: str | int) -> None:
        count = top_count(target)
        if count is None:
            target_of(target, self.model.labels)
        elif count > 1:
            raise TargetError(f"target {target!r} is several classes, and each clip is explained for one; give top")

    def check(self) -> Provenance:
        """Explain a few black frames to find errors that do not depend on the clip, and return versions and weights.

        Masked methods are slow and are only tried together with `dense`, which they exclude.

        Raises:
            VidcamError: no clip can be explained with these settings.
        """
        config = self.job.config
        try:
            method = config.method if config.dense or not self.explainer.layers else "gradcam++"
            quick = {"absent": "auto", "passes": None, "stretches": 8} if method == "gradcam++" else {}
            any_clip = config.changed(
                method=method, stride=None, device=None, **quick
            )  # a stride may fit other clips alone
            Explainer(self.explainer.model, any_clip).explain(np.zeros((4, 48, 64, 3), np.uint8))
        except VidcamError:
            raise
        except Exception:  # nosec B110 # the network's own code may not take black frames
            pass
        return self.made_by

    def dtype(self, entry: Entry, folder: Path) -> str:
        """Return the name of the shortest dtype that does not change the explanation, tested on a clip's first window.

        Args:
            entry: the clip.
            folder: a clip at a URL is fetched into it.

        Raises:
            VidcamError: the clip cannot be used.
        """
        return self.explainer.shortest_dtype(self._clip(self._local_file(entry, folder), entry))

    def record(self, entry: Entry, folder: Path) -> Record:
        """Explain a clip into its own folder and return its record.

        Raises:
            OutputError: the folder cannot be written, whatever the clip.
        """
        timings: dict[str, float] = {}
        try:
            explanation = self._explained(entry, folder, timings)
        except VidcamError as error:
            if _ends_the_run(error):
                raise
            return failure_record(entry, type(error).__name__, str(error), timings)
        finally:
            shutil.rmtree(folder / "fetched", ignore_errors=True)
        return clip_record(entry, explanation, timings)

    def _explained(self, entry: Entry, folder: Path, timings: dict[str, float]) -> Explanation:
        config, limits = self.job.config, self.job.limits
        target = config.target if entry.target is None else entry.target
        self._check(target)
        began = time.perf_counter()
        path = self._local_file(entry, folder)
        if is_url(entry.path):
            timings["fetch"] = _since(began)
        began = time.perf_counter()
        try:
            clip = self._clip(path, entry)

            def watch(frames: int, announced: int) -> None:
                if frames > limits.duration * max(_FRAME_RATE, float(clip.frame_rate)):
                    raise self._too_long(entry)

            with _system_errors_as_clip_errors(entry):  # nothing is written
                explanation = self.explainer.explain(clip, target, progress=watch)[0]
            timings["explain"] = _since(began)
            began = time.perf_counter()
            with all_or_nothing(folder) as work:
                if self.job.films:
                    explanation = draw(explanation, work)
                notes = tuple(printable(note.replace(str(path), entry.shown)) for note in explanation.warnings)
                explanation = replace(explanation, clip=entry.shown, warnings=notes)
                store(explanation, work)
            timings["save"] = _since(began)
        except VidcamError as error:
            raise type(error)(str(error).replace(str(path), entry.shown)) from error
        return explanation

    def _local_file(self, entry: Entry, folder: Path) -> Path:
        """Return the path of a clip's file; a clip at a URL is fetched into the folder first."""
        place = clip_location(entry, self.job.folder)
        if isinstance(place, Path):
            return place
        (folder / "fetched").mkdir()
        return fetch(place, folder / "fetched", self.job.limits.size << 20)

    def _clip(self, path: Path, entry: Entry) -> Clip:
        limits = self.job.limits
        with _system_errors_as_clip_errors(entry):
            kind = KeptClip if self.job.films else Clip  # which is read twice
            clip = kind(path, start=entry.start, end=entry.end, max_pixels=limits.pixels)
        if min(clip.seconds_announced, entry.end or np.inf) - (entry.start or 0) > limits.duration:
            raise self._too_long(entry)
        return clip

    def _too_long(self, entry: Entry) -> ClipError:
        return ClipError(
            f"{entry.shown} lasts more than {self.job.limits.duration:g} s; allow more, or give start and end"
        )


@contextmanager
def _system_errors_as_clip_errors(entry: Entry) -> Iterator[None]:
    """Raise a system error about a clip's file or times, such as a name that is too long, as a ClipError.

    The message holds only the kind of failure in the system's words.

    Raises:
        ClipError: in place of an OSError or OverflowError.
    """
    try:
        yield
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if isinstance(number, int) and number > 0 else type(error).__name__
        raise ClipError(f"{fitted(entry.shown, _LONGEST_NAME)} cannot be read ({reason}); give another file") from error


def _ends_the_run(error: BaseException | None) -> bool:
    """Return True if an output could not be written because of the disk, so that every other clip would fail too."""
    if not isinstance(error, OutputError):
        return False
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in _DISK:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def clip_record(entry: Entry, explanation: Explanation, timings: dict[str, float]) -> Record:
    """Return the record of a clip that was explained.

    Args:
        entry: the clip's row.
        explanation: of the clip.
        timings: seconds by stage.
    """
    target = explanation.target
    edges = frame_edges(explanation.times)
    return {
        **manifest_columns(entry),
        "prediction": explanation.top[0][0],
        "probability": explanation.top[0][1],
        "explained": target.label,
        "explained_probability": target.probability,
        "top": [{"label": label, "probability": probability} for label, probability in explanation.top],
        "segments": segments(explanation),
        "frames": explanation.frames,
        "seconds": float(edges[-1] - edges[0]),
        "warnings": list(explanation.warnings),
        "timings": timings,
    }


def segments(explanation: Explanation) -> list[dict[str, Any]]:
    """Return the segments of the explained target, best first: start and end in seconds, and a score.

    They are cut from score and evidence combined (`combined_curve`). A target that is no class has no score: it is cut
    from the evidence alone.
    """
    bounded = explanation.target.is_probability
    curve = combined_curve(explanation.scores if bounded else np.ones_like(explanation.evidence), explanation.evidence)
    cut: Sequence[Any] = distinct(segments_of(curve, explanation.times, explanation.target.label))
    return [{"start": s.start, "end": s.end, "score": s.score} for s in cut]


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 4)
