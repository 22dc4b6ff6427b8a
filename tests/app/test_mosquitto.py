"""Our own broker: it keeps what it was given, is found again after a kill, and needs no root."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from app.servers import mosquitto as supervisor
from app.servers import rights, unpack
from app.servers.child import ServerError
from app.servers.mosquitto import Mosquitto
from tests.app import servers_town

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that others may pass through, as a state folder is."""
    path = Path(tempfile.mkdtemp(prefix="aqkol-t-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def broker(folder: Path) -> AsyncIterator[Mosquitto]:
    """Give a broker that was not started yet."""
    server = Mosquitto(home=folder / "mosquitto")
    yield server
    await server.stop()


def client(port: int, name: str) -> aiomqtt.Client:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's own
    properties.SessionExpiryInterval = 3600
    return aiomqtt.Client(
        "127.0.0.1", port, identifier=name, clean_start=False,
        protocol=aiomqtt.ProtocolVersion.V5, properties=properties,
    )  # fmt: skip


async def leave_messages(port: int, count: int) -> None:
    """Let a subscriber come and go, and publish while it is away."""
    async with client(port, "absent") as absent:
        await absent.subscribe("kept", qos=1)
    async with client(port, "sender") as sender:
        for number in range(count):
            await sender.publish("kept", str(number), qos=1)


async def waiting(port: int, count: int) -> list[int]:
    """Return the messages that waited for the absent subscriber."""
    numbers: list[int] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(15), client(port, "absent") as absent:
            async for message in absent.messages:
                numbers.append(int(bytes(message.payload)))
                if len(numbers) == count:
                    return numbers
    return numbers


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


class TestStart:
    """A start ..."""

    async def test_keeps_messages_for_an_absent_session(self, broker: Mosquitto) -> None:
        """With default settings the broker would drop all beyond a thousand, silently."""
        port = port_of(await broker.start())
        await leave_messages(port, 1200)

        assert await waiting(port, 1200) == list(range(1200))

    async def test_keeps_them_over_a_restart(self, broker: Mosquitto) -> None:
        """An orderly stop writes the store."""
        await leave_messages(port_of(await broker.start()), 5)
        await broker.stop()

        assert await waiting(port_of(await broker.start()), 5) == [0, 1, 2, 3, 4]

    async def test_listens_on_the_same_port_again(self, broker: Mosquitto) -> None:
        """Meters come back to the address that they know."""
        first = await broker.start()
        await broker.stop()

        assert await broker.start() == first

    async def test_takes_another_port_when_its_own_was_taken(self, broker: Mosquitto) -> None:
        """Somebody else may have it by now; ours is only a habit."""
        first = port_of(await broker.start())
        await broker.stop()
        with socket.create_server(("127.0.0.1", first)):
            second = port_of(await broker.start())

        assert second != first

    async def test_says_when_the_wanted_port_is_taken(self, folder: Path) -> None:
        """A port from the settings is meant: another one would not be found by the meters."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ServerError, match=f"Port {port} .* is taken"):
                await Mosquitto(home=folder / "mosquitto", port=port).start()

    async def test_sets_an_unreadable_store_aside(self, broker: Mosquitto, folder: Path) -> None:
        """A disk that lied must not keep the broker down; meters send again what was in it."""
        await broker.start()
        await broker.stop()
        (folder / "mosquitto" / "mosquitto.db").write_bytes(b"\x00\xb5\x00mosquitto db" + b"?" * 90)

        await broker.start()

        assert (folder / "mosquitto" / "mosquitto.db.unreadable").exists()

    async def test_hears_nobody_from_outside(self, broker: Mosquitto) -> None:
        """It asks for no password, so it listens on loopback only."""
        port = port_of(await broker.start())
        listening = (
            subprocess.run(
                ["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=False
            ).stdout
            or f"127.0.0.1:{port}"
        )

        assert {line.split()[3] for line in listening.splitlines() if len(line.split()) > 3} <= {
            f"127.0.0.1:{port}"
        }

    async def test_does_not_run_as_root(self, broker: Mosquitto) -> None:
        """As root it runs without root's powers, and still writes into our folder."""
        await broker.start()
        assert broker.pid is not None
        status = Path(f"/proc/{broker.pid}/uid_map").read_text().strip()  # noqa: ASYNC240 - /proc

        assert os.geteuid() != 0 or rights.namespaces_work() is None or status == ""

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root would change its user")
    async def test_writes_its_store_where_namespaces_are_forbidden(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Left alone it becomes a user who may not enter our folder, and keeps nothing."""
        monkeypatch.setattr(rights, "namespaces_work", lambda: None)
        broker = Mosquitto(home=folder / "mosquitto")
        await leave_messages(port_of(await broker.start()), 3)
        await broker.stop()
        found = await waiting(port_of(await broker.start()), 3)
        await broker.stop()

        assert found == [0, 1, 2]


class TestAfterAKill:
    """A start after kill -9 ..."""

    async def test_has_the_sessions_of_before(self, folder: Path) -> None:
        """The kernel asks the broker to end when we die, so it still writes its store."""
        first = servers_town.start("mosquitto", folder / "mosquitto")
        await leave_messages(port_of(first.url), 3)
        first.kill()
        gone = servers_town.ended(first.pid)

        second = servers_town.start("mosquitto", folder / "mosquitto")
        found = await waiting(port_of(second.url), 3)
        second.close()

        assert gone
        assert second.url == first.url
        assert found == [0, 1, 2]

    async def test_stops_a_broker_that_survived(self, broker: Mosquitto, folder: Path) -> None:
        """Two brokers on one store would each write over the other's."""
        await broker.start()
        survivor = broker._process
        assert survivor is not None
        second = Mosquitto(home=folder / "mosquitto")

        await second.start()
        await second.stop()

        assert survivor.wait(10) == 0

    @pytest.mark.skipif(not servers_town.can_be_nobody(), reason="needs root and a system Python")
    def test_works_for_an_ordinary_user(self, folder: Path) -> None:
        """Nothing of it needs root."""
        os.chown(folder, servers_town.NOBODY, servers_town.NOBODY)

        first = servers_town.start("mosquitto", folder / "mosquitto", uid=servers_town.NOBODY)
        first.kill()
        second = servers_town.start("mosquitto", folder / "mosquitto", uid=servers_town.NOBODY)
        second.close()

        assert second.url == first.url


class TestSearch:
    """The search for a broker ..."""

    async def test_says_how_to_get_one(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No broker and no package manager: one sentence with the ways out."""
        monkeypatch.setattr(supervisor, "PLACES", ())
        monkeypatch.setenv("PATH", str(folder))

        with pytest.raises(ServerError, match=r"install Mosquitto .* or set AQKOL_MQTT_URLS"):
            await Mosquitto(home=folder / "mosquitto").start()

    async def test_means_what_the_setting_says(self, folder: Path) -> None:
        """A program that was named is not silently replaced by another."""
        server = Mosquitto(home=folder / "m", mosquitto_bin=Path("/bin/true"))

        with pytest.raises(ServerError, match="/bin/true does not run: it does not say"):
            await server.start()

    async def test_runs_what_was_unpacked(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The distribution's package, unpacked without root, is found again and used."""
        installed = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        place = folder / "mosquitto" / "tree" / "usr" / "sbin"
        place.mkdir(parents=True)
        shutil.copy(installed, place)
        monkeypatch.setattr(supervisor, "PLACES", ())
        monkeypatch.setattr(shutil, "which", hidden)
        server = Mosquitto(home=folder / "mosquitto")

        found = list(supervisor.candidates(None, folder / "mosquitto"))
        await server.start()
        await server.stop()

        assert [(one.origin, one.problem) for one in found] == [("unpacked", None)]

    def test_reads_what_a_package_needs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only libraries, by name, without versions and alternatives, and only what is lacking."""
        monkeypatch.setattr(unpack, "installed", lambda name: name == "libc6")

        needed = unpack.lacking(
            "adduser (>= 3.10), libcjson1 (>= 1.7.13), libc6 (>= 2.34), libwrap0:any | x, lsb-base"
        )

        assert needed == ["libcjson1", "libwrap0"]


def hidden(name: str, path: str | None = None) -> str | None:
    """Find every program but an installed broker."""
    del path
    found = Path("/usr/bin") / name
    return str(found) if found.exists() and name != "mosquitto" else None
