"""A user's own network: an `nn.Module` in Python, or a factory named in a config."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence, Set
from importlib import import_module
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vidcam.cam.inputs import forward
from vidcam.cam.layers import last_layer
from vidcam.cam.layout import CHANNELS_FIRST, Layout
from vidcam.cam.targets import PATTERNS, Part, Pattern, frame_scores, part_of
from vidcam.errors import LayerError, ModelError, SettingsError, TargetError, counted, one_of
from vidcam.models.flow import RGBAndFlow
from vidcam.models.outside import Outside, as_module, check_runs
from vidcam.models.preprocess import Preprocess
from vidcam.models.probabilities import Probabilities, ends_in, function_of, last_module, logits_in
from vidcam.models.registry import Model, ModelSpec, labels_of, prepare
from vidcam.models.trial import OWN, bypassed, check_batches, check_order, where_raised
from vidcam.models.weights import fitted_to, load_into, read_checkpoint

ASSUMED = Preprocess(128, (112, 112), (0.45, 0.45, 0.45), (0.225, 0.225, 0.225))


def own_model(
    network: nn.Module | torch.export.ExportedProgram | Callable[..., Any],
    *,
    preprocess: Preprocess = ASSUMED,
    frames: int = 16,
    frame_rate: float | None = None,
    layer: str = "auto",
    labels: Sequence[str] | str | Path | None = None,
    name: str | None = None,
    layout: Layout = CHANNELS_FIRST,
    pack: Callable[[Tensor], Any] | Literal["rgb_and_flow"] = lambda windows: windows,
    output: Part = None,
    scores: Pattern = "n c",
    probabilities: Callable[[Tensor], Tensor] | Probabilities = "auto",
    unit: str = "",
    weights: str = "own",
    tested: bool = False,
) -> Model:
    """Return a model that can be explained, made of an `nn.Module`, or of a network that is seen from outside.

    Runs it on a window of zeros, and on noise to test the layout, batches, and the output if it could be probabilities. The
    network is in evaluation mode afterwards (call `network.train()` to go on with a training), and its five-dimensional
    parameters are in the memory format `torch.channels_last_3d`.

    Args:
        network: takes windows (N, 3, T, H, W), or the output of `pack`, and returns class scores before softmax. Other
            outputs leave functions as targets. A program of `torch.export`, TorchScript, what
            `vidcam.models.outside.onnx_network` returns, and any other function have no layers: they are explained by methods
            at the input, by default "rise".
        preprocess: from frames to windows; by default 112x112 pixels, mean 0.45 and deviation 0.225.
        frames: frames per window, T.
        frame_rate: frames per second that it was trained at; by default any.
        layer: default target layer; "auto" takes the last whose output has time and space and that the score depends on,
            unless a later one may have them in a layout that is not given.
        labels: of the classes, or a file for `vidcam.models.labels.read_labels`; by default numbers.
        name: of the network in explanations; by default the name of its class or function.
        layout: axes of the layers' output; channels first by default.
        pack: returns the network's input, given windows: a tuple for several arguments, a mapping for named ones, any
            other value, such as a tensor or a list, for one. "rgb_and_flow" gives the windows and their optical flow, see
            `vidcam.models.flow.RGBAndFlow`.
        output: part of its output that holds the class scores: a key, a name or an index, such as "heads.1", or a
            function that returns it; by default "logits" or the only tensor.
        scores: axes of the class scores: "n c"; "n" for one score of a window; or "n t", "n t c", "n c t" for scores
            of frames.
        probabilities: "softmax"; "sigmoid" if classes do not exclude each other; "given" if the network ends in one of
            them, and then the logit log p / (1 - p) is explained; "none" if the scores are values, as in a regression;
            or a function from scores (N, classes) to the probabilities. "auto" is softmax, or sigmoid for one class.
        unit: of the values.
        weights: their origin, as explanations name it.
        tested: True to leave out the tests of layout and batches, for a network that has passed them in another process.

    Raises:
        ModelError: the network is none; it does not run on such a window, or gives several rows of scores for it; has no layer with
            time and space, or one in a layout that is not given or that contradicts the window; it gives a window other values
            beside another than alone, or in a second run; the number of labels is not
            that of its classes; or
            it ends in a softmax or a sigmoid, and `probabilities` is "auto".
        TargetError: its output holds no such class scores, and labels, `output` or `scores` are given.
        SettingsError: there are no such scores, probabilities or pack; values have no unit; or frames, rate or labels mean
            nothing.

    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> model = own_model(network, labels=["walking", "waving"], frame_rate=25)
        >>> model.labels, model.spec.layer
        (('walking', 'waving'), '1')
    """
    name = name or str(getattr(network, "__name__", type(network).__name__))
    if isinstance(pack, str):
        one_of(pack, ("rgb_and_flow",), "pack")
        pack = RGBAndFlow(preprocess)
    _check_settings(frames, frame_rate, labels)
    network = as_module(network, name)
    prepare(network)
    culprit = network.function if isinstance(network, Outside) else type(network)
    parameter = next(network.parameters(), torch.zeros(()))
    window = torch.zeros(1, 3, frames, *preprocess.crop, dtype=parameter.dtype, device=parameter.device)
    try:
        with torch.inference_mode():
            given = forward(network, pack(window))
    except Exception as error:  # somebody else's code may raise anything
        raise ModelError(
            f"{name} does not run on a window {tuple(window.shape)} ({where_raised(error, culprit)}); "
            "set frames and preprocess to what it expects"
        ) from error
    one_of(scores, PATTERNS, "pattern of scores")
    if unit and probabilities != "none":
        raise SettingsError(
            f"unit {unit!r} is of values, and the scores become probabilities; give probabilities='none'"
        )
    find, unrecognised, rows, classes, doubled, beside = part_of(output), "", 1, 0, "", ""

    def scored(output: Any) -> Tensor:
        return frame_scores(find(output), scores)

    try:
        rows, classes = scored(given).shape[:2]
    except TargetError as error:
        if (output, scores, labels) != (None, "n c", None):
            raise
        unrecognised = str(error)  # a function as target needs no classes
    except Exception as error:  # the user's function
        raise ModelError(
            f"the part {output!r} of the output of {name} cannot be had: {where_raised(error, output)}"
        ) from error
    if not (classes or unrecognised):
        raise ModelError(f"{name} gives no scores: its output has 0 classes; give a network with one or more")
    if rows != 1:
        raise ModelError(
            f"{name} gives scores of {rows} rows for one window of {counted(frames, 'frame')}; wrap it so that it gives one "
            "row for a window: the mean over its frames, or (N, T, classes) with scores 'n t c'"
        )
    if not isinstance(probabilities, str):
        function: Callable[[Tensor], Tensor] | None = probabilities
        if classes:
            _check_function(probabilities, torch.zeros(1, classes, device=window.device))
    else:
        function = function_of(probabilities, classes)
        if probabilities == "given":
            find = logits_in(find, scores, name)
            find(given)
        elif probabilities != "none" and classes:
            doubled = _doubled(network, name, lambda w: scored(forward(network, pack(w))).mean(2), window)
            if doubled and probabilities == "auto":
                raise ModelError(doubled)
    if labels is None or isinstance(labels, str | Path):
        known, note = labels_of(labels, classes)
    else:
        known, note = tuple(labels), ""
        if len(known) != classes:
            given, expected = counted(len(known), "label"), counted(classes, "class")
            raise ModelError(f"{given} given, {name} has {expected}; give one label for each")
    if isinstance(network, Outside):
        if layer != "auto":
            raise ModelError(f"{name} is seen from outside and has no layer {layer!r}; leave layer out")
        check_runs(network, name, window, pack)
        layer, beside = "", f"{name} is seen from outside, without layers: it is explained at its input"
    elif layer == "auto":
        try:
            layer = last_layer(network, window, layout, pack, lambda o: scored(o).amax((1, 2)))
        except LayerError as error:
            raise ModelError(f"{name}: {error}") from error
    if layer and classes:
        beside = bypassed(network, layer, window, pack, scored)
    if layer and not tested:
        check_order(network, name, layer, window, layout, pack)
        check_batches(network, name, layer, window, layout, pack, scored if classes else None)
    spec = ModelSpec(
        name=name,
        build=lambda classes: network,
        num_classes=classes,
        published=dict,
        labels=lambda: known,
        preprocess=preprocess,
        frames=frames,
        frame_rate=frame_rate,
        layer=layer,
        method="" if layer else "rise",
        source=OWN,
        layout=layout,
        pack=pack,
        probabilities=function,
        scores=scores,
        output=find,
        unit=unit,
        unrecognised=unrecognised,
    )
    return Model(network, spec, known, weights, "; ".join(filter(None, [note, doubled, beside])))


def _check_settings(frames: int, frame_rate: float | None, labels: object) -> None:
    """Raise a SettingsError if the frames, their rate or the labels mean nothing."""
    if not isinstance(frames, Integral) or frames < 1:
        raise SettingsError(f"frames {frames!r} is no number of frames; give a whole number of 1 or more")
    if frame_rate is not None and not 0 < frame_rate < float("inf"):
        raise SettingsError(f"frame rate {frame_rate!r} is no rate; give frames per second, more than 0, or None")
    if isinstance(labels, Mapping | Set):
        raise SettingsError(
            f"labels of type {type(labels).__name__} have no order by which they belong to the classes; "
            "give a list, the label of class 0 first"
        )


def _check_function(probabilities: Callable[[Tensor], Tensor], scores: Tensor) -> None:
    """Raise a ModelError if the user's function does not return a probability for each score (N, classes)."""
    try:
        found = probabilities(scores)
    except Exception as error:
        raise ModelError(
            f"the function of probabilities fails on scores {tuple(scores.shape)} ({where_raised(error, probabilities)})"
        ) from error
    if not isinstance(found, Tensor) or found.shape != scores.shape:
        given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ModelError(
            f"the function of probabilities gives {given} for scores {tuple(scores.shape)}; it must give one for each"
        )


