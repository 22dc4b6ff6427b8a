"""The bank's session for exchanges that no fault can meet: carried whole, and not byte by byte.

Where the weather is fine and the bank's door healthy, the wire brings to the other side what was
given to it, and nothing else; all that HTTP adds is work. Such an exchange keeps its delays, its
moments at which processes are killed, and its order at the bank's door, and what goes over it are
the same bytes. Everything else takes the long way, over the real client and the real server; and in
some worlds everything does, so that a difference between the two would be seen.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

from simulators.bank.server import OPERATIONS
from tests.world.bank_side import URL, BankSide
from tests.world.loop import PROCESS, Process
from tests.world.network import Network

# The share of worlds in which even healthy exchanges go over the wire.
LONG_WAY: Final = 0.2
_IDENTITY: Final = "{identity}"
_BY_PATH: Final = {
    (operation.method, *operation.path.split("/")): operation for operation in OPERATIONS
}
OpenSession = Callable[[], aiohttp.ClientSession]


class _Line:
    """What stands in for the connection at the bank's door."""

    cut = False

    def abort(self) -> None:
        """Let the answer reach nobody."""
        self.cut = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """As much of a request as the bank's door looks at."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    match_info: Mapping[str, str]
    body: bytes
    transport: _Line

    async def read(self) -> bytes:
        """Return the body."""
        return self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """As much of an answer as the client looks at; it is its own content."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Self:
        """Return what the body is read from."""
        return self

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        """Yield the body, which came in one piece."""
        yield self.body

    def close(self) -> None:
        """There is no connection to close."""


class _Exchange:
    """One request and its answer, by whichever way."""

    def __init__(self, way: "ShortWay", method: str, url: str, more: dict[str, Any]) -> None:
        self._way, self._method, self._url, self._more = way, method, url, more
        self._long: Any = None

    async def __aenter__(self) -> Any:
        if self._way.clear():
            return await self._way.exchange(self._method, self._url, **self._more)
        session = await self._way.session()
        self._long = session.request(self._method, self._url, **self._more)
        return await self._long.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        if self._long is not None:
            await self._long.__aexit__(*error)


class ShortWay:
    """What a client of the bank takes for its session."""

    def __init__(self, network: Network, bank: BankSide, open_session: OpenSession) -> None:
        self._network = network
        self._bank = bank
        self._open_session = open_session
        self._session: aiohttp.ClientSession | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def session(self) -> aiohttp.ClientSession:
        """Return the session of the long way, which is opened when it is first needed."""
        if self._session is None:
            self._session = await self._stack.enter_async_context(self._open_session())
        return self._session

    def clear(self) -> bool:
        """Tell whether nothing can befall an exchange."""
        return self._network.clear() and not self._bank.door.faults.listed()

    def request(self, method: str, url: str, **more: Any) -> _Exchange:
        """Begin an exchange."""
        return _Exchange(self, method, url, more)

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None,
        data: bytes | None,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as the session's own
        allow_redirects: bool,
    ) -> _Answer:
        """Bring a request to the bank's door, and its answer back."""
        assert not allow_redirects, "the bank sends nobody elsewhere"
        network, process = self._network, PROCESS.get()
        bank = network.bank
        assert process is not None, "only processes ask"
        assert bank is not None, "somebody answers"
        path = url.removeprefix(URL)
        order = method == "POST" and path == "/payments"
        await asyncio.sleep(network.latency_s())
        await _tell(network, "before_send", process, when=order)
        request, handler = self._addressed(method, path, params or {}, headers, data or b"")
        heard: asyncio.Future[_Answer] = network.loop.create_future()
        network.loop.call_later(
            network.latency_s(),
            lambda: network.loop.create_task(self._serve(request, handler, process, heard)),
            context=bank.context.copy(),
        )
        await _tell(network, "after_send", process, when=order)
        async with asyncio.timeout(timeout.total):
            return await heard

    def _addressed(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> tuple[_Request, Callable[[Any], Awaitable[web.StreamResponse]]]:
        """Return a request and what answers it, as the bank's router finds it."""
        root, kind, *rest = path.split("/")
        identity, action = rest[:1], rest[1:]
        operation = _BY_PATH[method, root, kind, *(_IDENTITY for _ in identity), *action]
        request = _Request(
            method=method,
            path=path,
            headers=headers,
            query=query,
            match_info={"identity": identity[0]} if identity else {},
            body=body,
            transport=_Line(),
        )
        return request, self._bank.door.handler(operation)

    async def _serve(
        self,
        request: _Request,
        handler: Callable[[Any], Awaitable[web.StreamResponse]],
        process: Process,
        heard: "asyncio.Future[_Answer]",
    ) -> None:
        """Answer at the bank's door, as the library's server does."""
        network = self._network
        try:
            response = await self._bank.keeper.stand(request, handler)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - the server answers, whatever breaks
            network.loop.note("bank broke", repr(error))
            response = web.Response(status=500)
        if network.deaf():
            return
        network.loop.call_later(
            network.latency_s(),
            _hear,
            network,
            process,
            heard,
            None if request.transport.cut else response,
            context=process.context.copy(),
        )


async def _tell(network: Network, moment: str, process: Process, *, when: bool) -> None:
    """Say that a moment has come; a process that was killed in it goes no further."""
    if when:
        network.tell(moment, process)
    if not process.alive:
        await network.loop.create_future()


def _hear(
    network: Network,
    process: Process,
    heard: "asyncio.Future[_Answer]",
    response: web.StreamResponse | None,
) -> None:
    """Give an answer to whoever waits for it still."""
    network.tell("after_answer", process)
    if heard.done() or not process.alive:
        return
    if response is None:
        heard.set_exception(aiohttp.ServerDisconnectedError())
        return
    assert isinstance(response, web.Response), "healthy answers are whole"
    body = response.body if isinstance(response.body, bytes) else b""
    heard.set_result(_Answer(status=response.status, headers=response.headers, body=body))
