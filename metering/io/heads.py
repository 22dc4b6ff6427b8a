"""The heads of meters: read from the database, and remembered while nobody else moves them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg

import sql
from metering.head import Head, looked_up
from metering.installation import Installation
from metering.meter import Meter, bucket_number
from metering.outcome import Known
from metering.reading import Mark
from metering.signed import Key
from metering.telegram import Telegram
from metering.window import Window, window

# About a kilobyte each: what a town has, and what a process may hold.
HEADS_MAX: Final = 50_000

_Q = sql.queries("metering")


class Heads:
    """What one process remembers of the meters, as far as the buckets' versions say it is true.

    Batches are stored one after another, and what one leaves behind is remembered as soon as it is
    decided, so that the next can be decided while it is written. If it is not stored after all,
    everything is forgotten and a new ``era`` begins. ``blind`` counts the batches that wait or work
    without a decision yet: behind those nothing can be foreseen.
    """

    def __init__(self) -> None:
        self.era = 0
        self.blind = 0
        self._heads: dict[int, dict[str, Head]] = {}
        self._versions: dict[int, int] = {}
        self._size = 0

    def check(self, versions: Mapping[int, int]) -> None:
        """Forget the buckets where somebody else was since we were; versions are one above ours."""
        for bucket, version in versions.items():
            if self._versions.get(bucket) != version - 1:
                self._size -= len(self._heads.pop(bucket, ()))
                # Not committed yet: if we are rolled back, the next version does not fit either.
                self._versions.pop(bucket, None)

    def find(self, meter_ids: Iterable[str]) -> tuple[dict[str, Head], list[str]]:
        """Return the heads we remember, and the meters we do not."""
        found: dict[str, Head] = {}
        unknown: list[str] = []
        for meter_id in meter_ids:
            head = self._heads.get(bucket_number(meter_id), _NONE).get(meter_id)
            if head is None:
                unknown.append(meter_id)
            else:
                found[meter_id] = head
        return found, unknown

    def foresee(self, meter_ids: Iterable[str], telegrams: Sequence[Telegram]) -> Known | None:
        """Return what will be known under the lock if nobody else gets in between, or None.

        Only for meters we remember all of, and telegrams that continue their heads.
        """
        if self.blind:
            return None
        heads, unknown = self.find(meter_ids)
        if unknown or looked_up(telegrams, heads):
            return None
        touched = {bucket_number(meter_id) for meter_id in heads}
        if not touched <= self._versions.keys():
            return None
        versions = {bucket: self._versions[bucket] + 1 for bucket in touched}
        return Known(heads=heads, versions=versions, era=self.era)

    def add(self, heads: Mapping[str, Head], versions: Mapping[int, int]) -> None:
        """Remember heads, and the versions of buckets that go with them."""
        for meter_id, head in heads.items():
            shelf = self._heads.setdefault(bucket_number(meter_id), {})
            self._size += meter_id not in shelf
            shelf[meter_id] = head
        self._versions.update(versions)
        if self._size > HEADS_MAX:
            self._clear()

    def fail(self) -> None:
        """Forget everything: what was foreseen from here on did not come true."""
        self.era += 1
        self._clear()

    def _clear(self) -> None:
        self._heads.clear()
        self._versions.clear()
        self._size = 0


_NONE: Final[dict[str, Head]] = {}


async def read_heads(connection: asyncpg.Connection, meter_ids: Sequence[str]) -> dict[str, Head]:
    """Return the heads of the registered ones among these meters."""
    asked = sorted(meter_ids)
    installations: dict[str, list[Installation]] = {}
    async for row in _Q.read_installations(connection, meter_ids=asked):
        installations.setdefault(row["meter_id"], []).append(Installation(**row))
    keys = await read_keys(connection, asked)
    heads: dict[str, Head] = {}
    async for row in _Q.read_heads(connection, meter_ids=asked):
        meter_id = row["meter_id"]
        pairs = keys.get(meter_id, ())
        heads[meter_id] = Head(
            meter=Meter(
                meter_id=meter_id,
                dial_dm3=row["dial_dm3"],
                step_dm3=row["step_dm3"],
                qmax_dm3_h=row["qmax_dm3_h"],
                compensated=row["compensated"],
            ),
            state=row["state"],
            installations=tuple(installations.get(meter_id, ())),
            keys=tuple(key for key, _ in pairs),
            windows={key.key_epoch: heard for key, heard in pairs if heard is not None},
            counter_max=-1 if row["counter_max"] is None else row["counter_max"],
            last_read_at=row["last_read_at"],
            mark=_mark(row),
        )
    return heads


async def read_keys(
    connection: asyncpg.Connection, meter_ids: Sequence[str]
) -> dict[str, list[tuple[Key, Window | None]]]:
    """Return the keys of meters, the newest first, each with the window of its counters."""
    found: dict[str, list[tuple[Key, Window | None]]] = {}
    async for row in _Q.read_keys(connection, meter_ids=list(meter_ids)):
        values = dict(row)
        high_water, seen = values.pop("high_water"), values.pop("seen")
        heard = None if high_water is None else window(high_water, seen)
        found.setdefault(values.pop("meter_id"), []).append((Key(**values), heard))
    return found


def _mark(row: Mapping[str, Any]) -> Mark | None:
    read_at: datetime | None = row["mark_read_at"]
    if read_at is None:
        return None
    return Mark(read_at=read_at, register_dm3=row["mark_register_dm3"], turns=row["mark_turns"])
