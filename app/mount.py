"""How a request becomes an answer: the same way for every route.

One request passes, in this order: the address, the token, the route's policy, the owner of the
account in the path, the query, the body. Nothing of the database but the token is looked at before
the policy has said yes, so that what belongs to another resident cannot be told from what does not
exist.
"""

import asyncio
import time
import traceback
from collections import Counter as Tally
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry, Counter, Histogram
from pydantic import BaseModel, ValidationError

from app import problems
from app.headers import SECURITY_HEADERS, SERVER
from app.problems import ProblemError, ProblemType
from app.run import AWAY, Clock
from app.sending import answered
from app.tokens import caller_of
from metering.io.blob import Blob, BlobTooLargeError, Spool
from metering.io.route import Bound, Call, Caller, Files, Letter, Nothing, Policy, Role, Route

# A bill run or a tariff is a few hundred bytes; a megabyte is already a mistake or an attack.
BODY_BYTES_MAX: Final = 1024 * 1024
# A slow phone sends a few hundred bytes within a second; an attacker takes for ever.
BODY_SECONDS: Final = 10.0
# What is read of a file at once.
PIECE_BYTES: Final = 64 * 1024

# The driver's own confusion is what a connection cut under its hands looks like.
_AWAY: Final = (*AWAY, asyncpg.InternalClientError)
_OF_AIOHTTP: Final[Mapping[int, ProblemType]] = {
    404: problems.NOT_FOUND,
    405: problems.METHOD_UNKNOWN,
    413: problems.BODY_TOO_LARGE,
}

# Whoever gets one of these may still be sending what nobody reads.
_STILL_SENDING: Final = frozenset(
    {problems.BODY_SLOW, problems.BODY_TOO_LARGE, problems.FILE_TOO_LARGE, problems.FILE_KIND}
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Errors = Mapping[type[Exception], ProblemType]

log: Final = structlog.get_logger()


class MountError(Exception):
    """The routes do not fit together; the program does not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What /metrics says about requests; routes by their template, never by what was asked."""

    requests: Counter
    seconds: Histogram

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "Figures":
        """Register the figures once."""
        return cls(
            requests=Counter(
                "aqkol_http_requests",
                "Requests answered",
                ("method", "route", "status"),
                registry=registry,
            ),
            seconds=Histogram(
                "aqkol_http_seconds",
                "Seconds from the request's head to the answer",
                ("method", "route"),
                registry=registry,
            ),
        )


def mount(
    routes: Sequence[Bound],
    *,
    pool: asyncpg.Pool,
    clock: Clock,
    errors: Errors,
    registry: CollectorRegistry,
) -> web.Application:
    """Return the web application of these routes.

    Raises:
        MountError: two routes share a name or an address, or one raises an error without a status.
    """
    _fit(routes, errors)
    guard = _guard(errors, Figures.on(registry))
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[guard])
    app.on_response_prepare.append(_secured)
    methods: dict[str, list[str]] = {}
    for bound in routes:
        known = methods.setdefault(bound.route.path, ["OPTIONS"])
        handle = _handler(bound, pool, clock)
        wanted = ["GET", "HEAD"] if bound.route.method == "GET" else [bound.route.method]
        for method in wanted:
            app.router.add_route(method, bound.route.path, handle, expect_handler=_expected)
            known.append(method)
    for path, known in methods.items():
        app.router.add_route("OPTIONS", path, _options(known), expect_handler=_expected)
    return app


def _fit(routes: Sequence[Bound], errors: Errors) -> None:
    for kind, key in (
        ("name", lambda route: route.name),
        ("address", lambda route: f"{route.method} {route.path}"),
    ):
        twice = [it for it, n in Tally(key(bound.route) for bound in routes).items() if n > 1]
        if twice:
            raise MountError(f"the same {kind} twice: {', '.join(twice)}")
    homeless = {error.__name__ for bound in routes for error in bound.route.raises} - {
        error.__name__ for error in errors
    }
    if homeless:
        raise MountError(f"no status for {', '.join(sorted(homeless))}")


