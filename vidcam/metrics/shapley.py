"""Shapley values: the fair share of each part in a value that all parts have together."""

from __future__ import annotations

from math import comb

import numpy as np


def shapley_values(values: np.ndarray) -> np.ndarray:
    """Return the Shapley value of each of n parts (Shapley 1953; Lundberg and Lee 2017, arXiv 1705.07874, eq. 4), (n,).

        φ_i = Σ_{S without i} |S|! (n - |S| - 1)! / n! · (v(S ∪ {i}) - v(S))

    They sum to v(all) - v(none).

    Args:
        values: (2^n,) v of each set of parts; bit i of the index says that part i is in it. n up to 16.

    Raises:
        ValueError: the number of values is no power of 2, or larger than 2^16.

    Example:
        >>> shapley_values(np.array([0.0, 1.0, 2.0, 4.0]))  # v(1) = 1, v(2) = 2, v(both) = 4
        array([1.5, 2.5])
    """
    count = len(values).bit_length() - 1
    if not 0 <= count <= 16 or len(values) != 1 << count:
        raise ValueError(f"{len(values)} values given; 2^n are needed, n from 0 to 16")
    sets = np.arange(1 << count)
    sizes = np.array([int(s).bit_count() for s in sets])
    found = np.zeros(count)
    for part in range(count):
        without = sets[(sets >> part) & 1 == 0]
        weights = np.array([1 / (count * comb(count - 1, size)) for size in range(count)])[sizes[without]]
        found[part] = weights @ (np.asarray(values, np.float64)[without | 1 << part] - values[without])
    return found
