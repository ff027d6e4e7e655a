from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from threading import Thread

import numpy as np
import pytest

from vidcam.engine import frames as frames_module
from vidcam.engine.frames import ResizedFrames
from vidcam.errors import ClipError
from vidcam.models.preprocess import Preprocess
from vidcam.video.reader import Frame
from vidcam.video.source import ArraySource, OnceSource

FRAMES = np.random.default_rng(0).integers(0, 256, (20, 4, 6, 3), np.uint8)
AS_IT_IS = Preprocess((4, 6), (4, 6), (0.0,) * 3, (1.0,) * 3)


class Counted(ArraySource):
    """Counts the frames that are read, over all readings."""

    def __init__(self) -> None:
        super().__init__(FRAMES, 10)
        self.read: list[int] = []

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            self.read.append(frame.index)
            yield frame

    def reopened(self) -> Counted:
        return self


def _check(items: list[tuple[float, np.ndarray]]) -> None:
    np.testing.assert_array_equal([frame for _, frame in items], FRAMES)
    assert [seconds for seconds, _ in items] == [index / 10 for index in range(20)]


def test_what_comes_once_is_read_again_by_several_threads() -> None:
    taken = []

    def coming() -> Iterator[np.ndarray]:
        for index, frame in enumerate(FRAMES):
            taken.append(index)
            yield frame

    kept = ResizedFrames(OnceSource(coming(), 10), AS_IT_IS)
    first = [item for _, item in zip(range(5), kept)]
    assert taken == [0, 1, 2, 3, 4] and [seconds for seconds, _ in first] == [0, 0.1, 0.2, 0.3, 0.4]
    found: list[list[tuple[float, np.ndarray]]] = []
    threads = [Thread(target=lambda: found.append(list(kept))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == list(range(20)) and len(found) == 4
    for items in found:
        _check(items)


def test_frames_are_resized_as_the_network_sees_them() -> None:
    preprocess = Preprocess((8, 12), (6, 6), (0.0,) * 3, (1.0,) * 3)
    (first, *_) = ResizedFrames(ArraySource(FRAMES, 10), preprocess)
    np.testing.assert_array_equal(first[1], preprocess.frame(FRAMES[0]))


def test_a_source_is_read_once_where_its_frames_fit_into_the_buffer() -> None:
    source = Counted()
    kept = ResizedFrames(source, AS_IT_IS)
    for _ in range(3):
        _check(list(kept))
    assert source.read == list(range(20))


@pytest.mark.parametrize("buffered", [0, 1, 7])
def test_where_the_buffer_ends_a_source_is_read_again(monkeypatch: pytest.MonkeyPatch, buffered: int) -> None:
    monkeypatch.setattr(frames_module, "BUFFERED", buffered * FRAMES[0].size)
    source = Counted()
    kept = ResizedFrames(source, AS_IT_IS)
    begun = iter(kept)
    next(begun), next(begun)
    _check(list(kept))  # another reading overtakes the first
    _check(list(kept))
    assert [f.tobytes() for _, f in begun] == [f.tobytes() for f in FRAMES[2:]]
    assert kept._file.seek(0, 2) == buffered * FRAMES[0].size
    assert len(source.read) > 20


def test_what_comes_once_is_buffered_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "BUFFERED", 0)
    monkeypatch.setattr(frames_module, "IN_MEMORY", 100)  # most of it lies in a temporary file
    kept = ResizedFrames(OnceSource(iter(FRAMES), 10), AS_IT_IS)
    _check(list(kept))
    _check(list(kept))


def test_a_full_disk_makes_a_source_be_read_again_and_ends_one_that_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def seek(self, *_: int) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(frames_module.tempfile, "SpooledTemporaryFile", lambda _: Full())
    kept = ResizedFrames(ArraySource(FRAMES, 10), AS_IT_IS)
    _check(list(kept))
    _check(list(kept))
    with pytest.raises(
        ClipError, match=r"once only, and the temporary folder does not hold its frames \(No space left"
    ):
        list(ResizedFrames(OnceSource(iter(FRAMES), 10, "camera"), AS_IT_IS))


def test_a_disk_that_is_full_for_one_frame_is_not_written_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later frame would lie in the place of the one that is missing."""

    class FullOnce(io.BytesIO):
        written = 0

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.written += 1
            if self.written == 4:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(frames_module.tempfile, "SpooledTemporaryFile", lambda _: FullOnce())
    kept = ResizedFrames(Counted(), AS_IT_IS)
    for _ in range(3):
        _check(list(kept))
