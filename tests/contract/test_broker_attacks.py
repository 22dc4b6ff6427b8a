"""Attacks on a real Mosquitto that runs with the configuration we generate.

Each attack is tried twice: against the configuration as it is, and with the line taken out that
stops it. The second try must succeed, else the first has proved nothing.
"""

import signal
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
import trustme

from app.broker_config import PACKET_BYTES_MAX
from tests.contract.broker_town import (
    ANSWER_S,
    HOST,
    NOBODY_LISTENS,
    NOT_AUTHORIZED,
    Client,
    ShutError,
    Town,
    down,
    let_in,
    packet,
    refused_soon,
    running,
    self_signed,
    shut,
    text,
    unchanged,
    up,
    without,
)

pytestmark = pytest.mark.timeout(60)

EVERYBODY_EVERYTHING = "pattern readwrite #\npattern readwrite $SYS/#\npattern write $CONTROL/#\n"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Return a broker as we configure it."""
    with running(tmp_path_factory.mktemp("town")) as town:
        yield town


@pytest.fixture
def no_topics(tmp_path: Path) -> Iterator[Town]:
    """Return the same broker with a list of topics that allows everything."""
    with running(tmp_path, acl=lambda _: EVERYBODY_EVERYTHING) as town:
        yield town


@pytest.fixture
def unlocked(tmp_path: Path) -> Iterator[Callable[..., Town]]:
    """Return what starts the same broker without some lines of its configuration."""
    with _Brokers(tmp_path) as brokers:
        yield brokers.start


class _Brokers:
    def __init__(self, home: Path) -> None:
        self._home = home
        self._towns: list[Town] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for town in self._towns:
            town.stop()

    def start(self, *lines: str, change: tuple[str, str] = ("", ""), more: str = "") -> Town:
        edit = without(*lines) if lines else unchanged
        town = Town(self._home, conf=lambda said: edit(said).replace(*change) + more)
        self._towns.append(town)
        town.start()
        return town


def anonymous(unlocked: Callable[..., Town]) -> Town:
    """Return a broker that asks nobody who he is."""
    return unlocked(
        "require_certificate",
        "use_identity_as_username",
        "use_username_as_clientid",
        "crlfile",
        change=("allow_anonymous false", "allow_anonymous true"),
    )


def bare(town: Town) -> Client:
    """Connect to the meters' door without a certificate."""
    return town.open(town.plan.meters_port, town.tls(), "AQ-1")


def forged(town: Town) -> Client:
    """Connect with a certificate that its holder has signed himself."""
    certificate, key = self_signed("AQ-1")
    (town.home / "forged.pem").write_bytes(certificate + key)
    context = town.tls()
    context.load_cert_chain(town.home / "forged.pem")
    return town.open(town.plan.meters_port, context, "AQ-1")


def denied(town: Town, name: str, topic: str, payload: bytes = b"x") -> bool:
    """Say whether a meter is told that it may not publish there."""
    with town.meter(name) as meter:
        return meter.publish(topic, payload) == NOT_AUTHORIZED


class TestD01NoCertificate:
    """Somebody without a certificate ..."""

    def test_is_kept_out(self, town: Town) -> None:
        """Anybody can reach the port; only meters of ours may speak."""
        assert shut(lambda: bare(town))
        assert shut(lambda: town.open(town.plan.services_port, town.tls(), "aqkol-ingest"))
        with town.meter("AQ-1") as meter:
            assert meter.publish(up("AQ-1")) == NOBODY_LISTENS

    def test_would_come_in_without_the_lock(self, unlocked: Callable[..., Town]) -> None:
        """Planted: no certificate is asked for."""
        unlocked_town = anonymous(unlocked)

        assert let_in(lambda: bare(unlocked_town))


