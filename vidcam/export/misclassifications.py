"""The page of misclassifications: confusions by frequency, each with its films and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from vidcam.errors import counted
from vidcam.export.compare import ComparisonOutputs, compare
from vidcam.export.outputs import all_or_nothing
from vidcam.export.template import render_template
from vidcam.results.explanation import Explanation
from vidcam.results.misclassification import Misclassification

NAME = "errors.html"


@dataclass(frozen=True)
class Confusion:
    """Clips of one class that the network takes for another.

    Attributes:
        true, predicted: labels of the two classes.
        errors: the clips, the most confident first.
    """

    true: str
    predicted: str
    errors: Sequence[Misclassification]

    @property
    def probability(self) -> float:
        """Mean probability of the predicted class in the explained windows."""
        return float(np.mean([e.predicted.probability for e in self.errors]))


def confusions(errors: Sequence[Misclassification]) -> list[Confusion]:
    """Return the errors grouped by true and predicted class: the most frequent first, then the most confident."""
    pairs = dict.fromkeys((e.true.label, e.predicted.label) for e in errors)
    found = []
    for true, predicted in pairs:
        alike = [e for e in errors if (e.true.label, e.predicted.label) == (true, predicted)]
        found.append(Confusion(true, predicted, sorted(alike, key=lambda e: -e.predicted.probability)))
    return sorted(found, key=lambda c: (-len(c.errors), -c.probability))


def summarize(errors: Sequence[Misclassification], clips: int) -> dict[str, float]:
    """Return the accuracy, and means over the errors: both classes' figures, and the shares that correct them.

    A share that does not exist counts as 1; `*_possible` is the fraction of errors that have one.

    Args:
        errors: of the clips.
        clips: number of all clips.
    """
    found: dict[str, float] = {"clips": clips, "errors": len(errors), "accuracy": 1 - len(errors) / max(1, clips)}
    if errors:
        for figure in ("probability", "insertion_auc", "highest_confidence"):
            for side in ("true", "predicted"):
                found[f"{figure}_{side}"] = float(np.mean([getattr(getattr(e, side), figure) for e in errors]))
        for share in ("kept", "removed", "restored_by"):
            values = [getattr(e, share) for e in errors]
            found[f"{share}_share"] = float(np.mean([1.0 if v is None else v for v in values]))
            found[f"{share}_possible"] = float(np.mean([v is not None for v in values]))
    return found


def save_errors(
    errors: Sequence[Misclassification],
    clips: int,
    directory: Path,
    explained: Callable[[Misclassification], Sequence[Explanation]],
    model: str,
    how: str,
    films: int,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:
    """Write errors.html and the films of both classes for the worst confusions, and return the page's path.

    Args:
        errors: of the clips.
        clips: number of all clips.
        directory: for the page, and a folder of films within; films that exist are kept.
        explained: returns the explanations of the true and of the predicted class of a clip.
        model: name of the network.
        how: the method and the layers.
        films: maximum number of films.
        progress: called with the number of films done and the number of all.

    Raises:
        OutputError: the directory cannot be written.
    """
    ranked = [error for confusion in confusions(errors) for error in confusion.errors]
    film_paths: dict[str, str] = {}
    pages: dict[str, str] = {}
    for number, error in enumerate(ranked[:films]):
        progress(number, min(films, len(ranked)))
        place = directory / "films" / Path(error.clip).name
        names = ComparisonOutputs.within(place)
        if not names.film.exists():
            compare(explained(error), place, overwrite=True)
        film_paths[error.clip] = names.film.relative_to(directory).as_posix()
        if names.page.exists():  # an earlier version wrote none
            pages[error.clip] = names.page.relative_to(directory).as_posix()
    with all_or_nothing(directory) as work:
        page = errors_page(errors, film_paths, pages, clips=clips, model=model, how=how)
        (work / NAME).write_text(page, encoding="utf-8")
    return directory / NAME


def errors_page(
    errors: Sequence[Misclassification],
    films: Mapping[str, str],
    pages: Mapping[str, str],
    *,
    clips: int,
    model: str,
    how: str,
) -> str:
    """Return the page as HTML.

    Args:
        errors: of the clips.
        films: clip → its film, a path relative to the page with "/" between its parts.
        pages: clip → the page that compares both maps, a path like that of its film.
        clips: number of all clips.
        model: name of the network.
        how: the method and the layers.
    """
    return render_template(
        "errors.html.j2",
        confusions=[
            {
                "true": c.true,
                "predicted": c.predicted,
                "probability": c.probability,
                "errors": [asdict(e) for e in c.errors],
            }
            for c in confusions(errors)
        ],
        scripts=("heat.js", "films.js"),
        films={clip: quote(Path(film).as_posix()) for clip, film in films.items()},
        pages={clip: quote(Path(page).as_posix()) for clip, page in pages.items()},
        wrong=len(errors),
        clips=counted(clips, "clip"),
        model=model,
        how=how,
    )
