"""What `vidcam corpus run` promises, tried on many clips: `python scripts/corpus.py killed|engines --clips DIR --out DIR`.

The clips are any folder of MP4 files; `vidcam playground render --out DIR --count 500` makes one.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer

app = typer.Typer(add_completion=False, no_args_is_help=True)
Clips = Annotated[Path, typer.Option(help="A folder of MP4 files.")]
Out = Annotated[Path, typer.Option(help="A directory for the runs; those in it are deleted.")]


POISON = [
    '{"path": "cut off',
    '{"path": "missing.mp4"}',
    '{"path": "truncated.mp4"}',
    '{"path": "http://[bad/clip.mp4"}',
    '{"path": "truncated.mp4", "start": 3, "end": 1}',
    '{"path": "truncated.mp4", "target": "\\ud800"}',
]
"""Rows that cannot be explained; each fails alone."""


def _command(clips: Path, out: Path, count: int, options: list[str], poison: list[str]) -> list[str]:
    """A fresh run's command line; its directory is gone. The bad rows stand among the clips at equal distances."""
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    manifest = out.parent / f"{count}.jsonl"
    paths = sorted(clips.resolve().glob("*.mp4"))[:count]
    if len(paths) < count:
        raise typer.BadParameter(f"{clips} holds {len(paths)} clips, not {count}")
    (manifest.parent / "truncated.mp4").write_bytes(paths[0].read_bytes()[:1000])
    rows = [json.dumps({"path": str(path)}) for path in paths]
    for index, row in enumerate(poison):
        rows.insert(index * (count // len(poison) + 1), row)
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    run = [sys.executable, "-m", "vidcam.cli", "corpus", "run", str(manifest), "--out", str(out), "--dtype", "bfloat16"]
    return [*run, "--json", *options]


def _finished(command: list[str]) -> dict[str, Any]:
    """What a run says of itself; it ends with 0, or with 1 where rows failed."""
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode not in (0, 1):
        raise RuntimeError(f"the run ended with {run.returncode}: {run.stderr[-2000:]}")
    tally: dict[str, Any] = json.loads(run.stdout)
    return tally


def _table(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(out / "results.parquet").drop_columns(["timings"]).to_pylist()
    return rows


@app.command()
def killed(clips: Clips, out: Out, count: int = 500, kills: int = 10, seed: int = 0, workers: int = 2) -> None:
    """Kill a run (SIGKILL) at random moments, go on, and compare its table with that of an undisturbed run.

    Some of the rows are bad ones: each of them, too, has to stand in the table once.
    """
    chance, options = random.Random(seed), ["--workers", str(workers)]
    _finished(_command(clips, out / "undisturbed", count, options, POISON))
    command = _command(clips, out / "killed", count, options, POISON)
    done, moments, redone = {}, [], 0

    def look() -> int:
        """How many results there are; how many of those seen before were written again."""
        nonlocal redone
        for path in (out / "killed").glob("clips/*/*/result.json"):
            written = path.stat().st_mtime_ns
            redone += done.get(path, written) != written
            done[path] = written
        return len(done)

    for kill in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until = chance.randrange(len(done), len(done) + 2 * (count - len(done)) // (kills - kill + 1) + 1)
        while look() < until and process.poll() is None:
            time.sleep(0.05)
        time.sleep(chance.random())  # in the middle of something
        process.kill()
        process.communicate()
        moments.append(look())
    before = len(done)
    last = _finished(command)
    look()
    table = _table(out / "killed")
    same = table == _table(out / "undisturbed")
    once = len(table) == len({row["id"] for row in table}) == len(done) == count + len(POISON)
    kinds = Counter(row["error_kind"] or "explained" for row in table)
    left = [p.name for p in (out / "killed").rglob("*") if p.name.startswith(".work") or p.name.endswith(".part")]
    told = {"clips": count, "bad_rows": len(POISON), "killed_after": moments, "done_before": before}
    told |= {"done_by_the_last": last["done"], "rows": len(table), "each_row_once": once, "outcomes": kinds}
    print(json.dumps({**told, "done_twice": redone, "left_behind": left, "same_table": same}))
    raise typer.Exit(0 if same and once and not redone and not left else 1)


@app.command()
def engines(clips: Clips, out: Out, count: int = 200) -> None:
    """Compare the tables and the throughput of one and two workers, local and on Ray."""
    tables, rates = {}, {}
    for name, options in {
        "local, 1 worker": ["--workers", "1"],
        "local, 2 workers": ["--workers", "2"],
        "ray, 1 worker": ["--engine", "ray", "--workers", "1"],
        "ray, 2 workers": ["--engine", "ray", "--workers", "2"],
    }.items():
        place = out / name.replace(", ", "-").replace(" ", "-")
        began = time.perf_counter()
        _finished(_command(clips, place, count, options, []))
        whole = time.perf_counter() - began
        written = sorted(p.stat().st_mtime for p in place.glob("clips/*/*/result.json"))
        tables[name] = _table(place)
        steady = (len(written) - 1) / (written[-1] - written[0])  # without the loading before the first result
        rates[name] = {"seconds": round(whole, 1), "clips_per_second": round(steady, 2)}
    first = tables["local, 1 worker"]
    print(
        json.dumps({"clips": count, **rates, "same_tables": all(table == first for table in tables.values())}, indent=2)
    )


if __name__ == "__main__":
    app()
