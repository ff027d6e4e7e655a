from __future__ import annotations

from pathlib import Path

import pytest

from vidcam.config import ExplainConfig, OwnModelConfig, read_config
from vidcam.errors import SettingsError
from vidcam.models.registry import spec_named

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_shipped_configs(path: Path) -> None:
    model = read_config(path, {}, trusted=True).model
    assert model.factory == "my_package.networks:build" if isinstance(model, OwnModelConfig) else spec_named(model)


def test_flags_go_on_top(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model: r3d_18\nstride: 4\n")
    config = read_config(tmp_path / "a.yaml", {"stride": 2, "layer": None})
    assert config == ExplainConfig(model="r3d_18", stride=2)
    assert read_config(None, {}) == ExplainConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle: c3d", "modle: Extra inputs are not permitted"),
        ("stride: fast", "stride: Input should be a valid integer"),
        ("stride: 0", "stride: Input should be greater than or equal to 1"),
        ("- a\n- b", "holds a list"),
        ("a: [", "cannot be read"),
        ("!!python/object/apply:print ['run']", "cannot be read"),
    ],
)
def test_wrong_configs(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_config(tmp_path / "a.yaml", {})
