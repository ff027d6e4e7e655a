"""A small video captioner: a 3D-convolutional encoder, and a transformer decoder that writes a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.errors import TargetError
from vidcam.models.registry import prepare
from vidcam.models.weights import load_into, read_state
from vidcam.playground.captions import END, WORDS
from vidcam.playground.networks import SmallR2Plus1D
from vidcam.playground.spec import bundled_weights

NAME = "playground-captioner"

_WIDTH = 128


class Captioner(nn.Module):
    """A captioner that writes a sentence, word by word, about windows (N, 3, T, 112, 112).

    The trunk is that of the small R(2+1)D. Actions do not depend on colours, and a trunk trained on actions does not
    encode them: a shorter path from the pixels is added to the trunk's output, both scaled to the same strength. The
    rectified sum, the layer `seen`, is the target layer. A recurrent network follows each position through time, so
    that it can count, and the decoder attends to all positions and times.

    Args:
        vocabulary: every word it may write. The last is `end`, which ends a sentence and also begins it.
        longest: maximum number of words of a sentence, its end included.
        trunk: the encoder; a new one with random weights by default.
    """

    def __init__(self, vocabulary: Sequence[str], end: str, longest: int = 20) -> None:
        super().__init__()
        self.vocabulary, self.end, self.longest = tuple(vocabulary), end, longest
        trunk = SmallR2Plus1D(1)
        self.encoder = nn.Sequential()
        for name in ("stem", "layer1", "layer2", "layer3"):
            self.encoder.add_module(name, getattr(trunk, name))
        self.looks = nn.Sequential(
            nn.AvgPool3d((2, 4, 4)),
            nn.Conv3d(3, _WIDTH // 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv3d(_WIDTH // 2, _WIDTH, (1, 2, 2), (1, 2, 2)),
        )
        self.acts_evenly, self.looks_evenly = nn.BatchNorm3d(_WIDTH), nn.BatchNorm3d(_WIDTH)
        self.seen = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool3d((None, 7, 7))
        self.place = nn.Parameter(0.02 * torch.randn(49, _WIDTH))
        self.through_time = nn.GRU(_WIDTH, _WIDTH, batch_first=True)
        self.word = nn.Embedding(len(self.vocabulary), _WIDTH)
        nn.init.normal_(self.word.weight, std=_WIDTH**-0.5)  # it gives the scores, too
        self.order = nn.Parameter(0.02 * torch.randn(longest, _WIDTH))
        layer = nn.TransformerDecoderLayer(_WIDTH, 4, 2 * _WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.writer = nn.TransformerDecoder(layer, 2, nn.LayerNorm(_WIDTH))

    def features(self, windows: Tensor) -> Tensor:
        """Return the features that the decoder attends to, (N, T' x 49, width)."""
        both = self.acts_evenly(self.encoder(windows)) + self.looks_evenly(self.looks(windows))
        features = self.pool(self.seen(both))
        places = rearrange(features, "n c t h w -> n (h w) t c") + self.place[:, None]
        followed, _ = self.through_time(rearrange(places, "n p t c -> (n p) t c"))
        return rearrange(followed, "(n p) t c -> n (t p) c", n=len(windows))

    def forward(self, windows: Tensor, words: Tensor) -> Tensor:
        """Return log-probabilities of the next word after each of the given ones.

        Args:
            windows: (N, 3, T, H, W).
            words: (N, L) indices into the vocabulary, beginning with that of `end`.

        Returns:
            (N, L, len(vocabulary)).
        """
        return self.decode(self.features(windows), words)

    def decode(self, features: Tensor, words: Tensor) -> Tensor:
        """Return the log-probabilities of `forward` from the features of `features`."""
        length = words.shape[1]
        ahead = torch.ones(length, length, dtype=torch.bool, device=words.device).triu(1)
        hidden = self.writer(self.word(words) + self.order[:length], features, tgt_mask=ahead)
        return (hidden @ self.word.weight.T).float().log_softmax(-1)

    @torch.no_grad()
    def describe(self, windows: Tensor) -> list[tuple[str, ...]]:
        """Return the sentence of each window: the most probable word at every step, without the end."""
        features = self.features(windows)
        words = torch.full((len(windows), 1), self.index(self.end), device=windows.device)
        for _ in range(self.longest):
            following = self.decode(features, words)[:, -1].argmax(-1, keepdim=True)
            words = torch.cat([words, following], 1)
        sentences = [[self.vocabulary[i] for i in row[1:]] for row in words.tolist()]
        return [tuple(s[: s.index(self.end)] if self.end in s else s) for s in sentences]

    def index(self, word: str) -> int:
        """Return the index of a word in the vocabulary.

        Raises:
            TargetError: it is not one of them.
        """
        if word not in self.vocabulary:
            raise TargetError(f"the captioner does not know {word!r}; its words are {' '.join(self.vocabulary)}")
        return self.vocabulary.index(word)


def load_captioner(weights: str | Path = "default") -> Captioner:
    """Return the bundled captioner, which describes clips of the playground.

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


class TeacherForced(nn.Module):
    """A captioner with a fixed sentence as its input (teacher forcing): each word's score can be explained like a class.

    Args:
        captioner: returns log-probabilities (N, L, vocabulary), given windows and (N, L) words.
        words: the sentence, each by its index in the vocabulary.
        begin: the index that a sentence begins with.

    Example, a captioner of one's own and the map of the second word of a sentence:
        >>> class Mine(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.encoder = nn.Sequential(nn.Conv3d(3, 8, 3, stride=2), nn.ReLU())
        ...         self.words, self.out = nn.Embedding(5, 8), nn.Linear(8, 5)
        ...     def forward(self, windows, words):
        ...         features = self.encoder(windows).mean((2, 3, 4))
        ...         return self.out((features[:, None] * self.words(words)).relu()).log_softmax(-1)
        >>> from vidcam import class_activation_map
        >>> forced = TeacherForced(Mine(), words=[3, 1, 4], begin=0).eval()
        >>> class_activation_map(forced, torch.rand(1, 3, 8, 32, 32), layer="captioner.encoder.1", target=1).shape
        torch.Size([1, 8, 32, 32])
    """

    def __init__(self, captioner: nn.Module, words: Sequence[int], begin: int) -> None:
        super().__init__()
        self.captioner = captioner
        self.register_buffer("given", torch.tensor([begin, *words[:-1]]))
        self.register_buffer("sentence", torch.tensor(list(words)))
        self.given: Tensor
        self.sentence: Tensor

    def forward(self, windows: Tensor) -> Tensor:
        """Return (N, L) log-probabilities of the sentence's words, each given those before it."""
        found: Tensor = self.captioner(windows, self.given.expand(len(windows), -1))
        return found.gather(2, self.sentence.expand(len(windows), -1)[..., None])[..., 0]
