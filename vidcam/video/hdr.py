"""Tone mapping: HDR frames (PQ and HLG of ITU-R BT.2100) for an SDR screen, and for a network trained on SDR clips."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from io import StringIO
from pathlib import Path

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorTrc
from numpy.typing import ArrayLike

ToneMapper = Callable[[VideoFrame], VideoFrame]

PEAK = 1000.0  # cd/m², what HDR is mastered for; brighter is shown as that
WHITE = 203.0  # cd/m², the brightness of HDR that becomes SDR's white (ITU-R BT.2408, reference white)
_NODES = 65  # of the table along each colour

# Of PQ (ITU-R BT.2100, table 4).
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32

# Linear RGB of BT.2020 to linear RGB of BT.709 (ITU-R BT.2087, section 4.2).
_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])


def pq_light(signal: ArrayLike) -> np.ndarray:
    """Return the brightness in cd/m² of a PQ signal in [0, 1] (ITU-R BT.2100, table 4, the EOTF)."""
    power = np.asarray(signal, np.float64) ** (1 / _M2)
    return 10000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def pq_signal(light: ArrayLike) -> np.ndarray:
    """Return the PQ signal in [0, 1] of a brightness in cd/m², the inverse of `pq_light`."""
    power = (np.asarray(light, np.float64) / 10000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_light(signal: ArrayLike) -> np.ndarray:
    """Return the brightness in cd/m² of HLG signals (..., 3) in [0, 1] on a screen of `PEAK` (ITU-R BT.2100, table 5)."""
    signal = np.asarray(signal, np.float64)
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ [0.2627, 0.6780, 0.0593]
    return PEAK * scene * luminance[..., None] ** 0.2


def tone_mapped(light: ArrayLike) -> np.ndarray:
    """Return brightness up to `PEAK` mapped to brightness up to `WHITE`, in cd/m²: dark stays, bright is compressed.

    The curve of ITU-R BT.2390, section 5.4.1, without its change of the darkest values.
    """
    top = pq_signal(PEAK)
    signal, limit = np.minimum(pq_signal(light) / top, 1), pq_signal(WHITE) / top
    knee = 1.5 * limit - 0.5
    t = np.maximum(signal - knee, 0) / (1 - knee)
    pressed = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * limit
    return pq_light(np.where(signal < knee, signal, pressed) * top)


def to_sdr(signal: ArrayLike, transfer: int) -> np.ndarray:
    """Return the BT.709 signals of HDR signals.

    Hues are kept: the three colours of a pixel are darkened by the factor of the brightest of them.

    Args:
        signal: (..., 3) RGB of BT.2020 in [0, 1].
        transfer: of PQ or HLG, the code point of ITU-T H.273.

    Returns:
        (..., 3) RGB in [0, 1], for a screen of ITU-R BT.1886.
    """
    light = pq_light(signal) if transfer == ColorTrc.SMPTE2084 else hlg_light(signal)
    light = np.maximum(light @ _TO_BT709.T, 0)
    brightest = light.max(-1, keepdims=True)
    share = np.divide(tone_mapped(brightest), brightest, out=np.ones_like(brightest), where=brightest > 0)
    return np.minimum(light * share / WHITE, 1) ** (1 / 2.4)


def tone_mapper(image: VideoFrame, time_base: Fraction) -> ToneMapper:
    """Return the function that converts frames like this one, of PQ or HLG, into RGB of BT.709.

    FFmpeg interpolates in a table of colours.

    Args:
        image: a frame of the clip.
        time_base: seconds per unit of a frame's pts.
    """
    graph = Graph()
    source = graph.add_buffer(
        width=image.width, height=image.height, format=image.format, time_base=time_base, name="frames"
    )
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "table.cube")
        table.write_text(_table(int(image.color_trc)), encoding="ascii")
        graph.link_nodes(
            source,
            graph.add("scale", "in_color_matrix=bt2020"),
            graph.add("format", "gbrp16le"),
            graph.add("lut3d", file=str(table), interp="tetrahedral"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        )
        graph.configure()

    def mapped(frame: VideoFrame) -> VideoFrame:
        graph.push(frame)
        found = graph.pull()
        assert isinstance(found, VideoFrame)
        return found

    return mapped


@lru_cache
def _table(transfer: int) -> str:
    """Return the colours of `to_sdr` as text in the format of Adobe's .cube: red changes fastest."""
    axis = np.linspace(0, 1, _NODES)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    colours = to_sdr(np.stack([red, green, blue], -1).reshape(-1, 3), transfer)
    text = StringIO()
    np.savetxt(text, colours, "%.6f", header=f"LUT_3D_SIZE {_NODES}", comments="")
    return text.getvalue()
