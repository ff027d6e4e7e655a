from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Vidcam


def test_playground_render(vidcam: Vidcam, tmp_path: Path) -> None:
    arguments = ("playground", "render", "--out", tmp_path, "--seed", "4", "--count", "2", "--frames", "16")
    assert vidcam(*arguments).returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["4-0000.json", "4-0000.mp4", "4-0001.json", "4-0001.mp4"]
    assert vidcam(*arguments).returncode == 2
