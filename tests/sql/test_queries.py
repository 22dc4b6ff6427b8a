"""Every named query prepares against today's schema, and says in a sentence what it does."""

from pathlib import Path

import asyncpg
import pytest

import sql

SQL = Path(sql.__file__).parent
FILES = sorted(path.stem for path in SQL.glob("*.sql") if path.stem != "schema")


def named(file: str) -> list[str]:
    return [q for q in sql.queries(file).available_queries if not q.endswith("_cursor")]


QUERIES = [(file, query) for file in FILES for query in named(file)]


class TestQueries:
    """The statements in sql/ ..."""

    def test_are_found(self) -> None:
        """An empty list would make the tests below pass for nothing."""
        assert len(QUERIES) > 20

    async def test_prepare(self, pool: asyncpg.Pool) -> None:
        """Nothing but preparing shows a missing cast or a column that was renamed.

        It runs with the service's rights, so a query the service may not run fails here too.
        """
        refused = []
        async with pool.acquire() as connection:
            for file, query in QUERIES:
                text = getattr(sql.queries(file), query).sql
                try:
                    await connection.prepare(text)
                except asyncpg.PostgresError as error:
                    refused.append(f"{file}.{query}: {error}")

        assert refused == []

    @pytest.mark.parametrize(("file", "query"), QUERIES, ids=[f"{f}.{q}" for f, q in QUERIES])
    def test_say_what_they_do(self, file: str, query: str) -> None:
        """One sentence each, so that the files read as the list of all we ask."""
        sentence = (getattr(sql.queries(file), query).__doc__ or "").strip()

        assert sentence.endswith("."), f"{file}.{query} has no sentence"
