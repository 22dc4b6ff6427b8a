"""What a store remembers of meters: it must decide as one that remembers nothing.

The same batches go to two families of meters, one by way of a long-lived store, one by stores made
anew for every batch; a plain model in Python says which registers must be there in the end.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from metering.batch import settle
from metering.ingest import IngestCounts, ingest
from metering.installation import Installation
from metering.io.registry import Registry
from metering.io.store import Batch, Store
from metering.outcome import Heard, Known
from metering.receipt import Receipt
from metering.telegram import Arrival, Telegram, decode
from simulators.wire import bucket

AT = datetime(2026, 3, 1, 0, 5, tzinfo=UTC)
INSTALLED = datetime(2025, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
# Names of the same length in two families, so that each meter has a twin in the other.
LONG, FRESH = "AQ-1", "AQ-2"
METERS = ("00001", "00002", "00003")

# A telegram: which meter, counter, and (day, dm3) of its readings.
Said = tuple[str, int, tuple[tuple[int, int], ...]]


def arrival(family: str, said: Said) -> Arrival:
    number, counter, registers = said
    meter = family + number
    readings = ",".join(
        f'{{"at":"{(INSTALLED + day * DAY).isoformat()}","dm3":{dm3}}}' for day, dm3 in registers
    )
    body = f'{{"meter":"{meter}","counter":{counter},"readings":[{readings}]}}'
    return Arrival(
        topic=f"gas/v1/{bucket(meter)}/{meter}/up/json",
        payload=body.encode(), retained=False, handle=None,
    )  # fmt: skip


async def hang(owner: asyncpg.Connection, meter: str) -> None:
    await owner.execute(
        "INSERT INTO meter VALUES ($1, 100000000, 1, 6000, true, $2)", meter, INSTALLED
    )
    await owner.execute(
        "INSERT INTO installation VALUES ($1, $2, 'A-1', 'SP-1', 0)", meter, INSTALLED
    )


async def take(store: Store, family: str, batch: Sequence[Said]) -> tuple[IngestCounts, list[str]]:
    """Store a batch, and return its counts and every answer, the family's name left out."""
    counts, receipts = await ingest([arrival(family, said) for said in batch], store=store, at=AT)
    return counts, sorted(_answer(receipt, family) for receipt in receipts)


def _answer(receipt: Receipt, family: str) -> str:
    return receipt.payload.decode().replace(family, "")


async def rows(owner: asyncpg.Connection, family: str) -> list[tuple[Any, ...]]:
    found = await owner.fetch(
        "SELECT substr(meter_id, 5), read_at, register_dm3, turns, verdict, reason, counter"
        " FROM reading WHERE starts_with(meter_id, $1) ORDER BY 1, 2",
        family,
    )
    return [tuple(row.values()) for row in found]


def batches(dice: random.Random, count: int) -> list[tuple[list[Said], list[Said]]]:
    """Return batches, each with one to roll back before it.

    Most telegrams go forward: the c-th has the counter 2 c and the days 3 c and 3 c + 1 of its
    line. Some repeat, contradict, come late or run back. What is rolled back lies between two
    honest telegrams with a register far above both.
    """
    clock = dict.fromkeys(METERS, 0)
    before: list[Said] = []
    made = []
    for _ in range(count):
        number = dice.choice(METERS)
        now = clock[number]
        lost: list[Said] = [(number, 2 * now + 1, ((3 * now + 2, 250 * (3 * now + 2) + 5000),))]
        batch: list[Said] = []
        for _ in range(dice.randint(1, 5)):
            number = dice.choice(METERS)
            kind = dice.random()
            if before and kind < 0.1:
                said = dice.choice(before)
            elif before and kind < 0.15:
                number, counter, ((day, dm3), *rest) = dice.choice(before)
                said = (number, counter, ((day, dm3 + 1), *rest))
            elif kind < 0.25:
                day = dice.randint(0, 3 * clock[number] + 2)
                dm3 = max(250 * day + dice.randint(-500, 500), 0)
                said = (number, dice.randint(0, 2 * clock[number] + 1), ((day, dm3),))
            else:
                clock[number] += 1
                day = 3 * clock[number]
                said = (number, 2 * clock[number], ((day, 250 * day), (day + 1, 250 * day + 100)))
            batch.append(said)
            before.append(said)
        made.append((lost if dice.random() < 0.3 else [], batch))
    return made


def registers_of(batches: Sequence[Sequence[Said]]) -> dict[tuple[str, int], int]:
    """Return what must be stored: the first telegram of a counter, the first word of an instant."""
    told: dict[tuple[str, int], Said] = {}
    held: dict[tuple[str, int], int] = {}
    for said in (said for batch in batches for said in batch):
        number, counter, registers = said
        if (number, counter) in told:
            continue
        if all(held.get((number, day), dm3) != dm3 for day, dm3 in registers):
            continue
        told[number, counter] = said
        for day, dm3 in registers:
            held.setdefault((number, day), dm3)
    return held


