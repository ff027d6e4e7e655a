"""Summary: the content of summary.json; values that cannot be true are refused."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictBool, StrictStr

from vidcam.temporal.motion import Evidence

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**53)]
Extent = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
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
            ValueError: there is neither a probability nor a value.
        """
        if self.index is None and self.value is None:
            self.probability, self.value = None, self.probability
        if self.probability is None and self.value is None:
            raise ValueError("it has neither a probability nor a value")


class _Candidate(BaseModel):
    label: StrictStr
    probability: Number


class _Windowing(BaseModel):
    length: Count
    stride: Count
    sampling_rate: Count
    rate: Number | None = None


class _Preprocess(BaseModel):
    """The fields of `vidcam.Preprocess`, which checks their values."""

    resize: Side | tuple[Side, Side]
    crop: tuple[Side, Side]
    mean: tuple[Number, Number, Number]
    std: tuple[Number, Number, Number]
    scale: Number
    bgr: StrictBool


class _Check(BaseModel):
    share: Number
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
    windowing: _Windowing
    frame_rate: Number = 0.0
    frame_rate_from: StrictStr = "assumed"
    stretch: tuple[Number | None, Number | None] = (None, None)
    fingerprint: StrictStr = ""
    kind: Evidence = "whole"
    scale: tuple[Extent, Extent] | None = None
    motion: Motion | None = None
    computation: dict[str, Any]
    check: _Check | None = None
    timings: dict[str, Number]
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
        if self.kind != "whole" and self.motion is None:
            raise ValueError(f"it is of {self.kind} and has no motion share")
