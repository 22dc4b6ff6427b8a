"""What really happened, on disk: every reading before its telegram leaves, and every receipt.

The truth file is JSON lines {"meter", "at", "register_dm3", "total_dm3", "counter"}; a meter with a
wrong clock adds "claimed_at". It doubles as the memory of a fleet that is started again: registers
follow from the seed, so the lines say how far each meter had lived.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Self

from simulators.meter import Telegram
from simulators.signed import Identity
from simulators.town import Lived
from simulators.wire import Receipt

# Per meter and counter: why the service refused, or "" when it did not.
Answers = dict[str, dict[int, str]]


class TruthError(RuntimeError):
    """A truth file cannot be used; the message says which and why."""


class Journal:
    """A file of JSON lines that is only ever added to, flushed line-whole."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIOWrapper = path.open("a", encoding="utf-8")

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Add lines and hand them to the operating system before returning."""
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        self._file.write(text)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Truth:
    """The record of a fleet: what the dials showed, and optionally what the service answered."""

    def __init__(self, *, readings: Path | None, receipts: Path | None) -> None:
        self._readings = None if readings is None else Journal(readings)
        self._receipts = None if receipts is None else Journal(receipts)
        self._answers: list[dict[str, Any]] = []

    @classmethod
    def kept(cls, directory: Path, readings: Path | None) -> tuple[Self, dict[str, Lived], Answers]:
        """Open the truth of a fleet that may have lived before, with what it remembers.

        Raises TruthError when a file is unreadable.
        """
        path = readings or directory / "truth.jsonl"
        receipts = directory / "receipts.jsonl"
        lived, answered = recall(path), answers(receipts)
        return cls(readings=path, receipts=receipts), lived, answered

    @classmethod
    def fresh(cls, path: Path | None) -> Self:
        """Open a truth without memory; raises TruthError when the file already has content."""
        if path is not None and path.exists() and path.stat().st_size:
            raise TruthError(f"{path} holds a truth already: move it, or continue it with --keep")
        return cls(readings=path, receipts=None)

    def write(self, telegrams: Iterable[Telegram]) -> None:
        """Record the readings of telegrams; call it before any of them leaves."""
        if self._readings is not None:
            self._readings.add(line for telegram in telegrams for line in _lines(telegram))

    def answered(self, telegram: Telegram, receipt: Receipt) -> None:
        """Note a receipt; it reaches the disk with the next flush."""
        if self._receipts is not None:
            self._answers.append(
                {
                    "meter": telegram.meter_id,
                    "counter": telegram.counter,
                    "result": receipt.result,
                    "reason": receipt.reason,
                }
            )

    def flush(self) -> None:
        """Put the noted receipts on disk; one that is lost only costs a repeat."""
        if self._receipts is not None and self._answers:
            self._receipts.add(self._answers)
            self._answers.clear()

    def close(self) -> None:
        """Flush and close the files."""
        self.flush()
        for journal in (self._readings, self._receipts):
            if journal is not None:
                journal.close()


def write_keys(path: Path, identities: Iterable[Identity]) -> None:
    """Write {"meters": [meter, epoch and public key in hex, …]}, to register the keys."""
    keys = {"meters": [identity.entry() for identity in identities]}
    path.write_text(json.dumps(keys, indent=1) + "\n", encoding="utf-8")


def recall(path: Path) -> dict[str, Lived]:
    """Return how far each meter had lived, and cut the file back to its last sure telegram.

    A kill may have torn the last telegram in the file, so its lines are dropped: the meter writes
    the same telegram again. Raises TruthError when a line in the middle is unreadable.
    """
    lived: dict[str, Lived] = {}
    # The telegram being read, kept apart until the next one shows that it is whole.
    open_meter_id, open_step = "", None
    open_start = position = 0
    for row, size in _rows(path):
        step = Lived(
            at=datetime.fromisoformat(row["at"]),
            total_dm3=row["total_dm3"],
            counter=row["counter"],
        )
        if open_step is None or (open_meter_id, open_step.counter) != (row["meter"], step.counter):
            if open_step is not None:
                lived[open_meter_id] = open_step
            open_start = position
        open_meter_id, open_step = row["meter"], step
        position += size
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(open_start)
    return lived


def answers(path: Path) -> Answers:
    """Return, per meter and counter, the refusals on file ("" when not refused); drop a torn tail.

    Raises TruthError when a line in the middle is unreadable.
    """
    known: Answers = {}
    position = 0
    for row, size in _rows(path):
        refusal = row["reason"] or "no_reason" if row["result"] == "refused" else ""
        known.setdefault(row["meter"], {})[row["counter"]] = refusal
        position += size
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(position)
    return known


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield whole JSON lines with their sizes; a last line without its end is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line), len(line)
            except ValueError as error:
                raise TruthError(f"{path} line {number} is not JSON") from error


def _lines(telegram: Telegram) -> Iterator[dict[str, Any]]:
    """Yield the lines of one telegram."""
    for reading in telegram.readings:
        line: dict[str, Any] = {
            "meter": telegram.meter_id,
            "at": reading.at.isoformat(),
            "register_dm3": reading.register_dm3,
            "total_dm3": reading.total_dm3,
            "counter": telegram.counter,
        }
        if reading.claimed_at != reading.at:
            line["claimed_at"] = reading.claimed_at.isoformat()
        yield line
