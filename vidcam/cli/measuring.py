"""Commands that evaluate explanations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from pydantic import Field

from vidcam.cli import flaws
from vidcam.cli.options import OF_FILMS, OF_PICTURES, Json, with_config, with_fields
from vidcam.cli.printing import plain, print_json, print_notes, progress_bar, stdout
from vidcam.errors import ClipError, SettingsError, counted, one_of
from vidcam.recipe import ExplainConfig, Validated

if TYPE_CHECKING:
    from vidcam.evaluation.inference import Subject
    from vidcam.evaluation.run import Measure
    from vidcam.evaluation.samples import Source
    from vidcam.metrics.estimate import Estimate
    from vidcam.results.explanation import Explanation
    from vidcam.results.misclassification import Misclassification

errors_commands = typer.Typer()
commands = typer.Typer(help="Evaluate explanations.", no_args_is_help=True)
commands.add_typer(flaws.commands)
_METHODS = "gradcam++,gradcam,gradcam+,gradcam++signed"
Records = Annotated[
    Path | None,
    typer.Option(
        help="Directory for records.jsonl, results.json and figure.png; an interrupted run resumes there.",
        show_default="none: the table is printed only",
    ),
]


class Data(Validated):
    """The clips that are measured."""

    data: str = Field(default="playground", description="A folder of clips, or playground for freshly rendered ones.")
    seed: int = Field(default=1, ge=0, description="Of rendered clips; 0 is what the bundled networks were trained on.")
    count: int = Field(default=100, ge=1, description="Clips at most.")

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that the figures depend on, ready for JSON."""
        return {"data": self.data, "seed": self.seed} if self.data == "playground" else {"data": self.data}


@commands.command("temporal")
def evaluate_temporal(
    predictions: Annotated[Path, typer.Option(help="ActivityNet prediction file.")],
    truth: Annotated[Path, typer.Option(help="ActivityNet truth file.")],
    subset: Annotated[str | None, typer.Option(help="Subset of the truth.", show_default="all")] = None,
    thresholds: Annotated[
        str, typer.Option(help="activitynet (0.5:0.05:0.95) or thumos (0.1:0.1:0.7).")
    ] = "activitynet",
    as_json: Json = False,
) -> None:
    """Compute the mAP of detections in time, by ActivityNet's protocol."""
    from vidcam.evaluation.activitynet import mismatches, read_annotations, read_predictions
    from vidcam.metrics.localization import ACTIVITYNET_TIOU, THUMOS_TIOU, mean_average_precision

    lists = {"activitynet": ACTIVITYNET_TIOU, "thumos": THUMOS_TIOU}
    if thresholds not in lists:
        raise SettingsError(f"there are no thresholds {thresholds!r}; choose activitynet or thumos")
    annotated, predicted = read_annotations(truth, subset), read_predictions(predictions)
    print_notes([*annotated.warnings, *predicted.warnings])
    print_notes(mismatches(annotated, predicted))
    found = mean_average_precision(annotated.truths, predicted.detections, lists[thresholds])
    if as_json:
        facts = {"tiou": list(found.tiou), "mAP": found.mean.tolist(), "average_mAP": found.average}
        per_class = {label: row.tolist() for label, row in zip(found.labels, found.average_precision)}
        print_json({**facts, "average_precision": per_class})
        return
    for threshold, value in zip(found.tiou, found.mean):
        stdout.print(f"mAP@{threshold:.2f}  {value:.4f}")
    stdout.print(f"average   {found.average:.4f}  ({counted(len(found.labels), 'class')})")


