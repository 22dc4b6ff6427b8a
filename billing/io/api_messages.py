"""Contacts over HTTP: where a resident wants to be written to."""

from dataclasses import dataclass

from billing.contact import BadAddressError
from billing.io.contacts import Contacts, NewContact
from billing.io.wire import AccountPath
from billing.io.wire_messages import ContactShown, ContactWanted, contact_shown, range_of
from metering.io.route import Call, Nothing, Policy, route


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageApi:
    """The routes of contacts; nobody but the resident reads or writes an address."""

    contacts: Contacts

    @route(
        "GET",
        "/v1/accounts/{account_id}/contact",
        policy=Policy.RESIDENT,
        summary="Show where you are written to",
        tag="messages",
    )
    async def show_contact(self, call: Call[AccountPath, Nothing, Nothing]) -> ContactShown:
        """Show the address, the language and what the mail is spared for."""
        return contact_shown(await self.contacts.now(call.path.account_id))

    @route(
        "PUT",
        "/v1/accounts/{account_id}/contact",
        policy=Policy.RESIDENT,
        summary="Say where you want to be written to",
        tag="messages",
        raises=(BadAddressError,),
    )
    async def say_contact(self, call: Call[AccountPath, Nothing, ContactWanted]) -> ContactShown:
        """Set the address and the language; another address is told to the one before as well."""
        contact = await self.contacts.say(
            call.path.account_id,
            NewContact(
                address=call.body.address,
                language=call.body.language,
                quiet=range_of(call.body.only_outside),
            ),
            at=call.at,
        )
        return contact_shown(contact)
