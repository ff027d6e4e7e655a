"""Make the pictures of the README and the pages: `python scripts/pictures.py`. Needs chromium for the report's."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import vidcam
from vidcam.export.compare import compare
from vidcam.playground.clips import write_clip
from vidcam.playground.demo import demo_clips
from vidcam.playground.scene import untrimmed_scene
from vidcam.video.reader import Clip

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SHOWN = ("windmill", "jumping-jack", "kicking")
HEIGHT = 330  # pixels of the animated picture


def overlay(work: Path) -> None:
    """Three overlay films side by side, animated."""
    films = []
    for clip in (c for name in SHOWN for c in demo_clips() if c.stem == name):
        vidcam.explain(clip).save(work / clip.stem)
        films.append([frame.pixels for frame in Clip(work / clip.stem / "overlay.mp4")])
    frames = []
    for pictures in zip(*films, strict=True):
        row = np.concatenate(pictures, axis=1)
        width = round(row.shape[1] * HEIGHT / row.shape[0])
        frames.append(Image.fromarray(cv2.resize(row, (width, HEIGHT), interpolation=cv2.INTER_AREA)))
    frames[0].save(
        PICTURES / "overlay.webp", save_all=True, append_images=frames[1:], duration=1000 // 16, loop=0, quality=60
    )


def gallery(work: Path) -> None:
    """A report, a comparison and a timeline."""
    clip = work / "clip.mp4"
    write_clip(untrimmed_scene(5151, 4, 240), clip)
    found = vidcam.localize(clip)
    found.save(work / "when")
    shrunk(work / "when" / "timeline.png", "timeline")
    explanations = vidcam.Explainer().explain(clip, "top3")
    page = vidcam.write_report(explanations, work / "report")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1100, "height": 1150})
        view.goto(page.as_uri())
        view.wait_for_timeout(1500)
        view.evaluate("document.querySelector('video').currentTime = 8.5")
        view.wait_for_timeout(1000)
        view.screenshot(path=work / "report.png")
        browser.close()
    shrunk(work / "report.png", "report")
    methods = vidcam.Explainer(recipe=vidcam.Recipe(method="gradcam++,gradcam,layercam")).explain(demo_clips()[1])
    shrunk(compare(methods, work / "compare").grid, "compare")


def shrunk(source: Path, name: str) -> None:
    """A picture as it is shown on a page, at most 1100 pixels wide."""
    picture = Image.open(source).convert("RGB")
    picture.thumbnail((1100, 2000))
    picture.save(PICTURES / f"{name}.webp", quality=82)


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        overlay(Path(folder))
        gallery(Path(folder))
    for path in sorted(PICTURES.iterdir()):
        print(f"{path.name:<14} {path.stat().st_size / 2**10:7.0f} KiB")
