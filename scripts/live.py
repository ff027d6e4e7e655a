"""Measure live runs: delay, rate and memory of a stream; curves and segments against those of whole clips; faults.

    python scripts/live.py stream --seconds 600
    python scripts/live.py stream --model r2plus1d_18 --seconds 60
    python scripts/live.py curves --seed 901 --count 20
    python scripts/live.py segments --seed 901 --count 40
    python scripts/live.py faults

The stream is a rendered clip, 640x360 at 30 frames a second, that ffmpeg sends over TCP on the loopback, again and again.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from vidcam.explainer import Explainer
from vidcam.metrics.estimate import estimate
from vidcam.playground.actions import NOTHING
from vidcam.playground.clips import read_truth, write_clip
from vidcam.playground.scene import untrimmed_scene
from vidcam.temporal.segments import Segment, distinct, tiou
from vidcam.video.reader import Clip

RATE = 30
CONFIDENT = 0.5  # score of an offline segment


def rendered(folder: Path, seed: int, count: int, frames: int = 128) -> Iterator[Path]:
    """Yield clips of a seed, rendered one by one."""
    for index in range(count):
        path = folder / f"{seed}-{index:04d}.mp4"
        write_clip(untrimmed_scene(seed, index, frames), path)
        yield path


class Sender:
    """A server that sends the pictures of ffmpeg to whoever is connected, and can be made to fail.

    Attributes:
        port: that it listens at.
        sent: bytes sent.
    """

    def __init__(self, clip: Path) -> None:
        self._clip, self._peer, self.sent = clip, None, 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._garbage_until, self._process = 0.0, self._ffmpeg("640:360")
        self._closed = False
        for work in (self._accept, self._pump):
            threading.Thread(target=work, daemon=True).start()

    def _ffmpeg(self, size: str) -> subprocess.Popen[bytes]:
        source = ["-re", "-stream_loop", "-1", "-i", str(self._clip), "-vf", f"scale={size},fps={RATE}"]
        coded = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30", "-pix_fmt", "yuv420p"]
        command = ["ffmpeg", "-loglevel", "quiet", *source, *coded, "-f", "mpegts", "-flush_packets", "1", "-"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def _accept(self) -> None:
        while not self._closed:
            try:
                self._peer, _ = self._server.accept()
            except OSError:  # between two servers
                time.sleep(0.05)

    def _pump(self) -> None:
        random = np.random.default_rng(0)
        while not self._closed:
            process = self._process
            data = os.read(process.stdout.fileno(), 1 << 16) if process.stdout else b""
            if not data:
                time.sleep(0.02)
                continue
            if time.monotonic() < self._garbage_until:
                data = random.integers(0, 256, len(data)).astype(np.uint8).tobytes()
            peer = self._peer
            if peer is not None:
                try:
                    peer.sendall(data)
                    self.sent += len(data)
                except OSError:
                    self._peer = None

    def resize(self, size: str) -> None:
        """Go on with pictures of another size in the same connection."""
        self._process.kill()
        self._process.wait()
        self._process = self._ffmpeg(size)

    def garbage(self, seconds: float) -> None:
        """Send random bytes in place of the stream for some time."""
        self._garbage_until = time.monotonic() + seconds

    def pause(self, seconds: float) -> None:
        """Stop the process that sends pictures for some time."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def restart(self, seconds: float) -> None:
        """End the process and the connection, refuse connections for some time, and begin again."""
        self._process.kill()
        self._process.wait()
        self._server.shutdown(socket.SHUT_RDWR)  # or who waits in accept keeps it open
        self._server.close()
        if self._peer is not None:
            self._peer.close()
        self._peer = None
        time.sleep(seconds)
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._process = self._ffmpeg("640:360")

    def close(self) -> None:
        """End everything."""
        self._closed = True
        self._process.kill()
        self._process.wait()
        self._server.close()


@contextmanager
def sending() -> Iterator[Sender]:
    """Send a clip until the end."""
    with TemporaryDirectory() as folder:
        (clip,) = rendered(Path(folder), 900, 1)
        sender = Sender(clip)
        try:
            yield sender
        finally:
            sender.close()


