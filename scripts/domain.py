"""Fit and measure `vidcam.playground.domain`: contrasts of rendered windows, and the share of clips recognised.

python scripts/domain.py CLIP...    # clips of a camera
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from itertools import islice

import av
import numpy as np
import torch

from vidcam.engine.loader import windowing_of
from vidcam.models.preprocess import stacked
from vidcam.playground import scene
from vidcam.playground.domain import FARTHEST, PREPROCESS, contrasts, distance
from vidcam.playground.networks import R2PLUS1D
from vidcam.video.reader import Clip
from vidcam.video.windows import sliding_windows

FIT, TEST, COUNT, SIZE = 101, 909, 150, 224
MAKERS = (scene.trimmed_scene, scene.untrimmed_scene, scene.crowd_scene, scene.hard_scene)


def main() -> None:
    """Print the mean and precision of contrasts of the fitted seeds, and the rates."""
    found = {seed: torch.cat([contrasts(w) for w in scenes(seed)]) for seed in (FIT, TEST)}
    fitted = found[FIT]
    np.set_printoptions(precision=4, suppress=True)
    print("mean", fitted.mean(0).numpy(), "precision", np.linalg.inv(np.cov(fitted.numpy().T)).tolist())
    for name, seed in (("fitted", FIT), ("fresh", TEST)):
        far = distance(found[seed]).sort().values
        print(f"{name} seeds: false alarms {(far > FARTHEST).float().mean():.1%}, largest distances {far[-5:].numpy()}")
    for path in sys.argv[1:]:
        clip = Clip(path)
        windowing = windowing_of(float(clip.frame_rate), R2PLUS1D, None, None, overlap=2)
        frames = (PREPROCESS.frame(frame.pixels) for frame in clip)
        some = islice(sliding_windows(frames, windowing), 40)
        far = [distance(contrasts(PREPROCESS.windows([w.frames]))) for w in some]
        print(f"{path}: {len(far)} windows, distances {float(min(far)):.2f} to {float(max(far)):.2f}")


def scenes(seed: int) -> Iterator[torch.Tensor]:
    """Yield windows (1, 3, 4, 112, 112) of rendered scenes: two of three are compressed as H.264, at CRF 15 to 38."""
    rng = np.random.default_rng(seed)
    for index in range(COUNT):
        made = MAKERS[index % len(MAKERS)](seed, index)
        start = int(rng.integers(0, made.frames - 15))
        frames = [made.render(t, SIZE) for t in range(start, start + 16, 5)]
        crf = int(rng.integers(15, 39))
        frames = frames if index % 3 == 0 else compressed(frames, crf)
        resized = [PREPROCESS.frame(frame) for frame in frames]
        yield PREPROCESS.normalized(stacked([[f for f in resized for _ in range(5)]]))


def compressed(frames: list[np.ndarray], crf: int) -> list[np.ndarray]:
    """Return frames (H, W, 3) uint8 after H.264."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=16, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


if __name__ == "__main__":
    main()
