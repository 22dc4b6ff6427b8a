"""The public status line: how the debits go, and what went wrong by our fault, in numbers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

import asyncpg
from pydantic import Field

import sql
from billing.refund import Cause, RefundState
from metering.io.route import Call, Instant, Nothing, Policy, Wire, route

_Q: Final = sql.queries("status")

# As far back as people look who ask whether it was them.
MISTAKES_FOR: Final = timedelta(days=30)
# What was taken and should not have been; a change of mind is nobody's mistake.
OURS: Final = frozenset({Cause.OVERCHARGED, Cause.DOUBLE_DEBIT, Cause.WRONG_DEBIT})
_GIVEN_BACK: Final = frozenset({RefundState.PAID, RefundState.SETTLED})


class MistakesShown(Wire):
    """Debits that were our mistake in the last 30 days, and what went back already."""

    accounts_affected: int
    refunds: int
    refunds_paid: int
    last_paid_at: Instant | None


class StatusShown(Wire):
    """How the debits go: a sentence for people, and its numbers."""

    line: Annotated[str, Field(description="one or two sentences in English")]
    debits_stopped_since: Instant | None
    messages_waiting_since: Instant | None
    mistakes: MistakesShown


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusApi:
    """The route of the status line; it names nobody."""

    pool: asyncpg.Pool

    @route(
        "GET",
        "/v1/status",
        policy=Policy.PUBLIC,
        summary="How do the debits go?",
        tag="service",
    )
    async def show_status(self, call: Call[Nothing, Nothing, Nothing]) -> StatusShown:
        """Say whether debits are stopped, and how many were hit by our mistakes and when repaid."""
        row = await _Q.public_status(
            self.pool,
            since=call.at - MISTAKES_FOR,
            ours=sorted(OURS),
            given_back=sorted(_GIVEN_BACK),
        )
        mistakes = MistakesShown(
            accounts_affected=row["accounts"],
            refunds=row["refunds"],
            refunds_paid=row["given_back"],
            last_paid_at=row["last_given_back_at"],
        )
        return StatusShown(
            line=status_line(mistakes, stopped_at=row["stopped_at"]),
            debits_stopped_since=row["stopped_at"],
            messages_waiting_since=row["waiting_since"],
            mistakes=mistakes,
        )


def status_line(mistakes: MistakesShown, *, stopped_at: datetime | None) -> str:
    """Return the line: what goes, what went wrong, and how far it was made good."""
    if stopped_at is None:
        runs = "Debits run."
    else:
        runs = (
            f"Debits are stopped since {stopped_at:%Y-%m-%d %H:%M} UTC: nothing new is asked of the"
            " bank, and what it had before goes on."
        )
    if not mistakes.refunds:
        return f"{runs} No mistakes of ours in the last {MISTAKES_FOR.days} days."
    last = mistakes.last_paid_at
    until = "" if last is None else f", the last on {last:%Y-%m-%d %H:%M} UTC"
    return (
        f"{runs} In the last {MISTAKES_FOR.days} days too much was taken from"
        f" {mistakes.accounts_affected} accounts by our mistake;"
        f" {mistakes.refunds_paid} of {mistakes.refunds} refunds were paid{until}."
    )
