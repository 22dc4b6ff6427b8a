"""Base rates, moratoria and disputes over HTTP and by hand."""

from typing import Any, Final

import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from tests.app.api_town import Api, bill
from tests.app.test_metering_api import kind

RATE: Final = {"valid_from": "2026-01-24", "rate_bp": 1_800, "source": "National Bank"}
DISPUTE: Final = "/v1/accounts/A-1/bills/2026-01/dispute"


async def post(api: Api, path: str, **said: object) -> tuple[int, Any]:
    return await api.call("POST", path, token=api.operator, json=said)


class TestThePenaltyBook:
    """What decides about penalties ..."""

    async def test_is_entered_and_shown(self, api: Api) -> None:
        """The same word again is no news, another one on that day is a revision."""
        assert (await post(api, "/v1/base-rates", **RATE))[0] == 201
        assert (await post(api, "/v1/base-rates", **RATE))[0] == 200
        assert (await post(api, "/v1/base-rates", **{**RATE, "rate_bp": 1_650}))[0] == 201
        said = {"valid_from": "2026-03-01", "active": True, "source": "decree"}
        assert (await post(api, "/v1/moratoria", **said))[0] == 201
        assert (await post(api, "/v1/moratoria", **said))[0] == 200

        status, book = await api.call("GET", "/v1/penalty-book", token=api.operator)

        assert (status, book["factor_bp"]) == (200, None)
        assert [(one["revision"], one["rate_bp"]) for one in book["base_rates"]] == [
            (1, 1_800),
            (2, 1_650),
        ]
        assert [one["active"] for one in book["moratoria"]] == [True]

    async def test_takes_no_rate_that_cannot_be(self, api: Api) -> None:
        """More than 100 per cent is a typing error."""
        answer = await post(api, "/v1/base-rates", **{**RATE, "rate_bp": 10_001})
        assert kind(answer) == (422, "invalid")


class TestADispute:
    """A dispute over HTTP ..."""

    async def test_keeps_the_bill_from_being_asked_for(self, api: Api) -> None:
        """Each mistake has its own name."""
        assert kind(await post(api, DISPUTE, because="not mine")) == (404, "not-found")
        await bill(api)
        assert kind(await post(api, f"{DISPUTE}/settle", outcome="right")) == (409, "not-disputed")
        status, word = await post(api, DISPUTE, because="not mine")
        assert (status, word["from_day"], word["to_day"]) == (201, "2026-02-10", None)
        assert (await post(api, DISPUTE, because="not mine"))[0] == 200
        assert kind(await post(api, DISPUTE, because="other")) == (409, "dispute-open")
        status, word = await post(api, f"{DISPUTE}/settle", outcome="right")
        assert (status, word["to_day"]) == (201, "2026-02-11")
        answer = await post(api, DISPUTE, because="again", from_day="2026-02-10")
        assert kind(answer) == (422, "dispute-day")


class TestTheCommand:
    """``aqkol penalty`` ..."""

    def test_enters_and_shows(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the factor that the town has set."""
        monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
        monkeypatch.setenv("AQKOL_PENALTY_FACTOR", "1.5")
        monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
        aqkol = CliRunner()
        words = "penalty rate --from 2026-01-24 --rate-bp 1800 --source NB --by Olga"
        assert "revision: 1" in aqkol.invoke(shell.cli, words.split()).stdout
        words = "penalty moratorium --from 2026-03-01 --ends --source decree --by Olga"
        assert "new: True" in aqkol.invoke(shell.cli, words.split()).stdout

        shown = aqkol.invoke(shell.cli, ["penalty", "show"]).stdout.splitlines()

        assert shown == [
            "penalties: on",
            "factor_bp: 15000",
            "base_rates_bp",
            "  2026-01-24/1: 1800",
            "moratoria",
            "  2026-03-01/1: ends",
        ]
