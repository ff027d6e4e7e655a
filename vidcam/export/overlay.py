"""Frames of the overlay: the picture coloured by its heatmap, and a strip with the curve below."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

from vidcam.export.blend import blend
from vidcam.export.strip import GROUND, Strip
from vidcam.results.explanation import Explanation
from vidcam.video.writer import film_size

OUTLINE = (200, 200, 200)
"""Colour of the line around the region that the network sees, where it does not see the whole picture."""

_SMALL = 400  # clips narrower than this are enlarged by a whole factor so that text can be read
_ENLARGED = 2048  # pixels of the longer side that no clip is enlarged beyond
_NARROWEST = 320  # pixels of a strip; a picture that is still narrower stands at its left


class Overlay:
    """The frames of an overlay film.

    Args:
        explanation: of the clip; kept as an attribute.
        sample_aspect_ratio: width of a pixel over its height.
        title: text in the strip; the explanation's title by default.
        peak: raw heat at which the colours end; the explanation's own by default.

    Attributes:
        size: (height, width) of a drawn frame in pixels, both even.
        picture: (height, width) of the picture above the strip.
        strip: below it.
        outlined: first and last pixel (x, y) of the region that the network sees; None if it sees the whole picture.
    """

    def __init__(
        self,
        explanation: Explanation,
        sample_aspect_ratio: float = 1.0,
        *,
        title: str | None = None,
        peak: float | None = None,
    ) -> None:
        self.explanation = explanation
        self.peak = explanation.peak if peak is None else peak
        height, width = explanation.size
        shown = width * sample_aspect_ratio
        enlarge = max(1, round(_SMALL / min(shown, height))) if min(shown, height) < _SMALL / 1.5 else 1
        enlarge = max(1, min(enlarge, int(_ENLARGED / max(shown, height))))
        self.picture = film_size(height * enlarge, shown * enlarge)
        self._beside = max(0, _NARROWEST - self.picture[1])
        self.strip = Strip(explanation, self.picture[1] + self._beside, title or explanation.title)
        self.size = self.picture[0] + self.strip.height, self.picture[1] + self._beside
        left, top, right, bottom = explanation.region
        self._scale = np.array([self.picture[1] / width, self.picture[0] / height] * 2)
        whole = (left, top, right, bottom) == (0, 0, width, height)
        self.outlined = None if whole else self.corners([left, top, right, bottom])

    def draw(self, pixels: np.ndarray, frame: int) -> np.ndarray:
        """Return the overlay of one frame, (*size, 3) uint8 RGB, given its upright pixels (H, W, 3) uint8 RGB."""
        picture, heat = pixels, self.explanation.heatmap(frame, self.peak)
        if pixels.shape[:2] != self.picture:
            height, width = self.picture
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
            heat = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
        picture = blend(picture, heat)
        if self.outlined is not None:
            cv2.rectangle(picture, *self.outlined, OUTLINE, 1)
        if self._beside:
            picture = cv2.copyMakeBorder(picture, 0, 0, 0, self._beside, cv2.BORDER_CONSTANT, value=GROUND)
        return np.concatenate([picture, self.strip.draw(frame)])

    def corners(self, box: ArrayLike) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the first and the last pixel (x, y) of a box in the drawn picture.

        Args:
            box: left, top, right, bottom in pixels of the frame.
        """
        left, top, right, bottom = (int(v) for v in np.rint(np.asarray(box) * self._scale))
        return (left, top), (right - 1, bottom - 1)
