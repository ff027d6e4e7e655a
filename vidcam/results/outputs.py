"""The file names of saved results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outputs:
    """The paths of the files of an explanation; the overlay of a picture is a picture."""

    overlay: Path
    curve_png: Path
    curve_csv: Path
    explanation: Path
    summary: Path

    @classmethod
    def within(cls, directory: Path, *, image: bool = False) -> Outputs:
        """Return the paths in a directory, for a clip or a picture."""
        return cls(
            directory / ("overlay.png" if image else "overlay.mp4"),
            directory / "curve.png",
            directory / "curve.csv",
            directory / "explanation.npz",
            directory / "summary.json",
        )


@dataclass(frozen=True)
class LocalizationOutputs:
    """The paths of the files of a localization."""

    segments_json: Path
    segments_csv: Path
    segments_vtt: Path
    timeline: Path

    @classmethod
    def within(cls, directory: Path) -> LocalizationOutputs:
        """Return the paths in a directory."""
        return cls(
            directory / "segments.json",
            directory / "segments.csv",
            directory / "segments.vtt",
            directory / "timeline.png",
        )
