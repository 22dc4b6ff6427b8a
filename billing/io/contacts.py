"""Where residents are written to, in PostgreSQL; a change is told to the old address too."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import structlog

import sql
from billing.contact import OLD_ADDRESS_HEARS_FOR, OLD_ADDRESS_KEPT_FOR, Contact, Range, address_of
from billing.io.telling import tell
from billing.io.vouchers import locked
from billing.message import Kind, Message
from billing.paper.words import Language

_Q: Final = sql.queries("contacts")
_MESSAGES: Final = sql.queries("messages")

log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NewContact:
    """What a resident wants to hold from now on; never logged."""

    address: str | None
    language: Language
    quiet: Range | None = None

    def __post_init__(self) -> None:
        """Refuse an address to which no mail can safely be sent.

        Raises:
            BadAddressError: it is of another kind.
        """
        if self.address is not None:
            address_of(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contacts:
    """The contacts of a town; ``mails`` says whether it writes mails at all."""

    pool: asyncpg.Pool
    mails: bool = False

    async def now(self, account_id: str) -> Contact | None:
        """Return what holds for a resident; ask only on behalf of that resident."""
        row = await _Q.contact_now(self.pool, account_id=account_id)
        return None if row is None else contact_of(row)

    async def say(self, account_id: str, new: NewContact, *, at: datetime) -> Contact:
        """Keep a resident's word; one that changes nothing is none.

        Another address is told to every address that held in the last days, and to itself.

        Raises:
            AccountUnknownError: no account has this id.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await locked(conn, account_id)
            known = await _Q.contact_now(conn, account_id=account_id)
            before = None if known is None else contact_of(known)
            if before is not None and _said(before) == new:
                return before
            revision = 1 if before is None else before.revision + 1
            quiet = new.quiet
            await _Q.replace_contact(conn, account_id=account_id, at=at)
            await _Q.add_contact(
                conn,
                account_id=account_id,
                revision=revision,
                address=new.address,
                language=new.language.value,
                quiet_from_minor=None if quiet is None else quiet.from_minor,
                quiet_to_minor=None if quiet is None else quiet.to_minor,
                at=at,
            )
            if (None if before is None else before.address) != new.address:
                await self._tell(conn, account_id, revision, at)
                # What the address before could not take, the new one may.
                again = _MESSAGES.send_again(conn, account_id=account_id, message_id=None, at=at)
                _ = [row async for row in again]
            after = await _Q.contact_now(conn, account_id=account_id)
        log.info("contact.said", revision=revision, mail=new.address is not None)
        return contact_of(after)

    async def _tell(
        self, conn: asyncpg.Connection, account_id: str, revision: int, at: datetime
    ) -> None:
        """Tell a change to the old addresses first: they are who must be able to object."""
        hear = await hearers(conn, account_id, at=at)
        for one in hear or [revision]:
            await tell(
                conn,
                Message(
                    account_id=account_id,
                    message_id=f"contact_change/{revision}/{one}",
                    kind=Kind.CONTACT_CHANGE,
                    about={"old": one != revision},
                    to_revision=one,
                ),
                mails=self.mails,
                at=at,
            )


async def hearers(db: asyncpg.Connection, account_id: str, *, at: datetime) -> list[int]:
    """Return the contacts that must hear of a change now: what holds, and what held of late."""
    rows = _Q.contacts_that_hear(db, account_id=account_id, since=at - OLD_ADDRESS_HEARS_FOR)
    revisions: dict[str, int] = {}
    async for row in rows:
        # Of one address only the latest word: nobody wants the same letter twice.
        revisions[row["address"]] = row["revision"]
    return sorted(revisions.values())


async def forget(db: asyncpg.Pool, *, at: datetime, limit: int) -> int:
    """Forget addresses that were replaced long ago; return how many."""
    rows = _Q.forget_contacts(db, before=at - OLD_ADDRESS_KEPT_FOR, batch=limit)
    return len([row async for row in rows])


async def reader(db: asyncpg.Pool, account_id: str, revision: int | None) -> Contact | None:
    """Return the contact that a message is for: one that is named, or the one that holds."""
    if revision is None:
        row = await _Q.contact_now(db, account_id=account_id)
    else:
        row = await _Q.contact(db, account_id=account_id, revision=revision)
    return None if row is None else contact_of(row)


def contact_of(row: Mapping[str, Any]) -> Contact:
    """Return a contact from its row."""
    quiet = row["quiet_from_minor"]
    return Contact(
        account_id=row["account_id"],
        revision=row["revision"],
        address=row["address"],
        language=Language(row["language"]),
        quiet=None if quiet is None else Range(from_minor=quiet, to_minor=row["quiet_to_minor"]),
        said_at=row["said_at"],
    )


def _said(contact: Contact) -> NewContact:
    return NewContact(address=contact.address, language=contact.language, quiet=contact.quiet)
