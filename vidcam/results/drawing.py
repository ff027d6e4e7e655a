"""Drawing: how the heat of an explanation is drawn into films and pictures, and the formats that they are written in."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, get_args

from vidcam.errors import SettingsError, one_of
from vidcam.untrusted.text import shortened

Colormap = Literal["inferno", "viridis", "cividis", "magma", "plasma"]
Style = Literal["overlay", "heat", "contours", "side-by-side"]
Format = Literal["mp4", "webm", "gif", "webp", "png"]

COLORMAPS: tuple[Colormap, ...] = get_args(Colormap)
STYLES: tuple[Style, ...] = get_args(Style)
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True)
class Drawing:
    """Settings of the pictures of an explanation.

    Attributes:
        colormap: a perceptually uniform colour map of matplotlib that colour-blind people can read, one of `COLORMAPS`.
        opacity: of the colours at the strongest heat, from 0 to 1.
        opacity_power: opacity grows as this power of the heat; below 1 faint heat shows more, above 1 less.
        style: "overlay" for colours over the picture, "heat" for the colours alone, "contours" for lines of equal heat,
            "side-by-side" for the picture beside its overlay.
        format: of the overlay, one of `FORMATS`, several with commas. The film of a clip is always written as MP4, with
            its sound; png is a grid of the strongest frames.
        film_width: largest width of a WebM, GIF or WebP film in pixels; by default the film's own, of GIF and WebP at most
            640.
        film_rate: frames per second of a WebM, GIF or WebP film; by default those of the clip, of GIF and WebP at most 10.
        highlights: write a film of the strongest segments, too.

    Raises:
        SettingsError: a setting has a wrong value.

    Example:
        >>> Drawing(colormap="viridis", format="gif,png").formats
        ('gif', 'png')
        >>> Drawing(colormap="jet")
        Traceback (most recent call last):
        vidcam.errors.SettingsError: there is no colormap 'jet'; choose one of inferno, viridis, cividis, magma, plasma
    """

    colormap: str = "inferno"
    opacity: float = 0.8
    opacity_power: float = 1.0
    style: str = "overlay"
    format: str = "mp4"
    film_width: int | None = None
    film_rate: float | None = None
    highlights: bool = False

    def __post_init__(self) -> None:
        one_of(self.colormap, COLORMAPS, "colormap")
        one_of(self.style, STYLES, "style")
        _within("opacity", self.opacity, 0, 1)
        _within("opacity_power", self.opacity_power, 0.1, 10)
        if not isinstance(self.format, str):
            raise SettingsError(f"format is {shortened(self.format)}; give names with commas, of {', '.join(FORMATS)}")
        for name in self.formats:
            one_of(name, FORMATS, "format")
        if self.film_width is not None:
            _within("film_width", self.film_width, 64, 8192, Integral)
        if self.film_rate is not None:
            _within("film_rate", self.film_rate, 0.1, 120)
        one_of(self.highlights, (False, True), "highlights")

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.format.split(",")))


def _within(name: str, value: Any, low: float, high: float, kind: type = Real) -> None:
    """Check a number.

    Raises:
        SettingsError: it is none, or out of the range.
    """
    number = isinstance(value, kind) and not isinstance(value, bool)
    if not (number and low <= value <= high):
        wanted = "a whole number" if kind is Integral else "a number"
        raise SettingsError(f"{name} is {shortened(value)}; give {wanted} from {low:g} to {high:g}")
