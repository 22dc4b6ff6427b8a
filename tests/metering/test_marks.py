"""The marks beside a reading, against a plain search through all of them."""

import random
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from metering.io.marks import read_marks
from metering.reading import Mark, Reading
from metering.telegram import Telegram

START = datetime(2026, 1, 1, tzinfo=UTC)
# The first stay ends after 40 hours; the second begins two hours later and goes on.
STAYS = ((0, 40), (42, None))


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


async def town(owner: asyncpg.Connection, dice: random.Random) -> dict[str, dict[int, bool]]:
    """Store some hours of two meters that were exchanged once; say which are believed."""
    stored: dict[str, dict[int, bool]] = {}
    await owner.execute("SELECT open_reading_month($1)", START)
    for meter_id in ("AQ-1", "AQ-2"):
        await owner.execute(
            "INSERT INTO meter VALUES ($1, 100000000, 1, 6000, true, $2)", meter_id, START
        )
        for begin, end in STAYS:
            await owner.execute(
                "INSERT INTO installation (meter_id, installed_at, account_id, supply_point_id,"
                " opening_dm3, removed_at, closing_dm3, closing_turns)"
                " VALUES ($1, $2, 'A-1', 'SP-1', 0, $3, $4, $5)",
                meter_id, at(begin), None if end is None else at(end),
                None if end is None else 1000, None if end is None else 0,
            )  # fmt: skip
        hours = dice.sample(range(90), dice.choice([0, 3, 15, 60]))
        stored[meter_id] = {hour: dice.random() > 0.2 for hour in hours}
        for hour, trusted in stored[meter_id].items():
            await owner.execute(
                "INSERT INTO reading VALUES ($1, $2, $3, $4, $5, $6, 1, $2, 0)",
                meter_id, at(hour), hour, 0 if trusted else None,
                "billable" if trusted else "suspect", None if trusted else "too_fast",
            )  # fmt: skip
    return stored


def telegram(meter_id: str, hours: list[int]) -> Telegram:
    return Telegram(
        meter_id=meter_id,
        counter=7,
        readings=tuple(
            Reading(meter_id=meter_id, read_at=at(hour), register_dm3=hour)
            for hour in sorted(hours)
        ),
        flags=(),
        digest=bytes(32),
    )


def beside(hour: int, known: set[int]) -> tuple[int | None, int | None]:
    """Return the nearest hours before and after one."""
    return (
        max((other for other in known if other < hour), default=None),
        min((other for other in known if other > hour), default=None),
    )


def hours_of(marks: list[Mark]) -> set[int]:
    return {int((mark.read_at - START) / timedelta(hours=1)) for mark in marks}


class TestMarks:
    """What stands beside the readings of a batch ..."""

    @pytest.mark.parametrize("seed", range(12))
    async def test_is_what_a_plain_search_finds(self, owner: asyncpg.Connection, seed: int) -> None:
        """Telegrams that fit between two marks, that straddle some, and across an exchange."""
        dice = random.Random(seed)  # noqa: S311 - seeded on purpose
        stored = await town(owner, dice)
        telegrams = []
        for _ in range(20):
            first, many = dice.randrange(90), dice.choice([1, 2, 12])
            hours = dice.sample(range(first, first + 2 * many), many)
            telegrams.append(telegram(dice.choice(["AQ-1", "AQ-2"]), hours))

        found = await read_marks(owner, telegrams)

        for one in telegrams:
            for reading in one.readings:
                hour = reading.register_dm3
                for begin, end in STAYS:
                    if not (begin <= hour and (end is None or hour < end)):
                        continue
                    known = {
                        other
                        for other, trusted in stored[one.meter_id].items()
                        if trusted and other >= begin and (end is None or other < end)
                    }
                    marks = hours_of(found.get((one.meter_id, at(begin)), []))
                    assert marks <= known
                    assert beside(hour, marks) == beside(hour, known)
