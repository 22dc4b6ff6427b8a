"""What mandates and debits look like on the wire of the API."""

from datetime import date
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from billing.debit import State
from billing.decision import Decision
from billing.io.wire import AccountPath, BillNo, BillPath, Currency, Minor
from billing.money_state import MoneyState
from metering.io.route import AccountId, Instant, PageSize, Wire
from metering.io.wire_desk import Sentence

# Ten million tenge: no household's bill comes near it, and a typing error stays below.
CAP_MINOR_MAX: Final = 1_000_000_000

CapMinor = Annotated[
    int, Field(ge=1, le=CAP_MINOR_MAX, description="whole minor units of the currency (tiyn)")
]
MandateId = Annotated[str, Field(pattern=r"^M-[A-Z0-9]{1,40}$", examples=["M-1A2B"])]


class CapsWanted(Wire):
    """The most a resident lets us take: at once, and in one month."""

    payment_minor_max: CapMinor
    month_minor_max: CapMinor

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        if self.month_minor_max < self.payment_minor_max:
            raise ValueError("month_minor_max must allow one payment")
        return self


class LinkStarted(Wire):
    """Where to go now: the bank's own page."""

    mandate_id: MandateId
    authorisation_url: str


class MandateShown(Wire):
    """A mandate: as the bank sees it (state) and as the resident wants it (enrolment)."""

    mandate_id: MandateId
    state: Annotated[
        str, Field(description="invited, pending, active, cancelled, failed or expired")
    ]
    enrolment: Annotated[
        str, Field(description="active, paused, waiting, cancelled; it always wins")
    ]
    payment_minor_max: Minor
    month_minor_max: Minor
    currency: Currency
    authorisation_url: Annotated[
        str | None, Field(description="the bank's page, while the mandate is invited")
    ]
    account_number_ending: str | None
    created_at: Instant
    changed_at: Instant


class MandateChanged(Wire):
    """A mandate after the resident's wish, and how many debits it took back."""

    mandate: MandateShown
    debits_cancelled: int


class MandateList(Wire):
    """The mandates of an account, newest first."""

    mandates: list[MandateShown]


class DebitShown(Wire):
    """One attempt to be paid for one bill."""

    account_id: AccountId
    bill_no: BillNo
    attempt: int
    mandate_id: MandateId
    state: str
    reason: str | None
    amount_minor: Minor
    currency: Currency
    charge_on: date
    changed_at: Instant


class StepShown(Wire):
    """One step that a debit took."""

    from_state: str | None
    to_state: str
    reason: str | None
    taken_at: Instant


class NoticeShown(Wire):
    """What the resident was told: this amount, from that day."""

    amount_minor: Minor
    currency: Currency
    charge_on: date
    noticed_at: Instant


class DebitDetail(DebitShown):
    """A debit with its notice and every step it took; ``money`` says where the money is."""

    money: MoneyState
    notice: NoticeShown | None
    steps: list[StepShown]


class DebitStories(Wire):
    """The debits of an account, newest first."""

    debits: list[DebitDetail]
    next: str | None


class DebitPage(Wire):
    """Debits in one state, by the day of their charge."""

    debits: list[DebitShown]
    next: str | None


class NewApproval(Wire):
    """Which amount was seen and may be taken."""

    amount_minor: CapMinor


class ApprovalShown(Wire):
    """Somebody's word that an unusual or estimated sum may be taken for a bill."""

    amount_minor: Minor
    approved_by: str
    approved_at: Instant


class AttemptPath(BillPath):
    """One attempt to be paid for one bill."""

    attempt: Annotated[int, Field(ge=1, le=99)]


class DebitStopped(Wire):
    """A debit after its resident's no.

    It is over (`done`), or the bank is asked to stop it, or looked at for it (`asked`); money that
    it takes all the same is given back by itself.
    """

    state: str
    reason: str | None
    stopped: Literal["done", "asked"]


class NewDecision(Wire):
    """What becomes of a debit in review, and why."""

    decision: Decision
    because: Sentence
    bank_payment_id: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9]{1,64}$",
            description="the bank's payment that this is about; by default the one that we know",
        ),
    ] = None


class ReviewWordShown(Wire):
    """One person's word about a debit in review."""

    decision: Decision
    because: str
    said_by: str
    said_at: Instant


class DecidedShown(Wire):
    """A debit after a person's word; nothing has happened while a second one must say the same."""

    state: str
    reason: str | None
    waits_for_second: bool
    words: list[ReviewWordShown]


class MandatePath(AccountPath):
    """One mandate of one account."""

    mandate_id: MandateId


class StoryQuery(Wire):
    """Which page of an account's debits."""

    after: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}(-[0-9]{1,3})?~[0-9]{1,2}$")] | None = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=100)] = 24


class StateQuery(Wire):
    """Which state, and which page."""

    state: State
    after: (
        Annotated[
            str,
            Field(
                pattern=r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}~"
                r"[A-Z0-9-]{1,32}~[0-9]{4}-[0-9]{2}(-[0-9]{1,3})?~[0-9]{1,2}$"
            ),
        ]
        | None
    ) = None
    limit: PageSize = 100


class ReturnQuery(Wire):
    """The word by which we know who comes back; what the bank adds is not ours to refuse."""

    model_config = ConfigDict(extra="ignore")

    link: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
