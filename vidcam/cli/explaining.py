"""Commands that explain clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from vidcam.cli.options import OF_FILMS, OF_PICTURES, Clips, Json, OneClip, OneOut, Out, Overwrite, with_config
from vidcam.cli.printing import plain, print_json, print_json_file, print_notes, progress_bar, stderr, stdout
from vidcam.errors import SettingsError, counted, one_of
from vidcam.recipe import ExplainConfig
from vidcam.video.urls import file_name, is_url

if TYPE_CHECKING:
    from vidcam.results.explanation import Explanation

commands = typer.Typer()

_OF_THE_FILM = ("decode", "film_decode", "draw", "encode")  # stages; the first when the clip is explained


@commands.command()
@with_config()
def explain(
    clips: Clips,
    config: ExplainConfig,
    out: Out = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    profile: Annotated[bool, typer.Option("--profile", help="Print the seconds of each stage.")] = False,
) -> None:
    """Explain clips: overlay film, temporal curve, heatmaps, summary and report.

    Writes overlay.mp4, curve.png, curve.csv, explanation.npz, summary.json and report.html into --out; several classes,
    methods or layers get a directory each inside.
    """
    from vidcam.engine.memory import collector_paused

    with collector_paused():
        from vidcam.cam.targets import top_count
        from vidcam.explainer import Explainer
        from vidcam.export.results import refuse_explanations
        from vidcam.video.kept import kept

    places = _places_of(clips, out)
    explainer = Explainer(config.load(), config)
    if not overwrite:
        for place in places:
            classes = top_count(config.target) or 1
            refuse_explanations(place, classes=classes, names=(explainer.methods, config.evidences, explainer.layers))
    for clip, place in zip(clips, places):
        with progress_bar(_name(clip)) as progress:
            explanations = explainer.explain(kept(clip), config.target, progress=progress)
        timings = _write(explanations, place, overwrite, as_json)
        if profile:
            _print_profile(timings)


@commands.command()
@with_config(without=OF_FILMS, method="gradcam++,gradcam")
def compare(clip: OneClip, config: ExplainConfig, out: OneOut = None, overwrite: Overwrite = False) -> None:
    """Show methods, classes, layers, models or motion and appearance side by side: a film, a page, a grid and curves.

    Several models, layers, targets or kinds of evidence are given with commas. Writes compare.mp4, compare.html (a divider
    between two of them), grid.png, curves.svg and curves.pdf into --out.
    """
    from vidcam.explainer import Explainer
    from vidcam.export.compare import ComparisonOutputs
    from vidcam.export.compare import compare as write
    from vidcam.export.outputs import refuse_existing

    (place,) = _places_of([clip], out)
    if not overwrite:
        refuse_existing(place, ComparisonOutputs)
    found: list[Explanation] = []
    models = config.model.split(",") if isinstance(config.model, str) else [config.model]
    for model in models:
        one = config.changed(model=model.strip() if isinstance(model, str) else model)
        explainer = Explainer(one.load(), one)
        labels, target = explainer.model.labels, config.target
        targets = [target] if target in labels or isinstance(target, int) else [t.strip() for t in target.split(",")]
        with progress_bar(_name(clip)) as progress:
            explanations = explainer.explain(clip, targets, progress=progress)
        found += [e for e in explanations if "," not in e.layer]  # the layers side by side, not fused
    outputs = write(found, place, overwrite=overwrite)
    print_notes(dict.fromkeys(warning for e in found for warning in e.warnings))
    for path in vars(outputs).values():
        if path.exists():
            stdout.print(f"  {plain(path)}")


@commands.command("tubes")
@with_config(without=("check", *OF_FILMS))
def tubes_(
    clip: OneClip,
    config: ExplainConfig,
    out: OneOut = None,
    threshold: Annotated[float, typer.Option(help="Heat of a tube, as a share of the clip's strongest.")] = 0.35,
    export: Annotated[
        str | None, typer.Option(help="Also for these tools: cvat, label-studio, with commas.", show_default="none")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find who or what holds the evidence: a box in every frame around each.

    Writes tubes.json and tubes.mp4 into --out.
    """
    from vidcam.explainer import Explainer
    from vidcam.export.exchange import TUBES, files_of, tools_named
    from vidcam.export.outputs import refuse, refuse_existing
    from vidcam.export.tubes import TubeOutputs, save_tubes
    from vidcam.temporal.tubes import TubeParams, tubes_of

    params, tools = TubeParams(threshold), tools_named(export, TUBES)
    (place,) = _places_of([clip], out)
    if not overwrite:
        refuse_existing(place, TubeOutputs)
        refuse(place, files_of(tools, TUBES, place))
    explainer = Explainer(config.load(), config)
    explainer.refuse_several(config.target)
    with progress_bar(_name(clip)) as progress:
        found = explainer.explain(clip, config.target, progress=progress)[0]
    print_notes(found.warnings)
    tubes = tubes_of(found.maps, found.scores, found.region, found.target.label, params)
    outputs = save_tubes(found, tubes, place, tools=tools, overwrite=overwrite)
    if as_json:
        print_json_file(outputs.tubes)
        return
    stdout.print(f"{plain(found.clip)}: [bold]{plain(found.target.label)}[/], {counted(len(tubes), 'tube')}")
    for tube in tubes[:5]:
        stdout.print(f"  frames {tube.start} to {tube.end - 1}  confidence {tube.score:.3f}")
    stdout.print(f"  tubes    {plain(outputs.tubes)}")
    stdout.print(f"  film     {plain(outputs.film)}")
    _print_exports(files_of(tools, TUBES, place))


