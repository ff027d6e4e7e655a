"""The directory of a run in offline mode is read again: its records by the protocol of wandb itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.callbacks.conftest import Net, explainer_of
from vidcam.callbacks import explain_clips, log_to_wandb

wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install 'vidcam[wandb]'")


def history(folder: Path) -> list[dict[str, Any]]:
    """The rows that a run of offline mode logged, its records parsed by wandb's own protocol."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.rglob("run-*.wandb")
    rows = []
    for data in records(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


def records(data: bytes) -> Iterator[bytes]:
    """The records of a log of LevelDB's format: blocks of 32 KiB, of chunks with checksum, length and kind."""
    position, whole = 7, b""  # after the file's own header
    while position + 7 <= len(data):
        if (left := 2**15 - position % 2**15) < 7:
            position += left
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        whole += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield whole
            whole = b""


@pytest.mark.slow
def test_videos_and_scores_are_in_the_run(
    network: Net, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    explained = list(explain_clips(explainer_of(network), clips))
    run = wandb.init(project="test", dir=str(tmp_path), mode="offline")
    log_to_wandb(run, explained, step=3)
    run.finish()
    (row,) = history(tmp_path / "wandb")
    for clip in explained:
        assert row[f"explanations/{clip.name}/score"] == pytest.approx(clip.score)
        assert row[f"explanations/{clip.name}/_type"] == "video-file"
        (file,) = (tmp_path / "wandb").rglob(Path(row[f"explanations/{clip.name}/path"]).name)
        assert file.read_bytes() == clip.film
    assert row["_step"] == 3
