"""The rules go over a closed month in a real database, and say everything once."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import asyncpg
import pytest

from metering import validate as verb
from metering.io.findings import Findings
from metering.io.overrides import BadOverrideError
from metering.io.rules import OverrideKnownError, Rules
from metering.rule import Override, take_override
from metering.survey import Days, Window
from metering.validate import ValidateCounts, WindowNotOverError, validate
from tests.billing.town import Town

AT = datetime(2026, 2, 3, tzinfo=UTC)
ZONE = timezone(timedelta(hours=5))
WINDOW = Window(
    days=Days(start=date(2026, 1, 1), end=date(2026, 2, 1)),
    start_at=datetime(2025, 12, 31, 19, tzinfo=UTC),
    end_at=datetime(2026, 1, 31, 19, tzinfo=UTC),
    previous=Days(start=date(2025, 12, 1), end=date(2026, 1, 1)),
    last_year=Days(start=date(2025, 1, 1), end=date(2025, 2, 1)),
)


def midnight(day: int) -> str:
    """Return a local midnight of January 2026; 32 is the first of February."""
    return (WINDOW.start_at + timedelta(days=day - 1)).isoformat()


async def quiet_home(town: Town, name: str, *, m3_a_day: int = 5) -> None:
    """Read a home every midnight of January; 155 m3 in the month, nothing strange."""
    await town.home(name, {"2025-12-01T00:00:00+05:00": 0})
    for day in range(1, 33):
        await town.read(f"AQ-{name}", midnight(day), 1000 + day * m3_a_day * 1000)


async def used(owner: asyncpg.Connection, meter_id: str, volume_dm3: int) -> None:
    """Write down what a home used in December 2025."""
    await owner.execute(
        "INSERT INTO usage VALUES ($1, '2025-11-30T19:00Z', '2025-12-31T19:00Z', '2025-12-01',"
        " '2025-11-30T19:00Z', $2, 'SP-1', 0, 0, '2025-11-30T19:00Z', $3, 0,"
        " '2025-12-31T19:00Z', $3)",
        meter_id,
        meter_id.replace("AQ", "AC"),
        volume_dm3,
    )


async def run(pool: asyncpg.Pool, *, heated: bool = False) -> ValidateCounts:
    return await validate(store=Findings(pool), window=WINDOW, at=AT, heated=heated)


async def period_findings(owner: asyncpg.Connection) -> list[tuple[str, str, str, dict[str, Any]]]:
    rows = await owner.fetch("SELECT * FROM period_finding ORDER BY meter_id, code, figures::text")
    return [
        (row["meter_id"], row["code"], row["outcome"], json.loads(row["figures"])) for row in rows
    ]


async def reading_findings(owner: asyncpg.Connection) -> list[tuple[str, str, dict[str, Any]]]:
    rows = await owner.fetch("SELECT * FROM reading_finding ORDER BY meter_id, read_at, code")
    return [(row["code"], row["outcome"], json.loads(row["figures"])) for row in rows]


class TestAMonth:
    """A closed month ..."""

    async def test_without_anything_strange_leaves_no_finding(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A rule that always speaks is not listened to."""
        await quiet_home(Town(owner), "1")
        await used(owner, "AQ-1", 150_000)

        counts = await run(pool)

        assert await period_findings(owner) == []
        assert await reading_findings(owner) == []
        assert counts == ValidateCounts(installations=1, flagged=0, held=0, refused=0, written=0)

    async def test_far_above_its_history_is_held(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """155 m3 where December had 50: more than three times."""
        await quiet_home(Town(owner), "1")
        await used(owner, "AQ-1", 50_000)

        counts = await run(pool)

        assert await period_findings(owner) == [
            (
                "AQ-1",
                "high_low",
                "held",
                {
                    "volume_dm3": 155_000,
                    "expected_dm3": 50_000,
                    "days": 31,
                    "base_dm3": 50_000,
                    "base_days": 31,
                    "by_degree_days": 0,
                },
            )
        ]
        assert (counts.held, counts.written) == (1, 1)

    async def test_that_was_as_much_colder_is_not_held(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """31 days of 20 degree days against 31 of 6.5: more than three times the cold."""
        await quiet_home(Town(owner), "1")
        await used(owner, "AQ-1", 50_000)
        store = Rules(pool)
        for days, cold in ((WINDOW.days, 200), (WINDOW.previous, 65)):
            for number in range(days.count):
                day = days.start + timedelta(days=number)
                await store.note_degree_days({day: cold}, source="a test", at=AT)

        counts = await run(pool)

        assert counts.held == 0

    async def test_needs_the_temperature_of_every_day(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A month with an unknown day has no degree days; the newest note of a day counts."""
        await quiet_home(Town(owner), "1")
        await used(owner, "AQ-1", 50_000)
        store = Rules(pool)
        for days, cold in ((WINDOW.days, 200), (WINDOW.previous, 65)):
            for number in range(1, days.count):
                day = days.start + timedelta(days=number)
                await store.note_degree_days({day: 1}, source="a slip", at=AT)
                await store.note_degree_days({day: cold}, source="a test", at=AT)

        assert (await run(pool)).held == 1
        for days, cold in ((WINDOW.days, 200), (WINDOW.previous, 65)):
            await store.note_degree_days({days.start: cold}, source="a test", at=AT)
        assert (await run(pool)).held == 0

    async def test_says_what_lacks_and_what_stood_still(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Three days of silence, then a register that stands still, then silence."""
        town = Town(owner)
        await town.home("1", {"2025-12-31T00:00:00+05:00": 1000})
        for day in (1, 2, 5, 6, 7, *range(8, 21)):
            await town.read("AQ-1", midnight(day), 1000 + min(day, 7) * 1000)

        await run(pool, heated=True)

        found = await period_findings(owner)
        first = 1767207600  # 2026-01-01 00:00 at Almaty
        assert found == [
            (
                "AQ-1",
                "gap_bounded",
                "flagged",
                {"from_epoch_s": first + 86_400, "to_epoch_s": first + 4 * 86_400},
            ),
            (
                "AQ-1",
                "gap_open",
                "flagged",
                {"from_epoch_s": first + 19 * 86_400, "to_epoch_s": first + 31 * 86_400},
            ),
            ("AQ-1", "zero", "flagged", {"days": 13, "limit_days": 7}),
        ]

    async def test_does_not_look_for_readings_of_a_declared_silence(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """In the workshop from the 3rd to the 9th; nobody declared the silence after the 20th."""
        town = Town(owner)
        await town.home("1", {"2025-12-31T00:00:00+05:00": 1000})
        for day in (1, 2, 10, 11, 12, *range(13, 21)):
            await town.read("AQ-1", midnight(day), 1000 + day * 1000)
        await owner.execute(
            "INSERT INTO declared_gap VALUES ('AQ-1', '2026-01-03', '2026-01-10', 'workshop',"
            " 'Olga', now())"
        )

        await run(pool)

        assert [row[1] for row in await period_findings(owner)] == ["gap_open"]

    async def test_looks_for_them_again_once_the_silence_is_withdrawn(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A gap that was declared of the wrong meter explains nothing."""
        town = Town(owner)
        await town.home("1", {"2025-12-31T00:00:00+05:00": 1000})
        for day in (1, 2, *range(10, 32)):
            await town.read("AQ-1", midnight(day), 1000 + day * 1000)
        gap_id = await owner.fetchval(
            "INSERT INTO declared_gap VALUES ('AQ-1', '2026-01-03', '2026-01-10', 'workshop',"
            " 'Olga', now()) RETURNING gap_id"
        )
        await owner.execute(
            "INSERT INTO gap_withdrawal VALUES ('AQ-1', $1, 'another meter', 'Olga', now())", gap_id
        )

        await run(pool)

        assert "gap_bounded" in [row[1] for row in await period_findings(owner)]

    async def test_says_why_single_readings_were_not_trusted(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The reading stays as it came; beside it stands the rule with its figures."""
        town = Town(owner)
        await town.home("1", {"2025-12-31T23:00:00+05:00": 1000})
        await town.read("AQ-1", midnight(1), 2000)
        await town.read("AQ-1", midnight(2), 900_000, None)
        before = await owner.fetch("SELECT * FROM reading ORDER BY read_at")

        await run(pool)

        assert await reading_findings(owner) == [
            (
                "too_fast",
                "refused",
                {
                    "register_dm3": 900_000,
                    "before_dm3": 2000,
                    "since_s": 86_400,
                    # 6000 * 24 * 1.1 + 1
                    "advance_max_dm3": 158_401,
                },
            )
        ]
        assert await owner.fetch("SELECT * FROM reading ORDER BY read_at") == before

    async def test_flags_a_rollover_and_a_late_reading(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Both measure; somebody may want to look."""
        town = Town(owner)
        await town.account("AC-1")
        await town.meter("AQ-1", dial_dm3=100_000)
        await town.install("AQ-1", "AC-1", "2025-12-31T23:00:00+05:00", 99_000)
        await town.read("AQ-1", midnight(1), 99_500)
        await town.read("AQ-1", midnight(2), 500, 1)
        await owner.execute(
            "UPDATE reading SET received_at = read_at + interval '36 days' WHERE register_dm3 = 500"
        )

        await run(pool)

        assert await reading_findings(owner) == [
            ("late", "flagged", {"late_days": 36}),
            ("rollover", "flagged", {"before_dm3": 99_500, "register_dm3": 500}),
        ]

    async def test_proposes_a_new_level_and_does_not_take_it(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Three readings agree far above the line: a person is asked, and nothing is measured."""
        town = Town(owner)
        await town.home("1", {"2025-12-31T23:00:00+05:00": 1000})
        await town.read("AQ-1", midnight(1), 2000)
        for day in (2, 3, 4):
            await town.read("AQ-1", midnight(day), 900_000 + day, None)

        await run(pool)

        held = [row for row in await period_findings(owner) if row[1] == "rebaseline"]
        assert [(row[2], row[3]["readings"], row[3]["last_dm3"]) for row in held] == [
            ("held", 3, 900_004)
        ]
        assert await owner.fetchval("SELECT count(*) FROM trusted_reading") == 1

    async def test_takes_a_persons_word_for_a_mark(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Once somebody has decided, there is no level to propose."""
        town = Town(owner)
        await town.home("1", {"2025-12-31T23:00:00+05:00": 1000})
        await town.read("AQ-1", midnight(1), 2000)
        for day in (2, 3, 4):
            await town.read("AQ-1", midnight(day), 900_000 + day, None)
        await owner.execute(
            "INSERT INTO reading_decision VALUES ('AQ-1', $1, 'accept', 900004, 0, 'Olga', 'seen',"
            " now())",
            datetime.fromisoformat(midnight(4)),
        )

        await run(pool)

        assert "rebaseline" not in {row[1] for row in await period_findings(owner)}

    async def test_hears_what_a_device_says_of_itself(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A counter that says it began again asks for an exchange to be entered."""
        await quiet_home(Town(owner), "1")
        await owner.execute(
            "INSERT INTO telegram (meter_id, counter, digest, received_at, readings, flags, trust)"
            " VALUES ('AQ-1', 1, $1, $2, 1, '{register_reset,battery_low}', 'unsigned')",
            b"d" * 32,
            AT,
        )

        await run(pool)

        assert await period_findings(owner) == [
            ("AQ-1", "device_flag", "flagged", {"flags": 1}),
            ("AQ-1", "exchange", "held", {"flags": 1}),
        ]


class TestARun:
    """A run of the rules ..."""

    async def test_says_everything_once(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Whoever runs it twice, or two at once, finds the same and writes nothing new."""
        await quiet_home(Town(owner), "1")
        await used(owner, "AQ-1", 50_000)

        first, second = await run(pool), await run(pool)

        assert (first.held, first.written) == (1, 1)
        assert (second.held, second.written) == (1, 0)
        assert len(await period_findings(owner)) == 1

    async def test_says_something_new_beside_the_old(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A finding is a fact of its day: what a late reading changes is another row."""
        town = Town(owner)
        await town.home("1", {"2025-12-31T23:00:00+05:00": 1000})
        await town.read("AQ-1", midnight(1), 2000)
        await run(pool)
        await town.read("AQ-1", midnight(20), 3000)

        counts = await run(pool)

        assert counts.written == 2
        codes = [row[1] for row in await period_findings(owner)]
        assert codes == ["gap_bounded", "gap_open", "gap_open"]

    async def test_passes_no_installation_over(
        self,
        pool: asyncpg.Pool,
        owner: asyncpg.Connection,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Pages of two, five meters, and a meter that hung in two places."""
        monkeypatch.setattr(verb, "INSTALLATIONS_PER_PAGE", 2)
        town = Town(owner)
        for name in "12345":
            await town.home(name, {midnight(1): 0})
        await town.remove("AQ-3", midnight(10), 0)
        await town.install("AQ-3", "AC-4", midnight(10), 0)
        await town.meter("AQ-6")
        await town.install("AQ-6", "AC-5", "2026-02-02T00:00:00+05:00", 0)

        counts = await run(pool)

        assert counts.installations == 6
        silent = {row[0] for row in await period_findings(owner)}
        assert silent == {"AQ-1", "AQ-2", "AQ-3", "AQ-4", "AQ-5"}

    async def test_waits_for_the_end_of_the_month(self, pool: asyncpg.Pool) -> None:
        """A month that runs would be full of gaps."""
        early = WINDOW.end_at - timedelta(microseconds=1)
        with pytest.raises(WindowNotOverError, match="2026-01-01"):
            await validate(store=Findings(pool), window=WINDOW, at=early, heated=False)


class OneConnection:
    """A pool that always hands out the same connection, so that its statistics can be read."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """Hand the connection out."""
        yield self.connection


class TestPlans:
    """A page of installations ..."""

    async def test_reads_no_table_from_end_to_end(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A country has too many readings in a month to read them all for each page."""
        town = Town(owner)
        for number in range(30):
            await town.home(f"{number:02d}", {midnight(1): 0, midnight(2): 7})

        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            counts = await validate(
                store=Findings(OneConnection(connection)), window=WINDOW, at=AT, heated=False
            )
            scanned = await connection.fetch(
                "SELECT relname FROM pg_stat_xact_user_tables WHERE seq_scan > 0"
            )

        assert counts.installations == 30
        assert {row["relname"] for row in scanned} - {"rule_override", "degree_day"} == set()


@dataclass
class Order:
    """A town's order about one rule."""

    code: str = "high_low"
    figures: dict[str, object] = field(default_factory=lambda: {"high_percent": 400})
    valid_from: date = date(2026, 1, 1)
    meter_type: str | None = None

    def taken(self) -> Override:
        """Return it as the rules take it."""
        override = take_override(
            code=self.code,
            meter_type=self.meter_type,
            valid_from=self.valid_from,
            from_at=datetime.combine(self.valid_from, time(), ZONE),
            outcome=None,
            figures=self.figures,
            approved_by="order 12",
        )
        assert isinstance(override, Override)
        return override


class TestATownsOwnRules:
    """A town's override ..."""

    @pytest.mark.parametrize(
        ("order", "held"),
        [
            (Order(), 0),
            (Order(meter_type="diaphragm"), 0),
            (Order(meter_type="pulse"), 1),
            (Order(valid_from=date(2026, 1, 2)), 1),
        ],
    )
    async def test_holds_for_its_type_from_its_day(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, order: Order, held: int
    ) -> None:
        """155 m3 against 50 are above 300 %, below 400 %; a period is judged by its first day."""
        await quiet_home(Town(owner), "1")
        await used(owner, "AQ-1", 50_000)
        await Rules(pool).add_override(order.taken(), at=AT)

        counts = await run(pool)

        assert counts.held == held

    async def test_is_said_once_a_day(self, pool: asyncpg.Pool) -> None:
        """The form sent twice is one word; a second one would leave open which held."""
        rules = Rules(pool)

        assert await rules.add_override(Order().taken(), at=AT)
        assert not await rules.add_override(Order().taken(), at=AT)
        with pytest.raises(OverrideKnownError):
            await rules.add_override(Order(figures={"high_percent": 500}).taken(), at=AT)

    async def test_that_we_do_not_know_stops_the_run(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Better no finding than one by half the rules."""
        await owner.execute(
            "INSERT INTO rule_override VALUES ('high_low', '', '2026-01-01', NULL,"
            " '{\"high_percent\": -5}', 'order 12', now(), '2025-12-31T19:00Z')"
        )

        with pytest.raises(BadOverrideError, match="negative"):
            await run(pool)
