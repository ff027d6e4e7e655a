from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from vidcam.errors import SettingsError
from vidcam.explainer import Explainer
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import spec_named
from vidcam.recipe import ExplainConfig, LocalizeSettings, OwnModelConfig, Recipe, Settings, read_config
from vidcam.results.drawing import Drawing

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
        ("modle: c3d", r"a\.yaml: there is no setting 'modle'; did you mean model\?"),
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


_OWN = "model: {factory: 'a:b', preprocess: {resize: 2, crop: [1, 2], mean: [0, 0, 0], std: [1, 1, 1]}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stride: 0x" + "f" * 1900, "stride: Input should be less than"),
        ("2024-01-01: 3", "there is no setting '2024-01-01'"),
        ('"a\\e[31m": 1', r"there is no setting 'a\\x1b\[31m'"),
        (_OWN.replace("resize: 2", "resize: 1000000000000"), "resize"),
        (_OWN.replace("crop: [1, 2]", "crop: [0, 2]"), r"crop\.0: Input should be greater"),
        (_OWN.replace("mean: [0,", "mean: [.nan,"), r"mean\.0: Input should be a finite number"),
        (_OWN.replace("std: [1,", "std: [0,"), r"std\.0: Input should be greater"),
        ("model: {factory: 'a:b', frames: 1000000000000}", r"model\.frames"),
        ("model: {factory: 'a:b', frame_rate: .inf}", r"model\.frame_rate"),
        ("model: {factory: 'a:b', grid: [1, -1, 1]}", r"model\.grid\.1"),
        ("model: {factory: 'a:b', layout: n c}", "the layout 'n c' is not understood"),
        ("model: {factory: 'a:b', grid: [1, 2, 3]}", r"the grid \(1, 2, 3\) has no layout"),
        ("x" * 900 + ": 1", "there is no setting 'xxx"),
        ("layer: [" + "a," * 500 + "]", "layer: Input should be a valid string"),
    ],
    ids=range(14),
)
def test_values_that_cannot_be_are_shown_in_a_short_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        read_config(tmp_path / "a.yaml", {})
    assert len(str(caught.value)) < 1000 + len(str(tmp_path)) and str(caught.value).isprintable()


def test_code_in_a_config_is_run_only_where_it_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(_OWN)
    with pytest.raises(SettingsError, match=r"names code to run \(factory 'a:b'\).*--trust-config"):
        read_config(tmp_path / "a.yaml")
    assert isinstance(read_config(tmp_path / "a.yaml", trusted=True).model, OwnModelConfig)


def test_keywords_a_file_and_a_recipe_agree(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "layer": "layer2", "method": "gradcam,shapley", "fusion": "max", "stride": 3, "sampling_rate": 2,
        "frame_rate": 12.5, "factor": "exp", "context": False, "dtype": "float32", "dense": False, "check": False, "device": "cpu",
        "evidence": "motion", "colormap": "viridis", "opacity": 0.5, "opacity_power": 2.0, "style": "heat", "format": "gif,png",
        "film_width": 480, "film_rate": 12.5, "highlights": True,
        "absent": "grey", "passes": 90, "stretches": 5,
    }  # fmt: skip
    assert set(settings) == set(Recipe.model_fields)
    recipe = Recipe(**settings)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(settings))
    config = read_config(tmp_path / "a.yaml")
    assert {name: getattr(config, name) for name in Recipe.model_fields} == dict(recipe) == settings
    assert read_config(None, settings) == config
    assert recipe.drawing == Drawing("viridis", 0.5, 2.0, "heat", "gif,png", 480, 12.5, True)
    assert Explainer(recipe=recipe).recipe == recipe == Recipe().changed(**settings)


