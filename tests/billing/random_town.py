"""Random households of one month: everything that can happen to a bill, decided by a seed.

The rows are written as a town's own would be, by COPY, so that ten thousand accounts take seconds.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

import asyncpg

from billing.io.prices import insert_tariff
from billing.money import Rounding
from billing.tariff import Band, NormPer, Tariff

ZONE: Final = "Asia/Almaty"
CODES: Final = ("household", "other", "energy")
# Months in which something happened to time or tax; the others are drawn.
SPECIAL: Final = ((2024, 2), (2024, 3), (2025, 12), (2026, 1), (2028, 2), (2040, 12))
LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(kw_only=True)
class RandomTown:
    """One month of a town: its dice, its days, and the rows to write by table."""

    dice: random.Random
    start: date
    end: date
    change_days: list[date] = field(default_factory=list)
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))

    def at(self, day: date) -> datetime:
        """Return the instant at which a local day begins."""
        return datetime.combine(day, time(), ZoneInfo(ZONE)).astimezone(UTC)

    def some_day(self) -> date:
        """Return a day inside the month."""
        return self.start + timedelta(days=self.dice.randint(1, (self.end - self.start).days - 1))


def month_of(seed: int, dice: random.Random) -> tuple[date, date]:
    """Return the month that a seed stands for."""
    year, month = SPECIAL[seed] if seed < len(SPECIAL) else (
        dice.randint(2024, 2040), dice.randint(1, 12)
    )  # fmt: skip
    return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)


async def settle(owner: asyncpg.Connection, seed: int, homes: int) -> RandomTown:
    """Write a town with so many households, all of which can be billed for its month."""
    dice = random.Random(seed)  # noqa: S311 - towns, not secrets
    start, end = month_of(seed, dice)
    town = RandomTown(dice=dice, start=start, end=end)
    await _prices(owner, town)
    for number in range(homes):
        _home(town, number)
    columns = {
        "account": ("account_id", "tariff_code", "currency", "opened_at"),
        "meter": (
            "meter_id", "dial_dm3", "step_dm3", "qmax_dm3_h", "compensated", "registered_at",
        ),
        "installation": (
            "meter_id", "installed_at", "account_id", "supply_point_id", "opening_dm3",
            "removed_at", "closing_dm3", "closing_turns",
        ),
        "stay_place": (
            "meter_id", "installed_at", "valid_from", "revision", "place", "zone", "said_by",
            "said_at",
        ),
        "account_terms": (
            "account_id", "valid_from", "revision", "tariff_code", "persons", "social", "said_by",
            "said_at",
        ),
        "reading": (
            "meter_id", "read_at", "register_dm3", "turns", "verdict", "counter", "received_at",
        ),
    }  # fmt: skip
    for month in {town.start - timedelta(days=1), town.start, town.end}:
        await owner.execute("SELECT open_reading_month($1)", town.at(month))
    for table, names in columns.items():
        await owner.copy_records_to_table(table, records=town.rows[table], columns=names)
    await owner.execute("ANALYZE")
    return town


async def _prices(owner: asyncpg.Connection, town: RandomTown) -> None:
    """Write VAT and tariffs, both of which may change inside the month."""
    dice = town.dice
    await owner.execute("DELETE FROM vat_rate")
    rates = {date(2009, 1, 1): 1200, date(2026, 1, 1): 1600}
    if dice.random() < 0.6:
        rates[town.some_day()] = dice.choice([0, 500, 1200, 1750])
    for valid_from, rate_bp in rates.items():
        await owner.execute("INSERT INTO vat_rate VALUES ($1, $2, 'a test')", valid_from, rate_bp)
    for code in CODES:
        edges = [
            date(2009, 1, 1),
            *sorted({town.some_day() for _ in range(dice.choice((0, 1, 2)))}),
        ]
        for valid_from, valid_to in pairwise([*edges, None]):
            assert valid_from is not None
            await insert_tariff(owner, _tariff(dice, code, valid_from, valid_to))
        town.change_days += edges[1:]
    town.change_days += [day for day in rates if town.start < day < town.end]
    await owner.execute(
        "INSERT INTO calorific_value VALUES ('north', 'mj_m3', 'month', $1, 1, $2, 'a test', $3)",
        town.start,
        dice.randint(3_700_000, 4_100_000),
        LONG_AGO,
    )


def _tariff(dice: random.Random, code: str, valid_from: date, valid_to: date | None) -> Tariff:
    energy = code == "energy"
    # A cubic metre has some 11 kWh.
    scale = 11_000 if energy else 1_000
    price = dice.randint(1, 9_999_999)
    return Tariff(
        tariff_code=code,
        valid_from=valid_from,
        valid_to=valid_to,
        net_minor_per_1000_m3=None if energy else price,
        net_minor_per_gwh=price if energy else None,
        currency="KZT",
        approved_by="a test",
        bands=_bands(dice, scale),
        rounding=dice.choice(list(Rounding)),
        norm_per=dice.choice(list(NormPer)),
        heating_months=dice.choice([(), (10, 11, 12, 1, 2, 3, 4), tuple(range(1, 13))]),
        standing_net_minor_per_1000_days=dice.choice([0, 32_680, 1]),
        standing_net_minor_per_month=dice.choice([0, 0, 9_999]),
        discount_bp=dice.choice([0, 2_000, 3_333, 10_000]),
        discount_norm=dice.choice([None, dice.randint(1, 60) * scale]),
        discount_norm_heating=dice.choice([None, dice.randint(1, 90) * scale]),
    )


def _bands(dice: random.Random, scale: int) -> tuple[Band, ...]:
    """Make up to four bands that ascend in both seasons."""
    count = dice.choice([0, 0, 1, 2, 3])
    if not count:
        return ()
    usual = sorted(dice.sample(range(1, 60 * scale), count))
    wide = sorted(dice.sample(range(1, 200 * scale), count))
    seasons = dice.random() < 0.5
    made = []
    for number in range(count + 1):
        factor = (
            {"multiplier_bp": dice.choice([10_000, 12_000, 13_337, 0])}
            if dice.random() < 0.6
            else {"net_minor": dice.randint(0, 9_999_999)}
        )
        last = number == count
        made.append(
            Band(
                up_to=None if last else usual[number],
                up_to_heating=wide[number] if seasons and not last else None,
                **factor,
            )
        )
    return tuple(made)


def _home(town: RandomTown, number: int) -> None:
    dice = town.dice
    account = f"AC-{number}"
    code = dice.choice(CODES)
    town.rows["account"].append((account, code, "KZT", LONG_AGO))
    said = [town.some_day() for _ in range(dice.choice([0, 0, 1, 2]))]
    said += [town.start] * dice.choice([0, 1]) + dice.sample(town.change_days, k=min(
        len(town.change_days), dice.choice([0, 1])
    ))  # fmt: skip
    for day in set(said):
        for revision in range(1, dice.choice([2, 2, 3])):
            # What is said after the month was billed is not known to its bill.
            late = revision == 2 and dice.random() < 0.5
            town.rows["account_terms"].append(
                (
                    account, day, revision, dice.choice([code, code, *CODES]), dice.randint(1, 6),
                    dice.random() < 0.5, "a test",
                    town.at(town.end) + timedelta(days=90) if late else LONG_AGO,
                )
            )  # fmt: skip
    changes = sorted({*town.change_days, *said})
    for point in range(dice.choice([1, 1, 1, 2])):
        _stay(town, account, f"AQ-{number}-{point}", f"SP-{point}", changes)


def _stay(town: RandomTown, account: str, name: str, point: str, changes: Sequence[date]) -> None:
    """Hang a meter up before or in the month, read it, and perhaps exchange it or take it away."""
    dice = town.dice
    installed_at = town.at(town.start) - timedelta(days=dice.randint(1, 20), hours=5)
    if dice.random() < 0.2:
        installed_at = town.at(town.some_day()) + timedelta(minutes=dice.choice([0, 1, 777]))
    exchanged_at = town.at(town.some_day()) + timedelta(minutes=dice.choice([0, 555]))
    leaves = dice.random() < 0.1
    if dice.random() < 0.2 and exchanged_at > installed_at:
        _meter(town, account, f"{name}-A", point, changes, installed_at, exchanged_at)
        if not leaves:
            _meter(town, account, f"{name}-B", point, changes, exchanged_at, None)
        return
    _meter(town, account, name, point, changes, installed_at, None)


def _meter(
    town: RandomTown,
    account: str,
    name: str,
    point: str,
    changes: Sequence[date],
    installed_at: datetime,
    removed_at: datetime | None,
) -> None:
    dice = town.dice
    dial_dm3 = dice.choice([100_000_000, 1_000_000, 100_000])
    opening = dice.randint(0, dial_dm3 - 1)
    often = dice.choice([0.0, 0.5, 1.0])
    days = {town.start, town.end} | {day for day in changes if dice.random() < often}
    instants = {
        town.at(day) - timedelta(minutes=dice.choice([0, 0, 0, 180]))
        for day in days
        if day != town.start or installed_at < town.at(day) - timedelta(minutes=180)
    }
    register = opening
    ends = removed_at or town.at(town.end)
    thirst = dice.choice([0, 9_000, 90_000, 90_000])
    for at in sorted(one for one in instants if installed_at < one <= ends and one != removed_at):
        register += dice.choice([0, dice.randint(0, thirst), dice.randint(0, thirst)])
        town.rows["reading"].append(
            (name, at, register % dial_dm3, register // dial_dm3, "billable", 1, at)
        )
    register += dice.randint(0, thirst)
    closing = (None, None) if removed_at is None else divmod(register, dial_dm3)[::-1]
    town.rows["meter"].append((name, dial_dm3, 1, 6_000, False, LONG_AGO))
    town.rows["installation"].append(
        (name, installed_at, account, point, opening, removed_at, *closing)
    )
    town.rows["stay_place"].append(
        (name, installed_at, date(2009, 1, 1), 1, "heated", "north", "a test", LONG_AGO)
    )
