"""Contacts and messages over HTTP: where a resident is written to, and what he was told."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from billing.contact import BadAddressError
from billing.io.contacts import Contacts, NewContact
from billing.io.outbox import FIRST, MessageViews, Stuck, Told
from billing.io.wire import AccountPath
from billing.io.wire_messages import (
    ContactShown,
    ContactWanted,
    MessagePage,
    MessageQuery,
    MessageShown,
    SentAgain,
    StuckPage,
    StuckQuery,
    StuckShown,
    contact_shown,
    range_of,
)
from billing.io.writer import Writer
from billing.letter import LetterError
from billing.message import Kind, State
from billing.paper.words import Language
from metering.io.route import Call, Nothing, Policy, route
from metering.io.wire import CursorError

log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageApi:
    """The routes of contacts and messages; nobody but the resident reads an address or a letter."""

    contacts: Contacts
    views: MessageViews
    writer: Writer

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

    @route(
        "GET",
        "/v1/accounts/{account_id}/messages",
        policy=Policy.RESIDENT,
        summary="List what you were told",
        tag="messages",
        raises=(CursorError,),
    )
    async def list_messages(self, call: Call[AccountPath, MessageQuery, Nothing]) -> MessagePage:
        """List every message with its letter, newest first, whether it went by mail or not."""
        account_id = call.path.account_id
        before = _NEWEST if call.query.after is None else _place(call.query.after)
        language = call.query.language
        if language is None:
            contact = await self.contacts.now(account_id)
            language = Language.RU if contact is None else contact.language
        found = await self.views.told(account_id, before=before, page=call.query.limit)
        shown = [await self._shown(one, language) for one in found]
        full = len(found) == call.query.limit
        last = found[-1] if full else None
        return MessagePage(
            messages=shown,
            next=None if last is None else f"{_z(last.queued_at)}~{last.message.message_id}",
        )

    async def _shown(self, told: Told, language: Language) -> MessageShown:
        try:
            letter = await self.writer.read(told.message, language, queued_at=told.queued_at)
        except LetterError as error:
            # One that cannot be written does not hide the others.
            log.error("letter.not_written", why=str(error))  # noqa: TRY400 - a trace shows its facts
            letter = None
        return MessageShown(
            message_id=told.message.message_id,
            kind=told.message.kind,
            language=language,
            subject=None if letter is None else letter.subject,
            text=None if letter is None else letter.text,
            channel=told.channel,
            state=told.state,
            queued_at=told.queued_at,
            delivered_at=told.delivered_at,
        )

    @route(
        "GET",
        "/v1/messages/stuck",
        policy=Policy.OPERATOR,
        summary="List messages that wait for a person",
        tag="messages",
        raises=(CursorError,),
    )
    async def list_stuck_messages(self, call: Call[Nothing, StuckQuery, Nothing]) -> StuckPage:
        """List what no relay has taken, the oldest first, without saying to whom."""
        after = FIRST
        if call.query.after is not None:
            at, account_id, message_id = call.query.after.split("~")
            after = (_instant(at), account_id, message_id)
        found = await self.views.stuck(after=after, page=call.query.limit)
        full = len(found) == call.query.limit
        last = found[-1] if full else None
        return StuckPage(
            messages=[StuckShown(**_strict(one)) for one in found],
            next=None
            if last is None
            else f"{_z(last.queued_at)}~{last.account_id}~{last.message_id}",
        )

    @route(
        "POST",
        "/v1/accounts/{account_id}/messages/again",
        policy=Policy.OPERATOR,
        summary="Send stuck messages again",
        tag="messages",
    )
    async def send_messages_again(self, call: Call[AccountPath, Nothing, Nothing]) -> SentAgain:
        """Send what is stuck to the contact that holds now; what was taken is not sent twice."""
        return SentAgain(messages=await self.views.send_again(call.path.account_id, at=call.at))


# Beyond every message that can be written.
_NEWEST: Final = (datetime(2100, 1, 1, tzinfo=UTC), "")


def _strict(stuck: Stuck) -> dict[str, Any]:
    return asdict(stuck) | {"kind": Kind(stuck.kind), "state": State(stuck.state)}


def _place(word: str) -> tuple[datetime, str]:
    at, message_id = word.split("~")
    return _instant(at), message_id


def _instant(word: str) -> datetime:
    try:
        return datetime.fromisoformat(word)
    except ValueError:
        raise CursorError("this list never gave out that place") from None


def _z(at: datetime) -> str:
    """Write an instant so that it needs no escaping in an address."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
