"""Activations and gradients at target layers, at little more than the cost of a plain forward pass.

The layers up to the first target (the trunk) run without recording a graph. The activation is detached there and
becomes a leaf: only the layers after it (the head) are recorded and differentiated. Parameters are constants meanwhile,
so that a trunk that is called again, for each frame, records no graph either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.cam.inputs import forward
from vidcam.cam.layout import CHANNELS_FIRST, Fold, Layout, can_be_stacked, tensor_of, with_tensor
from vidcam.cam.relevance import relevance_rules
from vidcam.cam.scored import InputParams, ScoredWindows
from vidcam.cam.targets import ScoreFunction, Scores, class_scores
from vidcam.errors import LayerError, counted, nearest

_ONE_AT_A_TIME = RLock()
_WITHOUT_CHECKPOINTS = (
    "switch activation checkpointing off (gradient_checkpointing_disable(), use_checkpoint=False, with_cp=False)"
)


class InPlaceError(LayerError):
    """A head that changes in place what its gradient is computed from, as in networks that are only run."""


class Capture:
    """The `output` of one forward pass, and the tensors that a map needs at each target layer.

    All tensors of a layer are (N, C, T, H, W), without a graph, in the dtype in which the network computed them.

    Attributes:
        output: as the network returned it; the head's graph is kept.
        run_with_copies: runs the network again and copies what its head changes in place.
    """

    def __init__(self, windows: Tensor, run: Callable[[Tensor], Any], scores: Scores) -> None:
        self.output: Any = None
        self._scores = scores
        self._windows, self._run = windows, run
        self._kept: dict[str, list[tuple[Tensor, Fold]]] = {}  # one for each call
        self._cumulants: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        self._watching = True
        self.run_with_copies: Callable[[], None] = lambda: None

    @property
    def activations(self) -> dict[str, Tensor]:
        """Output of each layer by its name, (N, C, T, H, W)."""
        return {
            name: torch.cat([fold(tensor.detach()) for tensor, fold in calls], 2) for name, calls in self._kept.items()
        }

    @property
    def count(self) -> int:
        """Number of windows that there are scores of, N."""
        for (tensor, fold), *_ in self._kept.values():
            return len(fold(tensor.detach()))
        return len(self._windows)

    def gradients(self, scores: Tensor) -> dict[str, Tensor]:
        """Return the gradient of each window's score by its activation, dS/dA; can be called many times.

        Args:
            scores: (N,) scores computed from `output`, entry n from window n alone.

        Returns:
            Layer → (N, C, T, H, W).

        Raises:
            LayerError: the scores do not depend on a layer's activation.
            InPlaceError: the head changes in place what its gradient is computed from; see `run_with_copies`.
        """
        if not scores.requires_grad:
            raise LayerError(
                "the output does not depend on the target layer through operations that can be differentiated; "
                "choose a layer that the score is computed from, and a model that does not switch gradients off; "
                + _WITHOUT_CHECKPOINTS
            )
        kept = [tensor for calls in self._kept.values() for tensor, _ in calls]
        try:
            found = iter(torch.autograd.grad(scores.sum(), kept, retain_graph=True, allow_unused=True))
        except RuntimeError as error:
            if "modified by an inplace operation" in str(error):
                raise InPlaceError("the head changes in place what its gradient is computed from") from error
            if "checkpoint" not in str(error):
                raise
            raise LayerError(
                f"the network computes a part behind the layer again in its backward pass; {_WITHOUT_CHECKPOINTS}"
            ) from error
        gradients = {}
        for name, calls in self._kept.items():
            of_calls = [next(found) for _ in calls]
            if all(gradient is None for gradient in of_calls):
                raise LayerError(
                    f"the score does not depend on layer {name!r}; choose a layer that it is computed from"
                )
            gradients[name] = torch.cat(
                [
                    fold(torch.zeros_like(tensor) if gradient is None else gradient)
                    for (tensor, fold), gradient in zip(calls, of_calls)
                ],
                2,
            )
        return gradients

    def relevances(self, scores: Tensor) -> dict[str, Tensor]:
        """Return the relevance of each activation for the score of its window, see `vidcam.cam.relevance`.

        Args:
            scores: as for `gradients`.

        Returns:
            Layer → (N, C, T, H, W).

        Raises:
            LayerError: as for `gradients`; or there is no attention behind the layers, or an operation without a rule.
            InPlaceError: as for `gradients`.
        """
        with relevance_rules(scores):
            gradients = self.gradients(scores)
        return {name: activation * gradients[name] for name, activation in self.activations.items()}

    def cumulants(self, layer: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first three cumulants of dS_k/dA over the classes k, weighted by their probabilities.

        Runs one backward pass of the head for each class.

        Args:
            layer: name of a captured layer.

        Returns:
            Mean, variance and third cumulant, (N, C, T, H, W) each.

        Raises:
            LayerError: the scores do not depend on a layer's activation.
            TargetError: the output holds no class scores.
        """
        if not self._cumulants:
            scores = self._scores(self.output)
            shares = scores.detach().to(torch.promote_types(scores.dtype, torch.float32)).softmax(1)
            moments: dict[str, list[Tensor]] = {}
            for k in range(scores.shape[1]):
                for name, gradient in self.gradients(scores[:, k]).items():
                    share = shares[:, k].view(-1, 1, 1, 1, 1).to(gradient.dtype)
                    powers = [share * gradient, share * gradient**2, share * gradient**3]
                    moments[name] = [a + b for a, b in zip(moments[name], powers)] if name in moments else powers
            for name, (m1, m2, m3) in moments.items():
                self._cumulants[name] = m1, m2 - m1**2, m3 - 3 * m1 * m2 + 2 * m1**3
        return self._cumulants[layer]

    def masked_scores(self, layer: str, score: ScoreFunction) -> Tensor:
        """Return the score of each window masked by each channel of a layer, (N, C).

        A channel is interpolated to the size of the window, scaled to [0, 1] and multiplied with the window. Runs
        one forward pass of the network for each channel.

        Args:
            layer: name of a captured layer.
            score: a function of the network's output that returns one score per window, (N,).
        """
        scores = []
        self._watching = False
        with torch.no_grad():
            for channel in self.activations[layer].unbind(1):
                mask = nn.functional.interpolate(
                    rearrange(channel.float(), "n t h w -> n 1 t h w"), self._windows.shape[2:], mode="trilinear"
                )
                low, high = mask.amin((1, 2, 3, 4), True), mask.amax((1, 2, 3, 4), True)
                mask = (mask - low) / torch.where(high > low, high - low, 1.0)
                scores.append(score(self._run(self._windows * mask.to(self._windows.dtype))))
        self._watching = True
        return torch.stack(scores, 1)

    def scored(
        self, score: ScoreFunction, params: InputParams = InputParams(), on_pass: Callable[[], None] = lambda: None
    ) -> ScoredWindows:
        """Return the windows with the function that runs the network on others in their place.

        Args:
            score: a function of the network's output that returns one score per window, (N,).
            params: of the method.
            on_pass: called after each pass of the network.
        """

        def run(windows: Tensor) -> Tensor:
            self._watching = False
            try:
                return score(self._run(windows))
            finally:
                self._watching = True

        return ScoredWindows(self._windows, run, params, on_pass)


