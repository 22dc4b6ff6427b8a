"""A recorded register sent again: any CSV with `read_at` and `register_m3`, through one meter.

Bad rows are named by line and reason and not sent; everything else is sent until it has a receipt.
"""

import asyncio
import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO

from simulators.faults import Air
from simulators.io.gateway import Broker, Gateway, Manners
from simulators.meter import TELEGRAMS_KEPT_MAX, Reading, Store
from simulators.tally import Tally
from simulators.wire import REGISTER_DM3_MAX, Topics

# Few enough digits that every step below is exact.
_REGISTER: Final = re.compile(r"[0-9]{1,13}(\.[0-9]{1,12})?")
# What the protocol accepts as the time of a reading.
_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_END: Final = datetime(2100, 1, 1, tzinfo=UTC)
_COLUMNS: Final = ("read_at", "register_m3")
# So many bad rows are named one by one; all are counted.
_NAMED_MAX: Final = 100


class ReplayFileError(RuntimeError):
    """A file cannot be replayed at all; the message says why."""


class RowError(ValueError):
    """One row is not a reading; the message is its reason, one word of a closed set."""


@dataclass(slots=True, kw_only=True)
class BadRows:
    """The rows that were not sent: how many for which reason, and the first ones by line."""

    reasons: Counter[str] = field(default_factory=Counter)
    first: list[dict[str, Any]] = field(default_factory=list)

    def note(self, line: int, reason: str) -> None:
        """Count one bad row."""
        self.reasons[reason] += 1
        if len(self.first) < _NAMED_MAX:
            self.first.append({"line": line, "reason": reason})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file through one meter; `readings_per_telegram` is 1 to 500."""

    path: Path
    meter_id: str
    first_counter: int
    readings_per_telegram: int


def rows(path: Path, bad: BadRows) -> Iterator[Reading]:
    """Yield the readings of a CSV file, plain or gzip; raises ReplayFileError.

    A bad row goes to `bad` with its line, where the header is line 1.
    """
    try:
        with _open(path) as file:
            table = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise ReplayFileError(f"{path} has no column {missing[0]}")
            for row in table:
                try:
                    yield _reading(row)
                except RowError as error:
                    bad.note(table.line_num, str(error))
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise ReplayFileError(f"{path} cannot be read: {error}") from error


def _open(path: Path) -> TextIO:
    """Open a file as text, through gzip when it begins like one."""
    with path.open("rb") as file:
        magic = file.read(2)
    if magic == b"\x1f\x8b":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="")
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def _reading(row: Mapping[str, str | None]) -> Reading:
    """Return the reading of one row; raises RowError."""
    at_text, register_text = (row.get(name) for name in _COLUMNS)
    if not at_text or not register_text:
        raise RowError("missing_value")
    try:
        at = datetime.fromisoformat(at_text.strip())
    except ValueError as error:
        raise RowError("bad_time") from error
    if at.utcoffset() is None:
        raise RowError("naive_time")
    if not _FIRST <= at < _END:
        raise RowError("time_out_of_range")
    register_dm3 = _dm3(register_text.strip())
    return Reading(at=at, claimed_at=at, register_dm3=register_dm3, total_dm3=register_dm3)


def _dm3(text: str) -> int:
    """Return plain decimal m3 as whole dm3, exactly; raises RowError."""
    if _REGISTER.fullmatch(text) is None:
        raise RowError("bad_register")
    exact_dm3 = Decimal(text).scaleb(3)
    if exact_dm3 != exact_dm3.to_integral_value():
        raise RowError("finer_than_a_litre")
    if exact_dm3 > REGISTER_DM3_MAX:
        raise RowError("register_too_large")
    return int(exact_dm3)


async def replay(
    job: Job, *, broker: Broker, manners: Manners, tally: Tally, patience_s: float
) -> dict[str, Any]:
    """Send a whole file and wait for its receipts; raises ReplayFileError, NoBrokerError.

    After a full success refused, waiting, unsent and bad_rows are zero.
    """
    bad = BadRows()
    store = Store(meter_id=job.meter_id, number=0, next_counter=job.first_counter)
    gateway = Gateway(
        broker=broker,
        client_id=f"replay-{job.meter_id}",
        stores=[store],
        topics=Topics(user=broker.user or ""),
        air=Air(seed=""),
        manners=Manners(
            window=min(manners.window, TELEGRAMS_KEPT_MAX // 4),
            resend_after_s=manners.resend_after_s,
        ),
        tally=tally,
        on_receipt=lambda _telegram, _receipt: None,
    )
    running = asyncio.create_task(gateway.run())
    try:
        await gateway.online(patience_s)
        readings = rows(job.path, bad)
        while batch := list(islice(readings, job.readings_per_telegram)):
            if not await gateway.room(patience_s):
                break
            gateway.hand_in((store.write(batch),))
        left = sum(1 for _ in readings)
        await gateway.quiet(patience_s)
    finally:
        gateway.end()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return _summary(tally, bad, store, left + len(batch))


def _summary(tally: Tally, bad: BadRows, store: Store, unsent: int) -> dict[str, Any]:
    """Return what happened to the file; `unsent` readings never left, for want of receipts."""
    sent = tally.readings
    return {
        "rows": sent + unsent + bad.reasons.total(),
        "readings_sent": sent,
        "telegrams": tally.telegrams,
        **tally.receipts(),
        "waiting": len(store.waiting),
        "unsent": unsent,
        "refused_counters": dict(islice(store.refused.items(), _NAMED_MAX)),
        "bad_rows": bad.reasons.total(),
        "bad_reasons": dict(bad.reasons),
        "bad_first": bad.first,
    }


def succeeded(summary: Mapping[str, Any]) -> bool:
    """Say whether every row of the file is in the service now."""
    return not any(summary[name] for name in ("refused", "waiting", "unsent", "bad_rows"))


def check_meter_id(text: str) -> str:
    """Return a meter's name; raises ValueError for one that the protocol has no place for."""
    if re.fullmatch(r"[A-Z0-9-]{1,32}", text) is None:
        raise ValueError(f"not a meter: {text}")
    return text
