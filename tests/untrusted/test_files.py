from __future__ import annotations

import os
from pathlib import Path

import pytest

from vidcam.untrusted.files import open_regular, read_json, read_regular


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="has more than 4 bytes"):
        read_regular(path, 4)


@pytest.mark.parametrize("special", ["/dev/zero", "/dev/null", "."])
def test_devices_and_directories_are_refused(special: str) -> None:
    with pytest.raises(OSError, match="not a file"):
        open_regular(Path(special))


def test_a_pipe_without_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link.mp4"
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(OSError, match="a pipe or a device"):
            open_regular(path)


def test_a_file_exchanged_for_a_pipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, pipe = tmp_path / "file", tmp_path / "pipe"
    path.write_bytes(b"1")
    os.mkfifo(pipe)
    opened = os.open
    monkeypatch.setattr(os, "open", lambda given, flags: opened(pipe, flags))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="a pipe or a device"):
        open_regular(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_json_is_utf_8_with_or_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + '{"é": 1}'.encode())
        assert read_json(path, 100) == {"é": 1}


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b"{", b"1" * 5000])
def test_what_is_not_json_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ValueError):
        read_json(path, 1 << 20)


def test_a_name_that_an_object_has_twice_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('[{"a": 1, "b": 2}, {"a": 1, "b": 2, "b": 2}]')
    with pytest.raises(ValueError, match="an object has the name 'b' twice"):
        read_json(path, 1 << 20)
