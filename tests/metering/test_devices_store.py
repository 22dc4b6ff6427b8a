"""Devices in PostgreSQL: provisioned, claimed, confirmed, rotated, revoked; each attack fails."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metering.device import PublicKey, Sight, StateError, rotation_message
from metering.ingest import IngestCounts, ingest
from metering.installation import Installation
from metering.io.custody import CaseUnknownError, Custody, StillInstalledError
from metering.io.device_rows import KeyKnownError
from metering.io.devices import (
    ClaimLockedError,
    ClaimRefusedError,
    Devices,
    KeyUnknownError,
    MeterKnownError,
    NotClaimedError,
    RotationRefusedError,
    WitnessDiffersError,
)
from metering.io.registry import MeterUnknownError, NotInstalledError, Registry
from metering.io.store import Store
from metering.meter import Meter, bucket
from metering.telegram import Arrival
from simulators.signed import Identity, telegram

AT = datetime(2026, 2, 1, tzinfo=UTC)
HUNG = AT - timedelta(hours=1)
DAY = timedelta(days=1)
ID = "AQ-000123"
PHOTO = bytes(range(32))
WRONG = "0000-0000-0000-0000"


def meter_of(meter_id: str = ID) -> Meter:
    return Meter(
        meter_id=meter_id, dial_dm3=100_000_000, step_dm3=10, qmax_dm3_h=6000, compensated=True
    )


def identity_of(meter_id: str = ID, key_epoch: int = 1) -> Identity:
    return Identity.of(seed="devices", meter_id=meter_id, key_epoch=key_epoch)


def key_of(identity: Identity) -> PublicKey:
    return PublicKey(algorithm="EdDSA", public_key=identity.public)


def seen(witness: str, register_dm3: int) -> Sight:
    return Sight(witness=witness, register_dm3=register_dm3, photo_digest=PHOTO)


def signed_by(old: Identity, new: Identity) -> bytes:
    assert isinstance(old.key, Ed25519PrivateKey)
    return old.key.sign(rotation_message(ID, new.key_epoch, new.public))


async def hang(pool: asyncpg.Pool, meter_id: str = ID, opening_dm3: int = 500) -> None:
    await Registry(pool=pool).install(
        Installation(
            meter_id=meter_id,
            account_id="A-1",
            supply_point_id="SP-1",
            installed_at=HUNG,
            opening_dm3=opening_dm3,
            removed_at=None,
            closing_dm3=None,
            closing_turns=None,
        )
    )


async def activated(pool: asyncpg.Pool, meter_id: str = ID) -> Devices:
    """Lead a meter through everything that must happen before it is believed."""
    devices = Devices(pool=pool)
    code = await devices.provision(meter_of(meter_id), key_of(identity_of(meter_id)), at=AT)
    await hang(pool, meter_id)
    await devices.claim(meter_id, code, at=AT)
    await devices.confirm_start(meter_id, seen("installer", 500), at=AT)
    assert await devices.confirm_start(meter_id, seen("resident", 500), at=AT) == "active"
    return devices


@dataclass(slots=True)
class Ear:
    """One running ingest, which remembers what it saw."""

    store: Store
    owner: asyncpg.Connection

    async def hears(
        self, identity: Identity, counter: int, at: datetime, *, dm3: int = 500
    ) -> str | None:
        """Take one telegram; return why it was refused, or None when it was stored."""
        message = telegram(identity, counter=counter, registers=[(int(at.timestamp()), dm3)])
        return await self.takes(message, at)

    async def takes(self, message: bytes, at: datetime) -> str | None:
        """Take one message; return why it was refused, or None when it was stored."""
        arrival = Arrival(
            topic=f"gas/v1/{bucket(ID)}/{ID}/up", payload=message, retained=False, handle=None
        )
        counts, _ = await ingest([arrival], store=self.store, at=at)
        if counts == IngestCounts(telegrams=1, stored=1, readings=counts.readings):
            return None
        reason: str | None = await self.owner.fetchval(
            "SELECT reason FROM refused_telegram ORDER BY last_received_at DESC LIMIT 1"
        )
        return reason if counts.refused else f"{counts}"


@pytest.fixture
def ear(pool: asyncpg.Pool, owner: asyncpg.Connection) -> Ear:
    return Ear(store=Store(pool), owner=owner)


class TestProvisioning:
    """A meter that is made known ..."""

    async def test_is_pending_with_one_key(self, pool: asyncpg.Pool) -> None:
        """Nothing is believed on somebody's word at a desk."""
        devices = Devices(pool=pool)
        await devices.provision(meter_of(), key_of(identity_of()), imported=True, at=AT)

        state, [key] = await devices.keys(ID)

        assert (state, key.key_epoch, key.origin, key.added_at) == ("pending", 1, "imported", AT)

    async def test_is_refused_twice(self, pool: asyncpg.Pool) -> None:
        """A second code for the same label would be a way around the first one's lock."""
        devices = Devices(pool=pool)
        await devices.provision(meter_of(), key_of(identity_of()), at=AT)

        with pytest.raises(MeterKnownError):
            await devices.provision(meter_of(), key_of(identity_of(ID, 2)), at=AT)

    async def test_is_not_believed_before_both_saw_its_start(
        self, pool: asyncpg.Pool, ear: Ear
    ) -> None:
        """The register a bill starts from is two people's word, not one's."""
        devices = Devices(pool=pool)
        code = await devices.provision(meter_of(), key_of(identity_of()), at=AT)
        await hang(pool)
        assert await ear.hears(identity_of(), 1, AT) == "meter_pending"
        await devices.claim(ID, code, at=AT)
        assert await devices.confirm_start(ID, seen("installer", 505), at=AT) == "pending"
        assert await ear.hears(identity_of(), 1, AT) == "meter_pending"

        assert await devices.confirm_start(ID, seen("resident", 510), at=AT) == "active"
        assert await ear.hears(identity_of(), 1, AT) is None

    async def test_that_nobody_knows_has_nothing(self, pool: asyncpg.Pool) -> None:
        """Every way in says so."""
        devices = Devices(pool=pool)
        calls: list[Callable[[], object]] = [
            lambda: devices.keys(ID),
            lambda: devices.claim(ID, WRONG, at=AT),
            lambda: devices.confirm_start(ID, seen("resident", 1), at=AT),
            lambda: devices.rotate(ID, 2, key_of(identity_of()), bytes(64), at=AT),
            lambda: devices.revoke(ID, 1, at=AT),
            lambda: Custody(pool=pool).freeze(ID, because="x", by="A", at=AT),
            lambda: Custody(pool=pool).remove(ID, because="x", by="A", at=AT),
        ]
        for call in calls:
            with pytest.raises(MeterUnknownError):
                await call()  # type: ignore[misc]


