from __future__ import annotations

import json
import os

from hypothesis import given
from hypothesis import strategies as st

from vidcam.untrusted.text import as_json, printable, shortened

_ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(_ANY_TEXT)
def test_printable_text_can_be_encoded_and_controls_nothing(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in shown)


@given(st.binary())
def test_names_that_the_system_allows_are_told_apart(name: bytes) -> None:
    text = os.fsdecode(name)
    assert printable(text).isprintable() or any(not c.isprintable() for c in text)
    assert printable("é b.mp4") == "é b.mp4"


@given(st.dictionaries(_ANY_TEXT, st.lists(_ANY_TEXT)))
def test_json_reads_back_the_same_and_can_be_encoded(value: dict[str, list[str]]) -> None:
    for indent in (None, 2):
        assert json.loads(as_json(value, indent).encode()) == value


def test_a_long_value_is_cut() -> None:
    assert shortened("x" * 1000, 10) == "'xxxxxxxx…"
    assert shortened("\x1b") == r"'\x1b'"
    assert shortened(10**5000) == "a very long int"


def test_marks_that_turn_the_direction_of_text_are_shown() -> None:
    for mark in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069":
        assert printable(f"a{mark}b") == f"a\\u{ord(mark):04x}b"
