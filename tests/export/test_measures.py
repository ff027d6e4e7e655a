from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes

from vidcam.export.measures import faithfulness_figure, pointing_figure, sanity_figure

NAMES = ["gradcam++", "layercam", "centre"]  # two methods and a baseline


def _records(measures: list[str], curves: dict[str, int] | None = None) -> list[dict[str, Any]]:
    """Four clips and one that failed; every figure tells clip, explanation and measure apart."""
    records: list[dict[str, Any]] = [{"clip": "broken", "error": "none"}]
    for clip in range(4):
        figures: dict[str, Any] = {}
        for row, name in enumerate(NAMES):
            figures[name] = {m: 0.1 * n + 0.03 * row + 0.01 * clip for n, m in enumerate(measures)}
            for n, (curve, steps) in enumerate((curves or {}).items()):
                figures[name][curve] = (0.9 - 0.2 * n - 0.1 * row + 0.02 * clip) * np.linspace(1, 0.5, steps)
        records.append({"clip": str(clip), "figures": figures})
    return records


def _check_distribution(axes: Axes, records: list[dict[str, Any]], measure: str) -> None:
    """Dots and boxes of a measure over the clips, a row for each explanation from the top."""
    values = {name: [r["figures"][name][measure] for r in records if "figures" in r] for name in NAMES}
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    assert axes.yaxis_inverted()
    dots = [line for line in axes.lines if line.get_marker() == "."]
    medians = [line for line in axes.lines if str(line.get_color()) == "#d1495b"]
    for row, (name, dot, median) in enumerate(zip(NAMES, dots, medians, strict=True)):
        np.testing.assert_allclose(dot.get_xdata(), values[name])
        assert np.abs(np.asarray(dot.get_ydata()) - row).max() <= 0.3
        assert list(median.get_xdata()) == pytest.approx([np.median(values[name])] * 2)
        assert np.mean(median.get_ydata()) == pytest.approx(row)


def test_confidence_over_what_is_deleted_and_inserted() -> None:
    records = _records(["average_drop"], {"deletion_curve": 5, "insertion_curve": 5})
    left, middle, right = faithfulness_figure(records).axes
    for axes, which in ((left, "deletion"), (middle, "insertion")):
        assert axes.get_title() == which and axes.get_ylabel() == "confidence in the class"
        verb = {"deletion": "deleted", "insertion": "inserted"}[which]
        assert axes.get_xlabel() == f"% of the voxels {verb}" and axes.get_ylim() == (0, 1)
        for name, line in zip(NAMES, axes.lines, strict=True):
            mean = np.mean([r["figures"][name][f"{which}_curve"] for r in records[1:]], 0)
            assert line.get_label() == name
            np.testing.assert_allclose(line.get_xdata(), [0, 25, 50, 75, 100])
            np.testing.assert_allclose(line.get_ydata(), mean)
    assert [text.get_text() for text in left.get_legend().get_texts()] == NAMES
    assert right.get_title() == "drop in confidence (%)"
    _check_distribution(right, records, "average_drop")


def test_methods_are_in_colour_and_baselines_grey_and_dashed() -> None:
    records = _records(["average_drop"], {"deletion_curve": 5, "insertion_curve": 5})
    lines = faithfulness_figure(records).axes[0].lines
    assert [line.get_linestyle() for line in lines] == ["-", "-", "--"]
    viridis = matplotlib.colormaps["viridis"]([0, 0.85])
    np.testing.assert_allclose([line.get_color() for line in lines[:2]], viridis)
    assert lines[2].get_color() == "0.25"


def test_pointing_energy_and_overlap() -> None:
    records = _records(["pointing_game", "energy_inside", "saliency_iou"])
    axes = pointing_figure(records).axes
    titles = {
        "pointing game, share of frames": "pointing_game",
        "energy inside the acting figure": "energy_inside",
        "saliency IoU": "saliency_iou",
    }
    assert [one.get_title() for one in axes] == list(titles)
    for one, measure in zip(axes, titles.values(), strict=True):
        _check_distribution(one, records, measure)


def test_correlations_stage_by_stage_and_the_controls() -> None:
    records = _records(["randomised_1", "randomised_2", "other_class", "frozen_evidence"])
    for record in records[1:]:
        record["figures"]["gradcam++"]["frozen_evidence"] = 5.0
    left, middle, right = sanity_figure(records, ["fc", "stem"]).axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["fc", "stem"]
    lines = [line for line in left.lines if line.get_marker() == "o"]
    for name, line in zip(NAMES, lines, strict=True):
        means = [np.mean([r["figures"][name][f"randomised_{n}"] for r in records[1:]]) for n in (1, 2)]
        np.testing.assert_allclose(line.get_xydata(), [(0, means[0]), (1, means[1])])
    assert left.get_ylim()[0] <= 0 and left.get_ylim()[1] == 1.02
    assert left.get_ylabel() == "rank correlation with the map" and "runner-up" in middle.get_title()
    _check_distribution(middle, records, "other_class")
    for record in records[1:]:  # ratios are shown up to 2
        record["figures"]["gradcam++"]["frozen_evidence"] = 2.0
    _check_distribution(right, records, "frozen_evidence")


def test_no_correlation_lies_outside_the_axes() -> None:
    records = _records(["randomised_1", "other_class", "frozen_evidence"])
    for record in records[1:]:
        record["figures"]["centre"]["randomised_1"] = -0.8
    assert sanity_figure(records, ["fc"]).axes[0].get_ylim()[0] < -0.8


def test_figures_of_baselines_alone_or_of_methods_alone() -> None:
    for names, dashed in ((["centre", "ones"], 2), (["gradcam"], 0)):
        figures = {n: {"average_drop": 1.0, "deletion_curve": [1, 0], "insertion_curve": [0, 1]} for n in names}
        lines = faithfulness_figure([{"clip": "a", "figures": figures}]).axes[0].lines
        assert [line.get_label() for line in lines] == names
        assert [line.get_linestyle() for line in lines].count("--") == dashed
        assert len({str(line.get_color()) for line in lines}) == len(names)
