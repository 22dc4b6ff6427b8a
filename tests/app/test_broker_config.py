"""The broker's configuration as text: which doors there are, and what never gets into it."""

from pathlib import Path, PurePosixPath

import pytest
from typer.testing import CliRunner

from app import broker_config
from app.__main__ import cli
from app.broker_config import BrokerConfigError, Plan
from metering.meter import Meter

HOSTILE = [
    "", "+", "#", "AQ+1", "AQ-1/#", "AQ-1\0", "AQ-1\n", "AQ 1", "aq-1", "%u",
    "\u0410Q-1",  # a Cyrillic A
    "AQ\u20101",  # a hyphen that is not ours
    "\uff21Q-1",  # a wide A
    "\u0661",  # an Arabic one
    "A" * 33,
]  # fmt: skip


def doors(text: str) -> list[list[str]]:
    """Return the lines of each listener."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("listener "):
            found.append([])
        if found and line and not line.startswith("#"):
            found[-1].append(line)
    return found


class TestAMeterName:
    """A name of a meter ..."""

    @pytest.mark.parametrize("name", HOSTILE)
    def test_is_refused_when_it_could_mean_more(self, name: str) -> None:
        """D25: a wildcard is everybody, a look-alike is somebody else; so says the registry too."""
        with pytest.raises(BrokerConfigError):
            broker_config.meter_name(name)
        with pytest.raises(BrokerConfigError):
            broker_config.psk({name: bytes(32)})
        with pytest.raises(ValueError, match="meter_id"):
            Meter(meter_id=name, dial_dm3=10, step_dm3=1, qmax_dm3_h=1, compensated=True)

    def test_is_never_a_service_s(self) -> None:
        """One list of topics serves both, so the names must not meet."""
        with pytest.raises(BrokerConfigError):
            broker_config.meter_name("aqkol-ingest")
        with pytest.raises(BrokerConfigError):
            Plan(ingests=("AQ-1",))


class TestTheConfiguration:
    """The configuration ..."""

    def test_has_no_door_without_tls_1_3_and_an_identity(self) -> None:
        """D24: one plain listener would undo the others."""
        found = doors(broker_config.conf(Plan(psk_port=8885)))

        assert [door[0] for door in found] == [
            "listener 8883 0.0.0.0",
            "listener 8885 0.0.0.0",
            "listener 8884 127.0.0.1",
        ]
        for door in found:
            assert "tls_version tlsv1.3" in door
            assert "use_identity_as_username true" in door
            assert ("require_certificate true" in door) != ("psk_hint aqkol" in door)

    def test_binds_sessions_to_names_at_the_meters_doors_only(self) -> None:
        """D08; ingest has two connections under one name, which would end each other."""
        bound = [
            "use_username_as_clientid true" in door
            for door in doors(broker_config.conf(Plan(psk_port=8885)))
        ]

        assert bound == [True, True, False]

    def test_keeps_everything_for_an_absent_ingest(self) -> None:
        """Newer versions deny an absent client everything when lists are kept per listener."""
        lines = broker_config.conf(Plan()).splitlines()

        assert "per_listener_settings false" in lines
        assert "max_queued_messages 0" in lines
        assert "allow_anonymous false" in lines

    def test_refuses_old_protocols_where_the_broker_can(self) -> None:
        """D19: an unknown line would keep an older broker from starting."""
        assert "accept_protocol_versions" not in broker_config.conf(Plan())
        assert all(
            "accept_protocol_versions 5" in door
            for door in doors(broker_config.conf(Plan(version=(2, 1))))
        )

    @pytest.mark.parametrize(
        "wrong",
        [
            {"folder": PurePosixPath("/etc/x\nallow_anonymous true")},
            {"data": PurePosixPath("var")},
            {"folder": PurePosixPath("/etc/../tmp")},
            {"meters_address": "0.0.0.0\nlistener 1883"},
            {"meters_port": 8884},
            {"psk_port": 0},
            {"ingests": ()},
            {"ingests": ("aqkol-x\ntopic #",)},
            {"admins": ("aqkol-ingest",)},
            {"sources": ("gate/7\ntopic read #",)},
            {"sources": ("#",)},
            {"sources": ("gas/v1/+/+/up",)},
            {"sources": ("$SYS/#",)},
            {"sources": ("gate/#",), "gateways": (("gate-7", "gas/v1/36/AQ-1/up"),)},
            {"sources": ("gate/#",), "gateways": (("gate-7", ""),)},
            {"sources": ("gate/#",), "gateways": (("gate-7", "door/7"),)},
            {"sources": ("gate/#",), "gateways": (("AQ-1", "gate/7"),)},
            {"sources": ("gate/#",), "gateways": (("aqkol-ingest", "gate/7"),)},
            {"sources": ("gate/#",), "gateways": (("g\ntopic #", "gate/7"),)},
        ],
    )
    def test_cannot_be_talked_into_another_line(self, wrong: dict[str, object]) -> None:
        """Each value stands in a file where a line break is a new order."""
        with pytest.raises(BrokerConfigError):
            Plan(**wrong)  # type: ignore[arg-type] # wrong on purpose


class TestTheTopics:
    """The list of topics ..."""

    def test_is_short(self) -> None:
        """What is not written here is denied, so it is written here in full."""
        lines = [
            line
            for line in broker_config.acl(Plan()).splitlines()
            if line and not line.startswith("#")
        ]

        assert lines == [
            "pattern write gas/v1/+/%u/up",
            "pattern write gas/v1/+/%u/up/json",
            "pattern read gas/v1/+/%u/down/#",
            "user aqkol-ingest",
            "topic read gas/v1/+/+/up",
            "topic read gas/v1/+/+/up/json",
            "topic write gas/v1/+/+/down/receipt",
            "topic write gas/v1/+/+/down/ack",
            "topic readwrite aqkol/doctor/+",
            "topic read $SYS/broker/publish/messages/dropped",
            "user aqkol-admin",
            "topic read $SYS/#",
            "topic readwrite aqkol/doctor/+",
        ]

    def test_lets_other_makers_hardware_in_where_it_is_told(self) -> None:
        """Ingest hears what sources may have; a gateway speaks on its own topic only."""
        plan = Plan(sources=("gate/#", "дом/газ"), gateways=(("gate-7", "gate/7/up"),))
        lines = broker_config.acl(plan).splitlines()

        added = [line for line in lines if line not in broker_config.acl(Plan()).splitlines()]
        assert [line for line in added if not line.startswith("#")] == [
            "topic read gate/#",
            "topic read дом/газ",
            "user gate-7",
            "topic write gate/7/up",
        ]
        assert lines.index("user aqkol-ingest") < lines.index("topic read gate/#")
        assert lines.index("topic read gate/#") < lines.index("user gate-7")


class TestTheCommand:
    """``aqkol broker config`` ..."""

    def test_writes_the_files_and_says_what_else_is_needed(self, tmp_path: Path) -> None:
        """Certificates come from the owner's authorities, not from us."""
        result = CliRunner().invoke(cli, ["broker", "config", "--out", str(tmp_path / "out")])

        assert result.exit_code == 0, result.output
        assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["acl", "mosquitto.conf"]
        for name in ("server.pem", "server.key", "meters-ca.pem", "services-ca.pem",
                     "meters-crl.pem", "services-crl.pem"):  # fmt: skip
            assert name in result.output

    def test_lets_gateways_in(self, tmp_path: Path) -> None:
        """As it is typed."""
        words = ["broker", "config", "--out", str(tmp_path), "--source", "дом/+/газ"]
        result = CliRunner().invoke(cli, [*words, "--gateway", "gate-7=дом/7/газ"])

        assert result.exit_code == 0, result.output
        lines = (tmp_path / "acl").read_text(encoding="utf-8").splitlines()
        assert "topic read дом/+/газ" in lines
        assert lines[lines.index("user gate-7") + 1] == "topic write дом/7/газ"
        assert CliRunner().invoke(cli, [*words, "--gateway", "gate-7"]).exit_code == 2

    def test_gives_each_meter_a_key_and_leaves_it_alone(self, tmp_path: Path) -> None:
        """A key that changed would silence the meter that holds the old one."""
        listed, keys = tmp_path / "meters", tmp_path / "out" / "psk"
        words = ["broker", "config", "--out", str(tmp_path / "out"), "--psk-meters", str(listed)]
        listed.write_text("AQ-1\nAQ-2\n")
        assert CliRunner().invoke(cli, words).exit_code == 0
        first = broker_config.read_psk(keys.read_text())
        listed.write_text("AQ-2\n\nAQ-3\n")
        assert CliRunner().invoke(cli, words).exit_code == 0
        second = broker_config.read_psk(keys.read_text())

        assert list(first) == ["AQ-1", "AQ-2"]
        assert list(second) == ["AQ-2", "AQ-3"]
        assert second["AQ-2"] == first["AQ-2"]
        assert len({*first.values(), *second.values()}) == 3
        assert keys.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        "words",
        [["--port", "0"], ["--folder", "etc"], ["--ingest", "root"], ["--mosquitto", "two"]],
    )
    def test_refuses_what_it_cannot_write(self, tmp_path: Path, words: list[str]) -> None:
        """One sentence and code 2, and no half of a configuration."""
        out = tmp_path / "out"
        result = CliRunner().invoke(cli, ["broker", "config", "--out", str(out), *words])

        assert result.exit_code == 2
        assert not out.exists()

    def test_refuses_a_list_with_a_hostile_name(self, tmp_path: Path) -> None:
        """The list may come from somewhere else."""
        (tmp_path / "meters").write_text("AQ-1\n+\n")
        out = tmp_path / "out"
        result = CliRunner().invoke(
            cli,
            ["broker", "config", "--out", str(out), "--psk-meters", str(tmp_path / "meters")],
        )

        assert result.exit_code == 2
        assert not out.exists()
