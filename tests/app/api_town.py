"""A served API over a small town: two homes, each with a meter, a bill, a mandate and a debit."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp
import asyncpg
from aiohttp import web
from yarl import URL

from app.run import SteppedClock
from app.serve import Runner
from app.tokens import issue_token
from app.web import WebDeps, build_app, routes
from billing.bank import BankMandate, BankSilentError, BillingRequest, Flow, MandateStatus
from metering.io.conversions import Wanted
from metering.io.route import Bound, Role

AT: Final = datetime(2026, 2, 10, 12, 0, tzinfo=UTC)
ZONE: Final = "Asia/Almaty"
NOTHING_ELSE: Final = Wanted()
NEW_YEAR: Final = "2026-01-01T00:00:00+05:00"
FEBRUARY: Final = "2026-02-01T00:00:00+05:00"
NEW_SECRET: Final = "the-secret-of-this-year"
OLD_SECRET: Final = "the-secret-of-last-year"
BANK_PAGE: Final = "https://bank.example/flow/BRF1"


@dataclass(slots=True)
class FakeBank:
    """A bank that agrees at once; silent on demand."""

    silent: bool = False
    redirects: list[str] = field(default_factory=list)

    async def create_billing_request(
        self, *, currency: str, scheme: str, key: str
    ) -> BillingRequest:
        """Make the one request there is."""
        assert (currency, scheme) == ("KZT", "kz_direct")
        self._answer(key)
        return BillingRequest(request_id="BRQ1", cancelled=False, bank_mandate_id=None)

    async def create_flow(
        self, *, request_id: str, redirect_uri: str, exit_uri: str, key: str
    ) -> Flow:
        """Open the page, and remember where it leads back to."""
        assert (request_id, exit_uri) == ("BRQ1", redirect_uri)
        self._answer(key)
        self.redirects.append(redirect_uri)
        return Flow(flow_id="BRF1", authorisation_url=BANK_PAGE)

    async def get_billing_request(self, request_id: str) -> BillingRequest | None:
        """Say that the payer has agreed."""
        self._answer(request_id)
        return BillingRequest(request_id=request_id, cancelled=False, bank_mandate_id="MD9")

    async def get_mandate(self, bank_mandate_id: str) -> BankMandate | None:
        """Say that the mandate may be used."""
        self._answer(bank_mandate_id)
        return BankMandate(
            bank_mandate_id=bank_mandate_id, status=MandateStatus.ACTIVE, bank_account_id="BA1"
        )

    async def account_number_ending(self, bank_account_id: str) -> str | None:
        """Say how the account number ends."""
        self._answer(bank_account_id)
        return "00"

    def _answer(self, asked: str) -> None:
        if self.silent:
            raise BankSilentError(f"no answer to {len(asked)} letters")


@dataclass(slots=True, kw_only=True)
class Api:
    """A running server, those who may call it, and the database behind it."""

    url: str
    session: aiohttp.ClientSession
    clock: SteppedClock
    pool: asyncpg.Pool
    owner: asyncpg.Connection
    bank: FakeBank
    routes: tuple[Bound, ...]
    operator: str
    resident: str
    other: str
    healthy: dict[str, bool]

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: object = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Send one request; return the status and the JSON (or the text) of the answer."""
        async with self.request(
            method, path, token=token, json=json, data=data, headers=headers
        ) as response:
            if response.content_type in {"application/json", "application/problem+json"}:
                return response.status, await response.json(content_type=None)
            return response.status, await response.text(errors="replace")

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: object = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Open one request, for those who look at more than the body."""
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        return self.session.request(
            method,
            URL(self.url + path, encoded=True),
            headers=sent,
            json=json,
            data=data,
            allow_redirects=False,
        )


async def settle(owner: asyncpg.Connection, account_id: str, meter_id: str) -> None:
    """Give an account everything a home can have, written by the database's owner."""
    opened = datetime.fromisoformat(NEW_YEAR)
    ended = datetime.fromisoformat(FEBRUARY)
    await owner.execute("INSERT INTO account VALUES ($1, 'household', 'KZT', $2)", account_id, AT)
    await owner.execute(
        "INSERT INTO person VALUES ($1, $2, $3)",
        account_id,
        f"Name of {account_id}",
        f"Street of {account_id}",
    )
    await owner.execute("INSERT INTO supply_point VALUES ($1, 'SP-1', $2)", account_id, opened)
    await owner.execute(
        "INSERT INTO meter VALUES ($1, 100000000, 1, 6000, false, $2)", meter_id, opened
    )
    await owner.execute(
        "INSERT INTO installation VALUES ($1, $2, $3, 'SP-1', 20000)", meter_id, opened, account_id
    )
    await owner.execute("SELECT open_reading_month($1)", ended)
    await owner.execute(
        "INSERT INTO reading VALUES ($1, $2, 120000, 0, 'billable', NULL, 1, $2)", meter_id, ended
    )
    await owner.execute(
        "INSERT INTO mandate VALUES ($1, 'M-1', 'active', 'active', 100000, 200000, 'KZT', 'BRQ0',"
        " 'BRF0', 'https://bank.example/0', $2, $4, '00', $3, $3)",
        account_id,
        hashlib.sha256(account_id.encode()).digest(),
        AT,
        f"MD{account_id.removeprefix('A-')}",
    )


