"""The public listener, which can be shut for a while without giving its port away."""

import asyncio
import socket
from typing import Final

from aiohttp import web

BACKLOG: Final = 1024
SHUTDOWN_SECONDS: Final = 2.0


class Gate:
    """One listener of an application; shut, it refuses connections and has cut those it had."""

    def __init__(self, host: str, port: int) -> None:
        self._held = _bound(host, port)
        self._address: tuple[str, int] = self._held.getsockname()[:2]
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None
        self._opening: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Return the address clients use; the port is known before anybody listens."""
        host, port = self._address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def begin(self, app: web.Application) -> None:
        """Serve an application."""
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await self._runner.setup()
        await self._listen()

    async def open(self) -> None:
        """Listen again, if the gate is shut."""
        await self._forget_opening()
        await self._listen()

    async def shut(self, seconds: float) -> None:
        """Cut every connection and refuse new ones; open again after so many seconds."""
        await self._forget_opening()
        if self._site is not None:
            await self._site.stop()
            self._site = None
            # Bound and not listening: the port stays ours, and whoever calls is refused.
            self._held = _bound(*self._address)
        assert self._runner is not None, "a gate is shut after it was opened"
        if self._runner.server is not None:
            for connection in self._runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
        self._opening = asyncio.create_task(self._open_later(seconds))

    async def close(self) -> None:
        """End serving and give the port away."""
        await self._forget_opening()
        if self._runner is not None:
            await self._runner.cleanup()
        self._held.close()

    async def _listen(self) -> None:
        if self._site is None:
            assert self._runner is not None, "there is something to serve"
            self._held.listen(BACKLOG)
            self._held.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
            self._site = web.SockSite(self._runner, self._held, backlog=BACKLOG)
            await self._site.start()

    async def _open_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._listen()

    async def _forget_opening(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((host, port))
    return held
