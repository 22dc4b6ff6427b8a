"""The outside world of the demo: meters and a bank as processes, and a clerk who uses our API.

Everything here goes over pipes and sockets, as it would between strangers.
"""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from app.servers.child import LAUNCH

# How long a simulated party may take for one answer; a whole town's day takes well under a second.
ANSWER_S_MAX: Final = 120.0
# The longest line a fleet says is its registry: about 150 bytes a meter, 10,000 meters.
LINE_BYTES_MAX: Final = 4 * 2**20
# The example account of the SWIFT registry; it belongs to nobody.
IBAN: Final = "KZ86125KZT5004100100"


class DemoError(Exception):
    """A party of the demo did not do its part; the message says which and how."""


class Party:
    """A simulator that runs as a process of its own and does not outlive us."""

    def __init__(self, name: str, arguments: Sequence[str], *, log: Path) -> None:
        self._name = name
        self._log = log
        self._arguments = [
            sys.executable, "-I", "-S", str(LAUNCH),
            str(os.getpid()), str(int(signal.SIGTERM)), "0",
            sys.executable, "-m", "simulators", name, *arguments,
        ]  # fmt: skip
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._arguments, stdin=PIPE, stdout=PIPE, stderr=log,
                limit=LINE_BYTES_MAX, start_new_session=True,
            )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), 10)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def hear(self) -> dict[str, Any]:
        """Return the next line that it says.

        Raises:
            DemoError: it ended, or said an error.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), ANSWER_S_MAX)
        if not line:
            raise DemoError(f"the simulated {self._name} ended early; see {self._log}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DemoError(f"the simulated {self._name} says: {answer['error']}")
        return answer

    async def tell(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Give it one command and return its answer; raises as ``hear``."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()
        return await self.hear()


def fleet(*, port: int, meters: int, seed: int, start: datetime, truth: Path) -> Party:
    """Return a fleet of meters, some of which soon pass the end of their dial."""
    return Party("fleet", [
        "--conducted", "--host", "127.0.0.1", "--port", str(port), "--count", str(meters),
        "--seed", str(seed), "--start", start.isoformat(), "--truth", str(truth),
        "--interval", "0",
    ], log=truth.with_name("fleet.log"))  # fmt: skip


def bank(*, state: Path, token: str, now: datetime) -> Party:
    """Return a bank whose clock we move."""
    return Party("bank", [
        "--port", "0", "--control-port", "0", "--state", str(state), f"--token={token}",
        "--now", now.isoformat(),
    ], log=state.with_name("bank.log"))  # fmt: skip


class Web:
    """Somebody at the other end of a connection: an operator, a resident, the bank's control."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str | None = None) -> None:
        self._session = session
        self._url = url
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Send one request and return the JSON of its answer.

        Raises:
            DemoError: the answer is not a success.
        """
        async with self._session.request(
            method, self._url + path, json=body, headers=self._headers
        ) as answer:
            if not answer.ok:
                raise DemoError(f"{method} {path}: {answer.status} {await answer.text()}")
            found: dict[str, Any] = await answer.json()
            return found

    async def page(self, path: str) -> str:
        """Open a page as a browser would and return where it ended."""
        async with self._session.get(self._url + path) as answer:
            return str(answer.url)


async def register(clerk: Web, *, plate: Mapping[str, Any], number: int, at: datetime) -> str:
    """Register one home with its meter, as an operator would, and return its account."""
    account_id, supply_point_id = f"A-{number:06d}", f"SP-{number:06d}"
    await clerk.ask("POST", "/v1/accounts", {
        "account_id": account_id, "tariff_code": "home", "currency": "KZT",
        "person": {"full_name": f"Resident {number}", "address": f"Abai street {number}, Aqkol"},
        "supply_point": {"supply_point_id": supply_point_id, "connected_at": at.isoformat()},
    })  # fmt: skip
    await clerk.ask("POST", "/v1/meters", {
        name: plate[name]
        for name in ("meter_id", "dial_dm3", "step_dm3", "qmax_dm3_h", "compensated")
    })  # fmt: skip
    await clerk.ask("POST", f"/v1/meters/{plate['meter_id']}/installations", {
        "account_id": account_id, "supply_point_id": supply_point_id,
        "installed_at": at.isoformat(), "opening_dm3": plate["opening_dm3"],
    })  # fmt: skip
    return account_id


async def link(
    resident: Web, session: aiohttp.ClientSession, *, account_id: str, given_name: str
) -> None:
    """Link a bank account as a resident would: start, say yes on the bank's page, come back.

    Raises:
        DemoError: the mandate is not active afterwards.
    """
    started = await resident.ask("POST", f"/v1/accounts/{account_id}/mandates", {
        "payment_minor_max": 10_000_000, "month_minor_max": 10_000_000,
    })  # fmt: skip
    form = {
        "answer": "approve", "given_name": given_name, "family_name": "Demo", "iban": IBAN,
    }  # fmt: skip
    async with session.post(started["authorisation_url"], data=form) as answer:
        if not answer.ok:
            raise DemoError(f"the way back from the bank ended with {answer.status}")
    path = f"/v1/accounts/{account_id}/mandates/{started['mandate_id']}"
    mandate = await resident.ask("GET", path)
    if mandate["state"] != "active":
        raise DemoError(f"the mandate of {account_id} is {mandate['state']}")