def _handler(bound: Bound, pool: asyncpg.Pool, clock: Clock) -> Handler:
    """Wrap one route: everything that stands before and after its handler."""
    desk = _FileDesk(bound.route.files)

    async def handle(request: web.Request) -> web.StreamResponse:
        at = clock.now()
        caller = await _admitted(request, bound.route, pool, at)
        path, query = _path(request, bound.route), _query(request, bound.route)
        async with _body_of(request, bound.route, desk) as body:
            call = Call(path=path, query=query, body=body, caller=caller, at=at)
            return await answered(request, bound.route, await bound.handler(call))

    return handle


async def _admitted(
    request: web.Request, route: Route, pool: asyncpg.Pool, at: datetime
) -> Caller | None:
    """Let the caller pass, or not; this looks at nothing but the token and the path.

    Raises:
        ProblemError: no valid token, a token that may not, or an account of somebody else.
    """
    if route.policy in {Policy.PUBLIC, Policy.SIGNED}:
        return None
    caller = await _caller(request, pool, at)
    match route.policy, caller.role:
        case ((Policy.OPERATOR | Policy.ACCOUNT), Role.OPERATOR):
            return caller
        case ((Policy.RESIDENT | Policy.ACCOUNT), Role.RESIDENT):
            if request.match_info["account_id"] != caller.account_id:
                raise ProblemError(problems.NOT_FOUND)
            return caller
        case _:
            raise ProblemError(problems.FORBIDDEN)


async def _caller(request: web.Request, pool: asyncpg.Pool, at: datetime) -> Caller:
    said = request.headers.getall("Authorization", [])
    scheme, _, token = said[0].partition(" ") if len(said) == 1 else ("", "", "")
    caller = await caller_of(pool, token, at) if scheme.lower() == "bearer" else None
    if caller is None:
        raise ProblemError(problems.NO_TOKEN)
    return caller


def _path(request: web.Request, route: Route) -> BaseModel:
    """An id that nothing can have is the id of nothing."""
    try:
        return route.path_model.model_validate_strings(dict(request.match_info))
    except ValidationError:
        raise ProblemError(problems.NOT_FOUND) from None


def _query(request: web.Request, route: Route) -> BaseModel:
    twice = [name for name, n in Tally(name for name, _ in request.query.items()).items() if n > 1]
    if twice:
        raise ProblemError(problems.INVALID, detail="a query parameter stands there twice")
    try:
        return route.query_model.model_validate_strings(dict(request.query))
    except ValidationError as error:
        fields = problems.fields_of(error, query=True)
        raise ProblemError(problems.INVALID, fields=fields) from None


class _FileDesk:
    """How many files one route holds."""

    def __init__(self, files: Files | None) -> None:
        self._files = files
        self._held = 0

    @contextmanager
    def place(self) -> Iterator[Spool]:
        """Give room for one more file.

        Raises:
            ProblemError: there is none.
        """
        assert self._files is not None, "only routes that take files ask for room"
        if self._held >= self._files.at_once:
            raise ProblemError(problems.UNAVAILABLE, detail="too many files at once")
        self._held += 1
        try:
            with Spool(self._files.bytes_max) as spool:
                yield spool
        finally:
            self._held -= 1


@asynccontextmanager
async def _body_of(
    request: web.Request, route: Route, desk: _FileDesk
) -> AsyncIterator[BaseModel | Blob | Letter]:
    """Give what the request carries: a model, or a file that is there until the answer is made."""
    if route.signature is not None:
        said = request.headers.getall(route.signature, [])
        signature = said[0] if len(said) == 1 else ""
        yield Letter(content=await _raw(request), signature=signature)
        return
    if route.files is None:
        yield await _body(request, route)
        return
    with desk.place() as spool:
        yield await _file(request, route.files, spool)


