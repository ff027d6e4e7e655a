from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidcam.models.registry import load_model
from vidcam.playground.captions import END, FRAMES, WORDS, captioned_scene
from vidcam.playground.training.captioner import CaptionedWindows, caption_loss, captioner_from, sentence


def test_windows_and_their_sentences() -> None:
    frames, words = CaptionedWindows(5, 2, 0)[1]
    assert frames.shape == (3, FRAMES, 112, 112) and frames.dtype == torch.uint8
    told = [WORDS[i] for i in words.tolist() if i >= 0]
    assert tuple(told) == (END, *captioned_scene(0, 6).words, END)
    assert words.tolist() == sentence(captioned_scene(0, 6).words).tolist() and (words == -100).sum() == 21 - len(told)


class Sure(nn.Module):
    """Says the same of every window: half the probability on the first word, the rest evenly on the others."""

    def forward(self, windows: Tensor, words: Tensor) -> Tensor:
        share = torch.full((len(WORDS),), 0.5 / (len(WORDS) - 1))
        share[0] = 0.5
        return share.log().expand(*words.shape, -1)


def test_the_loss_by_hand() -> None:
    words = torch.full((1, 5), -100)
    words[0, :4] = torch.tensor([3, 0, 7, 0])
    loss, accuracy = caption_loss(Sure(), (torch.zeros(1, 3, 2, 112, 112, dtype=torch.uint8), words))
    other = torch.tensor(0.5 / (len(WORDS) - 1)).log()
    plain = -(2 * torch.tensor(0.5).log() + other) / 3
    even = -(torch.tensor(0.5).log() + (len(WORDS) - 1) * other) / len(WORDS)
    assert loss.item() == pytest.approx(float(0.98 * plain + 0.02 * even), rel=1e-4)
    assert accuracy == pytest.approx(2 / 3)


def test_it_begins_with_the_trunk_of_the_classifier() -> None:
    trunk = load_model("playground-r2plus1d").network
    captioner = captioner_from(trunk)
    for name in ("stem", "layer3"):
        for (key, own), given in zip(
            captioner.encoder.get_submodule(name).state_dict().items(), trunk.get_submodule(name).state_dict().values()
        ):
            assert torch.equal(own, given), key
    learning = {name.split(".")[1] for name, p in captioner.encoder.named_parameters("encoder") if p.requires_grad}
    assert learning == {"layer2", "layer3"} and captioner.training and not captioner.encoder.training