class TestStartRegister:
    """A start register ..."""

    async def test_further_apart_than_one_step_is_a_question(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """11 dm3 on a dial with steps of 10: a person decides, nobody is billed."""
        devices = Devices(pool=pool)
        await devices.claim(
            ID, await devices.provision(meter_of(), key_of(identity_of()), at=AT), at=AT
        )
        await hang(pool)
        await devices.confirm_start(ID, seen("installer", 500), at=AT)

        assert await devices.confirm_start(ID, seen("resident", 511), at=AT) == "pending"
        assert await owner.fetchval("SELECT kind FROM meter_case") == "start_register_differs"

    async def test_must_be_the_one_it_was_hung_up_with(self, pool: asyncpg.Pool) -> None:
        """Two who agree on a register that the bill does not start from agree on nothing."""
        devices = Devices(pool=pool)
        await devices.claim(
            ID, await devices.provision(meter_of(), key_of(identity_of()), at=AT), at=AT
        )
        await hang(pool, opening_dm3=0)
        await devices.confirm_start(ID, seen("installer", 500), at=AT)

        assert await devices.confirm_start(ID, seen("resident", 500), at=AT) == "pending"

    async def test_is_said_once(self, pool: asyncpg.Pool) -> None:
        """The same again is a lost answer; another figure is another story."""
        devices = await activated(pool)

        assert await devices.confirm_start(ID, seen("resident", 500), at=AT) == "active"
        with pytest.raises(WitnessDiffersError):
            await devices.confirm_start(ID, seen("resident", 501), at=AT)


class TestD21ClaimCodeGuessing:
    """Whoever guesses a claim code ..."""

    async def test_has_five_tries(self, pool: asyncpg.Pool) -> None:
        """Then even the right code is of no use, so that a guess that hits comes too late."""
        devices = Devices(pool=pool)
        code = await devices.provision(meter_of(), key_of(identity_of()), at=AT)
        for _ in range(5):
            with pytest.raises(ClaimRefusedError):
                await devices.claim(ID, WRONG, at=AT)

        with pytest.raises(ClaimLockedError):
            await devices.claim(ID, code, at=AT)

    async def test_has_no_more_at_the_same_time(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Twenty at once share the same five."""
        devices = Devices(pool=pool)
        await devices.provision(meter_of(), key_of(identity_of()), at=AT)

        answers = await asyncio.gather(
            *(devices.claim(ID, WRONG, at=AT) for _ in range(20)), return_exceptions=True
        )

        assert [type(answer) for answer in answers].count(ClaimRefusedError) == 5
        assert [type(answer) for answer in answers].count(ClaimLockedError) == 15
        assert await owner.fetchval("SELECT tries_left FROM meter_claim") == 0

    async def test_finds_a_used_code_useless(self, pool: asyncpg.Pool) -> None:
        """A label that was photographed later opens nothing."""
        devices = Devices(pool=pool)
        code = await devices.provision(meter_of(), key_of(identity_of()), at=AT)
        await devices.claim(ID, code, at=AT)

        with pytest.raises(ClaimRefusedError):
            await devices.claim(ID, code, at=AT)


class TestD22ForeignMeterClaimed:
    """An installer who claims a meter that is not there ..."""

    async def test_gets_nowhere_with_the_code_of_another(self, pool: asyncpg.Pool) -> None:
        """A code is good for the label it stands on."""
        devices = Devices(pool=pool)
        mine = await devices.provision(meter_of(), key_of(identity_of()), at=AT)
        await devices.provision(meter_of("AQ-2"), key_of(identity_of("AQ-2")), at=AT)

        with pytest.raises(ClaimRefusedError):
            await devices.claim("AQ-2", mine, at=AT)

    async def test_cannot_start_it_without_its_code_or_its_place(self, pool: asyncpg.Pool) -> None:
        """Both stand before a word about registers."""
        devices = Devices(pool=pool)
        code = await devices.provision(meter_of(), key_of(identity_of()), at=AT)
        with pytest.raises(NotInstalledError):
            await devices.confirm_start(ID, seen("installer", 500), at=AT)
        await hang(pool)
        with pytest.raises(NotClaimedError):
            await devices.confirm_start(ID, seen("installer", 500), at=AT)
        await devices.claim(ID, code, at=AT)

        assert await devices.confirm_start(ID, seen("installer", 500), at=AT) == "pending"

    async def test_cannot_be_both_witnesses_at_once(self, pool: asyncpg.Pool) -> None:
        """Saying it twice is one word, not two."""
        devices = Devices(pool=pool)
        code = await devices.provision(meter_of(), key_of(identity_of()), at=AT)
        await hang(pool)
        await devices.claim(ID, code, at=AT)
        await devices.confirm_start(ID, seen("installer", 500), at=AT)

        assert await devices.confirm_start(ID, seen("installer", 500), at=AT) == "pending"


class TestD14KeyOfAnotherMeter:
    """A key that a meter has ..."""

    async def test_is_given_to_no_other(self, pool: asyncpg.Pool) -> None:
        """Neither at the start nor by rotation, nor after it was revoked."""
        devices = await activated(pool)
        await devices.revoke(ID, 1, at=AT)

        with pytest.raises(KeyKnownError):
            await devices.provision(meter_of("AQ-2"), key_of(identity_of()), at=AT)

    async def test_is_given_to_one_of_two_who_bring_it_together(self, pool: asyncpg.Pool) -> None:
        """The second waits until the first is known, though their meters share no bucket."""
        devices = Devices(pool=pool)
        answers = await asyncio.gather(
            *(
                devices.provision(meter_of(f"AQ-{n}"), key_of(identity_of()), at=AT)
                for n in range(8)
            ),
            return_exceptions=True,
        )

        assert [type(answer) for answer in answers].count(KeyKnownError) == 7


class TestD03D04RevokedKey:
    """A key that was revoked ..."""

    async def test_is_refused_at_the_very_next_message(self, pool: asyncpg.Pool, ear: Ear) -> None:
        """The ingest that remembers the meter as good runs on; nobody restarts it."""
        devices = await activated(pool)
        assert await ear.hears(identity_of(), 1, AT) is None

        key = await devices.revoke(ID, 1, at=AT + DAY)

        assert key.revoked_at == AT + DAY
        assert await ear.hears(identity_of(), 2, AT + DAY) == "key_revoked"

    async def test_stays_revoked_since_the_first_time(self, pool: asyncpg.Pool) -> None:
        """A second click must not move the day from which nothing counts."""
        devices = await activated(pool)
        await devices.revoke(ID, 1, at=AT)

        assert (await devices.revoke(ID, 1, at=AT + DAY)).revoked_at == AT
        with pytest.raises(KeyUnknownError):
            await devices.revoke(ID, 2, at=AT)

    async def test_makes_no_new_key(self, pool: asyncpg.Pool) -> None:
        """Whoever stole it would rotate first."""
        devices = await activated(pool)
        old, new = identity_of(), identity_of(ID, 2)
        await devices.revoke(ID, 1, at=AT)

        with pytest.raises(RotationRefusedError, match="frozen or revoked"):
            await devices.rotate(ID, 2, key_of(new), signed_by(old, new), at=AT)


class TestRotation:
    """A new key ..."""

    async def test_lets_the_old_one_speak_for_a_week(self, pool: asyncpg.Pool, ear: Ear) -> None:
        """To the very instant: what the meter signed before is not lost, a thief's copy is."""
        devices = await activated(pool)
        old, new = identity_of(), identity_of(ID, 2)
        assert await ear.hears(old, 1, AT) is None

        assert await devices.rotate(ID, 2, key_of(new), signed_by(old, new), at=AT)
        assert await ear.hears(new, 1, AT + DAY) is None
        last = AT + 7 * DAY - timedelta(seconds=1)
        assert await ear.hears(old, 2, last) is None
        assert await ear.hears(old, 3, AT + 7 * DAY) == "key_expired"
        assert await ear.hears(new, 2, AT + 8 * DAY) is None

    async def test_is_given_once(self, pool: asyncpg.Pool) -> None:
        """The same again is a lost answer and prolongs nothing."""
        devices = await activated(pool)
        old, new = identity_of(), identity_of(ID, 2)
        await devices.rotate(ID, 2, key_of(new), signed_by(old, new), at=AT)

        assert not await devices.rotate(ID, 2, key_of(new), signed_by(old, new), at=AT + DAY)
        _, keys = await devices.keys(ID)
        assert [(key.key_epoch, key.valid_until) for key in keys] == [
            (2, None),
            (1, AT + 7 * DAY),
        ]

    async def test_needs_the_old_ones_word(self, pool: asyncpg.Pool) -> None:
        """Not its own, not one for another epoch, not none; nor may an epoch be left out."""
        devices = await activated(pool)
        old, new, third = identity_of(), identity_of(ID, 2), identity_of(ID, 3)
        for signature in (signed_by(new, new), signed_by(old, third), bytes(64)):
            with pytest.raises(RotationRefusedError, match="did not sign"):
                await devices.rotate(ID, 2, key_of(new), signature, at=AT)

        with pytest.raises(RotationRefusedError, match="next epoch is 2"):
            await devices.rotate(ID, 3, key_of(third), signed_by(old, third), at=AT)


class TestD12ReplayAcrossEpoch:
    """A telegram of the old key ..."""

    async def test_is_not_new_under_the_next_epoch(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, ear: Ear
    ) -> None:
        """The counters begin anew; what was said under the old ones must not count again."""
        devices = await activated(pool)
        old, new = identity_of(), identity_of(ID, 2)
        message = telegram(old, counter=1, registers=[(int(AT.timestamp()), 500)])
        assert await ear.takes(message, AT) is None
        await devices.rotate(ID, 2, key_of(new), signed_by(old, new), at=AT)

        assert await ear.takes(message, AT) is not None
        lie = Identity(meter_id=ID, key_epoch=2, key=old.key)
        assert await ear.hears(lie, 1, AT + DAY) == "wrong_epoch"
        assert await owner.fetchval("SELECT count(*) FROM telegram") == 1

    async def test_cannot_bring_the_old_key_back_as_a_new_one(self, pool: asyncpg.Pool) -> None:
        """The same key under two epochs would make every old telegram look new."""
        devices = await activated(pool)
        old = identity_of()
        again = Identity(meter_id=ID, key_epoch=2, key=old.key)

        with pytest.raises(KeyKnownError):
            await devices.rotate(ID, 2, key_of(again), signed_by(old, again), at=AT)


class TestD20CloneEquivocation:
    """A meter that tells two stories under one counter ..."""

    async def test_speaks_again_when_a_person_has_closed_the_case(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, ear: Ear
    ) -> None:
        """Two signatures prove a copy; only an outcome with a name makes it speak again."""
        await activated(pool)
        assert await ear.hears(identity_of(), 1, AT) is None
        await ear.hears(identity_of(), 1, AT + DAY, dm3=900)
        assert await ear.hears(identity_of(), 2, AT + 2 * DAY) == "key_frozen"
        case_id: UUID = await owner.fetchval("SELECT case_id FROM meter_case")

        state = await Custody(pool=pool).unfreeze(
            ID, case_id, closed_by="Aigerim", outcome="the spare part was sent back", at=AT + DAY
        )

        assert state == "active"
        assert await ear.hears(identity_of(), 2, AT + 3 * DAY) is None


class TestFrozenMeter:
    """A meter that was frozen ..."""

    async def test_is_silent_until_its_case_is_closed(self, pool: asyncpg.Pool, ear: Ear) -> None:
        """A made-up case, or the same one twice, opens nothing."""
        await activated(pool)
        case_id = await Custody(pool=pool).freeze(ID, because="the seal is broken", by="A", at=AT)
        assert await ear.hears(identity_of(), 1, AT) == "meter_frozen"
        with pytest.raises(CaseUnknownError):
            await Custody(pool=pool).unfreeze(ID, UUID(int=0), closed_by="A", outcome="fine", at=AT)
        assert await ear.hears(identity_of(), 1, AT) == "meter_frozen"

        await Custody(pool=pool).unfreeze(ID, case_id, closed_by="A", outcome="sealed anew", at=AT)

        assert await ear.hears(identity_of(), 1, AT) is None
        with pytest.raises(CaseUnknownError):
            await Custody(pool=pool).unfreeze(ID, case_id, closed_by="A", outcome="fine", at=AT)

    async def test_gets_no_new_key(self, pool: asyncpg.Pool) -> None:
        """What is in question does not choose its successor."""
        devices = await activated(pool)
        await Custody(pool=pool).freeze(ID, because="the seal is broken", by="A", at=AT)
        old, new = identity_of(), identity_of(ID, 2)

        with pytest.raises(StateError):
            await devices.rotate(ID, 2, key_of(new), signed_by(old, new), at=AT)
        with pytest.raises(StateError):
            await Custody(pool=pool).freeze(ID, because="again", by="A", at=AT)


class TestRemovedMeter:
    """A meter taken out of service ..."""

    async def test_hangs_nowhere_and_speaks_never_again(self, pool: asyncpg.Pool, ear: Ear) -> None:
        """Its line is closed first, with a last register."""
        await activated(pool)
        with pytest.raises(StillInstalledError):
            await Custody(pool=pool).remove(ID, because="old", by="A", at=AT)
        await Registry(pool=pool).remove(ID, removed_at=AT, closing_dm3=500, at=AT)

        await Custody(pool=pool).remove(ID, because="old", by="A", at=AT)

        assert await ear.hears(identity_of(), 1, AT) == "meter_removed"
        with pytest.raises(StateError):
            await Custody(pool=pool).remove(ID, because="old", by="A", at=AT)
