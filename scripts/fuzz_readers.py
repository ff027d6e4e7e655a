"""Damage files of every kind that vidcam reads: `python scripts/fuzz_readers.py --count 2000`.

Each input is a valid file with bits flipped, its end cut off, pieces of other files in it, sizes overwritten, or, where its
format is known, numbers and texts exchanged for huge and wrong ones. A reader must give a result or a VidcamError, in
seconds and bounded memory. Prints what came of it as JSON; ends with 1 on a raw traceback, a crash or a hang.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import random
import struct
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from fuzz import MUTATIONS

Read = Callable[[Path], Any]
Damage = Callable[[bytes, random.Random], bytes]

PRELOADED = (  # in one process, of which each reader's is a copy
    *("av", "typer", "torch", "torch._dynamo", "safetensors.torch", "pyarrow.parquet", "vidcam.recipe"),
    *(
        "vidcam.corpus.manifest",
        "vidcam.playground.demo",
        "vidcam.models.registry",
        "vidcam.playground.clips",
        "vidcam.results.stored",
    ),
)
NUMBERS = [
    "-1",
    "0",
    "1e308",
    "NaN",
    "Infinity",
    "9" * 5000,
    str(10**12),
    str(2**63),
    '"x"',
    "[]",
    "{}",
    "null",
    "true",
]
TEXTS = ['"\\ud800"', '"\\u0000"', '""', '"' + "x" * 10_000 + '"', "5", "[[]]", "{}"]


def text_damage(data: bytes, chance: random.Random) -> bytes:
    """A number or a text exchanged, a line doubled, or a value put into many brackets."""
    text = data.decode("utf-8", "replace")
    spots = [i for i, letter in enumerate(text) if letter in ":,[{"]
    at = chance.choice(spots) + 1 if spots else 0
    end = next((i for i in range(at, len(text)) if text[i] in ",]}\n"), len(text))
    kind = chance.randrange(4)
    if kind == 0:
        value = chance.choice(NUMBERS + TEXTS)
    elif kind == 1:
        value = "[" * chance.choice([10, 1000, 100_000]) + text[at:end]
    elif kind == 2:
        value = text[at:end] + "," + text[at:end]
    else:
        value = " " + chance.choice(
            ["*a", "&a x", "!!int x", "!!timestamp x", "2024-99-99", "0x" + "f" * 1000, "? [a]"]
        )
    return (text[:at] + value + text[end:]).encode("utf-8", "surrogatepass")


def zip_damage(data: bytes, chance: random.Random) -> bytes:
    """A member of a zip damaged and packed again, so that the damage gets past the zip: its sums are right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        names = source.namelist()
        victim = next((n for n in names if n.endswith("data.pkl")), None) if chance.random() < 0.8 else None
        victim = victim or chance.choice(names)
        for name in names:
            content = source.read(name)
            if name == victim:
                content = pickle_damage(content, chance) if name.endswith(".pkl") else any_damage(content, chance)
            kind = zipfile.ZIP_DEFLATED if chance.random() < 0.05 else source.getinfo(name).compress_type
            target.writestr(name, content, kind)
    return out.getvalue()


def pickle_damage(data: bytes, chance: random.Random) -> bytes:
    """Operations of a pickle exchanged, doubled or left out, and numbers made huge."""
    content = bytearray(data)
    for _ in range(chance.choice([1, 2, 8])):
        at = chance.randrange(max(1, len(content)))
        kind = chance.randrange(4)
        if kind == 0:
            content[at : at + 1] = chance.choice(b"]})(.NRQbstu0aehqj\x85\x86\x87\x88").to_bytes(1, "big")
        elif kind == 1 and (spots := [i for i, b in enumerate(content[:-5]) if b in b"KMJ"]):
            at = chance.choice(spots)
            content[at : at + {75: 2, 77: 3, 74: 5}[content[at]]] = chance.choice(
                [
                    b"J\xff\xff\xff\x7f",
                    b"J\0\0\0\x80",
                    b"\x8a\x08" + struct.pack("<q", 10**12),
                    b"K\0",
                    b"N",
                    b"G" + bytes(8),
                ]
            )
        elif kind == 2:
            content[at:at] = content[at : at + chance.randrange(1, 40)]
        else:
            del content[at : at + chance.randrange(1, 10)]
    return bytes(content)