def stream(given: argparse.Namespace) -> None:
    """Print rate, delay, windows, gaps, memory and the work of a stream."""
    weights = "default" if given.model.startswith("playground") else "none"
    explainer = Explainer(given.model, weights=weights)
    process, memory, gaps = psutil.Process(), [], 0
    delays: list[float] = []
    with (
        sending() as sender,
        explainer.live(f"tcp://127.0.0.1:{sender.port}", seconds=given.seconds, note=print) as live,
    ):
        last: float | None = None
        work = began = 0.0
        for step in live:
            if step.scores is None and not delays:
                continue  # until the network is prepared
            if not delays:
                work, began = sum(process.cpu_times()[:2]), time.monotonic()
            delays.append(step.delay)
            gaps += last is not None and step.time - last > 1.5 / RATE
            last = step.time
            if len(delays) % RATE == 0:
                memory.append(process.memory_info().rss / 2**20)
        seconds, s = time.monotonic() - began, live.summary
        work = sum(process.cpu_times()[:2]) - work
    tenth = max(1, len(memory) // 10)
    early, late = np.array(memory[tenth : 2 * tenth]), np.array(memory[-tenth:])
    lowest = late.min() / early.min() - 1  # without the frames that wait while the machine is busy
    print(
        f"{given.model}: {len(delays)} frames in {seconds:.0f} s, {len(delays) / seconds:.2f} a second, {gaps} gaps between them\n"
        f"delay median {np.median(delays):.2f} s, 90 % {np.quantile(delays, 0.9):.2f} s, 99 % {np.quantile(delays, 0.99):.2f} s\n"
        f"{s.windows} windows ({s.windows / s.seconds:.2f} a second), {s.skipped} skipped, {s.unexplained} frames without one\n"
        f"memory {np.median(early):.0f} MiB in the second tenth, {np.median(late):.0f} MiB in the last one "
        f"({np.median(late) / np.median(early) - 1:+.1%}; the lowest of both {lowest:+.1%})\n"
        f"{work / seconds:.2f} s of processor time for a second; load of the machine {os.getloadavg()[1]:.1f}, {os.cpu_count()} cores"
    )


def curves(given: argparse.Namespace) -> None:
    """Print the correlation of the curves of live runs with those of `explain`, of the same classes."""
    explainer = Explainer("playground-r2plus1d")
    found: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        for clip in rendered(Path(folder), given.seed, given.count):
            label = read_truth(clip.with_suffix(".json")).label
            whole = explainer.explain(clip, label)[0]
            with explainer.live(Clip(clip), label) as live:
                steps = list(live)
            assert [s.time for s in steps] == whole.times.tolist() and live.summary.skipped == 0
            kind = "nothing" if label == NOTHING else "an action"
            for name, ours, theirs in (
                ("score", [s.score for s in steps], whole.scores),
                ("evidence", [s.evidence for s in steps], whole.evidence),
            ):
                found.setdefault(f"{name}, clips of {kind}", []).append(float(np.corrcoef(ours, theirs)[0, 1]))
    for name, values in found.items():
        e = estimate(values)
        print(
            f"{name}: correlation {e.mean:.4f} ({e.low:.4f} to {e.high:.4f}), lowest {min(values):.4f}, {e.count} clips"
        )


def segments(given: argparse.Namespace) -> None:
    """Print F1 at tIoU 0.5 of online segments against those of `localize` and the truth, and when they were opened."""
    explainer = Explainer("playground-r2plus1d")
    counts: dict[str, list[tuple[int, int, int]]] = {}
    opened: list[float] = []
    with TemporaryDirectory() as folder:
        for clip in rendered(Path(folder), given.seed, given.count):
            online: list[Segment] = []
            with explainer.live(Clip(clip)) as live:
                for step in live:
                    online += [Segment(s.start, s.end or 0.0, s.label, s.score) for s in step.closed]
                    opened += [s.opened_after - step.delay for s in step.closed]
            online += [Segment(s.start, s.end or 0.0, s.label, s.score) for s in live.last_segments]
            assert live.summary.skipped == 0
            combined = distinct(explainer.localize(clip)[0].segments)
            by_score = distinct(explainer.localize(clip, curve="score")[0].segments)
            truth = [
                Segment(a["start_s"], a["end_s"], a["label"], 1.0)
                for a in read_truth(clip.with_suffix(".json")).actions
            ]
            sure = [s for s in combined if s.score >= CONFIDENT]
            for name, one, other in (
                ("online against offline", online, combined),
                (f"online against offline of score {CONFIDENT} and more", online, sure),
                ("online against offline by the score", online, by_score),
                ("online against the truth", online, truth),
                ("offline against the truth", combined, truth),
            ):
                counts.setdefault(name, []).append(matched(one, other))
    for name, of_clips in counts.items():
        f1, low, high = f1_of(of_clips)
        hits, false, missed = np.sum(of_clips, axis=0)
        print(
            f"{name}: F1 {f1:.3f} ({low:.3f} to {high:.3f}), {hits} the same, {false} more, {missed} missed, {len(of_clips)} clips"
        )


def matched(found: Sequence[Segment], expected: Sequence[Segment], least: float = 0.5) -> tuple[int, int, int]:
    """Return the numbers of segments that match one of the same class, that match none, and that are not matched."""
    left, hits = list(expected), 0
    for one in found:
        overlaps = [float(tiou(one.start, one.end, s.start, s.end)) if s.label == one.label else 0.0 for s in left]
        if overlaps and max(overlaps) >= least:
            del left[int(np.argmax(overlaps))]
            hits += 1
    return hits, len(found) - hits, len(left)


def f1_of(counts: Sequence[tuple[int, int, int]]) -> tuple[float, float, float]:
    """Return F1 over all clips, and the ends of its 95 % interval by resampling clips."""
    table, random = np.array(counts), np.random.default_rng(0)

    def f1(some: np.ndarray) -> float:
        hits, false, missed = some.sum(axis=0)
        return float(2 * hits / max(1, 2 * hits + false + missed))

    drawn = [f1(table[random.integers(0, len(table), len(table))]) for _ in range(10_000)]
    return f1(table), *(float(v) for v in np.quantile(drawn, (0.025, 0.975)))


def faults(given: argparse.Namespace) -> None:
    """Print what a run says of a sender that is killed, paused, changed and broken, and the memory after it."""
    explainer, process = Explainer("playground-r2plus1d"), psutil.Process()
    began = time.monotonic()

    def note(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    with sending() as sender, explainer.live(f"tcp://127.0.0.1:{sender.port}", note=note) as live:
        frames, stretches = iter(live), []

        def play(seconds: float) -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                stretches.append(next(frames).frame.stretch)

        play(10)
        before = process.memory_info().rss / 2**20
        for name, fault in (
            ("killed for 3 s", lambda: sender.restart(3)),
            ("paused for 20 s", lambda: sender.pause(20)),
            ("another size", lambda: sender.resize("480:270")),
            ("the size from before", lambda: sender.resize("640:360")),
            ("garbage for 1 s", lambda: sender.garbage(1)),
        ):
            print(f"{time.monotonic() - began:6.1f} s  fault: {name}", flush=True)
            count = len(stretches)
            thread = threading.Thread(target=fault)
            thread.start()
            play(8)
            thread.join()
            play(8)
            print(
                f"{time.monotonic() - began:6.1f} s  {len(stretches) - count} frames since, stretch {stretches[-1]}, {live.state}",
                flush=True,
            )
        after = process.memory_info().rss / 2**20
        print(
            f"memory {before:.0f} MiB before, {after:.0f} MiB after ({after / before - 1:+.1%}); {live.summary.frames} frames"
        )


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    for measure in (stream, curves, segments, faults):
        kind = kinds.add_parser(measure.__name__, help=measure.__doc__)
        kind.set_defaults(measure=measure)
        if measure is stream:
            kind.add_argument("--model", default="playground-r2plus1d")
            kind.add_argument("--seconds", type=float, default=600.0)
        elif measure is not faults:
            kind.add_argument("--seed", type=int, default=901)
            kind.add_argument("--count", type=int, default=40)
    given = parser.parse_args()
    given.measure(given)


if __name__ == "__main__":
    main()
