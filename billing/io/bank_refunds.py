"""The bank's refunds over HTTP: ordered like a payment, read page by page.

Read like everything of the bank's: what we rely on strictly, nothing else of it at all.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from billing.bank import (
    BankGarbledError,
    BankRefund,
    Made,
    NotMade,
    RefundAnswer,
    RefundStatus,
    Unknown,
)
from billing.io.bank_wire import AMOUNT_MAX, Name, Word, demand_named, kept

PAGE_LIMIT: Final = 500

_STATUS: Final = {status.value: status for status in RefundStatus}


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class _Links(_Wire):
    payment: Name


class _Refund(_Wire):
    id: Name
    status: Word | None = None
    amount: Annotated[int, Field(ge=1, le=AMOUNT_MAX)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    links: _Links
    metadata: dict[str, Any] | None = None

    def ours(self) -> BankRefund:
        """Return the refund in our own words."""
        intent = (self.metadata or {}).get("intent")
        return BankRefund(
            refund_id=self.id,
            status=_STATUS.get(self.status or ""),
            amount_minor=self.amount,
            currency=self.currency,
            payment_id=self.links.payment,
            intent=kept(intent) if isinstance(intent, str) else None,
        )


class _Cursors(_Wire):
    after: Name | None = None


class _Meta(_Wire):
    cursors: _Cursors = _Cursors()


class _RefundBody(_Wire):
    refunds: _Refund


class _RefundsBody(_Wire):
    refunds: list[_Refund]
    meta: _Meta = _Meta()


def refund(body: bytes) -> BankRefund:
    """Read one refund.

    Raises:
        BankGarbledError: it is not one, or lacks what we rely on.
    """
    try:
        return _RefundBody.model_validate_json(body).refunds.ours()
    except ValidationError:
        raise BankGarbledError("garbled") from None


def refunds(body: bytes) -> tuple[list[BankRefund], str | None]:
    """Read a page of refunds, and the cursor of the next one.

    Raises:
        BankGarbledError: it is not one, or a refund lacks what we rely on.
    """
    try:
        page = _RefundsBody.model_validate_json(body)
    except ValidationError:
        raise BankGarbledError("garbled") from None
    return [one.ours() for one in page.refunds], page.meta.cursors.after


class RefundCalls(ABC):
    """What a client of the bank can do with refunds, once it can order, read and ask for a page."""

    @abstractmethod
    async def _order(self, path: str, body: bytes, key: str) -> bytes | NotMade:
        """Give the bank an order; return the body of what it made, or what else became of it."""

    @abstractmethod
    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> bytes | None:
        """Return the body of a resource, None if there is none, or raise BankError."""

    @abstractmethod
    async def _page(self, path: str, query: Mapping[str, str]) -> bytes:
        """Return the body of a page, or raise BankError."""

    async def create_refund(self, body: bytes, key: str) -> RefundAnswer:
        """Give the bank an order to pay back under a key, exactly these bytes, exactly once.

        Nothing is raised for what the bank or the network does: it is one of the answers.
        """
        made = await self._order("/refunds", body, key)
        if not isinstance(made, bytes):
            return made
        try:
            return Made(refund=refund(made))
        except BankGarbledError:
            return Unknown(reason="garbled")

    async def get_refund(self, refund_id: str) -> BankRefund | None:
        """Read a refund; None if the bank has none of this name.

        Raises:
            BankError: the bank does not tell.
        """
        body = await self._get(f"/refunds/{refund_id}")
        if body is None:
            return None
        found = refund(body)
        demand_named(found.refund_id, refund_id)
        return found

    async def list_refunds(self, *, payment_id: str | None) -> AsyncIterator[BankRefund]:
        """Read all refunds, newest first; those of one payment, if it is given.

        Raises:
            BankError: the bank does not tell; the list may have begun already.
        """
        query = {"limit": str(PAGE_LIMIT)}
        if payment_id is not None:
            query["payment"] = payment_id
        while True:
            found, after = refunds(await self._page("/refunds", query))
            for one in found:
                yield one
            if after is None or after == query.get("after"):
                return
            query["after"] = after