def any_damage(data: bytes, chance: random.Random) -> bytes:
    """Damage that knows nothing of the format."""
    return bytes(chance.choice(MUTATIONS)(bytearray(data or b"\0"), [data or b"\0"], chance))


def seeds(folder: Path) -> dict[str, tuple[str, bytes, Damage, Read]]:
    """Of each reader the name of its file, a good one, the damage that knows the format, and the reader."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from safetensors.torch import save

    from vidcam.corpus.manifest import BadRow, ManifestError, read_manifest
    from vidcam.evaluation.activitynet import read_annotations, read_predictions
    from vidcam.models.registry import labels_of
    from vidcam.models.weights import load_into, read_state
    from vidcam.playground.clips import read_truth
    from vidcam.playground.demo import demo_clips
    from vidcam.recipe import read_config
    from vidcam.results.explanation import ExplainedTarget, Explanation
    from vidcam.results.stored import load_explanation

    network = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 3), torch.nn.BatchNorm3d(4), torch.nn.Linear(4, 2))
    stored = {"state_dict": network.state_dict(), "meta": {"size": (1, 2.5, None), "step": 10}}

    def saved(zipped: bool) -> bytes:
        file = io.BytesIO()
        torch.save(stored, file, _use_new_zipfile_serialization=zipped)
        return file.getvalue()

    def weights(path: Path) -> None:
        load_into(network, read_state(path), "weights")

    maps = np.random.default_rng(0).random((8, 7, 7), np.float32)
    explanation = Explanation(
        clip="a.mp4", model="m", weights="w", layer="l", method="gradcam++", target=ExplainedTarget(1, "a", 0.5),
        top=(("a", 0.5), ("b", 0.25)), size=(48, 64), region=(0.0, 0.0, 64.0, 48.0), times=np.arange(8) / 10, maps=maps,
        scores=maps.mean((1, 2)), evidence=maps.mean((1, 2)), window_starts=np.array([0]),
        window_scores=np.array([0.5], np.float32), windowing={"length": 8, "stride": 4, "sampling_rate": 1},
    )  # fmt: skip
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **explanation.arrays())  # type: ignore[arg-type]
    summary = json.dumps(explanation.summary(), indent=2).encode()

    def results(path: Path) -> None:
        for name, content in (("summary.json", summary), ("explanation.npz", arrays.getvalue())):
            if path.name != name:
                (path.parent / name).write_bytes(content)
        load_explanation(path.parent)

    segments = [{"label": "a", "segment": [0.5, 2], "score": 0.5}, {"label": "b", "segment": [1, 3.5], "score": 1}]
    truth = {"database": {"v": {"subset": "validation", "duration": 10.0, "annotations": segments}}}
    rows = [{"path": f"{i}.mp4", "target": "a", "start": 0.5, "end": 2.0} for i in range(5)]
    table, parquet = io.StringIO(), io.BytesIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    config = (
        b"model: {factory: 'a:b', arguments: {a: [1, 2.5]}, preprocess: {resize: [128, 171], crop: [112, 112],\n"
        b"  mean: [0.4, 0.4, 0.4], std: [0.2, 0.2, 0.2]}, frames: 16}\nlayer: auto\nstride: 4\ntarget: bowing\n"
    )

    def manifest(path: Path) -> None:
        if bad := [row for row in read_manifest(path) if isinstance(row, BadRow)]:
            raise ManifestError(bad[0].error)

    sidecar = min((clip.with_suffix(".json") for clip in demo_clips()), key=lambda p: p.stat().st_size)
    return {
        "config": ("a.yaml", config, text_damage, lambda path: read_config(path, {}, trusted=True)),
        "pth": ("a.pth", saved(True), zip_damage, weights),
        "legacy": ("a.pth", saved(False), pickle_damage, weights),
        "safetensors": ("a.safetensors", save(network.state_dict()), text_in_safetensors, weights),
        "labels": ("a.txt", b"a\nb\nc\n", any_damage, lambda path: labels_of(path, 3)),
        "npz": ("explanation.npz", arrays.getvalue(), zip_damage, results),
        "summary": ("summary.json", summary, text_damage, results),
        "sidecar": ("a.json", sidecar.read_bytes(), text_damage, read_truth),
        "annotations": ("a.json", json.dumps(truth).encode(), text_damage, read_annotations),
        "predictions": ("a.json", json.dumps({"results": {"v": segments}}).encode(), text_damage, read_predictions),
        "csv": ("a.csv", table.getvalue().encode(), text_damage, manifest),
        "jsonl": ("a.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in rows), text_damage, manifest),
        "parquet": ("a.parquet", parquet.getvalue(), any_damage, manifest),
    }


def text_in_safetensors(data: bytes, chance: random.Random) -> bytes:
    """The header, which is JSON, damaged, with its length right."""
    (length,) = struct.unpack_from("<Q", data)
    header = text_damage(data[8 : 8 + length], chance)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def most_resident() -> int:
    """MiB that this process had in memory at most."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def child(name: str, folder: Path, seed: int, count: int, start: int, pipe: Connection) -> None:
    """Read inputs from `start` on, and send before and after each what is done and what came of it."""
    from vidcam.errors import VidcamError

    file, good, knowing, read = seeds(folder)[name]
    path = folder / file
    path.write_bytes(good)
    read(path)
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is that of now
    base = most_resident()
    for index in range(start, count):
        chance = random.Random(f"{seed}-{name}-{index}")
        damaged = (knowing if chance.random() < 0.6 else any_damage)(good, chance)
        path.write_bytes(damaged)
        pipe.send(("reads", index, ""))
        try:
            read(path)
            outcome, text = "read", ""
        except VidcamError:
            outcome, text = "VidcamError", ""
        except Exception as error:
            outcome, text = "raw", f"{index}: {error!r}"[:300]
        pipe.send((outcome, most_resident() - base, text))
    pipe.send(("ended", 0, ""))


