from __future__ import annotations

import time
from pathlib import Path

import pytest

from vidcam.errors import SettingsError
from vidcam.models.registry import spec_named
from vidcam.recipe import ExplainConfig, OwnModelConfig, read_config

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


_ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
_OWN = "model: {factory: 'a:b', preprocess: {resize: 2, crop: [1, 2], mean: [0, 0, 0], std: [1, 1, 1]}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_ALIASES, r"line 2 uses \*a0; write the value out"),
        ("a: &a 1\n<<: {b: *a}", r"uses \*a; write"),
        ("stride: " + "9" * 5000, "more than 2,000 letters"),
        ("stride: 0x" + "f" * 5000, "more than 2,000 letters"),
        ("stride: 0x" + "f" * 1900, "stride: Input should be less than"),
        ("stride: !!int 'abc'", "cannot be read"),
        ("model: 2024-99-99", "cannot be read"),
        ("model: !!timestamp x", "cannot be read"),
        ("dense: !!bool y", "cannot be read"),
        ("? [a]\n: b", "cannot be read"),
        ("a: " + "[" * 30_000 + "]" * 30_000, "nested deeper than 20 levels"),
        ("- " * 100_000, "nested deeper than 20 levels"),
        ("{a: " * 30_000, "nested deeper than 20 levels"),
        ("[" + "a," * 120_000 + "]", "more than 10,000 values"),
        ("a: " + "b" * 300_000, "has more than 262,144 bytes"),
        ("2024-01-01: 3", "Keys should be strings"),
        ('"a\\e[31m": 1', r"a\\x1b\[31m: Extra inputs"),
        (_OWN.replace("resize: 2", "resize: 1000000000000"), "resize"),
        (_OWN.replace("crop: [1, 2]", "crop: [0, 2]"), r"crop\.0: Input should be greater"),
        (_OWN.replace("mean: [0,", "mean: [.nan,"), r"mean\.0: Input should be a finite number"),
        (_OWN.replace("std: [1,", "std: [0,"), r"std\.0: Input should be greater"),
        ("model: {factory: 'a:b', frames: 1000000000000}", r"model\.frames"),
        ("model: {factory: 'a:b', frame_rate: .inf}", r"model\.frame_rate"),
        ("model: {factory: 'a:b', grid: [1, -1, 1]}", r"model\.grid\.1"),
    ],
    ids=range(24),
)
def test_configs_that_cost_more_than_they_say(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    began = time.perf_counter()
    with pytest.raises(SettingsError, match=message) as caught:
        read_config(tmp_path / "a.yaml", {})
    assert time.perf_counter() - began < 5
    assert len(str(caught.value)) < 1000 + len(str(tmp_path)) and str(caught.value).isprintable()


def test_a_config_that_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "none.yaml", tmp_path / "a\0b"):
        with pytest.raises(SettingsError, match="cannot be read"):
            read_config(path, {})
