"""Limits: the time, memory and size that one clip of a corpus may take."""

from __future__ import annotations

from pydantic import Field

from vidcam.recipe import Validated


class Limits(Validated):
    """Limits of one clip; a clip that exceeds one is stopped and recorded.

    Attributes:
        seconds: time from fetching the clip to its outputs.
        memory: MiB of memory of the worker process.
        pixels: pixels of a picture, width times height.
        duration: seconds of video.
        size: MiB that are fetched of a URL.

    Example:
        >>> Limits(seconds=60).memory
        8192
    """

    seconds: float = Field(default=1800, gt=0, description="Seconds on the clock that a clip may take.")
    memory: int = Field(default=8192, gt=0, description="MiB of memory that a worker may hold.")
    pixels: int = Field(default=2**26, gt=0, description="Pixels of a picture.")
    duration: float = Field(default=900, gt=0, description="Seconds that a clip may last.")
    size: int = Field(default=4096, gt=0, description="MiB that are fetched of a URL.")
