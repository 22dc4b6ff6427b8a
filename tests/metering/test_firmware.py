"""What meters claim to run: compared with the town's list, and never passed over in silence."""

import hashlib

import asyncpg
import pytest

from billing.period import Calendar
from metering.firmware import FirmwareWord
from metering.ingest import ingest
from metering.io import attest
from metering.io.desk import Desk
from metering.io.firmware import Firmwares
from metering.io.gaps import Gaps
from metering.io.store import Store
from metering.meter import bucket
from metering.telegram import Arrival
from simulators.signed import telegram
from tests.metering.test_devices_store import AT, DAY, ID, activated, identity_of

GOOD = hashlib.sha256(b"firmware 1.4").digest()
BETTER = hashlib.sha256(b"firmware 1.5").digest()
EVIL = hashlib.sha256(b"firmware 1.4, and something else").digest()
OTHER = "AQ-000124"


class Town:
    """One running ingest that is never restarted, and the town's list."""

    def __init__(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        self.store = Store(pool)
        self.firmwares = Firmwares(pool=pool)
        self.desk = Desk(pool=pool, gaps=Gaps(pool=pool, calendar=Calendar(zone="Asia/Almaty")))
        self.owner = owner
        self.counter = 0

    async def says(self, firmware: bytes | None, meter_id: str = ID) -> int:
        """Let a meter send one telegram with a firmware; return how many were stored."""
        self.counter += 1
        at = AT + self.counter * DAY
        message = telegram(
            identity_of(meter_id),
            counter=self.counter,
            registers=[(int(at.timestamp()), 500 + self.counter)],
            firmware=firmware,
        )
        arrival = Arrival(
            topic=f"gas/v1/{bucket(meter_id)}/{meter_id}/up",
            payload=message,
            retained=False,
            handle=None,
        )
        counts, _ = await ingest([arrival], store=self.store, at=at)
        return counts.stored

    async def approve(
        self, digest: bytes, *, approved: bool = True, kind: str = "diaphragm"
    ) -> None:
        """Say the town's word on a firmware, as of the last telegram."""
        await self.firmwares.say(
            kind,
            digest,
            approved=approved,
            because="tested",
            said_by="Olga",
            at=AT + self.counter * DAY,
        )

    async def cases(self) -> list[tuple[str, str, bool]]:
        """Return the questions about firmware, oldest first: meter, what it says, whether open."""
        rows = await self.owner.fetch(
            "SELECT meter_id, detail, closed_at FROM meter_case WHERE kind = 'unknown_firmware'"
            " ORDER BY opened_at, detail"
        )
        return [
            (
                row["meter_id"],
                row["detail"].removeprefix("says it runs ").partition(",")[0],
                row["closed_at"] is None,
            )
            for row in rows
        ]

    async def close(self) -> None:
        """Let a person close the one open case."""
        case_id = await self.owner.fetchval(
            "SELECT case_id FROM meter_case WHERE closed_at IS NULL"
        )
        await self.desk.close(
            ID,
            case_id,
            outcome="known to us",
            closed_by="Olga",
            at=AT + self.counter * DAY,
        )


@pytest.fixture
async def town(pool: asyncpg.Pool, owner: asyncpg.Connection) -> Town:
    await activated(pool)
    await activated(pool, OTHER)
    return Town(pool, owner)


class TestD26UnknownFirmware:
    """A meter that claims a firmware nobody approved ..."""

    async def test_is_a_question_for_a_person(self, town: Town) -> None:
        """Its gas is still measured: a claim proves nothing, neither for it nor against it."""
        await town.approve(GOOD)

        assert await town.says(EVIL[:8]) == 1

        assert await town.cases() == [(ID, EVIL[:8].hex(), True)]
        verdict = await town.owner.fetchval("SELECT verdict FROM reading")
        assert verdict == "billable"

    async def test_is_none_when_it_runs_what_is_approved(self, town: Town) -> None:
        """However many bytes of the digest it sends, from eight on; or none: a claim is no duty."""
        await town.approve(GOOD)
        await town.approve(BETTER)

        for firmware in (GOOD[:8], GOOD[:16], BETTER[:12], None):
            assert await town.says(firmware) == 1

        assert await town.cases() == []

    async def test_cannot_hide_in_a_few_bytes(self, town: Town) -> None:
        """One byte of the right digest is right for every 256th wrong one."""
        await town.approve(GOOD)

        await town.says(GOOD[:7])

        assert await town.cases() == [(ID, GOOD[:7].hex(), True)]

    async def test_is_not_excused_by_the_list_of_another_type(self, town: Town) -> None:
        """What an ultrasonic meter may run says nothing of a diaphragm meter."""
        await town.approve(GOOD)
        await town.approve(BETTER, kind="ultrasonic")

        await town.says(BETTER[:8])

        assert await town.cases() == [(ID, BETTER[:8].hex(), True)]

    async def test_is_asked_about_once_however_often_it_says_so(self, town: Town) -> None:
        """A meter is one question, not one a day; and after the answer it is none."""
        await town.approve(GOOD)
        for _ in range(3):
            await town.says(EVIL[:8])
        assert await town.cases() == [(ID, EVIL[:8].hex(), True)]
        await town.close()

        await town.says(EVIL[:8])

        assert await town.cases() == [(ID, EVIL[:8].hex(), False)]

    async def test_is_found_when_it_changes_after_years_of_honesty(self, town: Town) -> None:
        """The ingest that remembers the meter as good looks again when it says something new."""
        await town.approve(GOOD)
        await town.says(GOOD[:8])
        await town.says(GOOD[:8])

        await town.says(EVIL[:8])

        assert await town.cases() == [(ID, EVIL[:8].hex(), True)]

    async def test_is_not_covered_by_a_question_that_is_open(self, town: Town) -> None:
        """One open case of a kind: the next firmware waits its turn, and is not forgotten."""
        await town.approve(GOOD)
        await town.says(EVIL[:8])
        await town.says(BETTER[:8])
        assert await town.cases() == [(ID, EVIL[:8].hex(), True)]
        await town.close()

        await town.says(BETTER[:8])

        assert await town.cases() == [(ID, EVIL[:8].hex(), False), (ID, BETTER[:8].hex(), True)]

    async def test_is_found_when_an_approval_is_taken_back(self, town: Town) -> None:
        """A firmware that turns out to be bad: everyone who runs it is asked about at once."""
        await town.approve(GOOD)
        await town.approve(BETTER)
        await town.says(BETTER[:8])
        await town.says(BETTER[:8], OTHER)
        assert await town.cases() == []

        await town.approve(BETTER, approved=False)
        await town.says(BETTER[:8])
        await town.says(BETTER[:8], OTHER)

        assert await town.cases() == [
            (ID, BETTER[:8].hex(), True),
            (OTHER, BETTER[:8].hex(), True),
        ]

    async def test_is_asked_about_anew_after_a_later_word(self, town: Town) -> None:
        """Closed because it was approved, then taken back: the old answer answers nothing."""
        await town.approve(GOOD)
        await town.says(EVIL[:8])
        await town.close()
        await town.approve(EVIL)
        await town.says(EVIL[:8])
        assert await town.cases() == [(ID, EVIL[:8].hex(), False)]

        await town.says(None)
        await town.approve(EVIL, approved=False)
        await town.says(EVIL[:8])

        assert await town.cases() == [(ID, EVIL[:8].hex(), False), (ID, EVIL[:8].hex(), True)]

    async def test_is_compared_only_where_the_town_keeps_a_list(self, town: Town) -> None:
        """Without any word on a type nothing is known; the first one compares everybody."""
        await town.says(EVIL[:8])
        assert await town.cases() == []

        await town.approve(GOOD)
        await town.says(EVIL[:8])

        assert await town.cases() == [(ID, EVIL[:8].hex(), True)]

    async def test_costs_a_look_up_only_when_it_says_something_new(
        self, town: Town, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ten thousand meters that say the same every hour must not ask the database every hour."""
        asked: list[int] = []
        query = attest._Q.ask_about_firmware

        def counted(conn: asyncpg.Connection, **named: object) -> object:
            asked.append(1)
            return query(conn, **named)

        monkeypatch.setattr(attest._Q, "ask_about_firmware", counted)
        await town.approve(GOOD)
        for firmware in (GOOD[:8], GOOD[:8], None, GOOD[:8], EVIL[:8], EVIL[:8]):
            await town.says(firmware)

        assert len(asked) == 2


class TestTheTownsWord:
    """A word on a firmware ..."""

    async def test_is_said_once_and_answered_by_a_later_one(self, town: Town) -> None:
        """The same again is nothing new; taking back is another revision, and both stay."""
        one, new = await town.firmwares.say(
            "pulse", GOOD, approved=True, because="tested", said_by="Olga", at=AT
        )
        assert (one.revision, new) == (1, True)
        again, new = await town.firmwares.say(
            "pulse", GOOD, approved=True, because="else", said_by="Marat", at=AT
        )
        assert (again, new) == (one, False)
        two, new = await town.firmwares.say(
            "pulse", GOOD, approved=False, because="leaks", said_by="Marat", at=AT + DAY
        )

        assert (two.revision, two.approved, new) == (2, False, True)
        assert await town.firmwares.words("pulse") == [two, one]
        assert await town.firmwares.words("ultrasonic") == []
        assert await town.firmwares.words(None) == [two, one]

    def test_names_a_firmware_by_its_whole_digest(self) -> None:
        """A prefix on the list would approve whatever begins with it."""
        with pytest.raises(ValueError, match="SHA-256"):
            FirmwareWord(
                meter_type="pulse",
                firmware_digest=GOOD[:16],
                revision=1,
                approved=True,
                because="x",
                said_by="y",
                said_at=AT,
            )
