"""What must be true of small sums that were carried from one bill of an account to a later one."""

from collections.abc import Iterator
from typing import Final

from billing.ledger import Account, Phase, Transfer
from billing.proof import Facts, Finding, Kind

# How the names of transfers begin that carry a sum from one bill to another.
CARRIED: Final = "carry/"


def is_carried_to(transfer: Transfer, bill_no: str) -> bool:
    """Say whether a transfer brings a small sum of an earlier bill to this one."""
    return transfer.transfer_id.startswith(CARRIED) and transfer.transfer_id.endswith(
        f"/{bill_no}/in"
    )


def check_carried(facts: Facts) -> Iterator[Finding]:
    """Find sums that were carried from nowhere, to nowhere, twice, or beyond what was owed."""
    bills = {bill.bill_no: bill for bill in facts.bills}
    carried = {one.transfer_id: one for one in facts.transfers if _is_carry(one)}
    for name, one in carried.items():
        _, _, rest = name.partition("/")
        parts = rest.split("/")
        wrong = "its name says no two bills"
        if len(parts) == 3 and parts[2] in {"in", "out"}:  # noqa: PLR2004 - old bill, new bill, side
            old, new = bills.get(parts[0]), bills.get(parts[1])
            other = carried.get(f"{CARRIED}{parts[0]}/{parts[1]}/{_OTHER[parts[2]]}")
            if old is None or new is None or old.period_start >= new.period_start:
                wrong = "no earlier and later bill"
            elif other is None or other.amount_minor != one.amount_minor:
                wrong = "what left one bill did not come to the other"
            elif _shape(one) != (*_SHAPES[parts[2]], parts[0] if parts[2] == "out" else parts[1]):
                wrong = "moved between other accounts than its name says"
            elif one.posted_at != new.issued_at or one.currency != new.currency:
                wrong = "not moved when the later bill was issued"
            else:
                continue
        yield Finding(kind=Kind.TRANSFER_WRONG, subject=f"{facts.account_id}/{name}", detail=wrong)


_OTHER: Final = {"in": "out", "out": "in"}
_SHAPES: Final = {
    "out": (Phase.POSTED, Account.CARRIED, Account.RECEIVABLE),
    "in": (Phase.POSTED, Account.RECEIVABLE, Account.CARRIED),
}


def _is_carry(transfer: Transfer) -> bool:
    return transfer.transfer_id.startswith(CARRIED) or Account.CARRIED in {
        transfer.debit_code,
        transfer.credit_code,
    }


def _shape(transfer: Transfer) -> tuple[Phase, Account, Account, str]:
    return (transfer.phase, transfer.debit_code, transfer.credit_code, transfer.bill_no)
