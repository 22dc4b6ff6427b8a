"""``aqkol source`` as people type it."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from metering.family import FAMILIES
from tests.metering.toy_family import read

METER: Final = ("AQ-1", "--dial-dm3", "100000000", "--step-dm3", "10", "--qmax-dm3-h", "6000")
KEY: Final = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Give a command line whose database is the test's, and a meter in it."""
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    monkeypatch.setitem(FAMILIES, "toy", read)
    runner = CliRunner()
    run(runner, "meter", "add", *METER, "--compensated", "--public-key", KEY)
    return runner


def run(aqkol: CliRunner, *words: str) -> Any:
    result = aqkol.invoke(shell.cli, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


class TestSource:
    """The commands of a source ..."""

    def test_enter_it_list_it_and_remove_it(self, aqkol: CliRunner) -> None:
        """Removed ones are shown to whoever asks for them."""
        words = ("source", "add", "toy", "gate/+/up", "AQ-1", "--device", "A")
        made = run(aqkol, *words, "--dm3-per-count", "1/3", "--offset-dm3", "7")
        source_id = made.pop("source_id")
        assert made.pop("new") is True
        assert run(aqkol, *words, "--dm3-per-count", "1/3", "--offset-dm3", "7")["new"] is False

        listed = run(aqkol, "source", "list")
        assert listed == {source_id: made}
        assert (made["device"], made["dm3_per_count"], made["offset_dm3"]) == ("A", "1/3", 7)
        assert run(aqkol, "source", "remove", source_id)["removed_by"] == "aqkol source"
        assert run(aqkol, "source", "list") == {}
        assert list(run(aqkol, "source", "list", "--removed")) == [source_id]

    def test_name_the_families(self, aqkol: CliRunner) -> None:
        """In their own words."""
        assert run(aqkol, "source", "families")["toy"].startswith("A family made up for the tests")

    def test_try_a_payload_from_a_file(self, aqkol: CliRunner, tmp_path: Path) -> None:
        """Before anything is entered, and for a meter that need not be there yet."""
        file = tmp_path / "payload"
        file.write_bytes(b"A 2026-02-01T00:00:00+05:00 1.5")
        words = ("source", "try", "toy", "gate/+/up", str(file), "--device", "A")

        found = run(aqkol, *words, "--message-topic", "gate/7/up")

        assert found["result"] == "read"
        assert found["samples"] == [{"read_at": "2026-01-31T19:00:00Z", "register_dm3": 1500}]
        assert run(aqkol, *words, "--message-topic", "gate/7/down")["result"] == "not_heard"

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (("add", "toy", "gas/#", "AQ-1", "--device", "A"), "gas/v1/ is ours"),
            (("add", "toy", "home/x", "AQ-9"), "no meter has this id"),
            (("add", "toy", "home/+", "AQ-1"), "a topic with + or # needs the device"),
            (("add", "toy", "home/x", "AQ-1", "--dm3-per-count", "ten"), "is not a number of dm3"),
            (("add", "toy", "home/x", "AQ-1", "--dm3-per-count", "1/0"), "is not a number of dm3"),
            (("add", "toy", "home/x", "AQ-1", "--unit", "kWh"), "energy is no register"),
            (("try", "toy", "home/x", "/nowhere"), "cannot be read"),
            (("remove", "00000000-0000-4000-8000-000000000002"), "no source has this id"),
        ],
        ids=str,
    )
    def test_say_in_a_sentence_what_is_wrong(
        self, aqkol: CliRunner, words: tuple[str, ...], sentence: str
    ) -> None:
        """And end with 2, as all commands do that cannot be used like this."""
        result = aqkol.invoke(shell.cli, ["source", *words])

        assert result.exit_code == 2
        assert sentence in result.stderr