async def _file(request: web.Request, files: Files, spool: Spool) -> Blob:
    """Spool a file as it comes; one that does not come whole is not handed on."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    charset = None if request.charset is None else request.charset.lower()
    charsets = (None, *files.charsets)
    known = request.content_type in files.media_types and charset in charsets
    if not known or encoding != "identity":
        raise ProblemError(problems.FILE_KIND, detail=f"taken: {', '.join(files.media_types)}")
    if (request.content_length or 0) > files.bytes_max:
        raise ProblemError(problems.FILE_TOO_LARGE, detail=f"at most {files.bytes_max} bytes")
    try:
        async with asyncio.timeout(files.seconds_max):
            async for piece in request.content.iter_chunked(PIECE_BYTES):
                spool.add(piece)
    except TimeoutError:
        raise ProblemError(problems.BODY_SLOW) from None
    except BlobTooLargeError:
        raise ProblemError(
            problems.FILE_TOO_LARGE, detail=f"at most {files.bytes_max} bytes"
        ) from None
    return spool.blob(request.content_type, charset)


async def _body(request: web.Request, route: Route) -> BaseModel:
    if not route.takes_body:
        return Nothing()
    raw = await _raw(request)
    try:
        return route.body_model.model_validate_json(raw)
    except ValidationError as error:
        if any(mistake["type"] == "json_invalid" for mistake in error.errors()):
            raise ProblemError(problems.BROKEN_JSON) from None
        raise ProblemError(problems.INVALID, fields=problems.fields_of(error)) from None


async def _raw(request: web.Request) -> bytes:
    """Take in a body that says it is JSON, and look no further."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    charset = (request.charset or "utf-8").lower()
    if (request.content_type, encoding, charset) != ("application/json", "identity", "utf-8"):
        raise ProblemError(problems.NOT_JSON)
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise ProblemError(problems.BODY_TOO_LARGE)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise ProblemError(problems.BODY_SLOW) from None


def _options(methods: Iterable[str]) -> Handler:
    allowed = ", ".join(sorted(set(methods)))

    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=204, headers={"Allow": allowed})

    return handle


async def _expected(request: web.Request) -> None:
    """Say continue to who asks for it; ignore expectations that nobody knows."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _secured(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


def _guard(errors: Errors, figures: Figures) -> Any:  # noqa: ANN401 - aiohttp names no such type
    """Return the outermost layer: every error gets a status, every answer a line in the log."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        template = _template(request)
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - here every error becomes an answer
            response = _problem(error, errors, template)
        seconds = time.perf_counter() - began
        status = str(response.status)
        figures.requests.labels(method=_method(request), route=template, status=status).inc()
        figures.seconds.labels(method=_method(request), route=template).observe(seconds)
        log.info(
            "web.answered",
            method=_method(request),
            route=template,
            status=response.status,
            ms=round(seconds * 1000, 1),
        )
        return response

    return guard


def _template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return "unknown" if resource is None else resource.canonical


def _method(request: web.Request) -> str:
    """Whoever invents methods must not fill the log or the figures with them."""
    known = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}
    return request.method if request.method in known else "other"


def _problem(error: Exception, errors: Errors, template: str) -> web.StreamResponse:
    if isinstance(error, ProblemError):
        response = problems.answer(error.kind, detail=error.detail, fields=error.fields)
        if error.kind in _STILL_SENDING:
            response.force_close()
        return response
    if isinstance(error, web.HTTPException):
        response = problems.answer(_OF_AIOHTTP.get(error.status, problems.REFUSED))
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted({*error.allowed_methods}))
        return response
    for kind in type(error).__mro__:
        if kind in errors:
            return problems.answer(errors[kind], detail=_told(errors[kind], error))
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        return problems.answer(problems.REFUSED)
    if isinstance(error, _AWAY):
        log.warning("web.unavailable", route=template, error=type(error).__name__)
        return problems.answer(problems.UNAVAILABLE)
    log.error("web.failed", route=template, error=type(error).__name__, where=_where(error))
    return problems.answer(problems.OURS)


def _told(kind: ProblemType, error: Exception) -> str | None:
    """A thing that is not there gets no words, so that all such answers are the same."""
    return None if kind is problems.NOT_FOUND else str(error) or None


def _where(error: Exception) -> list[str]:
    """Name the lines of code without their values: a driver's message may hold a person's data."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
