"""Mandates and debits over HTTP: what a resident allows, and what was taken."""

import secrets
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Final, Protocol

import structlog

from billing.bank import BankError
from billing.debit import State as DebitState
from billing.enrol import (
    Changed,
    EnrolStore,
    MandateEndedError,
    NoSuchMandateError,
    cancel,
    change_caps,
    pause,
    resume,
)
from billing.io.views import FIRST_DEBIT, DebitPlace, DebitStory, DebitView, Views
from billing.io.wire import AccountPath
from billing.io.wire_debits import (
    CapsWanted,
    DebitDetail,
    DebitPage,
    DebitShown,
    DebitStories,
    LinkStarted,
    MandateChanged,
    MandateList,
    MandatePath,
    MandateShown,
    NoticeShown,
    ReturnQuery,
    StateQuery,
    StepShown,
    StoryQuery,
)
from billing.link import (
    ForeignMandateError,
    LinkBank,
    LinkStore,
    MandateExistsError,
    NoSuchAccountError,
    finish_link,
    start_link,
)
from billing.mandate import Caps, Mandate, State
from billing.money_state import money_state
from metering.io.route import Call, Nothing, NotThereError, Page, Policy, route
from metering.io.wire import CursorError

# Above every bill number, so that a list begins with the newest.
_NEWEST: Final = ("9999-99-999", 99)

# The address to which the bank sends a resident back; the bank adds the word that names the link.
RETURN_PATH: Final = "/v1/link/return"

log: Final = structlog.get_logger()


class NoBankError(Exception):
    """This installation talks to no bank, so no account can be linked."""


