"""The control listener: for those who conduct the bank and check its books, not for clients."""

from collections import Counter
from typing import Any, Final

from aiohttp import web

from simulators.bank.clock import ClockBackwardsError, parse, stamp
from simulators.bank.faults import BadFaultError, Faults
from simulators.bank.store import Document
from simulators.bank.wire import REQUEST_BYTES_MAX, answer, parse_json
from simulators.bank.world import CLOCK, Bank, shown

TAKEN: Final = frozenset({"confirmed", "paid_out"})


class Control:
    """Clock, faults and books over plain JSON."""

    def __init__(self, bank: Bank, faults: Faults) -> None:
        self._bank = bank
        self._faults = faults

    async def read_clock(self, _: web.Request) -> web.Response:
        """Return the bank's time and whether it is conducted."""
        return answer(200, self._clock(0))

    async def move_clock(self, request: web.Request) -> web.Response:
        """Move a conducted clock, doing everything due on the way; returns how many steps."""
        bank = self._bank
        try:
            wanted = parse_json(await request.read())
            to = parse(wanted["now"])
        except (ValueError, TypeError, KeyError):
            return answer(422, {"error": 'send {"now": "2026-01-01T00:00:00Z"}'})
        if not bank.clock.conducted:
            return answer(409, {"error": "started without --now: the system's clock rules"})
        try:
            bank.clock.move(to)
        except ClockBackwardsError as error:
            return answer(409, {"error": str(error)})
        steps = bank.catch_up(bank.clock.now())
        with bank.store.transaction():
            bank.store.set(CLOCK, stamp(bank.clock.now()))
        return answer(200, self._clock(steps))

    def _clock(self, steps: int) -> dict[str, Any]:
        clock = self._bank.clock
        return {"now": stamp(clock.now()), "conducted": clock.conducted, "steps": steps}

    async def list_faults(self, _: web.Request) -> web.Response:
        """Return every fault with how often it struck."""
        return answer(200, {"faults": self._faults.listed()})

    async def add_fault(self, request: web.Request) -> web.Response:
        """Switch a fault on."""
        try:
            wanted = parse_json(await request.read())
            if not isinstance(wanted, dict):
                return answer(422, {"error": "send one JSON object"})
            self._faults.add(wanted)
        except (BadFaultError, ValueError) as error:
            return answer(422, {"error": str(error)})
        return await self.list_faults(request)

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Switch every fault off."""
        self._faults.clear()
        return await self.list_faults(request)

    async def books(self, _: web.Request) -> web.Response:
        """Return everything the bank knows, from its own file only."""
        self._bank.catch_up(self._bank.clock.now())
        return answer(200, books(self._bank))


def books(bank: Bank) -> dict[str, Any]:
    """Return payments, mandates and totals in minor units of the bank's one currency.

    `collected_minor` is what payers have been debited and not got back; `paid_out_minor` is the
    part of it that has reached the creditor.
    """
    payments = [shown(payment) for payment in bank.store.everything("payments")]
    mandates = {mandate["id"]: mandate for mandate in bank.store.everything("mandates")}
    by_status: Counter[str] = Counter()
    by_account: Counter[str] = Counter()
    for payment in payments:
        by_status[payment["status"]] += payment["amount"]
        if payment["status"] in TAKEN:
            mandate = mandates[payment["links"]["mandate"]]
            by_account[mandate["links"]["customer_bank_account"]] += payment["amount"]
    return {
        "now": stamp(bank.at),
        "currency": bank.profile.currency,
        "payments": payments,
        "mandates": [_with_limits(mandate) for mandate in mandates.values()],
        "events": bank.store.count_of("events"),
        "totals": {
            "payments": len(payments),
            "collected_minor": sum(by_status[status] for status in TAKEN),
            "paid_out_minor": by_status["paid_out"],
            "by_status_minor": dict(by_status),
            "by_account_minor": dict(by_account),
        },
        "collected_minor": sum(by_status[status] for status in TAKEN),
    }


def _with_limits(mandate: Document) -> Document:
    return {**shown(mandate), "constraints": mandate["hidden"]["constraints"]}


def control_app(bank: Bank, faults: Faults) -> web.Application:
    """Return the application of the control listener."""
    app = web.Application(client_max_size=REQUEST_BYTES_MAX)
    control = Control(bank, faults)
    app.router.add_get("/clock", control.read_clock)
    app.router.add_post("/clock", control.move_clock)
    app.router.add_get("/faults", control.list_faults)
    app.router.add_post("/faults", control.add_fault)
    app.router.add_delete("/faults", control.clear_faults)
    app.router.add_get("/books", control.books)
    return app
