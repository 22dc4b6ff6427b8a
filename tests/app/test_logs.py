"""Logs carry facts, and nothing that belongs to somebody."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from app import logs

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Log as in production, and give what was written."""
    logs.configure("json")
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    structlog.reset_defaults()


def failing(words: str) -> None:
    raise ValueError(words)


class TestLogs:
    """A log line ..."""

    def test_is_one_json_object(self, lines: Lines) -> None:
        """Machines read it, line by line."""
        structlog.get_logger().info("collect.done", sent=3)

        (line,) = lines()
        assert (line["event"], line["sent"], line["level"]) == ("collect.done", 3, "info")

    @pytest.mark.parametrize(
        "secret",
        [
            "aq_ASBGDNSweoVgQRTPETgryaqRDdxIW92d3_25a-dnIFc",
            "KZ86125KZT5004100100",
            "860914350123",
            "mqtts://meter:geheim@broker",
        ],
    )
    def test_hides_what_slipped_in(self, lines: Lines, secret: str) -> None:
        """A token, an IBAN, a personal number, a password: whoever forgot, the log does not."""
        try:
            failing(f"cannot use {secret} here")
        except ValueError:
            structlog.get_logger().exception("step.failed", text=f"with {secret}.")

        (line,) = lines()
        assert secret not in json.dumps(line)
        assert "[hidden]" in line["text"]
        assert "[hidden]" in line["exception"]