@commands.command("playground")
def evaluate_playground(
    task: Annotated[str, typer.Option(help="temporal.")] = "temporal",
    seed: Annotated[int, typer.Option(min=0, help="0 is what the bundled networks were trained on.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="Clips, and pairs of clips.")] = 100,
    model: Annotated[str, typer.Option(help="A bundled network.")] = "playground-r2plus1d",
    as_json: Json = False,
) -> None:
    """Evaluate explanations of rendered clips, whose truth is known."""
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


@commands.command("causes")
@with_config(without=("labels", "target", "check", *OF_PICTURES, *OF_FILMS), method="gradcam++,gradcam,layercam")
def evaluate_causes(
    config: ExplainConfig,
    seed: Annotated[int, typer.Option(min=0, help="0 is what the bundled networks were trained on.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="Clips of each kind.")] = 40,
    networks: Annotated[
        Path | None,
        typer.Option(
            help="Directory of small networks for clips with joint causes, which are then measured, too; those it lacks are "
            "trained into it, in a few minutes each.",
            show_default="clips with joint causes are left out",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare maps with the true effects of what rendered clips show: each is rendered without one thing at a time."""
    from rich.table import Table

    from vidcam.evaluation.causes import averaged, crowds, effects, stretches
    from vidcam.evaluation.inference import Subject
    from vidcam.explainer import Explainer

    subject = Subject.of(Explainer(config.load(), config))
    parts = {
        "effect of a twin": (effects, "fall of the score, of log odds and of the probability of the clip's action"),
        "rank of three actors": (crowds, "Spearman's correlation of the heat on each with its Shapley value"),
        "eight stretches of time": (stretches, "Pearson's correlation of the curve with the fall of the probability"),
    }
    found = {}
    for name, (measure, _) in parts.items():
        with progress_bar(name) as progress:
            found[name] = averaged(measure(subject, seed, count, progress))
    notes = {name: note for name, (_, note) in parts.items()}
    if networks is not None:
        for name, rows, note in _joint_causes(networks, seed, count, subject.fast.methods):
            found[name], notes[name] = rows, note
    if as_json:
        print_json({name: {row: {key: vars(e) for key, e in figures.items()} for row, figures in rows.items()}
                    for name, rows in found.items()})  # fmt: skip
        return
    for name, rows in found.items():
        columns = list(dict.fromkeys(key for figures in rows.values() for key in figures))
        table = Table(name, *columns, "clips", box=None)
        for row, figures in rows.items():
            cells = [f"{e.mean:.3f}\n[dim]{e.interval}[/]" if e else "-" for e in map(figures.get, columns)]
            table.add_row(row, *cells, str(max(e.count for e in figures.values())))
        stdout.print(table)
        stdout.print(f"[dim]{notes[name]}[/]\n")


def _joint_causes(
    folder: Path, seed: int, count: int, methods: Sequence[str]
) -> Iterator[tuple[str, dict[str, dict[str, Estimate]], str]]:
    """Yield two tables for each kind of clips with joint causes: name, rows, and a note."""
    from vidcam.evaluation.causes import averaged
    from vidcam.evaluation.elements import element_figures
    from vidcam.playground.joint_causes import JOINT_CAUSES
    from vidcam.playground.training.flawed import STEPS, flawed_model

    for name, kind in JOINT_CAUSES.items():
        with progress_bar(f"training {name}") as progress:
            model = flawed_model(name, 1, folder, progress=lambda step, *_: progress(step, STEPS))
        with progress_bar(name) as progress:
            figures = element_figures(kind, model, seed, count, methods, progress)
        of = f"the network {kind.summary}; {len(figures.effects)} of {figures.tried} clips are recognised and counted"
        falls = "fall of the score: Shapley value, its size without the sign, when it alone is left out, and when all elements are"
        yield f"{name}: effect", averaged(figures.effects), f"{of}; {falls}"
        ranks = "Spearman's correlation of the heat on the elements with the sizes of their Shapley values"
        yield f"{name}: rank", averaged(figures.ranks), ranks


@commands.command("faithfulness")
@with_config(without=("target", "check", *OF_PICTURES, *OF_FILMS), method=_METHODS)
@with_fields("data", Data)
def evaluate_faithfulness(
    config: ExplainConfig,
    data: Data,
    fill: Annotated[str, typer.Option(help="What hides the clip: black, mean, blur or freeze.")] = "black",
    out: Records = None,
    as_json: Json = False,
) -> None:
    """Test that the network keeps its answer where the map points: Average Drop, deletion, insertion."""
    from vidcam.evaluation.faithfulness import Faithfulness
    from vidcam.export.measures import faithfulness_figure
    from vidcam.metrics.faithfulness import Fill

    hidden: Fill = one_of(fill, get_args(Fill), "fill")
    subject, settings = _subject(config, data)
    measure = Faithfulness(subject, hidden)
    columns = [
        "average_drop",
        "average_drop_rearranged",
        "mask_mean",
        "increase_in_confidence",
        "win",
        "deletion_auc",
        "insertion_auc",
    ]
    settings |= {"fill": fill, "steps": measure.steps}
    _evaluated(subject, measure, settings, data, out, as_json, columns, faithfulness_figure)


@commands.command("localization")
@with_config(without=("target", "check", *OF_PICTURES, *OF_FILMS), method=_METHODS)
@with_fields("data", Data)
def evaluate_localization(config: ExplainConfig, data: Data, out: Records = None, as_json: Json = False) -> None:
    """Test that the map lies on who acts: pointing game, energy, overlap. Needs clips of `vidcam playground render`."""
    from vidcam.evaluation.pointing import Pointing
    from vidcam.export.measures import pointing_figure

    subject, settings = _subject(config, data)
    columns = ["pointing_game", "pointing_game_clip", "energy_inside", "saliency_iou", "loc_0", "loc_0.25", "loc_0.5"]
    _evaluated(subject, Pointing(subject), settings, data, out, as_json, columns, pointing_figure)


@commands.command("sanity")
@with_config(without=("target", "check", *OF_PICTURES, *OF_FILMS), method=_METHODS)
@with_fields("data", Data)
def evaluate_sanity(config: ExplainConfig, data: Data, out: Records = None, as_json: Json = False) -> None:
    """Test that the map depends on the weights, the class and the order of frames, and withstands noise."""
    from vidcam.evaluation.sanity import Sanity
    from vidcam.export.measures import sanity_figure
    from vidcam.metrics.sanity import stages

    subject, settings = _subject(config, data)
    randomised = stages(subject.exact.model.network)[::-1]
    columns = ["randomised_1", "randomised_all", "other_class", "reversed", "shuffled_evidence", "frozen_evidence"]
    columns += ["noise", "recoded", "flicker_frozen"]

    def figure(records: Any) -> Any:
        return sanity_figure(records, randomised)

    settings |= {"stages": randomised}
    _evaluated(subject, Sanity(subject), settings, data, out, as_json, columns, figure)


def _subject(config: ExplainConfig, data: Data) -> tuple[Subject, dict[str, Any]]:
    """Return the network under evaluation, and the settings that its figures depend on."""
    from vidcam.evaluation.inference import Subject
    from vidcam.explainer import Explainer

    explainer = Explainer(config.load(), config)
    print_notes([explainer.model.note] if explainer.model.note else [])
    subject = Subject.of(explainer)
    chosen = {"layers": list(explainer.layers), "methods": list(explainer.methods), "dtype": subject.fast.model.dtype}
    return subject, {**config.model_dump(mode="json", exclude={"target", "device"}), **chosen, **data.settings}


def _note_domain(subject: Subject, clips: Sequence[Source]) -> None:
    """Print a note if the first clip is of another kind than those that the network was trained on."""
    with suppress(ClipError):  # it is counted and said when it is measured
        spec = subject.exact.model.spec
        if not subject.knows(clips[0].read(subject.preprocess)):
            print_notes([f"{spec.name} knows {spec.domain} only; what it does on other clips means nothing"])


def _evaluated(
    subject: Subject,
    measure: Measure,
    settings: Mapping[str, Any],
    data: Data,
    out: Path | None,
    as_json: bool,
    columns: Sequence[str],
    figure: Callable[[Any], Any],
) -> None:
    """Measure, sum up, print, and where there is a directory write results.json and figure.png."""
    from rich.table import Table

    from vidcam.evaluation.run import measure_clips, summarize
    from vidcam.evaluation.samples import sources
    from vidcam.export.outputs import all_or_nothing

    clips = sources(data.data, data.seed, data.count)
    _note_domain(subject, clips)
    with progress_bar("measuring") as progress:
        records = measure_clips(measure, subject.preprocess, clips, settings, out, progress)
    summary = summarize(records, settings, settings["methods"])
    if out is not None:
        with all_or_nothing(out) as work:
            (work / "results.json").write_text(json.dumps(summary.json(), indent=2) + "\n", encoding="utf-8")
            figure(records).savefig(work / "figure.png")
    if summary.failed:
        first = next(iter(summary.failed.values()))
        print_notes(
            [f"{len(summary.failed)} of {counted(len(records), 'clip')} could not be measured; the first: {first}"]
        )
    if as_json:
        print_json(summary.json())
        return
    table = Table("explanation", *(c.replace("_", " ") for c in columns), box=None)
    for name, figures in {**summary.methods, **summary.baselines}.items():
        cells = [figures.get(column) for column in columns]
        table.add_row(name, *("-" if e is None else f"{e.mean:.3f}\n[dim]{e.interval}[/]" for e in cells))
    stdout.print(table)
    stdout.print(f"{counted(summary.clips, 'clip')}; below each mean its 95 % bootstrap interval")


@errors_commands.command()
@with_config(without=("target", "check", *OF_PICTURES, *OF_FILMS))
@with_fields("data", Data)
def errors(
    out: Annotated[Path, typer.Option(help="Directory for the page, its films and the records.")],
    config: ExplainConfig,
    data: Data,
    films: Annotated[int, typer.Option(min=0, help="Errors that are shown as films, the worst ones.")] = 12,
    as_json: Json = False,
) -> None:
    """Understand what a network gets wrong: a ranked page of confusions. If interrupted, run it again to resume.

    Writes errors.html and its films into --out.

    The data is a folder of clips with a labels.csv (rows of clip,label), or playground for hard ones.
    """
    from vidcam.evaluation.misclassifications import Misclassifications, errors_of
    from vidcam.evaluation.run import measure_clips
    from vidcam.evaluation.samples import render_clips, sources
    from vidcam.explainer import Explainer
    from vidcam.export.misclassifications import save_errors, summarize
    from vidcam.playground.scene import hard_scene

    subject, settings = _subject(config, data)
    subject.fast.refuse_several()
    playground = data.data == "playground"
    folder = render_clips(hard_scene, data.seed, data.count, out / "clips") if playground else Path(data.data)
    clips = sources(str(folder), data.seed, data.count)
    _note_domain(subject, clips)
    with progress_bar("predicting") as progress:
        records = measure_clips(Misclassifications(subject), subject.preprocess, clips, settings, out, progress)
    found = errors_of(records)
    failed = [record for record in records if "error" in record]
    watched = len(records) - len(failed)
    explainer = Explainer(config.load(), config)

    def explained(error: Misclassification) -> list[Explanation]:
        both = explainer.explain(str(folder / error.clip), [error.true.label, error.predicted.label])
        return both[:: len(both) // 2]  # of several layers the fused one of each class

    with progress_bar("films") as progress:
        name, how = explainer.model.spec.name, f"{explainer.methods[0]} at {','.join(explainer.layers)}"
        page = save_errors(found, watched, out, explained, name, how, films, progress)
    if failed:
        print_notes(
            [f"{len(failed)} of {counted(len(records), 'clip')} could not be measured; the first: {failed[0]['error']}"]
        )
    summary = summarize(found, watched)
    if as_json:
        print_json({**summary, "page": str(page)})
        return
    for figure, value in summary.items():
        stdout.print(f"{figure.replace('_', ' '):<36} {value if isinstance(value, int) else f'{value:.3f}'}")
    stdout.print(f"page  {plain(page)}")
