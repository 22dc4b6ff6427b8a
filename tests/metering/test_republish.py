"""A broker that forgot everything, and meters that should not send it all again."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from zlib import crc32

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metering.ack import Signer
from metering.ingest import ingest
from metering.io.notary import Notary
from metering.io.safe import SafeStore
from metering.io.store import Store
from metering.republish import RepublishCounts, republish
from metering.telegram import Arrival
from simulators.signed import Identity, read_ack, telegram

AT = datetime(2026, 3, 1, tzinfo=UTC)
FEBRUARY = 1_769_904_000  # 2026-02-01T00:00:00Z
SIGNS = "AQ-000123"
PLAIN = "AQ-000777"
SERVER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Outlet:
    """Notes what is published, as long as there is a connection."""

    def __init__(self, room: int = 1000) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._room = room

    async def publish_many(self, messages: Sequence[tuple[str, bytes, bool]]) -> int:
        """Take as many as there is room for."""
        taken = messages[: self._room - len(self.messages)]
        self.messages += taken
        return len(taken)


async def prepared(owner: asyncpg.Connection, pool: asyncpg.Pool) -> None:
    """Let one meter sign counters 1, 2 and 4, and another say 7 and 9 without a signature."""
    identity = Identity.of(seed="7", meter_id=SIGNS)
    for meter_id in (SIGNS, PLAIN):
        await owner.execute(
            "INSERT INTO meter VALUES ($1, 100000000, 1, 6000, true, '2026-01-01Z')", meter_id
        )
        await owner.execute(
            "INSERT INTO installation VALUES ($1, '2026-01-01Z', 'A-1', 'SP-1', 0)", meter_id
        )
    public = identity.public
    await owner.execute(
        "INSERT INTO device_key VALUES ($1, 1, 'EdDSA', $2, $3, 'device', '2026-01-01Z')",
        SIGNS,
        public,
        await owner.fetchval("SELECT substr(sha256($1::bytea), 1, 8)", public),
    )
    said = [
        ("gas/v1/36/AQ-000123/up", telegram(identity, counter=n, registers=[(FEBRUARY + n, n)]))
        for n in (1, 2, 4)
    ]
    for counter in (7, 9):
        at = f"2026-02-0{counter}T00:00:00Z"
        body = {"meter": PLAIN, "counter": counter, "readings": [{"at": at, "dm3": counter}]}
        said.append((_topic(PLAIN), json.dumps(body).encode()))
    arrivals = [
        Arrival(topic=topic, payload=payload, retained=False, handle=None)
        for topic, payload in said
    ]
    counts, _ = await ingest(arrivals, store=Store(pool), at=AT)
    assert counts.stored == 5


def _topic(meter_id: str) -> str:

    return f"gas/v1/{crc32(meter_id.encode()) % 64:02d}/{meter_id}/up/json"


class TestRepublish:
    """Telling meters again ..."""

    async def test_says_what_the_database_holds(
        self, owner: asyncpg.Connection, pool: asyncpg.Pool
    ) -> None:
        """A lost receipt must neither cost a battery nor free a telegram that is not stored."""
        await prepared(owner, pool)
        outlet, notary = Outlet(), Notary(Signer(SERVER), threads=1)

        counts = await republish(safe=SafeStore(pool=pool), outlet=outlet, notary=notary, at=AT)

        notary.close()
        assert counts == RepublishCounts(signed=1, plain=1, unsent=0)
        (ack_topic, ack, ack_kept), (topic, receipt, kept) = outlet.messages
        assert (ack_topic, ack_kept) == ("gas/v1/36/AQ-000123/down/ack", True)
        told = read_ack(ack, meter_id=SIGNS, server_key=SERVER.public_key().public_bytes_raw())
        assert [n for n in range(1, 6) if told.is_safe(n)] == [1, 2, 4]
        assert topic.endswith("/AQ-000777/down/receipt")
        assert kept
        assert sorted(one["counter"] for one in json.loads(receipt)["receipts"]) == [7, 9]

    async def test_counts_what_it_could_not_hand_over(
        self, owner: asyncpg.Connection, pool: asyncpg.Pool
    ) -> None:
        """An operator has to know that some meters were not told."""
        await prepared(owner, pool)
        outlet, notary = Outlet(room=1), Notary(Signer(SERVER), threads=1)

        counts = await republish(safe=SafeStore(pool=pool), outlet=outlet, notary=notary, at=AT)

        notary.close()
        assert counts == RepublishCounts(signed=1, plain=0, unsent=1)
