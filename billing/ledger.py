"""The ledger: every movement of money is one row from one account to another.

    bill issued               receivable             <- revenue      bill/<bill>/net
                              receivable             <- vat          bill/<bill>/vat
                              receivable             <- penalty      bill/<bill>/penalty
    debit recorded (pending)  collections_in_transit <- receivable   debit/<bill>/<n>/pending
    debit given up (void)     collections_in_transit <- receivable   debit/<bill>/<n>/void
    debit confirmed           collections_in_transit <- receivable   debit/<bill>/<n>/posted
    paid out by the bank      bank                   <- collections_in_transit  .../payout
    payout came back          collections_in_transit <- bank                    .../payout_bounced
    taken back before payout  receivable             <- collections_in_transit  .../reversal
    taken back after payout   chargebacks_receivable <- bank                    .../reversal
    ... by the next payout    receivable             <- chargebacks_receivable  .../recovered
    chargeback cancelled      where it was           <- where it lies now       .../restored-<k>
    refund asked for          receivable             <- refunds_payable
                              (or resident_credit, refund_due, bank) give_back/<bill>/<n>/<r>/asked
    refund recorded (pending) refunds_payable        <- bank                    .../pending
    refund refused (void)     refunds_payable        <- bank                    .../void
    ... and not sent at all   refunds_payable        <- where it came from      .../undone
    refund paid               refunds_payable        <- bank                    .../paid
    refund came back          bank                   <- refunds_payable         .../bounced
    ... and waits for a hand  refunds_payable        <- refund_due              .../left
    credit left by a bill     receivable             <- resident_credit         credit/<bill>/<n>
    credit used on a bill     resident_credit        <- receivable              credit/<bill>/<n>
    credit to be sent back    resident_credit        <- refund_due              refund/<bill>/<n>
    paid by a voucher         voucher                <- receivable   voucher/<voucher>/<bill>
    too small to be asked for carried                <- receivable   carry/<bill>/<next>/out
    asked for with the next   receivable             <- carried      carry/<bill>/<next>/in

What belongs to no resident is the town's (billing/town.py):

    fees kept by the bank     fees                   <- bank         payout/<payout>/fees
    a line nobody knows       bank                   <- suspense     line/<line>/in
    ... that took money       suspense               <- bank         line/<line>/out
    ... known after all       suspense               <- bank         line/<line>/known (or turned)

A bill that asks less than nothing, as a cancellation does, moves it the other way. Left of the
arrow stands the debited account, right of it the credited one. Only "posted" rows count in a
balance; a "pending" row is answered by one "posted" or one "void" row, which the same debit or
refund can never both have. What happens to a debit again (a bank that asks once more, a second
chargeback) has a number behind its name. Nothing is ever changed: a correction is another transfer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Account(StrEnum):
    """The chart of accounts; table ledger_account holds the same."""

    RECEIVABLE = "receivable"
    REVENUE = "revenue"
    VAT = "vat"
    COLLECTIONS_IN_TRANSIT = "collections_in_transit"
    BANK = "bank"
    RESIDENT_CREDIT = "resident_credit"
    REFUND_DUE = "refund_due"
    REFUNDS_PAYABLE = "refunds_payable"
    CHARGEBACKS_RECEIVABLE = "chargebacks_receivable"
    FEES = "fees"
    SUSPENSE = "suspense"
    VOUCHER = "voucher"
    PENALTY = "penalty"
    CARRIED = "carried"


class Phase(StrEnum):
    """Whether a transfer counts: posted does; pending does not yet, void says it never will."""

    POSTED = "posted"
    PENDING = "pending"
    VOID = "void"


class DebitMove(StrEnum):
    """What a debit can do to the ledger."""

    PENDING = "pending"
    VOID = "void"
    POSTED = "posted"
    PAYOUT = "payout"
    PAYOUT_BOUNCED = "payout_bounced"
    REVERSAL = "reversal"
    REVERSAL_AFTER_PAYOUT = "reversal_after_payout"
    RECOVERED = "recovered"
    RESTORED_OPEN = "restored_open"
    RESTORED_TO_BANK = "restored_to_bank"
    RESTORED_TO_TRANSIT = "restored_to_transit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One amount, in minor units, moved from ``credit_code`` to ``debit_code``."""

    account_id: str
    transfer_id: str
    phase: Phase
    debit_code: Account
    credit_code: Account
    amount_minor: int
    currency: str
    bill_no: str
    posted_at: datetime

    def __post_init__(self) -> None:
        """Refuse a transfer that moves nothing, or nowhere."""
        if self.amount_minor <= 0:
            raise ValueError("a transfer moves more than nothing")
        if self.debit_code == self.credit_code:
            raise ValueError("a transfer needs two accounts")
        if self.posted_at.utcoffset() is None:
            raise ValueError("posted_at must carry a time zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class BillAmount:
    """What a bill asks for, in minor units; ``penalty_minor`` is a part of the net sum."""

    account_id: str
    bill_no: str
    net_minor: int
    vat_minor: int
    currency: str
    penalty_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitAmount:
    """What one attempt to be paid for one bill takes, in minor units."""

    account_id: str
    bill_no: str
    attempt: int
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How one move is written: the end of its name, its phase and its two accounts."""

    suffix: str
    phase: Phase
    debit_code: Account
    credit_code: Account


def _shape(suffix: str, debit_code: Account, credit_code: Account) -> Shape:
    return Shape(suffix=suffix, phase=Phase.POSTED, debit_code=debit_code, credit_code=credit_code)


_TRANSIT: Final = Account.COLLECTIONS_IN_TRANSIT
_DISPUTED: Final = Account.CHARGEBACKS_RECEIVABLE

# The drawing at the top, as data.
DEBIT_SHAPES: Final[Mapping[DebitMove, Shape]] = MappingProxyType(
    {
        DebitMove.PENDING: replace(
            _shape("pending", _TRANSIT, Account.RECEIVABLE), phase=Phase.PENDING
        ),
        DebitMove.VOID: replace(_shape("void", _TRANSIT, Account.RECEIVABLE), phase=Phase.VOID),
        DebitMove.POSTED: _shape("posted", _TRANSIT, Account.RECEIVABLE),
        DebitMove.PAYOUT: _shape("payout", Account.BANK, _TRANSIT),
        DebitMove.PAYOUT_BOUNCED: _shape("payout_bounced", _TRANSIT, Account.BANK),
        DebitMove.REVERSAL: _shape("reversal", Account.RECEIVABLE, _TRANSIT),
        DebitMove.REVERSAL_AFTER_PAYOUT: _shape("reversal", _DISPUTED, Account.BANK),
        DebitMove.RECOVERED: _shape("recovered", Account.RECEIVABLE, _DISPUTED),
        DebitMove.RESTORED_OPEN: _shape("restored", Account.BANK, _DISPUTED),
        DebitMove.RESTORED_TO_BANK: _shape("restored", Account.BANK, Account.RECEIVABLE),
        DebitMove.RESTORED_TO_TRANSIT: _shape("restored", _TRANSIT, Account.RECEIVABLE),
    }
)


def bill_transfers(bill: BillAmount, *, at: datetime) -> tuple[Transfer, ...]:
    """Return what a bill moves when it is issued: net, VAT and penalty, without empty rows.

    A negative sum moves the other way.
    """
    parts = (
        ("net", Account.REVENUE, bill.net_minor - bill.penalty_minor),
        ("vat", Account.VAT, bill.vat_minor),
        ("penalty", Account.PENALTY, bill.penalty_minor),
    )
    return tuple(
        Transfer(
            account_id=bill.account_id,
            transfer_id=f"bill/{bill.bill_no}/{name}",
            phase=Phase.POSTED,
            debit_code=Account.RECEIVABLE if amount_minor > 0 else code,
            credit_code=code if amount_minor > 0 else Account.RECEIVABLE,
            amount_minor=abs(amount_minor),
            currency=bill.currency,
            bill_no=bill.bill_no,
            posted_at=at,
        )
        for name, code, amount_minor in parts
        if amount_minor != 0
    )


def debit_transfer(
    move: DebitMove, debit: DebitAmount, *, at: datetime, number: int = 1
) -> Transfer:
    """Return the one transfer that a step of a debit writes, for the ``number``th time."""
    shape = DEBIT_SHAPES[move]
    numbered = number > 1 or shape.suffix == "restored"
    suffix = f"{shape.suffix}-{number}" if numbered else shape.suffix
    return Transfer(
        account_id=debit.account_id,
        transfer_id=f"debit/{debit.bill_no}/{debit.attempt}/{suffix}",
        phase=shape.phase,
        debit_code=shape.debit_code,
        credit_code=shape.credit_code,
        amount_minor=debit.amount_minor,
        currency=debit.currency,
        bill_no=debit.bill_no,
        posted_at=at,
    )


def balance_minor(account: Account, transfers: Iterable[Transfer]) -> int:
    """Return debits minus credits of one account over the posted transfers, in minor units."""
    return sum(
        transfer.amount_minor
        * ((transfer.debit_code == account) - (transfer.credit_code == account))
        for transfer in transfers
        if transfer.phase is Phase.POSTED
    )
