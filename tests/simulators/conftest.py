"""Who answers the meters in these tests, and over which broker."""

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.conftest import Broker, free_port
from tests.simulators.desk import Desk, MortalBroker, serving


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
