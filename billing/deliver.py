"""Delivering: messages that wait are written as letters and handed to the relay.

Each message is claimed, sent with no transaction open, and marked. Whoever is killed in between
leaves it claimed; when the lease has run out it is sent again, under the same name. A relay that is
away ends the round, for it says nothing about the messages.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from billing.contact import Contact
from billing.letter import Letter, LetterError
from billing.mail import Away, Delivery, Mail, Refused, mail_name
from billing.message import Claimed, Message, Outcome, State, outcome, withdrawn
from billing.paper.words import Language

log = structlog.get_logger()


class Mailer(Protocol):
    """What hands a mail over; it raises nothing."""

    async def send(self, mail: Mail) -> Delivery:
        """Hand a mail over, and say what became of it."""


class Writer(Protocol):
    """What writes the letter of a message; it looks up what the letter has to say."""

    async def write(self, claimed: Claimed, language: Language) -> Letter:
        """Write a letter.

        Raises:
            LetterError: it cannot be written.
        """


class DeliverStore(Protocol):
    """Where messages wait."""

    async def claim(self, *, at: datetime) -> Claimed | None:
        """Take one message that is due."""

    async def reader(self, message: Message) -> Contact | None:
        """Return whom a message is for."""

    async def still_true(self, message: Message) -> bool:
        """Say whether what a message announces is still to come."""

    async def settle(self, claimed: Claimed, outcome: Outcome, *, at: datetime) -> bool:
        """Mark what became of a message."""

    async def publish(self, claimed: Claimed, *, at: datetime) -> bool:
        """Let a message stand in the API alone."""

    async def forget(self, *, at: datetime, limit: int) -> int:
        """Forget addresses that were replaced long ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverCounts:
    """What one batch did: ``sent`` are with the relay, ``published`` had no reader of mails.

    ``withdrawn`` ones announced what is not planned any more. ``later`` are tried again, ``stuck``
    wait for a person, ``lost`` went on in other hands; ``forgotten`` counts old addresses.
    """

    sent: int = 0
    published: int = 0
    withdrawn: int = 0
    later: int = 0
    stuck: int = 0
    lost: int = 0
    forgotten: int = 0


async def deliver(  # noqa: PLR0913 - each argument is a fact of its own
    *,
    store: DeliverStore,
    mailer: Mailer,
    writer: Writer,
    sender: str,
    at: datetime,
    limit: int,
) -> DeliverCounts:
    """Send up to ``limit`` messages that are due."""
    counts: Counter[str] = Counter()
    counts["forgotten"] = await store.forget(at=at, limit=limit)
    while counts.total() - counts["forgotten"] < limit:
        claimed = await store.claim(at=at)
        if claimed is None:
            break
        if not await store.still_true(claimed.message):
            result = withdrawn(tries=claimed.tries, at=at)
            marked = await store.settle(claimed, result, at=at)
            counts["withdrawn" if marked else "lost"] += 1
            continue
        contact = await store.reader(claimed.message)
        if contact is None or contact.address is None:
            # No mail is wanted any more: it stands in the API, where it stood all the time.
            counts["published" if await store.publish(claimed, at=at) else "lost"] += 1
            continue
        answer = await _try(mailer, writer, claimed, contact, sender)
        result = outcome(answer, tries=claimed.tries, at=at)
        marked = await store.settle(claimed, result, at=at)
        counts[_counted(result.state) if marked else "lost"] += 1
        if isinstance(answer, Away):
            break
    counts += Counter()
    if counts:
        log.info("deliver.done", **counts)
    return DeliverCounts(**counts)


async def _try(
    mailer: Mailer, writer: Writer, claimed: Claimed, contact: Contact, sender: str
) -> Delivery:
    """Write the letter and hand it over; one that cannot be written does not stop the others."""
    try:
        letter = await writer.write(claimed, contact.language)
    except LetterError as error:
        why = str(error)
        log.error("letter.not_written", why=why)  # noqa: TRY400 - a trace shows a letter's facts
        return Refused(reason="no_letter")
    assert contact.address is not None, "who has none is not written to"
    message = claimed.message
    mail = Mail(
        name=mail_name(message.account_id, message.message_id, sender),
        sender=sender,
        to=contact.address,
        language=contact.language,
        subject=letter.subject,
        text=letter.text,
        html=letter.html,
        dated_at=claimed.queued_at,
    )
    return await mailer.send(mail)


def _counted(state: State) -> str:
    if state is State.SENT:
        return "sent"
    return "later" if state is State.QUEUED else "stuck"
