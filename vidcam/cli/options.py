"""Options that commands share. Every field of `Recipe` is an option of every command that explains."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer
from pydantic.fields import FieldInfo

from vidcam.recipe import ExplainConfig, Recipe, Validated, read_config

CLIP = "A video file, a URL, or a folder of pictures."
Clips = Annotated[list[str], typer.Argument(help=CLIP, metavar="CLIP...")]
Out = Annotated[
    Path | None,
    typer.Option(help="Directory for the outputs; several clips get one each inside.", show_default="vidcam-out/CLIP"),
]
OneClip = Annotated[str, typer.Argument(help=CLIP, metavar="CLIP")]
OneOut = Annotated[Path | None, typer.Option(help="Directory for the outputs.", show_default="vidcam-out/CLIP")]
Json = Annotated[bool, typer.Option("--json", help="Print a line of JSON for each result, and nothing else.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]

OF_PICTURES = ("colormap", "opacity", "opacity_power", "style")
OF_FILMS = ("format", "film_width", "film_rate", "highlights")
"""Fields of `Recipe` that commands without pictures, or without an overlay film, have no option for."""

_ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML file with these settings; flags override it.", show_default="none")
]
_TrustConfig = Annotated[bool, typer.Option("--trust-config", help="Allow the file to name code to run.")]

Command = Callable[..., None]


def with_config(*, without: Collection[str] = (), **defaults: Any) -> Callable[[Command], Command]:
    """Return a decorator that gives a command an option for each field of `ExplainConfig`, and --config.

    The command is called with a `config`.

    Args:
        without: fields that do not apply to the command.
        **defaults: the command's own defaults of fields.
    """
    names = sorted(ExplainConfig.model_fields, key=lambda name: name in Recipe.model_fields)  # the network first
    fields = {name: ExplainConfig.model_fields[name] for name in names if name not in without}
    options = {name: _option(name, field, defaults.get(name, field.default)) for name, field in fields.items()}
    options |= {"config_file": (_ConfigFile, None), "trust_config": (_TrustConfig, False)}

    def made(given: dict[str, Any]) -> ExplainConfig:
        file, trusted = given.pop("config_file"), given.pop("trust_config")
        return read_config(file, given, defaults=defaults, trusted=trusted)

    return _with("config", options, made)


def with_fields(parameter: str, model: type[Validated], prefix: str = "") -> Callable[[Command], Command]:
    """Return a decorator that gives a command an option for each field of a model.

    Args:
        parameter: the command's parameter that receives the instance of the model.
        model: its fields have descriptions.
        prefix: of the options' names.
    """
    options = {f"{prefix}{name}": _option(name, field, field.default) for name, field in model.model_fields.items()}

    def made(given: dict[str, Any]) -> Validated:
        return model(**{name.removeprefix(prefix): value for name, value in given.items() if value is not None})

    return _with(parameter, options, made)


def _with(
    parameter: str, options: dict[str, tuple[Any, Any]], made: Callable[[dict[str, Any]], Any]
) -> Callable[[Command], Command]:
    """Return a decorator that replaces a parameter of a command by options; `made` returns its value from theirs."""

    def decorator(command: Command) -> Command:
        @wraps(command)
        def run(**given: Any) -> None:
            value = made({name: given.pop(name) for name in options})
            command(**given, **{parameter: value})

        hints = get_type_hints(command, include_extras=True)
        parameters = []
        for name, old in inspect.signature(command).parameters.items():
            new = options.items() if name == parameter else [(name, (hints[name], old.default))]
            parameters += [
                inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
                for n, (kind, default) in new
            ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorator


def _option(name: str, field: FieldInfo, default: Any) -> tuple[Any, Any]:
    """Return the annotation and default of the option of a field; None means that the user did not give it."""
    shown = default is not None and str(default)
    flags = ["--method", "--methods"] if name == "method" else []
    kind = _kind(field)
    if kind is bool:
        on, off = name.replace("_", "-"), f"no-{name.replace('_', '-')}"
        flags, shown = [f"--{on}/--{off}"], on if default else off
    return Annotated[kind | None, typer.Option(*flags, help=field.description, show_default=shown)], None


def _kind(field: FieldInfo) -> Any:
    """Return the type that the command line parses a field as: the field's own if int, float or bool, else str."""
    kinds = _members(field.annotation) - {type(None)}
    return kinds.pop() if len(kinds) == 1 and kinds <= {int, float, bool} else str


def _members(annotation: Any) -> set[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin is Union or origin is type(int | str):
        return {member for part in get_args(annotation) for member in _members(part)}
    return {annotation}
