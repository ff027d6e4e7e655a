"""How quick vidcam is, beside the plain network and beside other libraries that do the same job.

    python scripts/benchmark.py [--json FILE] [--quick]

What is compared runs in turns, so that a machine's mood falls on all alike; each round gives one ratio, and the table
their median and range. There are two processes: vidcam's keeps freed memory, as the command `vidcam` does, and the
other is what a user of the plain network or of another library has. Those libraries (pytorch-grad-cam, torchcam,
captum) are measured where they are installed. On a machine with a GPU all networks run there. `--quick` takes two
minutes and leaves out long clips and other libraries' whole jobs. Weights are random: they do not change what a
computation costs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vidcam.engine.attribution import Attributor
from vidcam.engine.loader import Batch, WindowLoader, network_input
from vidcam.engine.memory import keep_freed_memory
from vidcam.engine.precision import optimized
from vidcam.explainer import explain
from vidcam.export.overlay import Overlay
from vidcam.export.planes import drawn_in_planes
from vidcam.export.playback import Film, play
from vidcam.models.inference import prepared, structure_of
from vidcam.models.registry import Model, load_model
from vidcam.models.torchvision_import import import_torchvision
from vidcam.playground.scene import untrimmed_scene
from vidcam.video.planes import copied
from vidcam.video.reader import Clip
from vidcam.video.windows import Windowing
from vidcam.video.writer import FilmWriter

STRIDE = 8
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BATCH = 4 if DEVICE.type == "cpu" else 32  # windows, as vidcam takes them where memory allows
Job = Callable[[], Any]
Timed = Callable[[], float]
"""Does a job and tells how many seconds it took."""


@dataclass
class Row:
    """One line of the table: the values of the rounds, and what is wanted of their median."""

    values: list[float]
    goal: str = ""
    unit: str = ""

    def json(self) -> dict[str, Any]:
        """Median, range and goal."""
        facts = {"median": statistics.median(self.values), "min": min(self.values), "max": max(self.values)}
        return {**facts, "rounds": len(self.values), "goal": self.goal, "unit": self.unit or "ratio"}


@dataclass
class Benchmark:
    """The rows, told as they are found."""

    rounds: int
    rows: dict[str, Row] = field(default_factory=dict)

    def add(self, name: str, values: list[float], goal: str = "", unit: str = "") -> None:
        """Keep a row and print it."""
        row = self.rows[name] = Row(values, goal, unit)
        facts = row.json()
        print(f"{name:<72} {facts['median']:.3f} ({facts['min']:.3f} to {facts['max']:.3f}) {unit} {goal}", flush=True)

    def seconds(self, jobs: dict[str, Timed], rounds: int | None = None) -> dict[str, list[float]]:
        """Seconds of each job in each round, the jobs in turns, after a first round that does not count."""
        found: dict[str, list[float]] = {name: [] for name in jobs}
        for turn in range((rounds or self.rounds) + 1):
            for name, job in jobs.items():
                took = job()
                if turn:
                    found[name].append(took)
        return found


def timed(job: Job) -> Timed:
    """A job with a clock beside it, which waits for the GPU where there is one."""

    def run() -> float:
        began = time.perf_counter()
        job()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    return run


@contextmanager
def process(make: Callable[..., dict[str, Job]], *arguments: Any, keep: bool) -> Iterator[dict[str, Timed]]:
    """A process of its own in which jobs are made and, when they are called here, done; `keep`: its freed memory."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    worker = context.Process(target=_work, args=(there, make, arguments, keep), daemon=True)
    worker.start()
    there.close()  # or the end of the worker would not be seen here

    def asked(name: str) -> Timed:
        def run() -> float:
            here.send(name)
            return float(here.recv())

        return run

    try:
        yield {name: asked(name) for name in here.recv()}
    finally:
        worker.terminate()
        worker.join()


def _work(pipe: Connection, make: Callable[..., dict[str, Job]], arguments: tuple[Any, ...], keep: bool) -> None:
    if keep:
        keep_freed_memory()
    import_torchvision()
    jobs = {name: timed(job) for name, job in make(*arguments).items()}
    pipe.send(list(jobs))
    while True:
        pipe.send(jobs[pipe.recv()]())


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(above, below)]


