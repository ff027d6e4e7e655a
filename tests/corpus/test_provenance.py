from __future__ import annotations

import copy
from importlib.metadata import version
from typing import Any

import pytest
import torch
from torch import nn

from vidcam.corpus.provenance import differences, provenance, weights_sha256


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.Linear(4, 2))


def test_equal_weights_have_the_same_digest_and_any_others_another_one() -> None:
    network = _network()
    digest = weights_sha256(network)
    assert digest == weights_sha256(_network()) == weights_sha256(network.to(memory_format=torch.channels_last_3d))

    def value(other: Any) -> None:
        other[2].bias.data[1] += 1e-6

    def buffer(other: Any) -> None:
        other[1].num_batches_tracked += 1

    def shape(other: Any) -> None:
        other[2].weight.data = other[2].weight.data.reshape(4, 2)

    def name(other: Any) -> None:
        other.renamed = other[2]

    for change in (value, buffer, shape, name):
        other = copy.deepcopy(network)
        change(other)
        assert weights_sha256(other) != digest, change
    assert weights_sha256(network.bfloat16()) != digest


def test_provenance() -> None:
    made_by = provenance(_network())
    assert made_by["versions"]["vidcam"] == version("vidcam") and made_by["versions"]["torch"] == torch.__version__
    assert made_by["weights_sha256"] == weights_sha256(_network())


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({}, {}, ""),
        ({"versions": {"a": "1"}, "stride": 3}, {"versions": {"a": "1"}}, ""),
        ({"versions": {"a": "1", "b": "1"}}, {"versions": {"a": "2", "b": "1"}}, "a: 1, now 2"),
        ({"weights_sha256": "ab" * 32}, {"weights_sha256": "cd" * 32}, "weights: abababababab…, now cdcdcdcdcdcd…"),
        ({}, {"versions": {"a": "1"}, "weights_sha256": "x"}, "a: not recorded, now 1; weights: not recorded, now x"),
        ({"versions": {"a": "1"}}, {}, "a: 1, now not recorded"),
    ],
)
def test_differences(before: dict[str, Any], now: dict[str, Any], told: str) -> None:
    assert differences(before, now) == told
