"""Changing the bank account over HTTP; the new one cools off before it is debited."""

import secrets
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from billing.account_change import AccountChange
from billing.bank import BankError
from billing.enrol import MandateEndedError
from billing.io.account_changes import ChangeViews
from billing.io.api_debits import RETURN_PATH, NoBankError
from billing.io.wire import AccountPath
from billing.io.wire_debits import CapsWanted, LinkStarted, MandateId
from billing.link import LinkBank, LinkStore, MandateExistsError, NoSuchAccountError, start_link
from billing.mandate import Caps
from metering.io.route import Call, Instant, Nothing, Policy, Wire, route


class AccountChangeShown(Wire):
    """A change of the bank account: from ``usable_at`` on the new mandate is debited."""

    mandate_id: MandateId
    begun_at: Instant
    usable_at: Instant
    paused: Annotated[bool, Field(description="debits rest even when it has cooled off")]
    ended_at: Instant | None
    outcome: Annotated[str | None, Field(description="done or cancelled; null while it cools off")]


class AccountChanges(Wire):
    """The changes of an account, newest first."""

    changes: list[AccountChangeShown]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChangeApi:
    """The routes of changes; ``bank`` is None where debits are not sent."""

    store: LinkStore
    changes: ChangeViews
    bank: LinkBank | None
    scheme: str
    public_url: str

    @route(
        "POST",
        "/v1/accounts/{account_id}/account-changes",
        policy=Policy.RESIDENT,
        summary="Link another bank account",
        tag="mandates",
        status=201,
        raises=(NoSuchAccountError, MandateExistsError, MandateEndedError, NoBankError, BankError),
    )
    async def change_account(self, call: Call[AccountPath, Nothing, CapsWanted]) -> LinkStarted:
        """Link another bank account in place of the one that is debited now.

        For 72 hours only the old one is debited, and everybody who must hear of it is told;
        cancelling the new mandate calls the change off. Calling again goes on from there.
        """
        if self.bank is None:
            raise NoBankError("this installation talks to no bank")
        link = await start_link(
            store=self.store,
            bank=self.bank,
            account_id=call.path.account_id,
            caps=Caps(
                payment_minor_max=call.body.payment_minor_max,
                month_minor_max=call.body.month_minor_max,
            ),
            scheme=self.scheme,
            return_url=self.public_url + RETURN_PATH,
            at=call.at,
            tokens=secrets,
            changing=True,
        )
        return LinkStarted(mandate_id=link.mandate_id, authorisation_url=link.authorisation_url)

    @route(
        "GET",
        "/v1/accounts/{account_id}/account-changes",
        policy=Policy.RESIDENT,
        summary="List changes of the bank account",
        tag="mandates",
    )
    async def list_account_changes(
        self, call: Call[AccountPath, Nothing, Nothing]
    ) -> AccountChanges:
        """List the changes of the bank account, and when each counts."""
        changes = await self.changes.of(call.path.account_id)
        return AccountChanges(changes=[_shown(one) for one in changes])


def _shown(change: AccountChange) -> AccountChangeShown:
    return AccountChangeShown(
        mandate_id=change.mandate_id,
        begun_at=change.begun_at,
        usable_at=change.cooled_at,
        paused=change.paused,
        ended_at=change.ended_at,
        outcome=change.outcome,
    )
