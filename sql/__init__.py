"""Everything we ask of the database: the named queries, the schema and how it came to be."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import aiosql

_HERE = files(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the schema's history, as the file in sql/migrations says it."""

    version: str
    name: str
    sql: str


@cache
def queries(name: str) -> Any:  # noqa: ANN401 - aiosql makes one method per query at run time
    """Return the named queries of ``sql/<name>.sql``.

    Each is a method that takes a connection and the query's parameters by name.

    Raises:
        FileNotFoundError: there is no such file.
    """
    text = _HERE.joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return aiosql.from_str(text, "asyncpg", kwargs_only=True)


def _migrations() -> tuple[Migration, ...]:
    folder = _HERE.joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(
        Migration(
            version=name.split("_", 1)[0],
            name=name,
            sql=folder.joinpath(name).read_text(encoding="utf-8"),
        )
        for name in names
    )


SCHEMA: Final = _HERE.joinpath("schema.sql").read_text(encoding="utf-8")
MIGRATIONS: Final = _migrations()
