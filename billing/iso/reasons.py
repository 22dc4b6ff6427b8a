"""What a bank's four letters mean: the reason codes of ISO 20022 in the words of our causes.

What stands here is what a decision hangs on; any other code is a failure of an unknown cause, which
is never tried again by itself.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# A payer who says nothing within eight weeks has agreed; later he can only deny the mandate itself.
REFUND_DAYS: Final = 56

UNKNOWN: Final = "unknown_cause"
# We have presented an order twice: nothing is tried again, and a person is called.
DOUBLE_PRESENTED: Final = "double_presented"
DISPUTED: Final = "authorisation_disputed"
MANDATE_CANCELLED: Final = "mandate_cancelled"

CAUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AM04": "insufficient_funds",
        "MS03": "refer_to_payer",
        "AC04": "bank_account_closed",
        "AC01": "invalid_bank_details",
        "RC01": "invalid_bank_details",
        "AC06": "direct_debit_not_enabled",
        "AG01": "direct_debit_not_enabled",
        "SL01": "direct_debit_not_enabled",
        "MD01": MANDATE_CANCELLED,
        "MD06": DISPUTED,
        "MS02": DISPUTED,
        "MD07": "payer_deceased",
        "AM05": DOUBLE_PRESENTED,
        "DUPL": DOUBLE_PRESENTED,
    }
)
# The payer himself wants his money back.
_PAYERS_OWN: Final = frozenset({"MD06", "MS02"})


def cause_of(code: str | None, *, days_since_taken: int | None = None) -> str:
    """Return our cause for a code of the bank's.

    A mandate that is missing long after the money was taken is one that the payer denies.
    """
    cause = CAUSES.get(code or "", UNKNOWN)
    late = days_since_taken is not None and days_since_taken > REFUND_DAYS
    return DISPUTED if cause == MANDATE_CANCELLED and late else cause


def is_chargeback(code: str | None, *, days_since_taken: int) -> bool:
    """Say whether money that was taken came back because the payer disputes it."""
    disputed = cause_of(code, days_since_taken=days_since_taken) == DISPUTED
    return code in _PAYERS_OWN or disputed
