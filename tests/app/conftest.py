"""Modules that the server would load in its own thread, loaded beforehand.

pytest rewrites the assertions of anyio and hypothesis as they are loaded. Two threads that do so at once end in a
SystemError of Python 3.11 ("AST constructor recursion depth mismatch").
"""

from __future__ import annotations

import pkgutil
from contextlib import suppress
from importlib import import_module

import anyio
import hypothesis

for package in (anyio, hypothesis):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda name: None):
        if not module.name.rpartition(".")[2].startswith("__"):
            with suppress(Exception):  # of a backend or an extra that is not installed
                import_module(module.name)
with suppress(ImportError):
    import_module("pydantic.v1")
