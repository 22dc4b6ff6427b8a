"""Vouchers: money that an akimat grants a resident for gas, and how it pays his bills.

    bill issued    voucher <- receivable    voucher/<voucher>/<bill>

A voucher is a payment: it changes no line and no tax of a bill. It pays a bill once, when the bill
is issued, never more than the bill asks for; the rest waits for later bills, until the voucher
expires or is revoked. Of several vouchers the first to expire pays first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from billing.ledger import Account, Phase, Transfer

# How the names of a voucher's transfers begin.
PREFIX: Final = "voucher/"


class VoucherState(StrEnum):
    """What a voucher can still do."""

    WAITING = "waiting"
    USABLE = "usable"
    USED_UP = "used_up"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher:
    """An amount, in minor units, for bills issued on local days from one until, without, another.

    ``source`` is the document that grants it.
    """

    account_id: str
    voucher_no: int
    source: str
    amount_minor: int
    currency: str
    valid_from: date
    valid_to: date
    entered_by: str
    entered_at: datetime
    revoked_by: str | None = None
    revoked_because: str | None = None
    revoked_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a voucher for nothing or for no day, and half a revocation."""
        if self.amount_minor <= 0:
            raise ValueError("a voucher is worth more than nothing")
        if self.valid_to <= self.valid_from:
            raise ValueError("valid_to must lie after valid_from")
        if (
            len({self.revoked_by is None, self.revoked_because is None, self.revoked_at is None})
            > 1
        ):
            raise ValueError("a revocation has a name, a reason and an instant, or none of them")

    def pays(self, *, currency: str, day: date, at: datetime) -> bool:
        """Say whether it may pay a bill that is issued at an instant, on that local day."""
        return (
            self.currency == currency
            and self.valid_from <= day < self.valid_to
            and self.entered_at <= at
            and (self.revoked_at is None or self.revoked_at > at)
        )

    def state(self, *, used_minor: int, day: date) -> VoucherState:
        """Say what it can still do on a local day."""
        if used_minor >= self.amount_minor:
            return VoucherState.USED_UP
        if self.revoked_at is not None:
            return VoucherState.REVOKED
        if day >= self.valid_to:
            return VoucherState.EXPIRED
        return VoucherState.USABLE if day >= self.valid_from else VoucherState.WAITING


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherUse:
    """What a voucher paid of one bill, in minor units."""

    voucher_no: int
    bill_no: str
    amount_minor: int
    used_at: datetime


def shares(
    vouchers: Iterable[Voucher], *, used_minor: Mapping[int, int], owed_minor: int
) -> tuple[tuple[Voucher, int], ...]:
    """Share what a bill asks for among vouchers that may pay it, the first to expire first."""
    taken: list[tuple[Voucher, int]] = []
    for voucher in sorted(vouchers, key=lambda one: (one.valid_to, one.voucher_no)):
        rest_minor = voucher.amount_minor - used_minor.get(voucher.voucher_no, 0)
        amount_minor = min(rest_minor, owed_minor)
        if amount_minor > 0:
            taken.append((voucher, amount_minor))
            owed_minor -= amount_minor
    return tuple(taken)


def voucher_transfer(
    voucher: Voucher, amount_minor: int, *, bill_no: str, at: datetime
) -> Transfer:
    """Return the one transfer with which a voucher pays a bill, or a part of it."""
    return Transfer(
        account_id=voucher.account_id,
        transfer_id=f"{PREFIX}{voucher.voucher_no}/{bill_no}",
        phase=Phase.POSTED,
        debit_code=Account.VOUCHER,
        credit_code=Account.RECEIVABLE,
        amount_minor=amount_minor,
        currency=voucher.currency,
        bill_no=bill_no,
        posted_at=at,
    )


def uses(transfers: Sequence[Transfer]) -> tuple[VoucherUse, ...]:
    """Read from the ledger what vouchers paid."""
    return tuple(
        VoucherUse(
            voucher_no=int(one.transfer_id.removeprefix(PREFIX).partition("/")[0]),
            bill_no=one.bill_no,
            amount_minor=one.amount_minor,
            used_at=one.posted_at,
        )
        for one in transfers
        if one.transfer_id.startswith(PREFIX)
    )
