from __future__ import annotations

from pathlib import Path

import pytest

from vidcam.errors import OutputError
from vidcam.export.outputs import all_or_nothing, refuse, refuse_existing
from vidcam.results.outputs import LocalizationOutputs, Outputs


def _tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, and its text."""
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_files_of_all_folders_appear_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with all_or_nothing(out) as work:
        (work / "1-x" / "gradcam").mkdir(parents=True)
        (work / "1-x" / "gradcam" / "deep.txt").write_text("deep")
        (work / "top.txt").write_text("top")
        assert [p for p in out.iterdir() if not p.name.startswith(".")] == []
    assert _tree(out) == {"top.txt": "top", "1-x/gradcam/deep.txt": "deep"}
    assert {p.name for p in out.iterdir()} == {"1-x", "top.txt"}


def test_files_beside_those_that_are_replaced_stay(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "own.txt").write_text("own")
    (tmp_path / "f" / "new.txt").write_text("old")
    with all_or_nothing(tmp_path) as work:
        (work / "f").mkdir()
        (work / "f" / "new.txt").write_text("new")
    assert _tree(tmp_path) == {"f/own.txt": "own", "f/new.txt": "new"}


def test_nothing_appears_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ValueError, match="stop"), all_or_nothing(tmp_path) as work:
        (work / "a.txt").write_text("new")
        (work / "f").mkdir()
        (work / "f" / "b.txt").write_text("new")
        raise ValueError("stop")
    assert _tree(tmp_path) == {"a.txt": "old"} and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("blocked", ["file_for_a_folder", "folder_for_a_file"])
def test_nothing_appears_where_one_file_cannot(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "a.txt").write_text("old")
    if blocked == "file_for_a_folder":
        (tmp_path / "z").write_text("in the way")
    else:
        (tmp_path / "z" / "b.txt").mkdir(parents=True)
    before = _tree(tmp_path)
    with pytest.raises(OutputError, match=r"give another --out|cannot be written"), all_or_nothing(tmp_path) as work:
        (work / "a.txt").write_text("new")
        (work / "z").mkdir()
        (work / "z" / "b.txt").write_text("new")
    assert _tree(tmp_path) == before


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), all_or_nothing(tmp_path / "file"):
        pass
    for directory in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(OutputError, match="file is a file, not a directory; give another --out"):
            refuse(directory, [])


def test_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left on device"), all_or_nothing(tmp_path):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["segments.json", "segments.csv", "segments.vtt", "timeline.png", "summary.json"])
def test_every_file_of_every_kind_is_refused(tmp_path: Path, name: str) -> None:
    refuse_existing(tmp_path / "new", Outputs, LocalizationOutputs)
    refuse_existing(tmp_path, Outputs, LocalizationOutputs)
    (tmp_path / name).write_text("")
    with pytest.raises(OutputError, match=f"already holds {name}; pass --overwrite or give another --out"):
        refuse_existing(tmp_path, Outputs, LocalizationOutputs)


def test_files_in_folders_are_refused_and_a_few_of_them_are_named(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    files = [tmp_path / "f" / f"{number}.txt" for number in range(9)]
    for path in files[:8]:
        path.write_text("")
    with pytest.raises(OutputError, match=r"already holds f/0\.txt, .*f/5\.txt and 2 more; pass"):
        refuse(tmp_path, files)
    refuse(tmp_path, files[8:])
    with pytest.raises(OutputError, match=r"0\.txt is a file, not a directory"):
        refuse(tmp_path, [files[0] / "deeper.txt"])