class TestALongMemory:
    """A store that remembers ..."""

    @pytest.mark.parametrize("seed", range(6))
    async def test_decides_like_one_that_forgets(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, seed: int
    ) -> None:
        """Sixty batches, and now and then another process writes, or a batch is rolled back."""
        dice = random.Random(seed)  # noqa: S311 - seeded on purpose
        for number in METERS:
            await hang(owner, LONG + number)
            await hang(owner, FRESH + number)
        store, neighbour = Store(pool), Store(pool)
        made = batches(dice, 60)
        for lost, batch in made:
            if lost:
                await roll_back(store, lost)
            writer = neighbour if dice.random() < 0.2 else store

            remembered = await take(writer, LONG, batch)

            assert remembered == await take(Store(pool), FRESH, batch)
        assert await rows(owner, LONG) == await rows(owner, FRESH)
        stored = {(row[0], (row[1] - INSTALLED) // DAY): row[2] for row in await rows(owner, LONG)}
        assert stored == registers_of([batch for _, batch in made])

    async def test_sees_a_meter_taken_down_and_hung_up(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The registry moves the meter between two batches."""
        registry, store = Registry(pool=pool), Store(pool)
        for family in (LONG, FRESH):
            await hang(owner, family + "00001")
        moves: list[Said] = [
            ("00001", 1, ((1, 1000),)),
            ("00001", 2, ((2, 2000), (5, 2500))),
            ("00001", 3, ((7, 100),)),
        ]
        seen = [await take(store, LONG, moves[:1])]
        plain = [await take(Store(pool), FRESH, moves[:1])]
        for family in (LONG, FRESH):
            await registry.remove(
                family + "00001", removed_at=INSTALLED + 3 * DAY, closing_dm3=1500, at=AT
            )
        seen.append(await take(store, LONG, moves[1:2]))
        plain.append(await take(Store(pool), FRESH, moves[1:2]))
        for family in (LONG, FRESH):
            await registry.install(
                Installation(
                    meter_id=family + "00001", installed_at=INSTALLED + 6 * DAY, account_id="A-2",
                    supply_point_id="SP-2", opening_dm3=50,
                    removed_at=None, closing_dm3=None, closing_turns=None,
                )
            )  # fmt: skip
        seen.append(await take(store, LONG, moves[2:]))
        plain.append(await take(Store(pool), FRESH, moves[2:]))

        assert seen == plain
        assert await rows(owner, LONG) == await rows(owner, FRESH)
        assert (await rows(owner, LONG))[-1][2:5] == (100, 0, "billable")

    async def test_tries_again_when_a_row_is_there_that_it_did_not_know(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Somebody wrote past the lock: the second look finds the telegram, and it is a repeat."""
        await hang(owner, LONG + "00001")
        store = Store(pool)
        await take(store, LONG, [("00001", 1, ((1, 1000),))])
        await owner.execute(
            "INSERT INTO telegram SELECT meter_id, 2, '\\x00'::bytea || substr(digest, 2),"
            " received_at, readings, flags, trust, key_epoch, evidence FROM telegram"
        )

        counts, _ = await take(store, LONG, [("00001", 2, ((2, 2000),))])

        assert (counts.stored, counts.refused) == (0, 1)
        assert [row[2] for row in await rows(owner, LONG)] == [1000]
        counts, _ = await take(store, LONG, [("00001", 3, ((2, 2000),))])
        assert counts.stored == 1

    async def test_looks_again_for_a_telegram_that_was_taken_out(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Somebody deleted rows by hand: what the meter says again is stored again."""
        await hang(owner, LONG + "00001")
        store = Store(pool)
        said: Said = ("00001", 1, ((1, 1000),))
        await take(store, LONG, [said])
        await owner.execute("DELETE FROM telegram")
        await owner.execute("DELETE FROM reading")

        counts, _ = await take(store, LONG, [said])

        assert (counts.stored, counts.readings) == (1, 1)
        assert [row[2] for row in await rows(owner, LONG)] == [1000]


async def roll_back(store: Store, batch: Sequence[Said]) -> None:
    """Let a batch come as far as its commit, and fail there."""
    arrivals = [arrival(LONG, said) for said in batch]
    heard = [Heard(arrival=one, said=decode(one.topic, one.payload)) for one in arrivals]
    telegrams = [one.said for one in heard if isinstance(one.said, Telegram)]
    with suppress(ConnectionResetError):
        async with store.batch(telegrams) as open_batch:
            known = await open_batch.load({one.meter_id for one in telegrams}, telegrams)
            await open_batch.keep(settle(heard, known=known, at=AT), at=AT)
            raise ConnectionResetError


class Shaky(Store):
    """A store that loses the batches it is told to, and notes which foresights came true."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__(pool)
        self.lost: set[int] = set()
        self.came_true: list[bool] = []
        self.before_next: Callable[[], Awaitable[None]] | None = None
        self._opened = 0

    def begin(self, lost: set[int]) -> None:
        """Lose these of the batches that are opened from now on, counted from 0."""
        self._opened, self.lost = 0, lost

    @asynccontextmanager
    async def batch(
        self, telegrams: Sequence[Telegram], *, foreseen: bool = False
    ) -> AsyncIterator[Batch]:
        """Fail at the commit if told to."""
        number = self._opened
        self._opened += 1
        if self.before_next is not None:
            await self.before_next()
        async with super().batch(telegrams, foreseen=foreseen) as batch:
            yield _Spy(batch, self.came_true)
            if number in self.lost:
                raise ConnectionResetError


class _Spy:
    def __init__(self, batch: Batch, came_true: list[bool]) -> None:
        self._batch, self._came_true = batch, came_true
        self.load, self.keep = batch.load, batch.keep

    async def holds(self, foreseen: Known) -> bool:
        self._came_true.append(await self._batch.holds(foreseen))
        return self._came_true[-1]


class TestForesight:
    """Batches that are decided while others are being written ..."""

    @pytest.mark.parametrize("seed", range(6))
    async def test_decide_like_batches_that_wait(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, seed: int
    ) -> None:
        """Three at once, of which some are lost at their commit; now and then somebody else writes.

        The twin takes what was not lost, one after another, by stores that remember nothing.
        """
        dice = random.Random(seed)  # noqa: S311 - seeded on purpose
        for number in METERS:
            await hang(owner, LONG + number)
            await hang(owner, FRESH + number)
        store, neighbour = Shaky(pool), Store(pool)
        made = iter(onward(dice, 120))
        for three in zip(made, made, made, strict=True):
            lost = {number for number in range(3) if dice.random() < 0.15}
            if dice.random() < 0.2:
                other = next(iter(three))[:1]
                await take(neighbour, LONG, other)
                await take(Store(pool), FRESH, other)
            store.begin(lost)

            taken = await asyncio.gather(
                *(take(store, LONG, batch) for batch in three), return_exceptions=True
            )

            for number, (batch, remembered) in enumerate(zip(three, taken, strict=True)):
                if number in lost:
                    assert isinstance(remembered, ConnectionResetError)
                else:
                    assert remembered == await take(Store(pool), FRESH, batch)
        assert await rows(owner, LONG) == await rows(owner, FRESH)
        assert store.came_true.count(True) > 20
        assert store.came_true.count(False) > 3

    async def test_are_decided_again_when_the_numbers_fit_by_chance(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """One batch is lost, and somebody else writes as many: the version is as foreseen.

        What was lost stood at 2500; 2400 after it would be a dial that runs back.
        """
        await hang(owner, LONG + "00001")
        store, neighbour = Shaky(pool), Store(pool)
        await take(store, LONG, [("00001", 1, ((1, 250),))])

        async def somebody_else() -> None:
            await lost_one
            await take(neighbour, LONG, [("00001", 2, ((2, 500),))])

        store.begin({0})
        lost_one = asyncio.create_task(lose(store, ("00001", 3, ((10, 2500),))))
        await asyncio.sleep(0)
        store.before_next = somebody_else
        counts, _ = await take(store, LONG, [("00001", 4, ((11, 2400),))])

        assert store.came_true == [True, False]
        assert (counts.stored, counts.suspect) == (1, 0)
        assert [row[2:5] for row in await rows(owner, LONG)] == [
            (250, 0, "billable"), (500, 0, "billable"), (2400, 0, "billable"),
        ]  # fmt: skip


async def lose(store: Shaky, said: Said) -> None:
    with suppress(ConnectionResetError):
        await take(store, LONG, [said])


def onward(dice: random.Random, count: int) -> list[list[Said]]:
    """Return batches whose telegrams go forward, one in ten to a register that is too far."""
    clock = dict.fromkeys(METERS, 0)
    made = []
    for _ in range(count):
        batch: list[Said] = []
        for _ in range(dice.randint(1, 4)):
            number = dice.choice(METERS)
            clock[number] += 1
            now = clock[number]
            far = 100_000_000 if dice.random() < 0.1 else 0
            batch.append((number, now, ((now, 250 * now + far),)))
        made.append(batch)
    return made
