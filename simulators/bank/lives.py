"""The lives of mandates and payments, as tables.

A mandate:

    pending_submission --submit--> submitted --activate/revive--> active --expire--> expired
          |                          |   fail                       |--suspend--> suspended_by_payer
          '--------- cancel ---------'---------- cancel ------------'
    cancelled, expired, failed --resubmit--> pending_submission

A payment:

    pending_submission --submit--> submitted --confirm--> confirmed --pay_out--> paid_out
          | cancel, reject             | fail                 | fail_late            | fail_late
          v                            v                      | charge_back          | charge_back
    cancelled, failed               failed                    v                      v
    failed --resubmit--> pending_submission            failed, charged_back   failed, charged_back
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from simulators.bank.world import Details

MANDATE_NEXT: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("pending_submission", "submit"): "submitted",
        ("pending_submission", "fail"): "failed",
        ("pending_submission", "cancel"): "cancelled",
        ("submitted", "activate"): "active",
        ("submitted", "revive"): "active",
        ("submitted", "fail"): "failed",
        ("submitted", "cancel"): "cancelled",
        ("active", "expire"): "expired",
        ("active", "suspend"): "suspended_by_payer",
        ("active", "transfer"): "active",
        ("active", "cancel"): "cancelled",
        ("suspended_by_payer", "cancel"): "cancelled",
        ("cancelled", "resubmit"): "pending_submission",
        ("expired", "resubmit"): "pending_submission",
        ("failed", "resubmit"): "pending_submission",
    }
)

PAYMENT_NEXT: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("pending_submission", "submit"): "submitted",
        ("pending_submission", "reject"): "failed",
        ("pending_submission", "cancel"): "cancelled",
        ("submitted", "confirm"): "confirmed",
        ("submitted", "fail"): "failed",
        ("confirmed", "pay_out"): "paid_out",
        ("confirmed", "fail_late"): "failed",
        ("confirmed", "charge_back"): "charged_back",
        ("paid_out", "fail_late"): "failed",
        ("paid_out", "charge_back"): "charged_back",
        ("charged_back", "settle_chargeback"): "charged_back",
        ("failed", "settle_late"): "failed",
        ("failed", "resubmit"): "pending_submission",
    }
)

# Mandates under which a payment may be made, and under which one may be presented.
MANDATE_LIVE: Final = frozenset(
    {"pending_customer_approval", "pending_submission", "submitted", "active"}
)

# What happens to a mandate by itself, chosen by the customer's given name.
MANDATE_COURSE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"Invalid": ("submit", "fail"), "Expired": ("submit", "activate", "expire")}
)
MANDATE_COURSE_USUAL: Final = ("submit", "activate")

# What happens to a payment once it is presented: step and days after its charge date.
PAYMENT_COURSE: Final[Mapping[str, tuple[tuple[str, int], ...]]] = MappingProxyType(
    {
        "Penniless": (("fail", 1),),
        "Fickle": (("confirm", 1), ("pay_out", 2), ("charge_back", 3)),
        "Late": (("confirm", 1), ("pay_out", 2), ("fail_late", 3), ("settle_late", 4)),
    }
)
PAYMENT_COURSE_USUAL: Final = (("confirm", 1), ("pay_out", 2))

MANDATE_TOLD: Final[Mapping[str, tuple[str, Details]]] = MappingProxyType(
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

PAYMENT_TOLD: Final[Mapping[str, tuple[str, Details]]] = MappingProxyType(
    {
        "create": (
            "created",
            Details(origin="api", cause="payment_created", description="Payment created."),
        ),
        "submit": (
            "submitted",
            Details(
                origin="gocardless",
                cause="payment_submitted",
                description="The payment was sent to the payer's bank.",
            ),
        ),
        "confirm": (
            "confirmed",
            Details(
                origin="gocardless",
                cause="payment_confirmed",
                description="The payment was collected; it may still be taken back.",
            ),
        ),
        "pay_out": (
            "paid_out",
            Details(
                origin="gocardless",
                cause="payment_paid_out",
                description="The payment was paid out to you.",
            ),
        ),
        "cancel": (
            "cancelled",
            Details(
                origin="api",
                cause="payment_cancelled",
                description="The payment was cancelled at your request.",
            ),
        ),
        "fail": (
            "failed",
            Details(
                origin="bank",
                cause="insufficient_funds",
                description="The payer's account had insufficient funds.",
                reason_code="AM04",
            ),
        ),
        "reject": (
            "failed",
            Details(
                origin="bank",
                cause="direct_debit_not_enabled",
                description="The payer's bank does not allow a debit under this mandate.",
                reason_code="AG01",
            ),
        ),
        "fail_late": (
            "failed",
            Details(
                origin="bank",
                cause="refer_to_payer",
                description="The payer's bank returned the payment after it was collected.",
                reason_code="MS03",
            ),
        ),
        "settle_late": (
            "late_failure_settled",
            Details(
                origin="gocardless",
                cause="late_failure_settled",
                description="The late failure was taken from a payout.",
            ),
        ),
        "charge_back": (
            "charged_back",
            Details(
                origin="bank",
                cause="refund_requested",
                description="The payer asked their bank for the money back.",
                reason_code="MD06",
            ),
        ),
        "settle_chargeback": (
            "chargeback_settled",
            Details(
                origin="gocardless",
                cause="chargeback_settled",
                description="The chargeback was taken from a payout.",
            ),
        ),
        "resubmit": (
            "resubmission_requested",
            Details(
                origin="api",
                cause="resubmission_requested",
                description="You asked for the payment to be tried again.",
            ),
        ),
    }
)
