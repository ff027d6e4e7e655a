from __future__ import annotations

from pathlib import Path

import pytest

from vidcam.evaluation.inference import Subject
from vidcam.evaluation.samples import Sample, read_sample
from vidcam.explainer import Explainer
from vidcam.models.registry import Model, load_model
from vidcam.playground.clips import write_clip
from vidcam.playground.scene import untrimmed_scene
from vidcam.recipe import Recipe

METHODS = ["gradcam++", "gradcam"]


@pytest.fixture(scope="package")
def model() -> Model:
    return load_model("playground-r2plus1d")


@pytest.fixture(scope="package")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered clip that the bundled network understands."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(untrimmed_scene(3, 0, 64), path)
    return path


@pytest.fixture(scope="package")
def sample(path: Path, model: Model) -> Sample:
    return read_sample(path, model.spec.preprocess)


@pytest.fixture(scope="package")
def subject(model: Model) -> Subject:
    return Subject.of(Explainer(model, Recipe(method=",".join(METHODS), dtype="float32")))
