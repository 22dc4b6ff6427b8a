"""Three sides of the same money, compared every day; every disagreement a row."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import asyncpg
import pytest

from billing.bank import BankRefusedError, BankSilentError, Payment, PaymentStatus, Unknown
from billing.bank_recon import import_statement
from billing.io.breaks import BreakDesk
from billing.io.debits import Debits
from billing.io.recon import ReconBooks, StatementDiffersError
from billing.iso.camt053 import read
from billing.iso.document import FieldError
from billing.payout import PayoutItem, PayoutStatus
from tests.billing.debit_town import TO_RECORD, DebitTown, followed, recorded, sent, told
from tests.billing.recon_town import (
    MORNING,
    NEXT,
    PAID_AT,
    PAID_ON,
    REFERENCE,
    PayingBank,
    paid,
    reconciled,
    told_by_bank,
)
from tests.billing.statement_file import entry, statement

# Two debits of 742.97 less a fee of 0.50, worked out by hand.
PAYOUT_MINOR = 148_544
PAYOUT = "1485.44"


@pytest.fixture
def books(pool: asyncpg.Pool) -> ReconBooks:
    return ReconBooks(pool=pool)


@pytest.fixture
def desk(pool: asyncpg.Pool) -> BreakDesk:
    return BreakDesk(pool=pool)


@pytest.fixture
async def bank(town: DebitTown, store: Debits) -> PayingBank:
    """Two accounts were debited and paid out in one payout, all as it should be."""
    bank = PayingBank()
    await paid(town, store, bank, "ACC-1", "ACC-2")
    bank.pay_out(("PM1", "74297.0"), ("PM2", "74297.0"), amount_minor=PAYOUT_MINOR)
    return bank


async def breaks(town: DebitTown, *, still: bool = True) -> list[str]:
    """Return breaks as "kind subject", those that are open or those that are closed."""
    rows = await town.owner.fetch(
        "SELECT kind, subject FROM recon_break WHERE (closed_at IS NULL) = $1 ORDER BY break_id",
        still,
    )
    return [f"{row['kind']} {row['subject']}" for row in rows]


class TestAgreement:
    """A day on which the three sides say the same."""

    async def test_reconciles_the_debits(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Paid out, in an item, and on the account: only then the money is certainly ours."""
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        counts = await reconciled(books, store, bank)

        assert await town.states() == ["2026-01/1 reconciled"]
        assert await town.states("ACC-2") == ["2026-01/1 reconciled"]
        assert (counts.payments, counts.payouts) == (2, 1)
        assert (counts.matched, counts.reconciled, counts.breaks_open) == (1, 2, 0)
        assert counts.until == PAID_ON

    async def test_reconciles_a_debit_that_is_settled_only_later(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Its money was disputed while the payout was matched; once it is not, it is ours."""
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK, action="charged_back")
        await followed(store, bank, MORNING)
        await reconciled(books, store, bank)
        assert await town.states() == ["2026-01/1 charged_back other"]

        bank.tell("PM1", PaymentStatus.PAID_OUT, action="chargeback_cancelled")
        await followed(store, bank, NEXT)
        await reconciled(books, store, bank, NEXT)

        assert await town.states() == ["2026-01/1 reconciled"]

    async def test_waits_for_money_that_the_bank_kept_in_between(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """The bank kept the disputed money from a payout; it is not ours until it is paid again."""
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK, action="charged_back")
        await followed(store, bank, MORNING)
        kept = PayoutItem(kind="payment_charged_back", amount_tenths=-742_970, payment_id="PM1")
        bank.pay_out(amount_minor=-74_347, payout_id="PO2", reference="AQKOL-8QX2M9K4TA")
        bank.items["PO2"].append(kept)
        await reconciled(books, store, bank)
        bank.tell("PM1", PaymentStatus.PAID_OUT, action="chargeback_cancelled")
        await followed(store, bank, NEXT)
        await reconciled(books, store, bank, NEXT)
        assert await town.states() == ["2026-01/1 settled chargeback_cancelled"]

        bank.pay_out(
            ("PM1", "74297.0"), amount_minor=74_247, payout_id="PO3", reference="AQKOL-9QX2M9K4TA"
        )
        await reconciled(books, store, bank, NEXT)

        assert "item_doubled payment PM1 in PO3" not in await breaks(town)

    async def test_moves_no_money(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Reconciled is a word about money that is on the account already."""
        before = await town.balances()
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        await reconciled(books, store, bank)

        assert await town.balances() == before

    async def test_changes_nothing_the_second_time(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """The run may be killed and run again, and is run every day."""
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        await reconciled(books, store, bank)
        steps = await town.steps()
        counts = await reconciled(books, store, bank)

        assert await town.steps() == steps
        assert (counts.matched, counts.reconciled, counts.until) == (0, 0, PAID_ON)

    async def test_includes_a_payout_of_nothing(
        self, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """What came and what was given back cancel out: no statement will ever show that."""
        back = PayoutItem(kind="payment_refunded", amount_tenths=-1_485_440, payment_id="PM2")
        bank.items["PO1"].append(back)
        bank.payouts["PO1"] = replace(bank.payouts["PO1"], amount_minor=0)
        await told_by_bank(books, closing="0")
        counts = await reconciled(books, store, bank)

        assert (counts.matched, counts.breaks_open, counts.until) == (1, 0, PAID_ON)

    async def test_waits_for_the_statement(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Without the statement nobody has seen the money; nothing is wrong yet either."""
        counts = await reconciled(books, store, bank)

        assert await town.states() == ["2026-01/1 settled"]
        assert (counts.breaks_open, counts.until) == (0, None)

    async def test_waits_for_the_line(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """The payout may arrive a working day later; until then its day does not agree."""
        await told_by_bank(books, closing="0")
        counts = await reconciled(books, store, bank)

        assert (counts.breaks_open, counts.until) == (0, None)

        late = PAID_ON + timedelta(days=3)
        await told_by_bank(books, (PAYOUT, REFERENCE), on=late, closing=PAYOUT)
        counts = await reconciled(books, store, bank, MORNING + timedelta(days=3))

        assert await town.states() == ["2026-01/1 reconciled"]
        assert counts.until == late

    async def test_covers_days_without_a_statement(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Banks write none on a Sunday; equal balances on both sides say that nothing moved."""
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        monday = date(2026, 3, 2)
        await told_by_bank(books, opening=PAYOUT, closing=PAYOUT, on=monday)
        counts = await reconciled(books, store, bank, NEXT + timedelta(days=2))

        assert (counts.until, await breaks(town)) == (monday, [])

    async def test_is_said_of_days_without_a_gap(
        self, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Whoever asks "until when" must not be told a day behind one that nobody has checked."""
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        await reconciled(books, store, bank)
        counts = await reconciled(books, store, bank, NEXT)

        assert counts.until == PAID_ON


class TestAPaymentWeDoNotKnow:
    """The bank takes money in our name, and nobody here ordered it."""

    @pytest.fixture
    def bank(self, bank: PayingBank) -> PayingBank:
        """Let the bank hold one more payment under the first account's mandate."""
        bank.payments["PM-X"] = Payment(
            payment_id="PM-X",
            status=PaymentStatus.SUBMITTED,
            amount_minor=500_000,
            currency="KZT",
            bank_mandate_id="MD-ACC-1",
            intent="debit:v1:ACC-1:2026-07:1",
            charge_on=date(2026, 3, 5),
        )
        return bank

    async def test_freezes_its_mandate(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Until a person has looked, nothing more may be taken from that resident."""
        counts = await reconciled(books, store, bank)

        rows = await town.owner.fetch("SELECT account_id, mandate_id FROM mandate_freeze")
        assert [tuple(row) for row in rows] == [("ACC-1", "M-1")]
        assert counts.frozen == 1

    async def test_calls_a_person(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """It cannot wait for the morning, and the row says what to do."""
        await reconciled(books, store, bank)

        row = await town.owner.fetchrow("SELECT * FROM recon_break")
        assert (row["kind"], row["subject"]) == ("payment_unknown", "payment PM-X")
        assert (row["account_id"], row["amount_minor"]) == ("ACC-1", 500_000)
        assert (row["owner"], row["day"]) == ("on_call", PAID_ON)
        assert "frozen" in row["suggested_action"]

    async def test_freezes_once(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Every day the same payment is seen again."""
        await reconciled(books, store, bank)
        counts = await reconciled(books, store, bank, NEXT)

        assert (counts.frozen, counts.breaks_opened, counts.breaks_open) == (0, 0, 1)
        assert await town.owner.fetchval("SELECT count(*) FROM mandate_freeze") == 1

    async def test_under_a_strange_mandate_is_a_break_all_the_same(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """There is nothing to freeze where the mandate is not ours; it is a question still."""
        bank.payments["PM-X"] = replace(bank.payments["PM-X"], bank_mandate_id="MD-STRANGE")
        counts = await reconciled(books, store, bank)

        assert (counts.frozen, await breaks(town)) == (0, ["payment_unknown payment PM-X"])

    async def test_is_ours_after_all_when_its_order_is_found(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """The break closes by itself; the freeze is a person's to lift."""
        await reconciled(books, store, bank)
        del bank.payments["PM-X"]
        counts = await reconciled(books, store, bank, NEXT)

        assert (counts.breaks_closed, await breaks(town)) == (1, [])
        assert await town.owner.fetchval("SELECT lifted_at FROM mandate_freeze") is None


class TestABreak:
    """A disagreement is one row from the day it is seen to the day it is settled."""

    async def test_is_opened_once(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """A list that grows by the same line every day is read by nobody."""
        bank.items["PO1"].pop()
        first = await reconciled(books, store, bank)
        second = await reconciled(books, store, bank, NEXT)

        assert (first.breaks_opened, second.breaks_opened) == (2, 0)
        assert await breaks(town) == ["payout_sum payout PO1", "payout_fees payout PO1"]
        row = await town.owner.fetchrow("SELECT opened_at, seen_at FROM recon_break")
        assert (row["opened_at"], row["seen_at"]) == (MORNING, NEXT)

    async def test_closes_by_itself(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """When the facts agree nobody needs to say so."""
        fee = bank.items["PO1"].pop()
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        await reconciled(books, store, bank)
        assert await town.states() == ["2026-01/1 settled"]
        bank.items["PO1"].append(fee)
        counts = await reconciled(books, store, bank, NEXT)

        assert (counts.breaks_closed, await breaks(town)) == (2, [])
        assert await town.states() == ["2026-01/1 reconciled"]
        assert counts.until == PAID_ON

    async def test_that_a_person_closed_is_not_asked_again(
        self,
        town: DebitTown,
        store: Debits,
        books: ReconBooks,
        bank: PayingBank,
        desk: BreakDesk,
    ) -> None:
        """He has given his reason; the same fact tomorrow is no news."""
        bank.payments["PM1"] = replace(bank.payments["PM1"], charge_on=date(2026, 4, 1))
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        await reconciled(books, store, bank)
        number = await town.owner.fetchval("SELECT break_id FROM recon_break")
        await desk.close(number, by="Aigul K.", because="agreed", at=MORNING)
        counts = await reconciled(books, store, bank, NEXT)

        assert (counts.breaks_opened, counts.breaks_open, counts.until) == (0, 0, PAID_ON)

    async def test_that_a_person_closed_is_asked_again_when_it_changes(
        self,
        town: DebitTown,
        store: Debits,
        books: ReconBooks,
        bank: PayingBank,
        desk: BreakDesk,
    ) -> None:
        """His reason was about another fact."""
        bank.payments["PM1"] = replace(bank.payments["PM1"], charge_on=date(2026, 4, 1))
        await reconciled(books, store, bank)
        number = await town.owner.fetchval("SELECT break_id FROM recon_break")
        await desk.close(number, by="Aigul K.", because="agreed", at=MORNING)
        bank.payments["PM1"] = replace(bank.payments["PM1"], charge_on=date(2026, 5, 1))
        counts = await reconciled(books, store, bank, NEXT)

        assert (counts.breaks_opened, counts.breaks_open) == (1, 1)

    async def test_of_a_day_keeps_that_day_from_agreeing(
        self, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """The run stops when days do not agree; a day with an open question is such a day."""
        bank.payments["PM1"] = replace(bank.payments["PM1"], amount_minor=74_298)
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        counts = await reconciled(books, store, bank)

        assert (counts.breaks_open, counts.until) == (1, None)

    @pytest.mark.parametrize("about", ["payments", "payouts", "items"])
    async def test_stays_open_while_the_bank_is_silent(
        self,
        town: DebitTown,
        store: Debits,
        books: ReconBooks,
        bank: PayingBank,
        monkeypatch: pytest.MonkeyPatch,
        about: str,
    ) -> None:
        """What could not be looked at has not been seen to agree."""
        bank.items["PO1"].pop()
        await reconciled(books, store, bank)

        def listen(question: str) -> None:
            if question.startswith(about):
                raise BankSilentError("timeout")

        monkeypatch.setattr(bank, "_listen", listen)
        with pytest.raises(BankSilentError):
            await reconciled(books, store, bank, NEXT)

        assert len(await breaks(town)) == 2


Spoil = Callable[[PayingBank], None]


def payment(payment_id: str = "PM1", **changes: object) -> Spoil:
    def spoil(bank: PayingBank) -> None:
        bank.payments[payment_id] = replace(bank.payments[payment_id], **changes)

    return spoil


def item(number: int, **changes: object) -> Spoil:
    def spoil(bank: PayingBank) -> None:
        bank.items["PO1"][number] = replace(bank.items["PO1"][number], **changes)

    return spoil


def payout(**changes: object) -> Spoil:
    def spoil(bank: PayingBank) -> None:
        bank.payouts["PO1"] = replace(bank.payouts["PO1"], **changes)

    return spoil


def second_payment(bank: PayingBank) -> None:
    bank.payments["PM9"] = replace(bank.payments["PM1"], payment_id="PM9")


def doubled_item(bank: PayingBank) -> None:
    bank.items["PO1"].append(bank.items["PO1"][0])
    bank.payouts["PO1"] = replace(bank.payouts["PO1"], amount_minor=PAYOUT_MINOR + 74_297)


def doubled_in_another(bank: PayingBank) -> None:
    bank.pay_out(
        ("PM1", "74297.0"), amount_minor=74_247, payout_id="PO2", reference="AQKOL-8QX2M9K4TA"
    )


def overkept_item(bank: PayingBank) -> None:
    kept = PayoutItem(kind="payment_charged_back", amount_tenths=-742_970, payment_id="PM1")
    bank.items["PO1"] += [kept, kept]
    bank.payouts["PO1"] = replace(bank.payouts["PO1"], amount_minor=-50)


def lost_item(bank: PayingBank) -> None:
    del bank.items["PO1"][0]
    bank.payouts["PO1"] = replace(bank.payouts["PO1"], amount_minor=PAYOUT_MINOR - 74_297)


def strange_item(bank: PayingBank) -> None:
    bank.items["PO1"].append(
        PayoutItem(kind="payment_paid_out", amount_tenths=10, payment_id="PM-STRANGE")
    )
    bank.payouts["PO1"] = replace(bank.payouts["PO1"], amount_minor=PAYOUT_MINOR + 1)


class TestWhatTheBankMaySayOtherwise:
    """Each way in which payments, payouts and items can disagree with us has its own name."""

    @pytest.mark.parametrize(
        ("spoil", "expected"),
        [
            (payment(amount_minor=74_298), ["payment_amount payment PM1"]),
            (payment(currency="EUR"), ["payment_currency payment PM1"]),
            (payment(bank_mandate_id="MD-ACC-2"), ["payment_mandate payment PM1"]),
            (payment(charge_on=date(2026, 2, 24)), ["payment_date payment PM1"]),
            (payment(charge_on=date(2026, 3, 9)), ["payment_date payment PM1"]),
            (payment(charge_on=date(2026, 3, 2)), []),
            (payment(status=PaymentStatus.CANCELLED), ["payment_state payment PM1"]),
            (payment(status=None), []),
            (second_payment, ["payment_doubled payment PM9"]),
            (lambda bank: bank.payments.pop("PM1"), ["payment_missing payment PM1"]),
            (
                item(0, amount_tenths=742_960),
                ["payout_sum payout PO1", "item_amount payment PM1 in PO1"],
            ),
            (item(0, amount_tenths=742_971), ["payout_sum payout PO1", "item_amount"]),
            (item(2, amount_tenths=-490), ["payout_sum payout PO1", "payout_fees payout PO1"]),
            (item(2, amount_tenths=-505), ["payout_sum payout PO1", "payout_fees payout PO1"]),
            (payout(fees_minor=51), ["payout_fees payout PO1"]),
            (payout(amount_minor=PAYOUT_MINOR + 1), ["payout_sum payout PO1"]),
            (payout(status=PayoutStatus.BOUNCED), ["payout_bounced payout PO1"]),
            (payout(currency="EUR"), ["payout_currency payment PM1 in PO1", "payout_currency"]),
            (doubled_item, ["item_doubled payment PM1 in PO1"]),
            (doubled_in_another, ["item_doubled payment PM1 in PO2"]),
            (overkept_item, ["item_overkept payment PM1 in PO1"]),
            (lost_item, ["item_missing payment PM1"]),
            (strange_item, ["item_unknown payment PM-STRANGE in PO1"]),
        ],
    )
    async def test_is_a_break_of_its_kind(
        self,
        town: DebitTown,
        store: Debits,
        books: ReconBooks,
        bank: PayingBank,
        spoil: Spoil,
        expected: list[str],
    ) -> None:
        """A unit too much or too little, once more or once less, another day or currency."""
        spoil(bank)
        await reconciled(books, store, bank)

        found = await breaks(town)
        assert found[: len(expected)] == [
            one if " " in one else found[place] for place, one in enumerate(expected)
        ]
        kinds = [one.split()[0] for one in expected]
        assert set(kinds) == {one.split()[0] for one in found}

    async def test_may_be_a_list_that_lags(
        self,
        town: DebitTown,
        store: Debits,
        books: ReconBooks,
        bank: PayingBank,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A payment that can be read is not missing, whatever the list says."""
        lost = bank.payments["PM1"]

        async def get_payment(payment_id: str) -> Payment | None:
            return lost if payment_id == "PM1" else bank.payments.get(payment_id)

        del bank.payments["PM1"]
        monkeypatch.setattr(bank, "get_payment", get_payment)
        await reconciled(books, store, bank)

        assert await breaks(town) == []

    async def test_may_be_a_second_payment_before_we_heard_of_the_first(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """A lost answer must not hide that the bank made two payments of one order."""
        await town.owner.execute(
            "UPDATE debit SET state = 'unknown', bank_payment_id = NULL WHERE account_id = 'ACC-1'"
        )
        name = next(
            name for name, one in bank.payments.items() if one.bank_mandate_id == "MD-ACC-1"
        )
        bank.payments["PM9"] = replace(bank.payments[name], payment_id="PM9")
        await reconciled(books, store, bank)

        assert "payment_doubled payment PM9" in await breaks(town)


class TestTheStatement:
    """What the bank of the account says has arrived."""

    async def test_may_know_the_payout_by_the_banks_name_for_it(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Some banks lose the reference on the way; their own name of the entry is still there."""
        told = entry(PAYOUT, PAID_ON, ref="PO1")
        data = statement(on=PAID_ON, opening="0", closing=PAYOUT, entries=[told])
        await import_statement(store=books, statements=read(data), at=MORNING)
        await reconciled(books, store, bank)

        assert await town.owner.fetchval("SELECT known_as FROM statement_line") == "payout PO1"
        assert await town.states() == ["2026-01/1 reconciled"]

    @pytest.mark.parametrize(
        ("lines", "closing", "expected"),
        [
            ([("1485.43", REFERENCE)], "1485.43", ["payout_amount payout PO1"]),
            ([(PAYOUT, REFERENCE)] * 2, "2970.88", ["line_doubled payout PO1"]),
            ([(PAYOUT, REFERENCE), (f"-{PAYOUT}", REFERENCE)], "0", ["payout_amount payout PO1"]),
            ([("1000.00", REFERENCE), ("485.44", REFERENCE)], PAYOUT, []),
        ],
    )
    async def test_may_disagree_with_the_payout(
        self,
        town: DebitTown,
        store: Debits,
        books: ReconBooks,
        bank: PayingBank,
        lines: list[tuple[str, str | None]],
        closing: str,
        expected: list[str],
    ) -> None:
        """Too little, twice, taken back; in two parts that add up it is there."""
        await told_by_bank(books, *lines, closing=closing)
        await reconciled(books, store, bank)

        assert await breaks(town) == expected

    async def test_may_never_show_the_payout(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Four days after it was due it is not late any more, it is missing."""
        late = PAID_ON + timedelta(days=4)
        await told_by_bank(books, closing="0")
        await told_by_bank(books, on=late, closing="0")
        await reconciled(books, store, bank, MORNING + timedelta(days=4))

        assert await breaks(town) == ["payout_not_arrived payout PO1"]

    async def test_may_show_a_line_that_nobody_knows(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Somebody paid by hand, or it is not our money; a person finds out."""
        await told_by_bank(books, (PAYOUT, REFERENCE), ("10.00", "INV-1"), closing="1495.44")
        await reconciled(books, store, bank)

        (found,) = await breaks(town)
        assert found.startswith("line_orphan line ")

    async def test_may_be_known_later(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """The money may be there before the bank's list says where it is from."""
        payout, items = bank.payouts.pop("PO1"), bank.items.pop("PO1")
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        await reconciled(books, store, bank, PAID_AT + timedelta(minutes=30))
        assert [one.split()[0] for one in await breaks(town)] == ["line_orphan"]
        bank.payouts["PO1"], bank.items["PO1"] = payout, items
        counts = await reconciled(books, store, bank, NEXT)

        assert (counts.breaks_closed, counts.breaks_open, counts.until) == (1, 0, PAID_ON)

    async def test_is_kept_once(self, town: DebitTown, books: ReconBooks) -> None:
        """Files are sent again, and folders read again."""
        first = await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        again = await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)

        assert (first, again) == (1, 0)
        assert await town.owner.fetchval("SELECT count(*) FROM statement_line") == 1

    async def test_may_hold_the_same_entry_twice(self, books: ReconBooks) -> None:
        """Two equal entries in one file are two movements; one file sent twice is one."""
        assert await told_by_bank(books, ("1.00", None), ("1.00", None), closing="2.00") == 2

    async def test_may_not_change_its_story(self, town: DebitTown, books: ReconBooks) -> None:
        """Another amount under the same name is a question for a person, not an update."""
        await told_by_bank(books, ("1.00", None), closing="1.00")
        with pytest.raises(StatementDiffersError):
            await told_by_bank(books, ("1.01", None), closing="1.01")

        assert await town.owner.fetchval("SELECT amount_minor FROM statement_line") == 100

    async def test_of_a_wrong_year_is_not_believed(
        self, town: DebitTown, books: ReconBooks
    ) -> None:
        """With it every payout of the next year would be missed on the day on which it is made."""
        with pytest.raises(FieldError):
            await told_by_bank(books, on=date(2027, 2, 27), closing="0")

        assert await town.owner.fetchval("SELECT count(*) FROM recon_day") == 0

    async def test_may_be_missing_in_between(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """A balance that jumps is the only trace of a statement that never came."""
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        await told_by_bank(books, on=date(2026, 2, 28), opening="2000.00", closing="2000.00")
        await reconciled(books, store, bank, NEXT)

        assert await breaks(town) == ["statement_torn statement of 2026-02-28"]


async def town_moves(town: DebitTown) -> list[str]:
    """Return the transfers that belong to no resident."""
    rows = await town.owner.fetch("SELECT * FROM town_transfer ORDER BY posted_at, transfer_id")
    return [
        f"{row['transfer_id'].split('/')[-1]} {row['debit_code']} <- {row['credit_code']}"
        f" {row['amount_minor']}"
        for row in rows
    ]


class TestTheTownsLedger:
    """What belongs to no resident is booked too, once."""

    async def test_holds_the_fees_of_a_payout(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """The payout is booked in full with each debit; what the bank kept is a cost."""
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        await reconciled(books, store, bank)
        await reconciled(books, store, bank, NEXT)

        assert await town_moves(town) == ["fees fees <- bank 50"]

    async def test_holds_fees_that_were_given_back(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """For a payment that failed after all the bank takes nothing."""
        bank.pay_out(("PM1", "74297.0"), ("PM2", "74297.0"), fee="30.0", amount_minor=148_624)
        await told_by_bank(books, ("1486.24", REFERENCE), closing="1486.24")
        await reconciled(books, store, bank)

        assert await town_moves(town) == ["fees bank <- fees 30"]

    async def test_holds_a_line_that_nobody_knows_until_somebody_does(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """It is on the account; until it is known it is owed to somebody."""
        payout, items = bank.payouts.pop("PO1"), bank.items.pop("PO1")
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        at = PAID_AT + timedelta(minutes=30)
        await reconciled(books, store, bank, at)
        await reconciled(books, store, bank, at)
        assert await town_moves(town) == ["in bank <- suspense 148544"]
        bank.payouts["PO1"], bank.items["PO1"] = payout, items
        await reconciled(books, store, bank, NEXT)

        assert sorted(await town_moves(town)) == [
            "fees fees <- bank 50",
            "in bank <- suspense 148544",
            "known suspense <- bank 148544",
        ]

    async def test_holds_what_went_out_unexplained(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """A sign that is lost would make it income."""
        await told_by_bank(books, (PAYOUT, REFERENCE), ("-7.00", "COURT-1"), closing="1478.44")
        await reconciled(books, store, bank)

        assert "out suspense <- bank 700" in await town_moves(town)


class TestWhatTheBankTakesBackFromTheAccount:
    """A line that went out names what it was for."""

    async def test_is_known_where_it_names_a_payment(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """A chargeback that the bank did not cut from a payout."""
        await told_by_bank(books, (PAYOUT, REFERENCE), ("-742.97", "PM1"), closing="742.47")
        counts = await reconciled(books, store, bank)

        assert (counts.breaks_open, await breaks(town)) == (0, [])

    async def test_is_known_once_for_each_time_it_was_paid_out(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """The bank can take back what it has paid out; the same once more is money that is lost."""
        lines = (PAYOUT, REFERENCE), ("-742.97", "PM1"), ("-742.97", "PM1")
        await told_by_bank(books, *lines, opening="100.00", closing="99.50")
        await reconciled(books, store, bank)
        await reconciled(books, store, bank, NEXT)

        assert [one.split()[0] for one in await breaks(town)] == ["line_orphan"]
        assert "out suspense <- bank 74297" in await town_moves(town)

    async def test_is_not_known_beside_a_payout_that_has_kept_it(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Kept from a payout and taken from the account: that is one time too many."""
        kept = PayoutItem(kind="payment_charged_back", amount_tenths=-742_970, payment_id="PM1")
        bank.items["PO1"].append(kept)
        bank.payouts["PO1"] = replace(bank.payouts["PO1"], amount_minor=PAYOUT_MINOR - 74_297)
        await told_by_bank(
            books,
            ("742.47", REFERENCE),
            ("-742.97", "PM1"),
            opening="100.00",
            closing="99.50",
        )
        await reconciled(books, store, bank)

        assert [one.split()[0] for one in await breaks(town)] == ["line_orphan"]

    async def test_is_too_much_where_a_payout_keeps_it_later(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """The account has borne it before; the payout that keeps it too does not agree."""
        await told_by_bank(books, (PAYOUT, REFERENCE), ("-742.97", "PM1"), closing="742.47")
        await reconciled(books, store, bank)
        kept = PayoutItem(kind="payment_charged_back", amount_tenths=-742_970, payment_id="PM1")
        bank.pay_out(amount_minor=-74_347, payout_id="PO2", reference="AQKOL-8QX2M9K4TA")
        bank.items["PO2"].append(kept)
        await reconciled(books, store, bank, NEXT)

        assert await breaks(town) == ["item_overkept payment PM1 in PO2"]

    async def test_is_known_again_when_it_was_paid_out_again(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """A chargeback that was given up, and claimed a second time."""
        await told_by_bank(books, (PAYOUT, REFERENCE), ("-742.97", "PM1"), closing="742.47")
        await reconciled(books, store, bank)
        bank.pay_out(
            ("PM1", "74297.0"), amount_minor=74_247, payout_id="PO2", reference="AQKOL-8QX2M9K4TA"
        )
        lines = ("742.47", "AQKOL-8QX2M9K4TA"), ("-742.97", "PM1")
        await told_by_bank(
            books, *lines, on=date(2026, 2, 28), opening="742.47", closing="741.97", at=NEXT
        )
        await reconciled(books, store, bank, NEXT)

        assert await breaks(town) == []

    async def test_is_an_orphan_with_another_amount(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """More than was taken is not that payment."""
        await told_by_bank(books, (PAYOUT, REFERENCE), ("-742.98", "PM1"), closing="742.46")
        await reconciled(books, store, bank)

        assert [one.split()[0] for one in await breaks(town)] == ["line_orphan"]


async def given_back(town: DebitTown, *, state: str = "paid") -> str:
    """Let 50.00 of ACC-1's debit have gone back, as RF1; return its name at the bank."""
    await town.owner.execute(
        "INSERT INTO refund (account_id, bill_no, attempt, refund_no, state, amount_minor,"
        " currency, cause, source, asked_by, because, asked_at, debit_minor, before_minor,"
        " idempotency_key, body, body_digest, bank_refund_id, sends, first_sent_at, changed_at)"
        " VALUES ('ACC-1', '2026-01', 1, 1, $1, 5000, 'KZT', 'operator', 'receivable', 'Olga',"
        " 'a call', $2, 74297, 0, 'refund:v1:ACC-1:2026-01:1:1', 'x', sha256('x'), 'RF1', 1, $2,"
        " $2)",
        state,
        PAID_AT,
    )
    return "RF1"


class TestALineOfARefund:
    """What the account bears of a refund ..."""

    async def test_is_known_by_the_name_of_the_refund(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Money that went back to a resident, not a question to a person."""
        name = await given_back(town)
        await told_by_bank(books, (PAYOUT, REFERENCE), ("-50.00", name), closing="1435.44")
        counts = await reconciled(books, store, bank)

        assert (counts.breaks_open, await breaks(town)) == (0, [])
        assert await known(town) == ["payout PO1", "refund RF1"]
        assert await town_moves(town) == ["fees fees <- bank 50"]

    @pytest.mark.parametrize(
        ("amount", "closing"),
        [("-50.01", "1435.43"), ("-49.99", "1435.45"), ("50.00", "1535.44")],
    )
    async def test_is_of_its_amount_and_went_out(
        self,
        town: DebitTown,
        store: Debits,
        books: ReconBooks,
        bank: PayingBank,
        amount: str,
        closing: str,
    ) -> None:
        """A unit more, a unit less, or the wrong way round: somebody has to look."""
        name = await given_back(town)
        await told_by_bank(books, (PAYOUT, REFERENCE), (amount, name), closing=closing)
        await reconciled(books, store, bank)

        assert [one.split()[0] for one in await breaks(town)] == ["line_orphan"]
        assert await known(town) == [None, "payout PO1"]

    async def test_is_borne_once(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """On one day twice, and the day after again: the second and third are not that refund."""
        name = await given_back(town)
        twice = [("-50.00", name), ("-50.00", name)]
        await told_by_bank(books, (PAYOUT, REFERENCE), *twice, closing="1385.44")
        await reconciled(books, store, bank)
        back = date(2026, 2, 28)
        await told_by_bank(
            books, ("-50.00", name), on=back, opening="1385.44", closing="1335.44", at=NEXT
        )
        await reconciled(books, store, bank, NEXT)

        assert [one.split()[0] for one in await breaks(town)] == ["line_orphan"] * 2
        assert await known(town) == [None, None, "payout PO1", "refund RF1"]

    async def test_is_not_borne_beside_a_payout(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """What was cut from a payout and taken from the account besides was taken twice."""
        name = await given_back(town)
        bank.items["PO1"].append(
            PayoutItem(
                kind="payment_refunded", amount_tenths=-50_000, payment_id="PM1", refund_id=name
            )
        )
        bank.payouts["PO1"] = replace(bank.payouts["PO1"], amount_minor=PAYOUT_MINOR - 5_000)
        await told_by_bank(books, ("1435.44", REFERENCE), ("-50.00", name), closing="1385.44")
        await reconciled(books, store, bank)

        assert [one.split()[0] for one in await breaks(town)] == ["line_orphan"]

    async def test_may_come_back_once(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """It did not reach the payer; the account has it again."""
        name = await given_back(town, state="returned")
        lines = [("-50.00", name), ("50.00", name), ("50.00", name)]
        await told_by_bank(books, (PAYOUT, REFERENCE), *lines, closing="1535.44")
        await reconciled(books, store, bank)

        assert [one.split()[0] for one in await breaks(town)] == ["line_orphan"]
        assert await known(town) == [None, "payout PO1", "refund RF1", "refund RF1 back"]


async def known(town: DebitTown) -> list[str | None]:
    """Return what the lines of all statements turned out to be, the unknown ones first."""
    rows = await town.owner.fetch(
        "SELECT known_as FROM statement_line ORDER BY known_as NULLS FIRST"
    )
    return [row["known_as"] for row in rows]


class TestAPayoutThatCameBack:
    """The town's own bank refused it, and the money is at the other bank again."""

    async def test_takes_its_debits_back_once(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """Their money is in transit again, until it is paid out anew."""
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        await reconciled(books, store, bank)
        bank.payouts["PO1"] = replace(bank.payouts["PO1"], status=PayoutStatus.BOUNCED)
        back = date(2026, 2, 28)
        await told_by_bank(
            books, (f"-{PAYOUT}", REFERENCE), on=back, opening=PAYOUT, closing="0", at=NEXT
        )
        await reconciled(books, store, bank, NEXT)
        steps = await town.steps()
        await reconciled(books, store, bank, NEXT + timedelta(days=1))

        assert steps[-2:] == ["reconciled", "confirmed"]
        assert await town.steps() == steps
        assert (await town.balances())["collections_in_transit"] == 74_297
        assert await breaks(town) == ["payout_bounced payout PO1"]

    async def test_is_settled_when_it_is_paid_again(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """The same items in a new payout are no second payment."""
        bank.payouts["PO1"] = replace(bank.payouts["PO1"], status=PayoutStatus.BOUNCED)
        await reconciled(books, store, bank)
        bank.pay_out(
            ("PM1", "74297.0"),
            ("PM2", "74297.0"),
            amount_minor=PAYOUT_MINOR,
            payout_id="PO2",
            reference="AQKOL-8QX2M9K4TA",
        )
        await told_by_bank(books, (PAYOUT, "AQKOL-8QX2M9K4TA"), closing=PAYOUT)
        counts = await reconciled(books, store, bank, NEXT + timedelta(days=2))

        assert await breaks(town) == []
        assert counts.reconciled == 2
        assert await town.states() == ["2026-01/1 reconciled"]


class TestAnOldPayout:
    """The bank keeps the items of a payout for half a year."""

    async def test_is_compared_with_what_the_bank_told_before(
        self,
        town: DebitTown,
        store: Debits,
        books: ReconBooks,
        bank: PayingBank,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What is gone there is still here; the rest of the books is compared all the same."""
        await reconciled(books, store, bank)

        async def gone(payout_id: str) -> tuple[PayoutItem, ...]:
            raise BankRefusedError(f"gone_{payout_id.lower()}")

        monkeypatch.setattr(bank, "list_payout_items", gone)
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        counts = await reconciled(books, store, bank, NEXT)

        assert (counts.reconciled, await breaks(town)) == (2, [])

    async def test_of_before_our_books_is_passed_over(
        self,
        town: DebitTown,
        store: Debits,
        books: ReconBooks,
        bank: PayingBank,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Nobody can say any more what it was made of."""

        async def gone(payout_id: str) -> tuple[PayoutItem, ...]:
            raise BankRefusedError(f"gone_{payout_id.lower()}")

        monkeypatch.setattr(bank, "list_payout_items", gone)
        await reconciled(books, store, bank, PAID_AT + timedelta(minutes=30))

        assert await breaks(town) == []


class TestADebitOfWhichNobodyKnows:
    """An order whose answer was lost, and of which the bank's books say nothing."""

    async def test_is_put_before_a_person_when_its_day_agrees(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """All sides agree about the day without it: it will not turn up by itself."""
        await town.account("ACC-3")
        await town.mandate("ACC-3", bank_mandate_id="MD-ACC-3")
        await town.bill("ACC-3")
        await told(store)
        at = TO_RECORD + timedelta(days=4)
        await recorded(store, at)
        bank.script.append(Unknown(reason="timeout"))
        await sent(store, bank, at)
        assert await town.states("ACC-3") == ["2026-01/1 unknown timeout"]
        await town.owner.execute(
            "UPDATE debit SET charge_on = '2026-02-26' WHERE account_id = 'ACC-3'"
        )
        early = await reconciled(books, store, bank)
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        counts = await reconciled(books, store, bank)

        assert (early.unmatched, counts.unmatched) == (0, 1)
        assert await town.states("ACC-3") == ["2026-01/1 review unresolved"]


class TestNewsAfterwards:
    """What was reconciled may still come back."""

    async def test_takes_a_reconciled_debit_back(
        self, town: DebitTown, store: Debits, books: ReconBooks, bank: PayingBank
    ) -> None:
        """A resident's bank may take the money back for months."""
        await told_by_bank(books, (PAYOUT, REFERENCE), closing=PAYOUT)
        await reconciled(books, store, bank)
        name = next(
            name for name, one in bank.payments.items() if one.bank_mandate_id == "MD-ACC-1"
        )
        bank.tell(name, PaymentStatus.CHARGED_BACK, action="charged_back", cause="md06")
        await followed(store, bank, NEXT)
        counts = await reconciled(books, store, bank, NEXT)

        assert (await town.states())[0].startswith("2026-01/1 charged_back")
        assert counts.breaks_open == 0
