"""A flood of hostile telegrams: none is believed, none brings anything down.

The suite takes 20,000; a million take some minutes:

    AQKOL_HOSTILE=1000000 ./aqkol test tests/metering/test_million.py
"""

import os
from datetime import UTC, datetime
from hashlib import sha256

import asyncpg
import pytest

from metering.ingest import ingest
from metering.io.store import Store
from metering.signed import Key, Sealed, signer_of, unseal, verify
from metering.telegram import Arrival, Telegram, decode
from simulators.forgery import Captured, capture
from simulators.hostile import WITHOUT_KEY, Attack, attacks
from simulators.signed import Identity

COUNT = int(os.environ.get("AQKOL_HOSTILE", "20000"))
SEED = os.environ.get("AQKOL_HOSTILE_SEED", "million")
# A third of the tricks do without the key, so more than 2,000 go in.
STORED_COUNT = 7000
MIDNIGHT_S = 1_767_312_000  # 2 January 2026
INSTALLED = datetime(2026, 1, 1, tzinfo=UTC)
AT = datetime(2026, 3, 1, tzinfo=UTC)
METERS = [Identity.of(seed="7", meter_id=f"AQ-00000{number}") for number in (1, 2, 3)]
HEARD = [
    capture(who, counter, [(MIDNIGHT_S + 3600 * counter, 1000), (MIDNIGHT_S, 990)])
    for who in METERS
    for counter in (1, 2)
]


def key_of(who: Identity) -> Key:
    return Key(
        key_epoch=1, algorithm="EdDSA", public_key=who.public, kid=sha256(who.public).digest()[:8],
        valid_until=None, frozen=False, revoked=False,
    )  # fmt: skip


KEYS = {who.meter_id: key_of(who) for who in METERS}


def believed(attack: Attack) -> Telegram | None:
    """Return the telegram that the service would take these bytes for."""
    meter_id = signer_of(attack.topic)
    if meter_id is None:
        plain = decode(attack.topic, attack.payload)
        return plain if isinstance(plain, Telegram) else None
    said = unseal(meter_id, attack.payload)
    if isinstance(said, Sealed) and verify(said, KEYS[meter_id]):
        return said.telegram
    return None


# Their signature is right and their words are in range; later rules hold or refuse them.
TAKEN_LATER = {"epoch-next", "date-2099", "counter-0"}


def wrongly_believed(heard: list[Captured], count: int) -> dict[str, int]:
    """Return the tricks that were believed, with how often, but for exact repeats."""
    known = {one.message for one in heard}
    found: dict[str, int] = {}
    for attack in attacks(seed=SEED, captured=heard, count=count):
        telegram = believed(attack)
        if telegram is None or telegram.evidence in known or attack.name in TAKEN_LATER:
            continue
        found[attack.name] = found.get(attack.name, 0) + 1
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_none_is_believed() -> None:
    """Every trick in turn, thousands of times; what was heard before is a repeat."""
    assert wrongly_believed(HEARD, COUNT) == {}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_nothing_of_it_is_stored(pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
    """All the way into PostgreSQL: no billable reading that an honest meter did not send."""
    for who in METERS:
        await owner.execute(
            "INSERT INTO meter VALUES ($1, 100000000, 1, 6000, true, $2)", who.meter_id, INSTALLED
        )
        await owner.execute(
            "INSERT INTO installation VALUES ($1, $2, 'A-1', 'SP-1', 0)", who.meter_id, INSTALLED
        )
        await owner.execute(
            "INSERT INTO device_key VALUES ($1, 1, 'EdDSA', $2, $3, 'imported', $4)",
            who.meter_id, who.public, sha256(who.public).digest()[:8], INSTALLED,
        )  # fmt: skip
    store = Store(pool)
    honest = [arrival(one.topic, one.message) for one in HEARD]
    await ingest(honest, store=store, at=AT)
    before = await owner.fetch("SELECT * FROM reading ORDER BY meter_id, read_at")

    hostile = [
        arrival(attack.topic, attack.payload)
        for attack in attacks(seed=SEED, captured=HEARD, count=STORED_COUNT)
        if attack.name in WITHOUT_KEY
    ]
    for batch in (hostile[start : start + 500] for start in range(0, len(hostile), 500)):
        counts, _ = await ingest(batch, store=store, at=AT)
        assert counts.stored == 0
        assert counts.repeated + counts.refused == len(batch)

    assert await owner.fetch("SELECT * FROM reading ORDER BY meter_id, read_at") == before
    assert await owner.fetchval("SELECT count(*) FROM device_key WHERE frozen_at IS NOT NULL") == 0


def arrival(topic: str, payload: bytes) -> Arrival:
    return Arrival(topic=topic, payload=payload, retained=False, handle=None)
