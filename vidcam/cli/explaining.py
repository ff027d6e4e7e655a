"""Commands that explain clips."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from vidcam.cli.options import (
    DENSE,
    DEVICE,
    DTYPE,
    LABELS,
    MODEL,
    WEIGHTS,
    Clips,
    ConfigFile,
    Device,
    Json,
    Labels,
    ModelName,
    OneClip,
    OneOut,
    Out,
    Overwrite,
    Stride,
    TrustConfig,
    Weights,
    places_of,
    plain,
    print_json,
    print_json_file,
    progress_bar,
    stdout,
    tell,
)
from vidcam.errors import one_of

if TYPE_CHECKING:
    from vidcam.results.explanation import Explanation
    from vidcam.results.localization import Localization

commands = typer.Typer()


@commands.command()
def explain(
    clips: Clips,
    out: Out = None,
    model: Annotated[str | None, MODEL] = None,
    weights: Annotated[str | None, WEIGHTS] = None,
    labels: Annotated[str | None, LABELS] = None,
    target: Annotated[str | None, typer.Option(help="top, top5, a label, a class index, or 'A - B'.")] = None,
    layer: Annotated[
        str | None, typer.Option(help="auto, or names from `vidcam layers MODEL`; several, with commas, are fused.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="gradcam++ or another (`vidcam methods`); several with commas.")
    ] = None,
    fusion: Annotated[str | None, typer.Option(help="Of several layers: mean, or max as in LayerCAM.")] = None,
    stride: Stride = None,
    sampling_rate: Annotated[int | None, typer.Option(help="Source frames between the frames of a window.")] = None,
    dtype: Annotated[str | None, DTYPE] = None,
    dense: Annotated[bool | None, DENSE] = None,
    device: Annotated[str | None, DEVICE] = None,
    config: ConfigFile = None,
    trust_config: TrustConfig = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Explain clips: overlay film, temporal curve, heatmaps and summary."""
    from vidcam.recipe import read_config

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
        "device": device,
    }
    settings = read_config(config, flags, trusted=trust_config)
    places = places_of(clips, out)

    from vidcam.export.outputs import folders, refuse_existing
    from vidcam.export.page import refuse_existing as refuse_report
    from vidcam.pipeline import explain_each

    if not overwrite:
        for place in places:
            refuse_existing(place)
            refuse_report(place)
    loaded = settings.load()
    for clip, place in zip(clips, places):
        with progress_bar(clip.name) as progress:
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


