"""Who answers the meters in these tests, and over which broker."""

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from simulators.bank.command import open_bank
from simulators.bank.store import Store
from tests.conftest import Broker, free_port
from tests.fixtures_bank import BANK_START, IBANS
from tests.simulators.desk import Desk, MortalBroker, serving
from tests.simulators.teller import OpenBank, Teller


@pytest.fixture
def prefix() -> str:
    """Return a beginning of meter names that no other test on this broker uses."""
    return f"T{secrets.token_hex(3).upper()}-"


@pytest.fixture
async def desk(mosquitto: Broker, prefix: str) -> AsyncIterator[Desk]:
    """Run a desk on the shared broker."""
    async with serving(Desk(prefix=prefix), mosquitto) as desk:
        yield desk


@pytest.fixture
def mortal_broker() -> Iterator[MortalBroker]:
    """Return a running broker of this test alone."""
    home = Path(tempfile.mkdtemp(prefix="aqkol-mortal-"))
    broker = MortalBroker(home=home, port=free_port())
    broker.start()
    yield broker
    broker.stop()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def open_teller(tmp_path: Path) -> Iterator[OpenBank]:
    """Return a function that opens a bank of a profile in this process, its clock conducted."""
    with contextlib.ExitStack() as stack:

        def open_teller(profile: str) -> Teller:
            state = tmp_path / f"{secrets.token_hex(4)}.sqlite"
            store = stack.enter_context(contextlib.closing(Store(state)))
            bank = open_bank(store, profile=profile, public_url="http://bank.test", now=BANK_START)
            return Teller(bank=bank, iban=IBANS[profile])

        yield open_teller


@pytest.fixture
def teller(open_teller: OpenBank) -> Teller:
    """Return a teller of a bank in Kazakhstan at the first instant of 2026."""
    return open_teller("mock-kz")
