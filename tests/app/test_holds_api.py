"""Held bills over HTTP and by hand."""

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from tests.app.api_town import AT, Api
from tests.app.test_metering_api import kind

JANUARY = "/v1/accounts/A-1/months/2026-01"


async def say(api: Api, path: str, body: dict[str, Any], token: str | None = None) -> Any:
    return await api.call("POST", path, token=token or api.operator, json=body)


async def bill(api: Api) -> None:
    assert (await say(api, "/v1/bill-runs", {"period": "2026-01"}))[0] == 200


class TestHolds:
    """A held bill over HTTP ..."""

    async def test_is_released_for_the_total_that_is_shown(self, api: Api) -> None:
        """The list says how much it is; the word says it back, and the next run issues it."""
        await api.owner.execute(
            "INSERT INTO outsorting VALUES ('2025-01-01', 1, 300, 0, 3, 0, 'a test', $1)", AT
        )
        await bill(api)
        _, page = await api.call("GET", "/v1/bills/held", token=api.operator)
        held = {one["account_id"]: one for one in page["holds"]}["A-1"]
        assert (held["reason"], held["detail"]["total_minor"]) == ("anomalous", 74_297)
        word = {"total_minor": 74_297, "because": "a first bill"}

        assert kind(await say(api, f"{JANUARY}/release", {**word, "total_minor": 1})) == (
            409,
            "hold-differs",
        )
        status, shown = await say(api, f"{JANUARY}/release", word)
        assert (status, shown["release_no"], shown["total_minor"]) == (201, 1, 74_297)
        assert (await say(api, f"{JANUARY}/release", word))[0] == 200
        await bill(api)

        _, bills = await api.call("GET", "/v1/accounts/A-1/bills", token=api.resident)
        assert [one["total_minor"] for one in bills["bills"]] == [74_297]
        assert kind(await say(api, f"{JANUARY}/release", {**word, "because": "b"})) == (
            409,
            "month-billed",
        )

    async def test_is_released_by_operators_only(self, api: Api) -> None:
        """A resident cannot wave his own bill through."""
        word = {"total_minor": 1, "because": "b"}
        answer = await say(api, f"{JANUARY}/release", word, api.resident)
        assert kind(answer) == (403, "forbidden")
        assert kind(await say(api, f"{JANUARY}/release", word)) == (404, "not-found")

    async def test_comes_from_the_residents_question(self, api: Api) -> None:
        """The resident asks, the operator answers, the resident reads it."""
        status, asked = await say(
            api, f"{JANUARY}/questions", {"because": "I was away"}, api.resident
        )
        assert (status, asked["asked_by"], asked["answer"]) == (201, "the resident", None)
        answer = await say(api, f"{JANUARY}/questions", {"because": "mine"}, api.other)
        assert kind(answer) == (404, "not-found")
        await bill(api)
        _, page = await api.call("GET", "/v1/bills/held", token=api.operator)
        assert [(one["account_id"], one["reason"]) for one in page["holds"]] == [
            ("A-1", "disputed")
        ]

        close = f"{JANUARY}/questions/1/answer"
        assert kind(await say(api, close, {"because": "x"}, api.resident)) == (403, "forbidden")
        assert (await say(api, close, {"because": "the boiler ran"}))[0] == 201
        assert kind(await say(api, close, {"because": "other"})) == (409, "question-answered")
        await bill(api)

        _, told = await api.call("GET", "/v1/accounts/A-1/questions", token=api.resident)
        assert [one["answer"] for one in told["questions"]] == ["the boiler ran"]
        _, bills = await api.call("GET", "/v1/accounts/A-1/bills", token=api.resident)
        assert len(bills["bills"]) == 1


class TestPreview:
    """A month before its bills, over HTTP ..."""

    async def test_is_for_operators_and_changes_nothing(self, api: Api) -> None:
        """Two homes of 100 m3; nobody is billed by looking."""
        path = "/v1/months/2026-01/preview"
        status, shown = await api.call("GET", path, token=api.operator)

        assert (status, shown["accounts"], shown["drafted"], shown["held"]) == (200, 2, 2, {})
        assert shown["sums"]["KZT"]["total_minor"] == 2 * 74_297
        assert await api.owner.fetchval("SELECT count(*) FROM bill") == 0
        assert kind(await api.call("GET", path, token=api.resident)) == (403, "forbidden")
        answer = await api.call("GET", "/v1/months/2026-02/preview", token=api.operator)
        assert kind(answer) == (409, "period-not-over")


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Give a command line whose database is the test's, with one held bill in it."""

    async def prepare() -> None:
        owner = await asyncpg.connect(database_url)
        await owner.execute("INSERT INTO account VALUES ('A-1', 'household', 'KZT', $1)", AT)
        await owner.execute(
            "INSERT INTO bill_hold VALUES ('A-1', '2026-01-01', 'anomalous', 'AQ-1', $1, $2)",
            AT,
            json.dumps({"total_minor": 500}),
        )
        await owner.close()

    asyncio.run(prepare())
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


