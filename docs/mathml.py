"""Formulas of the pages ($$ … $$ on lines of their own, $`…`$ within one) become MathML, which browsers show by themselves."""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert

_formulas: list[str] = []


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with the text of each page: a formula leaves a word that Markdown does not touch."""
    _formulas.clear()

    def put_aside(latex: str, display: str) -> str:
        _formulas.append(convert(latex, display=display))
        return f"formula{len(_formulas) - 1}elsewhere"

    markdown = re.sub(r"^\$\$\n(.+?)\n\$\$$", lambda m: put_aside(m[1], "block"), markdown, flags=re.M | re.S)
    return re.sub(r"\$`(.+?)`\$", lambda m: put_aside(m[1], "inline"), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Called with the page made of it: the formulas take the places of their words."""
    return re.sub(r"formula(\d+)elsewhere", lambda m: _formulas[int(m[1])], html)