def fuzzed(name: str, count: int, seed: int, seconds: float, memory: int) -> dict[str, Any]:
    """What came of `count` damaged inputs of one reader, in processes that may die."""
    outcomes: Counter[str] = Counter()
    examples: list[str] = []
    peak = index = 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED])
    with tempfile.TemporaryDirectory() as folder:
        while index < count:
            ours, theirs = context.Pipe()
            process = context.Process(target=child, args=(name, Path(folder), seed, count, index, theirs))
            process.start()
            theirs.close()
            try:
                outcome, value, text = ours.recv() if ours.poll(60) else ("hang", 0, "at the start")
                while outcome not in ("ended", "hang"):
                    index = value + 1
                    outcome, value, text = ours.recv() if ours.poll(seconds) else ("hang", 0, f"{index - 1}")
                    outcomes[outcome] += 1
                    peak = max(peak, value)
                    examples += [f"{outcome} {text}"] if text else []
                    if outcome != "hang":
                        outcome, value, text = ours.recv()
            except EOFError:
                outcomes["crash"] += 1
                examples.append(f"crash {index - 1}")
                index = max(index, 1)
            process.kill()
            process.join()
            ours.close()
            if "hang at the start" in examples or outcomes["crash"] + outcomes["hang"] > 20:
                break
    bad = sum(outcomes[kind] for kind in ("raw", "crash", "hang"))
    return {**outcomes, "peak_mib": peak, "bad": bad + (peak > memory), "examples": examples[:5]}


READERS = [
    "config", "pth", "legacy", "safetensors", "labels", "npz", "summary", "sidecar", "annotations", "predictions", "csv",
    "jsonl", "parquet",
]  # fmt: skip


def main(
    count: Annotated[int, typer.Option(help="Inputs of each reader.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the damage.")] = 1,
    seconds: Annotated[float, typer.Option(help="An input may take.")] = 10,
    memory: Annotated[int, typer.Option(help="MiB that reading may take above what the process has.")] = 300,
    reader: Annotated[list[str], typer.Option(help="Which; all by default.")] = READERS,
) -> None:
    """Damage files, read them, and print what came of it."""
    found = {name: fuzzed(name, count, seed, seconds, memory) for name in reader}
    print(json.dumps(found, indent=2))
    raise typer.Exit(1 if any(told["bad"] for told in found.values()) else 0)


if __name__ == "__main__":
    typer.run(main)
