"""Class activation maps on space-time activations: activation and gradient in, map out.

Every method takes A, the target layer's activation, and g = dS/dA, the gradient of the explained score before
softmax, both (N, C, T, H, W), and gives a map (N, T, H, W) that is 0 or more. Nothing is normalised, so the maps
of different windows can be compared.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import einsum, reduce
from torch import Tensor

Method = Callable[[Tensor, Tensor], Tensor]

_OVER_SPACE_AND_TIME = "n c t h w -> n c 1 1 1"


def gradcam_plus_plus_alpha(activation: Tensor, gradient: Tensor) -> Tensor:
    """The pixel weights alpha of Grad-CAM++ for Y = exp(S), (N, C, T, H, W).

        alpha = g² / (2 g² + g³ ΣA) = 1 / (2 + g ΣA) for g ≠ 0, and 0 where g or the denominator is 0,

    ΣA the sum of the channel over time and space. Chattopadhyay et al. 2018 (arXiv 1710.11063), eq. 19. The closed
    form is exact when S is piecewise linear in A. The second form loses nothing when gradients are small.
    """
    total = reduce(activation, _OVER_SPACE_AND_TIME, "sum")
    denominator = 2 + gradient * total
    defined = (gradient != 0) & (denominator != 0)
    return torch.where(defined, 1 / torch.where(defined, denominator, 1.0), 0.0)


def gradcam_plus_plus(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhyay et al. 2018, arXiv 1710.11063, eqs. 5, 12, 19, 20), over time and space.

        w_k = Σ alpha_k relu(g_k),  L = relu(Σ_k w_k A_k)

    The activation is rectified first; where the layer is a rectifier this changes nothing. The paper's weights carry
    the factor exp(S), one positive number for a whole window, which overflows: it is left out. The map of a window
    is therefore the paper's up to that factor, and maps of two windows compare as the gradients of S do, not of exp(S).
    """
    activation = activation.clamp(min=0)
    alpha = gradcam_plus_plus_alpha(activation, gradient)
    weights = reduce(alpha * gradient.clamp(min=0), "n c t h w -> n c", "sum")
    return _weighted(activation, weights)


def gradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391, eqs. 1 and 2), over time and space.

    w_k = mean of g_k,  L = relu(Σ_k w_k A_k)
    """
    return _weighted(activation, reduce(gradient, "n c t h w -> n c", "mean"))


def _weighted(activation: Tensor, weights: Tensor) -> Tensor:
    return einsum(weights, activation, "n c, n c t h w -> n t h w").clamp(min=0)


METHODS: dict[str, Method] = {
    "gradcam++": gradcam_plus_plus,
    "gradcam": gradcam,
}