async def bill(api: Api) -> None:
    """Bill January and announce a debit for each bill."""
    status, _ = await api.call(
        "POST", "/v1/bill-runs", token=api.operator, json={"period": "2026-01"}
    )
    assert status == 200
    for account_id in ("A-1", "A-2"):
        await api.owner.execute(
            "INSERT INTO debit (account_id, bill_no, attempt, mandate_id, state, amount_minor,"
            " currency, charge_on, changed_at) VALUES ($1, '2026-01', 1, 'M-1', 'noticed', 74297,"
            " 'KZT', '2026-02-25', $2)",
            account_id,
            AT,
        )
        await api.owner.execute(
            "INSERT INTO debit_step VALUES ($1, '2026-01', 1, 1, NULL, 'noticed', NULL, $2)",
            account_id,
            AT,
        )
        await api.owner.execute(
            "INSERT INTO notice VALUES ($1, '2026-01', 1, 74297, 'KZT', '2026-02-25', $2, 'api')",
            account_id,
            AT,
        )


async def token_for(pool: asyncpg.Pool, account_id: str | None, *, days: int = 30) -> str:
    """Return a token of a resident, or of an operator when no account is named."""
    role = Role.OPERATOR if account_id is None else Role.RESIDENT
    issued = await issue_token(
        pool,
        role=role,
        account_id=account_id,
        label="a test",
        at=AT,
        lifetime=timedelta(days=days),
    )
    return issued.token


@asynccontextmanager
async def served(
    pool: asyncpg.Pool,
    owner: asyncpg.Connection,
    *,
    wanted: Wanted = NOTHING_ELSE,
    webhook_secrets: tuple[str, ...] = (NEW_SECRET, OLD_SECRET),
) -> AsyncIterator[Api]:
    """Serve the API on a free port of loopback, over an empty town with two homes."""
    await owner.execute(
        "INSERT INTO tariff VALUES ('household', '2025-01-01', NULL, 640490, 'KZT', 'a test')"
    )
    await settle(owner, "A-1", "AQ-000001")
    await settle(owner, "A-2", "AQ-000002")
    clock, bank, healthy = SteppedClock(AT), FakeBank(), {"database": True}

    async def database_answers() -> bool:
        return healthy["database"]

    deps = WebDeps(
        pool=pool,
        clock=clock,
        zone=ZONE,
        public_url="https://gas.example",
        bank=bank,
        bank_scheme="kz_direct",
        checks={"database": database_answers},
        wanted=wanted,
        webhook_secrets=webhook_secrets,
    )
    runner = Runner(build_app(deps))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession() as session:
            yield Api(
                url=f"http://{host}:{port}",
                session=session,
                clock=clock,
                pool=pool,
                owner=owner,
                bank=bank,
                routes=routes(deps),
                operator=await token_for(pool, None),
                resident=await token_for(pool, "A-1"),
                other=await token_for(pool, "A-2"),
                healthy=healthy,
            )
    finally:
        await runner.cleanup()