class TestTheCommand:
    """``aqkol month`` ..."""

    def test_lists_and_releases(self, aqkol: CliRunner) -> None:
        """The same by hand as over HTTP."""
        shown = aqkol.invoke(shell.cli, ["month", "holds", "2026-01", "--json"])
        assert json.loads(shown.stdout)["A-1"]["total_minor"] == 500

        words = ["--because", "seen", "--by", "Olga"]
        release = ["month", "release", "2026-01", "A-1", *words, "--total-minor"]
        wrong = aqkol.invoke(shell.cli, [*release, "499"])
        assert (wrong.exit_code, "would ask for 500" in wrong.stderr) == (2, True)
        assert "new: True" in aqkol.invoke(shell.cli, [*release, "500"]).stdout

    def test_questions_and_answers(self, aqkol: CliRunner) -> None:
        """A question by telephone is written down like one over HTTP."""
        words = ["2026-01", "A-1", "--because", "why", "--by", "Olga"]
        assert "question_no: 1" in aqkol.invoke(shell.cli, ["month", "question", *words]).stdout
        words.insert(2, "1")
        assert "new: True" in aqkol.invoke(shell.cli, ["month", "answer", *words]).stdout

    def test_says_and_shows_the_figures(self, aqkol: CliRunner) -> None:
        """A town's own figures, and a mistake in a sentence."""
        say = ["month", "set-outsorting", "--from", "2026-02-01", "--by", "order 12"]
        wrong = aqkol.invoke(shell.cli, [*say, "--high-percent", "50"])
        assert (wrong.exit_code, "high_percent lies" in wrong.stderr) == (2, True)
        assert "revision: 1" in aqkol.invoke(shell.cli, [*say, "--high-percent", "250"]).stdout

        shown = aqkol.invoke(shell.cli, ["month", "outsorting", "2026-02", "--json"])

        assert json.loads(shown.stdout)["in_force"]["high_percent"] == 250

    def test_previews_and_compares(self, aqkol: CliRunner, tmp_path: Path) -> None:
        """A town without meters is like an empty file; a row more is a difference, exit code 1."""
        shown = aqkol.invoke(shell.cli, ["month", "preview", "2026-01", "--json"])
        assert json.loads(shown.stdout)["accounts"] == 0
        file = tmp_path / "other.csv"
        header = "account_id,volume_dm3,net_minor,vat_minor,total_minor\n"
        ask = ["month", "compare", "2026-01", str(file), "--json"]

        assert aqkol.invoke(shell.cli, ask).exit_code == 2
        file.write_text(header, encoding="utf-8")
        assert aqkol.invoke(shell.cli, ask).exit_code == 0
        file.write_text(header + "A-1,5,5,5,10\n", encoding="utf-8")
        found = aqkol.invoke(shell.cli, ask)
        assert (found.exit_code, json.loads(found.stdout)["only_theirs"]) == (1, 1)
        file.write_text("other\n", encoding="utf-8")
        wrong = aqkol.invoke(shell.cli, ask)
        assert (wrong.exit_code, "the first line must be" in wrong.stderr) == (2, True)

    def test_approves_what_the_preview_showed(self, aqkol: CliRunner) -> None:
        """The total is said back; a month is approved once, and its state says by whom."""
        words = ["month", "approve", "2026-01", "--because", "b", "--by", "Olga", "--total-minor"]
        wrong = aqkol.invoke(shell.cli, [*words, "5"])
        assert (wrong.exit_code, "would ask for 0" in wrong.stderr) == (2, True)
        assert aqkol.invoke(shell.cli, [*words, "0"]).exit_code == 0
        assert aqkol.invoke(shell.cli, [*words, "0"]).exit_code == 2

        shown = aqkol.invoke(shell.cli, ["month", "state", "2026-01", "--json"])

        said = json.loads(shown.stdout)
        assert (said["state"], said["steps"]["1"]["said_by"]) == ("approved", "Olga")
