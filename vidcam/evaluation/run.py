"""Evaluation over many clips: one record per clip, resumable, summarized as means with intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from vidcam.errors import ClipError, OutputError, counted
from vidcam.evaluation.samples import Sample, Source
from vidcam.metrics.baselines import BASELINES
from vidcam.metrics.estimate import Estimate, Tally, estimate
from vidcam.metrics.faithfulness import wins
from vidcam.models.preprocess import Preprocess
from vidcam.untrusted.files import read_regular
from vidcam.untrusted.text import fitted, shortened

_MOST_BYTES = 256 << 20

Measure = Callable[[Sample], Mapping[str, Mapping[str, Any]]]
Record = dict[str, Any]
"""The record of a clip: {"clip": name, "figures": {explanation: {figure: value}}} or {"clip": name, "error": text}."""

Figures = dict[str, dict[str, Estimate]]
"""Explanation → figure → its mean over the clips."""


def measure_clips(
    measure: Measure,
    preprocess: Preprocess,
    sources: Sequence[Source],
    settings: Mapping[str, Any],
    out: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Record]:
    """Return the records of all clips; a clip that cannot be measured is recorded with its error.

    Args:
        measure: returns the figures of a clip.
        preprocess: the network's, which resizes and crops frames.
        sources: the clips.
        settings: settings that the figures depend on, ready for JSON.
        out: a directory in which `records.jsonl` gets a line as soon as a clip is measured. Clips that are in it
            already are not measured again.
        progress: called with the number of clips done and the number of all.

    Raises:
        OutputError: the directory holds records of other settings, or cannot be written.
        ClipError: no clip could be measured.
    """
    records = {} if out is None else _stored_records(out, settings)
    try:
        with nullcontext() if out is None else (out / "records.jsonl").open("a", encoding="utf-8") as file:
            for done, source in enumerate(sources):
                progress(done, len(sources))
                if source.name not in records:
                    records[source.name] = _record(measure, preprocess, source)
                    _append(file, records[source.name])
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror or error}); is the disk full?") from error
    progress(len(sources), len(sources))
    found = [records[source.name] for source in sources]
    if all("error" in record for record in found):
        raise ClipError(f"none of the {counted(len(found), 'clip')} could be measured; the first: {found[0]['error']}")
    return found


def _record(measure: Measure, preprocess: Preprocess, source: Source) -> Record:
    try:
        figures = measure(source.read(preprocess))
    except ClipError as error:
        return {"clip": source.name, "error": str(error)}
    return {"clip": source.name, "figures": {name: dict(values) for name, values in figures.items()}}


def _append(file: TextIO | None, record: Record) -> None:
    if file is not None:
        file.write(json.dumps(record) + "\n")
        file.flush()


def _stored_records(out: Path, settings: Mapping[str, Any]) -> dict[str, Record]:
    """Return the records of a directory, by clip; an incomplete last line is removed from the file.

    Raises:
        OutputError: the directory holds records of other settings, or cannot be used.
    """
    described = json.dumps(dict(settings), indent=2) + "\n"
    try:
        out.mkdir(parents=True, exist_ok=True)
        kept, known = out / "records.jsonl", out / "settings.json"
        if known.exists() and read_regular(known, _MOST_BYTES).decode("utf-8") != described:
            raise OutputError(f"{out} holds records of other settings (settings.json); give another --out, or the same")
        known.write_text(described, encoding="utf-8")
        text = read_regular(kept, _MOST_BYTES).decode("utf-8") if kept.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if len(whole) < len(text):
            kept.write_text(whole, encoding="utf-8")
        records = [_validated(json.loads(line)) for line in whole.split("\n")[:-1]]
        return {record["clip"]: record for record in records}
    except (OSError, ValueError, RecursionError) as error:
        reason = fitted(str(error), 300)
        raise OutputError(f"{out} cannot be used ({reason}); give another --out") from error


def _validated(record: Any) -> Record:
    """Return a record that has the form `_record` gives: figures by explanation and name, or an error.

    Raises:
        ValueError: it has another form.
    """
    match record:
        case {"clip": str(), "error": str()}:
            return dict(record)
        case {"clip": str(), "figures": dict(figures)} if figures and all(
            isinstance(values, dict) and (name == "error" or _are_figures(values)) for name, values in figures.items()
        ):  # what is known of a network's error is texts, too
            return dict(record)
    raise ValueError(f"records.jsonl holds {shortened(record)}, which is no record of a clip")


def _are_figures(values: Any) -> bool:
    return isinstance(values, dict) and all(isinstance(value, int | float | list | None) for value in values.values())


@dataclass(frozen=True)
class Summary:
    """Means over clips of the methods and of the baselines.

    Attributes:
        settings: settings that the figures depend on.
        clips: number of clips that were measured.
        failed: clip → error, for those that could not be.
        methods, baselines: name → figure → its mean and interval.
    """

    settings: Mapping[str, Any]
    clips: int
    failed: dict[str, str]
    methods: Figures
    baselines: Figures

    def json(self) -> dict[str, Any]:
        """Return the summary ready for JSON: each figure with its interval and its number of clips."""
        return {
            "settings": dict(self.settings),
            "clips": self.clips,
            "failed": self.failed,
            "methods": {name: _plain(figures) for name, figures in self.methods.items()},
            "baselines": {name: _plain(figures) for name, figures in self.baselines.items()},
        }


def _plain(figures: Mapping[str, Estimate]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, e in figures.items():
        plain |= {name: e.mean, f"{name}_interval": [e.low, e.high], f"{name}_clips": e.count}
    return plain


def summarize(records: Sequence[Record], settings: Mapping[str, Any], methods: Sequence[str]) -> Summary:
    """Return the means of all figures over the clips; for faithfulness also the share of clips that each method wins.

    Args:
        records: of `measure_clips`.
        settings: settings that the figures depend on.
        methods: names of the methods among the explanations; the others are baselines.
    """
    good = [r["figures"] for r in records if "figures" in r]
    means: Figures = {}
    for name in good[0]:
        tally = Tally()
        for figures in good:
            tally.update({k: v for k, v in figures[name].items() if not isinstance(v, list)})
        means[name] = tally.compute()
    if all("confidence_seen" in good[0][m] for m in methods):
        seen = {m: np.array([figures[m]["confidence_seen"] for figures in good]) for m in methods}
        for name, won in wins(seen).items():
            means[name]["win"] = estimate(won)
    failed = {r["clip"]: r["error"] for r in records if "error" in r}
    baselines = {name: means[name] for name in means if name in BASELINES}
    return Summary(settings, len(good), failed, {name: means[name] for name in methods}, baselines)


def differences(records: Sequence[Record], first: str, second: str) -> Iterator[tuple[str, Estimate]]:
    """Yield each figure's mean paired difference first - second over the clips, with its interval.

    Args:
        records: of `measure_clips`.
        first, second: names of two explanations.
    """
    good = [r["figures"] for r in records if "figures" in r]
    for name, value in good[0][first].items():
        if not isinstance(value, list) and all(name in f[first] and name in f[second] for f in good):
            yield name, estimate(f[first][name] - f[second][name] for f in good)