class MandateStore(LinkStore, EnrolStore, Protocol):
    """Where mandates are kept, for linking and for what residents decide later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitApi:
    """The routes of mandates and debits; ``bank`` is None where debits are not sent."""

    store: MandateStore
    views: Views
    bank: LinkBank | None
    scheme: str
    public_url: str

    @route(
        "POST",
        "/v1/accounts/{account_id}/mandates",
        policy=Policy.RESIDENT,
        summary="Link a bank account",
        tag="mandates",
        status=201,
        raises=(NoSuchAccountError, MandateExistsError, MandateEndedError, NoBankError, BankError),
    )
    async def start_mandate(self, call: Call[AccountPath, Nothing, CapsWanted]) -> LinkStarted:
        """Set the caps and get the address of the bank's page; calling again goes on from there."""
        link = await start_link(
            store=self.store,
            bank=self._bank(),
            account_id=call.path.account_id,
            caps=_caps(call.body),
            scheme=self.scheme,
            return_url=self.public_url + RETURN_PATH,
            at=call.at,
            tokens=secrets,
        )
        return LinkStarted(mandate_id=link.mandate_id, authorisation_url=link.authorisation_url)

    def _bank(self) -> LinkBank:
        if self.bank is None:
            raise NoBankError("this installation talks to no bank")
        return self.bank

    @route(
        "GET",
        RETURN_PATH,
        policy=Policy.PUBLIC,
        summary="Come back from the bank",
        tag="mandates",
        media_type="text/html",
        raises=(NoSuchMandateError, NoBankError),
    )
    async def return_from_bank(self, call: Call[Nothing, ReturnQuery, Nothing]) -> Page:
        """Finish a link; the word in the address is the permission, and nobody can guess it."""
        try:
            mandate = await finish_link(
                store=self.store, bank=self._bank(), secret=call.query.link, at=call.at
            )
        except ForeignMandateError:
            return _page("The bank took you for somebody else. Nothing will be taken; call us.")
        except BankError as error:
            log.warning("link.bank_silent", reason=error.reason)
            return _page("The bank has not answered yet. Nothing is lost: open this address again.")
        return _page(_WORDS[mandate.state])

    @route(
        "GET",
        "/v1/accounts/{account_id}/mandates",
        policy=Policy.RESIDENT,
        summary="List mandates",
        tag="mandates",
    )
    async def list_mandates(self, call: Call[AccountPath, Nothing, Nothing]) -> MandateList:
        """List the mandates of the account, newest first."""
        views = await self.views.mandates(call.path.account_id)
        return MandateList(
            mandates=[MandateShown.model_validate(view, from_attributes=True) for view in views]
        )

    @route(
        "GET",
        "/v1/accounts/{account_id}/mandates/{mandate_id}",
        policy=Policy.RESIDENT,
        summary="Show a mandate",
        tag="mandates",
    )
    async def show_mandate(self, call: Call[MandatePath, Nothing, Nothing]) -> MandateShown:
        """Show where a mandate stands, at the bank and with the resident."""
        for view in await self.views.mandates(call.path.account_id):
            if view.mandate_id == call.path.mandate_id:
                return MandateShown.model_validate(view, from_attributes=True)
        raise NotThereError

    @route(
        "POST",
        "/v1/accounts/{account_id}/mandates/{mandate_id}/pause",
        policy=Policy.RESIDENT,
        summary="Pause debits",
        tag="mandates",
        raises=(NoSuchMandateError, MandateEndedError),
    )
    async def pause_mandate(self, call: Call[MandatePath, Nothing, Nothing]) -> MandateChanged:
        """Let no new debit begin; in force with this answer, without asking the bank."""
        path = call.path
        return _changed(
            await pause(
                store=self.store,
                account_id=path.account_id,
                mandate_id=path.mandate_id,
                at=call.at,
            )
        )

    @route(
        "POST",
        "/v1/accounts/{account_id}/mandates/{mandate_id}/resume",
        policy=Policy.RESIDENT,
        summary="Resume debits",
        tag="mandates",
        raises=(NoSuchMandateError, MandateEndedError),
    )
    async def resume_mandate(self, call: Call[MandatePath, Nothing, Nothing]) -> MandateChanged:
        """Let debits begin again, each with a fresh notice."""
        path = call.path
        return _changed(
            await resume(
                store=self.store,
                account_id=path.account_id,
                mandate_id=path.mandate_id,
                at=call.at,
            )
        )

    @route(
        "POST",
        "/v1/accounts/{account_id}/mandates/{mandate_id}/cancel",
        policy=Policy.RESIDENT,
        summary="Cancel a mandate",
        tag="mandates",
        raises=(NoSuchMandateError,),
    )
    async def cancel_mandate(self, call: Call[MandatePath, Nothing, Nothing]) -> MandateChanged:
        """End a mandate for good; in force with this answer, and the bank is told afterwards."""
        path = call.path
        return _changed(
            await cancel(
                store=self.store,
                account_id=path.account_id,
                mandate_id=path.mandate_id,
                at=call.at,
            )
        )

    @route(
        "PUT",
        "/v1/accounts/{account_id}/mandates/{mandate_id}/caps",
        policy=Policy.RESIDENT,
        summary="Set the caps",
        tag="mandates",
        raises=(NoSuchMandateError, MandateEndedError),
    )
    async def set_caps(self, call: Call[MandatePath, Nothing, CapsWanted]) -> MandateShown:
        """Set the most we may take; every debit not yet ordered is measured against it."""
        return _mandate(
            await change_caps(
                store=self.store,
                account_id=call.path.account_id,
                mandate_id=call.path.mandate_id,
                caps=_caps(call.body),
                at=call.at,
            )
        )

    @route(
        "GET",
        "/v1/accounts/{account_id}/debits",
        policy=Policy.ACCOUNT,
        summary="List debits with their steps",
        tag="debits",
    )
    async def list_own_debits(self, call: Call[AccountPath, StoryQuery, Nothing]) -> DebitStories:
        """List every attempt to take money, what was announced, and every step it took."""
        before = _NEWEST if call.query.after is None else _story_place(call.query.after)
        stories = await self.views.stories(
            call.path.account_id, before=before, page=call.query.limit
        )
        full = len(stories) == call.query.limit
        last = stories[-1].debit if full else None
        return DebitStories(
            debits=[_story(story) for story in stories],
            next=f"{last.bill_no}~{last.attempt}" if last else None,
        )

    @route(
        "GET",
        "/v1/debits",
        policy=Policy.OPERATOR,
        summary="List debits in one state",
        tag="debits",
        raises=(CursorError,),
    )
    async def list_debits(self, call: Call[Nothing, StateQuery, Nothing]) -> DebitPage:
        """List the debits of all accounts that stand in one state, `review` for example."""
        after = FIRST_DEBIT if call.query.after is None else _debit_place(call.query.after)
        debits = await self.views.in_state(call.query.state, after=after, page=call.query.limit)
        full = len(debits) == call.query.limit
        return DebitPage(
            debits=[DebitShown.model_validate(debit, from_attributes=True) for debit in debits],
            next=_cursor(debits[-1]) if full else None,
        )


