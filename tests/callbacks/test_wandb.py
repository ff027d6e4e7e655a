"""The directory of a run in offline mode is read by Weights & Biases' own reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.callbacks.conftest import Net, explainer_of
from vidcam.callbacks import explain_clips, log_to_wandb

wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install 'vidcam[wandb]'")


def history(folder: Path) -> list[dict[str, Any]]:
    """The rows that a run of offline mode logged."""
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    (file,) = folder.rglob("run-*.wandb")
    store, rows = DataStore(), []
    store.open_for_scan(str(file))
    while (data := store.scan_data()) is not None:
        record = Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


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
        video = row[f"explanations/{clip.name}"]
        assert video["_type"] == "video-file" and video["size"] == len(clip.film)
        (file,) = (tmp_path / "wandb").rglob(Path(video["path"]).name)
        assert file.read_bytes() == clip.film
    assert row["_step"] == 3
