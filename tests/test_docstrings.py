"""Docstrings of vidcam say what a thing is or does, what it returns and what it raises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

import vidcam

PACKAGE = Path(vidcam.__file__).parent

QUESTION = re.compile(r"(What|Whether|How|Of|If|When|May)\b")
RETURNS = re.compile(r"^(Return|Yield|Raise)\b|\band (return|yield)\b|^(Returns|Yields):$", re.MULTILINE)
RAISES = re.compile(r"^Raises:$|^Raise\b", re.MULTILINE)

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Documented: TypeAlias = ast.Module | ast.ClassDef | Function


@dataclass(frozen=True)
class Item:
    """A module, class, function or method, and the class around it."""

    place: str
    node: Documented
    owner: ast.ClassDef | None = None

    @property
    def docstring(self) -> str:
        return ast.get_docstring(self.node) or ""

    @property
    def decorators(self) -> str:
        return "" if isinstance(self.node, ast.Module) else " ".join(map(ast.unparse, self.node.decorator_list))


def items_of(source: str, place: str) -> Iterator[Item]:
    """Yield a module and everything in it that has a docstring or is public, but no function inside another one."""
    module = ast.parse(source)
    yield Item(place, module)

    def inside(body: list[ast.stmt], owner: ast.ClassDef | None, prefix: str) -> Iterator[Item]:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{prefix}{node.name}"
                yield Item(f"{place}: {name}", node, owner)
                if isinstance(node, ast.ClassDef):
                    yield from inside(node.body, node, f"{name}.")

    yield from inside(module.body, None, "")


def problems(source: str, place: str) -> Iterator[str]:
    """Yield a line for each docstring of a module that misses something."""
    for item in items_of(source, place):
        if not item.docstring:
            if _is_public(item):
                yield f"{item.place} has no docstring"
            continue
        summary = item.docstring.split("\n", 1)[0]
        if QUESTION.match(summary):
            yield f"{item.place} begins with a question: {summary!r}; begin with what it is or does"
        if isinstance(item.node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_command(item):
            if _gives(item.node) and "property" not in item.decorators and not RETURNS.search(item.docstring):
                yield f"{item.place} returns something; say so: 'Return …', or 'Returns:'"
            if (raised := _raised(item.node)) and not RAISES.search(item.docstring):
                yield f"{item.place} raises {', '.join(raised)}; say so: 'Raises:'"


def _is_public(item: Item) -> bool:
    """Return True for a public name. Empty `__init__.py`s, `__init__`s and other magic methods explain themselves."""
    if isinstance(item.node, ast.Module):
        return bool(item.node.body)
    names = re.sub(r"^.*: ", "", item.place).split(".")
    return not any(name.startswith("_") for name in names) and "overload" not in item.decorators


def _is_command(item: Item) -> bool:
    """Return True for a command of the command line: its docstring is its help."""
    return bool(re.search(r"\.(command|callback)\(", item.decorators))


def _gives(node: Function) -> bool:
    return node.returns is not None and ast.unparse(node.returns) not in ("None", "NoReturn", "Iterator[None]")


def _raised(node: Function) -> list[str]:
    """Return the exceptions that the function itself makes and raises, those of private names left out."""
    names = []
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(part, ast.Raise) and isinstance(part.exc, ast.Call):
            name = ast.unparse(part.exc.func)
            names += [name] if name not in ("AssertionError", "NotImplementedError") else []
        waiting += ast.iter_child_nodes(part)
    return [] if node.name.startswith("_") else sorted(set(names))


FILES = sorted(path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES)
def test_docstrings_are_complete(file: str) -> None:
    found = list(problems((PACKAGE.parent / file).read_text(encoding="utf-8"), file))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", [name for name in vidcam.__all__ if name != "__version__"])
def test_public_names_have_an_example(name: str) -> None:
    documented = getattr(vidcam, name)
    assert ">>> " in (documented.__doc__ or ""), f"vidcam.{name} has no example; add one to its docstring"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("x = 1", "has no docstring"),
        ('"""How it works."""', "begins with a question"),
        ('"""A module."""\ndef f() -> None: ...', "f has no docstring"),
        ('"""A module."""\nclass C:\n    """A class."""\n    def f(self) -> None: ...', "C.f has no docstring"),
        ('"""A module."""\ndef _f() -> int:\n    """Of a thing."""', "begins with a question"),
        ('"""A module."""\ndef f() -> int:\n    """The number."""', "returns something"),
        ('"""A module."""\ndef f() -> None:\n    """Check."""\n    raise ValueError("no")', "raises ValueError"),
    ],
)
def test_what_is_missing_is_named(source: str, problem: str) -> None:
    assert any(problem in line for line in problems(source, "m.py")), list(problems(source, "m.py"))


def test_complete_docstrings_have_no_problems() -> None:
    source = '''"""A module."""
class C:
    """A class."""
    @property
    def size(self) -> int:
        """Number of things."""
    def f(self) -> int:
        """Return the number.

        Raises:
            ValueError: there is none.
        """
        raise ValueError("there is none")
def g() -> str:
    """Write a file and return its name."""
def _h() -> int: ...
'''
    assert list(problems(source, "m.py")) == []
