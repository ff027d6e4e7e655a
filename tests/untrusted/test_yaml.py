from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vidcam.errors import SettingsError
from vidcam.untrusted.yaml import _check_events, read_yaml

_ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_ALIASES, r"line 2 uses \*a0; write the value out"),
        ("a: &a 1\n<<: {b: *a}", r"uses \*a; write"),
        ("stride: " + "9" * 5000, "line 1 has a value of more than 2,000 letters"),
        ("stride: 0x" + "f" * 5000, "more than 2,000 letters"),
        ("stride: !!int 'abc'", "cannot be read"),
        ("model: 2024-99-99", "cannot be read"),
        ("model: !!timestamp x", "cannot be read"),
        ("dense: !!bool y", "cannot be read"),
        ("? [a]\n: b", "cannot be read"),
        ("a: [", "cannot be read"),
        ("!!python/object/apply:print ['run']", "cannot be read"),
        ("a: " + "[" * 30_000 + "]" * 30_000, "nested deeper than 20 levels"),
        ("- " * 100_000, "nested deeper than 20 levels"),
        ("{a: " * 30_000, "nested deeper than 20 levels"),
        ("[" + "a," * 120_000 + "]", "more than 10,000 values"),
        ("a: " + "b" * 300_000, "has more than 262,144 bytes"),
        ("a: \x00", "cannot be read"),
    ],
    ids=range(17),
)
def test_files_that_cost_more_than_they_say(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        read_yaml(tmp_path / "a.yaml")
    assert len(str(caught.value)) < 1000 + len(str(tmp_path)) and str(caught.value).isprintable()
    assert str(caught.value).endswith("give a YAML file")


def test_what_is_allowed_to_the_last(tmp_path: Path) -> None:
    for text in ("[" * 20 + "]" * 20, "[" + "a," * 10_000 + "]", "x" * 2000):
        _check_events(text)
    for text in ("[" * 21 + "]" * 21, "[" + "a," * 10_001 + "]", "x" * 2001):
        with pytest.raises(ValueError, match=r"more than|deeper"):
            _check_events(text)


@given(st.dictionaries(st.text("ab_", min_size=1), st.integers() | st.booleans() | st.lists(st.floats(-9, 9))))
def test_plain_values_are_read_as_they_are(tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("yaml") / "a.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert read_yaml(path) == values


def test_an_empty_file_is_an_empty_mapping(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "a.yaml") == {}
