"""HTML pages from the templates of this folder."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jinja2

from vidcam.untrusted.text import printable


def render_template(
    template: str,
    *,
    styles: tuple[str, ...] = ("page.css",),
    scripts: tuple[str, ...] = (),
    data: Any = None,
    **values: Any,
) -> str:
    """Return a page from a template of this folder, with their style sheets and scripts; text among the values is escaped.

    Args:
        template: name of the template.
        styles: names of the style sheets of this folder.
        scripts: names of the scripts of this folder that the page runs, as one.
        data: what the scripts read, ready for JSON.
        values: what the template shows.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, finalize=_without_controls
    )
    return environment.from_string(_packaged(template)).render(
        style="\n".join(map(_packaged, styles)),
        script="\n".join(map(_packaged, scripts)),
        # In a script element only "</" and "<!--" end or change it: no "<" is left in the data.
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        **values,
    )


def _without_controls(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # what a template calls safe is a Markup


def _packaged(name: str) -> str:
    return (files("vidcam.export") / name).read_text(encoding="utf-8")
