"""The writer: looks up what a letter has to say, and writes it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

import sql
from billing.io.store import BillingStore
from billing.letter import Letter, LetterError, letter
from billing.letter_facts import Around, facts
from billing.message import Claimed, Kind, Message
from billing.paper.words import Language
from billing.payee import Payee

_Q: Final = sql.queries("messages")

# Only a notice says what its bill is made of; the others name the bill.
_WITH_BILL: Final = frozenset({Kind.NOTICE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes the letters of a town, whose days begin in ``zone``."""

    pool: asyncpg.Pool
    zone: str
    url: str | None = None
    payee: Payee | None = None

    async def write(self, claimed: Claimed, language: Language) -> Letter:
        """Write the letter of a message that is to be sent.

        Raises:
            LetterError: it cannot be written.
        """
        return await self.read(claimed.message, language, queued_at=claimed.queued_at)

    async def read(self, message: Message, language: Language, *, queued_at: datetime) -> Letter:
        """Write the letter of a message in a language: the same letter whenever it is asked for.

        Raises:
            LetterError: it cannot be written.
        """
        bill_no, mandate_id = message.about.get("bill_no"), message.about.get("mandate_id")
        bill = None
        if message.kind in _WITH_BILL and bill_no is not None:
            bill = await BillingStore(self.pool).bill(message.account_id, bill_no)
        ending = None
        if mandate_id is not None:
            ending = await _Q.account_ending(
                self.pool, account_id=message.account_id, mandate_id=mandate_id
            )
        around = Around(zone=self.zone, bill=bill, ending=ending, url=self.url, payee=self.payee)
        try:
            said = facts(message, around, language, queued_at=queued_at)
        except (KeyError, TypeError, ValueError) as error:
            # Only what kind of mistake it is: its text would carry the facts into our logs.
            raise LetterError(f"{message.kind.value}: {type(error).__name__}") from None
        return letter(message.kind, language, said)
