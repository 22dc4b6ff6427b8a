"""Where the bank tells us what happened, and what people do about what nobody explains."""

from dataclasses import dataclass, field
from typing import Annotated, Final

from prometheus_client import CollectorRegistry, Counter
from pydantic import Field

from billing.io.bank_events import Hints
from billing.webhook import SIGNATURE_HEADER, AskedHint, signer
from metering.io.route import (
    PAGE_MAX,
    Call,
    Instant,
    Letter,
    Nothing,
    NotThereError,
    PageSize,
    Policy,
    Wire,
    route,
)
from metering.io.wire_desk import Sentence

PAGE_DEFAULT: Final = 100
EventId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["EV000123"])]


class BadSignatureError(Exception):
    """No secret of ours signed this body."""


class Kept(Wire):
    """The delivery is safe with us; ``repeated`` if the very same was so before."""

    repeated: bool


class EventPath(Wire):
    """One event of the bank."""

    event_id: EventId


class EventsQuery(Wire):
    """A page of events, by name."""

    after: EventId | None = None
    limit: PageSize = PAGE_DEFAULT


class NewEventAnswer(Wire):
    """A person's word: done with, or to be looked ``again`` for another while; and why."""

    again: bool
    because: Sentence


class UnexplainedEvent(Wire):
    """An event that led nowhere, and why; ``links`` are the bank's names of what it is about."""

    event_id: EventId
    resource: str
    action: str
    links: dict[str, str]
    trouble: str
    heard_at: Instant


class UnexplainedList(Wire):
    """Events that wait for a person; ``next`` goes on after this page."""

    events: Annotated[list[UnexplainedEvent], Field(max_length=PAGE_MAX)]
    next: EventId | None


class EventAnswered(Wire):
    """What becomes of an event now."""

    event_id: EventId
    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFigures:
    """What /metrics says of deliveries."""

    kept: Counter
    refused: Counter

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "HookFigures":
        """Register the figures once."""
        return cls(
            kept=Counter(
                "aqkol_webhook_deliveries",
                "Signed deliveries of the bank that were kept, and repeats that were counted",
                ("repeated",),
                registry=registry,
            ),
            refused=Counter(
                "aqkol_webhook_refused",
                "Deliveries that no secret of ours had signed",
                registry=registry,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HookApi:
    """The routes of what the bank tells us by itself; ``secrets`` the newest first."""

    hints: Hints
    secrets: tuple[str, ...] = field(repr=False)
    figures: HookFigures

    @route(
        "POST",
        "/v1/bank/webhooks",
        policy=Policy.SIGNED,
        summary="Tell us what happened at the bank",
        tag="bank",
        signature=SIGNATURE_HEADER,
        raises=(BadSignatureError,),
    )
    async def receive_webhook(self, call: Call[Nothing, Nothing, Letter]) -> Kept:
        """Keep a delivery as it came and answer at once; what it means is found out later.

        The signature is checked over the bytes, before anybody looks into them.
        """
        letter = call.body
        number = signer(letter.content, letter.signature, self.secrets)
        if number is None:
            self.figures.refused.inc()
            raise BadSignatureError
        first = await self.hints.keep_delivery(letter.content, signed_by=number, at=call.at)
        self.figures.kept.labels(repeated=str(not first).lower()).inc()
        return Kept(repeated=not first)

    @route(
        "GET",
        "/v1/bank/events/unexplained",
        policy=Policy.OPERATOR,
        summary="List the bank's events that nobody explains",
        tag="bank",
    )
    async def list_unexplained_events(
        self, call: Call[Nothing, EventsQuery, Nothing]
    ) -> UnexplainedList:
        """List events that named what we do not know, or broke our code, for three days."""
        limit = call.query.limit
        found = await self.hints.asked(after=call.query.after or "", limit=limit)
        return UnexplainedList(
            events=[_shown(one) for one in found],
            next=found[-1].event.event_id if len(found) == limit else None,
        )

    @route(
        "POST",
        "/v1/bank/events/{event_id}/answer",
        policy=Policy.OPERATOR,
        summary="Answer an event that nobody explains",
        tag="bank",
        raises=(NotThereError,),
    )
    async def answer_event(self, call: Call[EventPath, Nothing, NewEventAnswer]) -> EventAnswered:
        """Be done with an event for ever, or have it looked at again for three days."""
        found = await self.hints.answer(
            call.path.event_id,
            again=call.body.again,
            answered_by=call.signature,
            because=call.body.because,
            at=call.at,
        )
        if not found:
            raise NotThereError
        return EventAnswered(event_id=call.path.event_id, again=call.body.again)


def _shown(hint: AskedHint) -> UnexplainedEvent:
    return UnexplainedEvent(
        event_id=hint.event.event_id,
        resource=hint.event.resource,
        action=hint.event.action,
        links=dict(hint.event.links),
        trouble=hint.trouble,
        heard_at=hint.heard_at,
    )
