"""The server under the application: also what is not even HTTP gets one of our answers."""

from typing import Final

import structlog
from aiohttp import web

from app import problems
from app.headers import SECURITY_HEADERS

# A request under way may finish before the process ends; a bill run longer than this is run again.
SHUTDOWN_SECONDS: Final = 5.0
# After an answer to somebody who still sends, we listen this long so that the answer arrives.
LINGERING_SECONDS: Final = 2.0

log: Final = structlog.get_logger()


class _Protocol(web.RequestHandler):
    """One connection; answers what cannot be parsed without repeating it, in answer or log."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that never reached the application, and close the connection."""
        del request, message
        kind = problems.REFUSED if status < problems.OURS.status else problems.OURS
        log.warning("web.unreadable", status=kind.status, error=type(exc).__name__)
        response = problems.answer(kind)
        response.headers.update(SECURITY_HEADERS)
        response.force_close()
        return response


class _Server(web.Server):
    """Makes one of our connections for each that comes in."""

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return _Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs the application as ``aiohttp.web.AppRunner`` does, on our connections."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(
            app,
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            lingering_time=LINGERING_SECONDS,
        )

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            server.request_handler, request_factory=server.request_factory, **self._kwargs
        )
