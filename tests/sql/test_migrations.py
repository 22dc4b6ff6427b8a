"""All migrations together give exactly the schema that people read."""

import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

import sql
from app.migrate import migrate
from tests.conftest import database

# Everything that can differ: columns, constraints, indexes, functions, rights, sequences, rows.
CATALOGUE = """
SELECT 'column' AS kind, format('%s.%s %s %s %s %s', c.relname, a.attname,
           format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attnum,
           pg_get_expr(d.adbin, d.adrelid)) AS what
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND c.relkind IN ('r', 'p', 'v')
UNION ALL
SELECT 'relation', format('%s %s %s %s', relname, relkind,
           relowner::regrole = current_user::regrole,
           (SELECT string_agg(acl::text, ' ' ORDER BY acl::text) FROM unnest(relacl) AS acl))
  FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind <> 'i'
UNION ALL
SELECT 'right', format('%s.%s %s', attrelid::regclass, attname,
           (SELECT string_agg(acl::text, ' ' ORDER BY acl::text) FROM unnest(attacl) AS acl))
  FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
 WHERE attacl IS NOT NULL AND relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'constraint', format('%s.%s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index', pg_get_indexdef(indexrelid)
  FROM pg_index JOIN pg_class c ON c.oid = indexrelid
 WHERE relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'function', pg_get_functiondef(p.oid) || coalesce(proacl::text, '')
  FROM pg_proc p WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
   AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
UNION ALL
SELECT 'extension', extname FROM pg_extension
UNION ALL
SELECT 'row', t::text FROM ledger_account t
UNION ALL
SELECT 'row', t::text FROM vat_rate t
"""


async def catalogue(connection: asyncpg.Connection) -> set[tuple[str, str]]:
    """Return what is in a database, without the record of migrations."""
    rows = await connection.fetch(CATALOGUE)
    return {(row["kind"], row["what"]) for row in rows if "schema_migrations" not in row["what"]}


@asynccontextmanager
async def nothing_in_it(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Make a database with nothing in it."""
    admin = await asyncpg.connect(postgres_url)
    name = f"m_{secrets.token_hex(6)}"
    await admin.execute(f"CREATE DATABASE {name}")
    connection = await asyncpg.connect(database(postgres_url, name))
    yield connection
    await connection.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def empty(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Give the owner of a database with nothing in it."""
    async with nothing_in_it(postgres_url) as connection:
        yield connection


@pytest.fixture
async def also_empty(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Give the owner of another one."""
    async with nothing_in_it(postgres_url) as connection:
        yield connection


class TestMigrations:
    """The files in sql/migrations ..."""

    async def test_give_the_schema_that_people_read(
        self, empty: asyncpg.Connection, also_empty: asyncpg.Connection
    ) -> None:
        """schema.sql is read by people and used by tests; migrations make the real database."""
        await migrate(empty)
        await also_empty.execute(sql.SCHEMA)

        migrated, read = await catalogue(empty), await catalogue(also_empty)

        assert migrated - read == set()
        assert read - migrated == set()
        assert len(read) > 300

    def test_are_numbered_without_gaps(self) -> None:
        """Two branches that both add 0007 must collide before they are merged."""
        assert [one.version for one in sql.MIGRATIONS] == [
            f"{number:04d}" for number in range(1, len(sql.MIGRATIONS) + 1)
        ]

    def test_begin_as_dbmate_wants_it(self) -> None:
        """An operator who uses dbmate can go on using it."""
        assert [one.name for one in sql.MIGRATIONS if not one.sql.startswith("-- migrate:up")] == []
        assert [one.name for one in sql.MIGRATIONS if "-- migrate:down" in one.sql] == []

    async def test_prepare_the_owner_s_queries(self, empty: asyncpg.Connection) -> None:
        """The record of migrations has queries of its own, which only the owner may run."""
        await migrate(empty)
        queries = sql.queries("owner/migrations")

        for name in queries.available_queries:
            if not name.endswith("_cursor") and ";" not in getattr(queries, name).sql.rstrip(
                " ;\n"
            ):
                await empty.prepare(getattr(queries, name).sql)

    async def test_record_the_digest_of_their_text(self, empty: asyncpg.Connection) -> None:
        """The digest is the SHA-256 of the file, as sha256sum would print it."""
        await migrate(empty)
        kept = await empty.fetchval("SELECT digest FROM schema_migrations WHERE version = '0001'")

        text = next(one.sql for one in sql.MIGRATIONS if one.version == "0001")
        assert re.match(r"-- migrate:up\n", text)
        assert kept == hashlib.sha256(text.encode()).digest()
