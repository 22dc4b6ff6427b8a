"""Residents who change their bank account: at the service's door, then on the bank's page."""

import asyncio
import secrets
from typing import Final

import asyncpg

from billing.bank import BankError
from billing.enrol import MandateEndedError
from billing.link import MandateExistsError, refresh_link, start_link
from billing.mandate import Caps
from tests.world.loop import Process
from tests.world.memory_store import MemoryDebits
from tests.world.town import HOUR_S, IBAN, Home, World

# The same account number in another spelling of the same person; what counts is the new mandate.
SCHEME: Final = "kz_direct"
RETURN_URL: Final = "https://gas.test/v1/mandates/return"
AWAY: Final = (OSError, BankError, asyncpg.PostgresError, asyncpg.InterfaceError)
TRIES: Final = 20


async def change_account(world: World, home: Home) -> None:
    """Let a resident link another account, and try again while the world is in his way."""
    process = Process(f"resident of {home.account_id}")
    await world.loop.spawn(process, _change(world, home))


async def _change(world: World, home: Home) -> None:
    store = MemoryDebits(world.db)
    caps = Caps(payment_minor_max=100_000, month_minor_max=150_000)
    async with world.client() as bank:
        for _ in range(TRIES):
            try:
                link = await start_link(
                    store=store,
                    bank=bank,
                    account_id=home.account_id,
                    caps=caps,
                    scheme=SCHEME,
                    return_url=RETURN_URL,
                    at=world.at,
                    tokens=secrets,
                    changing=True,
                )
            except (MandateExistsError, MandateEndedError):
                return
            except AWAY:
                await asyncio.sleep(world.rng.uniform(60.0, HOUR_S))
                continue
            mandate = world.db.rows["mandate"][home.account_id, link.mandate_id]
            _agree(world, home, mandate.bank_request_id)
            world.loop.note("relinked", home.account_id, link.mandate_id)
            break
        else:
            return
        for _ in range(TRIES):
            try:
                await refresh_link(
                    store=store,
                    bank=bank,
                    account_id=home.account_id,
                    mandate_id=link.mandate_id,
                    at=world.at,
                )
            except AWAY:
                await asyncio.sleep(world.rng.uniform(60.0, HOUR_S))
                continue
            return


def _agree(world: World, home: Home, request_id: str) -> None:
    """Say yes on the bank's page, and write down which mandate that made, and when."""
    person = {"given_name": home.given_name, "family_name": "Nurlanova"}
    operate, kind = world.bank.operate, "billing_requests"
    operate(f"{kind}.collect_customer_details", request_id, customer=person)
    number = {"account_holder_name": "Nurlanova", "iban": IBAN}
    operate(f"{kind}.collect_bank_account", request_id, **number)
    operate(f"{kind}.confirm_payer_details", request_id)
    done = operate(f"{kind}.fulfil", request_id)
    made = done["links"]["mandate_request_mandate"]
    world.truth.linked[made] = world.at
    world.network.struck["relinked"] += 1
