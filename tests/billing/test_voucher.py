"""What an akimat grants, and how it pays bills."""

from dataclasses import replace
from datetime import UTC, date, datetime

import asyncpg
import pytest

from billing.audit import audit
from billing.io.accounts import AccountUnknownError
from billing.io.debits import Debits
from billing.io.store import BillingStore
from billing.io.vouchers import (
    Grant,
    NewVoucher,
    VoucherDiffersError,
    VoucherRevokedError,
    Vouchers,
    VoucherSpentError,
    VoucherUnknownError,
    VoucherUnusableError,
)
from billing.period import Calendar, Period
from billing.reconcile import reconcile
from billing.voucher import Voucher, VoucherState, shares
from tests.billing.debit_town import DebitTown, told
from tests.billing.town import Town

ZONE = "Asia/Almaty"
ENTERED = datetime(2026, 1, 12, 5, tzinfo=UTC)
ISSUED = datetime(2026, 2, 3, tzinfo=UTC)
JAN_1, FEB_1 = "2026-01-01T00:00:00+05:00", "2026-02-01T00:00:00+05:00"
MAR_1, APR_1 = "2026-03-01T00:00:00+05:00", "2026-04-01T00:00:00+05:00"

# 100 m3 at 6 404.90 tenge per 1000 m3 and 16 per cent: 640.49 + 102.48 tenge.
BILL_MINOR = 74_297


def voucher(voucher_no: int, amount_minor: int, valid_to: str = "2027-01-01") -> Voucher:
    return Voucher(
        account_id="AC-1",
        voucher_no=voucher_no,
        source=f"order {voucher_no}",
        amount_minor=amount_minor,
        currency="KZT",
        valid_from=date(2026, 1, 1),
        valid_to=date.fromisoformat(valid_to),
        entered_by="Olga",
        entered_at=ENTERED,
    )


def granted(
    amount_minor: int,
    *,
    source: str = "order 17",
    valid_from: str = "2026-01-01",
    valid_to: str = "2027-01-01",
    currency: str = "KZT",
) -> NewVoucher:
    return NewVoucher(
        source=source,
        amount_minor=amount_minor,
        currency=currency,
        valid_from=date.fromisoformat(valid_from),
        valid_to=date.fromisoformat(valid_to),
    )


@pytest.fixture(autouse=True)
async def town(owner: asyncpg.Connection) -> Town:
    """Give a home that uses 100 m3 a month for three months."""
    place = Town(owner)
    await place.tariff(640_490, "2025-01-01")
    await place.home("1", {JAN_1: 0, FEB_1: 100_000, MAR_1: 200_000, APR_1: 300_000})
    return place


def desk(pool: asyncpg.Pool) -> Vouchers:
    return Vouchers(pool=pool, calendar=Calendar(zone=ZONE))


async def enter(pool: asyncpg.Pool, new: NewVoucher, at: datetime = ENTERED) -> Grant:
    grant, fresh = await desk(pool).enter("AC-1", new, entered_by="Olga", at=at)
    assert fresh
    return grant


async def bill(pool: asyncpg.Pool, month: int, at: datetime | None = None) -> None:
    issued_at = at or datetime(2026, month + 1, 3, tzinfo=UTC)
    await reconcile(
        store=BillingStore(pool), period=Period.month(2026, month), at=issued_at, zone=ZONE
    )


async def paid(owner: asyncpg.Connection) -> dict[str, int]:
    rows = await owner.fetch(
        "SELECT transfer_id, amount_minor FROM transfer WHERE debit_code = 'voucher'"
        " AND credit_code = 'receivable' AND phase = 'posted' ORDER BY transfer_id"
    )
    return {row["transfer_id"]: row["amount_minor"] for row in rows}


async def findings(pool: asyncpg.Pool) -> list[str]:
    report = await audit(
        store=BillingStore(pool), bank=None, at=datetime(2026, 4, 4, tzinfo=UTC), zone=ZONE
    )
    return [f"{one.kind} {one.subject}" for one in report.findings if one.kind != "month_forgotten"]


