"""The town's own side of the ledger: money that belongs to no resident.

    payout/<payout>/fees    fees     <- bank      the bank kept it from a payout (or gave back)
    line/<line>/in          bank     <- suspense  money came, and nobody knows from whom
    line/<line>/out         suspense <- bank      money went, and nobody knows where to
    line/<line>/known       the way back, once somebody knows

Like every row of the ledger these are posted once, by their name, and never changed.
"""

from dataclasses import dataclass
from datetime import datetime

from billing.ledger import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class TownTransfer:
    """One amount, in minor units, moved from ``credit_code`` to ``debit_code``."""

    transfer_id: str
    debit_code: Account
    credit_code: Account
    amount_minor: int
    currency: str
    reference: str
    posted_at: datetime

    def __post_init__(self) -> None:
        """Refuse a transfer that moves nothing, or nowhere."""
        if self.amount_minor <= 0:
            raise ValueError("a transfer moves more than nothing")
        if self.debit_code == self.credit_code:
            raise ValueError("a transfer needs two accounts")
        if self.posted_at.utcoffset() is None:
            raise ValueError("posted_at must carry a time zone")


def payout_fees(
    payout_id: str, *, fees_minor: int, currency: str, reference: str, at: datetime
) -> TownTransfer:
    """Return what the fees of a payout move; below zero the bank gave some back.

    The payout itself stands with each of its debits.
    """
    kept = fees_minor > 0
    return TownTransfer(
        transfer_id=f"payout/{payout_id}/fees",
        debit_code=Account.FEES if kept else Account.BANK,
        credit_code=Account.BANK if kept else Account.FEES,
        amount_minor=abs(fees_minor),
        currency=currency,
        reference=reference,
        posted_at=at,
    )


def unidentified(
    line_id: str, *, amount_minor: int, currency: str, reference: str, at: datetime
) -> TownTransfer:
    """Return what a line of the bank's statement moves that nobody knows; below zero money went."""
    came = amount_minor > 0
    return TownTransfer(
        transfer_id=f"line/{line_id}/{'in' if came else 'out'}",
        debit_code=Account.BANK if came else Account.SUSPENSE,
        credit_code=Account.SUSPENSE if came else Account.BANK,
        amount_minor=abs(amount_minor),
        currency=currency,
        reference=reference,
        posted_at=at,
    )


def identified(line: TownTransfer, *, at: datetime) -> TownTransfer:
    """Return the way back of a line that somebody knows after all."""
    return TownTransfer(
        transfer_id=f"{line.transfer_id.rpartition('/')[0]}/known",
        debit_code=line.credit_code,
        credit_code=line.debit_code,
        amount_minor=line.amount_minor,
        currency=line.currency,
        reference=line.reference,
        posted_at=at,
    )
