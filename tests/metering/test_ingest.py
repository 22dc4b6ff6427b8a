"""One batch of telegrams against a real database."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zlib import crc32

import asyncpg
import pytest

from metering.ingest import IngestCounts, ingest
from metering.io.store import Store
from metering.receipt import Receipt
from metering.telegram import Arrival

AT = datetime(2026, 3, 1, 0, 5, tzinfo=UTC)
INSTALLED = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def topic(meter: str) -> str:
    return f"gas/v1/{crc32(meter.encode()) % 64:02d}/{meter}/up/json"


def telegram(
    counter: int, *readings: tuple[datetime, int], meter: str = "AQ-000001", **more: object
) -> Arrival:
    body = {
        "meter": meter,
        "counter": counter,
        "readings": [{"at": at.isoformat(), "dm3": dm3} for at, dm3 in readings],
        **more,
    }
    return raw(topic(meter), json.dumps(body).encode())


def raw(topic: str, payload: bytes) -> Arrival:
    return Arrival(topic=topic, payload=payload, retained=False, handle=None)


def day(number: int) -> datetime:
    """Midnight UTC, so many days after the installation."""
    return INSTALLED + number * DAY


async def hang(
    owner: asyncpg.Connection,
    meter: str = "AQ-000001",
    *,
    dial_dm3: int = 100_000_000,
    opening_dm3: int = 0,
    removed: tuple[datetime, int, int] | None = None,
) -> None:
    """Register a meter of 6 m3/h that counts in litres, and hang it up."""
    await owner.execute(
        "INSERT INTO meter VALUES ($1, $2, 1, 6000, true, $3) ON CONFLICT DO NOTHING",
        meter, dial_dm3, INSTALLED,
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO installation VALUES ($1, $2, 'A-1', 'SP-1', $3, $4, $5, $6)",
        meter, INSTALLED, opening_dm3, *(removed or (None, None, None)),
    )  # fmt: skip


@pytest.fixture
def store(pool: asyncpg.Pool) -> Store:
    return Store(pool)


async def take(
    store: Store, *arrivals: Arrival, at: datetime = AT
) -> tuple[IngestCounts, list[Receipt]]:
    return await ingest(arrivals, store=store, at=at)


async def rows(owner: asyncpg.Connection, meter: str = "AQ-000001") -> list[tuple[object, ...]]:
    """Return day, register, turns, verdict and reason of every stored reading."""
    found = await owner.fetch(
        "SELECT read_at, register_dm3, turns, verdict, reason FROM reading"
        " WHERE meter_id = $1 ORDER BY read_at",
        meter,
    )
    return [((row[0] - INSTALLED) // DAY, *list(row.values())[1:]) for row in found]


async def refused(owner: asyncpg.Connection) -> list[tuple[object, ...]]:
    found = await owner.fetch("SELECT sender, reason, times FROM refused_telegram ORDER BY 1, 2")
    return [tuple(row.values()) for row in found]


def answers(receipts: Sequence[Receipt]) -> list[object]:
    return [entry for receipt in receipts for entry in json.loads(receipt.payload)["receipts"]]


class TestAnHonestTelegram:
    """A registered, installed meter that counts upwards ..."""

    async def test_is_stored_and_receipted(self, store: Store, owner: asyncpg.Connection) -> None:
        """The plainest day: two registers come in, the meter may forget them."""
        await hang(owner)

        counts, receipts = await take(
            store, telegram(42, (day(1), 1000), (day(2), 3000), flags=["battery_low"])
        )

        assert counts == IngestCounts(telegrams=1, stored=1, readings=2, receipts=1)
        assert await rows(owner) == [
            (1, 1000, 0, "billable", None),
            (2, 3000, 0, "billable", None),
        ]
        bucket = crc32(b"AQ-000001") % 64
        assert receipts == [
            Receipt(
                topic=f"gas/v1/{bucket:02d}/AQ-000001/down/receipt",
                payload=(
                    b'{"meter":"AQ-000001","at":"2026-03-01T00:05:00Z",'
                    b'"receipts":[{"counter":42,"result":"stored"}]}'
                ),
                retain=True,
            )
        ]
        kept = await owner.fetchrow("SELECT counter, readings, flags, trust FROM telegram")
        assert tuple(kept.values()) == (42, 2, ["battery_low"], "unsigned")

    async def test_may_pass_zero(self, store: Store, owner: asyncpg.Connection) -> None:
        """A dial of 100 m3 that goes from 99.9 to 0.2 has passed zero, not lost 99.7."""
        await hang(owner, dial_dm3=100_000, opening_dm3=99_000)

        await take(store, telegram(1, (day(1), 99_900), (day(2), 200), (day(3), 700)))

        assert await rows(owner) == [
            (1, 99_900, 0, "billable", None),
            (2, 200, 1, "billable", None),
            (3, 700, 1, "billable", None),
        ]

    async def test_may_send_its_backlog_after_newer_readings(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """After an outage the newest comes first; the late ones find their place across zero."""
        await hang(owner, dial_dm3=100_000, opening_dm3=99_000)

        await take(store, telegram(3, (day(4), 600)))
        await take(store, telegram(1, (day(1), 99_300), (day(2), 99_800)))
        await take(store, telegram(2, (day(3), 100)))

        assert await rows(owner) == [
            (1, 99_300, 0, "billable", None),
            (2, 99_800, 0, "billable", None),
            (3, 100, 1, "billable", None),
            (4, 600, 1, "billable", None),
        ]

    async def test_may_span_months(self, store: Store, owner: asyncpg.Connection) -> None:
        """Readings of months nobody has seen yet find room by themselves."""
        await hang(owner)

        counts, _ = await take(store, telegram(1, (day(5), 10), (day(35), 20), (day(58), 30)))

        assert counts.readings == 3
        assert counts.suspect == 0


class TestARepeat:
    """The same telegram once more ..."""

    async def test_changes_nothing(self, store: Store, owner: asyncpg.Connection) -> None:
        """The broker or the meter says it again: a receipt, no row."""
        await hang(owner)
        await take(store, telegram(1, (day(1), 1000)))

        counts, receipts = await take(store, telegram(1, (day(1), 1000)))

        assert counts == IngestCounts(telegrams=1, repeated=1, receipts=1)
        assert answers(receipts) == [{"counter": 1, "result": "repeated"}]
        assert await owner.fetchval("SELECT count(*) FROM reading") == 1

    async def test_inside_one_batch_is_stored_once(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """After a reconnect the same message may stand twice in one batch."""
        await hang(owner)
        once = telegram(1, (day(1), 1000))

        counts, receipts = await take(store, once, telegram(2, (day(2), 2000)), once)

        assert counts == IngestCounts(telegrams=3, stored=2, repeated=1, readings=2, receipts=1)
        assert answers(receipts) == [
            {"counter": 1, "result": "stored"},
            {"counter": 2, "result": "stored"},
        ]

    async def test_in_other_words_is_still_a_repeat(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """A gateway that writes JSON anew, or another offset, tells the same story."""
        await hang(owner)
        await take(store, telegram(1, (day(1), 1000)))
        body = (
            '{ "counter":1, "flags": [], "meter":"AQ-000001",'
            ' "readings":[{"dm3":1000,"at":"2026-01-02T05:00:00+05:00"}]}'
        )

        counts, _ = await take(store, raw(topic("AQ-000001"), body.encode()))

        assert counts.repeated == 1

    async def test_under_a_new_counter_adds_only_what_is_new(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """Overlapping backlogs are normal; a known register is neither stored again nor a fault."""
        await hang(owner)
        await take(store, telegram(1, (day(1), 1000)))

        counts, _ = await take(store, telegram(2, (day(1), 1000), (day(2), 2000)))

        assert counts == IngestCounts(telegrams=1, stored=1, readings=1, receipts=1)


class TestAContradiction:
    """Another story about something we already know ..."""

    async def test_under_one_counter_is_refused(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """The first story stands; the second is kept as evidence."""
        await hang(owner)
        await take(store, telegram(1, (day(1), 1000)))

        _, receipts = await take(store, telegram(1, (day(1), 1001)))

        assert answers(receipts) == [
            {"counter": 1, "result": "refused", "reason": "counter_conflict"}
        ]
        assert await rows(owner) == [(1, 1000, 0, "billable", None)]
        assert await refused(owner) == [("AQ-000001", "counter_conflict", 1)]

    async def test_about_one_instant_never_overwrites(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """The rest of the telegram is taken, the contradicting register is only evidence."""
        await hang(owner)
        await take(store, telegram(1, (day(1), 1000)))

        counts, receipts = await take(store, telegram(2, (day(1), 1500), (day(2), 2000)))

        assert counts == IngestCounts(
            telegrams=1, stored=1, readings=1, reading_conflicts=1, receipts=1
        )
        assert answers(receipts) == [{"counter": 2, "result": "stored"}]
        assert await rows(owner) == [
            (1, 1000, 0, "billable", None),
            (2, 2000, 0, "billable", None),
        ]
        assert await refused(owner) == [("AQ-000001", "reading_conflict", 1)]

    async def test_about_every_instant_is_refused(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """Nothing of it can be taken, so the meter is told so, every time it asks."""
        await hang(owner)
        await take(store, telegram(1, (day(1), 1000)))

        await take(store, telegram(2, (day(1), 1500)))
        _, receipts = await take(store, telegram(2, (day(1), 1500)))

        assert answers(receipts) == [
            {"counter": 2, "result": "refused", "reason": "reading_conflict"}
        ]
        assert await refused(owner) == [("AQ-000001", "reading_conflict", 2)]

    async def test_inside_one_batch_is_found_as_well(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """The batch is one transaction, but its messages still come one after the other."""
        await hang(owner)

        counts, receipts = await take(
            store,
            telegram(1, (day(1), 1000)),
            telegram(1, (day(1), 1001)),
            telegram(2, (day(1), 1002)),
        )

        assert (counts.stored, counts.refused) == (1, 2)
        assert answers(receipts) == [
            {"counter": 1, "result": "stored"},
            {"counter": 2, "result": "refused", "reason": "reading_conflict"},
        ]


class TestAStranger:
    """A meter that we do not know, or that hangs nowhere ..."""

    async def test_is_refused_without_a_retained_receipt(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """Anybody can invent a name; the broker must not keep something for each."""
        counts, receipts = await take(store, telegram(1, (day(1), 1000), meter="NOBODY-1"))

        assert counts == IngestCounts(telegrams=1, refused=1, receipts=1)
        assert [receipt.retain for receipt in receipts] == [False]
        assert answers(receipts) == [{"counter": 1, "result": "refused", "reason": "unknown_meter"}]
        assert await refused(owner) == [("", "unknown_meter", 1)]

    async def test_makes_no_room_for_its_months(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """A stranger who names the year 2077 must not be able to create a table."""
        await take(store, telegram(1, (datetime(2077, 1, 1, tzinfo=UTC), 1), meter="NOBODY-1"))

        assert await owner.fetchval("SELECT to_regclass('reading_207701')") is None

    async def test_is_refused_when_registered_but_never_hung(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """A meter on the shelf measures nobody's gas."""
        await owner.execute(
            "INSERT INTO meter VALUES ('AQ-000001', 100000, 1, 6000, true, $1)", INSTALLED
        )

        _, receipts = await take(store, telegram(1, (day(1), 1000)))

        assert [receipt.retain for receipt in receipts] == [True]
        assert answers(receipts) == [{"counter": 1, "result": "refused", "reason": "not_installed"}]

    async def test_is_refused_after_its_removal(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """What a removed meter counts in the workshop is not the household's gas."""
        await hang(owner, removed=(day(10), 5000, 0))

        _, receipts = await take(store, telegram(1, (day(10), 5000)))

        assert answers(receipts) == [{"counter": 1, "result": "refused", "reason": "not_installed"}]

    async def test_late_backlog_before_the_removal_still_counts(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """Readings from the time it hung are the household's, up to the closing register."""
        await hang(owner, removed=(day(10), 5000, 0))

        await take(store, telegram(1, (day(8), 4000), (day(9), 5001), (day(11), 6000)))

        assert await rows(owner) == [
            (8, 4000, 0, "billable", None),
            (9, 5001, None, "suspect", "index_down"),
            (11, 6000, None, "suspect", "after_removal"),
        ]


class TestASuspectReading:
    """A register that cannot be, or not there and then ..."""

    @pytest.mark.parametrize(
        ("read_at", "register_dm3", "reason"),
        [
            (AT + timedelta(minutes=10), 2000, None),
            (AT + timedelta(minutes=10, seconds=1), 2000, "clock_ahead"),
            (INSTALLED - timedelta(seconds=1), 2000, "before_installation"),
            (day(2), 999, "index_down"),
            (day(2), 159_401, None),
            (day(2), 159_402, "too_fast"),
            (day(2), 16_777_215, "sentinel"),
            (day(2), 4_294_967_295, "sentinel"),
            (day(2), 100_000_000, "beyond_dial"),
        ],
    )
    async def test_is_kept_with_its_reason(
        self,
        store: Store,
        owner: asyncpg.Connection,
        read_at: datetime,
        register_dm3: int,
        reason: str | None,
    ) -> None:
        """Stored as it came, but it measures nothing.

        After 1000 at day 1, a meter of 6000 dm3/h counts at most 6000 * 24 * 1.1 + 1 = 158401.
        """
        await hang(owner)

        counts, receipts = await take(
            store, telegram(1, (day(1), 1000)), telegram(2, (read_at, register_dm3))
        )

        verdicts = {row[1]: row[3:] for row in await rows(owner)}
        expected = ("billable", None) if reason is None else ("suspect", reason)
        assert verdicts[register_dm3] == expected
        assert counts.suspect == (reason is not None)
        assert answers(receipts)[1] == {"counter": 2, "result": "stored"}

    async def test_does_not_spoil_the_next(self, store: Store, owner: asyncpg.Connection) -> None:
        """The next honest register is measured from the last trusted one."""
        await hang(owner)

        await take(store, telegram(1, (day(1), 1000), (day(2), 90_000_000), (day(3), 3000)))
        await take(store, telegram(2, (day(4), 4000)))

        assert [row[3] for row in await rows(owner)] == [
            "billable", "suspect", "billable", "billable",
        ]  # fmt: skip

    async def test_late_one_must_fit_what_came_after_it(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """A late register above a later one would make gas flow backwards."""
        await hang(owner)
        await take(store, telegram(1, (day(1), 1000), (day(3), 3000)))

        await take(store, telegram(2, (day(2), 3001)))

        assert (await rows(owner))[1] == (2, 3001, None, "suspect", "index_down")


class TestNonsense:
    """A message that is no telegram ..."""

    async def test_is_kept_and_answered_when_the_sender_is_known(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """The counter is named where it can be read, so that the meter stops sending it."""
        await hang(owner)
        where = topic("AQ-000001")

        counts, receipts = await take(
            store,
            raw(where, b"\x00\xff"),
            raw(where, b'{"counter": 7}'),
            raw("gas/v1/xx/AQ-000001/up/json", b"{}"),
        )

        assert counts == IngestCounts(telegrams=3, refused=3, receipts=1)
        assert answers(receipts) == [
            {"counter": None, "result": "refused", "reason": "not_json"},
            {"counter": 7, "result": "refused", "reason": "bad_shape"},
        ]
        assert await refused(owner) == [
            ("", "bad_topic", 1),
            ("AQ-000001", "bad_shape", 1),
            ("AQ-000001", "not_json", 1),
        ]

    async def test_is_bounded_in_size(self, store: Store, owner: asyncpg.Connection) -> None:
        """A megabyte of it costs four kilobytes, and a thousand times the same costs one row."""
        await hang(owner)
        huge = raw(topic("AQ-000001"), b"x" * 1_000_000)

        await take(store, *[huge] * 10)
        await take(store, huge)

        row = await owner.fetchrow(
            "SELECT reason, length(payload), size_bytes, times FROM refused_telegram"
        )
        assert tuple(row.values()) == ("too_large", 4096, 1_000_000, 11)

    async def test_cannot_push_the_table_beyond_its_size(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """A sender keeps its newest thousand; what is older makes room."""
        await hang(owner)
        where = topic("AQ-000001")
        await take(store, *[raw(where, b"a%d" % n) for n in range(700)])

        await take(
            store, *[raw(where, b"b%d" % n) for n in range(700)], at=AT + timedelta(minutes=1)
        )

        kept = await owner.fetch(
            "SELECT left(convert_from(payload, 'UTF8'), 1) AS word, count(*) AS rows"
            " FROM refused_telegram GROUP BY 1 ORDER BY 1"
        )
        assert [tuple(row.values()) for row in kept] == [("a", 300), ("b", 700)]

    async def test_with_nul_and_half_characters_is_storable(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """PostgreSQL's text refuses NUL; a topic or a key with one must not stop the line."""
        await hang(owner)
        where = topic("AQ-000001")

        counts, _ = await take(
            store,
            raw("gas/v1/00/\x00\ud800/up/json", b"\x00"),
            raw(where, b'{"\\u0000": 1}'),
            raw(where, b'{"meter": "\\u0000\\ud800"}'),
            raw(where, b'{"readings": [{"\\ud800": 1}]}'),
        )

        assert counts.refused == 4


class TestPoison:
    """A row that the database refuses ..."""

    async def test_costs_one_telegram_and_not_the_batch(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """The line goes on; the culprit is named, answered and kept."""
        await hang(owner)
        await owner.execute("ALTER TABLE reading ADD CHECK (register_dm3 <> 666)")
        arrivals = [telegram(n, (day(n), 600 + 6 * n)) for n in range(1, 21)]

        counts, receipts = await take(store, *arrivals)

        assert (counts.stored, counts.refused, counts.readings) == (19, 1, 19)
        assert {"counter": 11, "result": "refused", "reason": "not_storable"} in answers(receipts)
        assert await refused(owner) == [("AQ-000001", "not_storable", 1)]
        assert len(await rows(owner)) == 19

    async def test_is_not_what_a_dropped_month_is(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """A partition dropped while we run is opened again, and nobody is blamed."""
        await hang(owner)
        await take(store, telegram(1, (day(1), 1000)))
        await owner.execute("DROP TABLE reading_202601")

        counts, _ = await take(store, telegram(2, (day(2), 2000)))

        assert (counts.stored, counts.refused) == (1, 0)

    async def test_is_not_what_a_lost_connection_is(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """When the database is away nothing may be refused: the telegram is innocent."""
        await hang(owner)
        await owner.execute("REVOKE INSERT ON telegram FROM aqkol_service")

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await take(store, telegram(1, (day(1), 1000)))

        assert await refused(owner) == []


class TestTwoWorkers:
    """Two ingest processes that hear the same ..."""

    async def test_store_it_once(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """Whoever comes second finds it repeated, and the line of turns stays one line."""
        meters = [f"AQ-{n:06d}" for n in range(20)]
        for meter in meters:
            await hang(owner, meter)
        arrivals = [
            telegram(n, (day(n), 100 * n), meter=meter) for n in range(1, 6) for meter in meters
        ]
        workers = [Store(pool) for _ in range(4)]

        results = await asyncio.gather(
            *(
                ingest(arrivals if n % 2 else arrivals[::-1], store=worker, at=AT)
                for n, worker in enumerate(workers)
            )
        )

        assert sum(counts.stored for counts, _ in results) == 100
        assert sum(counts.repeated for counts, _ in results) == 300
        assert await owner.fetchval("SELECT count(*) FROM telegram") == 100
        assert await owner.fetchval("SELECT count(*) FROM reading WHERE turns = 0") == 100

    async def test_judge_one_after_the_other(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Two registers that are each possible but not together: exactly one is trusted."""
        meters = [f"AQ-{n:06d}" for n in range(30)]
        for meter in meters:
            await hang(owner, meter)
        low = [telegram(1, (day(2), 1000), meter=meter) for meter in meters]
        high = [telegram(2, (day(1), 2000), meter=meter) for meter in meters]

        await asyncio.gather(
            ingest(low, store=Store(pool), at=AT), ingest(high, store=Store(pool), at=AT)
        )

        verdicts = await owner.fetch(
            "SELECT meter_id, count(*) FILTER (WHERE verdict = 'billable') AS trusted,"
            " count(*) AS readings FROM reading GROUP BY meter_id"
        )
        assert {(row["trusted"], row["readings"]) for row in verdicts} == {(1, 2)}
