"""Migrating: once, in order, together or not at all, and never over an edited past."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.migrate import (
    EditedMigrationError,
    MigrationError,
    NewerDatabaseError,
    migrate,
    status,
    verify,
)
from sql import Migration
from tests.conftest import database

ROLE = """-- migrate:up
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'aqkol_service') THEN
        CREATE ROLE aqkol_service NOLOGIN;
    END IF;
END $$;
CREATE TABLE one (n integer);
GRANT INSERT ON ALL TABLES IN SCHEMA public TO aqkol_service;
"""
FIRST = Migration(version="0001", name="0001_one.sql", sql=ROLE)
SECOND = Migration(
    version="0002",
    name="0002_two.sql",
    sql="-- migrate:up\nCREATE TABLE two (n integer);\n-- migrate:down\nDROP TABLE one;\n",
)
BROKEN = Migration(
    version="0002", name="0002_broken.sql", sql="CREATE TABLE two (n integer); SELECT 1 / 0;"
)


@pytest.fixture
async def empty_url(postgres_url: str) -> AsyncIterator[str]:
    """Give the address of a database with nothing in it."""
    admin = await asyncpg.connect(postgres_url)
    name = f"m_{secrets.token_hex(6)}"
    await admin.execute(f"CREATE DATABASE {name}")
    yield database(postgres_url, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Give its owner."""
    connection = await asyncpg.connect(empty_url)
    yield connection
    await connection.close()


async def tables(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return {row["relname"] for row in rows} - {"schema_migrations"}


class TestMigrate:
    """Migrating ..."""

    async def test_applies_each_once(self, empty: asyncpg.Connection) -> None:
        """The second run finds nothing to do, a new file is added to the old ones."""
        assert await migrate(empty, [FIRST]) == ("0001",)
        assert await migrate(empty, [FIRST]) == ()
        assert await migrate(empty, [FIRST, SECOND]) == ("0002",)
        assert await tables(empty) == {"one", "two"}

    async def test_works_from_two_processes_at_once(
        self, empty_url: str, empty: asyncpg.Connection
    ) -> None:
        """Every service may be started with --migrate, all at the same moment."""
        other = await asyncpg.connect(empty_url)

        both = await asyncio.gather(
            migrate(empty, [FIRST, SECOND]), migrate(other, [FIRST, SECOND])
        )
        await other.close()

        assert sorted([*both[0], *both[1]]) == ["0001", "0002"]

    async def test_leaves_nothing_of_a_broken_file(self, empty: asyncpg.Connection) -> None:
        """Half a migration would fit neither the old program nor the new one."""
        with pytest.raises(asyncpg.DivisionByZeroError):
            await migrate(empty, [FIRST, BROKEN])

        assert await tables(empty) == {"one"}
        assert [one.state for one in await status(empty, [FIRST, BROKEN])] == ["applied", "pending"]

    async def test_refuses_an_edited_past(self, empty: asyncpg.Connection) -> None:
        """The same name with another text is another schema on every other machine."""
        await migrate(empty, [FIRST])
        edited = Migration(version="0001", name="0001_one.sql", sql=ROLE + "-- a word more")

        with pytest.raises(EditedMigrationError) as refused:
            await migrate(empty, [edited, SECOND])

        assert refused.value.names == ("0001_one.sql",)
        assert await tables(empty) == {"one"}

    async def test_refuses_a_database_from_the_future(self, empty: asyncpg.Connection) -> None:
        """An old program would write rows that the new schema forbids."""
        await migrate(empty, [FIRST, SECOND])

        with pytest.raises(NewerDatabaseError) as refused:
            await migrate(empty, [FIRST])

        assert refused.value.versions == ("0002",)

    async def test_takes_over_from_dbmate(self, empty: asyncpg.Connection) -> None:
        """Its record has one column; what it applied is not applied again."""
        await empty.execute("CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY)")
        await empty.execute("INSERT INTO schema_migrations (version) VALUES ('0001')")
        before = [one.state for one in await status(empty, [FIRST, SECOND])]

        applied = await migrate(empty, [FIRST, SECOND])

        assert before == ["applied", "pending"]
        assert applied == ("0002",)

    async def test_keeps_its_record_from_the_service(self, empty: asyncpg.Connection) -> None:
        """A migration may grant on all tables; the record of the past is not among them."""
        await migrate(empty, [FIRST])

        rights = await empty.fetch(
            "SELECT has_table_privilege('aqkol_service', 'schema_migrations', r) AS may, r"
            " FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS r"
        )

        assert {row["r"]: row["may"] for row in rights} == {
            "SELECT": True,
            "INSERT": False,
            "UPDATE": False,
            "DELETE": False,
        }


class TestRights:
    """A database user who may not make roles ..."""

    async def test_is_told_what_an_administrator_must_do(
        self, empty_url: str, empty: asyncpg.Connection
    ) -> None:
        """Managed databases rarely give their users such rights; one sentence, to be copied."""
        name = f"plain_{secrets.token_hex(4)}"
        await empty.execute(f"CREATE ROLE {name} LOGIN")
        await empty.execute(f"GRANT CREATE ON SCHEMA public TO {name}")
        plain = await asyncpg.connect(empty_url, user=name)
        forbidden = Migration(
            version="0001", name="0001_role.sql", sql="CREATE ROLE aqkol_nobody NOLOGIN;"
        )

        with pytest.raises(MigrationError) as refused:
            await migrate(plain, [forbidden])

        await plain.close()
        await empty.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
        assert f"GRANT aqkol_service TO {name};" in str(refused.value)
        assert "CREATE ROLE aqkol_service" in str(refused.value)


class TestVerify:
    """Before a process works ..."""

    async def test_demands_today_s_schema(self, empty: asyncpg.Connection) -> None:
        """Missing columns are better found at the start than at night."""
        with pytest.raises(MigrationError, match=r"lacks the migrations 0001: run aqkol migrate\."):
            await verify(empty, [FIRST])

        await migrate(empty, [FIRST])
        await verify(empty, [FIRST])
