"""Summary: the content of summary.json; values that cannot be true are refused."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictBool, StrictStr

from vidcam.temporal.motion import Evidence
from vidcam.video.windows import Windowing

MOST_PROBABILITY = 1 + 1e-4
"""Largest stored probability: means of probabilities are rounded in float32."""

_ROUNDING = 1e-6  # pixels by which a region may be outside the frame

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**53)]
Extent = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Probability = Annotated[float, Field(strict=True, ge=0, le=MOST_PROBABILITY)]
Side = Annotated[int, Field(strict=True, ge=1, le=65_535)]


class _Target(BaseModel):
    index: Count | None
    label: StrictStr
    probability: Number | None
    value: Number | None = None
    unit: StrictStr = ""

    def model_post_init(self, _: Any) -> None:
        """Take the "probability" of a function for its value, which vidcam 0.1 stored so.

        Raises:
            ValueError: there is neither a probability nor a value, or the probability is not from 0 to 1.
        """
        if self.index is None and self.value is None:
            self.probability, self.value = None, self.probability
        if self.probability is None and self.value is None:
            raise ValueError("it has neither a probability nor a value")
        if self.probability is not None and not 0 <= self.probability <= MOST_PROBABILITY:
            raise ValueError(f"probability {self.probability} is not from 0 to 1")


class _Candidate(BaseModel):
    label: StrictStr
    probability: Probability


class _Windowing(BaseModel):
    length: Count
    stride: Count
    sampling_rate: Count
    rate: Positive | None = None

    def model_post_init(self, _: Any) -> None:
        """Check the numbers of frames.

        Raises:
            SettingsError: see `vidcam.video.windows.Windowing`.
        """
        Windowing(**dict(self))


class _Preprocess(BaseModel):
    """The fields of `vidcam.Preprocess`, and its rules: the room of networks is not imported by that of results."""

    resize: Side | tuple[Side, Side]
    crop: tuple[Side, Side]
    mean: tuple[Number, Number, Number]
    std: tuple[Number, Number, Number]
    scale: Number
    bgr: StrictBool

    def model_post_init(self, _: Any) -> None:
        """Check what the types do not express.

        Raises:
            ValueError: the crop is larger than the resized frame, or pixels cannot be normalised.
        """
        height, width = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        if self.crop[0] > height or self.crop[1] > width:
            raise ValueError(f"crop {self.crop} is larger than the frame after resize {self.resize}")
        if 0 in (*self.std, self.scale):
            raise ValueError(f"std {self.std} and scale {self.scale} cannot normalise a frame; neither can be 0")


class _Check(BaseModel):
    share: Share
    start: Number
    end: Number
    hidden_by: StrictStr
    score: Number
    hottest: Number
    random: Annotated[tuple[Number, ...], Field(min_length=1)]
    untested: StrictStr


class _MotionWindow(BaseModel):
    share: Share | None
    low: Share | None
    high: Share | None


class _Frozen(BaseModel):
    label: StrictStr
    windows: Count


class Motion(BaseModel):
    """The motion share, without the shares of the frames, which explanation.npz has."""

    share: Share | None
    low: Share | None
    high: Share | None
    unclamped: Number | None
    undefined: StrictStr
    frozen: list[_Frozen]
    windows: list[_MotionWindow]

    def model_post_init(self, _: Any) -> None:
        """Check that the share is complete, or absent with its reason.

        Raises:
            ValueError: it is neither.
        """
        given = {value is None for value in (self.share, self.low, self.high, self.unclamped)}
        if given != {bool(self.undefined)}:
            raise ValueError("it has neither a share with its range nor a reason for none")


class Summary(BaseModel):
    """The content of summary.json, as `Explanation.summary` returns it."""

    clip: StrictStr
    model: StrictStr
    weights: StrictStr
    layer: StrictStr
    method: StrictStr
    target: _Target
    top: list[_Candidate]
    size: tuple[Side, Side]
    region: tuple[Number, Number, Number, Number]
    preprocess: _Preprocess | None = None  # which 0.1 did not store
    frames: Count | None = None
    windows: Count | None = None
    windowing: _Windowing
    frame_rate: Extent = 0.0
    frame_rate_from: StrictStr = "assumed"
    stretch: tuple[Number | None, Number | None] = (None, None)
    fingerprint: StrictStr = ""
    kind: Evidence = "whole"
    scale: tuple[Extent, Extent] | None = None
    motion: Motion | None = None
    computation: dict[str, Any]
    check: _Check | None = None
    timings: dict[str, Extent]
    versions: dict[str, StrictStr]
    drawing: dict[str, Any] = {}
    warnings: list[StrictStr]

    def model_post_init(self, _: Any) -> None:
        """Check what the types do not express.

        Raises:
            ValueError: the values do not fit each other.
        """
        left, top, right, bottom = self.region
        if left >= right or top >= bottom:
            raise ValueError("the region is empty")
        height, width = self.size
        if min(left, top) < 0 or right > width + _ROUNDING or bottom > height + _ROUNDING:
            raise ValueError(f"the region {self.region} is outside the frame of {height} x {width} pixels")
        if self.kind != "whole" and self.motion is None:
            raise ValueError(f"it is of {self.kind} and has no motion share")
