from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcam.video.colour import BT709
from vidcam.video.hdr import PEAK, WHITE, hlg_light, pq_light, pq_signal, to_sdr, tone_mapped
from vidcam.video.reader import Clip

PQ, HLG = 16, 18
BT2020 = 9


def test_signals_that_the_recommendations_tabulate() -> None:
    """ITU-R BT.2408, tables 1 and 2: reference white, and grey and skin below it."""
    np.testing.assert_allclose(pq_light([0.58, 0.38, 1.0, 0.0]), [203, 26, 10000, 0], rtol=0.02, atol=1e-9)
    np.testing.assert_allclose(hlg_light([[0.75] * 3, [0.38] * 3, [1.0] * 3])[:, 1], [203, 26, 1000], rtol=0.02)


@given(st.floats(0, 1))
def test_pq_and_its_inverse(signal: float) -> None:
    assert pq_signal(pq_light(signal)) == pytest.approx(signal, abs=1e-6)


def test_what_is_dark_stays_and_what_is_bright_is_under_white() -> None:
    light = np.linspace(0, PEAK, 2000)
    found = tone_mapped(light)
    np.testing.assert_allclose(found[light < 80], light[light < 80], rtol=1e-6, atol=1e-9)
    assert (np.diff(found) > -1e-9).all() and found[-1] == pytest.approx(WHITE, rel=1e-6)
    assert 0.7 * WHITE < tone_mapped(WHITE) < 0.9 * WHITE, "room for what is brighter than white paper"


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_grey_stays_grey_and_hue_stays(transfer: int) -> None:
    grey = to_sdr(np.linspace(0, 1, 50)[:, None].repeat(3, 1), transfer)
    assert np.ptp(grey, axis=1).max() < 2e-3
    skin = np.array([1, 0.7, 0.5])
    dark, bright = to_sdr(pq_signal(np.outer([20, 900], skin)), PQ) ** 2.4
    np.testing.assert_allclose(dark / dark.max(), bright / bright.max(), atol=1e-6)


def _coded(signal: np.ndarray, path: Path, transfer: int) -> Path:
    """A film of one picture (H, W, 3) of BT.2020 signals in 10 bits, its matrix by hand (ITU-R BT.2020, table 4)."""
    y = signal @ [0.2627, 0.6780, 0.0593]
    cb, cr = (signal[..., 2] - y) / 1.8814, (signal[..., 0] - y) / 1.4746
    planes = [np.rint(876 * y + 64)] + [np.rint(896 * c + 512) for c in (cb, cr)]
    picture = av.VideoFrame(signal.shape[1], signal.shape[0], "yuv444p10le")
    for plane, values in zip(picture.planes, planes):
        rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
        rows[:, : values.shape[1]] = values
        plane.update(rows.tobytes())
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx265", rate=10, options={"x265-params": "lossless=1:log-level=error"})
        stream.height, stream.width, stream.pix_fmt = *signal.shape[:2], "yuv444p10le"
        context = stream.codec_context
        context.colorspace = context.color_primaries = BT2020
        context.color_trc, context.color_range = transfer, 1
        for index in range(3):
            picture.pts, picture.time_base = index, Fraction(1, 10)
            film.mux(stream.encode(picture))
        film.mux(stream.encode(None))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_frames_have_the_colours_of_the_formula(tmp_path: Path, transfer: int) -> None:
    patches = np.random.default_rng(0).uniform(0.05, 0.75, (12, 16, 3))
    clip = Clip(_coded(patches.repeat(8, 0).repeat(8, 1), tmp_path / "hdr.mp4", transfer))
    expected = 255 * to_sdr(patches, transfer)
    frames = [frame.pixels[4::8, 4::8].astype(float) for frame in clip]
    assert len(frames) == 3 and clip.colour == BT709
    for found in frames:
        off = np.abs(found - expected)
        assert np.median(off) <= 1 and np.percentile(off, 95) <= 4, "but for the steepest corners of the table"
