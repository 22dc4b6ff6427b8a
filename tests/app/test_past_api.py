"""Bills as of an instant over HTTP, and as people type it."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from tests.app.api_town import AT, Api, bill
from tests.billing.town import Town

PATH: Final = "/v1/accounts/A-1/months/2026-01/as-of"
EARLY: Final = "2026-02-03T00:00:00Z"
SUMS: Final = {
    "volume_dm3": 100_000,
    "net_minor": 64_049,
    "vat_minor": 10_248,
    "total_minor": 74_297,
}


def kind(answer: tuple[int, Any]) -> tuple[int, str]:
    status, problem = answer
    return status, problem["type"].removeprefix("/problems/")


class TestAsOf:
    """A bill as of an instant ..."""

    async def test_shows_what_it_would_have_been(self, api: Api) -> None:
        """100 m3 at 6404.90 per 1000 m3 are 640.49 and 102.48 of VAT, before there was a bill."""
        await bill(api)

        status, shown = await api.call("GET", f"{PATH}?at={EARLY}", token=api.resident)

        assert status == 200
        (line,) = shown.pop("lines")
        assert (line["volume_dm3"], line["net_minor"], line["days"]) == (100_000, 64_049, 31)
        assert shown == {
            "account_id": "A-1",
            "period": "2026-01",
            "period_start": "2026-01-01",
            "period_end": "2026-02-01",
            "at": EARLY,
            "currency": "KZT",
            "without": ["adjustment", "penalty"],
            "reason": None,
            "meter_id": None,
            "sums": SUMS,
            "charges": [],
            "registers": [
                {
                    "meter_id": "AQ-000001",
                    "boundary_at": "2025-12-31T19:00:00Z",
                    "read_at": "2025-12-31T19:00:00Z",
                    "register_dm3": 20_000,
                    "turns": 0,
                    "quality": "read",
                },
                {
                    "meter_id": "AQ-000001",
                    "boundary_at": "2026-01-31T19:00:00Z",
                    "read_at": "2026-01-31T19:00:00Z",
                    "register_dm3": 120_000,
                    "turns": 0,
                    "quality": "read",
                },
            ],
            "bill_then": None,
            "today": SUMS,
        }

    async def test_shows_the_bill_that_stood_then(self, api: Api) -> None:
        """And that a register corrected since then would make it another."""
        await bill(api)
        await api.owner.execute(
            "INSERT INTO reading_correction VALUES ('AQ-000001', '2026-01-31T19:00Z', 1, 110000, 0,"
            " 'ours', 'a clerk', 'a photo', '2026-02-20Z')"
        )
        api.clock.advance_to(datetime(2026, 3, 1, tzinfo=UTC))

        _, shown = await api.call(
            "GET", f"{PATH}?at=2026-02-10T17:00:00%2B05:00", token=api.operator
        )

        assert (shown["at"], shown["sums"]) == ("2026-02-10T12:00:00Z", SUMS)
        assert shown["bill_then"] == {
            "bill_no": "2026-01",
            "kind": "bill",
            "issued_at": "2026-02-10T12:00:00Z",
            "total_minor": 74_297,
            "month": SUMS,
            "differs_today": True,
        }
        assert (shown["today"]["volume_dm3"], shown["today"]["net_minor"]) == (90_000, 57_644)

    async def test_says_why_there_would_have_been_none(self, api: Api) -> None:
        """The reading came on the 5th; two days earlier the month had no end."""
        await api.owner.execute("UPDATE reading SET received_at = '2026-02-05Z'")

        status, shown = await api.call("GET", f"{PATH}?at={EARLY}", token=api.resident)

        assert status == 200
        assert (shown["reason"], shown["meter_id"]) == ("no_closing_register", "AQ-000001")
        assert (shown["sums"], shown["lines"], shown["today"]) == (None, [], SUMS)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("?at=2026-02-10T12:00:01Z", (422, "instant-ahead")),
            ("?at=2026-01-31T18:59:59Z", (409, "period-not-over")),
            ("?at=2026-02-10", (422, "invalid")),
            ("", (422, "invalid")),
        ],
    )
    async def test_is_refused_outside_of_what_can_be_known(
        self, api: Api, query: str, expected: tuple[int, str]
    ) -> None:
        """An instant to come, one within the month, a day, none."""
        assert kind(await api.call("GET", PATH + query, token=api.resident)) == expected

    async def test_is_nobody_elses(self, api: Api) -> None:
        """The neighbour cannot tell it from one of an account that does not exist."""
        query = f"?at={EARLY}"
        for path, token in ((PATH, api.other), (PATH.replace("A-1", "A-404"), api.operator)):
            assert kind(await api.call("GET", path + query, token=token)) == (404, "not-found")
        assert kind(await api.call("GET", PATH + query)) == (401, "no-token")

    async def test_writes_nothing(self, api: Api) -> None:
        """Nobody's question makes usage, bills or holds."""
        assert api.clock.now() == AT
        await api.call("GET", f"{PATH}?at={EARLY}", token=api.operator)

        for table in ("usage", "usage_gap", "bill", "bill_hold"):
            assert await api.owner.fetchval(f"SELECT count(*) FROM {table}") == 0


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Give a command line over a home of 100 m3 in January, at 10.00, that has no bill yet."""

    async def settle() -> None:
        owner = await asyncpg.connect(database_url)
        town = Town(owner)
        await town.tariff(1_000_000, "2025-01-01")
        await town.home("1", {"2026-01-01T00:00:00+05:00": 0, "2026-02-01T00:00:00+05:00": 100_000})
        await owner.close()

    asyncio.run(settle())
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


class TestCommand:
    """``aqkol bill as-of`` ..."""

    def test_prints_it_for_programs_and_for_people(self, aqkol: CliRunner) -> None:
        """One object of JSON, or a line for each figure."""
        words = ["bill", "as-of", "AC-1", "2026-01", "--at", "2026-02-03T00:00:00+05:00"]

        told = aqkol.invoke(shell.cli, [*words, "--json"])
        said = aqkol.invoke(shell.cli, words)

        assert (told.exit_code, said.exit_code) == (0, 0), (told.output, said.output)
        assert json.loads(told.stdout)["sums"]["total_minor"] == 116_000
        assert "  total_minor: 116000\n" in said.stdout
        assert "without: adjustment, penalty\n" in said.stdout

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["AC-1", "2026-01", "--at", "2099-01-01T00:00:00Z"], "an instant to come"),
            (["AC-1", "2026-01", "--at", "2026-01-31T18:59:59Z"], "2026-01 is over at"),
            (["AC-1", "2026-01", "--at", "yesterday"], "an instant is written like"),
            (["AC-1", "2026-1", "--at", "2026-02-03T00:00:00Z"], "a month is written like"),
            (["AC-9", "2026-01", "--at", "2026-02-03T00:00:00Z"], "No account has this id"),
        ],
    )
    def test_ends_with_a_sentence(self, aqkol: CliRunner, words: list[str], said: str) -> None:
        """What cannot be had is named, and nothing is printed."""
        result = aqkol.invoke(shell.cli, ["bill", "as-of", *words])

        assert (result.exit_code, result.stdout) == (2, "")
        assert said in result.stderr
