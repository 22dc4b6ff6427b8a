"""Bring a database to today's schema: every file of sql/migrations once, in order, forward only.

Each file is one transaction together with its line in ``schema_migrations``, under a lock, so
that two processes that start together are fine and a killed one leaves nothing half done. The
digest of the text is kept: a file that was edited after it ran is a different schema under an old
name.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import asyncpg
import structlog

import sql

log = structlog.get_logger()

_Q: Final = sql.queries("owner/migrations")

State = Literal["applied", "pending", "edited", "unknown"]


class MigrationError(Exception):
    """The database cannot be brought to today's schema; the message is a sentence for people."""


class EditedMigrationError(MigrationError):
    """Migrations were edited after they were applied."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"Edited after it was applied: {', '.join(names)}. "
            "Restore the file and write a new migration."
        )
        self.names = tuple(names)


class NewerDatabaseError(MigrationError):
    """The database has migrations that this program does not know."""

    def __init__(self, versions: Sequence[str]) -> None:
        super().__init__(
            f"The database is newer than this program (it has {', '.join(versions)}): "
            "start the newer program."
        )
        self.versions = tuple(versions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One migration and how it stands in this database."""

    version: str
    name: str
    state: State


def digest(migration: sql.Migration) -> bytes:
    """Return the SHA-256 of a migration's text."""
    return hashlib.sha256(migration.sql.encode()).digest()


def forward_part(text: str) -> str:
    """Return what runs when going forward: between dbmate's two marks."""
    return text.split("-- migrate:up", 1)[-1].split("-- migrate:down", 1)[0]


async def status(
    connection: asyncpg.Connection, migrations: Sequence[sql.Migration] = sql.MIGRATIONS
) -> list[Step]:
    """Return every migration, known to us or to the database, with its state."""
    applied: dict[str, bytes | None] = {}
    if await _Q.has_migration_record(connection):
        applied = {row["version"]: row["digest"] async for row in _Q.applied_migrations(connection)}
    steps = []
    for migration in migrations:
        state: State = "pending"
        if migration.version in applied:
            was = applied[migration.version]
            # One that dbmate applied has no digest to compare with.
            state = "applied" if was is None or was == digest(migration) else "edited"
        steps.append(Step(version=migration.version, name=migration.name, state=state))
    known = {migration.version for migration in migrations}
    steps += [
        Step(version=version, name="", state="unknown")
        for version in applied
        if version not in known
    ]
    return steps


def demand_untouched(steps: Sequence[Step]) -> None:
    """Refuse a history that is not ours.

    Raises:
        EditedMigrationError: a file changed after it was applied.
        NewerDatabaseError: the database knows migrations that we do not.
    """
    edited = [step.name for step in steps if step.state == "edited"]
    if edited:
        raise EditedMigrationError(edited)
    unknown = [step.version for step in steps if step.state == "unknown"]
    if unknown:
        raise NewerDatabaseError(unknown)


async def verify(
    connection: asyncpg.Connection, migrations: Sequence[sql.Migration] = sql.MIGRATIONS
) -> None:
    """Demand a database that is exactly at today's schema.

    Raises:
        MigrationError: edited, newer, or not yet migrated.
    """
    steps = await status(connection, migrations)
    demand_untouched(steps)
    pending = [step.version for step in steps if step.state == "pending"]
    if pending:
        raise MigrationError(
            f"The database lacks the migrations {', '.join(pending)}: run aqkol migrate."
        )


async def migrate(
    connection: asyncpg.Connection, migrations: Sequence[sql.Migration] = sql.MIGRATIONS
) -> tuple[str, ...]:
    """Apply what is missing and return the versions applied; nothing is left half done.

    Raises:
        MigrationError: the history is not ours, or the database's user may not do it.
    """
    try:
        async with connection.transaction():
            await _Q.lock_migrations(connection)
            await _Q.make_migration_record(connection)
        applied = [one.version for one in migrations if await _apply(connection, one, migrations)]
        async with connection.transaction():
            await _Q.lock_migrations(connection)
            demand_untouched(await status(connection, migrations))
            await _Q.close_migration_record(connection)
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(_advice(connection, error)) from error
    except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError) as error:
        raise MigrationError(
            f"PostgreSQL lacks something we need: {error}. Is its contrib package installed?"
        ) from error
    log.info("database.migrated", applied=len(applied))
    return tuple(applied)


async def _apply(
    connection: asyncpg.Connection, migration: sql.Migration, all_known: Sequence[sql.Migration]
) -> bool:
    """Apply one migration unless another process has done so; say whether we did."""
    async with connection.transaction():
        await _Q.lock_migrations(connection)
        steps = await status(connection, all_known)
        demand_untouched(steps)
        if all(step.state != "pending" for step in steps if step.version == migration.version):
            return False
        await connection.execute(forward_part(migration.sql))
        await _Q.record_migration(connection, version=migration.version, digest=digest(migration))
        return True


def _advice(connection: Any, error: Exception) -> str:  # noqa: ANN401 - what is inside differs by version
    user = connection.get_settings().session_authorization
    return (
        f"The database's user {user} may not set up the schema ({error}). An administrator runs "
        "once: "
        "CREATE EXTENSION IF NOT EXISTS btree_gist; CREATE ROLE aqkol_service NOLOGIN; "
        f"GRANT aqkol_service TO {user};"
    )