@commands.command()
def compare(
    clip: OneClip,
    out: OneOut = None,
    model: Annotated[str, typer.Option(help="Names from `vidcam models`, with commas.")] = "playground-r2plus1d",
    weights: Weights = "default",
    labels: Labels = None,
    target: Annotated[
        str, typer.Option(help="top, top5, a label, a class index, 'A - B'; labels with commas.")
    ] = "top",
    layer: Annotated[str, typer.Option(help="auto, or names from `vidcam layers MODEL`, with commas.")] = "auto",
    method: Annotated[str, typer.Option(help="Names from `vidcam methods`, with commas.")] = "gradcam++,gradcam",
    stride: Stride = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Show methods, classes, layers or models side by side: a film, a grid of frames, and curves as SVG and PDF."""
    from vidcam.export.compare import compare as run
    from vidcam.export.compare import refuse_existing
    from vidcam.models.registry import load_model
    from vidcam.pipeline import explain_each

    (place,) = places_of([clip], out)
    if not overwrite:
        refuse_existing(place)
    found: list[Explanation] = []
    for name in model.split(","):
        loaded = load_model(name.strip(), weights, labels, device)
        targets = [target] if target in loaded.labels else [t.strip() for t in target.split(",")]
        for one in targets:
            for layers in layer.split(","):
                with progress_bar(f"{clip.name} {one} {layers}") as progress:
                    found += explain_each(
                        clip, loaded, one, layer=layers.strip(), method=method, stride=stride, progress=progress
                    )
    outputs = run(found, place, overwrite=overwrite)
    tell(dict.fromkeys(warning for e in found for warning in e.warnings))
    for path in vars(outputs).values():
        stdout.print(f"  {plain(path)}")


@commands.command("tubes")
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
    stride: Stride = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find who or what holds the evidence: a box in every frame around each, as JSON and as a film."""
    from vidcam.export.tubes import refuse_existing, save_tubes
    from vidcam.models.registry import load_model
    from vidcam.pipeline import explain as run
    from vidcam.temporal.tubes import TubeParams, tubes_of

    params = TubeParams(threshold)
    (place,) = places_of([clip], out)
    if not overwrite:
        refuse_existing(place)
    loaded = load_model(model, weights, labels, device)
    with progress_bar(clip.name) as progress:
        found = run(clip, loaded, target, layer=layer, method=method, stride=stride, progress=progress)
    tell(found.warnings)
    tubes = tubes_of(found.maps, found.scores, found.region, found.target.label, params)
    outputs = save_tubes(found, tubes, place, overwrite=overwrite)
    if as_json:
        print_json_file(outputs.tubes)
        return
    stdout.print(
        f"{plain(found.clip)}: [bold]{plain(found.target.label)}[/], {len(tubes)} tube{'' if len(tubes) == 1 else 's'}"
    )
    for tube in tubes[:5]:
        stdout.print(f"  frames {tube.start} to {tube.end - 1}  score {tube.score:.3f}")
    stdout.print(f"  tubes    {plain(outputs.tubes)}")
    stdout.print(f"  film     {plain(outputs.film)}")


@commands.command()
def caption(
    clip: OneClip,
    out: OneOut = None,
    sentence: Annotated[str | None, typer.Option(help="Explain this sentence in place of the captioner's own.")] = None,
    weights: Annotated[str, typer.Option(help="default, or a file of the captioner's weights.")] = "default",
    method: Annotated[str, typer.Option(help="A name from `vidcam methods`.")] = "gradcam++",
    stride: Stride = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Describe a clip of the playground in a sentence, and explain every word: a film and a report."""
    from vidcam.captioning import explain_caption, load_captioner
    from vidcam.export.caption import refuse_existing, save_caption
    from vidcam.export.page import refuse_existing as refuse_report

    (place,) = places_of([clip], out)
    if not overwrite:
        refuse_existing(place)
        refuse_report(place)
    captioner = load_captioner(weights)
    with progress_bar(clip.name) as progress:
        found = explain_caption(clip, captioner, sentence, method=method, stride=stride, progress=progress)
    tell(found.whole.warnings)
    film = save_caption(found, place, overwrite=overwrite)
    if as_json:
        probabilities = [e.target.probability for e in found.by_word]
        print_json({"words": found.words, "probabilities": probabilities, "film": str(film)})
    else:
        stdout.print(f"{plain(clip)}: [bold]{plain(' '.join(found.words))}[/]")
        stdout.print(f"  film     {plain(film)}")
    _report([*found.by_word, found.whole], place, as_json)


@commands.command()
def localize(
    clips: Clips,
    out: Out = None,
    classes: Annotated[str, typer.Option(help="top5, or labels with commas.")] = "top5",
    model: ModelName = "playground-r2plus1d",
    weights: Weights = "default",
    labels: Labels = None,
    layer: Annotated[str, typer.Option(help="auto, or a name from `vidcam layers MODEL`.")] = "auto",
    method: Annotated[str, typer.Option(help="A name from `vidcam methods`.")] = "gradcam++",
    curve: Annotated[str, typer.Option(help="What is cut: score, evidence or combined.")] = "combined",
    evidence: Annotated[
        str, typer.Option(help="How a heatmap becomes one number: mean, max, or top (mean of its strongest tenth).")
    ] = "mean",
    stride: Annotated[
        int | None, typer.Option(help="Source frames between windows. [default: a quarter window]")
    ] = None,
    dtype: Annotated[str, DTYPE] = "auto",
    dense: Annotated[bool, DENSE] = False,
    device: Device = "auto",
    truth: Annotated[Path | None, typer.Option(help="ActivityNet truth file to outline in the timeline.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find when the classes of clips happen: segments and a timeline."""
    from vidcam.export.annotations import read_truths, truths_of
    from vidcam.export.page import refuse_existing as refuse_report
    from vidcam.export.timeline import refuse_existing, save
    from vidcam.models.registry import load_model
    from vidcam.results.localization import CurveName
    from vidcam.results.localization import localize as run
    from vidcam.temporal.curves import Reduction
    from vidcam.temporal.segments import distinct

    cut: CurveName = one_of(curve, get_args(CurveName), "curve")
    reduction: Reduction = one_of(evidence, get_args(Reduction), "evidence")
    places = places_of(clips, out)
    annotated = read_truths(truth) if truth is not None else []
    if not overwrite:
        for place in places:
            refuse_existing(place)
            refuse_report(place)
    loaded = load_model(model, weights, labels, device)
    wanted = classes if re.fullmatch(r"top[- ]?\d*", classes) else [c.strip() for c in classes.split(",")]
    for clip, place in zip(clips, places):
        with progress_bar(clip.name) as progress:
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
        tell(found.warnings)
        own = truths_of(clip.stem, float(found.times[-1]), annotated, truth) if truth is not None else []
        outputs = save(found, place, truths=own, overwrite=overwrite)
        if as_json:
            print_json_file(outputs.segments_json)
        else:
            stdout.print(f"{plain(found.clip)}: {len(found.segments)} proposals; the best")
            for s in distinct(found.segments)[:5]:
                stdout.print(f"  {s.start:7.2f} to {s.end:7.2f} s  [bold]{plain(s.label)}[/] {s.score:.3f}")
            stdout.print(f"  timeline {plain(outputs.timeline)}")
        _report(found, place, as_json)


@commands.command()
def demo(
    out: Annotated[Path, typer.Option(help="Directory for the outputs.")] = Path("vidcam-demo"),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Explain a bundled clip with a bundled network."""
    from vidcam.export.outputs import refuse_existing
    from vidcam.export.page import refuse_existing as refuse_report
    from vidcam.pipeline import explain as run
    from vidcam.playground.demo import demo_clip

    if not overwrite:
        refuse_existing(out)
        refuse_report(out)
    clip = demo_clip()
    with progress_bar(clip.name) as progress:
        explanation = run(clip, progress=progress)
    _save(explanation, out, overwrite, as_json)
    _report([explanation], out, as_json)


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


def _save(explanation: Explanation, directory: Path, overwrite: bool, as_json: bool) -> None:
    tell(explanation.warnings)
    outputs = explanation.save(directory, overwrite=overwrite)
    if as_json:
        print_json_file(outputs.summary)
        return
    target = explanation.target
    stdout.print(f"{plain(explanation.clip)}: [bold]{plain(target.label)}[/] {target.probability:.3f}")
    stdout.print(f"  overlay  {plain(outputs.overlay)}")
    stdout.print(f"  curve    {plain(outputs.curve_png)}")
    stdout.print(f"  summary  {plain(outputs.summary)}")


def _report(found: Sequence[Explanation] | Localization, directory: Path, as_json: bool) -> None:
    from vidcam.export.page import write_report

    page = write_report(found, directory)
    if not as_json:
        size = page.stat().st_size / 2**20
        stdout.print(f"  report   {plain(page)} ({size:.1f} MiB)")
