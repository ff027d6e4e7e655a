from __future__ import annotations

from threading import Thread

import numpy as np

from vidcam.video.kept import Kept

FRAMES = np.random.default_rng(0).integers(0, 256, (20, 4, 6, 3), np.uint8)


def test_what_comes_once_is_read_again_by_several_threads() -> None:
    taken = []

    def coming():  # type: ignore[no-untyped-def]
        for index, frame in enumerate(FRAMES):
            taken.append(index)
            yield index / 10, frame

    kept = Kept(coming())
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
        np.testing.assert_array_equal([frame for _, frame in items], FRAMES)
        assert [seconds for seconds, _ in items] == [index / 10 for index in range(20)]
