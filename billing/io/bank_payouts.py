"""The bank's payouts and their items over HTTP, read page by page.

Read like everything of the bank's: what we rely on strictly, nothing else of it at all.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from billing.bank import BankGarbledError
from billing.io.bank_wire import AMOUNT_MAX, Name, Word, day_of, kept
from billing.payout import Payout, PayoutItem, PayoutStatus, tenths

PAGE_LIMIT: Final = 500

_STATUS: Final = {status.value: status for status in PayoutStatus}


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class _Payout(_Wire):
    id: Name
    status: Word
    amount: Annotated[int, Field(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
    deducted_fees: Annotated[int, Field(ge=-AMOUNT_MAX, le=AMOUNT_MAX)] = 0
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    reference: Annotated[str, Field(max_length=140)] | None = None
    arrival_date: str | None = None
    created_at: Annotated[AwareDatetime, Field(strict=False)]

    def ours(self) -> Payout:
        """Return the payout in our own words; without a reference its own name is one."""
        return Payout(
            payout_id=self.id,
            status=_STATUS.get(self.status),
            amount_minor=self.amount,
            fees_minor=self.deducted_fees,
            currency=self.currency,
            reference=kept(self.reference or self.id),
            arrival_on=day_of(self.arrival_date),
            created_at=self.created_at,
        )


class _ItemLinks(_Wire):
    payment: Name | None = None
    refund: Name | None = None


class _Item(_Wire):
    type: Word
    amount: Annotated[str, Field(max_length=24)]
    links: _ItemLinks | None = None

    def ours(self) -> PayoutItem:
        """Return the item in our own words.

        Raises:
            ValueError: its amount cannot be read exactly.
        """
        links = self.links or _ItemLinks()
        return PayoutItem(
            kind=kept(self.type),
            amount_tenths=tenths(self.amount),
            payment_id=links.payment,
            refund_id=links.refund,
        )


class _Cursors(_Wire):
    after: Name | None = None


class _Meta(_Wire):
    cursors: _Cursors = _Cursors()


class _PayoutsBody(_Wire):
    payouts: list[_Payout]
    meta: _Meta = _Meta()


class _ItemsBody(_Wire):
    payout_items: list[_Item]
    meta: _Meta = _Meta()


def payouts(body: bytes) -> tuple[list[Payout], str | None]:
    """Read a page of payouts, and the cursor of the next one.

    Raises:
        BankGarbledError: it is not one, or a payout lacks what we rely on.
    """
    try:
        page = _PayoutsBody.model_validate_json(body)
    except ValidationError:
        raise BankGarbledError("garbled") from None
    return [one.ours() for one in page.payouts], page.meta.cursors.after


def payout_items(body: bytes) -> tuple[list[PayoutItem], str | None]:
    """Read a page of items of a payout, and the cursor of the next one.

    Raises:
        BankGarbledError: it is not one, or an item cannot be read exactly.
    """
    try:
        page = _ItemsBody.model_validate_json(body)
        return [one.ours() for one in page.payout_items], page.meta.cursors.after
    except ValueError:
        raise BankGarbledError("garbled") from None


class PayoutReader(ABC):
    """What a client of the bank can say of payouts, once it can ask for a page."""

    @abstractmethod
    async def _page(self, path: str, query: Mapping[str, str]) -> bytes:
        """Return the body of a page, or raise BankError."""

    async def list_payouts(self, *, created_from: datetime) -> AsyncIterator[Payout]:
        """Read the payouts made since an instant, newest first.

        Raises:
            BankError: the bank does not tell; the list may have begun already.
        """
        since = created_from.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = {"limit": str(PAGE_LIMIT), "created_at[gte]": since}
        while True:
            found, after = payouts(await self._page("/payouts", query))
            for payout in found:
                yield payout
            if after is None or after == query.get("after"):
                return
            query["after"] = after

    async def list_payout_items(self, payout_id: str) -> tuple[PayoutItem, ...]:
        """Read all items of a payout.

        Raises:
            BankError: the bank does not tell all of them.
        """
        query = {"limit": str(PAGE_LIMIT), "payout": payout_id}
        items: list[PayoutItem] = []
        while True:
            found, after = payout_items(await self._page("/payout_items", query))
            items.extend(found)
            if after is None or after == query.get("after"):
                return tuple(items)
            query["after"] = after
