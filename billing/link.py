"""Linking a bank account: from the resident's wish to a mandate that is active at the bank.

Linking takes three visits, and may break off between any two of them:

    start_link   our row (invited) -> billing request at the bank -> flow -> address of its page
    (bank)       the resident agrees, or not, on the bank's own page
    finish_link  ask the bank what became of it -> pending or active

What the resident decides afterwards (pause, resume, cancel, change_caps) stands in enrol.py and
may be taken from here as well.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog

from billing.adopt import AdoptBank, AdoptDesk, AdoptStore, ForeignMandateError, adopt
from billing.bank import BillingRequest, Flow
from billing.enrol import (
    MandateEndedError,
    NoSuchMandateError,
    cancel,
    change_caps,
    pause,
    resume,
)
from billing.mandate import ENDED, Caps, Enrolment, Mandate, State, return_digest

__all__ = [
    "ForeignMandateError",
    "Link",
    "MandateEndedError",
    "MandateExistsError",
    "NoSuchAccountError",
    "NoSuchMandateError",
    "cancel",
    "change_caps",
    "finish_link",
    "pause",
    "refresh_link",
    "resume",
    "start_link",
]

log = structlog.get_logger()

# The bank's page can be opened for seven days; an address that old is not handed out again.
FLOW_VALID: Final = timedelta(days=6)
# The word in the address by which the returning resident is recognised.
RETURN_FIELD: Final = "link"
# 160 bits each: nobody guesses another resident's name or way back.
_TOKEN_BYTES: Final = 20


class NoSuchAccountError(Exception):
    """There is no account of this name."""


class MandateExistsError(Exception):
    """The account has a mandate that is usable already; cancel it first."""


class Link(NamedTuple):
    """Where to send the resident, and which mandate it is about."""

    mandate_id: str
    authorisation_url: str


class Tokens(Protocol):
    """Where unguessable names come from: the module ``secrets``, or a test's own."""

    def token_hex(self, nbytes: int, /) -> str:
        """Return twice as many hexadecimal digits."""


class LinkDesk(AdoptDesk, Protocol):
    """What linking needs inside one transaction."""

    async def waiting_mandate(self, account_id: str) -> Mandate | None:
        """Lock the one mandate of an account that cools off."""

    async def linked_before(self, account_id: str) -> bool:
        """Say whether a bank account was ever linked, so that another one is a change."""

    async def begin_change(self, mandate: Mandate, *, at: datetime) -> None:
        """Let a new mandate cool off, and tell everybody who must hear of it."""

    async def usable_mandate(self, account_id: str) -> Mandate | None:
        """Lock the one mandate of an account that is usable or on its way to be."""

    async def add_mandate(self, mandate: Mandate) -> bool:
        """Keep a new mandate; False if the account has a usable one."""


class LinkStore(AdoptStore, Protocol):
    """Where mandates are kept."""

    def begin(self) -> AbstractAsyncContextManager[LinkDesk]:
        """Open one transaction."""

    async def account_currency(self, account_id: str) -> str | None:
        """Return the currency of an account; None if there is no such account."""

    async def mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Return one mandate."""

    async def mandate_by_return(self, digest: bytes) -> Mandate | None:
        """Return the mandate whose resident comes back."""


class LinkBank(AdoptBank, Protocol):
    """What linking asks of the bank; all of it may raise BankError."""

    async def create_billing_request(
        self, *, currency: str, scheme: str, key: str
    ) -> BillingRequest:
        """Ask for a mandate; the same key gives the same request."""

    async def create_flow(
        self, *, request_id: str, redirect_uri: str, exit_uri: str, key: str
    ) -> Flow:
        """Open the bank's page for a request."""


async def start_link(  # noqa: PLR0913 - each argument is a fact of its own
    *,
    store: LinkStore,
    bank: LinkBank,
    account_id: str,
    caps: Caps,
    scheme: str,
    return_url: str,
    at: datetime,
    tokens: Tokens,
    changing: bool = False,
) -> Link:
    """Invite a resident to link a bank account, or go on with an invitation that broke off.

    Where a bank account was linked before, the new one cools off first. While one is linked, only
    who is ``changing`` it gets another invitation.

    The bank will send the resident back to ``return_url`` with the field ``link`` added, the word
    that ``finish_link`` takes.

    Raises:
        NoSuchAccountError: there is no such account.
        MandateExistsError: the account is linked already.
        BankError: the bank does not play along; calling again goes on from there.
    """
    currency = await store.account_currency(account_id)
    if currency is None:
        raise NoSuchAccountError(account_id)
    mandate = await _invited(store, account_id, caps, currency, at, tokens, changing=changing)
    if mandate.bank_request_id is not None and _stale(mandate, at):
        mandate = await refresh_link(
            store=store, bank=bank, account_id=account_id, mandate_id=mandate.mandate_id, at=at
        )
        if mandate.state in ENDED:
            mandate = await _invited(
                store, account_id, caps, currency, at, tokens, changing=changing
            )
        if mandate.state is not State.INVITED:
            raise MandateExistsError(account_id)
    if mandate.bank_request_id is None:
        request = await bank.create_billing_request(
            currency=currency, scheme=scheme, key=f"request:v1:{account_id}:{mandate.mandate_id}"
        )
        mandate = await _keep(store, mandate, at, bank_request_id=request.request_id)
    if _stale(mandate, at):
        mandate = await _open_flow(store, bank, mandate, return_url, at, tokens)
    assert mandate.authorisation_url is not None, "an open flow has an address"
    log.info("link.started", account=account_id, mandate=mandate.mandate_id)
    return Link(mandate.mandate_id, mandate.authorisation_url)