class TestD02SelfSigned:
    """A certificate that nobody of ours has signed ..."""

    def test_is_kept_out(self, town: Town) -> None:
        """A name is easily written into a certificate."""
        assert shut(lambda: forged(town))

    def test_is_kept_out_when_it_comes_from_the_services_authority(self, town: Town) -> None:
        """Each door believes its own authority: a meter's name from elsewhere opens nothing."""
        foreign = town.tls(town.services.issue("AQ-1"))

        assert shut(lambda: town.open(town.plan.meters_port, foreign, "AQ-1"))

    def test_is_kept_out_at_the_services_door_when_it_is_a_meter(self, town: Town) -> None:
        """There a client chooses its own session, and so could take another meter's."""
        meter = town.tls(town.meters.issue("AQ-1"))

        assert shut(lambda: town.open(town.plan.services_port, meter, "AQ-2"))

    def test_would_come_in_without_the_lock(self, unlocked: Callable[..., Town]) -> None:
        """Planted: no certificate is asked for, so a forged one is as good as none."""
        unlocked_town = anonymous(unlocked)

        assert let_in(lambda: forged(unlocked_town))


def revoked(town: Town, leaf: trustme.LeafCert) -> bool:
    """Revoke a certificate, tell the broker, and say whether it is soon refused."""
    town.meters.revoke(leaf)
    town.write_crls()
    town.signal(signal.SIGHUP)
    return refused_soon(town, leaf, "AQ-1")


class TestD03Revoked:
    """A meter whose certificate was revoked ..."""

    def test_cannot_connect_again(self, tmp_path: Path) -> None:
        """Stolen meters are named in a list; the others are not disturbed."""
        with running(tmp_path) as town:
            leaf = town.meters.issue("AQ-1")
            with town.open(town.plan.meters_port, town.tls(leaf), "AQ-1"):
                pass

            assert revoked(town, leaf)
            assert let_in(lambda: town.meter("AQ-2"))

    def test_would_come_in_without_the_lock(self, unlocked: Callable[..., Town]) -> None:
        """Planted: the broker has no list."""
        town = unlocked("crlfile")

        assert not revoked(town, town.meters.issue("AQ-1"))


class TestD04RevokedWithALiveSession:
    """A meter that is connected while its certificate is revoked ..."""

    def test_goes_on_until_the_broker_starts_again(self, tmp_path: Path) -> None:
        """The broker looks at a certificate once: so our registry must refuse each message."""
        with running(tmp_path) as town:
            leaf = town.meters.issue("AQ-1")
            live = town.open(town.plan.meters_port, town.tls(leaf), "AQ-1")
            # The same name again would end the live one, so that one asks as another session.
            assert _refused_soon(town, leaf)
            with town.service() as ingest:
                ingest.subscribe("gas/v1/+/+/up/json")
                assert live.publish(up("AQ-1")) == 0
                assert ingest.topics() == [up("AQ-1")]

            town.stop()
            town.start()

            with pytest.raises(ShutError):
                live.heard()
            live.vanish()
            assert shut(lambda: town.open(town.plan.meters_port, town.tls(leaf), "AQ-1"))


def _refused_soon(town: Town, leaf: trustme.LeafCert) -> bool:
    """Revoke two certificates and watch the other one, whose session nobody needs."""
    other = town.meters.issue("AQ-9")
    town.meters.revoke(leaf)
    town.meters.revoke(other)
    town.write_crls()
    town.signal(signal.SIGHUP)
    return refused_soon(town, other, "AQ-9")


class TestD05ForeignTopic:
    """A meter that writes where another one writes ..."""

    @pytest.mark.parametrize(
        "topic",
        [
            up("AQ-2"),
            up("AQ-2").removesuffix("/json"),
            down("AQ-1"),
            down("AQ-2"),
            "gas/v1/00/AQ-1/up/other",
            "gas/v1/AQ-1/up",
            "aqkol/doctor/x",
            "elsewhere",
        ],
    )
    def test_is_told_no(self, town: Town, topic: str) -> None:
        """Nobody speaks for another meter, and nobody but we writes a receipt."""
        with town.service() as ingest:
            ingest.subscribe("gas/v1/+/+/up/json")

            assert denied(town, "AQ-1", topic)
            assert ingest.heard() == []

    def test_may_write_its_own(self, town: Town) -> None:
        """What is denied to everybody would prove nothing."""
        with town.service() as ingest:
            ingest.subscribe("gas/v1/+/+/up")
            ingest.subscribe("gas/v1/+/+/up/json")
            with town.meter("AQ-1") as meter:
                signed = up("AQ-1").removesuffix("/json")

                assert [meter.publish(up("AQ-1")), meter.publish(signed)] == [0, 0]
            assert ingest.topics() == [up("AQ-1"), signed]

    def test_would_be_heard_without_the_lock(self, no_topics: Town) -> None:
        """Planted: the list of topics allows everything."""
        assert not denied(no_topics, "AQ-1", up("AQ-2"))


