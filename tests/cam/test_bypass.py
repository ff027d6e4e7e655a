from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidcam.cam.bypass import bypass
from vidcam.errors import LayerError


class Branches(nn.Module):
    """Two branches whose sum is the score; `mixed` is the sum, and `called` says how often a branch is called."""

    def __init__(self, share: float, calls: int = 1) -> None:
        super().__init__()
        self.a, self.b, self.mixed = nn.Identity(), nn.Identity(), nn.Identity()
        self.share, self.calls = share, calls

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        a = torch.cat([self.a(part) for part in x.chunk(self.calls, 2)], 2)
        return {"logits": self.mixed((1 - self.share) * a + self.share * self.b(x.clone())).mean((2, 3, 4))}


def _share(network: nn.Module, *layers: str) -> float:
    return bypass(network, layers, torch.zeros(1, 3, 4, 6, 6), lambda windows: windows, lambda output: output["logits"])


@pytest.mark.parametrize("calls", [1, 4])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_it_is_the_share_of_the_other_branch(share: float, calls: int) -> None:
    network = Branches(share, calls)
    assert _share(network, "a") == pytest.approx(share, abs=1e-5)
    assert _share(network, "b") == pytest.approx(1 - share, abs=1e-5)


def test_nothing_bypasses_what_all_passes_through() -> None:
    assert _share(Branches(0.3), "mixed") == pytest.approx(0, abs=1e-5)
    assert _share(Branches(0.3), "a", "b") == pytest.approx(0, abs=1e-5)


def test_a_score_that_is_always_the_same_has_no_bypass() -> None:
    network = Branches(0.3)
    assert bypass(network, ["a"], torch.zeros(1, 3, 4, 6, 6), lambda w: w, lambda output: torch.ones(1, 2)) == 0.0


def test_a_layer_must_exist() -> None:
    with pytest.raises(LayerError, match="no layer 'c'"):
        _share(Branches(0.3), "c")
