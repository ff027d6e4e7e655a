"""Output files: written all or none, and never over a file that exists."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from vidcam.errors import OutputError

_LISTED = 6  # files that a message names


class Kind(Protocol):
    """A class whose instances hold the paths of the files of one kind of result."""

    def within(self, directory: Path) -> object:
        """Return the paths in a directory."""
        ...


def refuse_existing(directory: Path, *kinds: Kind) -> None:
    """Check that results of these kinds replace no file in a directory, before the network runs.

    Example:
        >>> from vidcam.results.outputs import LocalizationOutputs
        >>> refuse_existing(Path("a-new-folder"), LocalizationOutputs)

    Raises:
        OutputError: one of their files exists, or the directory cannot be one.
    """
    refuse(directory, [path for kind in kinds for path in vars(kind.within(directory)).values()])


def refuse(directory: Path, files: Iterable[Path]) -> None:
    """Check that none of these files, in a directory and the folders in it, exists.

    Raises:
        OutputError: one exists, or a folder cannot be one.
    """
    files = list(files)
    for folder in dict.fromkeys(folder for path in (directory / "file", *files) for folder in path.parents):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is a file, not a directory; give another --out")
    there = sorted({path.relative_to(directory).as_posix() for path in files if path.exists()})
    if there:
        more = f" and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
        names = ", ".join(there[:_LISTED]) + more
        raise OutputError(f"{directory} already holds {names}; pass --overwrite or give another --out")


@contextmanager
def all_or_nothing(directory: Path, clip: Path | None = None) -> Iterator[Path]:
    """Yield a folder to write into; its files, those of its folders included, move to `directory` when the block ends.

    None of them moves after an exception in the block, nor where one of them could not move.

    Args:
        directory: made if it does not exist.
        clip: the file that is explained, which no output replaces.

    Raises:
        OutputError: the directory cannot be written, the disk is full, or an output has the place of the clip.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".vidcam-", dir=directory))
    except OSError as error:
        raise OutputError(f"{directory} cannot be written ({error.strerror or error}); give another --out") from error
    try:
        yield work
        parts = {path: directory / path.relative_to(work) for path in sorted(work.rglob("*")) if path.is_file()}
        for final in parts.values():
            if final.is_dir():
                raise OutputError(f"{final} is a directory, and a file is to be written there; give another --out")
            if clip is not None and final.exists() and final.samefile(clip):
                raise OutputError(
                    f"{final} is the clip that is explained, and an output has its name; give another --out"
                )
            final.parent.mkdir(parents=True, exist_ok=True)
        for part, final in parts.items():
            part.replace(final)
    except OSError as error:
        raise OutputError(f"{directory} cannot be written ({error.strerror or error}); is the disk full?") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
