"""The bank as its resources see it: books, clock, profile, and what is planned."""

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from simulators.bank import errors
from simulators.bank.clock import Clock, parse, stamp
from simulators.bank.iban import LENGTH
from simulators.bank.store import Document, Store
from simulators.bank.workdays import KZ, TARGET, Calendar

# 10 bytes are 16 signs: twice told only after about 2**40 ids.
ID_BYTES: Final = 10
# 20 bytes cannot be guessed: the id of a flow is the only key to its page.
FLOW_ID_BYTES: Final = 20

PREFIX: Final[Mapping[str, str]] = MappingProxyType(
    {
        "billing_request_flows": "BRF",
        "billing_requests": "BRQ",
        "creditors": "CR",
        "customer_bank_accounts": "BA",
        "customer_notifications": "PCN",
        "customers": "CU",
        "events": "EV",
        "mandates": "MD",
        "payments": "PM",
        "payout_items": "PI",
        "payouts": "PO",
        "refunds": "RF",
        "webhooks": "WB",
    }
)

# The setting that holds a conducted clock over a restart.
CLOCK: Final = "clock"
# The payer's bank wants to know of a debit one working day before it takes the money.
LEAD_WORKING_DAYS: Final = 1
# One wait for the disk per this many steps; a crash repeats at most so many, identically.
BATCH_STEPS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A country's rail: its currency, scheme and accounts, and how fast mandates live."""

    name: str
    currency: str
    scheme: str
    countries: frozenset[str]
    language: str
    mandate_days: int
    calendar: Calendar
    # What a payment costs the creditor: a part of the amount and something fixed, up to a most.
    fee_basis_points: int
    fee_fixed_minor: int
    fee_minor_max: int
    # Working days from the sending of a payout to its arrival.
    payout_days: int
    # A mandate under which nothing was asked for so long expires.
    dormancy: timedelta


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "mock-kz": Profile(
            name="mock-kz",
            currency="KZT",
            scheme="kz_direct",
            countries=frozenset({"KZ"}),
            language="kk",
            mandate_days=0,
            calendar=KZ,
            fee_basis_points=100,
            fee_fixed_minor=0,
            fee_minor_max=50_000,
            payout_days=0,
            dormancy=timedelta(days=396),
        ),
        "sandbox-sepa": Profile(
            name="sandbox-sepa",
            currency="EUR",
            scheme="sepa_core",
            countries=frozenset(LENGTH) - {"KZ"},
            language="en",
            mandate_days=2,
            calendar=TARGET,
            fee_basis_points=100,
            fee_fixed_minor=20,
            fee_minor_max=400,
            payout_days=1,
            dormancy=timedelta(days=3 * 365),
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Why an event happened, in the contract's words."""

    origin: str
    cause: str
    description: str
    reason_code: str | None = None
    will_attempt_retry: bool | None = None
    not_retried_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What an event carries beyond the usual of its step."""

    details: Details | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


NOTHING: Final = Note()

Advance = Callable[["Bank", Document, Note], None]


@dataclass(slots=True, kw_only=True)
class Bank:
    """Everything a resource needs; `at` is the instant of the business being done."""

    store: Store
    clock: Clock
    profile: Profile
    public_url: str
    creditor_id: str
    salt: str
    at: datetime
    steps: Mapping[tuple[str, str], Advance] = field(default_factory=dict)
    # Whether somebody wants to be told of events, and each goes into the outbox.
    posts: bool = False

    def new_id(self, kind: str) -> str:
        """Return an id nobody can guess, with the prefix of its kind."""
        size = FLOW_ID_BYTES if kind == "billing_request_flows" else ID_BYTES
        return PREFIX[kind] + base64.b32encode(secrets.token_bytes(size)).decode()

    def create(self, kind: str, body: Document) -> Document:
        """Write down a new resource, giving it an id and the present instant."""
        document = {"id": self.new_id(kind), "created_at": stamp(self.at), **body}
        self.store.add(kind, document)
        return document

    def find(self, kind: str, resource_id: str) -> Document:
        """Return a resource.

        :raises BankError: 404 when there is none.
        """
        document = self.store.get(kind, resource_id)
        if document is None:
            raise errors.not_found()
        return document

    def tell(
        self, kind: str, document: Document, action: str, usual: Details, note: Note = NOTHING
    ) -> Document:
        """Write down an event about a resource and return it."""
        details = note.details or usual
        told: dict[str, Any] = {
            "origin": details.origin,
            "cause": details.cause,
            "description": details.description,
        }
        if "scheme" in document:
            told["scheme"] = document["scheme"]
        if details.reason_code is not None:
            told["reason_code"] = details.reason_code
        if details.will_attempt_retry is not None:
            told["will_attempt_retry"] = details.will_attempt_retry
        if details.not_retried_reason is not None:
            told["not_retried_reason"] = details.not_retried_reason
        source = "api" if details.origin == "api" else "gc_team"
        event = self.create(
            "events",
            {
                "resource_type": kind,
                "action": action,
                "details": told,
                "links": {singular(kind): document["id"], **note.links},
                "metadata": dict(note.metadata),
                "resource_metadata": document.get("metadata", {}),
                "customer_notifications": [],
                "source": {"name": "aqkol mock bank", "type": source},
            },
        )
        if self.posts:
            self.store.post(event["id"])
        return event

    def plan(self, kind: str, document: Document, step: str, due_at: datetime) -> None:
        """Put a step of a resource's life on the agenda."""
        self.store.plan(due_at=stamp(due_at), kind=kind, resource_id=document["id"], step=step)

    def take(self, kind: str, document: Document, step: str, note: Note = NOTHING) -> None:
        """Take a step of a resource's life now; its own file knows how."""
        self.steps[kind, step](self, document, note)

    def catch_up(self, until: datetime) -> int:
        """Do everything due by `until`, each step at its own instant; returns how many."""
        done = 0
        while batch := self._work_off(stamp(until)):
            done += batch
        self.at = until
        return done

    def _work_off(self, until: str) -> int:
        """Do the next steps in one transaction, and move a conducted clock along with them."""
        done = 0
        step = self.store.next_step(until)
        if step is None:
            return done
        with self.store.transaction():
            while step is not None and done < BATCH_STEPS:
                self.at = parse(step.due_at)
                self.store.strike(step.agenda_id)
                document = self.store.get(step.kind, step.resource_id)
                if document is not None:
                    self.take(step.kind, document, step.step)
                done += 1
                step = self.store.next_step(until)
            if self.clock.conducted:
                self.store.set(CLOCK, stamp(self.at))
        return done

    def earliest_charge_day(self) -> date:
        """Return the earliest day a payment asked for now may be charged."""
        calendar = self.profile.calendar
        return calendar.after(calendar.file_day(self.at), LEAD_WORKING_DAYS)

    def days_on(self, working_days: int) -> date:
        """Return the day so many working days after today."""
        return self.profile.calendar.after(self.at.date(), working_days)


def singular(kind: str) -> str:
    """Return the name under which other resources link to one of this kind."""
    return kind.removesuffix("s")


def shown(document: Document) -> Document:
    """Return the document without what the bank keeps to itself."""
    return {name: value for name, value in document.items() if name != "hidden"}
