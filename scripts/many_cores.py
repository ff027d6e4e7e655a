"""What a job would take on many cores and a GPU, derived from the processor time of its threads on this machine.

    python scripts/many_cores.py [--rounds N] [--cores N]

A clip of 10 seconds of 640x360 is explained by a bundled network and saved with its film, as on a machine with that many
cores: drawing and encoding have as many threads as there. On enough cores a job takes at least as long as its busiest
thread in each of its two phases, and a corpus explains as many clips a second as its cores have processor seconds for.
The thread of the network is left out: on a GPU it waits. Nothing here was run on such a machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import psutil
import torch
from benchmark import write_clip

from vidcam.engine.memory import keep_freed_memory
from vidcam.explainer import explain
from vidcam.export import playback
from vidcam.models.registry import load_model
from vidcam.models.torchvision_import import import_torchvision
from vidcam.results.explanation import Explanation
from vidcam.video import writer
from vidcam.video.kept import KeptClip

_LOOK_EVERY = 0.005  # seconds, at the threads: one that ends between two looks is missed in part


class Threads:
    """The processor seconds of this process and of each of its threads inside the `with`, by the number of the thread."""

    def __enter__(self) -> Threads:
        self.seconds: dict[int, float] = {}
        self._before = self._now()
        self._process = time.process_time()
        self._ends = threading.Event()
        self._looking = threading.Thread(target=self._look)
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._looking.join()
        self.whole = time.process_time() - self._process - self.seconds.pop(self._looking.native_id or 0, 0.0)

    def _look(self) -> None:
        while not self._ends.wait(_LOOK_EVERY):
            for number, seconds in self._now().items():
                self.seconds[number] = seconds - self._before.get(number, 0.0)

    @staticmethod
    def _now() -> dict[int, float]:
        return {thread.id: thread.user_time + thread.system_time for thread in psutil.Process().threads()}


def phases(clip: Path, folder: Path) -> dict[str, Threads]:
    """Explain a clip and save it; return the threads of both."""
    found: list[Explanation] = []
    jobs: dict[str, Callable[[], object]] = {
        "explain": lambda: found.append(explain(KeptClip(clip), MODEL, "waving")),
        "save": lambda: found[0].save(folder, overwrite=True),
    }
    measured = {}
    for name, job in jobs.items():
        with Threads() as threads:
            job()
        measured[name] = threads
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=16)
    options = parser.parse_args()
    drawing = min(playback._MOST_DRAWING, options.cores // 4)
    network = threading.get_native_id()  # the main thread runs it, and no other one with a single thread of torch
    rows: dict[str, list[float]] = {}
    with (
        patch.object(playback, "_drawing_threads", lambda: drawing),
        patch.object(writer, "cores", lambda: options.cores),
        tempfile.TemporaryDirectory() as place,
    ):
        clip = write_clip(Path(place) / "clip.mp4", 300, (360, 640), 30)
        for turn in range(options.rounds + 1):
            measured = phases(clip, Path(place) / "out")
            if not turn:  # the first one loads what the others have
                continue
            explaining, saving = measured["explain"], measured["save"]
            alone = explaining.seconds.pop(network, 0.0)
            cpu = {"explain, without the network's thread": explaining.whole - alone, "save": saving.whole}
            busiest = {name: max(threads.seconds.values()) for name, threads in measured.items()}
            for name, seconds in cpu.items():
                rows.setdefault(f"{name}: processor seconds", []).append(seconds)
            for name, seconds in busiest.items():
                rows.setdefault(f"{name}: processor seconds of the busiest thread", []).append(seconds)
            rows.setdefault("both phases, busiest threads: seconds", []).append(sum(busiest.values()))
            rate = options.cores / sum(cpu.values())
            rows.setdefault(f"clips of 10 s a second on {options.cores} cores", []).append(rate)
    for name, values in rows.items():
        print(f"{name:<60} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    keep_freed_memory()
    import_torchvision()
    torch.set_num_threads(1)
    MODEL = load_model("playground-r2plus1d")
    main()
