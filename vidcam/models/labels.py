"""Labels of classes, read from a text, CSV or JSON file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from vidcam.errors import ModelError
from vidcam.untrusted.files import parse_json, read_regular
from vidcam.untrusted.text import one_line, shortened

_MOST_BYTES = 16 << 20
_LONGEST = 1000  # characters of a line
_NUMBER = re.compile(r"\d{1,9}")
_NUMBER_FIRST = re.compile(r"(\d{1,9})(?:[.):]?\s+|\s*[,;:]\s*)(\S.*)")
_NUMBER_LAST = re.compile(r"(.*\S)(?:\s*[,;]\s*|\t+)(\d{1,9})")
_HEADERS = {"name", "label", "labels", "class"}  # of a CSV with one column
_FORMS = "give UTF-8 text with one label a line, CSV with a label in every row, or JSON with a list of labels"
_ESCAPE = "if the numbers belong to the labels, give a JSON list of them"


class Labels(NamedTuple):
    """Labels of classes.

    Attributes:
        names: in the order of the classes.
        note: says how numbers in the file were read; "" if it has none.
    """

    names: tuple[str, ...]
    note: str = ""


class _Entry(NamedTuple):
    """A label in a file.

    Attributes:
        place: for messages, such as "line 3".
        label: not empty.
        number: of its class, as the file has it.
    """

    place: str
    label: str
    number: int | None = None


class _Refused(Exception):
    """A file whose labels cannot be used; the message names the place and says what to do."""


def read_labels(path: Path) -> Labels:
    r"""Return the labels in a file.

    A text file has one label a line; a CSV file labels, or labels and numbers; a JSON file a list of labels, or an object
    from labels to numbers or from numbers to labels. Blank lines are passed over. Numbers before the labels of a text
    file, or after a comma or a tab behind them, are taken off and give the order, if all lines have one and they run
    from 0 or from 1 without a gap. `note` says so.

    Raises:
        ModelError: the file cannot be read, a label is given twice, or numbers are missing or given twice.

    Example:
        >>> path = getfixture("tmp_path") / "classInd.txt"
        >>> path.write_text("1 ApplyEyeMakeup\n2 Archery\n") and read_labels(path).names
        ('ApplyEyeMakeup', 'Archery')
    """
    try:
        text = read_regular(path, _MOST_BYTES).decode("utf-8-sig")
        kind = path.suffix.lower()
        if kind == ".json" or text.lstrip()[:1] in ("{", "["):
            entries = _of_json(parse_json(text))
        else:
            entries = _of_csv(text) if kind == ".csv" else _of_lines(text)
        names, how = _in_order(entries)
    except _Refused as error:
        raise ModelError(f"labels file {path}: {error}") from error
    except (OSError, ValueError, csv.Error) as error:
        raise ModelError(f"labels file {path} cannot be read ({one_line(str(error))}); {_FORMS}") from error
    return Labels(names, how and f"labels file {path}: {how}")


def _of_lines(text: str) -> list[_Entry]:
    """Return the labels of a text file."""
    lines = enumerate(re.split(r"\r\n|\r|\n", text), 1)
    return _split([_Entry(f"line {number}", line.strip()) for number, line in lines if line.strip()])


def _split(entries: list[_Entry]) -> list[_Entry]:
    """Return labels without their numbers, if all have one and they count the classes; otherwise as they are."""
    for place, label, _ in entries:
        if len(label) > _LONGEST:
            raise _Refused(f"{place} has {len(label):,} characters, and a label at most {_LONGEST:,}; {_FORMS}")
    for pattern, number, name in ((_NUMBER_FIRST, 1, 2), (_NUMBER_LAST, 2, 1)):
        matches = [pattern.fullmatch(e.label) for e in entries]
        numbers = [int(found[number]) for found in matches if found]
        if not numbers or 2 * len(numbers) <= len(entries) or not _counting(numbers):
            continue
        for entry, found in zip(entries, matches):
            if found is None:
                raise _Refused(f"{entry.place} has no number, and most others do; give every label one; {_ESCAPE}")
        return [_Entry(e.place, m[name], int(m[number])) for e, m in zip(entries, matches) if m]
    for place, label, _ in entries:
        if "\t" in label:
            raise _Refused(f"{place} has a tab in {shortened(label)}; give one label a line, or its number and a label")
    return entries


def _counting(numbers: Sequence[int]) -> bool:
    """Return True if numbers count classes, perhaps with faults; False if they are parts of labels ("3 point shot")."""
    rising = sorted(numbers)
    steps = [after - before for before, after in pairwise(rising)]
    from_the_start = rising[0] <= 1 and rising[-1] <= 2 * len(rising)
    return from_the_start or (len(steps) > 1 and 2 * steps.count(1) >= len(steps))


def _of_csv(text: str) -> list[_Entry]:
    """Return the labels of a CSV file of labels, or of numbers and labels in either order, with or without a header."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = [(f"line {reader.line_num}", [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    if not rows:
        return []
    columns = len(rows[0][1])
    for place, cells in rows:
        if len(cells) != columns or columns > 2 or not all(cells):
            raise _Refused(f"{place} is {shortened(cells)}; give a label, or its number and a label, in every row")
    if columns == 1:
        return _split([_Entry(place, label) for place, (label,) in rows[rows[0][1][0].lower() in _HEADERS :]])
    if not any(map(_NUMBER.fullmatch, rows[0][1])):
        rows = rows[1:]
    number = 0 if sum(bool(_NUMBER.fullmatch(cells[0])) for _, cells in rows) * 2 > len(rows) else 1
    for place, cells in rows:
        if not _NUMBER.fullmatch(cells[number]):
            raise _Refused(f"{place} is {shortened(cells)}; give a number and a label in every row")
    return [_Entry(place, cells[1 - number], int(cells[number])) for place, cells in rows]


