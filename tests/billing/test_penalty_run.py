"""Penalties on the bills of a town that charges them."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from billing.audit import audit
from billing.io.debits import Debits
from billing.io.penalty_desk import (
    DisputeDayError,
    DisputeOpenError,
    NotDisputedError,
    PenaltyDesk,
)
from billing.io.records import BillUnknownError
from billing.io.store import BillingStore
from billing.io.vouchers import NewVoucher, Vouchers
from billing.period import Calendar, Period
from billing.policy import NO_POLICY, BillPolicy
from billing.reconcile import reconcile
from tests.billing.debit_town import DebitTown, recorded, told
from tests.billing.town import Town

ZONE = "Asia/Almaty"
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = [f"2026-{month:02d}-01T00:00:00+05:00" for month in range(1, 6)]
STRICT = BillPolicy(penalty_factor_bp=15_000)

# 1 000 m3 a month at 8 620.69 tenge per 1000 m3: 8 620.69 + 1 379.31 (16 %) = 10 000 tenge.
BILL_MINOR = 1_000_000


@pytest.fixture(autouse=True)
async def town(owner: asyncpg.Connection, pool: asyncpg.Pool) -> Town:
    """Give a home whose bills are 10 000 tenge each, and a base rate of 18 per cent."""
    place = Town(owner)
    await place.tariff(862_069, "2025-01-01")
    await place.home("1", {at: number * 1_000_000 for number, at in enumerate(MONTHS)})
    await desk(pool).enter_rate(
        date(2026, 1, 1), 1_800, source="National Bank", entered_by="Olga", at=YEAR
    )
    return place


def desk(pool: asyncpg.Pool) -> PenaltyDesk:
    return PenaltyDesk(pool=pool, calendar=Calendar(zone=ZONE))


async def bill(pool: asyncpg.Pool, month: int, policy: BillPolicy = STRICT) -> None:
    """Issue the bills of a month on the 2nd of the next."""
    await reconcile(
        store=BillingStore(pool, policy),
        period=Period.month(2026, month),
        at=datetime(2026, month + 1, 2, tzinfo=UTC),
        zone=ZONE,
    )


async def charges(owner: asyncpg.Connection, bill_no: str) -> list[tuple[str, int, int]]:
    """Return the penalties of a bill: for which bill, for how many days, how much."""
    rows = await owner.fetch(
        "SELECT detail, quantity, net_minor, vat_minor FROM bill_charge"
        " WHERE bill_no = $1 AND kind = 'penalty' ORDER BY charge_no",
        bill_no,
    )
    assert all(row["vat_minor"] == 0 for row in rows)
    return [
        (json.loads(row["detail"])["bill_no"], row["quantity"], row["net_minor"]) for row in rows
    ]


async def pay(owner: asyncpg.Connection, bill_no: str, amount_minor: int, at: str) -> None:
    """Let money arrive that nobody debited: the shape of a posted debit is enough for a debt."""
    await owner.execute(
        "INSERT INTO transfer"
        " VALUES ('AC-1', $1, 'posted', 'bank', 'receivable', $2, 'KZT', $3, $4)",
        f"cash/{bill_no}/{at[8:10]}",
        amount_minor,
        bill_no,
        datetime.fromisoformat(at),
    )


async def findings(pool: asyncpg.Pool, *, but: str = "month_forgotten") -> list[str]:
    report = await audit(
        store=BillingStore(pool), bank=None, at=datetime(2026, 6, 1, tzinfo=UTC), zone=ZONE
    )
    return [f"{one.kind} {one.subject}" for one in report.findings if one.kind not in but]


class TestALateBill:
    """A bill that is owed after the 25th ..."""

    async def test_costs_a_penalty_on_the_next_ones(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """January's: 3 days of February (22.19), 31 of March (229.32); February's: 6 (44.38)."""
        await bill(pool, 1)
        await bill(pool, 2)
        await bill(pool, 3)

        assert await charges(owner, "2026-01") == []
        assert await charges(owner, "2026-02") == [("2026-01", 3, 2_219)]
        assert await charges(owner, "2026-03") == [("2026-01", 31, 22_932), ("2026-02", 6, 4_438)]
        rows = await owner.fetch("SELECT net_minor, vat_minor, total_minor FROM bill ORDER BY 3")
        assert [tuple(row) for row in rows] == [
            (862_069, 137_931, BILL_MINOR),
            (864_288, 137_931, 1_002_219),
            (889_439, 137_931, 1_027_370),
        ]
        assert await findings(pool) == []

    async def test_stands_in_an_account_of_its_own(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """It is no revenue from gas."""
        await bill(pool, 1)
        await bill(pool, 2)

        rows = await owner.fetch(
            "SELECT transfer_id, credit_code, amount_minor FROM transfer"
            " WHERE bill_no = '2026-02' ORDER BY transfer_id"
        )
        assert [tuple(row) for row in rows] == [
            ("bill/2026-02/net", "revenue", 862_069),
            ("bill/2026-02/penalty", "penalty", 2_219),
            ("bill/2026-02/vat", "vat", 137_931),
        ]

    async def test_says_how_the_penalty_was_made(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A reader with a pencil: 1 000 000 x 18 / 100 x 1.5 x 3 / 365 = 2 219.18 tiyn."""
        await bill(pool, 1)
        await bill(pool, 2)

        detail = json.loads(
            await owner.fetchval("SELECT detail FROM bill_charge WHERE kind = 'penalty'")
        )
        assert detail == {
            "bill_no": "2026-01",
            "principal_minor": 1_000_000,
            "charged_minor": 0,
            "factor_bp": 15_000,
            "minimum_minor": 0,
            "year_days": 365,
            "uncapped_minor": 2_219,
            "spans": [
                {
                    "from_day": "2026-02-26",
                    "to_day": "2026-03-01",
                    "days": 3,
                    "debt_minor": 1_000_000,
                    "rate_bp": 1_800,
                }
            ],
        }

    async def test_costs_nothing_where_no_factor_is_set(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Off by default, whatever rates somebody entered."""
        await bill(pool, 1, NO_POLICY)
        await bill(pool, 2, NO_POLICY)

        assert await charges(owner, "2026-02") == []

    async def test_costs_no_penalty_on_a_penalty(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """February's bill of 10 022.19 counts as 10 000 in March."""
        await bill(pool, 1)
        await bill(pool, 2)
        await bill(pool, 3)

        [detail] = [
            json.loads(row["detail"])
            for row in await owner.fetch(
                "SELECT detail FROM bill_charge WHERE detail ->> 'bill_no' = '2026-02'"
            )
        ]
        assert (detail["principal_minor"], detail["spans"][0]["debt_minor"]) == (
            1_000_000,
            1_000_000,
        )

    async def test_costs_less_after_a_part_was_paid(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """6 000 tenge come on the 27th: two days of 10 000, one of 4 000: 14.79 + 2.96 = 17.75."""
        await bill(pool, 1)
        await pay(owner, "2026-01", 600_000, "2026-02-27T15:00:00+05:00")
        await bill(pool, 2)

        assert await charges(owner, "2026-02") == [("2026-01", 3, 1_775)]
        assert await findings(pool, but="month_forgotten transfer_unexplained") == []

    async def test_costs_less_when_a_voucher_paid_a_part(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The akimat's 5 000 tenge were there from the first day: 11.10 for the rest."""
        await Vouchers(pool=pool, calendar=Calendar(zone=ZONE)).enter(
            "AC-1",
            NewVoucher(
                source="order 17",
                amount_minor=500_000,
                currency="KZT",
                valid_from=date(2026, 1, 1),
                valid_to=date(2026, 3, 1),
            ),
            entered_by="Olga",
            at=YEAR,
        )
        await bill(pool, 1)
        await bill(pool, 2)

        assert await charges(owner, "2026-02") == [("2026-01", 3, 1_110)]
        assert await findings(pool) == []

    async def test_rests_in_a_moratorium(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """From 27 February to 11 March: one day is left of February, 21 of March."""
        for day, active in ((date(2026, 2, 27), True), (date(2026, 3, 11), False)):
            await desk(pool).enter_moratorium(
                day, active=active, source="decree", entered_by="Olga", at=YEAR
            )
        await bill(pool, 1)
        await bill(pool, 2)
        await bill(pool, 3)

        assert await charges(owner, "2026-02") == [("2026-01", 1, 740)]
        assert await charges(owner, "2026-03") == [("2026-01", 21, 15_534), ("2026-02", 6, 4_438)]
        assert await findings(pool) == []

    async def test_rests_in_a_dispute(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """From the 27th of February until the 11th of March."""
        await bill(pool, 1)
        await dispute(pool, at="2026-02-27T10:00:00+05:00")
        await bill(pool, 2)
        await desk(pool).settle(
            "AC-1",
            "2026-01",
            outcome="the bill is right",
            ended_by="Olga",
            at=datetime.fromisoformat("2026-03-11T10:00:00+05:00"),
        )
        await bill(pool, 3)

        assert await charges(owner, "2026-02") == [("2026-01", 1, 740)]
        assert await charges(owner, "2026-03") == [("2026-01", 21, 15_534), ("2026-02", 6, 4_438)]
        assert await findings(pool) == []

    async def test_is_charged_once_whatever_runs_twice(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The second run touches nothing."""
        await bill(pool, 1)
        await bill(pool, 2)
        await bill(pool, 2)

        assert await charges(owner, "2026-02") == [("2026-01", 3, 2_219)]

    async def test_costs_at_most_what_it_was(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """At a rate of 100 per cent and K 10 a day costs 273.97 tenge: 31 days stop at 9 178.08."""
        await desk(pool).enter_rate(
            date(2026, 1, 1), 10_000, source="a test", entered_by="Olga", at=YEAR
        )
        greedy = BillPolicy(penalty_factor_bp=100_000)
        for month in (1, 2, 3, 4):
            await bill(pool, month, greedy)

        assert await charges(owner, "2026-02") == [("2026-01", 3, 82_192)]
        assert (await charges(owner, "2026-03"))[0] == ("2026-01", 31, 849_315)
        # 1 000 000 - 82 192 - 849 315 are left, of 821 918 for April's 30 days.
        assert (await charges(owner, "2026-04"))[0] == ("2026-01", 30, 68_493)
        assert await findings(pool) == []


async def dispute(
    pool: asyncpg.Pool, *, at: str, because: str = "not my gas", from_day: date | None = None
) -> bool:
    _, fresh = await desk(pool).dispute(
        "AC-1",
        "2026-01",
        from_day=from_day,
        because=because,
        said_by="Olga",
        at=datetime.fromisoformat(at),
    )
    return fresh


class TestADispute:
    """A dispute about a bill ..."""

    async def test_is_opened_and_ended_once(self, pool: asyncpg.Pool) -> None:
        """The same words again are no news; others are a question."""
        await bill(pool, 1)
        at = "2026-02-10T10:00:00+05:00"
        about: dict[str, Any] = {"ended_by": "Olga", "at": datetime.fromisoformat(at)}
        with pytest.raises(NotDisputedError):
            await desk(pool).settle("AC-1", "2026-01", outcome="right", **about)
        assert await dispute(pool, at=at)
        assert not await dispute(pool, at=at)
        with pytest.raises(DisputeOpenError):
            await dispute(pool, at=at, because="another meter")
        word, fresh = await desk(pool).settle("AC-1", "2026-01", outcome="right", **about)
        # It began today, so today is its one day.
        assert (fresh, word.from_day, word.to_day) == (True, date(2026, 2, 10), date(2026, 2, 11))
        assert not (await desk(pool).settle("AC-1", "2026-01", outcome="right", **about))[1]
        with pytest.raises(NotDisputedError):
            await desk(pool).settle("AC-1", "2026-01", outcome="wrong", **about)

    async def test_keeps_a_bill_from_being_asked_for(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """No notice while it lasts; a debit that was announced is held back, and told anew."""
        await DebitTown(owner).mandate("AC-1")
        store = Debits(pool)
        await bill(pool, 1)
        issued_at, ninth = datetime(2026, 2, 3, tzinfo=UTC), "2026-02-09T10:00:00+05:00"
        assert await dispute(pool, at="2026-02-03T10:00:00+05:00")
        assert (await told(store, at=issued_at)).noticed == 0
        about: dict[str, Any] = {"ended_by": "Olga", "at": datetime.fromisoformat(ninth)}
        await desk(pool).settle("AC-1", "2026-01", outcome="right", **about)
        assert (await told(store, at=datetime.fromisoformat(ninth))).noticed == 1
        assert await dispute(pool, at=ninth, because="not mine after all")

        assert (await recorded(store)).held == 1

        rows = await owner.fetch("SELECT state, reason FROM debit")
        assert [tuple(row) for row in rows] == [("held", "disputed")]
        later = datetime.fromisoformat("2026-02-23T10:00:00+05:00")
        assert (await told(store, later)).noticed == 0
        await desk(pool).settle("AC-1", "2026-01", outcome="it is right", **about)
        assert (await told(store, later + timedelta(hours=1))).noticed == 1

    async def test_has_days_that_can_be(self, pool: asyncpg.Pool) -> None:
        """Not tomorrow, not in the dispute before; and the bill must exist."""
        at = "2026-02-10T10:00:00+05:00"
        with pytest.raises(BillUnknownError):
            await dispute(pool, at=at)
        await bill(pool, 1)
        with pytest.raises(DisputeDayError):
            await dispute(pool, at=at, from_day=date(2026, 2, 11))
        assert await dispute(pool, at=at, from_day=date(2026, 2, 5))
        await desk(pool).settle(
            "AC-1", "2026-01", outcome="right", ended_by="Olga", at=datetime.fromisoformat(at)
        )
        with pytest.raises(DisputeDayError):
            await dispute(pool, at=at, from_day=date(2026, 2, 9))
        assert await dispute(pool, at=at)


class TestTheAudit:
    """The audit finds a penalty that ..."""

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            (
                "UPDATE bill_charge SET net_minor = 2220 WHERE kind = 'penalty'",
                "charge_wrong",
            ),
            ("UPDATE base_rate SET rate_bp = 1700", "charge_wrong"),
            ("UPDATE base_rate SET entered_at = '2026-04-01Z'", "charge_wrong"),
            (
                "UPDATE bill_charge SET detail = jsonb_set(detail, '{bill_no}', '\"2025-12\"')",
                "charge_unexplained",
            ),
            ("DELETE FROM transfer WHERE transfer_id = 'bill/2026-02/penalty'", "transfer_missing"),
            ("UPDATE transfer SET credit_code = 'revenue' WHERE credit_code = 'penalty'",
             "transfer_wrong"),
        ],
    )  # fmt: skip
    async def test_contradicts_the_formula(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, change: str, kind: str
    ) -> None:
        """A tiyn too much, another rate, a rate nobody knew, no bill, no place in the ledger."""
        await bill(pool, 1)
        await bill(pool, 2)
        await owner.execute(change)

        assert kind in {one.partition(" ")[0] for one in await findings(pool)}
