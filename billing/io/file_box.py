"""Folders through which orders go to a bank without an API, and its answers come back.

    mandates/<name>.json     what a payer signed on paper; entered by hand
    orders/<order>.xml       every order that was ever given; never removed
    outbox/<order>.xml       what the bank has to fetch; it takes files away
    withdrawn/<order>.xml    what we took back before it was fetched
    inbox/*.xml              what the bank has put there: pain.002 and camt.053
    read/, refused/          what was read; what cannot be believed, with the reason beside it
    statements/              camt.053 for the reconciliation, which reads them for itself
    news.jsonl               what was read, in the order of reading; only ever added to

An order is given once. The file is written under a name of its own, then linked to its place in
``orders``, which only one can do; the first name is then its ticket: moved to the outbox, once,
by whoever comes first. Everything is on the disk before the next step. All of it must lie on one
file system with hard links.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import structlog

from billing.iso.document import FILE_BYTES_MAX, FileError
from billing.iso.pain008 import Payer
from billing.payee import compact

log = structlog.get_logger()

FOLDERS: Final = (
    "mandates",
    "orders",
    "outbox",
    "withdrawn",
    "inbox",
    "read",
    "refused",
    "statements",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperMandate:
    """A mandate on paper; ``cancelled`` once it ended."""

    payer: Payer
    cancelled: bool


class MandateFileError(Exception):
    """The file of a mandate does not say what it must."""


class FileBox:
    """The folders of one bank."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in FOLDERS:
            root.joinpath(name).mkdir(parents=True, exist_ok=True)

    # -- orders

    def give(self, order_id: str, data: bytes) -> bool:
        """Give an order to the bank, once; False if it was given before.

        Raises:
            OSError: the disk does not play along; whether the order was given is not known.
        """
        place = self._order(order_id)
        if place.exists():
            self._publish(order_id)
            return False
        ticket = self.root.joinpath("orders", f"{order_id}.{secrets.token_hex(8)}.ticket")
        _write(ticket, data)
        try:
            os.link(ticket, place)
        except (FileExistsError, FileNotFoundError):
            # Somebody was faster, and may have cleared our ticket away as well.
            ticket.unlink(missing_ok=True)
            self._publish(order_id)
            return False
        _sync(place.parent)
        self._publish(order_id)
        return True

    def _publish(self, order_id: str) -> None:
        """Move the ticket of an order to the outbox, if nobody has done so yet."""
        place = self._order(order_id)
        inode = place.stat().st_ino
        for ticket in place.parent.glob(f"{order_id}.*.ticket"):
            with contextlib.suppress(FileNotFoundError):
                if ticket.stat().st_ino == inode:
                    ticket.replace(self.root.joinpath("outbox", place.name))
                    _sync(self.root.joinpath("outbox"))
                    _sync(place.parent)
                else:
                    # Of somebody who came too late, or died before he could try.
                    ticket.unlink()

    def withdraw(self, order_id: str) -> bool:
        """Take an order back that the bank has not fetched; False if it is too late."""
        target = self.root.joinpath("withdrawn", f"{order_id}.xml")
        try:
            self.root.joinpath("outbox", target.name).rename(target)
        except FileNotFoundError:
            return target.exists()
        _sync(target.parent)
        _sync(self.root.joinpath("outbox"))
        return True

    def order(self, order_id: str) -> bytes | None:
        """Return the file of an order; None if it was never given."""
        try:
            return self._order(order_id).read_bytes()
        except FileNotFoundError:
            return None

    def orders(self) -> list[Path]:
        """Return the files of all orders that were ever given, oldest first."""
        found = [
            (file.stat().st_mtime_ns, file) for file in self.root.joinpath("orders").glob("*.xml")
        ]
        return [file for _, file in sorted(found)]

    def withdrawn(self, order_id: str) -> bool:
        """Say whether an order was taken back."""
        return self.root.joinpath("withdrawn", f"{order_id}.xml").exists()

    def _order(self, order_id: str) -> Path:
        return self.root.joinpath("orders", f"{order_id}.xml")

    # -- mandates

    def mandate(self, name: str) -> PaperMandate | None:
        """Return a mandate on paper; None if there is none.

        Raises:
            MandateFileError: its file does not say what it must.
        """
        try:
            said = json.loads(self.root.joinpath("mandates", f"{name}.json").read_bytes())
            return PaperMandate(
                payer=Payer(
                    bank_mandate_id=name,
                    name=said["name"],
                    iban=compact(said["iban"]),
                    signed_on=date.fromisoformat(said["signed_on"]),
                ),
                cancelled=bool(said.get("cancelled", False)),
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # Its text would carry a name or an account number into our logs.
            log.warning("paper.unreadable", mandate=name, error=type(error).__name__)
            raise MandateFileError(name) from error

    def cancel_mandate(self, name: str) -> None:
        """Note that a mandate has ended; nothing is written under it any more."""
        file = self.root.joinpath("mandates", f"{name}.json")
        said = json.loads(file.read_bytes()) | {"cancelled": True}
        fresh = file.with_suffix(f".{secrets.token_hex(8)}.part")
        _write(fresh, json.dumps(said, ensure_ascii=False, indent=1).encode())
        fresh.replace(file)
        _sync(file.parent)

    def papers(self) -> list[str]:
        """Return the names of all mandates on paper."""
        return sorted(file.stem for file in self.root.joinpath("mandates").glob("*.json"))

    def give_up(self, request_id: str) -> None:
        """Note that nobody waits for the paper of a request any more."""
        self.root.joinpath("mandates", f"{request_id}.given-up").touch()

    def given_up(self, request_id: str) -> bool:
        """Say whether nobody waits for the paper of a request any more."""
        return self.root.joinpath("mandates", f"{request_id}.given-up").exists()

    # -- what comes back

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Be the only process that reads the inbox."""
        with self.root.joinpath("reading.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def inbox(self) -> list[Path]:
        """Return the files that the bank has put there, by name."""
        return sorted(
            file
            for file in self.root.joinpath("inbox").glob("*.xml")
            if file.is_file() and not file.is_symlink()
        )

    def content(self, file: Path) -> bytes:
        """Return what a file holds; one byte more than a day can have is enough to refuse it."""
        with file.open("rb") as opened:
            return opened.read(FILE_BYTES_MAX + 1)

    def done(self, file: Path, *, statement: bool) -> None:
        """Put a file aside that was read; a statement goes to the reconciliation."""
        target = self.root.joinpath("statements" if statement else "read", file.name)
        while target.exists():
            target = target.with_name(f"{target.stem}-again{target.suffix}")
        file.replace(target)

    def refuse(self, file: Path, error: FileError) -> None:
        """Put a file aside that cannot be believed, with the reason beside it."""
        target = self.root.joinpath("refused", file.name)
        target.with_suffix(".txt").write_text(f"{error}\n", encoding="utf-8")
        file.replace(target)
        log.error("bank_file.refused", file=file.name, why=str(error))

    def news(self) -> list[dict[str, Any]]:
        """Return everything that was read, oldest first; a line cut short by a crash is none."""
        try:
            text = self.root.joinpath("news.jsonl").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        lines = text.split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def add_news(self, told: list[dict[str, Any]]) -> None:
        """Add what was read just now; it is on the disk when this returns."""
        if not told:
            return
        file = self.root.joinpath("news.jsonl")
        lines = "".join(json.dumps(one, sort_keys=True) + "\n" for one in told)
        with file.open("ab+") as opened:
            end = opened.seek(0, os.SEEK_END)
            if end and os.pread(opened.fileno(), 1, end - 1) != b"\n":
                # Half a line of somebody who was killed: cut it off, its file is read again.
                opened.truncate(_last_line_end(opened.fileno(), end))
            opened.write(lines.encode())
            opened.flush()
            os.fsync(opened.fileno())


def _last_line_end(descriptor: int, end: int) -> int:
    """Return where the last whole line of a file ends."""
    place = end
    while place and os.pread(descriptor, 1, place - 1) != b"\n":
        place -= 1
    return place


def _write(file: Path, data: bytes) -> None:
    """Write a new file, down to the disk."""
    with file.open("xb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())


def _sync(folder: Path) -> None:
    """Bring the names in a folder down to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
