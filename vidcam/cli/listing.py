"""Commands that list networks, methods and layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from textwrap import fill
from typing import Annotated

import typer

from vidcam.cli.options import Json
from vidcam.cli.printing import plain, print_json, stdout

commands = typer.Typer()


@commands.command()
def models(as_json: Json = False) -> None:
    """List the networks that can be named."""
    from rich.table import Table

    from vidcam.models.huggingface import FAMILIES
    from vidcam.models.registry import image_model_names, model_names, spec_named

    specs = [spec_named(name) for name in model_names()]
    if as_json:
        rows = [
            {
                "name": s.name,
                "classes": s.num_classes,
                "frames": s.frames,
                "layer": s.layer,
                "method": s.default_method,
                "source": s.source,
            }
            for s in specs
        ]
        print_json([*rows, *({"name": name} for name in image_model_names())])
        return
    table = Table("model", "classes", "frames", "per s", "default layer", "method", box=None)
    for column, width in zip(table.columns, (22, 7, 6, 5, 19, 9)):
        column.width, column.overflow = width, "fold"
    for s in specs:
        rate = f"{s.frame_rate:g}" if s.frame_rate else "any"
        table.add_row(s.name, str(s.num_classes), str(s.frames), rate, s.layer.replace(",", ",\n"), s.default_method)
    stdout.print(table, end="\n\n")
    for source, of_source in groupby(specs, lambda spec: spec.source):
        _print_paragraph(f"{', '.join(s.name for s in of_source)}: {source}")
    _print_paragraph(
        f"hf:ORG/NAME, or hf:./FOLDER that save_pretrained wrote (pip install 'vidcam[hf]'): {', '.join(FAMILIES)}"
    )
    _print_paragraph(f"image classifiers, frame by frame: {', '.join(image_model_names())}")


def _print_paragraph(text: str) -> None:
    """Print a text in lines of 80 characters at most, all but the first indented."""
    stdout.print(fill(plain(text), 80, subsequent_indent="  ", break_on_hyphens=False))


@commands.command()
def methods() -> None:
    """List the methods, each with its source."""
    from vidcam.cam.input_methods import INPUT_METHODS
    from vidcam.cam.methods import METHODS

    for name, method in {**METHODS, **INPUT_METHODS}.items():
        stdout.print(f"[bold]{name}[/]  {plain((method.__doc__ or '').splitlines()[0])}")


@commands.command()
def layers(model: Annotated[str, typer.Argument(help="A name from `vidcam models`.")], as_json: Json = False) -> None:
    """List the layers of a network that can be explained: output, stride and receptive field in its window."""
    from rich.table import Table

    from vidcam.fit import layers_of
    from vidcam.models.registry import load_model

    loaded = load_model(model, "none")
    default = loaded.spec.layer.split(",")
    found = layers_of(loaded)
    if as_json:
        rows = [
            {
                "layer": name,
                "shape": list(layer.shape),
                "stride": list(layer.receptive_field.stride),
                "field": list(layer.receptive_field.field) if layer.receptive_field.field else None,
                "default": name in default,
            }
            for name, layer in found.items()
        ]
        print_json(rows)
        return
    table = Table("layer", "module", "channels", "TxHxW", "stride", "receptive field", "", box=None)
    for name, layer in found.items():
        channels, *extent = layer.shape
        field = _by(layer.receptive_field.field) if layer.receptive_field.field else "all"
        mark = "default" if name in default else ""
        table.add_row(name, layer.kind, str(channels), _by(extent), _by(layer.receptive_field.stride), field, mark)
    stdout.print(table)


def _by(extent: Sequence[int]) -> str:
    return "x".join(map(str, extent))


@commands.command()
def doctor() -> None:
    """Print what a bug report needs, and check that every part vidcam depends on works."""
    from vidcam.cli.doctor import findings

    healthy = True
    for finding in findings():
        healthy &= finding.fine
        mark = "[green]ok[/]" if finding.fine else "[bold red]no[/]"
        stdout.print(f"{mark}  {plain(finding.subject):<24} {plain(finding.detail)}")
    if not healthy:
        raise typer.Exit(1)