def _doubled(network: nn.Module, name: str, scores: Callable[[Tensor], Tensor], window: Tensor) -> str:
    """Return a message if a network gives probabilities itself, of which another softmax or sigmoid would be taken; or ""."""
    kind = ends_in(scores, window)
    if kind is None:
        return ""
    if kind == "scaled softmax":
        return (
            f"{name} gives scaled probabilities (numbers with the same sum in every window), and the softmax of those is "
            "wrong; leave out its softmax and its factor, because the score before them explains better"
        )
    if kind == "logsigmoid":
        return (
            f"{name} gives logarithms of probabilities (numbers of 0 or less), and the softmax of those is wrong; leave out "
            "its logsigmoid and give probabilities='sigmoid', or keep it and give probabilities=torch.exp"
        )
    numbers = "numbers between 0 and 1" + (" that sum to 1" if kind == "softmax" else "")
    last = last_module(network)
    where = f"its last module ({last})" if last else f"its {kind}"
    unsure = "; if they are scores all the same, give probabilities='softmax'" if kind == "sigmoid" and not last else ""
    return (
        f"{name} gives probabilities itself ({numbers}), and those of probabilities are wrong; leave out {where}, "
        f"because the score before it explains better, or give probabilities='given'{unsure}"
    )


def built(factory: str, arguments: Mapping[str, Any], weights: str) -> tuple[nn.Module, str]:
    """Return the network that a factory makes, with weights from a file if one is given, and a note on the file or "".

    Args:
        factory: "package.module:function"; the current directory is searched too.
        arguments: keyword arguments of the function.
        weights: a checkpoint file, or "default" or "none" for the weights that the factory gives it.

    Raises:
        ModelError: the factory cannot be found, fails, or gives no network; the file does not fit, or the network is seen
            from outside and takes none.
    """
    function = function_named(factory, "factory")
    try:
        network = function(**arguments)
    except Exception as error:
        raise ModelError(f"the factory {factory!r} fails: {where_raised(error, function)}") from error
    network = as_module(network, f"what the factory {factory!r} gives")
    if isinstance(network, Outside) and weights not in ("default", "none"):
        raise ModelError(
            f"{factory} gives a network that is seen from outside and takes no weights; leave {weights} out"
        )
    if weights in ("default", "none"):
        return network, ""
    state, note = fitted_to(network, read_checkpoint(Path(weights)))
    load_into(network, state, f"weights {weights} for {factory}")
    return network, note


def function_named(reference: str, kind: str) -> Callable[..., Any]:
    """Return the function of a name in a config.

    Args:
        reference: "package.module:function"; the current directory is searched too.
        kind: of the setting, for messages, such as "factory".

    Raises:
        ModelError: it cannot be found.
    """
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute:
        raise ModelError(f"the {kind} {reference!r} names no function; give package.module:function")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = import_module(module_name)
    except Exception as error:  # the user's own code may raise anything
        raise ModelError(f"the module of {kind} {reference!r} does not import ({where_raised(error)})") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise ModelError(
            f"the module of {kind} {reference!r} has no function {attribute!r}; give package.module:function"
        )
    found: Callable[..., Any] = function
    return found
