"""Telling: a message is kept in the transaction of its cause, so none is without the other."""

import json
from datetime import datetime
from typing import Final

import asyncpg

import sql
from billing.message import Channel, Message

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