@contextmanager
def captured(
    network: nn.Module,
    layers: Sequence[str],
    windows: Tensor,
    *,
    layout: Layout = CHANNELS_FIRST,
    pack: Callable[[Tensor], Any] = lambda windows: windows,
    cut: Callable[[Tensor], Tensor] | None = None,
    scores: Scores = class_scores,
) -> Iterator[Capture]:
    """Run a network on windows and yield a `Capture` of the tensors that a class activation map needs.

    The outputs of a module that is called once for each frame, or for each part of several frames, are stacked over
    time in the order of the calls. The network can be in any dtype and memory format; operations that work in place
    after a layer do not change the captured activation. Hooks, the gradient mode and the parameters' are restored when
    the `with` ends, also by an exception.

    Args:
        network: in evaluation mode.
        layers: names of modules in `network.named_modules()` whose output has time and space.
        windows: (N, 3, T, H, W), preprocessed, on the network's device.
        layout: order of axes in the layers' output; channels first by default.
        pack: returns the network's input, given windows, see `vidcam.cam.inputs.forward`.
        cut: returns the layer's output on N windows, given that on one long span of frames; the head computes on it.
        scores: returns the class scores (N, classes) in the network's output.

    Raises:
        LayerError: there is no such layer; it is not called, or several times, but not for parts of the window; or its
            output is not (N, C, T, H, W) by the layout.
    """
    capture = Capture(windows, lambda windows: forward(network, pack(windows)), scores)

    def keeper(name: str) -> Any:
        def keep(module: nn.Module, _inputs: Any, output: Any) -> Any:
            if not capture._watching:
                return None
            windows_given = len(windows)
            if cut is not None and isinstance(output, Tensor):
                output = cut(output)
                windows_given = len(output)
            fold, tensor = layout.fold(name, module, output, windows_given), tensor_of(output)
            assert tensor is not None  # or it had no fold
            torch.set_grad_enabled(True)
            # A copy: a layer may give its input itself, which the network may change in place.
            kept = tensor.clone() if tensor.requires_grad else tensor.detach().clone().requires_grad_(True)
            if capture.output is None:  # not yet in a backward pass that runs a part of the network again
                capture._kept.setdefault(name, []).append((kept, fold))
            return with_tensor(output, kept.clone())

        return keep

    with ExitStack() as restored:
        restored.enter_context(_ONE_AT_A_TIME)  # another thread's run of the network would be kept, too
        restored.enter_context(_constant([p for p in network.parameters() if p.requires_grad]))
        for name in dict.fromkeys(layers):
            module = module_named(network, name)
            if isinstance(module, torch.jit.ScriptModule):
                raise LayerError(
                    f"layer {name!r} is TorchScript, which cannot be observed; give the nn.Module that it was made from"
                )
            restored.callback(module.register_forward_hook(keeper(name)).remove)
        for module in network.modules():
            if isinstance(module, nn.RNNBase):
                restored.enter_context(_without_cudnn(module))
        restored.enter_context(torch.no_grad())

        def run() -> None:
            capture.output = None
            capture._kept.clear()
            torch.set_grad_enabled(False)
            capture.output = forward(network, pack(windows))
            for name in layers:
                if name not in capture._kept:
                    raise LayerError(f"layer {name!r} is not called when the network runs; choose another")
                _check_calls(name, capture._kept[name], windows.shape[2])
            torch.set_grad_enabled(True)

        def run_with_copies() -> None:
            # Slow: not for every network.
            restored.enter_context(torch.autograd.graph.allow_mutation_on_saved_tensors())
            run()

        # Restored, too: the capture would refer to itself, and keep its windows until Python looks for such cycles.
        restored.callback(setattr, capture, "run_with_copies", capture.run_with_copies)
        capture.run_with_copies = run_with_copies
        run()
        yield capture


