"""Results as files: explanations in their folders or a localization, and their page, in one decoding of the clip."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vidcam.errors import SettingsError
from vidcam.export import page
from vidcam.export.annotations import write_chapters, write_detections, write_segments_csv
from vidcam.export.exchange import SEGMENTS, files_of
from vidcam.export.frames import overlay as overlay
from vidcam.export.frames import overlays as overlays
from vidcam.export.outputs import all_or_nothing, refuse, refuse_existing
from vidcam.export.overlay import Overlay
from vidcam.export.page import Page, PageOutputs
from vidcam.export.planes import drawn_in_planes
from vidcam.export.playback import Film, Look, Stills, clip_of, play
from vidcam.export.plots import curve_figure, write_curve_csv
from vidcam.export.plots import plot as plot
from vidcam.export.slides import SlideOutputs, copies_of
from vidcam.export.stills import stills_figure, strongest_frames
from vidcam.export.timeline import timeline_figure
from vidcam.metrics.localization import Truth
from vidcam.results.explanation import Explanation
from vidcam.results.localization import Localization
from vidcam.results.outputs import LocalizationOutputs, Outputs
from vidcam.untrusted.text import as_json
from vidcam.video.source import FrameSource
from vidcam.video.stages import Stages


@dataclass(frozen=True)
class Written:
    """The written files of explanations.

    Attributes:
        explanations: paths of the files of each, in their order.
        report: path of their page, if it was written.
        timings: seconds spent, by stage, as summary.json has them.
    """

    explanations: tuple[Outputs, ...]
    report: Path | None
    timings: dict[str, float]


@dataclass(frozen=True)
class WrittenLocalization:
    """The paths of the files of a localization, and of its page if it was written."""

    localization: LocalizationOutputs
    report: Path | None


def refuse_explanations(
    directory: Path,
    *,
    classes: int = 1,
    names: tuple[Sequence[str], Sequence[str], Sequence[str]] = ((), (), ()),
    report: bool = True,
) -> None:
    """Check before the network runs that explanations of a clip will replace no file; see `write_explanations`.

    Args:
        directory: where they will be written.
        classes: number of classes; if there are several, every folder of a class counts, whatever its label.
        names: of the methods, the kinds of evidence, and the layers.
        report: True if the page is written too.

    Raises:
        OutputError: one of the files exists, or the directory cannot be one.
    """
    methods, kinds, layers = names
    places = [f for f in directory.glob("[0-9]*-*") if f.is_dir()] if classes > 1 else [directory]
    places = [place / _name(m) for place in places for m in methods] if len(methods) > 1 else places
    places = [place / kind for place in places for kind in kinds] if len(kinds) > 1 else places
    places += [place / _name(layer) for place in places for layer in layers] if len(layers) > 1 else []
    refuse(directory, [*_files(places), *_page_files(directory, report)])


def write_explanations(
    explanations: Sequence[Explanation],
    directory: Path,
    *,
    report: bool = True,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Written:
    """Write all outputs of the explanations of a clip, all or none, in one decoding, and return their paths.

    Each explanation has the files of `Explanation.save` in its own of the `folders`; the page lies in the directory.

    Args:
        explanations: of one clip.
        directory: made if it does not exist.
        report: True to write report.html.
        overwrite: True to replace files that exist, and to remove those of formats that are not asked for now.
        progress: called with the frames drawn and the frames in all, from another thread.

    Raises:
        SettingsError: there is no explanation, they are of different clips, or two would lie in one folder.
        OutputError: a file exists and `overwrite` is not set, or the directory cannot be written.
        ClipError: the clip has changed, is gone, or can be read once only.
    """
    places = [folder for folder, _ in folders(explanations)]
    if len(set(places)) < len(places):
        raise SettingsError("two of the explanations have the same class, method, evidence and layer; give each once")
    if not overwrite:
        refuse(directory, [*_files([directory / p for p in places]), *_page_files(directory, report)])
    clip = clip_of(explanations)
    final = tuple(Outputs.within(directory / place, image=clip.is_image) for place in places)
    with all_or_nothing(directory, explanations[0].file) as work:
        began = time.perf_counter()
        html = Page(explanations, clip, work, directory) if report else None
        films, looks = (html.films, html.looks) if html is not None else ([], [])
        looks = [*looks, lambda frame: progress(frame.index + 1, explanations[0].frames)]
        stages = _draw({work / place: e for place, e in zip(places, explanations)}, clip, films, looks)
        rendered = {"render_s": round(time.perf_counter() - began, 3), **stages.rounded()}
        for place, explanation, names in zip(places, explanations, final):
            explanation = replace(explanation, timings={**explanation.timings, **rendered})
            more = SlideOutputs.within(directory / place).wanted(explanation.drawing, image=clip.is_image)
            paths = vars(names) | {name: path for name, path in more.items() if (work / place / path.name).exists()}
            store(explanation, work / place, {"outputs": {name: str(path) for name, path in paths.items()}})
        if html is not None:
            html.write()
        for place, explanation in zip(places, explanations):  # of an earlier run, and of another explanation
            of_now = SlideOutputs.within(directory / place).wanted(explanation.drawing, image=clip.is_image).values()
            for path in {*vars(SlideOutputs.within(directory / place)).values()} - {*of_now}:
                path.unlink(missing_ok=True)
    timings = {**explanations[0].timings, **rendered}
    return Written(final, PageOutputs.within(directory).page if report else None, timings)


def draw(explanation: Explanation, folder: Path) -> Explanation:
    """Write the pictures of an explanation: overlay.mp4 (of a picture overlay.png) and curve.png.

    The clip is decoded once.

    Returns:
        The explanation, its timings with those of the pictures.

    Raises:
        ClipError: the clip has changed or is gone.
        OutputError: the film cannot be written.
    """
    stages = _draw({folder: explanation}, explanation.opened())
    return replace(explanation, timings={**explanation.timings, **stages.rounded()})


def store(explanation: Explanation, folder: Path, facts: Mapping[str, Any] | None = None) -> None:
    """Write the data of an explanation: curve.csv, explanation.npz and summary.json. No clip is read.

    Args:
        explanation: of a clip.
        folder: it exists.
        facts: further entries of summary.json.
    """
    names = Outputs.within(folder)
    write_curve_csv(explanation, names.curve_csv)
    np.savez_compressed(names.explanation, **explanation.arrays())  # type: ignore[arg-type]  # NumPy 2.0 takes no allow_pickle
    summary = {**explanation.summary(), **(facts or {})}
    names.summary.write_text(as_json(summary, indent=2) + "\n", encoding="utf-8")


def folders(explanations: Sequence[Explanation]) -> Iterator[tuple[Path, Explanation]]:
    """Yield the relative folder of each explanation of a clip, with the explanation.

    Several targets have a folder each, and in it several methods, and in these several kinds of evidence. The layers of a
    fusion lie inside its folder.
    """
    labels = list(dict.fromkeys(e.target.label for e in explanations))
    several = len({e.method for e in explanations}) > 1
    kinds = len({e.kind for e in explanations}) > 1
    fused = any("," in e.layer for e in explanations)
    for explanation in explanations:
        label = explanation.target.label
        folder = Path(f"{labels.index(label) + 1}-{_slug(label)}") if len(labels) > 1 else Path()
        folder = folder / _name(explanation.method) if several else folder
        folder = folder / explanation.kind if kinds else folder
        yield folder / _name(explanation.layer) if fused and "," not in explanation.layer else folder, explanation


def write_localization(
    found: Localization,
    directory: Path,
    *,
    truths: Sequence[Truth] = (),
    tools: Sequence[str] = (),
    report: bool = True,
    overwrite: bool = False,
) -> WrittenLocalization:
    """Write the files of `Localization.save` and the page, all or none, and return their paths.

    The clip is decoded once, for the page alone.

    Args:
        found: the localization.
        directory: made if it does not exist.
        truths: outlined in the timeline; those of other clips are left out.
        tools: keys of `vidcam.export.exchange.SEGMENTS`, whose files are written, too.
        report: True to write report.html.
        overwrite: True to replace files that exist.

    Raises:
        SettingsError: there is no such tool.
        OutputError: a file exists and `overwrite` is not set, or the directory cannot be written.
        ClipError: the clip has changed, is gone, or can be read once only, and the page is written.
    """
    others = files_of(tools, SEGMENTS, directory)
    if not overwrite:
        refuse_existing(directory, LocalizationOutputs, *([PageOutputs] if report else []))
        refuse(directory, others)
    clip = found.opened() if report else None
    with all_or_nothing(directory, found.file) as work:
        part = LocalizationOutputs.within(work)
        results = {Path(found.clip).stem: found.segments}
        facts = {
            "model": found.model,
            "layer": found.layer,
            "method": found.method,
            "curve": found.curve,
            "preprocess": found.preprocess,
            "windowing": found.windowing,
            "frame_rate": found.frame_rate,
            "frame_rate_from": found.frame_rate_from,
        }
        write_detections(results, part.segments_json, facts)
        write_segments_csv(results, part.segments_csv)
        write_chapters(found.segments, part.segments_vtt)
        timeline_figure(found, truths).savefig(part.timeline)
        for tool in tools:
            name, write = SEGMENTS[tool]
            write(found, work / name)
        if clip is not None:
            html = Page(found, clip, work, directory)
            html.play()
            html.write()
    names = LocalizationOutputs.within(directory)
    return WrittenLocalization(names, PageOutputs.within(directory).page if report else None)


def save(result: Explanation | Localization, directory: Path, *, overwrite: bool) -> Outputs | LocalizationOutputs:
    """Write the files of a result, all or none, and return their paths; `vidcam.results.exporter` calls it.

    Raises:
        OutputError: a file exists and `overwrite` is not set, or the directory cannot be written.
        ClipError: the clip of an explanation has changed, is gone, or can be read once only.
    """
    if isinstance(result, Localization):
        return write_localization(result, directory, report=False, overwrite=overwrite).localization
    return write_explanations([result], directory, report=False, overwrite=overwrite).explanations[0]


def notebook_html(result: Explanation | Localization) -> str:
    """Return the page of a result in a frame, as a notebook shows it; `vidcam.results.exporter` calls it."""
    return page.iframe(result if isinstance(result, Localization) else [result])


def _draw(
    explanations: Mapping[Path, Explanation], clip: FrameSource, films: Sequence[Film] = (), looks: Sequence[Look] = ()
) -> Stages:
    """Write overlays and curves into the folders of their explanations, with more films in the same decoding.

    Returns:
        The seconds of the stages of `play`, and of the figures, "figures_s".
    """
    films, looks = [*films], [*looks]
    stills: dict[Path, Stills[np.ndarray]] = {}
    for folder, explanation in explanations.items():
        folder.mkdir(parents=True, exist_ok=True)
        names = Outputs.within(folder, image=clip.is_image)
        overlay = Overlay(explanation, float(clip.sample_aspect_ratio))
        if clip.is_image:
            looks.append(_picture(overlay, names.overlay))
        else:
            in_planes = drawn_in_planes(overlay, clip.colour)
            begins = clip.start or 0.0
            copies = copies_of(overlay, folder, clip)
            films.append(
                Film(names.overlay, overlay.size, overlay.draw, begins, draw_in_planes=in_planes, copies=copies)
            )
        if "png" in explanation.drawing.formats:
            stills[folder] = Stills(strongest_frames(explanation), np.copy)
    looks += stills.values()
    stages = play(next(iter(explanations.values())), clip, films, looks)
    with stages.busy("figures_s"):
        for folder, explanation in explanations.items():
            curve_figure(explanation).savefig(Outputs.within(folder, image=clip.is_image).curve_png)
        for folder, look in stills.items():
            figure = stills_figure(explanations[folder], look.found, float(clip.sample_aspect_ratio))
            figure.savefig(SlideOutputs.within(folder).png)
    return stages


def _picture(overlay: Overlay, path: Path) -> Look:
    return lambda frame: Image.fromarray(overlay.draw(frame.pixels, frame.index)).save(path)


def _files(places: Sequence[Path]) -> list[Path]:
    """Return the paths of the files of explanations in these folders, of a clip and of a picture."""
    names = [Outputs.within(place, image=image) for place in places for image in (False, True)]
    return [path for one in [*names, *map(SlideOutputs.within, places)] for path in vars(one).values()]


def _page_files(directory: Path, report: bool) -> list[Path]:
    return list(vars(PageOutputs.within(directory)).values()) if report else []


def _slug(label: str) -> str:
    return re.sub(r"[^\w]+", "-", label).strip("-")[:60] or "class"


def _name(text: str) -> str:
    """Return a method or a layer as the name of a folder: vidcam's own names are unchanged, "../.." is not."""
    return re.sub(r"[^\w.,+-]+", "-", text).strip(".")[:200] or "-"
