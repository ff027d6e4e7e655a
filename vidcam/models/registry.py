"""The networks vidcam knows by name, and what each expects: name → ModelSpec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import torch
from torch import nn

from vidcam.errors import ModelError, nearest
from vidcam.models.c3d import C3D, Pool5
from vidcam.models.playground import PREPROCESS, SmallR2Plus1D, small_c3d
from vidcam.models.preprocess import Preprocess
from vidcam.models.weights import State, classes_in, load_into, read_state
from vidcam.playground.actions import LABELS, NOTHING
from vidcam.playground.scene import FPS


@dataclass(frozen=True)
class ModelSpec:
    """A network as its publisher means it to be used.

    Attributes:
        name: what users call it.
        build: the network with that many classes, randomly initialised.
        num_classes: of the published weights.
        classifier: the parameter whose first dimension is the number of classes.
        published: the publisher's weights as a state, or an explanation of where to get them as a ModelError.
        labels: the published class labels.
        preprocess: from frames to input.
        frames: frames per window.
        frame_rate: frames per second the network was trained at.
        layer: the default target layer.
        source: who made it and where it is described.
        background: the label of the class that means "none of the others", where the network has one.
    """

    name: str
    build: Callable[[int], nn.Module]
    num_classes: int
    classifier: str
    published: Callable[[], State]
    labels: Callable[[], tuple[str, ...]]
    preprocess: Preprocess
    frames: int
    frame_rate: float
    layer: str
    source: str
    background: str | None = None


@dataclass(frozen=True)
class Model:
    """A network ready to be explained: in evaluation mode, with the labels of its classes.

    `weights` says where the parameters came from; `note` is something the user must be told, or empty.
    """

    network: nn.Module
    spec: ModelSpec
    labels: tuple[str, ...]
    weights: str
    note: str = ""

    @property
    def background(self) -> int | None:
        """Index of the class that means "none of the others", or None."""
        return self.labels.index(self.spec.background) if self.spec.background in self.labels else None


def load_model(name: str, weights: str | Path = "default", labels: str | Path | None = None) -> Model:
    """A network by name.

    Args:
        name: one of `model_names()`.
        weights: "default" for the publisher's, "none" for random ones, or a .pth, .pt or .safetensors file.
        labels: a text file with one label a line, for weights with other classes than the published ones.

    Raises:
        ModelError: the name is unknown, the weights cannot be had, or the file does not fit the network.
    """
    spec = spec_named(name)
    classes, state, origin, note = spec.num_classes, None, "none", ""
    if str(weights) == "none":
        note = f"{name} has random weights: its explanations mean nothing; they show only that the pipeline runs"
    elif str(weights) == "default":
        state, origin = spec.published(), "default"
    else:
        state, origin = read_state(Path(weights)), str(weights)
        classes = classes_in(state, spec.classifier, Path(weights))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # random weights are the same every time
        network = spec.build(classes)
    if state is not None:
        load_into(network, state, f"weights {weights!s} for {name}")
    network.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # quicker, same answer
    return Model(network, spec, _labels(spec, classes, labels), origin, note)


def _labels(spec: ModelSpec, classes: int, path: str | Path | None) -> tuple[str, ...]:
    if path is None:
        known = spec.labels() if classes == spec.num_classes else ()
        return known if len(known) == classes else tuple(f"class {i}" for i in range(classes))
    try:
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"labels file {path} cannot be read ({error}); give a UTF-8 text file, one label a line"
        ) from error
    if len(lines) != classes:
        raise ModelError(
            f"labels file {path} has {len(lines)} labels, the network {classes} classes; give one line for each"
        )
    return tuple(lines)


def model_names() -> list[str]:
    """The names `load_model` takes, bundled networks first."""
    return list(_SPECS)


def spec_named(name: str) -> ModelSpec:
    """The spec of a network.

    Raises:
        ModelError: there is none of that name; the message lists the nearest.
    """
    if name in _SPECS:
        return _SPECS[name]
    near = nearest(name, _SPECS) or list(_SPECS)
    raise ModelError(f"there is no model {name!r}; did you mean {', '.join(near)}? `vidcam models` lists all")


def _playground(name: str, build: Callable[[int], nn.Module], classifier: str, layer: str, source: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        build=build,
        num_classes=len(LABELS),
        classifier=classifier,
        published=lambda: read_state(bundled_weights(name)),
        labels=lambda: LABELS,
        preprocess=PREPROCESS,
        frames=16,
        frame_rate=FPS,
        layer=layer,
        source=source,
        background=NOTHING,
    )


def bundled_weights(name: str) -> Path:
    """Where the weights of a bundled network lie inside the package."""
    return Path(str(files("vidcam"))) / "models" / "bundled" / f"{name}.safetensors"


def _torchvision(
    name: str, preprocess: Preprocess, frames: int, layer: str, classifier: str = "fc.weight"
) -> ModelSpec:
    from vidcam.models import torchvision as zoo

    return ModelSpec(
        name=name,
        build=lambda classes: zoo.build(name, classes),
        num_classes=400,
        classifier=classifier,
        published=lambda: zoo.published(name),
        labels=lambda: zoo.labels(name),
        preprocess=preprocess,
        frames=frames,
        frame_rate=15,
        layer=layer,
        source="torchvision, Kinetics-400",
    )


def _c3d(name: str, preprocess: Preprocess, pool5: Pool5, source: str, where: str) -> ModelSpec:
    def published() -> State:
        raise ModelError(
            f"{name} has no weights that torchvision could download; fetch {where} and pass --weights FILE. "
            "The bundled networks playground-r2plus1d and playground-c3d need no download"
        )

    return ModelSpec(
        name=name,
        build=lambda classes: C3D(classes, pool5=pool5),
        num_classes=487,
        classifier="fc8.weight",
        published=published,
        labels=lambda: (),
        preprocess=preprocess,
        frames=16,
        frame_rate=30,
        layer="relu5b",
        source=source,
    )


_KINETICS = Preprocess((128, 171), (112, 112), (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))

_SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        _playground("playground-r2plus1d", SmallR2Plus1D, "fc.weight", "layer3", "vidcam, trained on its playground"),
        _playground("playground-c3d", small_c3d, "fc8.weight", "relu4b", "vidcam, trained on its playground"),
        _torchvision("r2plus1d_18", _KINETICS, 16, "layer4"),
        _torchvision("r3d_18", _KINETICS, 16, "layer4"),
        _torchvision("mc3_18", _KINETICS, 16, "layer4"),
        _torchvision(
            "s3d", replace(_KINETICS, resize=(256, 256), crop=(224, 224)), 128, "features", "classifier.1.weight"
        ),
        _c3d(
            "c3d",
            Preprocess((112, 200), (112, 112), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), scale=1.0),
            "pad",
            "Tran et al. 2015, Sports-1M; bring c3d.pickle",
            "c3d.pickle, which github.com/DavideA/c3d-pytorch links to (Sports-1M, 487 classes)",
        ),
        _c3d(
            "c3d-caffe",
            Preprocess((128, 171), (112, 112), (90.0, 98.0, 102.0), (1.0, 1.0, 1.0), scale=1.0, bgr=True),
            "ceil",
            "Tran et al. 2015, Sports-1M; bring the Caffe weights converted to conv1 ... fc8",
            "the authors' Caffe model (github.com/facebookarchive/C3D, conv3d_deepnetA_sport1m_iter_1900000), "
            "save its parameters as conv1.weight ... fc8.bias",
        ),
    )
}
