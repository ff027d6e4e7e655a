"""The page of the command line, made from the commands themselves when the site is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from vidcam import cli
from vidcam.recipe import ExplainConfig

_SHARED = {*ExplainConfig.model_fields, "config_file", "trust_config"}


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return the text of a page; that of the command line gets its commands. Called by MkDocs with each page."""
    return f"{markdown}\n{commands_page()}" if page.file.src_uri == "command-line.md" else markdown


def commands_page() -> str:
    """Return a section for each command as Markdown, and one for the options that all commands share that explain."""
    explain = next(command for name, command in commands() if name == "explain")
    shared = {p.name: p for p in explain.params if p.name in _SHARED}
    parts = ["## Options of explanations", _table(shared.values())]
    for name, command in commands():
        own = [p for p in command.params if p.name not in shared and p.name != "help"]
        takes = [p for p in command.params if p.name in shared]
        if len(takes) < len(shared) / 2:  # such as a --method of its own
            own, takes = [*own, *takes], []
        usage = " ".join(p.metavar or p.name.upper() for p in own if not _is_option(p))
        parts += [f"## vidcam {name}", _text(command.help), f"    vidcam {name} {usage}".rstrip(), _table(own)]
        if takes:
            parts.append(_shared_options({p.name: p for p in takes}, shared))
    return "\n\n".join(filter(None, parts)) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Yield each command with its name, such as "evaluate sanity"."""

    def within(group: Any, name: str) -> Iterator[tuple[str, Any]]:
        for part, command in group.commands.items():
            full = f"{name} {part}".strip()
            yield from within(command, full) if hasattr(command, "commands") else [(full, command)]

    yield from within(typer.main.get_command(cli.app), "")


def default_of(parameter: Any) -> str:
    """Return the default of an option as its help shows it; "" if it has none, as flags that are off."""
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    return "" if parameter.default in (None, False) or parameter.required else str(parameter.default)


def _is_option(parameter: Any) -> bool:
    return parameter.opts[0].startswith("-")


def _shared_options(takes: dict[str, Any], shared: dict[str, Any]) -> str:
    """Return the sentence that says which of the shared options a command has, and its own defaults of them."""
    missing = [f"`{p.opts[0]}`" for name, p in shared.items() if name not in takes]
    other = [f"`{p.opts[0]} {default_of(p)}`" for n, p in takes.items() if default_of(p) != default_of(shared[n])]
    text = "It also has the [options of explanations](#options-of-explanations)"
    text += f", except {', '.join(missing)}" if missing else ""
    return text + (f"; by default {', '.join(other)}." if other else ".")


def _table(parameters: Any) -> str:
    rows = []
    for p in parameters:
        names = (
            ", ".join(f"`{name}`" for name in (*p.opts, *p.secondary_opts))
            if _is_option(p)
            else f"`{p.metavar or p.name.upper()}`"
        )
        default = "required" if p.required else (f"`{default_of(p)}`" if default_of(p) else "")
        rows.append(f"| {names} | {default} | {_text(p.help)} |")
    return "\n".join(["| option | default | |", "|---|---|---|", *rows]) if rows else ""


def _text(text: str | None) -> str:
    """Return a help text with the characters escaped that tables and Markdown would read."""
    return (text or "").replace("|", "\\|").replace("<", "&lt;")
