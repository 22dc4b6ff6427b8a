"""Signed telegrams against a real database: who is believed, who is told, and what is kept."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from zlib import crc32

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metering.ack import Signer
from metering.ingest import IngestCounts, ingest
from metering.io.notary import Notary
from metering.io.store import Store
from metering.receipt import Receipt
from metering.telegram import Arrival
from simulators import cose, signed
from simulators.forgery import bit_flip, capture, envelope, twisted
from simulators.signed import Ack, Identity, read_ack

METER, OTHER = "AQ-000001", "AQ-000002"
AT = datetime(2026, 3, 1, 0, 5, tzinfo=UTC)
INSTALLED = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
OURS = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ANNA = Identity.of(seed="7", meter_id=METER)
ANNA_2 = Identity.of(seed="7", meter_id=METER, key_epoch=2)
BOLD = Identity.of(seed="7", meter_id=OTHER)
STRANGER = Identity.of(seed="8", meter_id=METER)


def up(meter: str, payload: bytes, *, json: bool = False) -> Arrival:
    topic = f"gas/v1/{crc32(meter.encode()) % 64:02d}/{meter}/up{'/json' if json else ''}"
    return Arrival(topic=topic, payload=payload, retained=False, handle=None)


def says(counter: int, *registers: tuple[int, int], by: Identity = ANNA, flags: int = 0) -> Arrival:
    """Return a telegram; registers are (days after the installation, dm3), oldest first."""
    sent = [(int((INSTALLED + n * DAY).timestamp()), dm3) for n, dm3 in reversed(registers)]
    message = signed.telegram(by, counter=counter, registers=sent, flags=flags)
    return up(by.meter_id, message)


async def hang(owner: asyncpg.Connection, *keys: Identity, meter: str = METER) -> None:
    """Register a meter, hang it up, and give it keys."""
    await owner.execute(
        "INSERT INTO meter VALUES ($1, 100000000, 1, 6000, true, $2)", meter, INSTALLED
    )
    await owner.execute(
        "INSERT INTO installation VALUES ($1, $2, 'A-1', 'SP-1', 0)", meter, INSTALLED
    )
    for key in keys:
        await owner.execute(
            "INSERT INTO device_key VALUES ($1, $2, $3, $4, $5, 'imported', $6)",
            meter, key.key_epoch, "EdDSA" if len(key.public) == 32 else "ES256", key.public,
            sha256(key.public).digest()[:8], INSTALLED,
        )  # fmt: skip


@pytest.fixture
def store(pool: asyncpg.Pool) -> Store:
    return Store(pool)


async def take(
    store: Store, *arrivals: Arrival, at: datetime = AT
) -> tuple[IngestCounts, list[Receipt]]:
    notary = Notary(Signer(OURS), threads=1)
    try:
        return await ingest(arrivals, store=store, at=at, notary=notary)
    finally:
        notary.close()


def ack_of(receipts: Sequence[Receipt], meter: str = METER) -> Ack:
    """Return the one ack that was sent, as the meter reads it."""
    (receipt,) = receipts
    bucket = crc32(meter.encode()) % 64
    assert receipt.topic == f"gas/v1/{bucket:02d}/{meter}/down/ack"
    return read_ack(
        receipt.payload, meter_id=meter, server_key=OURS.public_key().public_bytes_raw()
    )


async def rows(owner: asyncpg.Connection, meter: str = METER) -> list[tuple[object, ...]]:
    found = await owner.fetch(
        "SELECT read_at, register_dm3, verdict, reason FROM reading WHERE meter_id = $1 ORDER BY 1",
        meter,
    )
    return [((row[0] - INSTALLED) // DAY, *list(row.values())[1:]) for row in found]


async def refused(owner: asyncpg.Connection) -> list[tuple[object, ...]]:
    found = await owner.fetch("SELECT sender, reason, times FROM refused_telegram ORDER BY 1, 2")
    return [tuple(row.values()) for row in found]


async def reasons(owner: asyncpg.Connection) -> set[object]:
    return {reason for _, reason, _ in await refused(owner)}


async def cases(owner: asyncpg.Connection) -> list[tuple[object, ...]]:
    found = await owner.fetch("SELECT meter_id, kind FROM meter_case ORDER BY 1, 2")
    return [tuple(row.values()) for row in found]


class TestASignedTelegram:
    """A meter with a key ..."""

    async def test_is_believed_and_told(self, store: Store, owner: asyncpg.Connection) -> None:
        """Two readings come in, and the ack says so under our key."""
        await hang(owner, ANNA)
        arrival = says(7, (1, 1000), (2, 3000))

        counts, told = await take(store, arrival)

        assert counts == IngestCounts(telegrams=1, stored=1, readings=2, receipts=1)
        assert await rows(owner) == [(1, 1000, "billable", None), (2, 3000, "billable", None)]
        ack = ack_of(told)
        assert (ack.key_epoch, ack.high_water, ack.refused) == (1, 7, ())
        assert [n for n in range(10) if ack.is_safe(n)] == [7]

    async def test_is_kept_byte_for_byte(self, store: Store, owner: asyncpg.Connection) -> None:
        """Years later anybody can check it with the meter's key alone."""
        await hang(owner, ANNA)
        arrival = says(7, (1, 1000))

        await take(store, arrival)

        kept = await owner.fetchrow("SELECT evidence, trust, key_epoch FROM telegram")
        assert tuple(kept.values()) == (arrival.payload, "signed", 1)
        key = await owner.fetchval("SELECT public_key FROM device_key")
        said = cose.decode(cose.verify(kept["evidence"], key, aad=signed.reading_aad(METER)))
        assert (said[signed.COUNTER], said[signed.REGISTER]) == (7, 1000)

    async def test_with_a_lost_clock_is_held(self, store: Store, owner: asyncpg.Connection) -> None:
        """It is stored and told, and measures nothing."""
        await hang(owner, ANNA)

        _, told = await take(store, says(7, (1, 1000), flags=64))

        assert await rows(owner) == [(1, 1000, "suspect", "clock_lost")]
        assert ack_of(told).is_safe(7)

    async def test_that_cannot_be_stored_stops_nobody(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """The database refuses one; it is refused, its meter told, the next one stored."""
        await hang(owner, ANNA)
        await owner.execute("ALTER TABLE telegram ADD CHECK (counter <> 7)")

        counts, told = await take(store, says(7, (1, 1000)), says(8, (2, 2000)))

        assert (counts.stored, counts.refused) == (1, 1)
        assert await rows(owner) == [(2, 2000, "billable", None)]
        assert (METER, "not_storable", 1) in await refused(owner)
        refusals = [
            read_ack(
                one.payload, meter_id=METER, server_key=OURS.public_key().public_bytes_raw()
            ).refused
            for one in told
        ]
        assert ((7, "not_storable"),) in refusals


class TestD11ExactReplay:
    """Somebody listened, and says it again: ..."""

    async def test_is_a_repeat_and_told_again(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """An honest meter that missed its ack does the same."""
        await hang(owner, ANNA)
        arrival = says(7, (1, 1000))
        await take(store, arrival)

        counts, told = await take(store, arrival, arrival)

        assert (counts.stored, counts.repeated, counts.refused) == (0, 2, 0)
        assert await rows(owner) == [(1, 1000, "billable", None)]
        assert ack_of(told).is_safe(7)

    async def test_from_before_a_rotation_adds_nothing(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """The old key is still good for what it said, and says nothing twice."""
        await hang(owner, ANNA, ANNA_2)
        old = says(7, (1, 1000))
        await take(store, old, says(0, (2, 2000), by=ANNA_2))

        counts, told = await take(store, old)

        assert counts.repeated == 1
        assert ack_of(told).key_epoch == 1

        await owner.execute("UPDATE device_key SET valid_until = $1 WHERE key_epoch = 1", AT)
        counts, told = await take(Store(store._pool), old, says(8, (3, 3000)))

        assert counts.refused == 2
        assert ack_of(told).refused == ()
        assert not ack_of(told).is_safe(8)
        assert await reasons(owner) == {"key_expired"}

    async def test_cannot_change_its_epoch(self, store: Store, owner: asyncpg.Connection) -> None:
        """The old key signs for a new epoch: an opened meter, and refused."""
        await hang(owner, ANNA, ANNA_2)
        liar = Identity(meter_id=METER, key_epoch=2, key=ANNA.key)

        counts, _ = await take(store, says(7, (1, 1000), by=liar))

        assert counts.refused == 1
        assert await reasons(owner) == {"wrong_epoch"}

    async def test_twisted_is_still_a_repeat(self, store: Store, owner: asyncpg.Connection) -> None:
        """Of ES256 everybody can make a second signature; the meter must not be frozen for it."""
        bold = Identity.of_p256(seed="7", meter_id=METER)
        await hang(owner, bold)
        arrival = says(7, (1, 1000), by=bold)
        await take(store, arrival)
        header, body, signature = cose.opened(arrival.payload)

        counts, _ = await take(store, up(METER, envelope(header, body, twisted(signature))))

        assert counts.repeated == 1
        assert await cases(owner) == []


class TestD14D15Forgery:
    """Whoever has no key of the meter ..."""

    async def test_is_told_nothing(self, store: Store, owner: asyncpg.Connection) -> None:
        """Another's key, a stranger's, a swapped kid, a lost signature: silence, and evidence."""
        await hang(owner, ANNA)
        await hang(owner, BOLD, meter=OTHER)
        header, body, signature = cose.opened(says(7, (1, 1000)).payload)
        theirs = Identity(meter_id=METER, key_epoch=1, key=BOLD.key)
        es256 = cose.encode({1: -7, 4: cose.kid_of(ANNA.public)})
        bold = cose.protected_of(BOLD.key)
        none = cose.encode({1: 0, 4: cose.kid_of(ANNA.public)})
        forgeries = [
            says(7, (1, 1000), by=theirs),
            says(7, (1, 1000), by=STRANGER),
            up(METER, envelope(bold, body, signature)),
            up(METER, envelope(es256, body, signature)),
            up(METER, envelope(none, body, signature)),
            up(METER, envelope(header, body, b"")),
            up(METER, envelope(header, body, bytes(64))),
            up(OTHER, envelope(header, body, signature)),
            up(METER, b""),
        ]

        for arrival in forgeries:
            counts, told = await take(store, arrival)
            assert (counts.stored, counts.refused, told) == (0, 1, [])

        assert await rows(owner) == []
        assert await owner.fetchval("SELECT count(*) FROM telegram") == 0
        assert await owner.fetchval("SELECT count(*) FROM replay_window") == 0
        assert await refused(owner) == [
            (METER, "bad_signature", 1),
            (METER, "bad_signature", 1),
            (METER, "bad_signature", 1),
            (METER, "not_cose", 1),
            (METER, "unknown_key", 1),
            (METER, "unknown_key", 1),
            (METER, "unknown_key", 1),
            (METER, "wrong_algorithm", 1),
            (OTHER, "meter_mismatch", 1),
        ]

    async def test_under_the_neighbours_id_is_not_believed(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """The meter's own key over its own body, bound to another meter's id."""
        await hang(owner, ANNA)
        body = cose.opened(says(7, (1, 1000)).payload)[1]

        counts, told = await take(
            store, up(METER, cose.sign(ANNA.key, body, aad=signed.reading_aad(OTHER)))
        )

        assert (counts.stored, told) == (0, [])
        assert await reasons(owner) == {"bad_signature"}

    async def test_five_times_is_one_question(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """Four may be noise; the fifth opens a case, and the sixth no second one."""
        await hang(owner, ANNA)

        seen = []
        for counter in range(6):
            await take(store, says(counter, (1, 1000), by=STRANGER))
            seen.append(len(await cases(owner)))

        assert seen == [0, 0, 0, 0, 1, 1]
        assert await cases(owner) == [(METER, "forged_telegrams")]

    async def test_without_a_signature_is_refused(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """A meter that signs does not fall back to JSON, whoever speaks."""
        await hang(owner, ANNA)
        body = (
            b'{"meter":"AQ-000001","counter":7,'
            b'"readings":[{"at":"2026-01-02T00:00:00Z","dm3":1000}]}'
        )

        counts, _ = await take(store, up(METER, body, json=True))

        assert (counts.stored, counts.refused) == (0, 1)
        assert await rows(owner) == []
        assert await refused(owner) == [(METER, "unsigned", 1)]


class TestD16BitFlips:
    """A telegram that was heard, with bits turned over ..."""

    async def test_never_succeeds(self, store: Store, owner: asyncpg.Connection) -> None:
        """Ten thousand of them, and the meter is still believed afterwards."""
        await hang(owner, ANNA)
        await hang(owner, BOLD, meter=OTHER)
        day_s = int((INSTALLED + DAY).timestamp())
        one, other = (capture(who, 7, [(day_s, 1000), (day_s - 60, 990)]) for who in (ANNA, BOLD))
        dice = random.Random("bit flips")  # noqa: S311 - seeded on purpose

        for _ in range(5):
            flips = [up(METER, bit_flip(dice, one, other)) for _ in range(2000)]
            counts, told = await take(store, *flips)
            assert (counts.stored, counts.refused, told) == (0, 2000, [])

        counts, told = await take(store, up(METER, one.message))
        assert counts.stored == 1
        assert ack_of(told).is_safe(7)


class TestD20TwoStories:
    """The same key signs two stories under one counter: ..."""

    async def test_freeze_the_key(self, store: Store, owner: asyncpg.Connection) -> None:
        """The first is billed, the second is evidence, and nothing more is believed."""
        await hang(owner, ANNA)
        first, second = says(7, (1, 1000)), says(7, (1, 500))
        await take(store, first)

        counts, told = await take(store, second, says(8, (2, 2000)))

        assert (counts.stored, counts.refused) == (0, 2)
        assert await rows(owner) == [(1, 1000, "billable", None)]
        assert await refused(owner) == [(METER, "equivocation", 1), (METER, "key_frozen", 1)]
        assert await owner.fetchval("SELECT frozen_at FROM device_key") == AT
        found = await owner.fetch("SELECT kind, evidence FROM meter_case")
        assert [tuple(row.values()) for row in found] == [("equivocation", second.payload)]
        ack = ack_of(told)
        assert ack.refused == ()
        assert (ack.is_safe(7), ack.is_safe(8)) == (True, False)

        counts, _ = await take(store, says(9, (3, 3000)))
        assert counts.refused == 1
        counts, _ = await take(Store(store._pool), says(10, (4, 4000)))
        assert counts.refused == 1
        assert await rows(owner) == [(1, 1000, "billable", None)]

    async def test_freeze_the_key_within_one_batch(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """However close they come."""
        await hang(owner, ANNA)

        counts, _ = await take(store, says(7, (1, 1000)), says(7, (1, 500)), says(8, (2, 2000)))

        assert (counts.stored, counts.refused) == (1, 2)
        assert await rows(owner) == [(1, 1000, "billable", None)]
        assert await cases(owner) == [(METER, "equivocation")]


class TestD13CounterJump:
    """Counters of a signing meter ..."""

    async def test_may_leap_by_100_000_and_no_further(
        self, store: Store, owner: asyncpg.Connection
    ) -> None:
        """A leap would make every honest counter look old; the meter keeps its telegram."""
        await hang(owner, ANNA)
        await take(store, says(7, (1, 1000)))

        counts, told = await take(store, says(100_008, (2, 2000)))

        assert counts.refused == 1
        assert ack_of(told).refused == ()
        assert ack_of(told).high_water == 7
        assert await reasons(owner) == {"counter_jump"}
        counts, told = await take(store, says(100_007, (2, 2000)))
        assert counts.stored == 1
        assert ack_of(told).high_water == 100_007

    @pytest.mark.parametrize("counter", [2**32, 2**63, 2**64 - 1])
    async def test_beyond_what_we_count_moves_nothing(
        self, store: Store, owner: asyncpg.Connection, counter: int
    ) -> None:
        """Half the numbers there are: refused unread, and the window stands where it stood."""
        await hang(owner, ANNA)
        await take(store, says(7, (1, 1000)))

        counts, _ = await take(store, says(counter, (2, 2000)))

        assert (counts.stored, counts.refused) == (0, 1)
        assert await reasons(owner) == {"counter_jump"}
        assert await owner.fetchval("SELECT high_water FROM replay_window") == 7
        counts, _ = await take(store, says(8, (2, 2000)))
        assert counts.stored == 1

    async def test_may_come_in_any_order(self, store: Store, owner: asyncpg.Connection) -> None:
        """The window knows each of them."""
        await hang(owner, ANNA)

        for counter in (5, 3, 9, 4):
            _, told = await take(store, says(counter, (counter, 1000 * counter)))

        ack = ack_of(told)
        assert [n for n in range(12) if ack.is_safe(n)] == [3, 4, 5, 9]


class TestWhoMayNotSpeak:
    """The signature is right, and ..."""

    @pytest.mark.parametrize(
        ("column", "reason"),
        [
            ("revoked_at", "key_revoked"),
            ("frozen_at", "key_frozen"),
            ("valid_until", "key_expired"),
        ],
    )
    async def test_a_key_that_is_no_longer_good(
        self, store: Store, owner: asyncpg.Connection, column: str, reason: str
    ) -> None:
        """The meter keeps its telegram; a person may give it a new key."""
        await hang(owner, ANNA)
        await owner.execute(f"UPDATE device_key SET {column} = $1", AT)

        counts, told = await take(store, says(7, (1, 1000)))

        assert (counts.stored, counts.refused) == (0, 1)
        assert await reasons(owner) == {reason}
        ack = ack_of(told)
        assert (ack.refused, ack.is_safe(7)) == ((), False)

    @pytest.mark.parametrize(
        ("state", "forgets"), [("pending", False), ("frozen", False), ("removed", True)]
    )
    async def test_a_meter_that_is_not_active(
        self,
        store: Store,
        owner: asyncpg.Connection,
        state: str,
        forgets: bool,  # noqa: FBT001
    ) -> None:
        """Only a meter that is out of service for good may forget what it said."""
        await hang(owner, ANNA)
        await owner.execute("UPDATE meter SET state = $1", state)

        counts, told = await take(store, says(7, (1, 1000)))

        assert (counts.stored, counts.refused) == (0, 1)
        assert await rows(owner) == []
        expected = ((7, f"meter_{state}"),) if forgets else ()
        assert ack_of(told).refused == expected
        assert not ack_of(told).is_safe(7)