@contextmanager
def _constant(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Take no gradient with respect to the parameters."""
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextmanager
def _without_cudnn(module: nn.Module) -> Iterator[None]:
    """Run a recurrent module of the head without cuDNN, which computes no gradient of it in evaluation mode."""
    entered: list[Any] = []

    def before(_module: nn.Module, _inputs: Any) -> None:
        if torch.is_grad_enabled():
            entered.append(torch.backends.cudnn.flags(enabled=False))
            entered[-1].__enter__()

    def after(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        if entered:
            entered.pop().__exit__(None, None, None)

    first = module.register_forward_pre_hook(before)
    last = module.register_forward_hook(after, always_call=True)
    try:
        yield
    finally:
        first.remove()
        last.remove()


def _check_calls(name: str, calls: Sequence[tuple[Tensor, Fold]], frames: int) -> None:
    """Raise a LayerError if the outputs of several calls cannot be stacked over time."""
    shapes = {tuple(fold(tensor.detach()).shape) for tensor, fold in calls}
    chained = any(tensor.grad_fn is not None for tensor, _ in calls[1:])  # a step of a recurrence, or no step in time
    if len(calls) > 1 and (not can_be_stacked(shapes, len(calls), frames) or (chained and len(calls) != frames)):
        given = " and ".join(map(str, sorted(shapes)))
        raise LayerError(
            f"layer {name!r} is called {len(calls)} times in one pass, and gives (N, C, T, H, W) of {given}; calls are "
            f"explained only where each gives one step in time and their number divides the {counted(frames, 'frame')}; "
            "choose a layer that is called once, such as one around it or behind it"
        )


def module_named(network: nn.Module, name: str) -> nn.Module:
    """Return the module of a name.

    Raises:
        LayerError: there is none; the message lists names to choose from.
    """
    modules = dict(network.named_modules())
    if name and name in modules:
        return modules[name]
    convolutions = [n for n, m in modules.items() if isinstance(m, nn.Conv3d | nn.Conv2d)]
    near = nearest(name, [n for n in modules if n])
    hint = f"nearest: {', '.join(near)}; " if near else ""
    raise LayerError(f"there is no layer {name!r}; {hint}its convolutions are {', '.join(convolutions) or 'none'}")
