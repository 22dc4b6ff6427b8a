"""Ten thousand random accounts: what the run billed, worked out again from the records alone."""

from collections import Counter
from datetime import timedelta
from typing import Any, Final

import asyncpg
import pytest

from billing.audit import audit
from billing.correct import correct
from billing.correction import Policy
from billing.io.corrections import Corrections
from billing.io.records import Records
from billing.io.store import BillingStore
from billing.period import Calendar, Period
from billing.proof import Kind
from billing.recompute import RecordError, check, loads, read
from billing.reconcile import reconcile
from billing.record import canonical
from metering.conversion import EnergyRule
from metering.io.conversions import Conversions, Wanted
from tests.billing.claims import Json, claims, falsified
from tests.billing.random_town import ZONE, RandomTown, settle

HOMES: Final = 500
TOWNS: Final = 20


async def bills_of(
    owner: asyncpg.Connection, pool: asyncpg.Pool, seed: int, homes: int
) -> tuple[RandomTown, list[Json]]:
    """Settle a town, run its month, and return the records of all its bills."""
    town = await settle(owner, seed, homes)
    period = Period(start=town.start, end=town.end)
    conversions = Conversions(
        pool=pool, calendar=Calendar(zone=ZONE), wanted=Wanted(energy=EnergyRule.UK)
    )
    at = town.at(town.end) + timedelta(hours=8)
    counts = await reconcile(
        store=BillingStore(pool, conversions=conversions), period=period, at=at, zone=ZONE
    )
    assert (counts.billed, counts.held) == (homes, 0)
    return town, await Records(pool=pool, zone=ZONE).page(period.start, chunk=homes)


def features(records: list[Json]) -> Counter[str]:
    """Count what the bills of a town have, so that a poor town does not pass for a rich one."""
    seen: Counter[str] = Counter()
    for record in records:
        seen["several terms"] += len(record["terms"]) > 1
        seen["several rates of VAT"] += len(record["totals"]["vat"]) > 1
        meters = {usage["meter_id"] for usage in record["usages"]}
        seen["several meters"] += len(meters) > 1
        for usage in record["usages"]:
            seen["past zero"] += usage["closing"]["turns"] > usage["opening"]["turns"]
            seen["nothing used"] += usage["volume_dm3"] == 0
        for line in record["lines"]:
            seen["shared by days"] += line["days"] < line["days_of"]
            seen["higher band"] += line["band_no"] > 1
            seen["energy"] += line["energy_wh"] is not None
        for charge in record["charges"]:
            seen[charge["kind"]] += 1
    return seen


def verdict(record: Json) -> tuple[str, ...]:
    """Return what the calculator says of a record that went through a file."""
    try:
        answer = check(read(loads(canonical(record))))
    except RecordError as error:
        return (str(error),)
    return tuple(difference.sentence() for difference in answer.differences)


@pytest.mark.slow
class TestTenThousandAccounts:
    """The bills of a random town ..."""

    @pytest.mark.parametrize("seed", range(TOWNS))
    async def test_are_worked_out_alike_three_times(
        self, seed: int, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The run in SQL, the audit's rating, and the calculator come to the same tiyn."""
        town, records = await bills_of(owner, pool, seed, HOMES)

        wrong = [(record["number"], found) for record in records if (found := verdict(record))]
        assert wrong == []
        assert len(records) == HOMES
        report = await audit(
            store=BillingStore(pool),
            bank=None,
            at=town.at(town.end) + timedelta(days=1),
            zone=ZONE,
        )
        assert [one for one in report.findings if one.kind is not Kind.MONTH_FORGOTTEN] == []
        seen = features(records)
        always = ("several terms", "several meters", "past zero", "nothing used", "shared by days")
        assert min(seen[name] for name in always) > HOMES / 50


class TestSomeOfThem:
    """A random bill ..."""

    @pytest.mark.parametrize("seed", [3, 7])
    async def test_hides_nothing(
        self, seed: int, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """One tiyn, one dm3, a band, a dropped line, a doubled charge: it is found, anywhere."""
        _, records = await bills_of(owner, pool, seed, 30)
        chosen = sorted(records, key=lambda one: -len(one["lines"]) - len(one["charges"]))[:4]

        unseen = [
            f"{record['number']}: {what}"
            for record in chosen
            for what, false in falsified(record)
            if not verdict(false)
        ]

        assert unseen == []
        assert sum(len(claims(record)) for record in chosen) > 500

    async def test_is_corrected_to_the_tiyn(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """1234 dm3 more at the end of every month: cancelled, billed again, and both worked out."""
        town, _ = await bills_of(owner, pool, 3, 60)
        later = town.at(town.end) + timedelta(days=2)
        await owner.execute(
            "INSERT INTO reading_correction"
            " SELECT u.meter_id, u.closing_read_at, 1,"
            " (u.closing_register_dm3 + 1234) % m.dial_dm3,"
            " u.closing_turns + (u.closing_register_dm3 + 1234) / m.dial_dm3,"
            " 'ours', 'a clerk', 'a photo', $2"
            " FROM usage u JOIN meter m USING (meter_id)"
            " JOIN reading r ON r.meter_id = u.meter_id AND r.read_at = u.closing_read_at"
            " WHERE u.to_at = $1 AND u.closing_read_at > u.opening_read_at",
            town.at(town.end),
            later,
        )
        await owner.execute(
            "INSERT INTO usage_doubt SELECT meter_id, read_at, revision, decided_at"
            " FROM reading_correction"
        )

        counts = await correct(
            store=Corrections(pool),
            at=later + timedelta(hours=1),
            zone=ZONE,
            policy=Policy(),
            chunk=100,
        )

        assert counts.rebilled > 20
        records = await Records(pool=pool, zone=ZONE).page(town.start, chunk=1_000)
        kinds = Counter(record["kind"] for record in records)
        assert kinds["cancellation"] == kinds["rebill"] == counts.rebilled
        read_of = {record["number"]: read(record) for record in records}
        for record in records:
            corrected = read_of.get(f"{record['account_id']}/{record['corrects_bill_no']}")
            cancelled = corrected if record["kind"] == "cancellation" else None
            answer = check(read_of[record["number"]], cancelled)
            assert [one.sentence() for one in answer.differences] == []
            assert answer.taken_as_given == ()

    async def test_can_be_anything(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """The dice of one small town bring everything that a bill can have."""
        _, records = await bills_of(owner, pool, 3, 60)

        seen: Any = features(records)
        assert min(seen.values()) > 0, seen
        assert {"discount", "standing", "energy", "higher band"} <= seen.keys()
