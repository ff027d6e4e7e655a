from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from subprocess import run
from typing import Any, TypeVar

import av
import hypothesis  # its pytest plugin would load it at the very end, which fails behind some tests
import numpy as np
import pytest
import torch

from vidcam.corpus import worker
from vidcam.corpus.worker import _Answers
from vidcam.engine import memory
from vidcam.process import Ended

REAL_CLIPS = Path(__file__).resolve().parents[2] / "shared" / "clips"

SHARED_CASES = REAL_CLIPS.with_name("cases")

T = TypeVar("T")

hypothesis.settings.register_profile("vidcam", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("vidcam")


@pytest.fixture(scope="session", autouse=True)
def on_the_cpu() -> Iterator[None]:
    """Networks are loaded onto the CPU, also where there is a GPU: that is for `test_cuda.py`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield


@pytest.fixture(scope="session")
def real_clips() -> Path:
    if not REAL_CLIPS.is_dir():
        pytest.skip("the folder of real clips is not beside this checkout")
    return REAL_CLIPS


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    if not SHARED_CASES.is_dir():
        pytest.skip("the folder of clips that were read wrongly is not beside this checkout")
    return SHARED_CASES


def numbered(index: int, height: int, width: int) -> np.ndarray:
    """A frame whose left half tells its index by brightness and whose right half is dark."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = 20 + 8 * (index % 28)
    return image


def plane_values(image: av.VideoFrame, *, full: bool) -> list[np.ndarray]:
    """The planes of a planar YUV frame of 8 or 10 bits as they are coded, in values of 8 bits and limited range, float64."""
    deep, found = "10le" in image.format.name, []
    for k, plane in enumerate(image.planes):
        width = plane.line_size // (2 if deep else 1)
        values = np.frombuffer(plane, np.uint16 if deep else np.uint8).reshape(-1, width)[: plane.height, : plane.width]
        values = values / (4 if deep else 1)
        if full:
            values = 16 + values * 219 / 255 if k == 0 else 128 + (values - 128) * 224 / 255
        found.append(values)
    return found


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 10),
    options: dict[str, str] | None = None,
    sample_aspect_ratio: Fraction | None = None,
    audio: str | None = None,
    rotation: int = 0,
) -> Path:
    """Write RGB frames with PyAV the way other programs do, independently of vidcam's own writer."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = time_base
        if sample_aspect_ratio is not None:
            stream.codec_context.sample_aspect_ratio = sample_aspect_ratio
        if rotation:
            if not hasattr(stream, "set_display_rotation"):
                pytest.skip("PyAV 17 writes no rotation")
            stream.set_display_rotation(rotation)
        sound = container.add_stream(audio, rate=16000) if audio else None
        if sound is not None:
            sound.layout = "mono"
            samples = (8000 * np.sin(np.arange(16000) / 5)).astype(np.int16)[None]
            tone = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            tone.sample_rate, tone.pts = 16000, 0
            resampler = av.AudioResampler(format=sound.codec_context.format, layout="mono", rate=16000)
            for part in resampler.resample(tone):
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
            frame.pts = pts[index] if pts is not None else index
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def clip_path(tmp_path: Path) -> Path:
    """Twenty-four numbered frames of 64x48 at 10 frames per second."""
    return write_video(tmp_path / "clip.mp4", [numbered(i, 48, 64) for i in range(24)], options={"crf": "1"})


class _InProcess:
    """In place of `vidcam.process.Process`: the worker's answers, without the seconds that a process of its own takes to start."""

    def __init__(self, *_: object, **__: object) -> None:
        self._answers: _Answers | None = None

    @property
    def number(self) -> int | None:
        return None if self._answers is None else os.getpid()

    def ask(self, question: Any, *, stopping: threading.Event, **_: object) -> Any:
        if stopping.is_set():
            raise Ended("stopped")
        self._answers = self._answers or _Answers()
        return json.loads(json.dumps(self._answers(json.loads(json.dumps(question)), lambda value: None)))

    def close(self) -> None:
        self._answers = None


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of a corpus are in this process, for tests of the run and of its table."""
    monkeypatch.chdir(Path.cwd())  # a worker goes to its job's directory
    monkeypatch.setattr(worker, "Process", _InProcess)
    monkeypatch.setattr(memory, "keep_freed_memory", lambda: False)  # it would change the tests of memory


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every download is refused, and the cache of weights is an empty folder: the temporary one."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Makes a file system of a given size, "1m", or one that is read-only."""
    with ExitStack() as mounted:

        def make(name: str, options: str) -> Path:
            place = tmp_path / name
            place.mkdir()
            if run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True).returncode:
                pytest.skip("a file system can only be mounted by root")
            mounted.callback(run, ["umount", "-l", place], check=True)
            return place

        yield make


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's chromium, without a window."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


def wait_until(page: Any, condition: str, seconds: float = 10) -> None:
    """Until a condition holds in a page or frame; a report's own policy forbids Playwright's way of waiting for one."""
    for _ in range(round(seconds * 10)):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never came true: {condition}")


def only(values: dict[str, T]) -> T:
    """The value of a dictionary that has one."""
    (value,) = values.values()
    return value