class TestShares:
    """A bill of 700 tenge ..."""

    def test_is_paid_by_the_first_to_expire(self) -> None:
        """500 until March and 500 until June: the first goes whole, of the other 200."""
        june, march = voucher(1, 50_000, "2026-06-01"), voucher(2, 50_000, "2026-03-01")

        assert shares([june, march], used_minor={}, owed_minor=70_000) == (
            (march, 50_000),
            (june, 20_000),
        )

    def test_takes_what_earlier_bills_left(self) -> None:
        """Of 500 tenge 499.99 are used: one tiyn pays one tiyn."""
        one = voucher(1, 50_000)

        assert shares([one], used_minor={1: 49_999}, owed_minor=70_000) == ((one, 1),)

    @pytest.mark.parametrize("owed_minor", [0, -5_000])
    def test_takes_nothing_when_it_asks_for_nothing(self, owed_minor: int) -> None:
        """A bill with credit is not paid for a second time."""
        assert shares([voucher(1, 50_000)], used_minor={}, owed_minor=owed_minor) == ()


class TestAVoucher:
    """A voucher ..."""

    @pytest.mark.parametrize(
        ("day", "used_minor", "state"),
        [
            ("2025-12-31", 0, VoucherState.WAITING),
            ("2026-01-01", 0, VoucherState.USABLE),
            ("2026-12-31", 49_999, VoucherState.USABLE),
            ("2027-01-01", 0, VoucherState.EXPIRED),
            ("2027-01-01", 50_000, VoucherState.USED_UP),
        ],
    )
    def test_says_what_it_can_still_do(
        self, day: str, used_minor: int, state: VoucherState
    ) -> None:
        """Its first day counts, the day it ends does not."""
        assert voucher(1, 50_000).state(used_minor=used_minor, day=date.fromisoformat(day)) is state

    def test_is_worth_something_and_whole(self) -> None:
        """Nothing half-said becomes a fact."""
        one = voucher(1, 1)
        for change in (
            {"amount_minor": 0},
            {"valid_to": one.valid_from},
            {"revoked_by": "Olga"},
        ):
            with pytest.raises(ValueError, match=r"voucher|valid_to|revocation"):
                replace(one, **change)  # type: ignore[arg-type] # half-said on purpose


