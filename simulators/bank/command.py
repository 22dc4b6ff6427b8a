"""The command line of the simulated bank: `python -m simulators bank`."""

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from simulators.bank import creditors
from simulators.bank.clock import Clock, parse, stamp
from simulators.bank.control import control_app
from simulators.bank.door import Door
from simulators.bank.faults import Faults
from simulators.bank.gate import Gate
from simulators.bank.pace import Pace
from simulators.bank.postman import TIMEOUT_SECONDS, Postman
from simulators.bank.server import TRAITS, public_app
from simulators.bank.steps import STEPS
from simulators.bank.store import Store
from simulators.bank.tokens import Tokens
from simulators.bank.webhooks import BadEndpointError, Endpoint
from simulators.bank.workdays import UNKNOWN, is_known
from simulators.bank.world import CLOCK, PROFILES, Bank

ENVIRONMENT: Final = "BANK_WEBHOOK_SECRETS"
PORT_MAX: Final = 65_535
# An endpoint that takes longer than an hour takes nothing.
WAIT_SECONDS_MAX: Final = 3600.0

log = structlog.get_logger()


def arguments(args: Sequence[str]) -> argparse.Namespace:
    """Read the command line; argparse ends the process itself on nonsense."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators bank",
        description="A bank that speaks the GoCardless contract and keeps its books in one file.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address of both listeners")
    parser.add_argument("--port", type=_port, default=0, help="public port; 0 picks a free one")
    parser.add_argument("--control-port", type=_port, default=0, help="control port; 0 likewise")
    parser.add_argument("--state", type=Path, required=True, help="the file that holds the books")
    parser.add_argument("--token", help="access token; made up and printed when left out")
    parser.add_argument("--read-only-token", help="a second token, which may only read")
    parser.add_argument("--rate-limit", type=_whole, help="requests a minute; none when left out")
    parser.add_argument("--webhook-url", help="where events are told; an address of this machine")
    parser.add_argument(
        "--webhook-secret-file",
        type=Path,
        help=f"its one or two secrets, a line each; else {ENVIRONMENT}, one word each",
    )
    parser.add_argument("--webhook-timeout", type=_wait, default=TIMEOUT_SECONDS, help="seconds")
    parser.add_argument("--now", type=_instant, help="start a clock that only POST /clock moves")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="mock-kz")
    parser.add_argument("--public-url", help="address of the pages, when behind a proxy")
    return parser.parse_args(args)


def _whole(text: str) -> int:
    """Read a whole number above zero."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number above zero")
    return int(text)


def _port(text: str) -> int:
    """Read the number of a port, or 0 for a free one."""
    if not text.isascii() or not text.isdigit() or int(text) > PORT_MAX:
        raise argparse.ArgumentTypeError(f"must be a whole number up to {PORT_MAX}")
    return int(text)


def _wait(text: str) -> float:
    """Read seconds; neither none of them nor for ever."""
    seconds = float(text)
    if not 0 < seconds <= WAIT_SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most {WAIT_SECONDS_MAX:.0f}")
    return seconds


def _instant(text: str) -> datetime:
    """Read an instant at which the bank can plan ahead."""
    instant = parse(text)
    if not is_known(instant):
        raise argparse.ArgumentTypeError(UNKNOWN)
    return instant


def endpoint(options: argparse.Namespace, environment: Mapping[str, str]) -> Endpoint | None:
    """Return where webhooks go, or None when the command line does not say.

    :raises BadEndpointError: for an address that is not this machine's, or no secret.
    """
    if options.webhook_url is None:
        return None
    file = options.webhook_secret_file
    text = environment.get(ENVIRONMENT, "") if file is None else file.read_text("utf-8")
    return Endpoint(url=options.webhook_url, secrets=tuple(text.split()))


def open_bank(store: Store, *, profile: str, public_url: str, now: datetime | None) -> Bank:
    """Return the bank whose books these are, founding it when the file is new.

    A clock that was ever conducted stays so, and never goes back over a restart.
    """
    kept = store.setting(CLOCK)
    starts = [instant for instant in (now, parse(kept) if kept else None) if instant]
    clock = Clock(max(starts) if starts else None)
    bank = Bank(
        store=store,
        clock=clock,
        profile=PROFILES[profile],
        public_url=public_url,
        creditor_id=store.setting("creditor") or "",
        salt=store.setting("salt") or "",
        at=clock.now(),
        steps=STEPS,
    )
    store.now = lambda: stamp(bank.at)
    with store.transaction():
        if clock.conducted:
            store.set(CLOCK, stamp(clock.now()))
        if not bank.creditor_id:
            bank.salt = secrets.token_hex(16)
            creditor = bank.create("creditors", creditors.founding(bank.profile))
            bank.creditor_id = creditor["id"]
            store.set("salt", bank.salt)
            store.set("creditor", bank.creditor_id)
            store.set("profile", profile)
    if store.setting("profile") != profile:
        raise SystemExit(f"this state file belongs to profile {store.setting('profile')}")
    return bank


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncIterator[dict[str, str]]:
    """Keep a bank open for a while; gives its addresses and its token."""
    public, control = (Gate(options.host, port) for port in (options.port, options.control_port))
    token = options.token or secrets.token_urlsafe(24)
    async with contextlib.AsyncExitStack() as stack:
        store = stack.enter_context(contextlib.closing(Store(options.state)))
        bank = open_bank(
            store,
            profile=options.profile,
            public_url=(options.public_url or public.url).rstrip("/"),
            now=options.now,
        )
        door = Door(
            bank=bank,
            faults=Faults(TRAITS),
            tokens=Tokens(full=token, read_only=options.read_only_token),
            pace=Pace(options.rate_limit),
        )
        postman = Postman(bank, door.faults, options.webhook_timeout)
        if (found := endpoint(options, os.environ)) is not None:
            postman.post_to(found)
        apps = ((public, public_app(door)), (control, control_app(door, public, postman)))
        for gate, app in apps:
            stack.push_async_callback(gate.close)
            await gate.begin(app)
        # Whoever a fault still holds is let go before the gates close.
        stack.callback(door.faults.clear)
        if not bank.clock.conducted:
            stack.push_async_callback(_end, asyncio.create_task(postman.walk()))
        yield {"url": public.url, "control_url": control.url, "token": token}


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with opened(options) as ready:
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        log.info("bank.open", profile=options.profile)
        await stop.wait()
        log.info("bank.closed")


def main(args: Sequence[str]) -> int:
    """Run the bank until it is told to stop; standard output carries the one ready line."""
    options = arguments(args)
    try:
        endpoint(options, os.environ)
    except BadEndpointError as error:
        raise SystemExit(str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"the webhook's secrets cannot be read: {error}") from error
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer(key_order=["event"])],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        asyncio.run(_serve(options))
    except (OSError, sqlite3.Error) as error:
        # No such place, no such port, somebody else's, or no books of a bank.
        raise SystemExit(f"the bank cannot open with {options.state}: {error}") from error
    return 0
