"""Sources against a real database: who may enter what, and what becomes of adapted readings."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn
from uuid import UUID, uuid4

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metering.adapter import Source
from metering.device import kid_of
from metering.ingest import IngestCounts, ingest, ingest_batch
from metering.io.mqtt import Handle, Subscription
from metering.io.registry import MeterUnknownError
from metering.io.sources import LiveSources, SourceBook, SourceClaimedError, SourceUnknownError
from metering.io.store import Store
from metering.source import SourceError, Switchboard
from metering.telegram import Arrival
from metering.topic import FilterError, checked
from tests.metering.toy_family import read

AT: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTALLED: Final = datetime(2026, 1, 1, tzinfo=UTC)
ONE: Final = Source(source_id="", family="toy", topic="home/one", meter_id="AQ-1")
NOON: Final = "- 2026-03-01T11:00:00Z 5"


async def hang(owner: asyncpg.Connection, meter_id: str = "AQ-1") -> None:
    """Register a meter of 6 m3/h that counts in litres, and hang it up."""
    await owner.execute(
        "INSERT INTO meter VALUES ($1, 100000000, 1, 6000, true, $2)", meter_id, INSTALLED
    )
    await owner.execute(
        "INSERT INTO installation VALUES ($1, $2, 'A-1', 'SP-1', 0)", meter_id, INSTALLED
    )


@pytest.fixture
async def book(pool: asyncpg.Pool, owner: asyncpg.Connection) -> SourceBook:
    """Return the sources of a town with one meter."""
    await hang(owner)
    return SourceBook(pool=pool, families={"toy": read})


async def entered(book: SourceBook, **change: Any) -> Source:
    entry, fresh = await book.add(replace(ONE, **change), by="a test", at=AT)
    assert fresh
    return entry.source


class TestBook:
    """The book of sources ..."""

    async def test_gives_an_id_and_keeps_every_field(self, book: SourceBook) -> None:
        """What is not kept cannot explain a reading later."""
        wanted = replace(
            ONE,
            topic="gate/+/up",
            device="A",
            offset_dm3=-7,
            unit="l",
            zone="Asia/Almaty",
            every_s=60,
        )

        entry, fresh = await book.add(wanted, by="a test", at=AT)

        assert fresh
        assert replace(entry.source, source_id="") == wanted
        assert UUID(entry.source.source_id)
        assert (entry.entered_by, entry.entered_at) == ("a test", AT)
        assert (entry.removed_by, entry.removed_at) == (None, None)
        assert [page.source for page in await book.page(after=UUID(int=0), page=10)] == [
            entry.source
        ]

    async def test_takes_the_same_twice_as_once(self, book: SourceBook) -> None:
        """A request whose answer was lost is sent again."""
        source = await entered(book)

        entry, fresh = await book.add(ONE, by="another", at=AT + timedelta(1))

        assert (entry.source, entry.entered_by, fresh) == (source, "a test", False)

    @pytest.mark.parametrize(
        "change",
        [{"meter_id": "AQ-2"}, {"offset_dm3": 1}, {"device": "A"}, {"every_s": 1}],
        ids=str,
    )
    async def test_lets_nobody_else_hear_a_device(
        self, book: SourceBook, owner: asyncpg.Connection, change: dict[str, Any]
    ) -> None:
        """Two meters fed by one device are two bills for one flame."""
        await hang(owner, "AQ-2")
        source = await entered(book)

        with pytest.raises(SourceClaimedError, match=source.source_id):
            await book.add(replace(ONE, **change), by="a test", at=AT)

        await book.remove(UUID(source.source_id), by="a test", at=AT)
        await entered(book, **change)

    async def test_lets_only_one_of_many_hear_a_device(
        self, book: SourceBook, owner: asyncpg.Connection
    ) -> None:
        """Two operators at once; no constraint can see over the wall between two meters."""
        meters = ["AQ-2", "AQ-3", "AQ-4", "AQ-5"]
        for meter_id in meters:
            await hang(owner, meter_id)

        results = await asyncio.gather(
            *(book.add(replace(ONE, meter_id=one), by="a test", at=AT) for one in meters),
            return_exceptions=True,
        )

        assert sorted(type(result).__name__ for result in results) == [
            "SourceClaimedError", "SourceClaimedError", "SourceClaimedError", "tuple",
        ]  # fmt: skip

    async def test_refuses_what_cannot_work(self, book: SourceBook) -> None:
        """Checked before the database is asked."""
        with pytest.raises(MeterUnknownError):
            await entered(book, meter_id="AQ-9")
        with pytest.raises(SourceError):
            await entered(book, family="nobody")
        with pytest.raises(FilterError):
            await entered(book, topic="gas/v1/#", device="A")

    async def test_keeps_what_was_removed(self, book: SourceBook) -> None:
        """Who removed it first stands; a reading of last year can still be explained."""
        source = await entered(book)
        source_id = UUID(source.source_id)

        first = await book.remove(source_id, by="first", at=AT)
        again = await book.remove(source_id, by="again", at=AT + timedelta(1))

        assert (first.removed_by, first.removed_at) == ("first", AT)
        assert again == first
        assert await book.page(after=UUID(int=0), page=10) == [first]
        with pytest.raises(SourceUnknownError):
            await book.remove(uuid4(), by="a test", at=AT)

    async def test_tells_that_something_changed(self, book: SourceBook) -> None:
        """Two numbers, so that looking often costs nothing."""
        versions = [await book.version()]
        source = await entered(book)
        versions.append(await book.version())
        await book.remove(UUID(source.source_id), by="a test", at=AT)
        versions.append(await book.version())

        assert versions == [(0, 0), (1, 0), (1, 1)]

    async def test_lists_what_to_hear_and_what_to_drop(self, book: SourceBook) -> None:
        """A broker that kept our session still holds what was removed while we were away."""
        kept = await entered(book)
        gone = await entered(book, topic="home/gone")
        moved = await entered(book, topic="home/moved")
        for source in (gone, moved):
            await book.remove(UUID(source.source_id), by="a test", at=AT)
        again = await entered(book, topic="home/moved", offset_dm3=1)

        live = await book.live(at=AT)

        assert live == LiveSources(version=(4, 2), sources=(again, kept), dropped=("home/gone",))
        assert (await book.live(at=AT + timedelta(9))).dropped == ()

    async def test_leaves_out_a_family_it_does_not_know(
        self, book: SourceBook, pool: asyncpg.Pool
    ) -> None:
        """An older program would acknowledge what it cannot read."""
        await entered(book)

        assert (await SourceBook(pool=pool, families={}).live(at=AT)).sources == ()


class TestTheTableItself:
    """The database believes nobody ..."""

    @pytest.mark.parametrize(
        "topic",
        [
            "#", "+/#", "gas/#", "gas/v1", "gas/v1/#", "gas/v1/36/AQ-1/up/json", "+/v1/36/x",
            "gas/+/36/x", "+/+/a", "gas/+", "aqkol/#", "aqkol/doctor/x", "+/doctor/x", "", "a/#/b",
            "a#", "#a", "a/b#", "a+/b", "+a", "a/++", "$SYS/#", "$share/g/a", "a\nb",
        ],
    )  # fmt: skip
    async def test_refuses_a_topic_that_is_ours_or_none(
        self, owner: asyncpg.Connection, topic: str
    ) -> None:
        """Whatever program writes next year, no source ever hears a signed telegram."""
        await hang(owner)
        with pytest.raises(FilterError):
            checked(topic)

        with pytest.raises(asyncpg.CheckViolationError):
            await insert(owner, topic, "A")

    async def test_takes_what_a_source_may_hear(self, owner: asyncpg.Connection) -> None:
        """And the rules above are not so strict that nothing is left."""
        await hang(owner)
        for topic in ("gas/v2/#", "gas", "gas/v10/x", "aqkol/other", "+", "a//b", "+/sensor/state"):
            await insert(owner, checked(topic), "A")

    async def test_refuses_a_wildcard_without_a_device(self, owner: asyncpg.Connection) -> None:
        """Every device behind it would be one meter's."""
        await hang(owner)

        with pytest.raises(asyncpg.CheckViolationError, match="wildcard_names_a_device"):
            await insert(owner, "home/+", "")

    async def test_refuses_one_device_twice(self, owner: asyncpg.Connection) -> None:
        """While both are live."""
        await hang(owner)
        await insert(owner, "home/one", "A")

        with pytest.raises(asyncpg.UniqueViolationError, match="source_live"):
            await insert(owner, "home/one", "A")


