"""Faults that strike before anything is done."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from aiohttp import web

from simulators.bank import errors
from simulators.bank.faults import Fault, Faults
from simulators.bank.operation import Operation
from simulators.bank.world import Bank

BAD_GATEWAY: Final = "<html><body><h1>502 Bad Gateway</h1></body></html>\n"
UNAVAILABLE: Final = "no server is available to handle this request\n"


@dataclass(slots=True)
class Turns:
    """Lets a request wait until another one was answered."""

    _waiting: set[asyncio.Event] = field(default_factory=set)

    def ended(self) -> None:
        """Say that a request was answered."""
        for event in self._waiting:
            event.set()

    async def let_another_pass(self, seconds: float) -> None:
        """Wait until a request is answered, at most so long."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting.discard(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A request that a fault has met."""

    bank: Bank
    faults: Faults
    turns: Turns
    fault: Fault
    operation: Operation
    request: web.Request


def cut(request: web.Request) -> web.Response:
    """Drop the connection; the answer returned for the library's sake reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _silent(struck: Struck) -> web.Response:
    await struck.faults.hold(struck.fault)
    return cut(struck.request)


async def _reordered(struck: Struck) -> None:
    await struck.turns.let_another_pass(struck.fault.seconds)


async def _bad_gateway(_: Struck) -> web.Response:
    return web.Response(status=502, text=BAD_GATEWAY, content_type="text/html")


async def _unavailable(_: Struck) -> web.Response:
    return web.Response(status=503, text=UNAVAILABLE)


async def _conflict_elsewhere(struck: Struck) -> None:
    kind = struck.operation.kind
    raise errors.conflict(struck.bank.store.newest(kind) or struck.bank.new_id(kind))


def _refusing(refuse: Callable[[], errors.BankError]) -> "Early":
    async def early(_: Struck) -> None:
        raise refuse()

    return early


Early = Callable[[Struck], Awaitable[web.Response | None]]

# An answer ends the request here; None lets it go on; a BankError is answered in the envelope.
EARLY: Final[Mapping[str, Early]] = MappingProxyType(
    {
        "partition_requests": _silent,
        "silent_before": _silent,
        "reordered": _reordered,
        "error_before": _refusing(errors.internal_error),
        "bad_gateway": _bad_gateway,
        "unavailable": _unavailable,
        "rate_limit": _refusing(errors.rate_limited),
        "rate_limit_bare": _refusing(errors.rate_limited),
        "unauthorized": _refusing(errors.unauthorized),
        "forbidden": _refusing(errors.forbidden),
        "conflict_elsewhere": _conflict_elsewhere,
    }
)
