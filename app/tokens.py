"""Tokens: made here once, kept as a digest only, checked on every request.

A token is 32 random bytes, so its SHA-256 needs no salt and no slow hash: there is nothing to
guess. A stolen copy of the table opens nothing.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import structlog

import sql
from metering.io.route import Caller, Role

_Q: Final = sql.queries("tokens")
_SHAPE: Final = re.compile(r"aq_[A-Za-z0-9_-]{43}", re.ASCII)

# Longer than any person keeps a browser open; a stolen one dies within the season.
LIFETIME_MAX: Final = timedelta(days=400)

log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A token in the only moment in which anybody can read it."""

    token: str
    role: Role
    account_id: str | None
    expires_at: datetime


def digest_of(token: str) -> bytes:
    """Return what we keep of a token: its SHA-256."""
    return hashlib.sha256(token.encode()).digest()


async def issue_token(  # noqa: PLR0913 - the columns of one row
    pool: asyncpg.Pool,
    *,
    role: Role,
    account_id: str | None,
    label: str,
    at: datetime,
    lifetime: timedelta,
) -> IssuedToken:
    """Make a token and keep its digest.

    Raises:
        ValueError: a resident without an account, an operator with one, or a lifetime out of range.
    """
    caller = Caller(role=role, account_id=account_id)
    if not timedelta(0) < lifetime <= LIFETIME_MAX:
        raise ValueError(f"a token lives up to {LIFETIME_MAX.days} days")
    token = "aq_" + secrets.token_urlsafe(32)
    async with pool.acquire() as conn:
        await _Q.keep_token(
            conn,
            token_digest=digest_of(token),
            role=caller.role.value,
            account_id=caller.account_id,
            label=label,
            created_at=at,
            expires_at=at + lifetime,
        )
    log.info("token.issued", role=role.value, account_id=account_id)
    return IssuedToken(token=token, role=role, account_id=account_id, expires_at=at + lifetime)


async def caller_of(pool: asyncpg.Pool, token: str, at: datetime) -> Caller | None:
    """Return whose token this is; None when it is wrong, expired or taken back."""
    if _SHAPE.fullmatch(token) is None:
        return None
    digest = digest_of(token)
    async with pool.acquire() as conn:
        row = await _Q.find_token(conn, token_digest=digest)
    if row is None or not hmac.compare_digest(row["token_digest"], digest):
        return None
    if row["revoked_at"] is not None or row["expires_at"] <= at:
        return None
    return Caller(role=Role(row["role"]), account_id=row["account_id"], label=row["label"])


async def revoke_token(pool: asyncpg.Pool, token: str, at: datetime) -> bool:
    """Take one token back from now on; False when there was nothing to take back."""
    async with pool.acquire() as conn:
        status = await _Q.revoke_token(conn, token_digest=digest_of(token), at=at)
    return _count(status) > 0


async def revoke_account_tokens(pool: asyncpg.Pool, account_id: str, at: datetime) -> int:
    """Take back every working token of one account; return how many."""
    async with pool.acquire() as conn:
        status = await _Q.revoke_account_tokens(conn, account_id=account_id, at=at)
    log.info("token.revoked", account_id=account_id, count=_count(status))
    return _count(status)


def _count(status: Any) -> int:  # noqa: ANN401 - the driver's answer has no type
    return int(str(status).rsplit(" ", 1)[-1])
