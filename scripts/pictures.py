"""Make the pictures of the README and the gallery, and the gallery's page: `python scripts/pictures.py`. Needs chromium for the report's.

Every picture is made by the command beside it, on the bundled clips or a rendered one, with the bundled networks.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import vidcam
from vidcam import cli
from vidcam.video.reader import Clip

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
WIDEST = 900  # pixels


@dataclass(frozen=True)
class Picture:
    """A picture of the gallery.

    Attributes:
        name: of its file, without the suffix.
        shows: a sentence.
        command: makes it; its last file or folder is in `out`.
        taken: the picture, from the folder that the command wrote.
        first: a command that has to run before.
    """

    name: str
    shows: str
    command: str
    taken: Callable[[Path], Image.Image]
    first: str = ""


def file(name: str) -> Callable[[Path], Image.Image]:
    """A picture that the command wrote."""
    return lambda folder: Image.open(folder / name)


def frame(film: str, moment: float | None = None) -> Callable[[Path], Image.Image]:
    """A frame of a film that the command wrote: at a share of its length, or where the heat is strongest."""

    def taken(folder: Path) -> Image.Image:
        frames = [one.pixels for one in Clip(folder / film)]
        if moment is None:
            with np.load(folder / "explanation.npz") as stored:
                index = int(stored["maps"].max((1, 2)).argmax())
        else:
            index = int(moment * len(frames))
        return Image.fromarray(frames[index])

    return taken


def report(folder: Path) -> Image.Image:
    """The report in a browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1100, "height": 1150})
        view.goto((folder / "report.html").resolve().as_uri())
        view.wait_for_timeout(3000)
        view.screenshot(path=folder / "report.png")
        browser.close()
    return Image.open(folder / "report.png")


GALLERY = (
    Picture(
        "report",
        "The report: one file that opens from disk, with the film, its heat, curves, segments and the strongest frames.",
        "vidcam explain clips/5151-0004.mp4 --target top3 --out out/report",
        report,
        "vidcam playground render --out clips --seed 5151 --count 5 --frames 240",
    ),
    Picture(
        "strongest",
        "The strongest frames with times, scores and a colour bar, for a paper.",
        "vidcam explain demo_clips/kicking.mp4 --format png --out out/strongest",
        file("strongest.png"),
    ),
    Picture(
        "film",
        "A frame of the film. The strip names class, score, model, method and layer, and has the colour bar and the curve.",
        "vidcam explain demo_clips/squatting.mp4 --out out/film",
        frame("overlay.mp4"),
    ),
    Picture(
        "contours",
        "Lines of equal heat leave the picture as it is.",
        "vidcam explain demo_clips/windmill.mp4 --style contours --colormap viridis --out out/contours",
        frame("overlay.mp4"),
    ),
    Picture(
        "heat",
        "The heat alone, in colours for colour-blind readers.",
        "vidcam explain demo_clips/windmill.mp4 --style heat --colormap cividis --out out/heat",
        frame("overlay.mp4"),
    ),
    Picture(
        "beside",
        "The picture, and its overlay beside it.",
        "vidcam explain demo_clips/jumping-jack.mp4 --style side-by-side --out out/beside",
        frame("overlay.mp4"),
    ),
    Picture(
        "curve",
        "Score and evidence over time.",
        "vidcam explain demo_clips/bowing.mp4 --out out/curve",
        file("curve.png"),
    ),
    Picture(
        "compare",
        "Methods side by side, for one class.",
        "vidcam compare demo_clips/jumping-jack.mp4 --method gradcam++,gradcam,layercam --out out/compare",
        file("grid.png"),
    ),
    Picture(
        "classes",
        "The class and another one, on one scale, by Grad-CAM, which tells them apart.",
        "vidcam compare demo_clips/waving.mp4 --method gradcam --target waving,kicking --out out/classes",
        file("grid.png"),
    ),
    Picture(
        "networks",
        "Three networks side by side: R(2+1)D, C3D and a transformer.",
        "vidcam compare demo_clips/kicking.mp4 --method auto --model playground-r2plus1d,playground-c3d,playground-tubelet "
        "--out out/networks",
        file("grid.png"),
    ),
    Picture(
        "motion",
        "What is left without movement? The appearance map of this network is empty: it sees movement alone.",
        "vidcam compare demo_clips/windmill.mp4 --method gradcam++ --evidence motion,appearance --out out/motion",
        file("grid.png"),
    ),
    Picture(
        "timeline",
        "When: the curves and segments of the five most probable classes.",
        "vidcam localize clips/5151-0004.mp4 --out out/timeline",
        file("timeline.png"),
    ),
    Picture(
        "tubes",
        "A box around who acts, in every frame.",
        "vidcam tubes demo_clips/bowing.mp4 --out out/tubes",
        frame("tubes.mp4", 0.58),
    ),
    Picture(
        "random",
        "Random weights: a mark across the strip says that such a film means nothing.",
        "vidcam explain demo_clips/kicking.mp4 --weights none --out out/random",
        frame("overlay.mp4"),
    ),
)


def page() -> str:
    """Return the page of the gallery as Markdown."""
    parts = [
        "# Gallery\n\nWritten by `python scripts/pictures.py`. Every picture is made by the command below it, in a checkout, on "
        "clips that vidcam\nrenders, with the networks that come with it.\n"
    ]
    for one in GALLERY:
        commands = "".join(f"    {command}\n" for command in (one.first, one.command) if command)
        parts.append(
            f"## {one.name.capitalize()}\n\n{one.shows}\n\n![{one.shows}](pictures/{one.name}.webp)\n\n{commands}"
        )
    return "\n".join(parts)


def run(command: str) -> Path:
    """Run a command of vidcam and return the last of its arguments, where it wrote."""
    words = shlex.split(command)
    cli.app(words[1:], standalone_mode=False)
    return Path(words[-1])


def animation() -> None:
    """Three overlay films side by side, animated, for the top of the README."""
    films = []
    for name in ("windmill", "jumping-jack", "kicking"):
        vidcam.explain(f"demo_clips/{name}.mp4").save(f"out/{name}")
        films.append([one.pixels for one in Clip(f"out/{name}/overlay.mp4")][::2])
    rows = [np.concatenate(pictures, axis=1) for pictures in zip(*films, strict=True)]
    width, height = 640, round(rows[0].shape[0] * 640 / rows[0].shape[1])
    frames = [Image.fromarray(cv2.resize(row, (width, height), interpolation=cv2.INTER_AREA)) for row in rows]
    frames[0].save(
        PICTURES / "overlay.webp", save_all=True, append_images=frames[1:], duration=125, loop=0, quality=40, method=6
    )


def main() -> None:
    """Make all pictures and the page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    (ROOT / "docs" / "gallery.md").write_text(page(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("demo_clips").symlink_to(ROOT / "demo_clips")
        animation()
        for one in GALLERY:
            if one.first:
                run(one.first)
            picture = one.taken(run(one.command)).convert("RGB")
            picture.thumbnail((WIDEST, 1200))
            picture.save(PICTURES / f"{one.name}.webp", quality=75, method=6)
    for path in sorted(PICTURES.iterdir()):
        print(f"{path.name:<16} {path.stat().st_size / 2**10:7.0f} KiB")


if __name__ == "__main__":
    main()