class TestTheRun:
    """When a bill is issued, a voucher ..."""

    async def test_pays_no_more_than_the_bill_and_keeps_the_rest(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """1 000 tenge against three bills of 742.97: all of one, 257.03 of the next, then none."""
        await enter(pool, granted(100_000))

        await bill(pool, 1)
        [first] = await desk(pool).grants("AC-1", at=ISSUED)
        assert (first.used_minor, first.rest_minor, first.state) == (
            BILL_MINOR,
            25_703,
            VoucherState.USABLE,
        )
        await bill(pool, 2)
        await bill(pool, 3)

        assert await paid(owner) == {"voucher/1/2026-01": BILL_MINOR, "voucher/1/2026-02": 25_703}
        assert await BillingStore(pool).owed_minor("AC-1", ["2026-01", "2026-02", "2026-03"]) == {
            "2026-01": 0,
            "2026-02": 48_594,
            "2026-03": BILL_MINOR,
        }
        [last] = await desk(pool).grants("AC-1", at=ISSUED)
        assert (last.rest_minor, last.state) == (0, VoucherState.USED_UP)
        assert await findings(pool) == []

    async def test_changes_neither_the_bill_nor_its_tax(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """It is a payment: the seller owes the tax on all of the gas."""
        await enter(pool, granted(10_000))
        await bill(pool, 1)

        [row] = await owner.fetch("SELECT net_minor, vat_minor, total_minor FROM bill")
        assert tuple(row) == (64_049, 10_248, BILL_MINOR)

    async def test_pays_once_whatever_runs_twice(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The second run finds the bill there and touches nothing."""
        await enter(pool, granted(10_000))
        await bill(pool, 1)
        await bill(pool, 1)

        assert await paid(owner) == {"voucher/1/2026-01": 10_000}

    async def test_goes_before_one_that_expires_later(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Entered second, used first."""
        await enter(pool, granted(50_000, source="a", valid_to="2026-06-01"))
        await enter(pool, granted(50_000, source="b", valid_to="2026-03-01"))
        await bill(pool, 1)

        assert await paid(owner) == {"voucher/1/2026-01": 24_297, "voucher/2/2026-01": 50_000}
        assert await findings(pool) == []

    @pytest.mark.parametrize(
        ("valid_from", "valid_to", "issued_at", "pays"),
        [
            # In the town 2026-02-02T19:00Z is the 3rd of February, a minute before it is the 2nd.
            ("2026-02-03", "2027-01-01", "2026-02-02T18:59:00+00:00", False),
            ("2026-02-03", "2027-01-01", "2026-02-02T19:00:00+00:00", True),
            ("2026-01-01", "2026-02-03", "2026-02-02T18:59:00+00:00", True),
            ("2026-01-01", "2026-02-03", "2026-02-02T19:00:00+00:00", False),
        ],
    )
    async def test_looks_at_the_local_day_of_issue(
        self,
        pool: asyncpg.Pool,
        owner: asyncpg.Connection,
        valid_from: str,
        valid_to: str,
        issued_at: str,
        pays: bool,  # noqa: FBT001 - a row of the table above
    ) -> None:
        """Days of the town, from the first up to, but without, the last."""
        await enter(pool, granted(10_000, valid_from=valid_from, valid_to=valid_to))
        await bill(pool, 1, at=datetime.fromisoformat(issued_at))

        assert await paid(owner) == ({"voucher/1/2026-01": 10_000} if pays else {})
        assert await findings(pool) == []

    async def test_pays_nothing_after_it_was_revoked(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """What was paid stays paid; the rest is gone."""
        await enter(pool, granted(100_000))
        await bill(pool, 1)
        grant, fresh = await desk(pool).revoke(
            "AC-1", 1, because="moved away", revoked_by="Olga", at=ISSUED
        )
        await bill(pool, 2)

        assert (fresh, grant.state, grant.rest_minor) == (True, VoucherState.REVOKED, 0)
        assert await paid(owner) == {"voucher/1/2026-01": BILL_MINOR}
        assert await findings(pool) == []

    async def test_leaves_a_home_without_one_alone(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, town: Town
    ) -> None:
        """A neighbour's money pays no stranger's gas."""
        await town.home("2", {JAN_1: 0, FEB_1: 100_000})
        await enter(pool, granted(10_000))
        await bill(pool, 1)

        rows = await owner.fetch("SELECT account_id FROM transfer WHERE debit_code = 'voucher'")
        assert [row["account_id"] for row in rows] == ["AC-1"]

    async def test_entered_while_a_run_goes_on_is_for_the_next_bill(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A run issues as of its beginning; what came after it is told from what came before."""
        await bill(pool, 1)
        await enter(pool, granted(10_000), at=datetime(2026, 2, 2, tzinfo=UTC))
        await bill(pool, 2)

        assert await paid(owner) == {"voucher/1/2026-02": 10_000}
        assert await findings(pool) == []

    async def test_entered_after_a_run_began_is_not_seen_by_it(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """All bills of a run know the same, however long it takes."""
        await enter(pool, granted(10_000), at=datetime(2026, 2, 3, 1, tzinfo=UTC))
        await bill(pool, 1, at=ISSUED)

        assert await paid(owner) == {}
        assert await findings(pool) == []


class TestTheDebit:
    """What is asked of the bank ..."""

    async def test_is_what_the_voucher_left(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The resident is told 642.97, and the audit derives it again."""
        await DebitTown(owner).mandate("AC-1")
        await enter(pool, granted(10_000))
        await bill(pool, 1)
        await told(Debits(pool), at=ISSUED)

        assert await owner.fetchval("SELECT amount_minor FROM debit") == 64_297
        assert await findings(pool) == []

    async def test_is_nothing_when_the_voucher_paid_all(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """No notice of zero."""
        await DebitTown(owner).mandate("AC-1")
        await enter(pool, granted(BILL_MINOR))
        await bill(pool, 1)

        assert (await told(Debits(pool), at=ISSUED)).noticed == 0


class TestEntering:
    """Entering a voucher ..."""

    async def test_knows_a_document_again(self, pool: asyncpg.Pool) -> None:
        """Twice the same is once; other words for it are a question."""
        await enter(pool, granted(10_000))

        again, fresh = await desk(pool).enter(
            "AC-1", granted(10_000), entered_by="Ivan", at=ENTERED
        )
        assert (fresh, again.voucher.voucher_no, again.voucher.entered_by) == (False, 1, "Olga")
        with pytest.raises(VoucherDiffersError):
            await desk(pool).enter("AC-1", granted(10_001), entered_by="Ivan", at=ENTERED)

    async def test_refuses_what_could_pay_no_bill(self, pool: asyncpg.Pool) -> None:
        """Dollars, a voucher of last year, an account that nobody opened."""
        for new in (
            granted(10_000, currency="USD"),
            granted(10_000, valid_from="2025-01-01", valid_to="2026-01-12"),
        ):
            with pytest.raises(VoucherUnusableError):
                await desk(pool).enter("AC-1", new, entered_by="Olga", at=ENTERED)
        with pytest.raises(AccountUnknownError):
            await desk(pool).enter("AC-9", granted(1), entered_by="Olga", at=ENTERED)
        assert await desk(pool).grants("AC-1", at=ENTERED) == ()


class TestRevoking:
    """Taking a voucher back ..."""

    async def test_is_done_once(self, pool: asyncpg.Pool) -> None:
        """The same reason again is no news; another one is a question."""
        await enter(pool, granted(10_000))
        about = {"revoked_by": "Olga", "at": ENTERED}

        assert (await desk(pool).revoke("AC-1", 1, because="error", **about))[1]
        assert not (await desk(pool).revoke("AC-1", 1, because="error", **about))[1]
        with pytest.raises(VoucherRevokedError):
            await desk(pool).revoke("AC-1", 1, because="other", **about)
        with pytest.raises(VoucherUnknownError):
            await desk(pool).revoke("AC-1", 2, because="error", **about)

    async def test_needs_something_that_is_left(self, pool: asyncpg.Pool) -> None:
        """All of it has paid a bill."""
        await enter(pool, granted(10_000))
        await bill(pool, 1)

        with pytest.raises(VoucherSpentError):
            await desk(pool).revoke("AC-1", 1, because="late", revoked_by="Olga", at=ISSUED)


class TestTheAudit:
    """The audit finds a voucher's payment that ..."""

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            (
                "UPDATE transfer SET amount_minor = amount_minor - 1 WHERE debit_code = 'voucher'",
                "transfer_wrong",
            ),
            ("DELETE FROM transfer WHERE debit_code = 'voucher'", "transfer_missing"),
            (
                "UPDATE transfer SET transfer_id = 'voucher/2/2026-01' WHERE transfer_id ~ '^vou'",
                "transfer_unexplained",
            ),
            ("UPDATE voucher SET valid_to = '2026-02-03'", "transfer_unexplained"),
        ],
    )
    async def test_contradicts_its_document(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, change: str, kind: str
    ) -> None:
        """Too little, none, of no document, after its last day."""
        await enter(pool, granted(10_000))
        await bill(pool, 1)
        await owner.execute(change)

        assert kind in {one.partition(" ")[0] for one in await findings(pool)}
