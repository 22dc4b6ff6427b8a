"""Telling: a message is kept in the transaction of its cause, so none is without the other."""

import json
from datetime import datetime
from typing import Final

import asyncpg

import sql
from billing.debit import FINAL, TAKEN, Debit
from billing.message import Channel, Kind, Message
from billing.refund import Refund
from billing.told import (
    corrections_of,
    notice_message,
    receipts_of,
    refund_message,
    step_message,
)

_Q: Final = sql.queries("messages")


async def tell(
    db: asyncpg.Connection,
    message: Message,
    *,
    mails: bool,
    at: datetime,
    amount_minor: int | None = None,
) -> Channel | None:
    """Keep a message in the caller's transaction, and say how it is told.

    None means that this cause was told before. An ``amount_minor`` that the resident wants no mail
    about is told in the API alone.
    """
    channel = await _Q.add_message(
        db,
        account_id=message.account_id,
        message_id=message.message_id,
        kind=message.kind.value,
        about=json.dumps(dict(message.about)),
        to_revision=message.to_revision,
        mails=mails,
        amount_minor=amount_minor,
        at=at,
    )
    return None if channel is None else Channel(channel)


class TellDesk:
    """One open transaction: what it tells residents; ``_mails`` says whether the town writes."""

    _db: asyncpg.Connection
    _mails: bool = False

    async def tell(self, message: Message, *, at: datetime) -> Channel | None:
        """Keep a message, and say how it is told; None if its cause was told before.

        Only a notice is spared where the resident wants none of such an amount: what has happened
        to the money is told in any case.
        """
        spared = message.about["amount_minor"] if message.kind is Kind.NOTICE else None
        return await tell(self._db, message, mails=self._mails, at=at, amount_minor=spared)

    async def tell_step(self, before: Debit, after: Debit, *, step_no: int) -> None:
        """Tell what a step of a debit means for its resident, if it means anything."""
        told = {"receipts": 0, "corrections": 0}
        if after.state in TAKEN | FINAL:
            row = await _Q.told_so_far(
                self._db,
                account_id=after.account_id,
                receipts=receipts_of(after),
                corrections=corrections_of(after),
            )
            told = dict(row)
        message = step_message(before, after, step_no=step_no, **told)
        if message is not None:
            await self.tell(message, at=after.changed_at)

    async def tell_refund(self, refund: Refund) -> None:
        """Tell what the state of a refund means for its resident, if it means anything."""
        message = refund_message(refund)
        if message is not None:
            await self.tell(message, at=refund.changed_at)

    async def tell_notice(self, debit: Debit, *, at: datetime) -> datetime | None:
        """Tell the resident of a planned debit; return when he was told, None if not yet.

        Where he reads in the API only, he is told by this transaction.
        """
        notices = await _Q.notices_given(
            self._db, account_id=debit.account_id, bill_no=debit.bill_no, attempt=debit.attempt
        )
        message = notice_message(debit, notices=notices)
        await self.tell(message, at=at)
        told_at: datetime | None = await _Q.delivered_at(
            self._db, account_id=message.account_id, message_id=message.message_id
        )
        return told_at
