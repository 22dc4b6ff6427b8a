"""What a bank without an API has told in files: read once, kept in the order of reading.

Each file of the inbox becomes lines of the journal before it is put aside, and a line has a name
made of its file and its place there: whoever is killed in between reads the file again, and adds
nothing twice. Statements overlap and are written anew: a movement that was told of before is known
by its entry, its day and its order, and is not told of again.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final

import structlog

from billing.io.file_box import FileBox
from billing.iso import camt053, pain002
from billing.iso.camt053 import StatementLine
from billing.iso.document import FileError, VersionError
from billing.iso.pain002 import OrderNews, OrderStatus
from billing.iso.reasons import DOUBLE_PRESENTED, cause_of, is_chargeback

log = structlog.get_logger()

# What became of an order, in the words in which a bank with an API tells its events.
PAID_OUT: Final = "paid_out"
FAILED: Final = "failed"
CHARGED_BACK: Final = "charged_back"
FULFILLED: Final = "fulfilled"
_ACTION: Final[Mapping[OrderStatus, str]] = MappingProxyType(
    {
        OrderStatus.TAKEN_IN: "submitted",
        OrderStatus.COLLECTED: "confirmed",
        OrderStatus.REJECTED: FAILED,
        OrderStatus.CANCELLED: "cancelled",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNews:
    """One word of the bank about an order, or a mandate on paper that is there.

    ``file`` is the digest of what was read, ``place`` counts the words in it; the last four are
    there where money was booked, amount and currency where it came.
    """

    file: str
    place: int
    action: str
    order_id: str
    cause: str | None = None
    entry_ref: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    booked_on: date | None = None

    @property
    def name(self) -> str:
        """Return a name that no other word has, however often it is read."""
        return "EV" + hashlib.sha256(f"{self.file}|{self.place}".encode()).hexdigest()[:32].upper()

    @property
    def entry(self) -> tuple[str, str | None, date | None, bool]:
        """Return what makes two lines of statements the same movement."""
        return self.order_id, self.entry_ref, self.booked_on, self.action == PAID_OUT

    def written(self) -> dict[str, Any]:
        """Return the line of the journal."""
        day = None if self.booked_on is None else self.booked_on.isoformat()
        said = asdict(self) | {"booked_on": day}
        return {name: value for name, value in said.items() if value is not None}


def _read(line: Mapping[str, Any]) -> FileNews:
    day = line.get("booked_on")
    return FileNews(**{**line, "booked_on": None if day is None else date.fromisoformat(day)})


class FileJournal:
    """Everything that the bank ever said; ``knows`` tells whether an order is ours."""

    def __init__(self, box: FileBox, *, knows: Callable[[str], bool]) -> None:
        self._box = box
        self._knows = knows

    def news(self) -> tuple[FileNews, ...]:
        """Read what the bank has put there since, and return everything it ever said.

        Raises:
            OSError: the disk does not play along.
        """
        with self._box.reading():
            news = [_read(line) for line in self._box.news()]
            seen = {one.name for one in news}
            for file in self._box.inbox():
                try:
                    told, statement = self._told(self._box.content(file), news)
                except FileError as error:
                    self._box.refuse(file, error)
                    continue
                news += self._add(told, seen)
                self._box.done(file, statement=statement)
            news += self._add(list(self._papers()), seen)
            return tuple(news)

    def _add(self, told: list[FileNews], seen: set[str]) -> list[FileNews]:
        fresh = [one for one in told if one.name not in seen]
        for one in fresh:
            if one.cause == DOUBLE_PRESENTED:
                log.error("order.presented_twice", order=one.order_id)
        self._box.add_news([one.written() for one in fresh])
        seen.update(one.name for one in fresh)
        return fresh

    def _papers(self) -> Iterator[FileNews]:
        for name in self._box.papers():
            yield FileNews(file=f"mandate {name}", place=0, action=FULFILLED, order_id=name)

    def _told(self, data: bytes, news: list[FileNews]) -> tuple[list[FileNews], bool]:
        """Return what a file says of our orders, and whether it is a statement."""
        digest = hashlib.sha256(data).hexdigest()
        try:
            statements = camt053.read(data)
        except VersionError:
            words = [one for one in pain002.read(data) if self._knows(one.order_id)]
            return [_word(one, digest, place) for place, one in enumerate(words)], False
        taken_on = {one.order_id: one.booked_on for one in news if one.action == PAID_OUT}
        lines = [line for statement in statements for line in statement.lines]
        ours = [line for line in lines if self._knows(line.end_to_end_id or "")]
        told = [_line(one, digest, place, taken_on) for place, one in enumerate(ours)]
        return list(_fresh(told, news)), True


def _fresh(told: list[FileNews], news: list[FileNews]) -> Iterator[FileNews]:
    """Return the lines of a statement that no statement before had; the second copy is its own."""
    known = Counter(one.entry for one in news if one.entry_ref is not None)
    for one in told:
        if known[one.entry] > 0:
            known[one.entry] -= 1
        else:
            yield one


def _word(news: OrderNews, digest: str, place: int) -> FileNews:
    rejected = news.status is OrderStatus.REJECTED
    return FileNews(
        file=digest,
        place=place,
        action=_ACTION[news.status],
        order_id=news.order_id,
        cause=cause_of(news.reason) if rejected else None,
    )


def _line(
    line: StatementLine, digest: str, place: int, taken_on: dict[str, date | None]
) -> FileNews:
    """Return what a line says of an order: it was taken, or it came back."""
    order_id = line.end_to_end_id or ""
    if line.amount_minor > 0:
        taken_on[order_id] = line.booked_on
        return FileNews(
            file=digest,
            place=place,
            action=PAID_OUT,
            order_id=order_id,
            entry_ref=line.entry_ref,
            amount_minor=line.amount_minor,
            currency=line.currency,
            booked_on=line.booked_on,
        )
    days = (line.booked_on - (taken_on.get(order_id) or line.booked_on)).days
    disputed = is_chargeback(line.reason, days_since_taken=days)
    return FileNews(
        file=digest,
        place=place,
        action=CHARGED_BACK if disputed else FAILED,
        order_id=order_id,
        cause=cause_of(line.reason, days_since_taken=days),
        entry_ref=line.entry_ref,
        booked_on=line.booked_on,
    )