class TestD06WildcardSubscribe:
    """A meter that subscribes to everybody ..."""

    FILTERS = ("#", "gas/v1/#", "gas/v1/+/+/up/json", "gas/v1/+/+/down/receipt", "gas/v1/+/AQ-2/#",
               "$share/x/gas/v1/#")  # fmt: skip

    def test_hears_only_itself(self, town: Town) -> None:
        """This broker grants the subscription and delivers nothing: the topics decide."""
        with town.service() as service, town.meter("AQ-2") as victim, town.meter("AQ-1") as meter:
            for wanted in self.FILTERS:
                meter.subscribe(wanted)
            assert victim.publish(up("AQ-2")) == 0
            assert service.publish(down("AQ-2")) == 0
            assert service.publish(down("AQ-1")) == 0

            assert set(meter.topics()) == {down("AQ-1")}

    def test_would_hear_all_without_the_lock(self, no_topics: Town) -> None:
        """Planted: the list of topics allows everything."""
        with no_topics.meter("AQ-2") as victim, no_topics.meter("AQ-1") as meter:
            meter.subscribe("#")
            victim.publish(up("AQ-2"))

            assert meter.topics() == [up("AQ-2")]


class TestForeignHardware:
    """A gateway of another maker, which signs nothing ..."""

    def test_is_heard_by_ingest_and_by_nobody_else(self, town: Town) -> None:
        """On its own topic; a meter may not speak there, nor may ingest."""
        with (
            town.service() as service,
            town.meter("gate-7") as gateway,
            town.meter("gate-8") as other,
            town.meter("AQ-1") as meter,
        ):
            for client in (service, gateway, other, meter):
                client.subscribe("gate/#")
                client.subscribe("дом/газ")
            assert gateway.publish("gate/7/up") == 0
            assert other.publish("дом/газ") == 0

            assert service.topics() == ["gate/7/up", "дом/газ"]
            assert gateway.topics() + other.topics() + meter.topics() == []
        assert denied(town, "AQ-1", "gate/7/up")
        assert denied(town, "gate-8", "gate/7/up")
        assert denied(town, "gate-7", "gate/8/up")

    def test_speaks_for_no_meter(self, town: Town) -> None:
        """Neither as one nor to one."""
        for topic in (up("AQ-1"), down("AQ-1"), up("gate-8"), "$SYS/broker/version"):
            assert denied(town, "gate-7", topic)

    def test_would_speak_for_a_meter_without_the_lock(self, no_topics: Town) -> None:
        """Planted: the list of topics allows everything."""
        assert not denied(no_topics, "gate-7", up("AQ-1"))


class TestD07BrokersOwnTopics:
    """A meter that turns to the broker itself ..."""

    def test_learns_and_commands_nothing(self, town: Town) -> None:
        """$SYS tells how many we are; $CONTROL makes users."""
        with town.meter("AQ-1") as meter:
            meter.subscribe("$SYS/#")
            meter.subscribe("$CONTROL/#")

            assert meter.heard() == []
        assert denied(town, "AQ-1", "$CONTROL/dynamic-security/v1", b"{}")
        assert denied(town, "AQ-1", "$SYS/broker/version")

    def test_would_learn_without_the_lock(self, no_topics: Town) -> None:
        """Planted: the list of topics allows everything."""
        with no_topics.meter("AQ-1") as meter:
            meter.subscribe("$SYS/broker/version")

            assert meter.topics() == ["$SYS/broker/version"]


class TestD08ClientIdTakeover:
    """A meter that connects under another one's session ..."""

    def attack(self, town: Town) -> Client:
        """Connect as AQ-1 and ask for the session of AQ-2."""
        return town.open(town.plan.meters_port, town.tls(town.meters.issue("AQ-1")), "AQ-2")

    def test_throws_nobody_off(self, town: Town) -> None:
        """The session is named by the certificate, whatever the client says."""
        with town.meter("AQ-2") as victim, self.attack(town):
            assert victim.publish(up("AQ-2")) == NOBODY_LISTENS

    def test_would_throw_off_without_the_lock(self, unlocked: Callable[..., Town]) -> None:
        """Planted: the client says which session is its own."""
        town = unlocked("use_username_as_clientid")
        victim = town.meter("AQ-2")

        with self.attack(town), pytest.raises(ShutError):
            victim.heard()
        victim.vanish()


