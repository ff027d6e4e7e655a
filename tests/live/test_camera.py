from __future__ import annotations

import cv2
import numpy as np
import pytest

from vidcam.live.camera import camera, is_camera


class _Capture:
    """A camera that shows blue, three times."""

    def __init__(self, number: int, interface: int) -> None:
        self.number, self.left, self.released = number, 3, False

    def isOpened(self) -> bool:
        return self.number == 0

    def get(self, what: int) -> float:
        return 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (False, None) if self.left < 0 else (True, np.full((4, 6, 3), (255, 0, 0), np.uint8))

    def release(self) -> None:
        self.released = True


def test_a_camera_gives_rgb_and_no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[_Capture] = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda *given: made.append(_Capture(*given)) or made[-1])
    with camera("/dev/video0")() as connection:
        frames = list(connection.frames)
    assert connection.frame_rate == 30.0 and connection.ended == "the camera gives no picture" and made[0].released
    assert [seconds for seconds, _ in frames] == [None] * 3 and (frames[0][1] == (0, 0, 255)).all()


def test_a_camera_that_is_not_there_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", _Capture)
    with pytest.raises(OSError, match="no camera 7"), camera("7")():
        pass


def test_numbers_and_devices_are_cameras() -> None:
    assert is_camera("12") and is_camera("/dev/video3")
    assert not is_camera("0001") and not is_camera("/dev/sda") and not is_camera("rtsp://host/0")
