"""What holds for an account, over HTTP and by hand."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from tests.app.api_town import AT, Api
from tests.app.test_metering_api import kind

FOUR: Final = {
    "valid_from": "2026-01-01",
    "tariff_code": "household",
    "persons": 4,
    "social": True,
}
SOCIAL: Final = """
    UPDATE tariff SET discount_bp = 2500, discount_norm = 10000, norm_per = 'person'
"""

BILL: Final = """
    INSERT INTO bill (account_id, bill_no, period_start, period_end, revision, currency, volume_dm3,
        net_minor, vat_minor, total_minor, issued_at, due_on)
    VALUES ('A-1', '2026-01', '2026-01-01', '2026-02-01', 1, 'KZT', 0, 0, 0, 0, $1, '2026-02-25')
"""
WAITS: Final = """
    SELECT EXISTS (SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock')
"""


async def say(api: Api, account_id: str = "A-1", **change: object) -> tuple[int, Any]:
    return await api.call(
        "POST",
        f"/v1/accounts/{account_id}/terms",
        token=api.operator,
        json={**FOUR, **change},
    )


async def heard(api: Api, token: str) -> Any:
    status, told = await api.call("GET", "/v1/accounts/A-1/terms", token=token)
    assert status == 200
    return told


class TestTerms:
    """A word on an account ..."""

    async def test_is_what_its_bill_is_made_by(self, api: Api) -> None:
        """A quarter off for four persons' 10 m3: 40 m3 x 6.40490 x 25 % = 64.049 tenge."""
        await api.owner.execute(SOCIAL)
        assert (await say(api))[0] == 201
        await bill_january(api)

        _, shown = await api.call("GET", "/v1/accounts/A-1/bills/2026-01", token=api.resident)

        [charge] = shown["charges"]
        assert (charge["kind"], charge["quantity"], charge["net_minor"]) == (
            "discount",
            40_000,
            -6_405,
        )

    async def test_takes_the_place_of_the_one_before(self, api: Api) -> None:
        """Both are kept, with who said them; the same word again is no other word."""
        assert (await heard(api, api.operator)) == {"opened_with": "household", "words": []}
        assert (await say(api, valid_from="2026-03-01"))[0] == 201
        assert (await say(api, valid_from="2026-03-01"))[0] == 200
        status, word = await say(api, valid_from="2026-03-01", persons=5)
        assert (status, word["revision"], word["said_by"]) == (201, 2, "a test")
        assert (await say(api, valid_from="2026-04-01", social=False))[0] == 201

        told = await heard(api, api.resident)

        assert [
            (one["valid_from"], one["revision"], one["persons"], one["social"], one["stands"])
            for one in told["words"]
        ] == [
            ("2026-03-01", 1, 4, True, False),
            ("2026-03-01", 2, 5, True, True),
            ("2026-04-01", 1, 4, False, True),
        ]

    async def test_changes_no_day_that_was_billed(self, api: Api) -> None:
        """January stands on a bill; February does not."""
        await bill_january(api)

        for day in ("2025-12-01", "2026-01-01", "2026-01-31"):
            answer = await say(api, valid_from=day)
            assert kind(answer) == (409, "terms-billed"), day
            assert answer[1]["detail"] == f"days from {day} on stand on bill 2026-01"
        assert (await say(api, valid_from="2026-02-01"))[0] == 201

    async def test_corrects_bills_if_it_says_so(self, api: Api) -> None:
        """A child was born in January; whoever says it only now means the bill too."""
        await bill_january(api)

        status, word = await say(api, valid_from="2026-01-10", corrects=True)

        assert (status, word["revision"], word["stands"]) == (201, 1, True)

    async def test_names_a_price_that_there_is(self, api: Api) -> None:
        """On its own day, or the bill would be held."""
        for change in ({"tariff_code": "houshold"}, {"valid_from": "2024-12-31"}):
            assert kind(await say(api, **change)) == (422, "tariff-unknown")

    async def test_is_refused_in_words(self, api: Api) -> None:
        """A household has people, and is somebody's."""
        for change in ({"persons": 0}, {"persons": 101}, {"persons": True}, {"social": None}):
            assert kind(await say(api, **change)) == (422, "invalid"), change
        assert kind(await say(api, "A-9")) == (404, "not-found")

    async def test_is_said_by_operators(self, api: Api) -> None:
        """A discount is not a resident's to grant, and terms are not the neighbour's to read."""
        answer = await api.call("POST", "/v1/accounts/A-1/terms", token=api.resident, json=FOUR)
        assert kind(answer) == (403, "forbidden")
        answer = await api.call("GET", "/v1/accounts/A-1/terms", token=api.other)
        assert kind(answer) == (404, "not-found")

    async def test_waits_for_the_bill_that_is_being_made(self, api: Api) -> None:
        """A run holds the account while it bills it; a word said meanwhile comes too late."""
        async with api.owner.transaction():
            await api.owner.execute(
                "SELECT FROM account WHERE account_id = 'A-1' FOR NO KEY UPDATE"
            )
            saying = asyncio.create_task(say(api))
            while not saying.done() and not await api.owner.fetchval(WAITS):
                await asyncio.wait({saying}, timeout=0.01)
            await api.owner.execute(BILL, AT)

        assert kind(await saying) == (409, "terms-billed")


async def bill_january(api: Api) -> None:
    status, _ = await api.call(
        "POST", "/v1/bill-runs", token=api.operator, json={"period": "2026-01"}
    )
    assert status == 200


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """Give a command line whose database is the test's, with one account in it."""

    async def prepare() -> None:
        owner = await asyncpg.connect(database_url)
        await owner.execute(
            "INSERT INTO tariff VALUES ('home', '2025-01-01', NULL, 640490, 'KZT', 'a test')"
        )
        await owner.execute("INSERT INTO account VALUES ('A-1', 'home', 'KZT', $1)", AT)
        await owner.close()

    asyncio.run(prepare())
    clock = tmp_path / "clock"
    clock.write_text("2026-02-10T12:00:00+05:00", encoding="ascii")
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setenv("AQKOL_CLOCK_FILE", str(clock))
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


class TestTheCommand:
    """``aqkol account`` with terms ..."""

    def test_says_and_shows(self, aqkol: CliRunner) -> None:
        """The same word twice is one."""
        words = "--from 2026-03-01 --tariff home --persons 4 --social --by Olga --json"
        args = ["account", "say-terms", "A-1", *words.split()]

        for fresh in (True, False):
            said = aqkol.invoke(shell.cli, args)
            assert said.exit_code == 0, said.output
            assert json.loads(said.stdout.splitlines()[-1])["new"] is fresh

        shown = aqkol.invoke(shell.cli, ["account", "terms", "A-1", "--json"])
        told = json.loads(shown.stdout.splitlines()[-1])
        assert told["opened_with"] == "home"
        assert told["words"]["2026-03-01 1"] == {
            "valid_from": "2026-03-01",
            "revision": 1,
            "tariff_code": "home",
            "persons": 4,
            "social": True,
            "stands": True,
            "said_by": "Olga",
            "said_at": "2026-02-10T07:00:00Z",
        }

    @pytest.mark.parametrize(
        ("tariff", "persons", "sentence"),
        [
            ("none", "4", "aqkol: tariff none has no price in KZT on 2026-03-01."),
            ("home", "0", "aqkol: the terms cannot be used at persons"),
        ],
    )
    def test_ends_with_a_sentence_for_a_mistake(
        self, aqkol: CliRunner, tariff: str, persons: str, sentence: str
    ) -> None:
        """No trace of Python for a typing error."""
        words = f"--from 2026-03-01 --tariff {tariff} --persons {persons} --not-social --by Olga"
        result = aqkol.invoke(shell.cli, ["account", "say-terms", "A-1", *words.split()])

        assert (result.exit_code, result.stderr.startswith(sentence)) == (2, True), result.stderr