class TestD09ForeignWill:
    """A last will on another meter's topic ..."""

    def attack(self, town: Town) -> list[str]:
        """Let two meters vanish, one with a will of its own, and return what ingest heard."""
        with town.service() as ingest:
            ingest.subscribe("gas/v1/+/+/up/json")
            for name, topic in (("AQ-1", up("AQ-2")), ("AQ-3", up("AQ-3"))):
                try:
                    town.meter(name, will=(topic, b"x")).vanish()
                except ShutError:
                    continue
            heard: list[str] = []
            while up("AQ-3") not in heard:
                heard += ingest.topics()
            return heard

    def test_is_not_delivered(self, town: Town) -> None:
        """The broker may take it at the door, and denies it when it is opened."""
        assert self.attack(town) == [up("AQ-3")]

    def test_would_be_delivered_without_the_lock(self, tmp_path: Path) -> None:
        """Planted: a meter may write every telegram."""
        with running(
            tmp_path, acl=lambda said: f"pattern write gas/v1/+/+/up/json\n{said}"
        ) as town:
            assert self.attack(town) == [up("AQ-2"), up("AQ-3")]


class TestD10RetainedPoisoning:
    """A telegram that the broker is told to keep ..."""

    def test_is_refused_on_a_foreign_topic(self, town: Town) -> None:
        """Else it would meet everybody who subscribes later."""
        with town.meter("AQ-1") as meter:
            assert meter.publish(up("AQ-2"), retain=True) == NOT_AUTHORIZED
        with town.service(client_id="late") as ingest:
            ingest.subscribe(up("AQ-2"))

            assert ingest.heard() == []

    def test_comes_again_to_a_new_session_and_says_so(self, town: Town) -> None:
        """We keep retained messages, for the receipts; so ingest must know a repeat."""
        with town.meter("AQ-1") as meter:
            meter.publish(up("AQ-1"), b"poison", retain=True)
            with town.service(client_id="late") as ingest:
                ingest.subscribe(up("AQ-1"))
                found = ingest.heard()
            meter.publish(up("AQ-1"), b"", retain=True)

        assert [(one.payload, one.retained) for one in found] == [(b"poison", True)]

    def test_leaves_receipts_alone(self, town: Town) -> None:
        """A meter can neither forge nor clear what we have told another."""
        with town.service() as service:
            service.publish(down("AQ-2"), b"true", retain=True)
            assert denied(town, "AQ-1", down("AQ-2"), b"")
            with town.meter("AQ-2") as meter:
                meter.subscribe("gas/v1/+/AQ-2/down/#")
                found = meter.heard()
            service.publish(down("AQ-2"), b"", retain=True)

        assert [one.payload for one in found] == [b"true"]


class TestD18Flood:
    """A meter that sends without end ..."""

    WINDOW = 500
    LEAST, MOST = 3_000, 100_000

    def test_does_not_hold_up_its_neighbour(self, town: Town) -> None:
        """The flood goes on until the neighbour has his answer: he waits for his turn only."""
        answered, begun = threading.Event(), threading.Event()
        sent = 0

        def flood() -> None:
            nonlocal sent
            with town.meter("AQ-1") as meter:
                data = meter.telegram(up("AQ-1"), b"x" * 100) * self.WINDOW
                while sent < self.LEAST or (not answered.is_set() and sent < self.MOST):
                    meter.shout(data, self.WINDOW)
                    sent += self.WINDOW
                    begun.set()

        with town.meter("AQ-2") as neighbour, town.service() as ingest:
            ingest.subscribe("gas/v1/+/AQ-2/up/json")
            thread = threading.Thread(target=flood)
            thread.start()
            try:
                assert begun.wait(ANSWER_S)
                assert neighbour.publish(up("AQ-2")) == 0
                at_answer = sent
            finally:
                answered.set()
                thread.join()

            assert ingest.topics() == [up("AQ-2")]
        assert at_answer < self.MOST
        assert sent >= self.LEAST


