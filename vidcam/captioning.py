"""Why a captioner wrote each word of its sentence: where in the picture, and when."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vidcam.errors import ModelError, SettingsError
from vidcam.explanation import ExplainedTarget, Explanation
from vidcam.models.captioner import Captioner, Telling
from vidcam.models.own import own_model
from vidcam.models.playground import PREPROCESS
from vidcam.models.registry import Model, bundled_weights, prepare
from vidcam.models.weights import load_into, read_state
from vidcam.pipeline import explain, explain_each, reading_of
from vidcam.playground.described import END, FRAMES, WORDS
from vidcam.playground.scene import FPS
from vidcam.reading import Progress
from vidcam.video.source import Source

NAME = "playground-captioner"
LAYER = "captioner.seen"


@dataclass(frozen=True)
class Caption:
    """A clip's sentence and why it was written.

    Attributes:
        words: the sentence.
        by_word: an explanation for each word: of its log-probability, given the clip and the words before it.
        whole: that of their mean over the sentence.
    """

    words: tuple[str, ...]
    by_word: tuple[Explanation, ...]
    whole: Explanation


def load_captioner(weights: str | Path = "default") -> Captioner:
    """The bundled captioner, which describes clips of the playground.

    Args:
        weights: "default", or a file that `vidcam playground train playground-captioner` wrote.

    Raises:
        ModelError: the file cannot be read or does not fit.
    """
    path = bundled_weights(NAME) if weights == "default" else Path(weights)
    captioner = Captioner(WORDS, END)
    load_into(captioner, read_state(path), f"weights {path} for {NAME}")
    prepare(captioner)
    return captioner


def explain_caption(
    clip: Source,
    captioner: Captioner | None = None,
    sentence: str | None = None,
    *,
    method: str = "gradcam++",
    stride: int | None = None,
    progress: Progress = lambda done, announced: None,
) -> Caption:
    """Describe a clip and explain every word of its sentence.

    A clip longer than a window has a sentence for each: the one taken is that of which the captioner is surest, and it
    is explained in all of them.

    Args:
        clip: a video file.
        captioner: the bundled one by default.
        sentence: explain this one, in the captioner's words, in place of its own.
        method: a key of `vidcam.cam.methods.METHODS`.
        stride: source frames between windows; half a window by default.
        progress: told how far the reading is.

    Raises:
        VidcamError: the clip cannot be read, a word is not one of the captioner's, or a setting cannot be used.
    """
    captioner = captioner or load_captioner()
    if sentence is not None:
        words = tuple(sentence.split())
        for word in words:
            captioner.index(word)
        if not 0 < len(words) < captioner.longest:
            raise SettingsError(
                f"a sentence of {len(words)} words is given; 1 to {captioner.longest - 1} can be explained"
            )
    else:
        words = _surest_sentence(clip, captioner, method, stride, progress)
    model = telling_model(captioner, words)
    found = explain_each(
        clip, model, f"top{len(words)}", method=method, stride=stride, dtype="float32", progress=progress
    )
    whole = explain(clip, model, _mean, method=method, stride=stride, dtype="float32", progress=progress)
    in_order = sorted((replace(e, top=()) for e in found), key=lambda e: e.target.index or 0)
    score = float(whole.scores.mean())
    return Caption(words, tuple(in_order), replace(whole, top=(), target=ExplainedTarget(None, " ".join(words), score)))


def telling_model(captioner: Captioner, words: Sequence[str]) -> Model:
    """A captioner that is told a sentence, as a model whose classes are the sentence's words."""
    return own_model(
        _telling(captioner, words),
        preprocess=PREPROCESS,
        frames=FRAMES,
        frame_rate=FPS,
        layer=LAYER,
        labels=list(words),
        name=NAME,
        probabilities=torch.exp,
        weights="bundled",
    )


def _telling(captioner: Captioner, words: Sequence[str]) -> Telling:
    return Telling(captioner, [captioner.index(word) for word in words], captioner.index(captioner.end))


def _mean(output: Tensor) -> Tensor:
    return output.mean(1)


def _surest_sentence(
    clip: Source, captioner: Captioner, method: str, stride: int | None, progress: Progress
) -> tuple[str, ...]:
    """Of the sentences of the clip's windows the one whose words are the most probable, by their mean log-probability."""
    model = telling_model(captioner, [captioner.end])
    reading = reading_of(
        clip, model, [LAYER], [method], stride=stride, sampling_rate=None, overlap=2, dtype="float32", dense=False,
        progress=progress,
    )  # fmt: skip
    best = float("-inf")
    sentence: tuple[str, ...] = ()
    with closing(reading.batches()) as batches, torch.inference_mode():
        for batch in batches:
            for window, words in zip(batch.given, captioner.describe(batch.given)):
                if words:
                    told = _telling(captioner, words).to(window.device)(window[None])
                    if (sure := float(told.mean())) > best:
                        best, sentence = sure, words
    if not sentence:
        raise ModelError(
            f"the captioner has nothing to say about {Path(reading.clip.name).name}; give a sentence to explain"
        )
    return sentence
