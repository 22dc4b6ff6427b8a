"""What the API says about itself: health, figures, its document and the page that shows it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Annotated, Any, Final

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import Field

from app.problems import ProblemType
from metering.io.route import Call, Nothing, NotThereError, Page, Policy, Wire, route

# Longer than a healthy database or broker takes, shorter than a supervisor's patience.
CHECK_SECONDS: Final = 2.0

# The page runs our two scripts and styles; images may be written into the style sheet.
DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ASSET_SECONDS: Final = 3600

_STATIC: Final = files("app").joinpath("static")
_ASSETS: Final[Mapping[str, str]] = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_HOME: Final = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Aqkol</title></head>
<body><h1>Aqkol</h1>
<p>This is the API of a gas utility. <a href="/docs">Read about it</a>, or take
<a href="/openapi.json">its description</a>.</p></body></html>
"""

Check = Callable[[], Awaitable[bool]]
Look = Callable[[datetime], Awaitable[None]]

log: Final = structlog.get_logger()


class NotReadyError(Exception):
    """Something that the service depends on is not there; the text names it."""


class Alive(Wire):
    """The process answers."""

    alive: bool


class Ready(Wire):
    """Everything the process depends on answers."""

    ready: bool
    checks: dict[str, bool]


class ProblemExplained(Wire):
    """What one kind of problem means."""

    type: str
    title: str
    status: int


class AssetPath(Wire):
    """One file of the documentation page."""

    asset: Annotated[str, Field(max_length=64)]


class ProblemPath(Wire):
    """The name of a kind of problem."""

    slug: Annotated[str, Field(pattern=r"^[a-z-]{1,64}$", examples=["not-found"])]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicApi:
    """The routes that speak of the service itself.

    ``document`` tells of all routes, and is asked for when somebody wants to read it; ``look``
    brings the figures up to date that are read from the database.
    """

    checks: Mapping[str, Check]
    metrics: CollectorRegistry
    look: Look
    problems: Sequence[ProblemType]
    document: Callable[[], Mapping[str, Any]]

    @route("GET", "/livez", policy=Policy.PUBLIC, summary="Is the process alive?", tag="service")
    async def livez(self, _call: Call[Nothing, Nothing, Nothing]) -> Alive:
        """Answer, whatever the database and the broker do."""
        return Alive(alive=True)

    @route(
        "GET",
        "/readyz",
        policy=Policy.PUBLIC,
        summary="Can the service work?",
        tag="service",
        raises=(NotReadyError,),
    )
    async def readyz(self, _call: Call[Nothing, Nothing, Nothing]) -> Ready:
        """Ask the database and the broker, with a time limit."""
        names = list(self.checks)
        answers = await asyncio.gather(*(_passes(name, self.checks[name]) for name in names))
        failing = [name for name, passed in zip(names, answers, strict=True) if not passed]
        if failing:
            log.warning("web.not_ready", failing=failing)
            raise NotReadyError(", ".join(failing))
        return Ready(ready=True, checks=dict.fromkeys(names, True))

    @route(
        "GET",
        "/metrics",
        policy=Policy.OPERATOR,
        summary="Figures for Prometheus",
        tag="service",
        media_type="text/plain",
    )
    async def metrics_page(self, call: Call[Nothing, Nothing, Nothing]) -> Page:
        """Counters and timings of this process and what waits, without anybody's data."""
        await self.look(call.at)
        return Page(content=generate_latest(self.metrics), media_type="text/plain; charset=utf-8")

    @route("GET", "/openapi.json", policy=Policy.PUBLIC, summary="This document", tag="service")
    async def openapi(self, _call: Call[Nothing, Nothing, Nothing]) -> Page:
        """Return the OpenAPI 3.1 document of every route."""
        return Page(content=json.dumps(self.document()).encode(), media_type="application/json")

    @route(
        "GET",
        "/problems/{slug}",
        policy=Policy.PUBLIC,
        summary="Explain a kind of problem",
        tag="service",
    )
    async def problem(self, call: Call[ProblemPath, Nothing, Nothing]) -> ProblemExplained:
        """Say what the `type` of an `application/problem+json` answer means."""
        for kind in self.problems:
            if kind.slug == call.path.slug:
                return ProblemExplained(type=kind.uri, title=kind.title, status=kind.status)
        raise NotThereError

    @route(
        "GET",
        "/docs",
        policy=Policy.PUBLIC,
        summary="This document for people",
        tag="service",
        media_type="text/html",
    )
    async def docs(self, _call: Call[Nothing, Nothing, Nothing]) -> Page:
        """Show the routes on a page that loads nothing from elsewhere."""
        return Page(
            content=_STATIC.joinpath("docs.html").read_bytes(),
            media_type="text/html; charset=utf-8",
            content_policy=DOCS_POLICY,
        )

    @route(
        "GET",
        "/docs/{asset}",
        policy=Policy.PUBLIC,
        summary="A file of the page",
        tag="service",
        media_type="*/*",
        shown=False,
    )
    async def docs_asset(self, call: Call[AssetPath, Nothing, Nothing]) -> Page:
        """Hand out one of the few files that the page needs, and no other."""
        media_type = _ASSETS.get(call.path.asset)
        if media_type is None:
            raise NotThereError
        return Page(
            content=_STATIC.joinpath(call.path.asset).read_bytes(),
            media_type=media_type,
            cache_seconds=ASSET_SECONDS,
        )

    @route(
        "GET",
        "/",
        policy=Policy.PUBLIC,
        summary="Where to begin",
        tag="service",
        media_type="text/html",
    )
    async def home(self, _call: Call[Nothing, Nothing, Nothing]) -> Page:
        """Say what this is to somebody who opens the address in a browser."""
        return Page(content=_HOME, media_type="text/html; charset=utf-8")


async def _passes(name: str, check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except Exception as error:  # noqa: BLE001 - whatever a check says but yes is a no
        log.warning("web.check_failed", check=name, error=type(error).__name__)
        return False
