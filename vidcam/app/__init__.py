"""The local page: drop a clip, choose a class, see the report, download everything.

The names here are imported on first use, so that the process that explains clips does not import the web server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidcam.app.limits import Limits

if TYPE_CHECKING:
    from vidcam.app.server import application, serve

__all__ = ["Limits", "application", "serve"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vidcam.app import server

    return getattr(server, name)