@commands.command()
@with_config(without=("model", "labels", "target", "layer", "evidence", "check", *OF_FILMS), dtype="float32")
def caption(
    clip: OneClip,
    config: ExplainConfig,
    out: OneOut = None,
    sentence: Annotated[
        str | None, typer.Option(help="Explain this sentence.", show_default="the captioner's own")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Describe a clip of the playground in a sentence, and explain every word.

    Writes caption.mp4 and report.html into --out.
    """
    from vidcam.captioning import explain_caption
    from vidcam.export.caption import CaptionOutputs, save_caption
    from vidcam.export.outputs import refuse_existing
    from vidcam.export.page import PageOutputs
    from vidcam.playground.captioner import load_captioner

    (place,) = _places_of([clip], out)
    if not overwrite:
        refuse_existing(place, CaptionOutputs, PageOutputs)
    captioner = load_captioner(config.weights)
    with progress_bar(_name(clip)) as progress:
        found = explain_caption(clip, captioner, sentence, recipe=config, progress=progress)
    print_notes(found.whole.warnings)
    outputs = save_caption(found, place, overwrite=overwrite)
    if as_json:
        probabilities = [e.target.probability for e in found.by_word]
        print_json({"words": found.words, "probabilities": probabilities, "film": str(outputs.film)})
        return
    stdout.print(f"{plain(clip)}: [bold]{plain(' '.join(found.words))}[/]")
    stdout.print(f"  film     {plain(outputs.film)} (the clip once for each of {counted(len(found.words), 'word')})")
    _print_report(outputs.report)


@commands.command()
@with_config(without=("target", "evidence", "check", *OF_PICTURES, *OF_FILMS))
def localize(
    clips: Clips,
    config: ExplainConfig,
    out: Out = None,
    classes: Annotated[str, typer.Option(help="top5, or labels with commas.")] = "top5",
    curve: Annotated[
        str | None, typer.Option(help="What is cut: score, evidence or combined.", show_default="combined")
    ] = None,
    evidence: Annotated[
        str, typer.Option(help="How a heatmap becomes one number: mean, max, or top (mean of its strongest tenth).")
    ] = "mean",
    truth: Annotated[
        Path | None, typer.Option(help="ActivityNet truth file to outline in the timeline.", show_default="none")
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(help="Also for these tools: elan, fiftyone, label-studio, srt, with commas.", show_default="none"),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find when the classes of clips happen: segments and a timeline. The stride is a quarter of a window.

    Writes segments.json, segments.csv, segments.vtt, timeline.png and report.html into --out.
    """
    from vidcam.cam.targets import top_count
    from vidcam.evaluation.activitynet import annotations_of, read_annotations
    from vidcam.explainer import Explainer
    from vidcam.export.exchange import SEGMENTS, files_of, tools_named
    from vidcam.export.outputs import refuse, refuse_existing
    from vidcam.export.page import PageOutputs
    from vidcam.export.results import write_localization
    from vidcam.results.localization import CURVES
    from vidcam.results.outputs import LocalizationOutputs
    from vidcam.temporal.curves import Reduction
    from vidcam.temporal.segments import LEAST_SHOWN, distinct

    cut = None if curve is None else one_of(curve, CURVES, "curve")
    reduction: Reduction = one_of(evidence, get_args(Reduction), "evidence")
    tools = tools_named(export, SEGMENTS)
    places = _places_of(clips, out)
    annotated = read_annotations(truth) if truth is not None else None
    print_notes(annotated.warnings if annotated else [])
    if not overwrite:
        for place in places:
            refuse_existing(place, LocalizationOutputs, PageOutputs)
            refuse(place, files_of(tools, SEGMENTS, place))
    explainer = Explainer(config.load(), config)
    explainer.refuse_several()
    wanted = classes if top_count(classes) else [c.strip() for c in classes.split(",")]
    for clip, place in zip(clips, places):
        with progress_bar(_name(clip)) as progress:
            found = explainer.localize(clip, wanted, curve=cut, evidence=reduction, progress=progress)[0]
        print_notes(found.warnings)
        own = (
            annotations_of(_stem(clip), float(found.times[-1]), annotated.truths, truth) if annotated and truth else []
        )
        written = write_localization(found, place, truths=own, tools=tools, overwrite=overwrite)
        if as_json:
            print_json_file(written.localization.segments_json)
            continue
        best = distinct(found.segments)[:5]
        which = "; the best" if best else f", none with a confidence of {LEAST_SHOWN} or more"
        stdout.print(f"{plain(found.clip)}: {counted(len(found.segments), 'proposal')}{which}")
        for s in best:
            stdout.print(f"  {s.start:7.2f} to {s.end:7.2f} s  [bold]{plain(s.label)}[/], confidence {s.score:.3f}")
        stdout.print(f"  timeline {plain(written.localization.timeline)}")
        _print_exports(files_of(tools, SEGMENTS, place))
        _print_report(written.report)


@commands.command()
def demo(
    out: Annotated[Path, typer.Option(help="Directory for the outputs.")] = Path("vidcam-demo"),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Explain a bundled clip with a bundled network. Writes the same files as explain into --out."""
    from vidcam.explainer import explain as run
    from vidcam.export.results import refuse_explanations
    from vidcam.playground.demo import demo_clip

    if not overwrite:
        refuse_explanations(out)
    clip = demo_clip()
    with progress_bar(clip.name) as progress:
        explanation = run(clip, progress=progress)
    _write([explanation], out, overwrite, as_json)


@commands.command("app")
def app_(
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen at; the default answers this machine alone. At any other one visitors need the "
            "token in the address that is printed. Nothing is encrypted."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 7860,
    max_size: Annotated[int, typer.Option(min=1, help="Megabytes a clip may have.")] = 256,
    max_seconds: Annotated[int, typer.Option(min=1, help="Seconds a clip may take.")] = 120,
) -> None:
    """Open a page on this machine to explain clips in a browser. Needs the extra `app`."""
    from vidcam.app import Limits, serve

    serve(host, port, Limits(max_size, max_seconds))


def _places_of(clips: Sequence[str], out: Path | None) -> list[Path]:
    """Return one output directory per clip: `out` itself for a single one, else a folder named after each."""
    if out is not None and len(clips) == 1:
        return [out]
    names = [_stem(clip) for clip in clips]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SettingsError(f"several clips are named {twice!r} and would share a directory; explain them one by one")
    return [(out or Path("vidcam-out")) / name for name in names]


def _name(clip: str) -> str:
    return file_name(clip) if is_url(clip) else Path(clip).name


def _stem(clip: str) -> str:
    return Path(_name(clip)).stem


def _write(explanations: Sequence[Explanation], directory: Path, overwrite: bool, as_json: bool) -> dict[str, float]:
    """Write the outputs of a clip, print each explanation, and return the seconds by stage."""
    from vidcam.export.results import write_explanations
    from vidcam.export.slides import SlideOutputs

    print_notes(dict.fromkeys(warning for explanation in explanations for warning in explanation.warnings))
    with progress_bar("writing") as progress:
        written = write_explanations(explanations, directory, overwrite=overwrite, progress=progress)
    for explanation, outputs in zip(explanations, written.explanations):
        if as_json:
            print_json_file(outputs.summary)
            continue
        target = explanation.target
        stdout.print(f"{plain(explanation.clip)}: [bold]{plain(explanation.title)}[/], {plain(target.named())}")
        if explanation.check is not None and explanation.check.passed:
            stdout.print(f"  check    {plain(explanation.check.sentence())}")
        stdout.print(f"  method   {plain(explanation.method)} at {plain(explanation.layer)}")
        stdout.print(f"  overlay  {plain(outputs.overlay)}")
        image = outputs.overlay.suffix == ".png"
        for name, path in SlideOutputs.within(outputs.overlay.parent).wanted(explanation.drawing, image=image).items():
            size = (
                f"{plain(path)} ({path.stat().st_size / 2**20:.1f} MiB)" if path.exists() else "none: there is no heat"
            )
            stdout.print(f"  {name:<8} {size}")
        stdout.print(f"  curve    {plain(outputs.curve_png)}")
        stdout.print(f"  summary  {plain(outputs.summary)}")
    if not as_json:
        _print_report(written.report)
    return written.timings


def _print_profile(timings: dict[str, float]) -> None:
    """Print the busy seconds of the stages, and those of the film against decoding a clip and encoding a film alone."""
    stderr.print("busy seconds of each stage; stages on several threads overlap")
    for stage, seconds in timings.items():
        stderr.print(f"  {stage.removesuffix('_s').replace('_', ' '):<12} {seconds:8.3f}")
    decode, again, draw, encode = (timings.get(f"{stage}_s", 0.0) for stage in _OF_THE_FILM)
    if floor := decode + encode:
        stderr.print(
            f"  the film took {(again + draw + encode) / floor:.2f} times the {floor:.3f} s of decode and encode"
        )


def _print_exports(paths: Sequence[Path]) -> None:
    for path in paths:
        stdout.print(f"  export   {plain(path)}")


def _print_report(page: Path | None) -> None:
    if page is not None:
        stdout.print(f"  report   {plain(page)} ({page.stat().st_size / 2**20:.1f} MiB)")
