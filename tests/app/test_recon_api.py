"""The reconciliation with the bank over HTTP and by hand."""

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from app import recon_cli
from app.config import load
from app.recon_work import recon_due, statements_in
from app.run import SteppedClock
from app.wiring import Bank, House
from billing.io.recon import ReconBooks
from tests.app.api_town import AT, Api
from tests.app.test_config import PAYEE
from tests.app.test_metering_api import kind
from tests.billing.recon_town import PayingBank
from tests.billing.statement_file import entry, statement

OPEN = """
    INSERT INTO recon_break (kind, subject, account_id, amount_minor, currency, detail,
        suggested_action, owner, day, opened_at, seen_at)
    SELECT 'line_orphan', 'line ' || n, NULL, 100, 'KZT', 'nobody knows it', 'find out', 'accounts',
        '2026-02-09', $1, $1
    FROM generate_series(1, $2::int) AS n
"""
DAY = date(2026, 2, 9)


async def opened(owner: asyncpg.Connection, number: int = 1) -> None:
    await owner.execute(OPEN, AT, number)


def one_line(on: date = DAY, amount: str = "10.00") -> bytes:
    return statement(on=on, opening="0", closing=amount, entries=[entry(amount, on, ref="E1")])


class TestBreaks:
    """What operators see of the disagreements ..."""

    async def test_are_listed_page_by_page(self, api: Api, owner: asyncpg.Connection) -> None:
        """The oldest first, with what to do about each."""
        await opened(owner, 3)
        status, page = await api.call("GET", "/v1/bank/breaks?limit=2", token=api.operator)
        assert (status, len(page["breaks"])) == (200, 2)
        rest = await api.call("GET", f"/v1/bank/breaks?after={page['next']}", token=api.operator)

        assert [one["subject"] for one in rest[1]["breaks"]] == ["line 3"]
        assert rest[1]["next"] is None
        assert page["breaks"][0]["suggested_action"] == "find out"

    async def test_are_closed_with_a_reason(self, api: Api, owner: asyncpg.Connection) -> None:
        """The token's name signs; the same words twice are no news, others come too late."""
        await opened(owner)
        number = await owner.fetchval("SELECT break_id FROM recon_break")
        path = f"/v1/bank/breaks/{number}/close"

        async def said(because: str) -> tuple[int, Any]:
            return await api.call("POST", path, token=api.operator, json={"because": because})

        first = await said("a gift of the bank")
        assert (first[0], first[1]["because"]) == (201, "a gift of the bank")
        assert (await said("a gift of the bank"))[0] == 200
        assert kind(await said("something else")) == (409, "break-closed")
        closed = await api.call("GET", "/v1/bank/breaks?closed=true", token=api.operator)
        assert len(closed[1]["breaks"]) == 1
        absent = await api.call(
            "POST", "/v1/bank/breaks/999/close", token=api.operator, json={"because": "no"}
        )
        assert kind(absent) == (404, "not-found")

    async def test_show_in_the_figures(self, api: Api, owner: asyncpg.Connection) -> None:
        """How many, and how old: whoever is on call is woken by these."""
        await opened(owner, 2)
        await owner.execute("UPDATE recon_break SET opened_at = opened_at - interval '1 hour'")
        _, text = await api.call("GET", "/metrics", token=api.operator)

        assert 'aqkol_recon_breaks_open{kind="line_orphan"} 2.0' in text
        assert "aqkol_recon_breaks_oldest_seconds 3600.0" in text
        assert "aqkol_recon_until_timestamp_seconds 0.0" in text


class TestAFreeze:
    """A mandate that waits for a person ..."""

    async def test_is_listed_and_lifted(self, api: Api, owner: asyncpg.Connection) -> None:
        """Once; who lifts it says why."""
        await owner.execute(
            "INSERT INTO mandate_freeze VALUES ('A-1', 'M-1', 'payment PM-X is not ours', $1)", AT
        )
        _, page = await api.call("GET", "/v1/bank/freezes?limit=1", token=api.operator)
        assert [one["mandate_id"] for one in page["freezes"]] == ["M-1"]
        more = f"?after_account={page['next_account']}&after_mandate={page['next_mandate']}"
        assert (await api.call("GET", f"/v1/bank/freezes{more}", token=api.operator))[1][
            "freezes"
        ] == []
        path = "/v1/accounts/A-1/mandates/M-1/lift"
        said = {"because": "the bank's mistake"}
        assert (await api.call("POST", path, token=api.operator, json=said))[0] == 200
        again = await api.call("POST", path, token=api.operator, json=said)
        assert kind(again) == (409, "not-frozen")


