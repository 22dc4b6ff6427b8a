"""The services of docker-compose.yml are the steps of ``serve``, each under its command's name."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app import __main__ as shell

COMPOSE = Path(__file__).resolve().parents[2] / "docker-compose.yml"
SERVICE = re.compile(r"^  (\w+):\n((?:    .*\n|\n)*)", re.MULTILINE)
COMMAND = re.compile(r"^    command: \[([^\]]*)\]", re.MULTILINE)
# What ``serve`` does in one process, as the commands that do it in one each.
STEPS = {
    "ingest": ["ingest"],
    "validate": ["validate"],
    "reconcile": ["reconcile"],
    "collect": ["collect"],
    "recon": ["recon", "daily"],
    "deliver": ["deliver"],
    "audit": ["audit"],
    "web": ["web"],
}


def commands() -> dict[str, list[str]]:
    """Return the words of each service that runs us."""
    text = COMPOSE.read_text(encoding="utf-8").split("\nservices:\n")[1].split("\nvolumes:\n")[0]
    found = {name: COMMAND.search(rest) for name, rest in SERVICE.findall(text)}
    return {
        name: [word.strip() for word in command[1].split(",")]
        for name, command in found.items()
        if command is not None
    }


class TestServices:
    """A service ..."""

    def test_stands_there_for_each_step(self) -> None:
        """A step that nobody runs is noticed months later, by what was never compared or told."""
        found = commands()

        assert {name: found.get(name) for name in STEPS} == STEPS
        assert set(found) == {*STEPS, "bank", "migrate"}

    @pytest.mark.parametrize("name", STEPS)
    def test_has_a_command_that_exists(self, name: str) -> None:
        """It would start again and again, and do nothing."""
        result = CliRunner().invoke(shell.cli, [*commands()[name], "--help"])

        assert result.exit_code == 0, result.output
