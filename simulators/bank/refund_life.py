"""The life of a refund, as tables.

    created --submit--> submitted --pay--> paid
                            | bounce         | bounce
                            v                v
                         bounced --return--> funds_returned

`settle` tells that a payout has borne the refund; it may come in any state, which it leaves alone.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from simulators.bank.world import Details

STATES: Final = ("created", "submitted", "paid", "bounced", "funds_returned")

NEXT: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("created", "submit"): "submitted",
        ("submitted", "pay"): "paid",
        ("submitted", "bounce"): "bounced",
        ("paid", "bounce"): "bounced",
        ("bounced", "return"): "funds_returned",
        **{(state, "settle"): state for state in STATES},
    }
)
# What follows a step by itself, and how many working days later, by the customer's given name.
COURSE_USUAL: Final[Mapping[str, tuple[str, int]]] = MappingProxyType({"submit": ("pay", 1)})
COURSE: Final[Mapping[str, Mapping[str, tuple[str, int]]]] = MappingProxyType(
    {
        "Unreachable": {"submit": ("bounce", 1)},
        "Vanished": {"submit": ("pay", 1), "pay": ("bounce", 1)},
    }
)

TOLD: Final[Mapping[str, tuple[str, Details]]] = MappingProxyType(
    {
        "create": (
            "created",
            Details(
                origin="api",
                cause="payment_refunded",
                description="The refund was created and leaves with the next file.",
            ),
        ),
        "pay": (
            "paid",
            Details(
                origin="gocardless",
                cause="refund_paid",
                description="The refund was paid to the payer.",
            ),
        ),
        "bounce": (
            "failed",
            Details(
                origin="gocardless",
                cause="refund_failed",
                description="The refund did not reach the payer; the money comes back to you.",
            ),
        ),
        "return": (
            "funds_returned",
            Details(
                origin="gocardless",
                cause="refund_funds_returned",
                description="The money of the refund was credited in a payout.",
            ),
        ),
        "settle": (
            "refund_settled",
            Details(
                origin="gocardless",
                cause="refund_settled",
                description="The refund was taken from a payout.",
            ),
        ),
    }
)
