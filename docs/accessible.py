"""Names for parts of MkDocs Material's pages that screen readers would call by nothing."""

from __future__ import annotations

from typing import Any

_NAMES = {
    'data-md-component="search" role="dialog"': "Search",
    'data-md-toggle="drawer" type="checkbox"': "Navigation",
    'data-md-toggle="search" type="checkbox"': "Search",
}


def on_post_page(output: str, **_: Any) -> str:
    """Return a page with these names. Called by MkDocs with each page."""
    for attributes, name in _NAMES.items():
        output = output.replace(attributes, f'{attributes} aria-label="{name}"')
    return output