class TestD17Oversize:
    """A packet larger than any telegram ..."""

    def attack(self, town: Town) -> Client:
        """Publish one byte too many, and more."""
        with town.meter("AQ-1") as meter:
            meter.publish(up("AQ-1"), b"x" * PACKET_BYTES_MAX)
            return meter

    def test_ends_the_connection(self, town: Town) -> None:
        """It is not worth our memory."""
        assert shut(lambda: self.attack(town))

    def test_would_pass_without_the_lock(self, unlocked: Callable[..., Town]) -> None:
        """Planted: the broker takes what MQTT allows, 256 MiB."""
        town = unlocked("max_packet_size")

        assert let_in(lambda: self.attack(town))


class TestD19OldProtocol:
    """A meter that speaks MQTT 3.1.1 or publishes with QoS 0 ..."""

    def test_gains_nothing(self, town: Town) -> None:
        """Mosquitto 2.0 cannot refuse it; it gets the same rights, and only deceives itself."""
        with town.service() as ingest:
            ingest.subscribe("gas/v1/+/+/up/json")
            with town.meter("AQ-1", version=4) as meter:
                assert meter.publish(up("AQ-2")) == 0, "3.1.1 has no word for no"
            with town.meter("AQ-1", version=4) as meter:
                meter.publish(up("AQ-1"))

            assert ingest.topics() == [up("AQ-1")]

    def test_gains_nothing_by_qos_0(self, town: Town) -> None:
        """It has no answer at all; a meter believes our receipt only, so it loses nothing."""
        with town.service() as ingest, town.meter("AQ-1") as meter:
            ingest.subscribe("gas/v1/+/+/up/json")
            # This broker ends the connection of whoever was denied; others might not.
            with suppress(ShutError):
                meter.whisper(up("AQ-2"), b"foreign")
            assert ingest.heard() == []

    def test_may_whisper_its_own(self, town: Town) -> None:
        """No setting of the broker demands QoS 1; what comes is a telegram like any other."""
        with town.service() as ingest, town.meter("AQ-1") as meter:
            ingest.subscribe("gas/v1/+/+/up/json")
            meter.whisper(up("AQ-1"), b"own")

            assert ingest.topics() == [up("AQ-1")]


class TestD23ForgedValveCommand:
    """A command to a valve ..."""

    TOPICS = ("down/valve", "down/command", "down/ack", "down/receipt", "down")

    def said(self, town: Town, name: str, *, service: bool = False) -> list[str]:
        """Let somebody command AQ-2 on every topic it hears; return what reached it."""
        place = down("AQ-2").removesuffix("/down/receipt")
        with town.meter("AQ-2") as victim:
            victim.subscribe(f"{place}/down/#")
            for topic in self.TOPICS:
                # This broker ends the connection of whoever was denied.
                with town.service() if service else town.meter(name) as liar:
                    liar.publish(f"{place}/{topic}", b"close")
            return [topic.removeprefix(f"{place}/") for topic in victim.topics()]

    def test_by_a_meter_reaches_nobody(self, town: Town) -> None:
        """Neither a neighbour's nor its own: a meter may not write where meters listen."""
        assert self.said(town, "AQ-1") == []
        assert denied(town, "AQ-2", down("AQ-2").replace("receipt", "valve"))

    def test_by_our_own_service_reaches_nobody(self, town: Town) -> None:
        """We have no commands: a stolen ingest can lie about receipts, and close no valve."""
        assert set(self.said(town, "", service=True)) <= {"down/ack", "down/receipt"}

    def test_would_arrive_without_the_lock(self, no_topics: Town) -> None:
        """Planted: the list of topics allows everything."""
        assert "down/valve" in self.said(no_topics, "AQ-1")