def machine(benchmark: Benchmark) -> dict[str, float]:
    """GFLOP/s of products of square matrices, the best round, by dtype; float32 as torch multiplies it by default."""
    ceilings, side = {}, 4096 if DEVICE.type == "cpu" else 8192
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(side, side, device=DEVICE).to(dtype) for _ in range(2))
        seconds = benchmark.seconds({"product": timed(partial(torch.matmul, a, b))}, 5)["product"]
        name = str(dtype).removeprefix("torch.")
        rates = [2 * side**3 / s / 1e9 for s in seconds]
        ceilings[name] = max(rates)
        benchmark.add(f"matrix product, {name}", rates, unit="GFLOP/s")
    return ceilings


def plain_network(name: str) -> tuple[Model, nn.Module]:
    """A model by name, and its network as its publisher builds it."""
    model = load_model(name, "none")
    return model, model.spec.build(model.spec.num_classes).eval().to(DEVICE)


def frames_for(model: Model) -> list[np.ndarray]:
    """The frames of one window, noise."""
    size = (*model.spec.preprocess.crop, 3)
    return [np.random.default_rng(index).integers(0, 256, size, np.uint8) for index in range(16)]


def forward(network: nn.Module, window: Tensor) -> Job:
    """The network alone."""

    def run() -> Tensor:
        with torch.no_grad():
            return network(window)

    return run


def others_at_one_window(name: str) -> dict[str, Job]:
    """What a user of the plain network has, and one of another library."""
    model, plain = plain_network(name)
    window = network_input(model, [frames_for(model)]).contiguous()
    jobs = {"plain": forward(plain, window)}
    return jobs | {other: lambda run=run: run(window) for other, run in other_libraries(plain, model.spec.layer)}


def vidcam_at_one_window(name: str) -> dict[str, Job]:
    """What a user of vidcam has: the prepared network alone and with maps, for a window and for a batch."""
    model, plain = plain_network(name)
    quick = prepared(model, torch.bfloat16, structure_of(model, [model.spec.layer]))
    frames = frames_for(model)

    def maps(given: Tensor) -> Job:
        batch, attributor = Batch(list(range(len(given))), given), Attributor(quick, [model.spec.layer], ["gradcam++"])
        return lambda: attributor.maps(batch, lambda p: [[int(k)] for k in p.argmax(1)])

    one, many = (network_input(quick, [frames] * count) for count in (1, BATCH))
    return {
        "plain, kept": forward(plain, network_input(model, [frames]).contiguous()),
        "prepared": forward(quick.network, one),
        "vidcam": maps(one),
        "batch prepared": forward(quick.network, many),
        "batch vidcam": maps(many),
    }


def one_window(benchmark: Benchmark, name: str, goal: str, ceilings: dict[str, float]) -> None:
    """A map of one window: against the network alone, as it is and prepared, and against other libraries."""
    _, plain = plain_network(name)
    with FlopCounterMode(display=False) as count:
        forward(plain, torch.zeros(1, 3, 16, 112, 112, device=DEVICE))()
    gflop = count.get_total_flops() / 1e9
    with (
        process(others_at_one_window, name, keep=False) as theirs,
        process(vidcam_at_one_window, name, keep=True) as ours,
    ):
        seconds = benchmark.seconds(theirs | ours)
    seconds["window of a batch"] = [s / BATCH for s in seconds["batch vidcam"]]
    for which, dtype in (("plain", "float32"), ("plain, kept", "float32"), ("prepared", "bfloat16")):
        shares = [gflop / s / ceilings[dtype] for s in seconds[which]]
        benchmark.add(f"{name}: rate of the {which} forward / matrix product in {dtype}", shares)
    for one, other, wanted in (
        ("prepared", "plain", ""),
        ("vidcam", "prepared", "<= 1.03"),
        ("batch vidcam", "batch prepared", "<= 1.03"),
        ("vidcam", "plain", goal),
        ("vidcam", "plain, kept", ""),
        ("window of a batch", "plain", ""),
        ("pytorch-grad-cam", "vidcam", ">= 9" if name == "r2plus1d_18" else ""),
        ("torchcam", "vidcam", ">= 3" if name == "r2plus1d_18" else ""),
        ("captum (Grad-CAM)", "vidcam", ""),
        ("captum (Grad-CAM), class given", "vidcam", ""),
    ):
        if one in seconds:
            benchmark.add(f"{name}: {one} / {other}", ratios(seconds[one], seconds[other]), wanted)