async def insert(owner: asyncpg.Connection, topic: str, device: str) -> None:
    await owner.execute(
        "INSERT INTO source VALUES ('AQ-1', gen_random_uuid(), 'toy', $1, $2, 1, 1, 0, 'm3', 'UTC',"
        " 60, 'a test', $3)",
        topic,
        device,
        AT,
    )


def on(topic: str, payload: str, *, retained: bool = False) -> Arrival:
    handle = Handle(1, 1, 1, 1, len(payload))
    return Arrival(topic=topic, payload=payload.encode(), retained=retained, handle=handle)


async def take(
    store: Store, board: Switchboard, *arrivals: Arrival, at: datetime = AT
) -> IngestCounts:
    """Store one batch; nobody behind an adapter is ever answered."""
    counts, receipts = await ingest(arrivals, store=store, at=at, sources=board)
    assert receipts == []
    return counts


async def stored(owner: asyncpg.Connection) -> list[tuple[str, int, str]]:
    rows = await owner.fetch(
        "SELECT r.meter_id, r.register_dm3, t.trust FROM reading r JOIN telegram t"
        " USING (meter_id, key_epoch, counter) WHERE r.key_epoch = -1 ORDER BY 1, r.read_at"
    )
    return [tuple(row.values()) for row in rows]