# What the resident reads after the bank's page.
_WORDS: Final = {
    State.INVITED: "You have not agreed at the bank's page yet. You may go back and do so.",
    State.PENDING: "Thank you. The bank is checking; debits begin when it agrees.",
    State.ACTIVE: "Thank you. Your bank account is linked.",
    State.CANCELLED: "This link was given up. Nothing will be taken.",
    State.FAILED: "The bank did not agree to this link. Nothing will be taken.",
    State.EXPIRED: "This link has expired. Nothing will be taken.",
}


def _page(words: str) -> Page:
    html = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Aqkol</title></head>'
        f"<body><p>{escape(words)}</p></body></html>\n"
    )
    return Page(content=html.encode(), media_type="text/html; charset=utf-8")


def _caps(wanted: CapsWanted) -> Caps:
    return Caps(payment_minor_max=wanted.payment_minor_max, month_minor_max=wanted.month_minor_max)


def _changed(changed: Changed) -> MandateChanged:
    return MandateChanged(
        mandate=_mandate(changed.mandate), debits_cancelled=changed.debits_cancelled
    )


def _mandate(mandate: Mandate) -> MandateShown:
    invited = mandate.state is State.INVITED
    return MandateShown(
        mandate_id=mandate.mandate_id,
        state=mandate.state.value,
        enrolment=mandate.enrolment.value,
        payment_minor_max=mandate.caps.payment_minor_max,
        month_minor_max=mandate.caps.month_minor_max,
        currency=mandate.currency,
        authorisation_url=mandate.authorisation_url if invited else None,
        account_number_ending=mandate.account_number_ending,
        created_at=mandate.created_at,
        changed_at=mandate.changed_at,
    )


def _story(story: DebitStory) -> DebitDetail:
    notice = story.notice
    return DebitDetail(
        **DebitShown.model_validate(story.debit, from_attributes=True).model_dump(),
        money=money_state(
            DebitState(story.debit.state), [DebitState(one.to_state) for one in story.steps]
        ),
        notice=None if notice is None else NoticeShown.model_validate(notice, from_attributes=True),
        steps=[StepShown.model_validate(step, from_attributes=True) for step in story.steps],
    )


def _story_place(word: str) -> tuple[str, int]:
    bill_no, attempt = word.split("~")
    return bill_no, int(attempt)


def _cursor(debit: DebitView) -> str:
    return f"{debit.charge_on.isoformat()}~{debit.account_id}~{debit.bill_no}~{debit.attempt}"


def _debit_place(word: str) -> DebitPlace:
    charge_on, account_id, bill_no, attempt = word.split("~")
    try:
        day = date.fromisoformat(charge_on)
    except ValueError:
        raise CursorError("this list never gave out that place") from None
    return DebitPlace(charge_on=day, account_id=account_id, bill_no=bill_no, attempt=int(attempt))
