"""The life of a mandate, as tables.

    pending_submission --submit--> submitted --activate, revive--> active --transfer--> active
          |                          |  fail, cancel                |
          '--- cancel, block         v                              | expire, suspend, block, cancel
                              failed, cancelled                     v
                          expired, suspended_by_payer, blocked, cancelled
    suspended_by_payer --resume--> active
    cancelled, expired, failed --resubmit--> pending_submission

An ending has several steps, one per reason: all of them lead to cancelled.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from simulators.bank.world import Details

# The payer's bank ends a mandate for these reasons, each with its own step.
ENDINGS: Final = ("cancel", "close", "bury", "dispute", "withdraw")
_CANCELLABLE: Final = ("pending_submission", "submitted", "active", "suspended_by_payer")

NEXT: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("pending_submission", "submit"): "submitted",
        ("pending_submission", "fail"): "failed",
        ("pending_submission", "block"): "blocked",
        ("submitted", "activate"): "active",
        ("submitted", "revive"): "active",
        ("submitted", "fail"): "failed",
        ("active", "expire"): "expired",
        ("active", "suspend"): "suspended_by_payer",
        ("suspended_by_payer", "resume"): "active",
        ("active", "block"): "blocked",
        ("active", "transfer"): "active",
        ("cancelled", "resubmit"): "pending_submission",
        ("expired", "resubmit"): "pending_submission",
        ("failed", "resubmit"): "pending_submission",
        **{(state, step): "cancelled" for state in _CANCELLABLE for step in ENDINGS},
    }
)

# Mandates under which a payment may be made, and under which one may be presented.
LIVE: Final = frozenset({"pending_customer_approval", "pending_submission", "submitted", "active"})
# The steps after which nothing is collected any more: what waits is cancelled.
ENDS: Final = frozenset({*ENDINGS, "fail", "expire", "block"})

# What happens to a mandate by itself, chosen by the customer's given name; one step a day.
COURSE_USUAL: Final = ("submit", "activate")
COURSE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Invalid": ("submit", "fail"),
        "Expired": (*COURSE_USUAL, "expire"),
        "Switching": (*COURSE_USUAL, "transfer"),
        "Suspended": (*COURSE_USUAL, "suspend"),
        "Blocked": (*COURSE_USUAL, "block"),
    }
)

TOLD: Final[Mapping[str, tuple[str, Details]]] = MappingProxyType(
    {
        "create": (
            "created",
            Details(origin="api", cause="mandate_created", description="Mandate created."),
        ),
        "submit": (
            "submitted",
            Details(
                origin="gocardless",
                cause="mandate_submitted",
                description="The mandate was sent to the payer's bank.",
            ),
        ),
        "activate": (
            "active",
            Details(
                origin="gocardless",
                cause="mandate_activated",
                description="The time for the payer's bank to refuse has passed.",
            ),
        ),
        "revive": (
            "reinstated",
            Details(
                origin="gocardless",
                cause="mandate_reinstated",
                description="The mandate is active again.",
            ),
        ),
        "fail": (
            "failed",
            Details(
                origin="bank",
                cause="invalid_bank_details",
                description="The account does not exist.",
                reason_code="AC01",
            ),
        ),
        "expire": (
            "expired",
            Details(
                origin="gocardless",
                cause="mandate_expired",
                description="Nothing was collected under the mandate for too long.",
            ),
        ),
        "suspend": (
            "suspended_by_payer",
            Details(
                origin="payer",
                cause="mandate_suspended_by_payer",
                description="The payer suspended the mandate at their bank.",
            ),
        ),
        "resume": (
            "reinstated",
            Details(
                origin="payer",
                cause="mandate_reinstated",
                description="The payer allows debits under the mandate again.",
            ),
        ),
        "transfer": (
            "transferred",
            Details(
                origin="bank",
                cause="bank_account_transferred",
                description="The payer moved to another account.",
            ),
        ),
        "cancel": (
            "cancelled",
            Details(
                origin="api",
                cause="mandate_cancelled",
                description="The mandate was cancelled at your request.",
            ),
        ),
        "block": (
            "blocked",
            Details(
                origin="gocardless",
                cause="mandate_blocked",
                description="The mandate is on a list of those that must not be debited.",
            ),
        ),
        "close": (
            "cancelled",
            Details(
                origin="bank",
                cause="bank_account_closed",
                description="The payer's account was closed.",
                reason_code="AC04",
            ),
        ),
        "bury": (
            "cancelled",
            Details(
                origin="bank",
                cause="payer_deceased",
                description="The payer has died.",
                reason_code="MD07",
            ),
        ),
        "dispute": (
            "cancelled",
            Details(
                origin="payer",
                cause="authorisation_disputed",
                description="The payer denies having given the mandate.",
                reason_code="MD01",
            ),
        ),
        "withdraw": (
            "cancelled",
            Details(
                origin="payer",
                cause="mandate_cancelled",
                description="The payer cancelled the mandate at their bank.",
                reason_code="MD01",
            ),
        ),
        "resubmit": (
            "resubmission_requested",
            Details(
                origin="api",
                cause="resubmission_requested",
                description="You asked for the mandate to be sent again.",
            ),
        ),
    }
)
