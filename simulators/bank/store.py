"""The bank's books: documents in one SQLite file, durable before they are answered."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiosql

Document = dict[str, Any]

_Q: Final = aiosql.from_path(Path(__file__).with_name("bank.sql"), "sqlite3")

# An edge beyond every sequence number SQLite can give out.
SEQ_END: Final = 2**63 - 1
# An instant after every other: whoever reads until then sees everything.
ALL: Final = "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A thing to do to a resource at an instant."""

    agenda_id: int
    due_at: str
    kind: str
    resource_id: str
    step: str


class Store:
    """One connection, used from one thread; calls are short and run in line."""

    def __init__(self, path: Path) -> None:
        # Tells the instant of the business being done; the bank that owns the books sets it.
        self.now: Callable[[], str] = lambda: ""
        self._seen_until = ALL
        self._shift = 0
        # Nothing on the agenda is due before; not known where it is empty.
        self._idle_until = ""
        self._connection = sqlite3.connect(path, isolation_level="IMMEDIATE")
        _Q.create_schema(self._connection)

    def close(self) -> None:
        """Close the file; everything committed is in it already."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all of the block, or nothing of it when it raises."""
        try:
            with self._connection:
                yield
        except BaseException:
            self._idle_until = ""
            raise

    @contextmanager
    def seen_until(self, instant: str) -> Iterator[None]:
        """Read the books as they were at an instant, as a replica that lags does."""
        self._seen_until = instant
        try:
            yield
        finally:
            self._seen_until = ALL

    @contextmanager
    def shifted(self) -> Iterator[None]:
        """Begin pages one row early, as pages do that are counted while rows come in."""
        self._shift = 1
        try:
            yield
        finally:
            self._shift = 0

    def add(self, kind: str, document: Document) -> None:
        """Write down a new document, which carries its id and created_at."""
        _Q.insert_resource(
            self._connection,
            resource_id=document["id"],
            kind=kind,
            created_at=document["created_at"],
            body=json.dumps(document),
        )

    def put(self, document: Document) -> None:
        """Write down what a document has become."""
        _Q.update_resource(
            self._connection,
            resource_id=document["id"],
            body=json.dumps(document),
            changed_at=self.now(),
        )

    def remove(self, resource_id: str) -> None:
        """Hide a document from every answer."""
        _Q.remove_resource(self._connection, resource_id=resource_id)

    def get(self, kind: str, resource_id: str) -> Document | None:
        """Return the document, or None when there is none of this kind and id."""
        body = _Q.resource_body(
            self._connection, kind=kind, resource_id=resource_id, seen_until=self._seen_until
        )
        return None if body is None else _document(body)

    def seq(self, kind: str, resource_id: str) -> int | None:
        """Return the place of a document in its lists, or None when there is none."""
        seq: int | None = _Q.resource_seq(self._connection, kind=kind, resource_id=resource_id)
        return seq

    def page(
        self, kind: str, *, newer: bool, edge_seq: int, rows: int, where: Mapping[str, Any] | None
    ) -> list[str]:
        """Return up to `rows` bodies on one side of an edge, nearest to the edge first.

        Without ``where`` they are of the whole list, which is what most readers want.
        """
        if where is None:
            read, where = (_Q.whole_newer if newer else _Q.whole_older), {}
        else:
            read = _Q.page_newer if newer else _Q.page_older
        if self._shift and edge_seq != SEQ_END:
            edge_seq += -self._shift if newer else self._shift
        found = read(
            self._connection,
            kind=kind,
            edge_seq=edge_seq,
            rows=rows,
            seen_until=self._seen_until,
            **where,
        )
        return [body for (body,) in found]

    def accounts_of(self, customer_id: str) -> list[Document]:
        """Return a customer's bank accounts."""
        found = _Q.accounts_of_customer(self._connection, customer=customer_id)
        return [_document(body) for (body,) in found]

    def open_requests_of(self, customer_id: str) -> list[Document]:
        """Return the billing requests to a customer that wait for an answer."""
        found = _Q.open_requests_of_customer(self._connection, customer=customer_id)
        return [_document(body) for (body,) in found]

    def mandates_of(self, account_id: str) -> list[Document]:
        """Return the mandates on a bank account."""
        found = _Q.mandates_of_account(self._connection, account=account_id)
        return [_document(body) for (body,) in found]

    def payments_of(self, mandate_id: str) -> list[Document]:
        """Return the payments under a mandate."""
        found = _Q.payments_of_mandate(self._connection, mandate=mandate_id)
        return [_document(body) for (body,) in found]

    def last_payment_at(self, mandate_id: str) -> str | None:
        """Return when the last payment under a mandate was asked for, or None."""
        found: str | None = _Q.last_payment_at(self._connection, mandate=mandate_id)
        return found

    def refunds_of(self, payment_id: str) -> list[Document]:
        """Return the refunds of a payment."""
        found = _Q.refunds_of_payment(self._connection, payment=payment_id)
        return [_document(body) for (body,) in found]

    def items_about(self, payment_id: str) -> list[Document]:
        """Return the payout items that tell of a payment, settled or not."""
        found = _Q.items_about_payment(self._connection, payment=payment_id)
        return [_document(body) for (body,) in found]

    def items_of(self, payout_id: str) -> list[Document]:
        """Return the items of a payout."""
        return [_document(body) for (body,) in _Q.items_of(self._connection, payout=payout_id)]

    def unsettled(self, before: str) -> list[Document]:
        """Return the items that no payout has taken and that are older than an instant."""
        return [_document(body) for (body,) in _Q.unsettled(self._connection, before=before)]

    def amount_of(self, kind: str, status: str) -> int:
        """Return the sum of the amounts of a kind in one state."""
        amount: int = _Q.amount_of(self._connection, kind=kind, status=status)
        return amount

    def everything(self, kind: str) -> list[Document]:
        """Return all documents of a kind, oldest first, for the checkers."""
        return [_document(body) for (body,) in _Q.everything(self._connection, kind=kind)]

    def count_of(self, kind: str) -> int:
        """Return how many documents of a kind were ever written."""
        count: int = _Q.count_of(self._connection, kind=kind)
        return count

    def account_with(self, customer_id: str, fingerprint: str) -> str | None:
        """Return the id of the customer's enabled account with this number, if any."""
        found: str | None = _Q.account_by_fingerprint(
            self._connection, customer=customer_id, fingerprint=fingerprint
        )
        return found

    def charged_between(self, mandate_id: str, day_from: str, day_to: str) -> tuple[int, int]:
        """Return how many living payments a mandate has on those days, and their sum."""
        count, amount = _Q.charged_between(
            self._connection, mandate=mandate_id, day_from=day_from, day_to=day_to
        )
        return count, amount

    def plan(self, *, due_at: str, kind: str, resource_id: str, step: str) -> None:
        """Put a step on the agenda."""
        self._idle_until = min(self._idle_until, due_at)
        _Q.plan_step(self._connection, due_at=due_at, kind=kind, resource_id=resource_id, step=step)

    def planned(self, resource_id: str, step: str, due_at: str) -> bool:
        """Say whether this very step is on the agenda already."""
        found: int | None = _Q.planned_step(
            self._connection, resource_id=resource_id, step=step, due_at=due_at
        )
        return found is not None

    def next_step(self, until: str) -> Step | None:
        """Return the earliest step due by `until`, or None."""
        if until < self._idle_until:
            return None
        row = _Q.next_step(self._connection)
        if row is None or row[1] > until:
            self._idle_until = ALL if row is None else row[1]
            return None
        agenda_id, due_at, kind, resource_id, step = row
        return Step(
            agenda_id=agenda_id, due_at=due_at, kind=kind, resource_id=resource_id, step=step
        )

    def strike(self, agenda_id: int) -> None:
        """Take one step off the agenda."""
        _Q.strike_step(self._connection, agenda_id=agenda_id)

    def strike_all(self, resource_id: str, but: str = "") -> None:
        """Take every step of a resource off the agenda, or every one but one."""
        _Q.strike_all(self._connection, resource_id=resource_id, but=but)

    def newest(self, kind: str, other_than: str = "") -> str | None:
        """Return the id of the newest document of a kind beside one, or None."""
        found: str | None = _Q.newest(self._connection, kind=kind, other_than=other_than)
        return found

    def remember_key(self, operation: str, key: str, resource_id: str, spent_at: str) -> None:
        """Spend an idempotency key."""
        _Q.remember_key(
            self._connection,
            operation=operation,
            idempotency_key=key,
            resource_id=resource_id,
            spent_at=spent_at,
        )

    def recall_key(self, operation: str, key: str, since: str) -> str | None:
        """Return the id of what an idempotency key has made after an instant, or None."""
        found: str | None = _Q.recall_key(
            self._connection, operation=operation, idempotency_key=key, since=since
        )
        return found

    def forget_key(self, operation: str, key: str) -> None:
        """Forget an idempotency key."""
        _Q.forget_key(self._connection, operation=operation, idempotency_key=key)

    def post(self, event_id: str) -> None:
        """Put an event into the outbox."""
        _Q.post_event(self._connection, event_id=event_id)

    def posted(self, rows: int) -> list[Document]:
        """Return the events that stand in no webhook yet, oldest first."""
        return [_document(body) for (body,) in _Q.posted_events(self._connection, rows=rows)]

    def unpost(self, event_id: str) -> None:
        """Take an event out of the outbox."""
        _Q.unpost_event(self._connection, event_id=event_id)

    def plan_delivery(self, webhook_id: str, due_at: str, tries: int) -> None:
        """Say when a webhook is to be delivered next."""
        _Q.plan_delivery(self._connection, webhook_id=webhook_id, due_at=due_at, tries=tries)

    def end_delivery(self, webhook_id: str) -> None:
        """Forget a delivery that arrived or was given up."""
        _Q.end_delivery(self._connection, webhook_id=webhook_id)

    def due_deliveries(self, until: str) -> list[tuple[str, int]]:
        """Return (webhook, tries) for what is to be delivered by now, oldest webhook first."""
        return [(row[0], row[1]) for row in _Q.due_deliveries(self._connection, until=until)]

    def on_their_way(self) -> tuple[int, int]:
        """Return how many events and how many webhooks have not arrived yet."""
        events, webhooks = _Q.count_deliveries(self._connection)
        return events, webhooks

    def oldest(self, kind: str) -> Document | None:
        """Return the oldest document of a kind."""
        body: str | None = _Q.oldest(self._connection, kind=kind)
        return None if body is None else _document(body)

    def debited(self, account_id: str) -> list[tuple[Document, str]]:
        """Return (item, when) for what an account bore outside of any payout, oldest first."""
        found = _Q.debited(self._connection, account=account_id)
        return [(_document(body), changed_at) for body, changed_at in found]

    def setting(self, name: str) -> str | None:
        """Return one fact about the bank, or None when it was never written."""
        value: str | None = _Q.read_setting(self._connection, name=name)
        return value

    def set(self, name: str, value: str) -> None:
        """Keep one fact about the bank."""
        _Q.write_setting(self._connection, name=name, value=value)


def _document(body: str) -> Document:
    document: Document = json.loads(body)
    return document
