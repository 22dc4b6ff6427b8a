"""Faults of the wire: everything was done, and the answer travels badly."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from aiohttp import web

from simulators.bank.early import Struck, cut

# A drip is at most so many drops: the time between them is what a client feels.
DROPS_MAX: Final = 100
# Linger on, for no second: closing sends a reset and not an orderly end.
LINGER_RESET: Final = struct.pack("ii", 1, 0)


def _bytes(response: web.Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b""


async def _begin(struck: Struck, response: web.Response) -> web.StreamResponse:
    """Send the head of the answer, which promises the whole of it."""
    begun = web.StreamResponse(status=response.status, headers=response.headers)
    begun.content_length = len(_bytes(response))
    await begun.prepare(struck.request)
    return begun


async def _delay(struck: Struck, response: web.Response) -> web.StreamResponse:
    await struck.faults.hold(struck.fault)
    return response


async def _silent(struck: Struck, _: web.Response) -> web.StreamResponse:
    await struck.faults.hold(struck.fault)
    return cut(struck.request)


async def _answer_lost(struck: Struck, _: web.Response) -> web.StreamResponse:
    return cut(struck.request)


async def _reset(struck: Struck, response: web.Response) -> web.StreamResponse:
    begun = await _begin(struck, response)
    body = _bytes(response)
    await begun.write(body[: len(body) // 2])
    if struck.request.transport is not None:
        wire = struck.request.transport.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    cut(struck.request)
    return begun


async def _garbled(_: Struck, response: web.Response) -> web.StreamResponse:
    body = _bytes(response)
    return web.Response(
        status=response.status, body=body[: len(body) // 2], content_type="application/json"
    )


async def _slow_drip(struck: Struck, response: web.Response) -> web.StreamResponse:
    begun = await _begin(struck, response)
    body = _bytes(response)
    size = -(-len(body) // DROPS_MAX) or 1
    drops = [body[at : at + size] for at in range(0, len(body), size)]
    for drop in drops:
        await asyncio.sleep(struck.fault.seconds / len(drops))
        await begun.write(drop)
    return begun


Spoil = Callable[[Struck, web.Response], Awaitable[web.StreamResponse]]

SPOIL: Final[Mapping[str, Spoil]] = MappingProxyType(
    {
        "partition_answers": _silent,
        "silent_after": _silent,
        "delay": _delay,
        "answer_lost": _answer_lost,
        "reset": _reset,
        "garbled": _garbled,
        "slow_drip": _slow_drip,
    }
)
