"""The process that explains clips: one clip at a time, in the folder of its result."""

from __future__ import annotations

import os
import traceback
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from vidcam.app.limits import FRAME_RATE
from vidcam.engine.memory import keep_freed_memory
from vidcam.errors import SettingsError, VidcamError
from vidcam.explainer import Explainer
from vidcam.export.results import write_explanations
from vidcam.models.registry import Model, load_model
from vidcam.process import answer_questions
from vidcam.recipe import Recipe
from vidcam.video.reader import Clip

Report = Callable[[dict[str, Any]], None]


def explain(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Explain a clip into the folder of the job.

    The process works in that folder, and all names are relative to it: no message and no file shows its absolute path.

    Args:
        job: `folder`, `clip` (a name in its folder "clip"), `archive`, `weights` and `labels` (names of a checkpoint and of a
            file of class names in the folder, or None), the fields of `vidcam.app.choice.Choice`, `frames`, `seconds` and
            `pixels` (limits of the clip).
        report: called with `step`, a key of `vidcam.app.progress.STEPS`, `done`, the frames of it that are done, and
            `of`, their number, 0 if it is not known.

    Returns:
        An empty dict; or `error`, a message for the visitor; or `unexpected`, a traceback for the log.
    """
    os.chdir(job["folder"])
    try:
        _explain(job, report)
    except VidcamError as error:
        cache = os.path.join(torch.hub.get_dir(), "")  # where published weights would be
        return {"error": str(error).replace(cache, "").replace(f"clip{os.sep}", "")}
    except Exception:
        return {"unexpected": traceback.format_exc()}
    finally:
        os.chdir(os.sep)  # the folder may be deleted
    return {}


def _explain(job: dict[str, Any], report: Report) -> None:
    def limit(frames: int) -> None:
        if frames > job["frames"]:
            raise SettingsError(
                f"{clip.path.name} has more than {job['frames']} frames ({job['seconds']} s at {FRAME_RATE} a second), "
                "which is as much as this page explains; cut it, or use the command line"
            )

    def explaining(done: int, announced: int) -> None:
        limit(max(done, announced))
        report({"step": "explaining", "done": done, "of": announced})

    def drawing(done: int, of: int) -> None:
        report({"step": "drawing", "done": done, "of": of})

    recipe = Recipe(method=job["method"], layer=job["layer"], colormap=job["colormap"])
    clip = Clip(Path("clip", job["clip"]), max_pixels=job["pixels"])
    limit(clip.frames_announced)
    report({"step": "loading", "done": 0, "of": 0})
    explainer = Explainer(_model_of(job), recipe)
    explanations = explainer.explain(clip, job["target"], progress=explaining)
    write_explanations(explanations, Path(), progress=drawing)
    _archive(Path(job["archive"]))


def _archive(archive: Path) -> None:
    """Write all files of the folder into one ZIP file."""
    everything = sorted(p for p in Path().rglob("*") if p.is_file())
    with zipfile.ZipFile(archive, "x", zipfile.ZIP_DEFLATED) as out:
        for path in everything:
            out.write(path)


def _model_of(job: dict[str, Any]) -> Model:
    weights, labels = job["weights"], job["labels"]
    if weights is None and labels is None:
        return _model(job["model"])
    try:
        return load_model(job["model"], weights or "default", labels)
    finally:
        for name in filter(None, (weights, labels)):
            Path(name).unlink()  # the archive holds results


@lru_cache(2)
def _model(name: str) -> Model:
    return load_model(name)


if __name__ == "__main__":
    keep_freed_memory()
    answer_questions(explain)