def _stale(mandate: Mandate, at: datetime) -> bool:
    return mandate.authorisation_url is None or at >= mandate.created_at + FLOW_VALID


async def _invited(  # noqa: PLR0913, PLR0917 - the inside of start_link
    store: LinkStore,
    account_id: str,
    caps: Caps,
    currency: str,
    at: datetime,
    tokens: Tokens,
    *,
    changing: bool,
) -> Mandate:
    async with store.begin() as desk:
        mandate = await desk.waiting_mandate(account_id)
        if mandate is None:
            mandate = await desk.usable_mandate(account_id)
            if changing and mandate is not None and mandate.state is not State.INVITED:
                mandate = None
        if mandate is None:
            waits = await desk.linked_before(account_id)
            mandate = Mandate(
                account_id=account_id,
                mandate_id=f"M-{tokens.token_hex(_TOKEN_BYTES).upper()}",
                state=State.INVITED,
                enrolment=Enrolment.WAITING if waits else Enrolment.ACTIVE,
                caps=caps,
                currency=currency,
                return_digest=return_digest(tokens.token_hex(_TOKEN_BYTES)),
                created_at=at,
                changed_at=at,
            )
            if not await desk.add_mandate(mandate):
                raise MandateExistsError(account_id)
            if waits:
                await desk.begin_change(mandate, at=at)
        elif mandate.state is not State.INVITED:
            raise MandateExistsError(account_id)
        elif mandate.caps != caps:
            mandate = replace(mandate, caps=caps, changed_at=at)
            await desk.save_mandate(mandate)
    return mandate


async def _keep(store: LinkStore, mandate: Mandate, at: datetime, **found: str | bytes) -> Mandate:
    """Add what the bank gave us, unless another call was faster or the resident gave up."""
    async with store.begin() as desk:
        now = await desk.lock_mandate(mandate.account_id, mandate.mandate_id)
        if now is None or now.state is not State.INVITED or now.enrolment is Enrolment.CANCELLED:
            raise MandateEndedError(mandate.mandate_id)
        if now.authorisation_url != mandate.authorisation_url:
            return now
        now = replace(now, changed_at=at, **found)  # type: ignore[arg-type]  # names and types are the callers', just below
        await desk.save_mandate(now)
    return now


async def _open_flow(  # noqa: PLR0913, PLR0917 - the inside of start_link
    store: LinkStore,
    bank: LinkBank,
    mandate: Mandate,
    return_url: str,
    at: datetime,
    tokens: Tokens,
) -> Mandate:
    """Open the bank's page with a fresh way back; nobody has seen the address of an earlier try."""
    assert mandate.bank_request_id is not None, "the request comes before the flow"
    secret = tokens.token_hex(_TOKEN_BYTES)
    digest = return_digest(secret)
    back = with_field(return_url, RETURN_FIELD, secret)
    flow = await bank.create_flow(
        request_id=mandate.bank_request_id,
        redirect_uri=back,
        exit_uri=back,
        key=f"flow:v1:{mandate.mandate_id}:{digest.hex()[:16]}",
    )
    return await _keep(
        store,
        mandate,
        at,
        bank_flow_id=flow.flow_id,
        authorisation_url=flow.authorisation_url,
        return_digest=digest,
    )


def with_field(url: str, name: str, value: str) -> str:
    """Return the address with one more query field."""
    parts = urlsplit(url)
    fields = [*parse_qsl(parts.query, keep_blank_values=True), (name, value)]
    return urlunsplit(parts._replace(query=urlencode(fields)))


async def finish_link(*, store: LinkStore, bank: LinkBank, secret: str, at: datetime) -> Mandate:
    """Ask the bank what the resident who comes back with this word has agreed to.

    The answer may still be ``invited``: the resident turned back, or the bank is not ready.

    Raises:
        NoSuchMandateError: nobody was sent away with this word.
        BankError: the bank does not answer; asking again later is harmless.
    """
    mandate = await store.mandate_by_return(return_digest(secret))
    if mandate is None:
        raise NoSuchMandateError("nobody comes back with this word")
    return await adopt(store=store, bank=bank, mandate=mandate, at=at)


async def refresh_link(
    *, store: LinkStore, bank: LinkBank, account_id: str, mandate_id: str, at: datetime
) -> Mandate:
    """Ask the bank again what became of a mandate.

    Raises:
        NoSuchMandateError: the account has no such mandate.
        BankError: the bank does not answer; asking again later is harmless.
    """
    mandate = await store.mandate(account_id, mandate_id)
    if mandate is None:
        raise NoSuchMandateError(mandate_id)
    return await adopt(store=store, bank=bank, mandate=mandate, at=at)
