"""Writing everything an explanation gives into a directory, all of it or nothing."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vidcam.errors import OutputError
from vidcam.export.overlay import write_overlay, write_overlay_image
from vidcam.export.plots import curve_figure, write_curve_csv
from vidcam.results.explanation import Explanation
from vidcam.results.outputs import Outputs
from vidcam.untrusted.text import as_json


def refuse_existing(directory: Path) -> None:
    """Check before any work is done that nothing would be overwritten.

    Raises:
        OutputError: one of the files is there, or the directory cannot be one.
    """
    refuse(directory, [*vars(Outputs.within(directory)).values(), Outputs.within(directory, image=True).overlay])


def refuse(directory: Path, files: Iterable[Path]) -> None:
    """Raise an OutputError where one of the files exists, or where the directory cannot be one."""
    for place in (directory, *directory.parents):
        if place.exists() and not place.is_dir():
            raise OutputError(f"{place} is a file, not a directory; give another --out")
    there = sorted({p.name for p in files if p.exists()})
    if there:
        raise OutputError(f"{directory} already holds {', '.join(there)}; pass --overwrite or give another --out")


@contextmanager
def all_or_nothing(directory: Path) -> Iterator[Path]:
    """A folder to write into, whose files appear in `directory` when the block ends without an error.

    Raises:
        OutputError: the directory cannot be written, or the disk is full.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".vidcam-", dir=directory))
    except OSError as error:
        raise OutputError(f"{directory} cannot be written ({error.strerror or error}); give another --out") from error
    try:
        yield work
        for part in sorted(work.iterdir()):
            part.replace(directory / part.name)
    except OSError as error:
        raise OutputError(f"{directory} cannot be written ({error.strerror or error}); is the disk full?") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def save(explanation: Explanation, directory: Path, *, overwrite: bool = False) -> Outputs:
    """Write the outputs of an explanation; see `Explanation.save`."""
    if not overwrite:
        refuse_existing(directory)
    image = explanation.opened().is_image
    final = Outputs.within(directory, image=image)
    with all_or_nothing(directory) as work:
        began = time.perf_counter()
        draw(explanation, work)
        rendered = {"render_s": round(time.perf_counter() - began, 3)}
        store(
            replace(explanation, timings={**explanation.timings, **rendered}),
            work,
            {"outputs": {name: str(path) for name, path in vars(final).items()}},
        )
    return final


def draw(explanation: Explanation, folder: Path) -> None:
    """Write what is looked at: overlay.mp4, or of a picture overlay.png, and curve.png.

    Raises:
        ClipError: the clip has changed or is gone.
        OutputError: the film cannot be written.
    """
    image = explanation.opened().is_image
    names = Outputs.within(folder, image=image)
    (write_overlay_image if image else write_overlay)(explanation, names.overlay)
    curve_figure(explanation).savefig(names.curve_png)


def store(explanation: Explanation, folder: Path, facts: Mapping[str, Any] | None = None) -> None:
    """Write what is computed with: curve.csv, explanation.npz and summary.json, with more facts in it. No clip is read."""
    names = Outputs.within(folder)
    write_curve_csv(explanation, names.curve_csv)
    np.savez_compressed(names.explanation, **explanation.arrays())  # type: ignore[arg-type]  # numpy 1 takes no allow_pickle
    summary = {**explanation.summary(), **(facts or {})}
    names.summary.write_text(as_json(summary, indent=2) + "\n", encoding="utf-8")


def folders(explanations: Sequence[Explanation]) -> Iterator[tuple[Path, Explanation]]:
    """The folder of each explanation of a clip: by target and by method where there are several of them; layers that
    were fused lie inside the folder of what they were fused to.
    """
    labels = list(dict.fromkeys(e.target.label for e in explanations))
    several = len({e.method for e in explanations}) > 1
    fused = any("," in e.layer for e in explanations)
    for explanation in explanations:
        label = explanation.target.label
        folder = Path(f"{labels.index(label) + 1}-{_slug(label)}") if len(labels) > 1 else Path()
        folder = folder / explanation.method if several else folder
        yield folder / explanation.layer if fused and "," not in explanation.layer else folder, explanation


def _slug(label: str) -> str:
    return re.sub(r"[^\w]+", "-", label).strip("-")[:60] or "class"
