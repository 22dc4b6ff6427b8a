"""The control listener: for those who conduct the bank and check its books, not for clients."""

from collections import Counter
from datetime import date
from typing import Any, Final

from aiohttp import web

from simulators.bank import statement
from simulators.bank.clock import ClockBackwardsError, parse, stamp
from simulators.bank.door import Door
from simulators.bank.fault_table import Moment
from simulators.bank.faults import BadFaultError
from simulators.bank.gate import Gate
from simulators.bank.pace import PER_MINUTE_MAX
from simulators.bank.postman import Postman
from simulators.bank.server import STATEMENT
from simulators.bank.store import Document
from simulators.bank.webhooks import BadEndpointError, Endpoint
from simulators.bank.wire import REQUEST_BYTES_MAX, answer, parse_json
from simulators.bank.workdays import UNKNOWN, is_known
from simulators.bank.world import CLOCK, Bank, shown

TAKEN: Final = frozenset({"confirmed", "paid_out"})
# The payer has the money of the refund.
GIVEN_BACK: Final = "paid"


class Control:
    """Clock, faults and books over plain JSON."""

    def __init__(self, door: Door, gate: Gate, postman: Postman) -> None:
        self._bank = door.bank
        self._faults = door.faults
        self._door = door
        self._gate = gate
        self._postman = postman

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
        if not is_known(to):
            return answer(422, {"error": UNKNOWN})
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
            fault = self._faults.add(wanted)
        except (BadFaultError, ValueError) as error:
            return answer(422, {"error": str(error)})
        if fault.kind.moment is Moment.LISTENER:
            fault.fired += 1
            await self._gate.shut(fault.seconds)
        return await self.list_faults(request)

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Switch every fault off."""
        self._faults.clear()
        await self._gate.open()
        return await self.list_faults(request)

    async def limit_rate(self, request: web.Request) -> web.Response:
        """Switch the rate limit to so many requests a minute of the bank's clock, or off."""
        wanted = await _object(request)
        per_minute = wanted.get("per_minute")
        whole = type(per_minute) is int and 1 <= per_minute <= PER_MINUTE_MAX
        if set(wanted) != {"per_minute"} or not (per_minute is None or whole):
            return answer(422, {"error": f'send {{"per_minute": null or 1..{PER_MINUTE_MAX}}}'})
        self._door.pace.limit(per_minute)
        return answer(200, {"per_minute": per_minute})

    async def rotate_token(self, request: web.Request) -> web.Response:
        """Let a new access token in; the one before is a stranger's from now on."""
        wanted = await _object(request)
        token = wanted.get("token")
        if set(wanted) != {"token"} or not isinstance(token, str) or not token:
            return answer(422, {"error": 'send {"token": "…"}'})
        self._door.tokens.full = token
        return answer(200, {"rotated": True})

    async def post_webhooks(self, request: web.Request) -> web.Response:
        """Tell events to an endpoint of this machine from now on, or, with a null, to nobody."""
        wanted = await _object(request)
        secrets = wanted.get("secrets")
        texts = isinstance(secrets, list) and all(isinstance(secret, str) for secret in secrets)
        try:
            if wanted == {"url": None}:
                self._postman.post_to(None)
            else:
                found = tuple(secrets or ()) if texts else ()
                self._postman.post_to(Endpoint(url=str(wanted.get("url")), secrets=found))
        except BadEndpointError as error:
            return answer(422, {"error": f'send {{"url", "secrets": ["…"]}}: {error}'})
        return await self.show_webhooks(request)

    async def show_webhooks(self, _: web.Request) -> web.Response:
        """Return where webhooks go, and how many events and webhooks have not arrived."""
        events, waiting = self._bank.store.on_their_way()
        endpoint = self._postman.endpoint
        url = None if endpoint is None else endpoint.url
        return answer(200, {"url": url, "events_waiting": events, "webhooks_waiting": waiting})

    async def deliver_webhooks(self, _: web.Request) -> web.Response:
        """Deliver everything that is due by the bank's clock, once, and say what became of it."""
        return answer(200, dict(await self._postman.deliver()))

    async def read_statement(self, request: web.Request) -> web.Response:
        """Return the statement of the creditor's account for one day that is over."""
        bank = self._bank
        bank.catch_up(bank.clock.now())
        try:
            day = date.fromisoformat(request.query.get("day", ""))
        except ValueError:
            return answer(422, {"error": "ask with ?day=2026-01-31"})
        if day >= bank.at.date():
            return answer(409, {"error": f"{day} is not over: it is {stamp(bank.at)}"})
        every = statement.lines(bank)
        before = [line for line in every if line.booked_on < day]
        found = [line for line in every if line.booked_on == day]
        fault = self._faults.strike(STATEMENT)
        if fault is not None:
            spoiled = statement.SPOIL[fault.name](bank, day, found)
            if spoiled == found:
                fault.fired -= 1
            found = spoiled
        body = statement.write(bank, day, before, found)
        return web.Response(body=body, content_type="application/xml")

    async def books(self, _: web.Request) -> web.Response:
        """Return everything the bank knows, from its own file only."""
        self._bank.catch_up(self._bank.clock.now())
        return answer(200, books(self._bank))


async def _object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object a conductor sent; anything else has no fields."""
    try:
        wanted = parse_json(await request.read())
    except ValueError:
        return {}
    return wanted if isinstance(wanted, dict) else {}


def books(bank: Bank) -> dict[str, Any]:
    """Return payments, mandates and totals in minor units of the bank's one currency.

    `collected_minor` is what payers have been debited and not got back, by refunds neither;
    `paid_out_minor` is what payments have brought to the creditor, before refunds.
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
    returned_minor = 0
    for refund in bank.store.everything("refunds"):
        if refund["status"] == GIVEN_BACK:
            mandate = mandates[refund["links"]["mandate"]]
            by_account[mandate["links"]["customer_bank_account"]] -= refund["amount"]
            returned_minor += refund["amount"]
    collected_minor = sum(by_status[status] for status in TAKEN) - returned_minor
    return {
        "now": stamp(bank.at),
        "currency": bank.profile.currency,
        "payments": payments,
        "mandates": [_with_limits(mandate) for mandate in mandates.values()],
        "events": bank.store.count_of("events"),
        "totals": {
            "payments": len(payments),
            "collected_minor": collected_minor,
            "paid_out_minor": by_status["paid_out"],
            "returned_minor": returned_minor,
            "by_status_minor": dict(by_status),
            "by_account_minor": dict(by_account),
        },
        "collected_minor": collected_minor,
    }


def _with_limits(mandate: Document) -> Document:
    return {**shown(mandate), "constraints": mandate["hidden"]["constraints"]}


def control_app(door: Door, gate: Gate, postman: Postman) -> web.Application:
    """Return the application of the control listener."""
    app = web.Application(client_max_size=REQUEST_BYTES_MAX)
    control = Control(door, gate, postman)
    app.router.add_get("/clock", control.read_clock)
    app.router.add_post("/clock", control.move_clock)
    app.router.add_get("/faults", control.list_faults)
    app.router.add_post("/faults", control.add_fault)
    app.router.add_delete("/faults", control.clear_faults)
    app.router.add_post("/rate-limit", control.limit_rate)
    app.router.add_post("/token", control.rotate_token)
    app.router.add_get("/webhooks", control.show_webhooks)
    app.router.add_post("/webhooks", control.post_webhooks)
    app.router.add_post("/webhooks/deliver", control.deliver_webhooks)
    app.router.add_get("/statement", control.read_statement)
    app.router.add_get("/books", control.books)
    return app
