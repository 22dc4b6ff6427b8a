"""The life of a payment, as tables.

    pending_submission --submit--> submitted --confirm--> confirmed --pay_out--> paid_out
          | cancel, reject             | fail                 | fail_late            | fail_late
          v                            v                      | charge_back          | charge_back
    cancelled, failed               failed                    v                      v
    failed --resubmit--> pending_submission            failed, charged_back   failed, charged_back
    charged_back --restore_confirmed--> confirmed
    charged_back --restore_paid_out--> paid_out

`settle_late` and `settle_chargeback` tell that a payout has borne the loss; the state stays.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from simulators.bank.world import Details

NEXT: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
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
        ("charged_back", "restore_confirmed"): "confirmed",
        ("charged_back", "restore_paid_out"): "paid_out",
        ("failed", "settle_late"): "failed",
        ("failed", "resubmit"): "pending_submission",
    }
)

# What follows a step by itself: the next one, and how many working days later. A payout is no part
# of it: it comes when the bank settles.
Course = Mapping[str, tuple[str, int]]
COURSE_USUAL: Final[Course] = MappingProxyType({"submit": ("confirm", 1)})
_FAILS: Final[Course] = MappingProxyType({"submit": ("fail", 1)})
_PAID: Final = ("confirm", 1)

# Chosen by the customer's given name: the sandbox's own names first, then this bank's.
COURSE: Final[Mapping[str, Course]] = MappingProxyType(
    {
        "Penniless": _FAILS,
        "Fickle": {"submit": _PAID, "pay_out": ("charge_back", 1)},
        "Late": {"submit": _PAID, "pay_out": ("fail_late", 1)},
        "Barred": _FAILS,
        "Closed": _FAILS,
        "Deceased": _FAILS,
        "Denied": {"submit": _PAID, "pay_out": ("charge_back", 1)},
        "Disputed": _FAILS,
        "Forgiving": {
            "submit": _PAID,
            "pay_out": ("charge_back", 1),
            "charge_back": ("cancel_chargeback", 5),
        },
        "Hasty": {"submit": _PAID, "confirm": ("fail_late", 0)},
        "Moved": _FAILS,
        "Recovered": _FAILS,
        "Referred": _FAILS,
        "Stopped": {"submit": _PAID, "confirm": ("charge_back", 0)},
        "Withdrawn": _FAILS,
        "Wrong": _FAILS,
    }
)
# Those whose second presentation succeeds.
SECOND_TIME_LUCKY: Final = frozenset({"Moved", "Recovered"})

# Why a payment fails or is charged back, chosen by the same names; for others, TOLD says why.
REASON: Final[Mapping[tuple[str, str], Details]] = MappingProxyType(
    {
        ("Denied", "charge_back"): Details(
            origin="bank",
            cause="authorisation_disputed",
            description="The payer denies having given the mandate.",
            reason_code="MD01",
        ),
        ("Barred", "fail"): Details(
            origin="bank",
            cause="direct_debit_not_enabled",
            description="The payer's account cannot be debited.",
            reason_code="AG01",
        ),
        ("Closed", "fail"): Details(
            origin="bank",
            cause="bank_account_closed",
            description="The payer's account was closed.",
            reason_code="AC04",
        ),
        ("Deceased", "fail"): Details(
            origin="bank",
            cause="payer_deceased",
            description="The payer has died.",
            reason_code="MD07",
        ),
        ("Disputed", "fail"): Details(
            origin="bank",
            cause="authorisation_disputed",
            description="The payer denies having given the mandate.",
            reason_code="MD01",
        ),
        ("Moved", "fail"): Details(
            origin="bank",
            cause="bank_account_transferred",
            description="The payer moved to another account.",
            reason_code="AC04",
        ),
        ("Referred", "fail"): Details(
            origin="bank",
            cause="refer_to_payer",
            description="The payer's bank gives no reason.",
            reason_code="MS03",
        ),
        ("Withdrawn", "fail"): Details(
            origin="bank",
            cause="mandate_cancelled",
            description="The payer cancelled the mandate at their bank.",
            reason_code="MD01",
        ),
        ("Wrong", "fail"): Details(
            origin="bank",
            cause="invalid_bank_details",
            description="The account does not exist.",
            reason_code="AC01",
        ),
    }
)
# What the contract says of a failure that is not tried again for any other reason.
NOT_RETRIED: Final = "other"
# Causes that the bank's own retry is for: time may heal them.
RETRIED: Final = frozenset({"insufficient_funds", "refer_to_payer"})
# The bank sends this one again by itself, asked or not: the new account is known.
RESENT: Final = frozenset({"bank_account_transferred"})
# The step that a mandate takes when a payment under it has failed for this cause.
ENDS_MANDATE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "authorisation_disputed": "dispute",
        "bank_account_closed": "close",
        "mandate_cancelled": "withdraw",
        "payer_deceased": "bury",
    }
)

TOLD: Final[Mapping[str, tuple[str, Details]]] = MappingProxyType(
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
                will_attempt_retry=False,
                not_retried_reason=NOT_RETRIED,
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
        "cancel_chargeback": (
            "chargeback_cancelled",
            Details(
                origin="bank",
                cause="payment_confirmed",
                description="The payer's bank took the chargeback back.",
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
