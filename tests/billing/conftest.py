"""What most tests of debits stand on: the homes of a town, and where their debits are kept."""

import asyncpg
import pytest

from billing.io.debits import Debits
from tests.billing.debit_town import DebitTown


@pytest.fixture
def town(owner: asyncpg.Connection) -> DebitTown:
    """Return the homes, and what is known of their debits."""
    return DebitTown(owner)


@pytest.fixture
def store(pool: asyncpg.Pool) -> Debits:
    """Return where debits are kept."""
    return Debits(pool)
