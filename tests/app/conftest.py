"""A served API for the tests beside this file."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.app.api_town import Api, served


@pytest.fixture
async def api(pool: asyncpg.Pool, owner: asyncpg.Connection) -> AsyncIterator[Api]:
    """Serve the API over a small town."""
    async with served(pool, owner) as api:
        yield api
