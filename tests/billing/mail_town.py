"""What tests of messages share: letters without facts, and mails read from the other side."""

import email
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import default
from typing import cast

import asyncpg

from billing.deliver import DeliverCounts, deliver
from billing.io.contacts import Contacts, NewContact
from billing.io.outbox import Outbox
from billing.letter import Letter, LetterError
from billing.message import Claimed
from billing.paper.words import Language
from tests.billing.fake_mailer import FakeMailer

SENDER = "gas@gas.example"


@dataclass
class PlainWriter:
    """Writes the name of the message and nothing else; ``broken`` ones cannot be written."""

    broken: set[str] = field(default_factory=set)

    async def write(self, claimed: Claimed, language: Language) -> Letter:
        """Write a letter."""
        name = claimed.message.message_id
        if name in self.broken:
            raise LetterError(name)
        return Letter(subject=f"{language} {name}", text=f"{name}\n", html=f"<p>{name}</p>")


async def delivered(
    pool: asyncpg.Pool, mailer: FakeMailer, at: datetime, *, writer: PlainWriter | None = None
) -> DeliverCounts:
    return await deliver(
        store=Outbox(pool=pool),
        mailer=mailer,
        writer=writer or PlainWriter(),
        sender=SENDER,
        at=at,
        limit=100,
    )


async def reads_mail(
    pool: asyncpg.Pool,
    at: datetime,
    account_id: str = "ACC-1",
    *,
    address: str | None = "aigul@mail.example",
    language: Language = Language.RU,
) -> None:
    """Let the resident of an account say where to write to."""
    await Contacts(pool=pool, mails=True).say(
        account_id, NewContact(address=address, language=language), at=at
    )


def read(raw: bytes) -> EmailMessage:
    return cast(EmailMessage, email.message_from_bytes(raw, policy=default))


def said(mailer: FakeMailer) -> list[str]:
    """Return the mails taken, as "reader: subject"."""
    return [f"{read(raw)['To']}: {read(raw)['Subject']}" for raw in mailer.inbox]
