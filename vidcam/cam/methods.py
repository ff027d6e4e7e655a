"""Class activation maps on space-time activations.

Most methods take A, the target layer's `activation`, and g = dS/dA, the `gradient` of the explained score before softmax;
both are (N, C, T, H, W). All return a map (N, T, H, W) that is 0 or more. The names of a method's
parameters are the tensors that it needs. Maps are not normalised, so those of different windows can be compared.
The first line of a method's docstring is its line in `vidcam methods`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from einops import einsum, rearrange, reduce
from torch import Tensor

from vidcam.errors import LayerError, SettingsError

Method = Callable[..., Tensor]

_OVER_SPACE_AND_TIME = "n c t h w -> n c 1 1 1"
_OVER_SPACE = "n c t h w -> n c t 1 1"


def gradcam_plus_plus_alpha(activation: Tensor, gradient: Tensor) -> Tensor:
    """Return the pixel weights alpha of Grad-CAM++ for Y = exp(S), (N, C, T, H, W).

        alpha = g² / (2 g² + g³ ΣA) = 1 / (2 + g ΣA) for g ≠ 0, and 0 where g or the denominator is 0,

    ΣA the sum of the channel over time and space. Chattopadhyay et al. 2018 (arXiv 1710.11063), eq. 19. The closed
    form is exact when S is piecewise linear in A. The second form does not underflow when gradients are small.
    """
    total = reduce(activation, _OVER_SPACE_AND_TIME, "sum")
    denominator = 2 + gradient * total
    defined = (gradient != 0) & (denominator != 0)
    return torch.where(defined, 1 / torch.where(defined, denominator, 1.0), 0.0)


def gradcam_plus_plus(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhyay et al. 2018, arXiv 1710.11063, eqs. 5, 12, 19, 20), over time and space.

        w_k = Σ alpha_k relu(g_k),  L = relu(Σ_k w_k A_k)

    The activation is rectified first, which changes nothing if the layer is a rectifier. The paper's weights have
    the factor exp(S), one positive number for a whole window. It is left out here, because it does not change the map
    of a single window, and applied between the windows of a clip, see `vidcam.temporal.factor`.

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    activation = activation.clamp(min=0)
    positive = gradcam_plus_plus_alpha(activation, gradient) * gradient.clamp(min=0)
    return _weighted(activation, reduce(positive, _OVER_SPACE_AND_TIME, "sum"))


def gradcam_plus_plus_in_time(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM++ with weights for each step in time, pooled over space alone (alpha as in arXiv 1710.11063, eq. 19).

        w_k(t) = Σ_ij alpha_k relu(g_k),  L(t) = relu(Σ_k w_k(t) A_k(t)),  ΣA in alpha over time and space

    One weight for a whole window does not depend on the step at which a channel raises the score. If the head pools
    over time and space, g is the same at all steps, and so is w_k(t): the map is Grad-CAM++'s divided by the number of
    steps.

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    activation = activation.clamp(min=0)
    positive = gradcam_plus_plus_alpha(activation, gradient) * gradient.clamp(min=0)
    return _weighted(activation, reduce(positive, _OVER_SPACE, "sum"))


def gradcam_plus_plus_softmax(activation: Tensor, gradient: Tensor, cumulants: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Grad-CAM++ for Y = softmax(S), the class probability (arXiv 1710.11063, eqs. 22 to 24).

    log Y = S - log Σ exp S_k, and the derivatives of log Σ exp S_k along one position of A are the cumulants κ of the
    classes' gradients g_k under the probabilities. With d = g - κ1,

        Y'/Y = d,   Y''/Y = d² - κ2,   Y'''/Y = d³ - 3 d κ2 - κ3,   alpha = Y'' / (2 Y'' + Y''' ΣA)

    and w, L as in Grad-CAM++. The factor Y, one number for a whole window, is applied between the windows of a clip,
    see `vidcam.temporal.factor`. Unlike that of exp(S), this alpha can have a denominator near 0 and be large or negative
    there. Needs one backward pass of the head for each class.

    Args:
        activation, gradient: A and g, (N, C, T, H, W).
        cumulants: κ1, κ2, κ3, (N, C, T, H, W) each; see `Capture.cumulants`.

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    activation = activation.clamp(min=0)
    mean, variance, skew = cumulants
    first = gradient - mean
    second = first**2 - variance
    third = first**3 - 3 * first * variance - skew
    denominator = 2 * second + third * reduce(activation, _OVER_SPACE_AND_TIME, "sum")
    defined = denominator != 0
    alpha = torch.where(defined, second / torch.where(defined, denominator, 1.0), 0.0)
    return _weighted(activation, reduce(alpha * first.clamp(min=0), _OVER_SPACE_AND_TIME, "sum"))


def gradcam_plus_plus_signed(activation: Tensor, gradient: Tensor) -> Tensor:
    """The paper's ablation: Grad-CAM++ without the relu on the gradients, w_k = Σ alpha_k g_k (arXiv 1710.11063, section 6).

    If g is negative, alpha can have a denominator near 0 and be large: a control, not an explanation to show.

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    activation = activation.clamp(min=0)
    alpha = gradcam_plus_plus_alpha(activation, gradient)
    return _weighted(activation, reduce(alpha * gradient, _OVER_SPACE_AND_TIME, "sum"))


def gradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391, eqs. 1 and 2), over time and space.

    w_k = mean of g_k,  L = relu(Σ_k w_k A_k)

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    return _weighted(activation, reduce(gradient, _OVER_SPACE_AND_TIME, "mean"))


def gradcam_in_time(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM with weights for each step in time: w_k(t) = mean of g_k over space,  L(t) = relu(Σ_k w_k(t) A_k(t)).

    If the head pools over time and space, it is Grad-CAM (arXiv 1610.02391, eqs. 1 and 2).

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    return _weighted(activation, reduce(gradient, _OVER_SPACE, "mean"))


def gradcam_plus(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM of the positive gradients alone, w_k = mean of relu(g_k).

    Grad-CAM++ is nearly equal to it according to Lerma and Lucas 2022 (arXiv 2205.10838).

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    return _weighted(activation, reduce(gradient.clamp(min=0), _OVER_SPACE_AND_TIME, "mean"))


def hirescam(activation: Tensor, gradient: Tensor) -> Tensor:
    """HiResCAM (Draelos and Carin 2020, arXiv 2011.08891): L = relu(Σ_k g_k A_k), position by position.

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    return einsum(gradient, activation, "n c t h w, n c t h w -> n t h w").clamp(min=0)


def layercam(activation: Tensor, gradient: Tensor) -> Tensor:
    """LayerCAM (Jiang et al. 2021, IEEE TIP 30, eqs. 6 and 7): L = relu(Σ_k relu(g_k) A_k), position by position.

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    return hirescam(activation, gradient.clamp(min=0))


def xgradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """XGrad-CAM (Fu et al. 2020, arXiv 2008.02312, eq. 8).

    w_k = Σ A_k g_k / Σ A_k (0 where the sum is 0),  L = relu(Σ_k w_k A_k)

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    total = reduce(activation, _OVER_SPACE_AND_TIME, "sum")
    weighted = reduce(gradient * activation, _OVER_SPACE_AND_TIME, "sum")
    weights = torch.where(total != 0, weighted / torch.where(total != 0, total, 1.0), 0.0)
    return _weighted(activation, weights)


def score_cam(activation: Tensor, masked_scores: Tensor) -> Tensor:
    """Score-CAM (Wang et al. 2020, arXiv 1910.01279, eqs. 5 to 8): no gradient, but one forward pass for each channel.

    w = softmax over the channels of the scores of the window masked by each,  L = relu(Σ_k w_k A_k)

    The score of a baseline, which the paper subtracts, is the same for all channels and cancels in the softmax.

    Args:
        activation: A, (N, C, T, H, W).
        masked_scores: (N, C); see `Capture.masked_scores`.

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    return _weighted(activation, rearrange(masked_scores.softmax(1), "n c -> n c 1 1 1"))


def rise(random_masks: tuple[Tensor, Tensor]) -> Tensor:
    """RISE (Petsiuk et al. 2018, arXiv 1806.07421, eq. 6), over time and space: random parts are shown, and no gradient is used.

        L = relu(Σ_m (S_m - mean S) M_m / Σ_m M_m)

    S_m is the score of the window that shows what mask M_m shows. The paper's sum of S_m M_m is this map plus mean S,
    which is the same everywhere and means nothing for a score before softmax. The resolution is that of the masks' cells
    and not that of the layer; it is the layer's grid that the map is given on.

    Args:
        random_masks: M (M, T, H, W) in [0, 1] and S (N, M); see `Capture.random_masks`.

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    masks, scores = random_masks
    centred = scores - scores.mean(1, keepdim=True)
    shown = reduce(masks, "m t h w -> t h w", "sum").clamp(min=torch.finfo(masks.dtype).eps)
    return (einsum(centred, masks, "n m, m t h w -> n t h w") / shown).clamp(min=0)


def saliency_tubes(activation: Tensor, gradient: Tensor) -> Tensor:
    """Saliency Tubes (Stergiou et al. 2019, arXiv 1902.01078): the layer's channels weighted by the class's weights.

    w_k is the weight of channel k in the linear layer after global average pooling, which equals Σ g_k.
    L = relu(Σ_k w_k A_k). Defined only for such a head.

    Returns:
        The maps, (N, T, H, W), 0 or more.

    Raises:
        LayerError: g varies within a channel, so that the layer is not followed by global pooling and a linear layer.
    """
    weights = reduce(gradient, _OVER_SPACE_AND_TIME, "sum")
    even = reduce(gradient, _OVER_SPACE_AND_TIME, "mean")
    if (gradient - even).abs().max() > 1e-3 * gradient.abs().max():
        raise LayerError(
            "saliency tubes need a layer followed by global average pooling and one linear layer, and this one is not: "
            "its gradient varies within a channel; choose the last layer before the pooling, or another method"
        )
    return _weighted(activation, weights)


def attnlrp(relevance: Tensor) -> Tensor:
    """AttnLRP (Achtibat et al. 2024, arXiv 2402.05602): relevance of each token of a transformer, L = relu(Σ_k R_k).

    The relevance of a value is its share of the score, see `vidcam.cam.relevance`. What speaks against the class is left
    out, as by the other methods. Defined for layers with attention behind them.

    Args:
        relevance: R, (N, C, T, H, W); see `Capture.relevances`.

    Returns:
        The maps, (N, T, H, W), 0 or more.
    """
    return reduce(relevance, "n c t h w -> n t h w", "sum").clamp(min=0)


def _weighted(activation: Tensor, weights: Tensor) -> Tensor:
    """Return relu(Σ_k w_k A_k), (N, T, H, W), with weights (N, C, 1 or T, 1, 1)."""
    if weights.shape[2] == 1:
        return einsum(weights[:, :, 0, 0, 0], activation, "n c, n c t h w -> n t h w").clamp(min=0)
    return einsum(weights[:, :, :, 0, 0], activation, "n c t, n c t h w -> n t h w").clamp(min=0)


METHODS: dict[str, Method] = {
    "gradcam++": gradcam_plus_plus,
    "gradcam++t": gradcam_plus_plus_in_time,
    "gradcam++softmax": gradcam_plus_plus_softmax,
    "gradcam++signed": gradcam_plus_plus_signed,
    "gradcam": gradcam,
    "gradcam-t": gradcam_in_time,
    "gradcam+": gradcam_plus,
    "hirescam": hirescam,
    "layercam": layercam,
    "xgradcam": xgradcam,
    "scorecam": score_cam,
    "rise": rise,
    "saliency-tubes": saliency_tubes,
    "attnlrp": attnlrp,
}


def method_named(name: str) -> Method:
    """Return the method of a name in `METHODS`.

    Raises:
        SettingsError: there is none.
    """
    if name not in METHODS:
        raise SettingsError(f"there is no method {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]


def needs(method: Method) -> frozenset[str]:
    """Return the names of what a method takes: activation, gradient, relevance, cumulants, masked_scores, random_masks."""
    return frozenset(inspect.signature(method).parameters)