class TestD24Downgrade:
    """A client that wants less than TLS 1.3 ..."""

    def old(self, town: Town, port: int, leaf: trustme.LeafCert) -> Client:
        """Connect with everything right but the version."""
        context = town.tls(leaf)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return town.open(port, context, "AQ-1")

    def test_is_kept_out_at_each_door(self, town: Town) -> None:
        """In TLS 1.2 a certificate crosses the air in clear: who is at home can be read."""
        meter, service = town.meters.issue("AQ-1"), town.services.issue("aqkol-ingest")

        assert shut(lambda: self.old(town, town.plan.meters_port, meter))
        assert shut(lambda: self.old(town, town.plan.services_port, service))

    def test_is_kept_out_without_tls(self, town: Town) -> None:
        """A plain connection finds no door that answers."""
        assert town.plan.psk_port is not None
        for port in (town.plan.meters_port, town.plan.psk_port, town.plan.services_port):
            assert shut(lambda port=port: town.open(port, None, "AQ-1"))  # type: ignore[misc] # a bound default

    def test_would_come_in_without_the_lock(self, unlocked: Callable[..., Town]) -> None:
        """Planted: the broker takes any version."""
        town = unlocked("tls_version")

        assert let_in(lambda: self.old(town, town.plan.meters_port, town.meters.issue("AQ-1")))


class TestD25HostileNames:
    """A certificate with a name that means more than itself ..."""

    @pytest.mark.parametrize(
        "name", ["+", "#", "+/AQ-2", "AQ-2/#", "\u0410Q-2", "AQ-2/up", "aq-2", "AQ-2 ", "%u", "%c"]
    )
    def test_opens_no_foreign_topic(self, town: Town, name: str) -> None:
        """The authority should never sign it; if it does, the broker must not be fooled."""
        with town.service() as service:
            service.subscribe("gas/v1/+/+/up/json")
            try:
                with town.meter(name) as hostile:
                    hostile.subscribe("gas/v1/#")
                    hostile.subscribe("gas/v1/+/+/down/#")
                    service.publish(down("AQ-2"))
                    assert hostile.heard() == []
                    assert hostile.publish(up("AQ-2")) == NOT_AUTHORIZED
            except ShutError:
                pass  # Kept out altogether: as good.

            assert service.heard() == []

    def test_is_not_cut_at_a_nul(self, town: Town) -> None:
        """``AQ-2<NUL>x`` read as a C string would be AQ-2."""
        certificate = town.meters.issue("AQ-2\0x")

        def attack() -> Client:
            return town.open(town.plan.meters_port, town.tls(certificate), "AQ-2")

        assert shut(attack)

    def test_is_believed_when_it_is_a_service_s(self, town: Town) -> None:
        """The limit of this lock: the meters' authority must sign names of meters only."""
        with town.meter("aqkol-ingest") as impostor:
            assert impostor.publish(down("AQ-2")) == 0


class TestASharedKey:
    """A meter with a shared key instead of a certificate ..."""

    def said(self, town: Town, name: str, key: bytes, version: str, topic: str) -> bytes:
        """Let OpenSSL's own client carry our bytes, and return the broker's."""
        hello = packet(0x10, text("MQTT") + b"\x05\x02\x00\x00\x00" + text("whatever"))
        body = text(topic) + struct.pack("!H", 7) + b"\x00x"
        return subprocess.run(
            ["openssl", "s_client", "-quiet", "-ign_eof", version, "-psk", key.hex(),
             "-psk_identity", name, "-connect", f"{HOST}:{town.plan.psk_port}"],
            input=hello + packet(0x32, body) + b"\xe0\x00",
            capture_output=True,
            check=False,
            timeout=ANSWER_S,
        ).stdout  # fmt: skip

    def test_has_the_same_rights(self, town: Town) -> None:
        """The name that belongs to the key is bound to the topics like a certificate's."""
        key = town.keys["AQ-3"]
        with town.service() as ingest:
            ingest.subscribe("gas/v1/+/+/up/json")
            own = self.said(town, "AQ-3", key, "-tls1_3", up("AQ-3"))
            foreign = self.said(town, "AQ-3", key, "-tls1_3", up("AQ-2"))

            assert ingest.topics() == [up("AQ-3")]
        assert own.endswith(b"\x40\x02\x00\x07")
        assert b"\x00\x07\x87" in foreign

    @pytest.mark.parametrize(
        ("name", "key", "version"),
        [
            ("AQ-3", bytes(32), "-tls1_3"),
            ("AQ-2", bytes(range(32)), "-tls1_3"),
            ("AQ-3", bytes(range(32)), "-tls1_2"),
        ],
    )
    def test_is_kept_out_with_anything_else(
        self, town: Town, name: str, key: bytes, version: str
    ) -> None:
        """A wrong key, a name without one, an older TLS."""
        assert self.said(town, name, key, version, up("AQ-3")) == b""
