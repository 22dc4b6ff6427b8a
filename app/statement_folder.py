"""A folder into which statements of the bank are put: each file is taken in once, and moved away.

    <folder>/*.xml            what has come; whoever writes there renames whole files in
    <folder>/taken/           what was taken in
    <folder>/refused/         what cannot be believed, beside a text that says why

A process that is killed in between finds the file again; its lines are kept once all the same.
"""

from pathlib import Path
from typing import Final, NamedTuple

import structlog

from billing.iso.camt053 import Statement, read
from billing.iso.document import FILE_BYTES_MAX, FileError

log = structlog.get_logger()

TAKEN: Final = "taken"
REFUSED: Final = "refused"
# A day has one file; a folder of more has been filled by mistake and is worked off in parts.
FILES_MAX: Final = 100


class Found(NamedTuple):
    """A file and what it says; None where it cannot be believed."""

    file: Path
    statements: tuple[Statement, ...] | None


def waiting(folder: Path) -> list[Path]:
    """Return the files that wait, by name; a folder that is not there holds none."""
    if not folder.is_dir():
        return []
    found = sorted(file for file in folder.iterdir() if _is_statement(file))
    return found[:FILES_MAX]


def _is_statement(file: Path) -> bool:
    return file.suffix.lower() == ".xml" and not file.is_symlink() and file.is_file()


def content(file: Path) -> bytes:
    """Return what a file holds; one byte more than a day can have is enough to refuse it."""
    with file.open("rb") as opened:
        return opened.read(FILE_BYTES_MAX + 1)


def look(file: Path) -> Found:
    """Read a file; one that cannot be believed is moved away, with the reason beside it."""
    try:
        return Found(file, read(content(file)))
    except FileError as error:
        refuse(file, str(error))
        return Found(file, None)


def refuse(file: Path, why: str) -> None:
    """Put a file aside, with the reason beside it."""
    away = _moved(file, REFUSED)
    away.with_suffix(".txt").write_text(f"{why}\n", encoding="utf-8")
    log.error("statement.refused", file=file.name, why=why)


def take(file: Path) -> None:
    """Put a file that was taken in aside."""
    _moved(file, TAKEN)


def _moved(file: Path, name: str) -> Path:
    away = file.parent / name
    away.mkdir(exist_ok=True)
    target = away / file.name
    number = 1
    while target.exists():
        number += 1
        target = away / f"{file.stem}-{number}{file.suffix}"
    return file.replace(target)
