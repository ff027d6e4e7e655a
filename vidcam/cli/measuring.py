"""Commands that measure what vidcam says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from vidcam.cli.options import (
    Json,
    Labels,
    ModelName,
    Weights,
    plain,
    print_json,
    progress_bar,
    stdout,
    tell,
)
from vidcam.errors import SettingsError, one_of

if TYPE_CHECKING:
    from vidcam.evaluation.run import Measure
    from vidcam.models.registry import Model

errors_commands = typer.Typer()
commands = typer.Typer(help="Measure what vidcam says.", no_args_is_help=True)
_METHODS = "gradcam++,gradcam,gradcam+,gradcam++signed"
Data = Annotated[str, typer.Option(help="A folder of clips, or playground for freshly rendered ones.")]
Seed = Annotated[int, typer.Option(min=0, help="Of rendered clips; 0 is what the bundled networks were trained on.")]
Count = Annotated[int, typer.Option(min=1, help="Clips at most.")]
Layer = Annotated[str, typer.Option(help="auto, or names from `vidcam layers MODEL`; several, with commas, are fused.")]
Methods = Annotated[str, typer.Option(help="Names from `vidcam methods`, with commas.")]
Dtype = Annotated[
    str,
    typer.Option(
        help="Of the trunk that judges clips: auto (what is quick here), float32, bfloat16 or float16; not checked."
    ),
]
Records = Annotated[
    Path | None, typer.Option(help="Directory for a record of every clip, the summary and a figure; it can be resumed.")
]


@commands.command("temporal")
def evaluate_temporal(
    predictions: Annotated[Path, typer.Option(help="ActivityNet prediction file.")],
    truth: Annotated[Path, typer.Option(help="ActivityNet truth file.")],
    subset: Annotated[str | None, typer.Option(help="Subset of the truth. [default: all]")] = None,
    thresholds: Annotated[
        str, typer.Option(help="activitynet (0.5:0.05:0.95) or thumos (0.1:0.1:0.7).")
    ] = "activitynet",
    as_json: Json = False,
) -> None:
    """mAP of detections in time, by ActivityNet's protocol."""
    from vidcam.export.annotations import read_detections, read_truths
    from vidcam.metrics.localization import ACTIVITYNET_TIOU, THUMOS_TIOU, mean_average_precision

    lists = {"activitynet": ACTIVITYNET_TIOU, "thumos": THUMOS_TIOU}
    if thresholds not in lists:
        raise SettingsError(f"there are no thresholds {thresholds!r}; choose activitynet or thumos")
    found = mean_average_precision(read_truths(truth, subset), read_detections(predictions), lists[thresholds])
    if as_json:
        facts = {"tiou": list(found.tiou), "mAP": found.mean.tolist(), "average_mAP": found.average}
        per_class = {label: row.tolist() for label, row in zip(found.labels, found.average_precision)}
        print_json({**facts, "average_precision": per_class})
        return
    for threshold, value in zip(found.tiou, found.mean):
        stdout.print(f"mAP@{threshold:.2f}  {value:.4f}")
    stdout.print(f"average   {found.average:.4f}  ({len(found.labels)} classes)")