async def refused(owner: asyncpg.Connection) -> list[tuple[str, str, str, int]]:
    rows = await owner.fetch(
        "SELECT sender, reason, detail, times FROM refused_telegram ORDER BY 1, 2, 3"
    )
    return [tuple(row.values()) for row in rows]


class TestAdapted:
    """What a source says ..."""

    @pytest.fixture
    async def board(self, book: SourceBook) -> Switchboard:
        """Return the sources of this process: one topic, one meter."""
        return connected(await entered(book))

    @pytest.fixture
    def store(self, pool: asyncpg.Pool) -> Store:
        """Return where telegrams go."""
        return Store(pool)

    async def test_is_stored_as_adapted(
        self, store: Store, board: Switchboard, owner: asyncpg.Connection
    ) -> None:
        """The reading says of itself that nobody signed it."""
        counts = await take(store, board, on("home/one", NOON))

        assert counts == IngestCounts(telegrams=1, stored=1, readings=1)
        assert await stored(owner) == [("AQ-1", 5000, "adapted")]
        assert await owner.fetchval("SELECT verdict FROM reading") == "billable"

    async def test_is_repeated_when_it_comes_again(
        self, store: Store, board: Switchboard, owner: asyncpg.Connection
    ) -> None:
        """In the same batch, in another one, after a restart, and packed with what is known."""
        same = on("home/one", NOON)
        counts = await take(store, board, same, same)
        assert (counts.stored, counts.repeated) == (1, 1)
        assert (await take(store, board, same, at=AT + timedelta(days=1))).repeated == 1
        older = "- 2026-03-01T10:00:00Z 4"

        packed = await take(store, board, on("home/one", f"{older};{NOON}"))
        assert (packed.stored, packed.readings) == (1, 1)
        for payload in (f"{older};{NOON}", older, NOON):
            counts = await take(store, board, on("home/one", payload))
            assert counts == IngestCounts(telegrams=1, repeated=1)

        assert await stored(owner) == [("AQ-1", 4000, "adapted"), ("AQ-1", 5000, "adapted")]
        assert await refused(owner) == []

    async def test_is_no_conflict_within_one_second(
        self, store: Store, board: Switchboard, owner: asyncpg.Connection
    ) -> None:
        """Nor worth a second row: gas is never billed by the second."""
        counts = await take(
            store,
            board,
            on("home/one", "- 2026-03-01T11:00:00.1Z 5"),
            on("home/one", "- 2026-03-01T11:00:00.9Z 5"),
        )

        assert counts == IngestCounts(telegrams=2, stored=1, readings=1, ignored=1)
        assert await refused(owner) == []

    async def test_is_a_conflict_when_the_register_differs(
        self, store: Store, board: Switchboard, owner: asyncpg.Connection
    ) -> None:
        """The first stands; the second is kept as evidence, and what is new beside it is stored."""
        await take(store, board, on("home/one", NOON))

        counts = await take(store, board, on("home/one", "- 2026-03-01T11:00:00Z 6"))
        assert counts == IngestCounts(telegrams=1, refused=1)
        mixed = "- 2026-03-01T10:00:00Z 4;- 2026-03-01T11:00:00Z 6"
        counts = await take(store, board, on("home/one", mixed))
        assert counts == IngestCounts(telegrams=1, stored=1, readings=1, reading_conflicts=1)
        assert await take(store, board, on("home/one", mixed)) == IngestCounts(
            telegrams=1, repeated=1
        )

        assert await stored(owner) == [("AQ-1", 4000, "adapted"), ("AQ-1", 5000, "adapted")]
        assert [(row[0], row[1], row[3]) for row in await refused(owner)] == [
            ("AQ-1", "reading_conflict", 1),
            ("AQ-1", "reading_conflict", 1),
        ]

    async def test_is_kept_with_its_reason_when_it_cannot_be_read(
        self, store: Store, board: Switchboard, owner: asyncpg.Connection
    ) -> None:
        """Under the meter, where somebody looks who wonders why it is silent."""
        counts = await take(store, board, on("home/one", "gas 3"), on("home/one", NOON))

        assert counts == IngestCounts(telegrams=2, stored=1, refused=1, readings=1)
        assert await refused(owner) == [("AQ-1", "bad_shape", "not three words", 1)]

    async def test_is_taken_again_when_it_was_not_stored(
        self, store: Store, board: Switchboard, owner: asyncpg.Connection
    ) -> None:
        """The database was away; what comes again is not the second of its hour."""
        message = on("home/one", "- - 5")

        class Away(Store):
            def batch(self, *_: object, **_more: object) -> NoReturn:
                raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await ingest_batch(
                [message],
                subscription=Subscription("mqtt://127.0.0.1:1", client_id="a-test", topics=()),
                store=Away(None),  # type: ignore[arg-type] # it gets no further
                at=AT,
                sources=board,
            )

        assert await take(store, board, message) == IngestCounts(telegrams=1, stored=1, readings=1)
        assert await take(store, board, message) == IngestCounts(telegrams=1, ignored=1)
        assert await stored(owner) == [("AQ-1", 5000, "adapted")]

    async def test_is_ignored_when_it_is_about_nobody_we_know(
        self, store: Store, book: SourceBook, owner: asyncpg.Connection
    ) -> None:
        """The neighbours' water meters are on the same topic, and no evidence of anything."""
        board = connected(await entered(book, topic="gate", device="A"))

        counts = await take(store, board, on("gate", "B - 3"), on("gate", "C - 3"))

        assert counts == IngestCounts(telegrams=2, ignored=2)
        assert await refused(owner) == []

    async def test_is_refused_on_a_topic_of_nobody(
        self, store: Store, board: Switchboard, owner: asyncpg.Connection
    ) -> None:
        """A source that was just removed: somebody's gas goes nowhere, and that is to be seen."""
        counts = await take(store, board, on("home/two", NOON))

        assert counts == IngestCounts(telegrams=1, refused=1)
        assert [row[:2] for row in await refused(owner)] == [("", "bad_topic")]

    async def test_is_refused_for_a_meter_that_signs(
        self, store: Store, board: Switchboard, owner: asyncpg.Connection
    ) -> None:
        """Whoever could fall back to an adapter would need no key at all."""
        public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        await owner.execute(
            "INSERT INTO device_key VALUES ('AQ-1', 1, 'EdDSA', $1, $2, 'device', $3)",
            public,
            kid_of(public),
            INSTALLED,
        )

        counts = await take(store, board, on("home/one", NOON))

        assert counts == IngestCounts(telegrams=1, refused=1)
        assert [row[:2] for row in await refused(owner)] == [("AQ-1", "unsigned")]

    async def test_cannot_speak_on_our_own_topics(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """Even a source that got past every check hears nothing there."""
        await hang(owner)
        forced = connected(replace(ONE, source_id="x", topic="gas/v1/99/AQ-1/up/json"))

        counts = await take(store, forced, on("gas/v1/99/AQ-1/up/json", NOON))

        assert counts == IngestCounts(telegrams=1, refused=1)
        assert [row[:2] for row in await refused(owner)] == [("", "bad_topic")]

    async def test_stands_beside_a_meters_own_telegrams(
        self, store: Store, board: Switchboard, owner: asyncpg.Connection
    ) -> None:
        """One line of registers, whoever read them."""
        await take(store, board, on("home/one", NOON))

        counts = await take(store, board, on("home/one", "- 2026-03-01T11:30:00Z 4"))

        assert (counts.stored, counts.suspect) == (1, 1)
        assert await owner.fetchval("SELECT reason FROM reading WHERE verdict = 'suspect'") == (
            "index_down"
        )


def connected(*sources: Source) -> Switchboard:
    board = Switchboard(families={"toy": read})
    board.connect(sources)
    return board
