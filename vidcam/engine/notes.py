"""Notes on a network's answers, for the people who read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vidcam.cam.input_methods import INPUT
from vidcam.engine.attribution import WindowMap
from vidcam.models.registry import ModelSpec
from vidcam.results.drawing import Drawing

_FLAT = 1e-5  # difference in a frame, as a share of the largest heat, below which its heat is the same everywhere
_CONVERGED = 0.9  # convergence below which more passes are advised


def domain_note(spec: ModelSpec) -> str:
    """Return the note on clips of which most windows lie outside what the network was made for."""
    return f"{spec.name} knows {spec.domain} only; its answer about other clips means nothing"


def assumption_note(spec: ModelSpec) -> str:
    """Return the note on a network of which nothing but the object is given: what is assumed of its training."""
    preprocess = spec.preprocess
    crop = "x".join(map(str, preprocess.crop))
    return (
        f"of {spec.name} nothing is known but the network: windows of {spec.frames} frames that follow each other, resized to "
        f"{preprocess.resize}, cropped to {crop}, with the mean {preprocess.mean[0]:g} and the deviation {preprocess.std[0]:g}, are "
        "assumed; if it was trained with others, give them to vidcam.own_model"
    )


def picture_note(name: str, drawing: Drawing) -> str:
    """Return the note on a picture of which films were asked for; "" if none was but the overlay."""
    films = [*(kind for kind in drawing.formats if kind not in ("mp4", "png")), *["highlights"] * drawing.highlights]
    return f"{name} is a picture, of which no film is made; {', '.join(films)} left out" if films else ""


def softmax_note(spec: ModelSpec) -> str:
    """Return the note on a network whose scores are probabilities already, of which a softmax is taken again."""
    return (
        f"{spec.name} gives numbers that sum to 1 in every window: probabilities, of which another "
        "softmax is taken; leave out its softmax, or the probabilities below are wrong"
    )


def heat_notes(
    place: tuple[str, str], label: str, maps: Sequence[WindowMap], heat: np.ndarray, *, sloped: bool
) -> Iterator[str]:
    """Yield a note if the heat of a target is empty or the same everywhere in each frame, with the reason.

    Args:
        place: method and layer.
        label: of the target.
        maps: of the windows, that have one of the target.
        heat: (F, h, w), 0 or more.
        sloped: True if the target's gradient at the layer is not 0 everywhere.
    """
    method, layer = place
    peak = heat.max(initial=0.0)
    if method == "shapley" and peak:
        yield f"the heat for {label} shows when, and not where: shapley is of stretches of time"
    elif peak and (np.ptp(heat, axis=(1, 2)) <= _FLAT * peak).all():
        single = heat.shape[1] * heat.shape[2] == 1
        reason = f"layer {layer} has 1 position in space; choose an earlier layer"
        if layer == INPUT and single:
            reason = f"{method} hides whole frames; give more passes (--passes)"
        elif not single:
            reason = f"layer {layer} gives the same at all of them"
        yield f"the heat for {label} is the same at every place of a frame and does not show where: {reason}"
    elif not peak and any(m.heat[place].any() for m in maps):
        yield (
            f"the heat for {label} is empty: its probability, which each map is multiplied by, is 0 in every window; "
            "give factor none (--factor none) to see the maps"
        )
    elif not peak and layer == INPUT:
        pixels = "the gradient of its score by the pixels is 0 everywhere, or speaks against it"
        hidden = "no part that is hidden lowers its score; hide parts by something else (--absent), or smaller ones"
        shown = "the tenth of the window that it shows does not raise its score; show it on something else (--absent)"
        reasons = {"integrated-gradients": pixels, "smoothgrad": pixels, "extremal": shown}
        reason = reasons.get(method, hidden)
        yield f"the heat for {label} is empty: by {method}, {reason}"
    elif not peak and sloped:
        other = "" if method.startswith("gradcam-") or method == "gradcam" else "try gradcam, or "
        yield (
            f"the heat for {label} is empty: by {method} no active channel of layer {layer} speaks for it; "
            f"{other}explain a contrast, such as '{label} - another', or another layer"
        )
    elif not peak:
        yield (
            f"the heat for {label} is empty: the gradient of its score is 0 everywhere at layer {layer}, so that "
            "nothing of the layer changes the score; choose an earlier layer, and the score before a softmax or sigmoid"
        )


def passes_note(method: str, passes: int, converged: float | None) -> str:
    """Return a note on the passes of the network that a method took, and on the convergence of its maps.

    Args:
        method: at the network's input.
        passes: for each window.
        converged: the convergence of its maps, in [0, 1]; None if nothing is sampled.
    """
    taken = f"{method} ran the network {passes} times for each window"
    if converged is None:
        return f"{taken}; its result does not depend on chance"
    more = "; give more passes (--passes)" if converged < _CONVERGED else ""
    if method == "integrated-gradients":
        return f"{taken}; its sum misses {1 - converged:.3f} of the change of the score{more}"
    if method == "extremal":
        return f"{taken}; its mask correlates by {converged:.2f} with that after three quarters of them{more}"
    return f"{taken}; maps of two such runs with other random numbers would correlate by about {converged:.2f}{more}"
