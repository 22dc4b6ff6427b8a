"""The simulated bank without its door: its operations and its calendar, in this process.

What stands between the network and the bank is tested on real sockets; what the bank makes of a
request needs none, and then a year of a town takes a second.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from simulators.bank import errors
from simulators.bank.fields import Fields
from simulators.bank.operation import Call, Operation
from simulators.bank.server import OPERATIONS
from simulators.bank.wire import Text
from simulators.bank.world import Bank


def at(day: int, month: int = 1, hour: int = 0, year: int = 2026) -> datetime:
    """Return an hour of a day."""
    return datetime(year, month, day, hour, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Somebody who asks the bank and moves its clock; `iban` is a payer's account."""

    bank: Bank
    iban: str

    @property
    def currency(self) -> str:
        """The bank's one currency."""
        return self.bank.profile.currency

    async def advance(self, to: datetime) -> None:
        """Move the bank's clock; everything due on the way happens at its instant."""
        self.bank.clock.move(to)
        self.bank.catch_up(to)

    async def api(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Carry one operation out in one transaction and return status and envelope."""
        target, _, query = path.partition("?")
        operation, identity = _operation(method, target)
        inside = (body or {}).get(operation.envelope, {}) if isinstance(body, dict) else {}
        call = Call(
            identity=identity,
            fields=Fields(inside, f"/{operation.envelope}"),
            query=dict(parse_qsl(query)),
        )
        self.bank.catch_up(self.bank.clock.now())
        try:
            with self.bank.store.transaction():
                result = operation.run(self.bank, call)
        except errors.BankError as refusal:
            return refusal.code, refusal.envelope("test")
        if result is None:
            return 204, {}
        if isinstance(result, Text):
            result = result.document()
        return (201 if operation.creates else 200), (
            result if operation.lists else {operation.kind: result}
        )

    async def mandate(
        self, *, given_name: str = "Aigul", constraints: dict[str, Any] | None = None
    ) -> str:
        """Return the id of a fresh mandate, agreed to step by step."""
        asked = {"mandate_request": {"currency": self.currency, "constraints": constraints or {}}}
        _, made = await self.api("POST", "/billing_requests", {"billing_requests": asked})
        path = f"/billing_requests/{made['billing_requests']['id']}/actions"
        person = {"given_name": given_name, "family_name": "Nurlanova"}
        for action, data in (
            ("collect_customer_details", {"customer": person}),
            ("collect_bank_account", {"account_holder_name": given_name, "iban": self.iban}),
            ("confirm_payer_details", {}),
        ):
            await self.api("POST", f"{path}/{action}", {"data": data})
        _, done = await self.api("POST", f"{path}/fulfil")
        mandate_id: str = done["billing_requests"]["links"]["mandate_request_mandate"]
        return mandate_id

    async def ask(self, mandate_id: str, **fields: object) -> tuple[int, dict[str, Any]]:
        """Ask for 1 000,00 on Monday, 12 January; returns the payment, or the refusal's items."""
        asked = {
            "amount": 100_000,
            "currency": self.currency,
            "charge_date": "2026-01-12",
            "links": {"mandate": mandate_id},
        }
        status, made = await self.api("POST", "/payments", {"payments": asked | fields})
        return status, made["payments"] if status == 201 else made["error"]

    async def pay(self, given_name: str = "Aigul", **fields: object) -> str:
        """Ask a new payer for a payment and return its id."""
        status, made = await self.ask(await self.mandate(given_name=given_name), **fields)
        assert status == 201, made
        payment_id: str = made["id"]
        return payment_id

    async def read(self, kind: str, resource_id: str) -> dict[str, Any]:
        """Return one resource."""
        _, found = await self.api("GET", f"/{kind}/{resource_id}")
        resource: dict[str, Any] = found[kind]
        return resource

    async def act(
        self, kind: str, resource_id: str, action: str, **data: object
    ) -> tuple[int, dict[str, Any]]:
        """Take an action on a resource; returns it, or the first item of the refusal."""
        path = f"/{kind}/{resource_id}/actions/{action}"
        status, found = await self.api("POST", path, {"data": data})
        return status, found[kind] if status == 200 else found["error"]["errors"][0]

    async def simulate(self, name: str, resource_id: str) -> int:
        """Run a scenario and return the status of the answer."""
        links = {"resource": resource_id}
        status, _ = await self.act("scenario_simulators", name, "run", links=links)
        return status

    async def told(self, **query: str) -> list[str]:
        """Return day, hour and action of the events that match, oldest first."""
        return [
            f"{event['created_at'][8:13]} {event['action']}" for event in await self.events(**query)
        ]

    async def events(self, **query: str) -> list[dict[str, Any]]:
        """Return the events that match, oldest first."""
        text = "&".join(f"{name}={value}" for name, value in query.items())
        _, page = await self.api("GET", f"/events?limit=500&{text}")
        return list(reversed(page["events"]))

    async def payouts(self) -> list[dict[str, Any]]:
        """Return all payouts, oldest first."""
        _, page = await self.api("GET", "/payouts?limit=500")
        return list(reversed(page["payouts"]))

    async def items(self, payout_id: str) -> list[tuple[str, str]]:
        """Return (type, amount) of the items of a payout, oldest first."""
        _, page = await self.api("GET", f"/payout_items?payout={payout_id}&limit=500")
        return [(item["type"], item["amount"]) for item in reversed(page["payout_items"])]

    async def balances(self) -> dict[str, int]:
        """Return the three balances."""
        _, page = await self.api("GET", "/balances")
        return {balance["balance_type"]: balance["amount"] for balance in page["balances"]}

    async def give_back(
        self, payment_id: str, amount: int, total: int
    ) -> tuple[int, dict[str, Any]]:
        """Ask for a refund; returns it, or the first item of the refusal."""
        asked = {
            "amount": amount,
            "total_amount_confirmation": total,
            "links": {"payment": payment_id},
        }
        status, made = await self.api("POST", "/refunds", {"refunds": asked})
        return status, made["refunds"] if status == 201 else made["error"]["errors"][0]


def _operation(method: str, path: str) -> tuple[Operation, str]:
    for operation in OPERATIONS:
        pattern = operation.path.replace("{identity}", "([^/]+)")
        found = re.fullmatch(pattern, path)
        if found and operation.method == method:
            return operation, found[1] if found.groups() else ""
    raise AssertionError(f"no operation {method} {path}")


OpenBank = Callable[[str], Teller]
