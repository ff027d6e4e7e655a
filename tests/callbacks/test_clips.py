from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.callbacks.conftest import Net, explainer_of
from vidcam.callbacks import explain_clips
from vidcam.errors import ClipError, SettingsError


def test_a_network_in_training_is_explained_as_it_is_now_and_goes_on_training(network: Net, clips: list[Path]) -> None:
    explainer = explainer_of(network)
    network.train()
    network.body[3].eval()  # a module that its owner keeps in evaluation mode
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.inference_mode():  # as Lightning validates
        first, second = explain_clips(explainer, clips, "wave")
    assert [module.training for module in network.body] == [True, True, True, False] and network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert (first.name, second.name) == ("a", "b")
    expected = explainer_of(Net().eval()).explain(clips[0], "wave")[0]
    assert first.explanation.target.probability == pytest.approx(expected.target.probability)
    assert first.score == first.explanation.target.probability
    with torch.no_grad():
        network.head.bias[2] += 3
    (after,) = explain_clips(explainer, clips[:1], "wave")
    assert after.score > first.score + 0.1


def test_the_film_is_an_animation_of_the_clip(network: Net, clips: list[Path]) -> None:
    (clip,) = explain_clips(explainer_of(network), clips[:1])
    film = Image.open(io.BytesIO(clip.film))
    assert film.format == "GIF" and film.width == 64 and film.n_frames == 12


def test_what_cannot_be_logged_is_refused(network: Net, clips: list[Path], tmp_path: Path) -> None:
    network.train()
    with pytest.raises(SettingsError, match=r"several results are asked for \(target top2\)"):
        next(explain_clips(explainer_of(network), clips, "top2"))
    with pytest.raises(SettingsError, match="several clips are named 'a'"):
        list(explain_clips(explainer_of(network), [clips[0], clips[0]]))
    Image.new("RGB", (32, 32)).save(tmp_path / "picture.png")
    with pytest.raises(SettingsError, match=r"picture\.png is a picture, and a log shows films"):
        list(explain_clips(explainer_of(network), [tmp_path / "picture.png"]))
    network.train()
    explainer = explainer_of(network)
    network.train()
    with pytest.raises(ClipError):
        list(explain_clips(explainer, ["none.mp4"]))
    assert network.training