@commands.command("playground")
def evaluate_playground(
    task: Annotated[str, typer.Option(help="temporal.")] = "temporal",
    seed: Annotated[int, typer.Option(min=0, help="0 is what the bundled networks were trained on.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="Clips, and pairs of clips.")] = 100,
    model: Annotated[str, typer.Option(help="A bundled network.")] = "playground-r2plus1d",
    as_json: Json = False,
) -> None:
    """Measure vidcam on rendered clips, whose truth is known."""
    from rich.table import Table

    from vidcam.evaluation.temporal import localized_clips, temporal_table, two_clip_test
    from vidcam.models.registry import load_model

    if task != "temporal":
        raise SettingsError(f"there is no task {task!r}; choose temporal")
    loaded = load_model(model)
    with progress_bar("localizing") as progress:
        rows = temporal_table(list(localized_clips(loaded, seed, count, progress)))
    with progress_bar("two clips joined") as progress:
        joined = two_clip_test(loaded, seed, count, progress)
    if as_json:
        print_json({**rows, "two_clips": joined})
        return
    table = Table(
        "curve", "mAP@0.3", "@0.5", "@0.7", "0.3:0.7", "AR@10", "peak hits", "|start|", "|end|", "two clips", box=None
    )
    for name, row in rows.items():
        if name != "default":
            figures = [
                row["mAP"]["0.3"],
                row["mAP"]["0.5"],
                row["mAP"]["0.7"],
                row["average_mAP"],
                row["average_recall"],
            ]
            errors = [row["onset_error_frames"], row["offset_error_frames"]]
            cells = [f"{v:.3f}" for v in [*figures, row["hit_rate"]]]
            table.add_row(name, *cells, *("-" if e is None else f"{e:.1f}" for e in errors), f"{joined[name]:.3f}")
    stdout.print(table)


@commands.command("faithfulness")
def evaluate_faithfulness(
    model: ModelName = "playground-r2plus1d",
    weights: Weights = "default",
    labels: Labels = None,
    data: Data = "playground",
    seed: Seed = 1,
    count: Count = 100,
    methods: Methods = _METHODS,
    layer: Layer = "auto",
    fill: Annotated[str, typer.Option(help="What hides the clip: black, mean, blur or freeze.")] = "black",
    dtype: Dtype = "auto",
    out: Records = None,
    as_json: Json = False,
) -> None:
    """Whether the network keeps its answer where the map points: Average Drop, deletion, insertion."""
    from vidcam.evaluation.faithfulness import Faithfulness
    from vidcam.export.measures import faithfulness_figure
    from vidcam.metrics.faithfulness import Fill

    hidden: Fill = one_of(fill, get_args(Fill), "fill")
    subject = _subject(model, weights, labels, methods, layer, dtype)
    measure = Faithfulness(subject.layers, subject.methods, subject.quick, hidden)
    columns = [
        "average_drop",
        "average_drop_rearranged",
        "mask_mean",
        "increase_in_confidence",
        "win",
        "deletion_auc",
        "insertion_auc",
    ]
    _evaluated(
        subject,
        measure,
        {"fill": fill, "steps": measure.steps},
        data,
        seed,
        count,
        out,
        as_json,
        columns,
        faithfulness_figure,
    )


@commands.command("localization")
def evaluate_localization(
    model: ModelName = "playground-r2plus1d",
    weights: Weights = "default",
    labels: Labels = None,
    data: Data = "playground",
    seed: Seed = 1,
    count: Count = 100,
    methods: Methods = _METHODS,
    layer: Layer = "auto",
    dtype: Dtype = "auto",
    out: Records = None,
    as_json: Json = False,
) -> None:
    """Whether the map lies on who acts: pointing game, energy, overlap. Needs clips of `vidcam playground render`."""
    from vidcam.evaluation.pointing import Place
    from vidcam.export.measures import place_figure

    subject = _subject(model, weights, labels, methods, layer, dtype)
    measure = Place(subject.layers, subject.methods, subject.quick)
    columns = ["pointing_game", "pointing_game_clip", "energy_inside", "saliency_iou", "loc_0", "loc_0.25", "loc_0.5"]
    _evaluated(subject, measure, {}, data, seed, count, out, as_json, columns, place_figure)


@commands.command("sanity")
def evaluate_sanity(
    model: ModelName = "playground-r2plus1d",
    weights: Weights = "default",
    labels: Labels = None,
    data: Data = "playground",
    seed: Seed = 1,
    count: Count = 100,
    methods: Methods = _METHODS,
    layer: Layer = "auto",
    dtype: Dtype = "auto",
    out: Records = None,
    as_json: Json = False,
) -> None:
    """Whether the map depends on the weights, the class and the order of frames, and withstands noise."""
    from vidcam.evaluation.sanity import Sanity
    from vidcam.export.measures import sanity_figure
    from vidcam.metrics.sanity import stages

    subject = _subject(model, weights, labels, methods, layer, dtype)
    measure = Sanity(subject.layers, subject.methods, subject.quick)
    randomised = stages(subject.model.network)[::-1]
    columns = ["randomised_1", "randomised_all", "other_class", "reversed", "shuffled_evidence", "frozen_evidence"]
    columns += ["noise", "recoded", "flicker_frozen"]

    def figure(records: Any) -> Any:
        return sanity_figure(records, randomised)

    _evaluated(subject, measure, {"stages": randomised}, data, seed, count, out, as_json, columns, figure)


@dataclass(frozen=True)
class _Subject:
    """What is measured: a model, its quick copy, and how it is explained."""

    model: Model
    quick: Model
    layers: list[str]
    methods: list[str]
    settings: dict[str, Any]


def _subject(model: str, weights: str, labels: Path | None, methods: str, layer: str, dtype: str) -> _Subject:
    import torch

    from vidcam.engine.precision import DTYPES
    from vidcam.models.inference import prepared, quickest_dtype
    from vidcam.models.registry import load_model
    from vidcam.pipeline import checked_layers, checked_methods

    one_of(dtype, DTYPES, "dtype")
    names = checked_methods(methods)
    loaded = load_model(model, weights, labels)
    layers = checked_layers(loaded, layer)
    tell([loaded.note] if loaded.note else [])
    chosen = quickest_dtype(loaded.device) if dtype == "auto" else getattr(torch, dtype)
    settings = {
        "model": model,
        "weights": weights,
        "layers": layers,
        "methods": names,
        "dtype": str(chosen).removeprefix("torch."),
    }
    return _Subject(loaded, prepared(loaded, chosen, layers), layers, names, settings)


def _evaluated(
    subject: _Subject,
    measure: Measure,
    more: Mapping[str, Any],
    data: str,
    seed: int,
    count: int,
    out: Path | None,
    as_json: bool,
    columns: Sequence[str],
    figure: Callable[[Any], Any],
) -> None:
    """Measure, sum up, print, and where there is a directory write results.json and figure.png."""
    from rich.table import Table

    from vidcam.evaluation.run import measured, summed_up
    from vidcam.evaluation.samples import sources
    from vidcam.export.outputs import all_or_nothing

    where = {"data": data, "seed": seed} if data == "playground" else {"data": data}
    settings = {**subject.settings, **more, **where}
    with progress_bar("measuring") as progress:
        records = measured(measure, subject.model, sources(data, seed, count), settings, out, progress)
    summary = summed_up(records, settings, subject.methods)
    if out is not None:
        with all_or_nothing(out) as work:
            (work / "results.json").write_text(json.dumps(summary.json(), indent=2) + "\n", encoding="utf-8")
            figure(records).savefig(work / "figure.png")
    if summary.failed:
        first = next(iter(summary.failed.values()))
        tell([f"{len(summary.failed)} of {len(records)} clips could not be measured; the first: {first}"])
    if as_json:
        print_json(summary.json())
        return
    table = Table("explanation", *(c.replace("_", " ") for c in columns), box=None)
    for name, figures in {**summary.methods, **summary.baselines}.items():
        cells = [figures.get(column) for column in columns]
        table.add_row(name, *("-" if e is None else f"{e.mean:.3f}\n[dim]{e.low:.3f}–{e.high:.3f}[/]" for e in cells))
    stdout.print(table)
    stdout.print(f"{summary.clips} clips; below each mean its 95 % bootstrap interval")


@errors_commands.command()
def errors(
    out: Annotated[Path, typer.Option(help="Directory for the page, its films and the records.")],
    data: Annotated[
        str, typer.Option(help="A folder of clips with a labels.csv (rows of clip,label); or playground: hard ones.")
    ] = "playground",
    seed: Annotated[int, typer.Option(min=0, help="Of rendered clips.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="Clips at most.")] = 100,
    model: ModelName = "playground-r2plus1d",
    weights: Weights = "default",
    labels: Labels = None,
    layer: Annotated[str, typer.Option(help="auto, or names from `vidcam layers MODEL`.")] = "auto",
    method: Annotated[str, typer.Option(help="A name from `vidcam methods`.")] = "gradcam++",
    films: Annotated[int, typer.Option(min=0, help="Errors that are shown as films, the worst ones.")] = 12,
    as_json: Json = False,
) -> None:
    """Understand what a network gets wrong: a ranked page of confusions. Resumable."""
    from vidcam.evaluation.misclassifications import Errors, errors_of
    from vidcam.evaluation.run import measured
    from vidcam.evaluation.samples import rendered, sources
    from vidcam.export.misclassifications import save_errors, summed_up
    from vidcam.playground.scene import hard_scene

    subject = _subject(model, weights, labels, method, layer, "auto")
    settings = {**subject.settings, "data": data, **({"seed": seed} if data == "playground" else {})}
    folder = rendered(hard_scene, seed, count, out / "clips") if data == "playground" else Path(data)
    with progress_bar("watching") as progress:
        measure = Errors(subject.layers, subject.methods[0], subject.quick)
        records = measured(measure, subject.model, sources(str(folder), seed, count), settings, out, progress)
    found = errors_of(records)
    failed = [record for record in records if "error" in record]
    watched = len(records) - len(failed)
    with progress_bar("films") as progress:
        page = save_errors(
            found, watched, folder, out, subject.model, subject.layers, subject.methods[0], films, progress
        )
    if failed:
        tell([f"{len(failed)} of {len(records)} clips could not be measured; the first: {failed[0]['error']}"])
    summary = summed_up(found, watched)
    if as_json:
        print_json({**summary, "page": str(page)})
        return
    for name, value in summary.items():
        stdout.print(f"{name.replace('_', ' '):<36} {value if isinstance(value, int) else f'{value:.3f}'}")
    stdout.print(f"page  {plain(page)}")
