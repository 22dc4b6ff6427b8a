"""The simulated bank as a real process, for every test that needs somebody to debit."""

import asyncio
import contextlib
import functools
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from simulators.bank import command

BANK_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
BANK_TOKEN: Final = "bank-test-token"
IBAN_KZ: Final = "KZ86125KZT5004100100"
IBAN_DE: Final = "DE89370400440532013000"
START: Final = "import sys; from simulators.bank.command import main; sys.exit(main(sys.argv[1:]))"


@dataclass(slots=True, kw_only=True)
class SimulatedBank:
    """A running bank: `url` and `token` for clients, the methods for those who conduct it."""

    arguments: list[str]
    session: aiohttp.ClientSession
    iban: str
    url: str = ""
    control_url: str = ""
    token: str = BANK_TOKEN
    process: asyncio.subprocess.Process | None = None
    headers: dict[str, str] = field(
        default_factory=lambda: {
            "Authorization": f"Bearer {BANK_TOKEN}",
            "GoCardless-Version": "2015-07-06",
        }
    )

    async def start(self) -> None:
        """Start the process; a second start finds the books of the first."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", START, *self.arguments, stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        ready = json.loads(await self.process.stdout.readline())
        self.url, self.control_url = ready["url"], ready["control_url"]

    async def stop(self) -> None:
        """End the process in order."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    async def kill(self) -> None:
        """End the process without a word, as a power cut does."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def control(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Ask the control port for one thing."""
        async with self.session.request(method, self.control_url + path, json=body) as answer:
            found: dict[str, Any] = await answer.json()
            assert answer.status == 200, found
            return found

    async def advance(self, to: datetime) -> None:
        """Move the bank's clock; everything due on the way happens at its instant."""
        await self.control("POST", "/clock", {"now": to.isoformat()})

    async def fault(self, name: str, operation: str = "*", **bounds: float) -> None:
        """Switch a fault on, once as a rule; `bounds` are times, seconds, percent and seed."""
        await self.control("POST", "/faults", {"name": name, "operation": operation, **bounds})

    async def faults(self) -> list[dict[str, Any]]:
        """Return the faults with how often each fired."""
        found: list[dict[str, Any]] = (await self.control("GET", "/faults"))["faults"]
        return found

    async def heal(self) -> None:
        """Switch every fault off."""
        await self.control("DELETE", "/faults")

    async def books(self) -> dict[str, Any]:
        """Return the bank's own books."""
        return await self.control("GET", "/books")

    async def api(
        self, method: str, path: str, body: object = None, *, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Send one request as a client and return status and body."""
        headers = self.headers | ({} if key is None else {"Idempotency-Key": key})
        async with self.session.request(
            method, self.url + path, json=body, headers=headers
        ) as answer:
            return answer.status, {} if answer.status == 204 else await answer.json()

    async def approve(
        self,
        authorisation_url: str,
        *,
        given_name: str = "Aigul",
        family_name: str = "Nurlanova",
        iban: str | None = None,
    ) -> str | None:
        """Say yes on the hosted page, as a resident; returns where the page sends on to."""
        form = {
            "answer": "approve",
            "given_name": given_name,
            "family_name": family_name,
            "iban": iban or self.iban,
        }
        async with self.session.post(authorisation_url, data=form, allow_redirects=False) as answer:
            assert answer.status in {200, 303}, await answer.text()
            return answer.headers.get("Location")

    async def deny(self, authorisation_url: str) -> str | None:
        """Say no on the hosted page; returns where the page sends on to."""
        async with self.session.post(
            authorisation_url, data={"answer": "deny"}, allow_redirects=False
        ) as answer:
            assert answer.status in {200, 303}, await answer.text()
            return answer.headers.get("Location")

    async def mandate(
        self, *, given_name: str = "Aigul", constraints: dict[str, Any] | None = None
    ) -> str:
        """Return the id of a fresh mandate, approved on the hosted page."""
        currency = "KZT" if self.iban.startswith("KZ") else "EUR"
        asked = {"mandate_request": {"currency": currency, "constraints": constraints or {}}}
        _, made = await self.api("POST", "/billing_requests", {"billing_requests": asked})
        request_id = made["billing_requests"]["id"]
        flow = {"billing_request_flows": {"links": {"billing_request": request_id}}}
        _, page = await self.api("POST", "/billing_request_flows", flow)
        await self.approve(
            page["billing_request_flows"]["authorisation_url"], given_name=given_name
        )
        _, done = await self.api("GET", f"/billing_requests/{request_id}")
        mandate_id: str = done["billing_requests"]["links"]["mandate_request_mandate"]
        return mandate_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a bank that is already running can be found."""

    url: str
    control_url: str


@pytest.fixture(scope="session")
def shared_addresses(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Address]]:
    """Return a function that finds the run's one bank of a profile, starting it when needed."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def address(profile: str) -> Address:
            state = tmp_path_factory.mktemp("bank") / f"{profile}.sqlite"
            command = [sys.executable, "-c", START, *arguments(state, profile, BANK_START)]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(process.terminate)
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            return Address(url=ready["url"], control_url=ready["control_url"])

        yield address


def arguments(state: Path, profile: str, now: datetime | None) -> list[str]:
    """Return the command line of a bank."""
    found = ["--state", str(state), "--token", BANK_TOKEN, "--profile", profile]
    return found if now is None else [*found, "--now", now.isoformat()]


IBANS: Final = {"mock-kz": IBAN_KZ, "sandbox-sepa": IBAN_DE}
StartBank = Callable[..., Awaitable[SimulatedBank]]


@pytest.fixture
async def start_bank(tmp_path: Path) -> AsyncIterator[StartBank]:
    """Return a function that starts a bank with a profile, a clock (None: the system's), a file."""
    banks: list[SimulatedBank] = []
    async with aiohttp.ClientSession() as session:

        async def start(
            *,
            profile: str = "mock-kz",
            now: datetime | None = BANK_START,
            state: Path | None = None,
        ) -> SimulatedBank:
            state = state or tmp_path / f"bank-{len(banks)}.sqlite"
            bank = SimulatedBank(
                arguments=arguments(state, profile, now), session=session, iban=IBANS[profile]
            )
            banks.append(bank)
            await bank.start()
            return bank

        yield start
        for bank in banks:
            await bank.stop()


@pytest.fixture
async def open_near_bank(tmp_path: Path) -> AsyncIterator[StartBank]:
    """Return a function that opens a bank in this process; the sockets are real all the same."""
    async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as stack:

        async def start(*, profile: str = "mock-kz", more: tuple[str, ...] = ()) -> SimulatedBank:
            state = tmp_path / f"near-{profile}.sqlite"
            words = [*arguments(state, profile, BANK_START), *more]
            ready = await stack.enter_async_context(command.opened(command.arguments(words)))
            return SimulatedBank(
                arguments=words,
                session=session,
                iban=IBANS[profile],
                url=ready["url"],
                control_url=ready["control_url"],
            )

        yield start


@pytest.fixture
async def near_bank(open_near_bank: StartBank) -> SimulatedBank:
    """Return a bank in Kazakhstan in this process: alone, and open at once; it cannot be killed."""
    return await open_near_bank()


@pytest.fixture
async def bank(start_bank: StartBank) -> SimulatedBank:
    """Return a bank in Kazakhstan at the first instant of 2026, its clock conducted."""
    return await start_bank()


VisitBank = Callable[[str], SimulatedBank]


@pytest.fixture
async def visit_bank(
    shared_addresses: Callable[[str], Address],
) -> AsyncIterator[VisitBank]:
    """Return a function that visits the run's shared bank of a profile, healed afterwards.

    For tests that neither move the clock nor mind what others have left in the books.
    """
    banks: list[SimulatedBank] = []
    async with aiohttp.ClientSession() as session:

        def visit(profile: str) -> SimulatedBank:
            found = shared_addresses(profile)
            bank = SimulatedBank(
                arguments=[],
                session=session,
                iban=IBANS[profile],
                url=found.url,
                control_url=found.control_url,
            )
            banks.append(bank)
            return bank

        yield visit
        for bank in banks:
            await bank.heal()


@pytest.fixture
def shared_bank(visit_bank: VisitBank) -> SimulatedBank:
    """Return the run's shared bank in Kazakhstan; quicker than `bank`, but not alone."""
    return visit_bank("mock-kz")
