"""The connections of the service to its database."""

from contextlib import AbstractAsyncContextManager
from typing import Final

import asyncpg

# The service's own rights, not the owner's; the name is what an administrator sees.
SESSION: Final = {"role": "aqkol_service", "application_name": "aqkol", "timezone": "UTC"}

# Two writers for each broker, the API and the loops, with room; far below the server's 100.
POOL_MAX: Final = 12


class ServiceConnection(asyncpg.Connection):  # type: ignore[misc] # untyped
    """A connection that is handed on as it is.

    Whatever we do on one ends with its transaction: locks, settings, cursors (tests/house holds the
    queries to that). So there is nothing to clear away between two transactions, and the question
    to the server that would do it is spared. A transaction left open is still rolled back.
    """

    def get_reset_query(self) -> str:
        """Return what is asked of the server between two users: nothing."""
        return ""


def service_pool(
    url: str, *, size_min: int = 0, size_max: int = POOL_MAX
) -> AbstractAsyncContextManager[asyncpg.Pool]:
    """Return a pool of connections with the service's rights, opened on entry."""
    pool: AbstractAsyncContextManager[asyncpg.Pool] = asyncpg.create_pool(
        url,
        min_size=size_min,
        max_size=size_max,
        server_settings=SESSION,
        connection_class=ServiceConnection,
    )
    return pool
