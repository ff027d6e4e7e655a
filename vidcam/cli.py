"""The command line: parses, calls, prints. Heavy imports happen inside the commands, so that --help is quick."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_args

import typer
from rich.console import Console
from rich.markup import escape

from vidcam.errors import OutputError, SettingsError, VidcamError

if TYPE_CHECKING:
    from vidcam.evaluation.run import Measure
    from vidcam.explanation import Explanation
    from vidcam.localization import Localization
    from vidcam.models.registry import Model
    from vidcam.reading import Progress

app = typer.Typer(
    name="vidcam",
    help="Why did the network see this action, where in the picture and when?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
playground = typer.Typer(
    help="Rendered clips whose evidence is known, and the networks trained on them.", no_args_is_help=True
)
app.add_typer(playground, name="playground")
corpus = typer.Typer(help="Many clips.", no_args_is_help=True)
app.add_typer(corpus, name="corpus")
evaluate = typer.Typer(help="Measure what vidcam says.", no_args_is_help=True)
app.add_typer(evaluate, name="evaluate")

_out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; a user's mistake ends with one line on standard error and exit code 2."""
    try:
        app()
    except VidcamError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}")


@app.callback()
def _before_a_command() -> None:
    from vidcam.allocator import keep_freed_memory

    keep_freed_memory()


def _fail(message: str) -> NoReturn:
    _err.print(f"[bold red]error:[/] {escape(message)}")
    sys.exit(2)


