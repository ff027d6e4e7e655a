from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from vidcam.video.colour import BT709, Colour, coded_colour, film_colour

BT2020, PQ, HLG = 9, 16, 18


@pytest.mark.parametrize(("height", "matrix"), [(480, 6), (719, 6), (720, 1), (1080, 1)])
def test_an_untagged_frame_is_of_bt_709_from_720_lines_on(height: int, matrix: int) -> None:
    frame = av.VideoFrame.from_ndarray(np.zeros((height // 2 * 2 if height != 719 else 718, 16, 3), np.uint8), "rgb24")
    untagged = frame.reformat(format="yuv420p")
    untagged.colorspace = 2
    assert coded_colour(untagged).matrix == matrix
    untagged.colorspace = 6
    assert coded_colour(untagged).matrix == 6


def test_hdr_is_told_by_the_transfer_and_matrices_by_their_family() -> None:
    assert Colour(BT2020, BT2020, PQ).is_hdr and Colour(BT2020, BT2020, HLG).is_hdr and not BT709.is_hdr
    assert [Colour(m, 1, 1).colorspace for m in (5, 6, 1, BT2020)] == [Colorspace.ITU601] * 2 + [Colorspace.ITU709] * 2


def test_a_film_keeps_its_colours_where_it_can() -> None:
    bt601 = Colour(6, 6, 6)
    assert film_colour(bt601) == bt601 and film_colour(Colour(5, 2, 2)) == Colour(5, 2, 2)
    assert film_colour(Colour(BT2020, BT2020, 14)) == Colour(1, BT2020, 14)
    assert film_colour(Colour(BT2020, BT2020, PQ)) == BT709