class TestDays:
    """Which days agree ..."""

    async def test_are_shown(self, api: Api, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """The newest first, and up to where there is no gap."""
        await owner.execute(
            "INSERT INTO recon_day (day, agreed_at)"
            " VALUES ('2026-02-07', $1), ('2026-02-08', $1), ('2026-02-09', NULL)",
            AT,
        )
        _, page = await api.call("GET", "/v1/bank/days?limit=2", token=api.operator)

        assert page["reconciled_until"] == "2026-02-08"
        assert [one["day"] for one in page["days"]] == ["2026-02-09", "2026-02-08"]
        assert page["next_before"] == "2026-02-08"
        assert await ReconBooks(pool=pool).reconciled_until() == date(2026, 2, 8)


class TestTheCommand:
    """``aqkol recon`` ..."""

    @pytest.fixture
    def aqkol(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> CliRunner:
        """Give a command line whose clock stands still."""
        clock = tmp_path / "clock"
        clock.write_text("2026-02-10T12:00:00+05:00", encoding="ascii")
        monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
        monkeypatch.setenv("AQKOL_CLOCK_FILE", str(clock))
        monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
        return CliRunner()

    def test_takes_statements_in(self, aqkol: CliRunner, tmp_path: Path) -> None:
        """Each line once, whatever the file is called the second time."""
        (tmp_path / "a.xml").write_bytes(one_line())
        (tmp_path / "b.xml").write_bytes(one_line())
        words = ["recon", "statement", str(tmp_path / "a.xml"), str(tmp_path / "b.xml"), "--json"]
        result = aqkol.invoke(shell.cli, words)

        assert json.loads(result.stdout.splitlines()[-1]) == {"a.xml": 1, "b.xml": 0}
        shown = aqkol.invoke(shell.cli, ["recon", "days"]).stdout
        assert "reconciled_until: never" in shown
        assert "2026-02-09: does not agree" in shown

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"no xml", "not_xml: line 1"),
            (one_line().replace(b">10.00<", b">10.01<", 1), "sums_differ: the closing balance"),
        ],
    )
    def test_says_why_a_file_is_not_taken(
        self, aqkol: CliRunner, tmp_path: Path, content: bytes, words: str
    ) -> None:
        """One sentence that the bank can be asked about."""
        (tmp_path / "a.xml").write_bytes(content)
        result = aqkol.invoke(shell.cli, ["recon", "statement", str(tmp_path / "a.xml")])

        assert (result.exit_code, words in result.stderr) == (2, True)

    def test_says_that_a_file_is_not_there(self, aqkol: CliRunner) -> None:
        """A typing error is no mistake of ours."""
        result = aqkol.invoke(shell.cli, ["recon", "statement", "nowhere.xml"])

        assert (result.exit_code, "cannot be read" in result.stderr) == (2, True)

    def test_needs_a_bank_to_run(self, aqkol: CliRunner) -> None:
        """Without one there are no three sides."""
        result = aqkol.invoke(shell.cli, ["recon", "run"])

        assert (result.exit_code, "AQKOL_BANK_URL" in result.stderr) == (3, True)

    def test_needs_a_bank_to_run_every_day(self, aqkol: CliRunner) -> None:
        """As a process of its own it would wait for ever for nothing."""
        result = aqkol.invoke(shell.cli, ["recon", "daily"])

        assert (result.exit_code, "AQKOL_BANK_URL" in result.stderr) == (3, True)

    def test_runs_every_day_by_the_loop_of_serve(
        self, aqkol: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A deployment of many processes reconciles as the one process does."""
        for name, value in PAYEE.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AQKOL_CREDITOR_ID", "KZ00AQKOL")
        monkeypatch.setenv("AQKOL_BANK_FILES", str(tmp_path / "bank"))
        done: list[dict[str, Any]] = []

        async def once(house: House, client: Bank, stopping: asyncio.Event) -> None:
            assert not stopping.is_set()
            done.append(await recon_due(house, client, house.clock.now()))

        monkeypatch.setattr(recon_cli, "recon_loop", once)
        result = aqkol.invoke(shell.cli, ["recon", "daily"])

        assert (result.exit_code, result.stderr) == (0, "")
        assert [one["recon"] for one in done] == ["ok"]

    def test_lists_and_closes_breaks(self, aqkol: CliRunner, database_url: str) -> None:
        """What is on the screen is enough to begin."""

        async def prepare() -> int:
            owner = await asyncpg.connect(database_url)
            await opened(owner)
            number = await owner.fetchval("SELECT break_id FROM recon_break")
            await owner.close()
            return int(number)

        number = asyncio.run(prepare())
        shown = aqkol.invoke(shell.cli, ["recon", "breaks"]).stdout
        assert "first: find out" in shown
        words = ["recon", "close", str(number), "--by", "Aigul K.", "--because", "settled"]
        assert "new: True" in aqkol.invoke(shell.cli, words).stdout
        assert "breaks: 0" in aqkol.invoke(shell.cli, ["recon", "breaks"]).stdout
        shown = aqkol.invoke(shell.cli, ["recon", "breaks", "--closed", "--json"]).stdout
        assert json.loads(shown.splitlines()[-1])["breaks"][0]["closed_by"] == "Aigul K."
        other = [*words[:-1], "otherwise"]
        assert aqkol.invoke(shell.cli, other).exit_code == 2
        assert aqkol.invoke(shell.cli, ["recon", "lift", "A-1", "M-1", *words[3:]]).exit_code == 2


class TestTheFolder:
    """Statements that are put into a folder ..."""

    @pytest.fixture
    def house(self, pool: asyncpg.Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
        """Give a house with a folder for statements, without servers."""
        monkeypatch.setenv("AQKOL_STATEMENTS", str(tmp_path / "in"))
        (tmp_path / "in").mkdir()
        return House(settings=load(), servers=None, pool=pool, clock=SteppedClock(AT))

    async def test_are_taken_in_and_put_aside(
        self, house: House, owner: asyncpg.Connection, tmp_path: Path
    ) -> None:
        """What was taken is out of the way, under its own name or one beside it."""
        folder = tmp_path / "in"
        (folder / "a.xml").write_bytes(one_line())
        assert await statements_in(house, folder, AT) == 1
        (folder / "a.xml").write_bytes(one_line(date(2026, 2, 10)))
        assert await statements_in(house, folder, AT) == 1

        assert sorted(file.name for file in (folder / "taken").iterdir()) == ["a-2.xml", "a.xml"]
        assert await owner.fetchval("SELECT count(*) FROM statement_line") == 2

    async def test_do_not_stop_at_a_bad_one(
        self, house: House, owner: asyncpg.Connection, tmp_path: Path
    ) -> None:
        """It is put aside with the reason; the next one is taken."""
        folder = tmp_path / "in"
        (folder / "a.xml").write_bytes(b"<!DOCTYPE a><a/>")
        (folder / "b.xml").write_bytes(one_line())
        (folder / "c.xml").write_bytes(one_line(amount="11.00"))
        (folder / "d.xml").write_bytes(one_line(on=DAY.replace(year=DAY.year + 1)))
        (folder / "half.part").write_bytes(b"")
        assert await statements_in(house, folder, AT) == 1

        refused = folder / "refused"
        assert (refused / "a.txt").read_text() == "entities: the document type\n"
        assert (refused / "c.txt").read_text() == "differs: entry E1 of 2026-02-09\n"
        assert (refused / "d.txt").read_text() == "bad_field: Stmt/FrToDt\n"
        assert (folder / "half.part").exists()
        assert await owner.fetchval("SELECT count(*) FROM statement_line") == 1

    async def test_may_not_be_there(self, house: House, tmp_path: Path) -> None:
        """A share that is not mounted is a day without a statement, not our end."""
        assert await statements_in(house, tmp_path / "nowhere", AT) == 0

    async def test_are_reconciled_when_they_come(self, house: House, tmp_path: Path) -> None:
        """Once a day, and again when a statement has come; not every ten minutes."""
        bank: Any = PayingBank()
        assert (await recon_due(house, bank, AT))["recon"] == "ok"
        assert await recon_due(house, bank, AT) == {}
        (tmp_path / "in" / "a.xml").write_bytes(one_line())
        later = AT.replace(hour=13)
        assert (await recon_due(house, bank, later))["recon"] == "open"
        assert await recon_due(house, bank, later.replace(hour=14)) == {}

    async def test_wait_for_the_morning(self, house: House) -> None:
        """At four in the morning the bank has not written yesterday's statement yet."""
        assert await recon_due(house, PayingBank(), AT.replace(day=9, hour=23)) == {}
