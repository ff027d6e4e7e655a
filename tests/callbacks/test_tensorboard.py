"""The event file is read by TensorBoard's own reader."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.callbacks.conftest import Net, explainer_of
from vidcam.callbacks import explain_clips, log_to_tensorboard

pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'vidcam[tensorboard]'")


def logged(folder: Path) -> Any:
    """The events of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


@pytest.mark.slow
def test_films_and_scores_are_there_at_their_steps(network: Net, clips: list[Path], tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    explained = list(explain_clips(explainer_of(network), clips))
    with SummaryWriter(str(tmp_path / "run")) as writer:
        for step in (10, 20):
            log_to_tensorboard(writer, explained, step)
    events = logged(tmp_path / "run")
    assert events.Tags()["images"] == ["explanations/a", "explanations/b"]
    for clip in explained:
        films = events.Images(f"explanations/{clip.name}")
        assert [film.step for film in films] == [10, 20] and films[0].encoded_image_string == clip.film
        film = Image.open(io.BytesIO(films[0].encoded_image_string))
        assert (films[0].width, films[0].height) == film.size and film.n_frames == 12
        scores = events.Scalars(f"explanations/{clip.name}/score")
        assert [(s.step, s.value) for s in scores] == [(at, pytest.approx(clip.score)) for at in (10, 20)]
