"""The bundled clips."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from vidcam.errors import ClipError


def demo_clips() -> list[Path]:
    """Return the paths of the clips that come with vidcam, inside an installed package or at the top of a checkout.

    Raises:
        ClipError: they are missing.
    """
    package = Path(str(files("vidcam")))
    for place in (package / "demo_clips", package.parent / "demo_clips"):
        if clips := sorted(place.glob("*.mp4")):
            return clips
    raise ClipError("the bundled clips are missing; install vidcam again, or run it from a complete checkout")


def demo_clip() -> Path:
    """Return the path of the clip that `vidcam demo` explains.

    Raises:
        ClipError: it is missing.
    """
    clips = demo_clips()
    return next((c for c in clips if c.stem == "jumping-jack"), clips[0])