def test_kinds_of_evidence(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("evidence: motion, appearance,motion")
    for recipe in (read_config(tmp_path / "a.yaml"), Recipe(evidence="motion, appearance,motion")):
        assert recipe.evidences == ("motion", "appearance")
    assert Recipe().evidences == ("whole",)
    with pytest.raises(SettingsError, match="there is no evidence 'sound'; choose one of whole, motion, appearance"):
        read_config(None, {"evidence": "motion,sound"})


def test_the_keywords_are_the_fields_of_a_recipe() -> None:
    assert set(Settings.__annotations__) == set(Recipe.model_fields)
    assert set(LocalizeSettings.__annotations__) == set(Recipe.model_fields) - {"evidence", "check"} - set(
        vars(Drawing())
    )
    assert not Settings.__required_keys__


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fusion": "median"}, "there is no fusion 'median'; choose one of mean, max"),
        ({"fusion": "Mean"}, "there is no fusion 'Mean'; choose one of mean, max"),
        ({"fusion": None}, r"fusion: .*\(given: None\)"),
        ({"dtype": "float8"}, r"dtype: Input should be 'auto', 'float32', 'bfloat16' or 'float16' \(given: 'float8'\)"),
        ({"dtype": "half"}, "dtype: Input should be 'auto'"),
        ({"method": "gradcan"}, "there is no method 'gradcan'; choose one of .*gradcam"),
        ({"method": "gradcam,"}, "there is no method ''"),
        ({"method": 7}, r"method: .*\(given: 7\)"),
        ({"strid": 2}, r"there is no setting 'strid'; did you mean stride\? settings are layer, method"),
        ({"layers": "layer3"}, r"there is no setting 'layers'; did you mean layer\?"),
        ({"zzz": 1}, "there is no setting 'zzz'; settings are layer, method"),
        ({"stride": True}, r"stride: .*\(given: True\)"),
        ({"stride": 2.0}, r"stride: .*\(given: 2\.0\)"),
        ({"stride": "2"}, r"stride: .*\(given: '2'\)"),
        ({"stride": 0}, "stride: Input should be greater than or equal to 1"),
        ({"sampling_rate": np.int64(0)}, "sampling_rate: Input should be greater than or equal to 1"),
        ({"sampling_rate": np.float32(2)}, "sampling_rate"),
        ({"stride": np.bool_(True)}, "stride"),
        ({"frame_rate": 0}, "frame_rate: Input should be greater than or equal to 0.01"),
        ({"frame_rate": float("nan")}, "frame_rate"),
        ({"frame_rate": 1e6}, "frame_rate: Input should be less than 1000000"),
        ({"dense": 1}, r"dense: .*\(given: 1\)"),
        ({"dense": "yes"}, r"dense: .*\(given: 'yes'\)"),
        ({"layer": ""}, "layer: String should have at least 1 character"),
        (
            {"absent": "black"},
            "there is no kind of absence 'black'; choose one of auto, frozen, neighbour, blurred, frozen-blurred, grey",
        ),
        ({"passes": 0}, "passes: Input should be greater than or equal to 1"),
        ({"stretches": 2.5}, r"stretches: .*\(given: 2\.5\)"),
        ({"device": "x" * 100}, "device: String should have at most 64"),
    ],
    ids=str,
)
def test_wrong_literals(settings: dict[str, Any], message: str) -> None:
    for make in (Recipe, lambda **s: Recipe().changed(**s)):
        with pytest.raises(SettingsError, match=message):
            make(**settings)


def test_whole_numbers_of_other_packages_are_numbers() -> None:
    made = Recipe(stride=np.int64(4), sampling_rate=np.uint8(2), frame_rate=np.float32(12.5))
    assert made == Recipe(stride=4, sampling_rate=2, frame_rate=12.5)
    assert (type(made.stride), type(made.sampling_rate), type(made.frame_rate)) == (int, int, float)
    assert Recipe(frame_rate=25).frame_rate == 25.0


def test_a_recipe_does_not_change() -> None:
    recipe = Recipe(method="gradcam, gradcam++ ,gradcam", stride=3)
    assert Explainer(recipe=recipe).methods == ("gradcam", "gradcam++")
    with pytest.raises(ValueError, match="frozen"):
        recipe.stride = 2  # type: ignore[misc]
    changed = recipe.changed(stride=5)
    assert (changed.stride, changed.method, recipe.stride) == (5, recipe.method, 3)
    config = ExplainConfig(model="r3d_18", target=3).changed(stride=2)
    assert isinstance(config, ExplainConfig) and (config.model, config.target, config.stride) == ("r3d_18", 3, 2)


def test_a_config_loads_its_model_with_labels_and_device(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(f"l{i}" for i in range(11)))
    model = ExplainConfig(model="playground-c3d", weights="none", labels=str(tmp_path / "labels.txt")).load()
    assert model.labels[3] == "l3" and "random weights" in model.note
    with pytest.raises(SettingsError, match="there is no device 'tpu'"):
        ExplainConfig(model="playground-c3d", device="tpu").load()


def test_a_config_loads_a_network_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_recipe_network.py").write_text(
        "from torch import nn\n"
        "def build(classes):\n"
        "    return nn.Sequential(nn.Conv3d(3, 4, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, classes))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = read_config(
        None,
        {
            "model": {
                "factory": "my_recipe_network:build", "arguments": {"classes": 5}, "frames": 8, "frame_rate": 12.5,
                "preprocess": {"resize": 20, "crop": [16, 16], "mean": [0, 0, 0], "std": [1, 1, 1]},
            }
        },
        trusted=True,
    )  # fmt: skip
    model = config.load()
    assert len(model.labels) == 5 and (model.spec.frames, model.spec.frame_rate) == (8, 12.5)
    assert model.spec.preprocess == Preprocess(20, (16, 16), (0.0,) * 3, (1.0,) * 3)


def test_a_config_that_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "none.yaml", tmp_path / "a\0b"):
        with pytest.raises(SettingsError, match="cannot be read"):
            read_config(path, {})
