"""How an answer goes out: JSON of a model, a page, or a file piece by piece."""

import asyncio
from typing import Final

import structlog
from aiohttp import web
from pydantic import BaseModel

from metering.io.route import Answer, Download, Page, Route

# What is read of a file at once.
PIECE_BYTES: Final = 64 * 1024
# How long a reader may take nothing before we leave it.
STALL_SECONDS: Final = 60.0

log: Final = structlog.get_logger()


async def answered(request: web.Request, route: Route, result: object) -> web.StreamResponse:
    """Make a response of what a handler returned; a file is sent here."""
    if isinstance(result, Download):
        return await _send(request, route, result)
    return _response(route, result)


async def _send(request: web.Request, route: Route, download: Download) -> web.StreamResponse:
    """Send a file that is whole; its length is said first, so that a cut one is known for it."""
    try:
        blob = download.spool.blob()
        blob.file.seek(0)
        response = web.StreamResponse(status=route.status)
        response.headers["Content-Type"] = download.media_type
        response.headers["Content-Disposition"] = f'attachment; filename="{download.name}"'
        response.content_length = blob.size_bytes
        await response.prepare(request)
        try:
            while request.method != "HEAD" and (piece := blob.file.read(PIECE_BYTES)):
                async with asyncio.timeout(STALL_SECONDS):
                    await response.write(piece)
            await response.write_eof()
        except (ConnectionError, TimeoutError) as error:
            # The head is gone; nothing can be said any more but the end.
            log.warning("web.left", route=route.path, error=type(error).__name__)
            if request.transport is not None:
                request.transport.abort()
        return response
    finally:
        download.spool.close()


def _response(route: Route, result: object) -> web.Response:
    if isinstance(result, Page):
        response = web.Response(body=result.content)
        response.headers["Content-Type"] = result.media_type
        if result.content_policy is not None:
            response.headers["Content-Security-Policy"] = result.content_policy
        if result.cache_seconds:
            response.headers["Cache-Control"] = f"public, max-age={result.cache_seconds}"
        return response
    status = route.status
    if isinstance(result, Answer):
        assert route.repeat_status is not None, "the declaration was checked"
        status = route.status if result.fresh else route.repeat_status
        result = result.body
    assert isinstance(result, BaseModel), "the declaration was checked"
    return web.Response(
        body=result.model_dump_json().encode(), status=status, content_type=route.media_type
    )