def other_libraries(network: nn.Module, layer: str) -> Iterator[tuple[str, Callable[[Tensor], np.ndarray]]]:
    """Each installed library's map of a window's top class, (T, H, W) in [0, 1], the way its documentation has it."""
    target = network.get_submodule(layer)

    def scaled(heat: Tensor, window: Tensor) -> np.ndarray:
        size = window.shape[2:]
        heat = torch.nn.functional.interpolate(heat[None, None], size=size, mode="trilinear")[0, 0].detach()
        return ((heat - heat.min()) / (heat.max() - heat.min() + 1e-8)).cpu().numpy()

    try:
        from pytorch_grad_cam import GradCAMPlusPlus

        cam = GradCAMPlusPlus(model=network, target_layers=[target])
        yield "pytorch-grad-cam", lambda window: cam(input_tensor=window, targets=None)[0]
    except ImportError:
        print("pytorch-grad-cam does not import (grad-cam and what it needs)")
    try:
        from torchcam.methods import GradCAMpp

        def torchcam(window: Tensor) -> np.ndarray:
            with GradCAMpp(network, target_layer=layer, input_shape=tuple(window.shape[1:])) as extractor:
                scores = network(window)
                return scaled(extractor(scores.argmax(1).item(), scores)[0][0], window)

        yield "torchcam", torchcam
    except ImportError:
        print("torchcam is not installed")
    try:
        from captum.attr import LayerGradCam

        def captum(window: Tensor, given: int | None = None) -> np.ndarray:
            if given is None:  # it takes a class and tells none: its users run the network once more for the top one
                with torch.no_grad():
                    given = int(network(window).argmax())
            return scaled(LayerGradCam(network, target).attribute(window, target=given)[0, 0], window)

        yield "captum (Grad-CAM)", captum
        yield "captum (Grad-CAM), class given", lambda window: captum(window, 7)
    except ImportError:
        print("captum is not installed")