def _of_json(stored: Any) -> list[_Entry]:
    """Return the labels of a list, of an object from labels to numbers, or of one from numbers to labels."""
    if isinstance(stored, list):
        return [_Entry(f"entry {i}", _label(value, f"entry {i}")) for i, value in enumerate(stored)]
    if not isinstance(stored, dict):
        raise _Refused(f"it holds {shortened(stored)}; give a list of labels, or an object of labels and numbers")
    by_label = all(_is_number(value) for value in stored.values())
    if by_label == all(map(_is_number, stored)) and stored:
        first = next(((k, v) for k, v in stored.items() if by_label or not _is_number(v)))
        raise _Refused(
            f"entry {shortened(first[0])} is {shortened(first[1])}; give a label and a number in every entry"
        )
    pairs = [(k, v) if by_label else (v, k) for k, v in stored.items()]
    return [
        _Entry(f"entry {shortened(key)}", _label(label, f"entry {shortened(key)}"), int(number))
        for key, (label, number) in zip(stored, pairs)
    ]


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value.strip()) is not None
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9


def _label(value: Any, place: str) -> str:
    """Return a label of a JSON file; Kinetics' own has some in quotes of their own."""
    label = value.strip().strip('"').strip() if isinstance(value, str) else ""
    if not label:
        raise _Refused(f"{place} is {shortened(value)}; give a label as text")
    return label


def _in_order(entries: list[_Entry]) -> tuple[tuple[str, ...], str]:
    """Return the labels in the order of their numbers if they have some, and a note that says so."""
    places: dict[str, str] = {}
    for place, label, _ in entries:
        if label in places:
            raise _Refused(f"{place} repeats the label {shortened(label)} of {places[label]}; give every class its own")
        places[label] = place
    numbered = sorted((e.number, e) for e in entries if e.number is not None)
    if not numbered:
        return tuple(places), ""
    first = min(numbered[0][0], 1)
    for expected, (number, entry) in enumerate(numbered, first):
        if number != expected:
            wanted = expected if expected > first else "0 or 1"
            raise _Refused(f"{entry.place} has the number {number}, where {wanted} is expected; {_ESCAPE}")
    return tuple(
        e.label for _, e in numbered
    ), f"numbers from {first} to {numbered[-1][0]} give the order of the labels"
