from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from vidcam.cli.options import with_config, with_fields
from vidcam.errors import SettingsError
from vidcam.recipe import ExplainConfig, Validated


def called(command: Any, *arguments: str) -> Any:
    """What a command that returns nothing was called with."""
    given: list[Any] = []
    app = typer.Typer()
    app.command()(command(given))
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return given[0]


def explaining(given: list[Any]) -> Any:
    @with_config(method="gradcam", without=("target",))
    def command(clip: str, config: ExplainConfig, count: int = 3) -> None:
        given.append((clip, config, count))

    return command


def test_a_command_is_called_with_the_config_of_its_options() -> None:
    clip, config, count = called(
        explaining, "a.mp4", "--stride", "4", "--frame-rate", "12.5", "--dense", "--count", "5"
    )
    assert (clip, count) == ("a.mp4", 5)
    assert config == ExplainConfig(method="gradcam", stride=4, frame_rate=12.5, dense=True)
    assert called(explaining, "a.mp4")[1] == ExplainConfig(method="gradcam")
    assert called(explaining, "a.mp4", "--methods", "layercam")[1].method == "layercam"


def test_flags_go_before_the_file_and_the_file_before_the_commands_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("method: layercam\nstride: 2\n")
    assert called(explaining, "a.mp4", "--config", str(file))[1] == ExplainConfig(method="layercam", stride=2)
    config = called(explaining, "a.mp4", "--config", str(file), "--stride", "7")[1]
    assert config == ExplainConfig(method="layercam", stride=7)
    file.write_text("model: {factory: 'os:getcwd'}\n")
    with pytest.raises(SettingsError, match="--trust-config"):
        called(explaining, "a.mp4", "--config", str(file))
    assert called(explaining, "a.mp4", "--config", str(file), "--trust-config")[1].model.factory == "os:getcwd"


def test_an_option_that_does_not_apply_is_not_there() -> None:
    parameters = inspect.signature(explaining([])).parameters
    assert "target" not in parameters and {"layer", "config_file", "trust_config", "clip", "count"} <= set(parameters)
    assert "config" not in parameters
    kinds = {name: get_args(get_args(parameters[name].annotation)[0])[0] for name in ("stride", "frame_rate", "dense")}
    assert kinds == {"stride": int, "frame_rate": float, "dense": bool}


class Sizes(Validated):
    height: int = Field(default=2, gt=0, description="Of a box.")


def test_the_fields_of_any_model_can_be_options() -> None:
    def sizing(given: list[Any]) -> Any:
        @with_fields("sizes", Sizes, "box_")
        def command(sizes: Sizes) -> None:
            given.append(sizes)

        return command

    assert called(sizing) == Sizes() and called(sizing, "--box-height", "5") == Sizes(height=5)
    with pytest.raises(SettingsError, match=r"height: Input should be greater than 0 \(given: 0\)"):
        called(sizing, "--box-height", "0")