def write_clip(path: Path, frames: int, size: tuple[int, int], rate: int) -> Path:
    """A film of people in motion: rendered scenes one after the other, enlarged, with a little grain."""
    height, width = size
    grain = np.random.default_rng(0).integers(0, 4, (4, height, width, 3), np.uint8)
    with FilmWriter(path, size, time_base=Fraction(1, rate), frame_rate=Fraction(rate)) as film:
        for index in range(frames):
            if index % 80 == 0:
                scene = untrimmed_scene(9, index // 80 % 20, 80)
            picture = cv2.resize(scene.render(index % 80, 112), (width, height), interpolation=cv2.INTER_CUBIC)
            film.write(cv2.add(picture, grain[index % 4]), index)
    return path


def vidcam_at_whole_jobs(clip: Path, out: Path) -> dict[str, Job]:
    """From a clip to its explanation on disk, and the network's part of it alone."""
    model = load_model("r2plus1d_18", "none")
    layer, target = model.spec.layer, 7
    loader = WindowLoader(Clip(clip), model.spec, Windowing(16, STRIDE), lambda done, of: None)
    quick = optimized(model, [layer], "auto", loader)
    batches = list(loader.batches(quick))

    def network() -> None:
        with torch.no_grad():
            for batch in batches:
                quick.network(batch.given)

    def ours(stride: int, dense: bool) -> Job:
        def run() -> None:
            explanation = explain(clip, model, target, stride=stride, sampling_rate=1, dense=dense)
            explanation.save(out, overwrite=True)

        return run

    def preparing() -> None:
        model.cache.clear()
        optimized(model, [layer], "auto", loader)

    return {
        "preparing": preparing,
        "network": network,
        "exact": ours(STRIDE, False),
        "dense": ours(STRIDE, True),
        "dense, stride 4": ours(STRIDE // 2, True),
    }


def others_at_whole_jobs(clip: Path, out: Path) -> dict[str, Job]:
    """The same job with other libraries."""
    model, plain = plain_network("r2plus1d_18")
    others = other_libraries(plain, model.spec.layer)
    return {name: partial(other_job, clip, model, run, out) for name, run in others}


def whole_jobs(benchmark: Benchmark, folder: Path, peers: bool) -> None:
    """From a clip of 10 seconds to its overlay: against the network alone, and against other libraries' pipelines."""
    clip = write_clip(folder / "ten_seconds.mp4", 300, (360, 640), 30)
    with process(vidcam_at_whole_jobs, clip, folder / "out", keep=True) as ours:
        seconds = benchmark.seconds(ours, max(3, benchmark.rounds // 2))
        benchmark.add("10 s clip: preparing and checking the network, once", seconds["preparing"], unit="s")
        benchmark.add("10 s clip: network alone", seconds["network"], unit="s")
        benchmark.add("10 s clip: whole job", seconds["exact"], unit="s")
        for one, other, wanted in (
            ("exact", "network", "<= 1.15"),
            ("dense, stride 4", "dense", "<= 1.1"),
            ("exact", "dense", ""),
        ):
            name = f"10 s clip: {one} / {other}".replace("exact", "whole job")
            benchmark.add(name, ratios(seconds[one], seconds[other]), wanted)
        if not peers:
            return
        with process(others_at_whole_jobs, clip, folder / "other.mp4", keep=False) as others:
            if not others:
                return
            seconds = benchmark.seconds({"exact": ours["exact"], "dense": ours["dense"], **others}, 1)
    best = min(others, key=lambda name: seconds[name][0])
    for name in others:
        benchmark.add(f"10 s clip: {name} pipeline", seconds[name], unit="s")
    benchmark.add(
        f"10 s clip: best other pipeline ({best}) / whole job", ratios(seconds[best], seconds["exact"]), ">= 3.5"
    )
    benchmark.add(f"10 s clip: best other pipeline ({best}) / dense", ratios(seconds[best], seconds["dense"]), ">= 6")


def other_job(clip: Path, model: Model, run: Callable[[Tensor], np.ndarray], out: Path) -> None:
    """The same job the way users of an image library write it: all frames in memory, windows one by one, cv2 overlay."""
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    height, width = frames[0].shape[:2]
    small = [model.spec.preprocess.frame(frame) for frame in frames]
    heat, seen = np.zeros((len(frames), 112, 112), np.float32), np.zeros(len(frames))
    for start in range(0, len(frames) - 15, STRIDE):
        window = model.spec.preprocess.windows([small[start : start + 16]]).contiguous().to(DEVICE)
        heat[start : start + 16] += run(window)
        seen[start : start + 16] += 1
    heat /= np.maximum(seen, 1)[:, None, None]
    with av.open(str(out), "w") as film:
        stream = film.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame, mask in zip(frames, heat):
            colours = cv2.applyColorMap(np.uint8(255 * cv2.resize(mask, (width, height))), cv2.COLORMAP_JET)
            drawn = cv2.addWeighted(frame, 0.5, cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), 0.5, 0)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(drawn, format="rgb24")))
        film.mux(stream.encode(None))


_LONG = """
import re, sys, time
from vidcam.engine.memory import keep_freed_memory
from vidcam.explainer import explain
from vidcam.export.overlay import Overlay
from vidcam.export.planes import drawn_in_planes
from vidcam.export.playback import Film, play
keep_freed_memory()  # as the command line does
began = time.perf_counter()
found = explain(sys.argv[1], "playground-r2plus1d", "waving")
found.save(sys.argv[2], overwrite=True)
seconds = (time.perf_counter() - began) / found.frames
# Of this process alone: getrusage starts from what its parent held when it was born.
print(seconds, int(re.search("VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024)
"""


def long_clips(benchmark: Benchmark, folder: Path) -> None:
    """Memory and time per frame of 20 minutes against 20 seconds, each in a process of its own."""
    short = write_clip(folder / "twenty_seconds.mp4", 320, (240, 320), 16)
    long = write_clip(folder / "twenty_minutes.mp4", 19200, (240, 320), 16)
    found: dict[Path, list[tuple[float, float]]] = {short: [], long: []}
    for _ in range(2):
        for clip, runs in found.items():
            command = [sys.executable, "-c", _LONG, str(clip), str(folder / clip.stem)]
            seconds, mebibytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            runs.append((float(seconds), float(mebibytes)))
    (short_s, short_mb), (long_s, long_mb) = (map(list, zip(*runs)) for runs in found.values())
    benchmark.add("20 s clip: peak memory", short_mb, unit="MiB")
    benchmark.add("peak memory, 20 min clip / 20 s clip", ratios(long_mb, short_mb), "<= 1.05")
    benchmark.add("20 s clip: time per frame", short_s, unit="s")
    benchmark.add("time per frame, 20 min clip / 20 s clip", ratios(long_s, short_s), "<= 1.0")


def start_up(benchmark: Benchmark) -> None:
    """Seconds until the help is printed and until vidcam is imported, the interpreter's own start taken off the latter."""

    def run(*arguments: str) -> Job:
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    commands = {
        "help": run("-m", "vidcam.cli", "--help"),
        "import": run("-c", "import vidcam"),
        "python": run("-c", "pass"),
    }
    seconds = benchmark.seconds({name: timed(command) for name, command in commands.items()}, 10)
    benchmark.add("vidcam --help", seconds["help"], "< 0.3", "s")
    imported = [a - b for a, b in zip(seconds["import"], seconds["python"])]
    benchmark.add("import vidcam", imported, "< 0.05", "s")


_FIRST = """
import time
began = time.process_time()
import vidcam.explainer, vidcam.export.results, sys
moments = [began, time.process_time()]
for _ in range(2):
    vidcam.explainer.explain(sys.argv[1])
    moments.append(time.process_time())
print(*(b - a for a, b in zip(moments, moments[1:])))
"""


def first_explanations(benchmark: Benchmark, clip: Path, folder: Path) -> None:
    """Processor seconds of `vidcam explain`, of the imports, and of the first and second explanation in a process."""
    found: list[tuple[float, ...]] = []
    command: list[float] = []
    for _ in range(benchmark.rounds):
        run = subprocess.run([sys.executable, "-c", _FIRST, clip], check=True, capture_output=True, text=True)
        found.append(tuple(map(float, run.stdout.split())))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        arguments = ["explain", str(clip), "--out", str(folder / "command"), "--overwrite", "--json"]
        subprocess.run([sys.executable, "-m", "vidcam.cli", *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        command.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    imports, first, second = map(list, zip(*found))
    benchmark.add("10 s clip, bundled network: vidcam explain, processor", command, unit="s")
    benchmark.add("bundled network: imports, processor", imports, unit="s")
    benchmark.add("bundled network: second explanation in a process, processor", second, unit="s")
    benchmark.add("bundled network: first / second explanation", ratios(first, second), "<= 1.4")


def decode_and_encode(clip: Path, out: Path) -> None:
    """What no film can do without: decoding a clip and encoding a film of its size, as vidcam encodes."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        size, time_base, rate = (stream.height, stream.width), stream.time_base, stream.average_rate
        with FilmWriter(out, size, time_base=Fraction(time_base or 1), frame_rate=Fraction(rate or 25)) as film:
            for image in container.decode(stream):
                film.encode(copied(image), image.pts or 0)


def films(benchmark: Benchmark, clip: Path, folder: Path, name: str, goal: str) -> None:
    """Processor time of an overlay film over that of decoding and encoding alone, in turns."""
    found, source = explain(clip), Clip(clip)
    overlay = Overlay(found)
    film = Film(folder / "film.mp4", overlay.size, overlay.draw, draw_in_planes=drawn_in_planes(overlay, source.colour))
    floor, whole = [], []
    for turn in range(benchmark.rounds + 1):
        moments = [time.process_time()]
        decode_and_encode(clip, folder / "floor.mp4")
        moments.append(time.process_time())
        play(found, Clip(clip), [film])
        moments.append(time.process_time())
        if turn:
            floor.append(1000 * (moments[1] - moments[0]) / found.frames)
            whole.append(1000 * (moments[2] - moments[1]) / found.frames)
    benchmark.add(f"film of {name}: decode and encode, processor, a frame", floor, unit="ms")
    benchmark.add(f"film of {name}: film / decode and encode", ratios(whole, floor), goal)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the rows")
    parser.add_argument("--quick", action="store_true", help="two minutes")
    options = parser.parse_args()
    import_torchvision()
    benchmark = Benchmark(rounds=3 if options.quick else 9)
    names = {"machine": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    if DEVICE.type == "cuda":
        names["gpu"] = torch.cuda.get_device_name()
    names |= {"torch": torch.__version__, "python": platform.python_version(), "system": platform.platform()}
    print(names)
    start_up(benchmark)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        clip = write_clip(place / "small.mp4", 300, (360, 640), 30)
        first_explanations(benchmark, clip, place)
        films(benchmark, clip, place, "640x360", "<= 1.25")
        films(benchmark, write_clip(place / "hd.mp4", 90, (1080, 1920), 30), place, "1920x1080", "<= 1.35")
        films(benchmark, write_clip(place / "uhd.mp4", 30, (2160, 3840), 30), place, "3840x2160", "<= 1.2")
    ceilings = machine(benchmark)
    one_window(benchmark, "r2plus1d_18", "<= 0.33", ceilings)
    one_window(benchmark, "c3d", "<= 0.40", ceilings)
    with tempfile.TemporaryDirectory() as folder:
        whole_jobs(benchmark, Path(folder), peers=not options.quick)
        if not options.quick:
            long_clips(benchmark, Path(folder))
    table = Table("", "median", "min", "max", "", "goal", box=None)
    for name, row in benchmark.rows.items():
        facts = row.json()
        table.add_row(name, *(f"{facts[k]:.3f}" for k in ("median", "min", "max")), row.unit, row.goal)
    Console(width=140).print(table)
    if options.json:
        rows = {name: row.json() for name, row in benchmark.rows.items()}
        options.json.write_text(json.dumps({"machine": names, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
