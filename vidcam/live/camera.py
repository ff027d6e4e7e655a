"""Cameras of this machine, read by OpenCV."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from vidcam.live.stream import Connect, Connection

_DEVICE = re.compile(r"\d{1,3}|/dev/video\d{1,3}")
_ASSUMED_RATE = 30.0  # frames per second of a camera that does not say


def is_camera(text: str) -> bool:
    """Return True if a source is the number of a camera or its device.

    Example:
        >>> is_camera("0"), is_camera("/dev/video1"), is_camera("0.mp4")
        (True, True, False)
    """
    return _DEVICE.fullmatch(text) is not None


def camera(text: str) -> Connect:
    """Return the function that opens a camera, given its number or device.

    The function raises an OSError if the camera cannot be opened.
    """
    number = int(re.sub(r"\D", "", text))
    interface = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY

    @contextmanager
    def connect() -> Iterator[Connection]:
        capture = cv2.VideoCapture(number, interface)
        try:
            if not capture.isOpened():
                raise OSError(f"there is no camera {number}, or another program uses it")
            rate = capture.get(cv2.CAP_PROP_FPS)
            yield Connection(
                rate if 1 <= rate <= 1000 else _ASSUMED_RATE, _frames(capture), "the camera gives no picture"
            )
        finally:
            capture.release()

    return connect


def _frames(capture: cv2.VideoCapture) -> Iterator[tuple[None, np.ndarray]]:
    """Yield pictures, (H, W, 3) uint8 RGB, until the camera gives none. A camera has no clock of its own."""
    while True:
        given, pixels = capture.read()
        if not given:
            return
        yield None, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
