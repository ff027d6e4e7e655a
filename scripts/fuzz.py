"""Damage clips in every way and explain them all: `python scripts/fuzz.py --out DIR --count 2000`.

A seed corpus of small clips in eleven pairs of container and codec is written with PyAV; each clip of the corpus is one
of them with bits flipped, its end cut off, a piece of another put into it, its pieces repeated or moved, or a wrong
extension. `vidcam corpus run` explains them. Ends with 1 if the run crashed or left anything half done.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import pyarrow.parquet as pq
import typer

from vidcam.results.stored import load_explanation

SEEDS = [  # suffix, codec, pixel format, sound
    ("mp4", "libx264", "yuv420p", "aac"),
    ("mkv", "ffv1", "yuv420p", None),
    ("webm", "libvpx-vp9", "yuv420p", "libopus"),
    ("avi", "mpeg4", "yuv420p", "mp2"),
    ("mov", "mjpeg", "yuvj420p", None),
    ("ts", "mpeg2video", "yuv420p", "mp2"),
    ("flv", "flv", "yuv420p", None),
    ("wmv", "wmv2", "yuv420p", None),
    ("gif", "gif", "rgb8", None),
    ("mkv", "libx265", "yuv420p10le", None),
    ("mp4", "libx264rgb", "rgb24", None),
]
FRAMES, HEIGHT, WIDTH = 24, 48, 64
OUTPUTS = {"curve.csv", "explanation.npz", "result.json", "summary.json"}


def write_seed(path: Path, codec: str, pixel_format: str, audio: str | None) -> bytes:
    """A clip of a square that moves through noise; its bytes."""
    noise = np.random.default_rng(0).integers(0, 60, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, pixel_format
        sound = container.add_stream(audio, rate=48000) if audio else None
        if sound is not None:
            sound.layout = "mono"
        for index, pixels in enumerate(noise):
            pixels[10:26, 2 * index : 2 * index + 16] = 220
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), format="s16", layout="mono")
            tone.sample_rate, tone.pts = 48000, 0
            resampler = av.AudioResampler(
                sound.codec_context.format, "mono", 48000, frame_size=sound.codec_context.frame_size or 960
            )
            for part in [*resampler.resample(tone), *resampler.resample(None)]:
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
    return path.read_bytes()


def flipped(data: bytearray, others: list[bytes], chance: random.Random) -> bytearray:
    """A few bits, anywhere or in the first kilobyte, turned over."""
    reach = len(data) if chance.random() < 0.5 else min(1024, len(data))
    for _ in range(chance.choice([1, 4, 16, 64, 256])):
        data[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    return data


def truncated(data: bytearray, others: list[bytes], chance: random.Random) -> bytearray:
    """The end cut off, somewhere."""
    return data[: chance.randrange(len(data))]


def spliced(data: bytearray, others: list[bytes], chance: random.Random) -> bytearray:
    """The head of another clip before the rest of this one."""
    cut = chance.choice([8, 32, 256, 1024])
    return bytearray(chance.choice(others)[:cut]) + data[chance.choice([0, cut]) :]


def moved(data: bytearray, others: list[bytes], chance: random.Random) -> bytearray:
    """A piece taken out and put in elsewhere, once or many times."""
    length = chance.choice([4, 64, 1024])
    start, to = chance.randrange(len(data)), chance.randrange(len(data))
    piece = data[start : start + length]
    return data[:to] + piece * chance.choice([1, 1, 40]) + data[to:]


def overwritten(data: bytearray, others: list[bytes], chance: random.Random) -> bytearray:
    """Four bytes somewhere, such as a size, made as large as they can be, or zero."""
    for _ in range(chance.choice([1, 8])):
        at = chance.randrange(min(2048, len(data)))
        data[at : at + 4] = chance.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"])
    return data


MUTATIONS: list[Callable[[bytearray, list[bytes], random.Random], bytearray]] = [
    flipped, truncated, spliced, moved, overwritten,
]  # fmt: skip


def write_corpus(folder: Path, count: int, seed: int) -> Path:
    """The mutated clips and their manifest."""
    folder.mkdir(parents=True)
    suffixes = [suffix for suffix, *_ in SEEDS]
    seeds = [write_seed(folder / f"seed{i}.{s[0]}", *s[1:]) for i, s in enumerate(SEEDS)]
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "mutation"])
        for index in range(count):
            chance = random.Random(f"{seed}-{index}")
            which, mutation = index % len(SEEDS), MUTATIONS[index // len(SEEDS) % len(MUTATIONS)]
            data = mutation(bytearray(seeds[which]), seeds, chance)
            suffix = chance.choice([*suffixes, "jpg", "txt"]) if chance.random() < 0.2 else suffixes[which]
            name = f"{index:05d}.{suffix}"
            (folder / name).write_bytes(data)
            writer.writerow([name, mutation.__name__])
    return manifest


def trouble_in(out: Path, count: int, seconds: float) -> list[str]:
    """What should not be: rows that are missing or say two things, results that are not whole, leftovers."""
    rows = pq.read_table(out / "results.parquet").to_pylist()
    found = [] if len(rows) == count else [f"{len(rows)} rows of {count}"]
    for row in rows:
        folder = out / "clips" / row["id"][-2:] / row["id"]
        names = {path.name for path in folder.iterdir()}
        if (row["error"] is None) == (row["prediction"] is None):
            found.append(f"{row['clip']}: {row['error']!r} and {row['prediction']!r}")
        if names != (OUTPUTS if row["error"] is None else {"result.json"}):
            found.append(f"{row['clip']}: holds {sorted(names)}")
        elif row["error"] is None and load_explanation(folder).frames != row["frames"]:
            found.append(f"{row['clip']}: another number of frames is stored")
        if (row["timings"]["explain"] or 0) > seconds + 1:
            found.append(f"{row['clip']}: took {row['timings']['explain']} s")
    left = [p for p in out.rglob("*") if p.name.startswith(".work") or p.name.endswith(".part")]
    return found + [f"left behind: {path}" for path in left]


def main(
    out: Annotated[Path, typer.Option(help="A directory that does not exist yet.")],
    count: Annotated[int, typer.Option(help="Mutated clips.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the mutations.")] = 1,
    seconds: Annotated[float, typer.Option(help="A clip may take.")] = 20,
) -> None:
    """Write the clips, explain them, and say what became of them, as JSON."""
    manifest = write_corpus(out / "clips", count, seed)
    command = [sys.executable, "-m", "vidcam.cli", "corpus", "run", str(manifest), "--out", str(out / "results")]
    limits = ["--max-seconds", str(seconds), "--max-memory", "4096", "--max-pixels", str(2**24), "--dtype", "float32"]
    began = time.perf_counter()
    run = subprocess.run([*command, *limits], capture_output=True, text=True)
    took = time.perf_counter() - began
    whole = run.returncode in (0, 1)  # 1: some clips failed, as they should
    trouble = [] if whole else [f"the run ended with {run.returncode}: {run.stderr[-2000:]}"]
    trouble += trouble_in(out / "results", count, seconds) if whole else []
    rows = pq.read_table(out / "results" / "results.parquet").to_pylist() if whole else []
    with manifest.open(encoding="utf-8") as file:
        mutations = [row["mutation"] for row in csv.DictReader(file)]
    outcomes = Counter((m, row["error_kind"] or "explained") for m, row in zip(mutations, rows, strict=False))
    print(
        json.dumps(
            {
                "clips": count,
                "seconds": round(took, 1),
                "slowest": max((row["timings"]["explain"] or 0 for row in rows), default=0),
                "outcomes": dict(Counter(row["error_kind"] or "explained" for row in rows)),
                "by_mutation": {
                    m.__name__: {k: n for (o, k), n in outcomes.items() if o == m.__name__} for m in MUTATIONS
                },
                "ended": [
                    [row["clip"], row["error"]] for row in rows if row["error_kind"] in ("time", "memory", "crash")
                ],
                "trouble": trouble,
            },
            indent=2,
        )
    )
    raise typer.Exit(1 if trouble else 0)


if __name__ == "__main__":
    typer.run(main)