Clips = Annotated[list[Path], typer.Argument(help="Video files.", metavar="CLIP...")]
Out = Annotated[
    Path | None,
    typer.Option(help="Directory for the outputs; several clips get one each inside. [default: vidcam-out/CLIP]"),
]
OneClip = Annotated[Path, typer.Argument(help="A video file.", metavar="CLIP")]
OneOut = Annotated[Path | None, typer.Option(help="Directory for the outputs. [default: vidcam-out/CLIP]")]
_DTYPE = typer.Option(
    help="Of the trunk: auto (what is quick here, if the map stays the same), float32, bfloat16 or float16."
)
_DENSE = typer.Option(
    "--dense", help="Run the trunk once over long spans: quicker, not quite the same; the agreement is told."
)
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]
TrustConfig = Annotated[bool, typer.Option("--trust-config", help="Let the file name code to run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]


@app.command()
def explain(
    clips: Clips,
    out: Out = None,
    model: Annotated[str | None, typer.Option(help="A name from `vidcam models`.")] = None,
    weights: Annotated[str | None, typer.Option(help="default, none, or a .pth, .pt or .safetensors file.")] = None,
    labels: Annotated[str | None, typer.Option(help="Text file with one class label a line.")] = None,
    target: Annotated[str | None, typer.Option(help="top, top5, a label, a class index, or 'A - B'.")] = None,
    layer: Annotated[
        str | None, typer.Option(help="auto, or names from `vidcam layers MODEL`; several, with commas, are fused.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="gradcam++ or another (`vidcam methods`); several with commas.")
    ] = None,
    fusion: Annotated[str | None, typer.Option(help="Of several layers: mean, or max as in LayerCAM.")] = None,
    stride: Annotated[int | None, typer.Option(help="Source frames between windows. [default: half a window]")] = None,
    sampling_rate: Annotated[int | None, typer.Option(help="Source frames between the frames of a window.")] = None,
    dtype: Annotated[str | None, _DTYPE] = None,
    dense: Annotated[bool | None, _DENSE] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with these settings; flags go on top.")] = None,
    trust_config: TrustConfig = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Explain clips: overlay film, temporal curve, heatmaps and summary."""
    from vidcam.config import read_config

    flags: dict[str, str | int | bool | None] = {
        "model": model,
        "weights": weights,
        "labels": labels,
        "target": target,
        "layer": layer,
        "method": method,
        "fusion": fusion,
        "stride": stride,
        "sampling_rate": sampling_rate,
        "dtype": dtype,
        "dense": dense,
    }
    settings = read_config(config, flags, trusted=trust_config)
    places = _places(clips, out)

    from vidcam.pipeline import explain_each
    from vidcam.render.outputs import folders, refuse_existing
    from vidcam.report.page import refuse_existing as refuse_report

    if not overwrite:
        for place in places:
            refuse_existing(place)
            refuse_report(place)
    loaded = settings.load()
    for clip, place in zip(clips, places):
        with _progress(clip.name) as progress:
            explanations = explain_each(
                clip,
                loaded,
                settings.target,
                layer=settings.layer,
                method=settings.method,
                fusion=settings.fusion,
                stride=settings.stride,
                sampling_rate=settings.sampling_rate,
                dtype=settings.dtype,
                dense=settings.dense,
                progress=progress,
            )
        for folder, explanation in folders(explanations):
            _save(explanation, place / folder, overwrite, as_json)
        _report(explanations, place, as_json)


@corpus.command("run")
def corpus_run(
    manifest: Annotated[
        Path,
        typer.Argument(help="CSV, JSON lines or Parquet: path (or URL), and where wanted target, start, end."),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the results: a folder for each clip, and a table of all.")],
    model: Annotated[str | None, typer.Option(help="A name from `vidcam models`.")] = None,
    weights: Annotated[str | None, typer.Option(help="default, none, or a .pth, .pt or .safetensors file.")] = None,
    labels: Annotated[str | None, typer.Option(help="Text file with one class label a line.")] = None,
    target: Annotated[str | None, typer.Option(help="Of rows without one: top, a label, an index, or 'A - B'.")] = None,
    layer: Annotated[str | None, typer.Option(help="auto, or names from `vidcam layers MODEL`, fused.")] = None,
    method: Annotated[str | None, typer.Option(help="A name from `vidcam methods`.")] = None,
    stride: Annotated[int | None, typer.Option(help="Source frames between windows. [default: half a window]")] = None,
    dtype: Annotated[str | None, _DTYPE] = None,
    dense: Annotated[bool | None, _DENSE] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with these settings; flags go on top.")] = None,
    trust_config: TrustConfig = False,
    films: Annotated[bool, typer.Option("--films", help="Draw each clip's overlay film and curve, too.")] = False,
    engine: Annotated[str, typer.Option(help="local, or ray (needs vidcam[ray]).")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster. [default: Ray on this machine]")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Clips at once. [default: one for each GPU, or for each core]")
    ] = None,
    shard: Annotated[str, typer.Option(help="i/n: only the i-th of n parts of the manifest.")] = "1/1",
    max_seconds: Annotated[float, typer.Option(min=1, help="On the clock, that a clip may take.")] = 1800,
    max_memory: Annotated[int, typer.Option(min=64, help="MiB a worker may hold.")] = 8192,
    max_pixels: Annotated[int, typer.Option(min=1, help="Of a picture.")] = 2**26,
    max_duration: Annotated[float, typer.Option(min=0.1, help="Seconds a clip may last.")] = 900,
    max_size: Annotated[int, typer.Option(min=1, help="MiB that are fetched of a URL.")] = 4096,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do clips that failed again.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew where the results are of other settings.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Explain every clip of a manifest, exactly once. Ended by whatever, it goes on when it is started again."""
    from vidcam.config import read_config
    from vidcam.corpus import engines
    from vidcam.corpus.job import Limits
    from vidcam.corpus.manifest import Shard
    from vidcam.corpus.run import run_corpus

    flags: dict[str, str | int | bool | None] = {
        "model": model,
        "weights": weights,
        "labels": labels,
        "target": target,
        "layer": layer,
        "method": method,
        "stride": stride,
        "dtype": dtype,
        "dense": dense,
    }
    settings = read_config(config, flags, trusted=trust_config)
    part = Shard.parsed(shard)
    _one_of(engine, ("local", "ray"), "engine")
    limits = Limits(seconds=max_seconds, memory=max_memory, pixels=max_pixels, duration=max_duration, size=max_size)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what clusters send; it ends like Ctrl-C
    with _progress(manifest.name) as progress:
        tally = run_corpus(
            manifest,
            out,
            settings,
            limits=limits,
            engine=engines.ray(address, workers) if engine == "ray" else engines.local(workers),
            shard=part,
            films=films,
            retry_failed=retry_failed,
            overwrite=overwrite,
            progress=progress,
        )
    if tally.failed:
        _tell([f"{tally.failed} of {tally.rows} clips could not be explained; the first: {tally.first_error}"])
    if as_json:
        print(json.dumps({**vars(tally), "table": str(tally.table)}))
        return
    _out.print(f"{tally.rows - tally.failed} of {tally.rows} clips explained, {tally.done} of them now")
    _out.print(f"  table    {escape(str(tally.table))}")


@app.command()
def compare(
    clip: OneClip,
    out: OneOut = None,
    model: Annotated[str, typer.Option(help="Names from `vidcam models`, with commas.")] = "playground-r2plus1d",
    weights: Annotated[str, typer.Option(help="default, none, or a .pth, .pt or .safetensors file.")] = "default",
    labels: Annotated[Path | None, typer.Option(help="Text file with one class label a line.")] = None,
    target: Annotated[
        str, typer.Option(help="top, top5, a label, a class index, 'A - B'; labels with commas.")
    ] = "top",
    layer: Annotated[str, typer.Option(help="auto, or names from `vidcam layers MODEL`, with commas.")] = "auto",
    method: Annotated[str, typer.Option(help="Names from `vidcam methods`, with commas.")] = "gradcam++,gradcam",
    stride: Annotated[int | None, typer.Option(help="Source frames between windows. [default: half a window]")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Show methods, classes, layers or models side by side: a film, a grid of frames, and curves as SVG and PDF."""
    from vidcam.models.registry import load_model
    from vidcam.pipeline import explain_each
    from vidcam.render.compare import compare as run
    from vidcam.render.compare import refuse_existing

    (place,) = _places([clip], out)
    if not overwrite:
        refuse_existing(place)
    found: list[Explanation] = []
    for name in model.split(","):
        loaded = load_model(name.strip(), weights, labels)
        targets = [target] if target in loaded.labels else [t.strip() for t in target.split(",")]
        for one in targets:
            for layers in layer.split(","):
                with _progress(f"{clip.name} {one} {layers}") as progress:
                    found += explain_each(
                        clip, loaded, one, layer=layers.strip(), method=method, stride=stride, progress=progress
                    )
    _tell(dict.fromkeys(warning for e in found for warning in e.warnings))
    for path in vars(run(found, place, overwrite=overwrite)).values():
        _out.print(f"  {escape(str(path))}")


@app.command("tubes")
def tubes_(
    clip: OneClip,
    out: OneOut = None,
    model: ModelName = "playground-r2plus1d",
    weights: Weights = "default",
    labels: Labels = None,
    target: Annotated[str, typer.Option(help="top, a label, a class index, or 'A - B'.")] = "top",
    layer: Annotated[str, typer.Option(help="auto, or a name from `vidcam layers MODEL`.")] = "auto",
    method: Annotated[str, typer.Option(help="A name from `vidcam methods`.")] = "gradcam++",
    threshold: Annotated[float, typer.Option(help="Heat of a tube, as a share of the clip's strongest.")] = 0.35,
    stride: Annotated[int | None, typer.Option(help="Source frames between windows. [default: half a window]")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find who or what holds the evidence: a box in every frame around each, as JSON and as a film."""
    from vidcam.models.registry import load_model
    from vidcam.pipeline import explain as run
    from vidcam.render.tubes import refuse_existing, save_tubes
    from vidcam.temporal.tubes import TubeRule, tubes_of

    rule = TubeRule(threshold)
    (place,) = _places([clip], out)
    if not overwrite:
        refuse_existing(place)
    loaded = load_model(model, weights, labels)
    with _progress(clip.name) as progress:
        found = run(clip, loaded, target, layer=layer, method=method, stride=stride, progress=progress)
    _tell(found.warnings)
    tubes = tubes_of(found.maps, found.scores, found.region, found.target.label, rule)
    outputs = save_tubes(found, tubes, place, overwrite=overwrite)
    if as_json:
        print(outputs.tubes.read_text(encoding="utf-8"), end="")
        return
    _out.print(
        f"{escape(found.clip)}: [bold]{escape(found.target.label)}[/], {len(tubes)} tube{'' if len(tubes) == 1 else 's'}"
    )
    for tube in tubes[:5]:
        _out.print(f"  frames {tube.start} to {tube.end - 1}  score {tube.score:.3f}")
    _out.print(f"  tubes    {escape(str(outputs.tubes))}")
    _out.print(f"  film     {escape(str(outputs.film))}")


@app.command()
def caption(
    clip: OneClip,
    out: OneOut = None,
    sentence: Annotated[str | None, typer.Option(help="Explain this sentence in place of the captioner's own.")] = None,
    weights: Annotated[str, typer.Option(help="default, or a file of the captioner's weights.")] = "default",
    method: Annotated[str, typer.Option(help="A name from `vidcam methods`.")] = "gradcam++",
    stride: Annotated[int | None, typer.Option(help="Source frames between windows. [default: half a window]")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Describe a clip of the playground in a sentence, and explain every word: a film and a report."""
    from vidcam.captioning import explain_caption, load_captioner
    from vidcam.render.caption import refuse_existing, save_caption
    from vidcam.report.page import refuse_existing as refuse_report

    (place,) = _places([clip], out)
    if not overwrite:
        refuse_existing(place)
        refuse_report(place)
    captioner = load_captioner(weights)
    with _progress(clip.name) as progress:
        found = explain_caption(clip, captioner, sentence, method=method, stride=stride, progress=progress)
    _tell(found.whole.warnings)
    film = save_caption(found, place, overwrite=overwrite)
    if as_json:
        probabilities = [e.target.probability for e in found.by_word]
        print(json.dumps({"words": found.words, "probabilities": probabilities, "film": str(film)}, ensure_ascii=False))
    else:
        _out.print(f"{escape(str(clip))}: [bold]{escape(' '.join(found.words))}[/]")
        _out.print(f"  film     {escape(str(film))}")
    _report([*found.by_word, found.whole], place, as_json)


@app.command()
def localize(
    clips: Clips,
    out: Out = None,
    classes: Annotated[str, typer.Option(help="top5, or labels with commas.")] = "top5",
    model: Annotated[str, typer.Option(help="A name from `vidcam models`.")] = "playground-r2plus1d",
    weights: Annotated[str, typer.Option(help="default, none, or a .pth, .pt or .safetensors file.")] = "default",
    labels: Annotated[Path | None, typer.Option(help="Text file with one class label a line.")] = None,
    layer: Annotated[str, typer.Option(help="auto, or a name from `vidcam layers MODEL`.")] = "auto",
    method: Annotated[str, typer.Option(help="A name from `vidcam methods`.")] = "gradcam++",
    curve: Annotated[str, typer.Option(help="What is cut: score, evidence or combined.")] = "combined",
    evidence: Annotated[
        str, typer.Option(help="How a heatmap becomes one number: mean, max, or top (mean of its strongest tenth).")
    ] = "mean",
    stride: Annotated[
        int | None, typer.Option(help="Source frames between windows. [default: a quarter window]")
    ] = None,
    dtype: Annotated[str, _DTYPE] = "auto",
    dense: Annotated[bool, _DENSE] = False,
    truth: Annotated[Path | None, typer.Option(help="ActivityNet truth file to outline in the timeline.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find when the classes of clips happen: segments and a timeline."""
    from vidcam.localization import CurveName
    from vidcam.localization import localize as run
    from vidcam.models.registry import load_model
    from vidcam.render.timeline import refuse_existing, save
    from vidcam.report.page import refuse_existing as refuse_report
    from vidcam.temporal.curves import Reduction
    from vidcam.temporal.formats import read_truths, truths_of
    from vidcam.temporal.segments import distinct

    cut: CurveName = _one_of(curve, get_args(CurveName), "curve")
    reduction: Reduction = _one_of(evidence, get_args(Reduction), "evidence")
    places = _places(clips, out)
    annotated = read_truths(truth) if truth is not None else []
    if not overwrite:
        for place in places:
            refuse_existing(place)
            refuse_report(place)
    loaded = load_model(model, weights, labels)
    wanted = classes if re.fullmatch(r"top[- ]?\d*", classes) else [c.strip() for c in classes.split(",")]
    for clip, place in zip(clips, places):
        with _progress(clip.name) as progress:
            found = run(
                clip,
                loaded,
                wanted,
                layer=layer,
                method=method,
                curve=cut,
                evidence=reduction,
                stride=stride,
                dtype=dtype,
                dense=dense,
                progress=progress,
            )
        _tell(found.warnings)
        own = truths_of(clip.stem, float(found.times[-1]), annotated, truth) if truth is not None else []
        outputs = save(found, place, truths=own, overwrite=overwrite)
        if as_json:
            print(outputs.segments_json.read_text(encoding="utf-8"), end="")
        else:
            _out.print(f"{escape(found.clip)}: {len(found.segments)} proposals; the best")
            for s in distinct(found.segments)[:5]:
                _out.print(f"  {s.start:7.2f} to {s.end:7.2f} s  [bold]{escape(s.label)}[/] {s.score:.3f}")
            _out.print(f"  timeline {escape(str(outputs.timeline))}")
        _report(found, place, as_json)


def _one_of(given: str, choices: Sequence[str], what: str) -> Any:
    """What was given, if it is one of the choices."""
    if given not in choices:
        raise SettingsError(f"there is no {what} {given!r}; choose one of {', '.join(choices)}")
    return given


@evaluate.command("temporal")
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
    from vidcam.metrics.localization import ACTIVITYNET_TIOU, THUMOS_TIOU, mean_average_precision
    from vidcam.temporal.formats import read_detections, read_truths

    lists = {"activitynet": ACTIVITYNET_TIOU, "thumos": THUMOS_TIOU}
    if thresholds not in lists:
        raise SettingsError(f"there are no thresholds {thresholds!r}; choose activitynet or thumos")
    found = mean_average_precision(read_truths(truth, subset), read_detections(predictions), lists[thresholds])
    if as_json:
        facts = {"tiou": list(found.tiou), "mAP": found.mean.tolist(), "average_mAP": found.average}
        per_class = {label: row.tolist() for label, row in zip(found.labels, found.average_precision)}
        print(json.dumps({**facts, "average_precision": per_class}))
        return
    for threshold, value in zip(found.tiou, found.mean):
        _out.print(f"mAP@{threshold:.2f}  {value:.4f}")
    _out.print(f"average   {found.average:.4f}  ({len(found.labels)} classes)")


@evaluate.command("playground")
def evaluate_playground(
    task: Annotated[str, typer.Option(help="temporal.")] = "temporal",
    seed: Annotated[int, typer.Option(min=0, help="0 is what the bundled networks were trained on.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="Clips, and pairs of clips.")] = 100,
    model: Annotated[str, typer.Option(help="A bundled network.")] = "playground-r2plus1d",
    as_json: Json = False,
) -> None:
    """Measure vidcam on rendered clips, whose truth is known."""
    from rich.table import Table

    from vidcam.models.registry import load_model
    from vidcam.playground.temporal import localized_clips, temporal_table, two_clip_test

    if task != "temporal":
        raise SettingsError(f"there is no task {task!r}; choose temporal")
    loaded = load_model(model)
    with _progress("localizing") as progress:
        rows = temporal_table(list(localized_clips(loaded, seed, count, progress)))
    with _progress("two clips joined") as progress:
        joined = two_clip_test(loaded, seed, count, progress)
    if as_json:
        print(json.dumps({**rows, "two_clips": joined}))
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
    _out.print(table)


_METHODS = "gradcam++,gradcam,gradcam+,gradcam++signed"

Data = Annotated[str, typer.Option(help="A folder of clips, or playground for freshly rendered ones.")]
Seed = Annotated[int, typer.Option(min=0, help="Of rendered clips; 0 is what the bundled networks were trained on.")]
Count = Annotated[int, typer.Option(min=1, help="Clips at most.")]
ModelName = Annotated[str, typer.Option(help="A name from `vidcam models`.")]
Weights = Annotated[str, typer.Option(help="default, none, or a .pth, .pt or .safetensors file.")]
Labels = Annotated[Path | None, typer.Option(help="Text file with one class label a line.")]
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


@evaluate.command("faithfulness")
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
    from vidcam.metrics.faithfulness import Fill
    from vidcam.render.measures import faithfulness_figure

    hidden: Fill = _one_of(fill, get_args(Fill), "fill")
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


@evaluate.command("localization")
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
    from vidcam.evaluation.place import Place
    from vidcam.render.measures import place_figure

    subject = _subject(model, weights, labels, methods, layer, dtype)
    measure = Place(subject.layers, subject.methods, subject.quick)
    columns = ["pointing_game", "pointing_game_clip", "energy_inside", "saliency_iou", "loc_0", "loc_0.25", "loc_0.5"]
    _evaluated(subject, measure, {}, data, seed, count, out, as_json, columns, place_figure)


@evaluate.command("sanity")
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
    from vidcam.metrics.sanity import stages
    from vidcam.render.measures import sanity_figure

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

    from vidcam.fidelity import DTYPES
    from vidcam.models.inference import prepared, quickest_dtype
    from vidcam.models.registry import load_model
    from vidcam.pipeline import checked_layers, checked_methods

    _one_of(dtype, DTYPES, "dtype")
    names = checked_methods(methods)
    loaded = load_model(model, weights, labels)
    layers = checked_layers(loaded, layer)
    _tell([loaded.note] if loaded.note else [])
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
    from vidcam.render.outputs import all_or_nothing

    where = {"data": data, "seed": seed} if data == "playground" else {"data": data}
    settings = {**subject.settings, **more, **where}
    with _progress("measuring") as progress:
        records = measured(measure, subject.model, sources(data, seed, count), settings, out, progress)
    summary = summed_up(records, settings, subject.methods)
    if out is not None:
        with all_or_nothing(out) as work:
            (work / "results.json").write_text(json.dumps(summary.json(), indent=2) + "\n", encoding="utf-8")
            figure(records).savefig(work / "figure.png")
    if summary.failed:
        first = next(iter(summary.failed.values()))
        _tell([f"{len(summary.failed)} of {len(records)} clips could not be measured; the first: {first}"])
    if as_json:
        print(json.dumps(summary.json()))
        return
    table = Table("explanation", *(c.replace("_", " ") for c in columns), box=None)
    for name, figures in {**summary.methods, **summary.baselines}.items():
        cells = [figures.get(column) for column in columns]
        table.add_row(name, *("-" if e is None else f"{e.mean:.3f}\n[dim]{e.low:.3f}–{e.high:.3f}[/]" for e in cells))
    _out.print(table)
    _out.print(f"{summary.clips} clips; below each mean its 95 % bootstrap interval")


@app.command("app")
def app_(
    host: Annotated[
        str, typer.Option(help="Address to listen at; the default answers this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 7860,
    max_size: Annotated[int, typer.Option(min=1, help="Megabytes a clip may have.")] = 256,
    max_seconds: Annotated[int, typer.Option(min=1, help="Seconds a clip may take.")] = 120,
) -> None:
    """Open a page on this machine to explain clips in a browser. Needs vidcam[app]."""
    from vidcam.app import Limits, serve

    serve(host, port, Limits(max_size, max_seconds))


@app.command()
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
    from vidcam.evaluation.misclassified import Errors, errors_of
    from vidcam.evaluation.run import measured
    from vidcam.evaluation.samples import rendered, sources
    from vidcam.playground.scene import hard_scene
    from vidcam.report.errors import save_errors, summed_up

    subject = _subject(model, weights, labels, method, layer, "auto")
    settings = {**subject.settings, "data": data, **({"seed": seed} if data == "playground" else {})}
    folder = rendered(hard_scene, seed, count, out / "clips") if data == "playground" else Path(data)
    with _progress("watching") as progress:
        measure = Errors(subject.layers, subject.methods[0], subject.quick)
        records = measured(measure, subject.model, sources(str(folder), seed, count), settings, out, progress)
    found = errors_of(records)
    failed = [record for record in records if "error" in record]
    watched = len(records) - len(failed)
    with _progress("films") as progress:
        page = save_errors(
            found, watched, folder, out, subject.model, subject.layers, subject.methods[0], films, progress
        )
    if failed:
        _tell([f"{len(failed)} of {len(records)} clips could not be measured; the first: {failed[0]['error']}"])
    summary = summed_up(found, watched)
    if as_json:
        print(json.dumps({**summary, "page": str(page)}))
        return
    for name, value in summary.items():
        _out.print(f"{name.replace('_', ' '):<36} {value if isinstance(value, int) else f'{value:.3f}'}")
    _out.print(f"page  {escape(str(page))}")


@app.command()
def models(as_json: Json = False) -> None:
    """List the networks that can be named."""
    from rich.table import Table

    from vidcam.models.registry import image_model_names, model_names, spec_named

    specs = [spec_named(name) for name in model_names()]
    if as_json:
        rows = [
            {"name": s.name, "classes": s.num_classes, "frames": s.frames, "layer": s.layer, "source": s.source}
            for s in specs
        ]
        print(json.dumps([*rows, *({"name": name} for name in image_model_names())]))
        return
    table = Table("model", "classes", "frames", "frames/s", "default layer", "weights and source", box=None)
    for s in specs:
        rate = f"{s.frame_rate:g}" if s.frame_rate else "any"
        table.add_row(s.name, str(s.num_classes), str(s.frames), rate, s.layer, s.source)
    _out.print(table)
    _out.print(f"\nimage classifiers, frame by frame: {', '.join(image_model_names())}")


@app.command()
def methods() -> None:
    """List the methods, each with its source."""
    from vidcam.cam.methods import METHODS

    for name, method in METHODS.items():
        _out.print(f"[bold]{name}[/]  {escape((method.__doc__ or '').splitlines()[0])}")


@app.command()
def layers(model: Annotated[str, typer.Argument(help="A name from `vidcam models`.")], as_json: Json = False) -> None:
    """List the layers of a network that can be explained: output, stride and receptive field in its window."""
    from rich.table import Table

    from vidcam.models.registry import load_model
    from vidcam.pipeline import layers_of

    loaded = load_model(model, "none")
    default = loaded.spec.layer.split(",")
    found = layers_of(loaded)
    if as_json:
        rows = [
            {
                "layer": name,
                "shape": list(layer.shape),
                "stride": list(layer.sight.stride),
                "field": list(layer.sight.field) if layer.sight.field else None,
                "default": name in default,
            }
            for name, layer in found.items()
        ]
        print(json.dumps(rows))
        return
    table = Table("layer", "module", "channels", "TxHxW", "stride", "receptive field", "", box=None)
    for name, layer in found.items():
        channels, *extent = layer.shape
        field = _by(layer.sight.field) if layer.sight.field else "all"
        mark = "default" if name in default else ""
        table.add_row(name, layer.kind, str(channels), _by(extent), _by(layer.sight.stride), field, mark)
    _out.print(table)


def _by(extent: Sequence[int]) -> str:
    return "x".join(map(str, extent))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Directory for the outputs.")] = Path("vidcam-demo"),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Explain a bundled clip with a bundled network."""
    from vidcam.demo import demo_clip
    from vidcam.pipeline import explain as run
    from vidcam.render.outputs import refuse_existing

    if not overwrite:
        refuse_existing(out)
    clip = demo_clip()
    with _progress(clip.name) as progress:
        explanation = run(clip, progress=progress)
    _save(explanation, out, overwrite, as_json)


@app.command()
def doctor() -> None:
    """Print what a bug report needs, and whether everything vidcam leans on works."""
    from vidcam.doctor import findings

    healthy = True
    for finding in findings():
        healthy &= finding.fine
        mark = "[green]ok[/]" if finding.fine else "[bold red]no[/]"
        _out.print(f"{mark}  {escape(finding.subject):<24} {escape(finding.detail)}")
    if not healthy:
        raise typer.Exit(1)


@playground.command("render")
def playground_render(
    out: Annotated[Path, typer.Option(help="Directory for the clips.")],
    seed: Annotated[int, typer.Option(min=0, help="0 is what the bundled networks were trained on.")] = 1,
    count: Annotated[int, typer.Option(min=1)] = 10,
    frames: Annotated[int, typer.Option(min=16, help="Frames per clip, at 16 frames per second.")] = 80,
    trimmed: Annotated[bool, typer.Option("--trimmed", help="The action fills the whole clip.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Render clips (MP4) with the truth of every frame beside them (JSON)."""
    from vidcam.playground.clips import write_clip
    from vidcam.playground.scene import trimmed_scene, untrimmed_scene

    paths = [out / f"{seed}-{index:04d}.mp4" for index in range(count)]
    if not overwrite and (there := [p.name for p in paths if p.exists()]):
        raise OutputError(f"{out} already holds {there[0]}; pass --overwrite or give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror}); give another --out") from error
    with _progress("rendering") as progress:
        for index, path in enumerate(paths):
            scene = (trimmed_scene if trimmed else untrimmed_scene)(seed, index, frames)
            write_clip(scene, path, facts={"seed": seed, "index": index, "trimmed": trimmed})
            progress(index + 1, count)
    _out.print(f"{count} clips in {out}")


@playground.command("train")
def playground_train(
    model: Annotated[str, typer.Argument(help="playground-r2plus1d, playground-c3d or playground-captioner.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
) -> None:
    """Train a bundled network from nothing; run again after an interruption, it goes on."""
    from vidcam.playground.train import train

    out.parent.mkdir(parents=True, exist_ok=True)
    recent: list[float] = []

    def told(step: int, loss: float, accuracy: float) -> None:
        recent.append(accuracy)
        if step % 20 == 0:
            window = recent[-20:]
            print(f"step {step}  loss {loss:.3f}  accuracy {sum(window) / len(window):.3f}", flush=True)

    _out.print(f"weights in {train(model, out, progress=told)}")


@playground.command("accuracy")
def playground_accuracy(
    model: Annotated[str, typer.Argument(help="playground-r2plus1d or playground-c3d.")],
    seed: Annotated[int, typer.Option(min=0)] = 1,
    count: Annotated[int, typer.Option(min=1)] = 300,
    weights: Annotated[str, typer.Option(help="default, or a file.")] = "default",
) -> None:
    """Top-1 accuracy of a bundled network on freshly rendered windows."""
    from vidcam.models.registry import load_model
    from vidcam.playground.train import accuracy

    share = accuracy(load_model(model, weights), seed, count)
    _out.print(f"{model}: top-1 {share:.4f} on {count} windows of seed {seed}")


def _save(explanation: Explanation, directory: Path, overwrite: bool, as_json: bool) -> None:
    _tell(explanation.warnings)
    outputs = explanation.save(directory, overwrite=overwrite)
    if as_json:
        print(outputs.summary.read_text(encoding="utf-8"), end="")
        return
    target = explanation.target
    _out.print(f"{escape(explanation.clip)}: [bold]{escape(target.label)}[/] {target.probability:.3f}")
    _out.print(f"  overlay  {escape(str(outputs.overlay))}")
    _out.print(f"  curve    {escape(str(outputs.curve_png))}")
    _out.print(f"  summary  {escape(str(outputs.summary))}")


def _report(found: Sequence[Explanation] | Localization, directory: Path, as_json: bool) -> None:
    from vidcam.report.page import write_report

    page = write_report(found, directory)
    if not as_json:
        size = page.stat().st_size / 2**20
        _out.print(f"  report   {escape(str(page))} ({size:.1f} MiB)")


def _tell(warnings: Iterable[str]) -> None:
    for warning in warnings:
        _err.print(f"[yellow]note:[/] {escape(warning)}")


def _places(clips: list[Path], out: Path | None) -> list[Path]:
    """One output directory per clip: `out` itself for a single one, else a folder named after each."""
    if out is not None and len(clips) == 1:
        return [out]
    names = [clip.stem for clip in clips]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SettingsError(f"several clips are named {twice!r} and would share a directory; explain them one by one")
    return [(out or Path("vidcam-out")) / name for name in names]


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    """A progress bar on standard error where that is a terminal; silent elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=_err, disable=not _err.is_terminal, transient=True) as bar:
        task = bar.add_task(escape(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


if __name__ == "__main__":
    main()
