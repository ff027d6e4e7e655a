"""Explanation of captions: the evidence for each word of a sentence, in space and in time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vidcam.engine.loader import Progress, WindowLoader
from vidcam.errors import ModelError, SettingsError, counted
from vidcam.explainer import Explainer
from vidcam.models.own import own_model
from vidcam.models.registry import Model
from vidcam.playground.captioner import Captioner, TeacherForced, load_captioner
from vidcam.playground.captions import FRAMES
from vidcam.playground.domain import DOMAIN, PREPROCESS, rendered
from vidcam.playground.scene import FPS
from vidcam.recipe import Recipe
from vidcam.results.caption import Caption
from vidcam.video.source import Source

LAYER = "captioner.seen"


def explain_caption(
    clip: Source,
    captioner: Captioner | None = None,
    sentence: str | None = None,
    *,
    recipe: Recipe = Recipe(dtype="float32"),
    progress: Progress = lambda done, announced: None,
) -> Caption:
    """Return a sentence that describes a clip, with an explanation of each of its words.

    The captioner writes a sentence for each window; the one with the highest mean log-probability is explained in all
    windows.

    Args:
        clip: as for `vidcam.explain`.
        captioner: the bundled one by default.
        sentence: a sentence in the captioner's words to explain instead of the captioner's own.
        recipe: methods, windows and precision; the default layer is the captioner's rectified sum, `LAYER`.
        progress: called with the number of frames done and the number that the header announces.

    Raises:
        ClipError: the clip cannot be read.
        ModelError: the captioner writes no sentence for the clip.
        TargetError: a word is not one of the captioner's.
        SettingsError: the sentence is empty or too long, or a setting cannot be used, such as an evidence of motion.
    """
    if recipe.splits:
        raise SettingsError(
            f"evidence {recipe.evidence} is of classes, and words are explained by the whole evidence; leave it out"
        )
    captioner = captioner or load_captioner()
    words: tuple[str, ...] = ()
    if sentence is not None:
        words = tuple(sentence.split())
        for word in words:
            captioner.index(word)
        if not 0 < len(words) < captioner.longest:
            raise SettingsError(
                f"a sentence of {counted(len(words), 'word')} is given; 1 to {captioner.longest - 1} can be explained"
            )
    # Without a sentence the first model only reads windows; the model that is explained is tested.
    model = teacher_forced_model(captioner, words or [captioner.end], tested=not words)
    explainer = Explainer(model, recipe)
    explainer.refuse_several()
    loader = explainer.opened(clip, progress=progress)
    if not words:
        words = _most_probable_sentence(loader, captioner, model)
        model = teacher_forced_model(captioner, words)
        explainer = Explainer(model, recipe)
    found = explainer.explain(loader, [*range(len(words)), _mean])
    *by_word, whole = found[:: len(found) // (len(words) + 1)]  # of several layers the fused one of each word
    return Caption(
        words,
        tuple(replace(e, top=()) for e in by_word),
        replace(whole, top=(), target=replace(whole.target, label=" ".join(words))),
    )


def teacher_forced_model(captioner: Captioner, words: Sequence[str], *, tested: bool = False) -> Model:
    """Return the captioner with a fixed sentence, as a model whose classes are the sentence's words.

    Args:
        captioner: the captioner.
        words: the sentence.
        tested: True to leave out the tests of layout and batches, see `own_model`.

    Raises:
        TargetError: a word is not one of the captioner's.
    """
    model = own_model(
        _teacher_forced(captioner, words),
        preprocess=PREPROCESS,
        frames=FRAMES,
        frame_rate=FPS,
        layer=LAYER,
        labels=list(words),
        name="playground-captioner",
        probabilities=torch.exp,
        weights="bundled",
        tested=tested,
    )
    return replace(model, spec=replace(model.spec, inside=rendered, domain=DOMAIN))


def _teacher_forced(captioner: Captioner, words: Sequence[str]) -> TeacherForced:
    return TeacherForced(captioner, [captioner.index(word) for word in words], captioner.index(captioner.end))


def _mean(output: Tensor) -> Tensor:
    return output.mean(1)


def _most_probable_sentence(loader: WindowLoader, captioner: Captioner, model: Model) -> tuple[str, ...]:
    """Return the sentence with the highest mean log-probability of its words, of the sentences of all windows."""
    best = float("-inf")
    sentence: tuple[str, ...] = ()
    with closing(loader.batches(model)) as batches, torch.inference_mode():
        for batch in batches:
            for window, words in zip(batch.given, captioner.describe(batch.given)):
                if words:
                    given = _teacher_forced(captioner, words).to(window.device)(window[None])
                    if (probable := float(given.mean())) > best:
                        best, sentence = probable, words
    if not sentence:
        raise ModelError(
            f"the captioner writes no sentence for {Path(loader.source.name).name}; give a sentence to explain"
        )
    return sentence
