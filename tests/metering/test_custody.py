"""What people do about a device: each word is signed, written down, and opens no back door."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import asyncpg
import pytest

from metering.device import StateError
from metering.io.custody import (
    ClaimSettledError,
    Custody,
    NotRevokedError,
    StillInstalledError,
)
from metering.io.device_rows import KeyKnownError
from metering.io.devices import ClaimLockedError, ClaimRefusedError, Devices, RotationRefusedError
from metering.io.registry import MeterUnknownError, Registry
from metering.io.store import Store
from tests.metering.test_devices_store import (
    AT,
    DAY,
    ID,
    WRONG,
    Ear,
    activated,
    identity_of,
    key_of,
    meter_of,
    signed_by,
)

NEW = identity_of(ID, 2)


@pytest.fixture
def ear(pool: asyncpg.Pool, owner: asyncpg.Connection) -> Ear:
    return Ear(store=Store(pool), owner=owner)


@pytest.fixture
def custody(pool: asyncpg.Pool) -> Custody:
    return Custody(pool=pool)


async def vouch(custody: Custody, epoch: int = 2, at: datetime = AT) -> tuple[int, bool]:
    key, fresh = await custody.vouch(
        ID, key_of(identity_of(ID, epoch)), because="board changed", by="Olga", at=at
    )
    return key.key_epoch, fresh


class TestVouchedKey:
    """A key that only an operator vouches for ..."""

    async def test_speaks_where_the_old_one_was_revoked(
        self, pool: asyncpg.Pool, ear: Ear, custody: Custody
    ) -> None:
        """A revoked key can sign no successor; without this the meter had to come down."""
        devices = await activated(pool)
        assert await ear.hears(identity_of(), 1, AT) is None
        await devices.revoke(ID, 1, at=AT)

        assert await vouch(custody) == (2, True)

        assert await ear.hears(NEW, 1, AT + DAY) is None
        assert await ear.hears(identity_of(), 2, AT + DAY) == "key_revoked"

    async def test_needs_the_old_one_to_be_revoked(
        self, pool: asyncpg.Pool, ear: Ear, custody: Custody
    ) -> None:
        """Else one clerk could give a meter that speaks a second voice, unheard."""
        await activated(pool)

        with pytest.raises(NotRevokedError):
            await vouch(custody)
        assert await ear.hears(NEW, 1, AT) == "unknown_key"

    async def test_needs_every_older_one_to_be_silent(
        self, pool: asyncpg.Pool, custody: Custody
    ) -> None:
        """In the week after a rotation two keys are good; both must be ended."""
        devices = await activated(pool)
        await devices.rotate(ID, 2, key_of(NEW), signed_by(identity_of(), NEW), at=AT)
        await devices.revoke(ID, 2, at=AT)

        with pytest.raises(NotRevokedError, match="older"):
            await vouch(custody, 3)
        assert await vouch(custody, 3, AT + 7 * DAY) == (3, True)

    async def test_takes_no_place_of_a_frozen_one(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, custody: Custody
    ) -> None:
        """What a person may still thaw is not gone: first the case, or a revocation."""
        devices = await activated(pool)
        await owner.execute("UPDATE device_key SET frozen_at = $1", AT)

        with pytest.raises(NotRevokedError):
            await vouch(custody)
        await devices.revoke(ID, 1, at=AT)
        assert await vouch(custody) == (2, True)

    async def test_is_looked_at_by_somebody_else(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, custody: Custody
    ) -> None:
        """One word makes a meter believe; so it opens a case that says whose word it was."""
        devices = await activated(pool)
        await devices.revoke(ID, 1, at=AT)
        await vouch(custody)

        row = await owner.fetchrow("SELECT kind, detail FROM meter_case")
        assert tuple(row) == ("key_vouched", "epoch 2, vouched for by Olga: board changed")

    async def test_is_given_once(self, pool: asyncpg.Pool, custody: Custody) -> None:
        """A form sent twice is one key, also when both arrive together."""
        devices = await activated(pool)
        await devices.revoke(ID, 1, at=AT)

        answers = await asyncio.gather(*(vouch(custody) for _ in range(5)))

        assert sorted(answers) == [*[(2, False)] * 4, (2, True)]

    async def test_is_none_that_any_meter_had(self, pool: asyncpg.Pool, custody: Custody) -> None:
        """The revoked one comes back by no door."""
        devices = await activated(pool)
        await devices.revoke(ID, 1, at=AT)

        with pytest.raises(KeyKnownError):
            await vouch(custody, 1)

    async def test_is_none_for_a_meter_that_is_stopped(
        self, pool: asyncpg.Pool, custody: Custody
    ) -> None:
        """What is in question does not get a new voice before it was answered."""
        devices = await activated(pool)
        await devices.revoke(ID, 1, at=AT)
        await custody.freeze(ID, because="seal broken", by="Olga", at=AT)

        with pytest.raises(StateError):
            await vouch(custody)

    async def test_can_sign_its_successor(self, pool: asyncpg.Pool, custody: Custody) -> None:
        """From then on the meter looks after itself again; once revoked it cannot."""
        devices = await activated(pool)
        await devices.revoke(ID, 1, at=AT)
        await vouch(custody)
        third = identity_of(ID, 3)

        assert await devices.rotate(ID, 3, key_of(third), signed_by(NEW, third), at=AT)
        await devices.revoke(ID, 3, at=AT)
        fourth = identity_of(ID, 4)
        with pytest.raises(RotationRefusedError):
            await devices.rotate(ID, 4, key_of(fourth), signed_by(third, fourth), at=AT)


class TestReissuedCode:
    """A claim code that is issued anew ..."""

    async def test_opens_a_locked_meter_and_voids_the_old_one(
        self, pool: asyncpg.Pool, custody: Custody
    ) -> None:
        """Five wrong ones locked it; the old label must not work after that, even unlocked."""
        devices = Devices(pool=pool)
        old = await devices.provision(meter_of(), key_of(identity_of()), at=AT)
        for _ in range(5):
            with pytest.raises(ClaimRefusedError):
                await devices.claim(ID, WRONG, at=AT)
        with pytest.raises(ClaimLockedError):
            await devices.claim(ID, old, at=AT)

        new = await custody.reissue(ID, because="label torn", by="Olga", at=AT)

        assert new != old
        with pytest.raises(ClaimRefusedError):
            await devices.claim(ID, old, at=AT)
        await devices.claim(ID, new, at=AT)

    async def test_has_five_tries_again_and_no_more(
        self, pool: asyncpg.Pool, custody: Custody
    ) -> None:
        """D21 holds for each code."""
        devices = Devices(pool=pool)
        await devices.provision(meter_of(), key_of(identity_of()), at=AT)
        code = await custody.reissue(ID, because="label torn", by="Olga", at=AT)
        for _ in range(5):
            with pytest.raises(ClaimRefusedError):
                await devices.claim(ID, WRONG, at=AT)

        with pytest.raises(ClaimLockedError):
            await devices.claim(ID, code, at=AT)

    async def test_is_none_for_a_meter_that_was_claimed(
        self, pool: asyncpg.Pool, custody: Custody
    ) -> None:
        """Who stood before the meter is settled; a second claim would unsettle it."""
        devices = Devices(pool=pool)
        code = await devices.provision(meter_of(), key_of(identity_of()), at=AT)
        await devices.claim(ID, code, at=AT)

        with pytest.raises(ClaimSettledError):
            await custody.reissue(ID, because="label torn", by="Olga", at=AT)

    async def test_is_none_for_a_meter_that_is_active(
        self, pool: asyncpg.Pool, custody: Custody
    ) -> None:
        """Its start is settled."""
        await activated(pool)

        with pytest.raises(StateError):
            await custody.reissue(ID, because="label torn", by="Olga", at=AT)


class TestHistory:
    """The history of a device ..."""

    async def test_tells_who_did_what_and_why(self, pool: asyncpg.Pool, custody: Custody) -> None:
        """From the box to the end, the newest first; nothing that was refused but wrong codes."""
        devices = Devices(pool=pool)
        await devices.provision(meter_of(), key_of(identity_of()), by="Aigerim", at=AT)
        with pytest.raises(ClaimRefusedError):
            await devices.claim(ID, WRONG, by="Marat", at=AT)
        code = await custody.reissue(ID, because="label torn", by="Olga", at=AT)
        await devices.claim(ID, code, by="Marat", at=AT)
        await devices.revoke(ID, 1, by="Aigerim", at=AT)
        await devices.revoke(ID, 1, by="Aigerim", at=AT)
        await vouch(custody)
        await custody.remove(ID, because="scrapped", by="Olga", at=AT)
        with pytest.raises(StateError):
            await custody.remove(ID, because="again", by="Olga", at=AT)

        told = [(one.event.value, one.by, one.detail) for one in await custody.history(ID)]

        assert told == [
            ("removed", "Olga", "scrapped"),
            ("key_vouched", "Olga", "epoch 2, vouched for by Olga: board changed"),
            ("key_revoked", "Aigerim", "epoch 1"),
            ("claimed", "Marat", ""),
            ("code_reissued", "Olga", "label torn"),
            ("claim_refused", "Marat", ""),
            ("provisioned", "Aigerim", "key made: device"),
        ]

    async def test_tells_of_stops_and_starts(self, pool: asyncpg.Pool, custody: Custody) -> None:
        """Why it was stopped, and what came out of it."""
        await activated(pool)
        case_id = await custody.freeze(ID, because="seal broken", by="Olga", at=AT)
        await custody.unfreeze(ID, case_id, closed_by="Marat", outcome="sealed anew", at=AT + DAY)

        thawed, frozen, begun, *_ = await custody.history(ID)
        assert (thawed.event.value, thawed.by, thawed.detail, thawed.at) == (
            "thawed",
            "Marat",
            "sealed anew",
            AT + DAY,
        )
        assert (frozen.event.value, frozen.by, frozen.detail) == ("frozen", "Olga", "seal broken")
        assert (begun.event.value, begun.detail) == (
            "activated",
            "start register 500 dm3",
        )

    async def test_of_a_rotation_names_the_epoch(
        self, pool: asyncpg.Pool, custody: Custody
    ) -> None:
        """Which key spoke when is the first thing an expert asks."""
        devices = await activated(pool)
        await devices.rotate(ID, 2, key_of(NEW), signed_by(identity_of(), NEW), at=AT)

        newest, *_ = await custody.history(ID)
        assert (newest.event.value, newest.detail, newest.by) == ("key_rotated", "epoch 2", None)

    async def test_is_empty_handed_for_a_meter_nobody_knows(self, custody: Custody) -> None:
        """Every way in says so."""
        signed = {"because": "x", "by": "Olga", "at": AT}
        calls: list[Callable[[], object]] = [
            lambda: custody.history(ID),
            lambda: custody.reissue(ID, **signed),  # type: ignore[arg-type]
            lambda: custody.freeze(ID, **signed),  # type: ignore[arg-type]
            lambda: custody.remove(ID, **signed),  # type: ignore[arg-type]
            lambda: vouch(custody),
        ]
        for call in calls:
            with pytest.raises(MeterUnknownError):
                await call()  # type: ignore[misc]


class TestRemoval:
    """Taking a meter out of service ..."""

    async def test_waits_until_it_hangs_nowhere(
        self, pool: asyncpg.Pool, ear: Ear, custody: Custody
    ) -> None:
        """Its line is closed with a last register; then nothing opens it again."""
        devices = await activated(pool)
        with pytest.raises(StillInstalledError):
            await custody.remove(ID, because="old", by="Olga", at=AT)
        await Registry(pool=pool).remove(ID, removed_at=AT, closing_dm3=500, at=AT)
        await custody.remove(ID, because="old", by="Olga", at=AT)

        await devices.revoke(ID, 1, at=AT)
        with pytest.raises(StateError):
            await vouch(custody)
        assert await ear.hears(identity_of(), 1, AT) == "meter_removed"
