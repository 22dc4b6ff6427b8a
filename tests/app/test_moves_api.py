"""Moving out and in over HTTP and by hand."""

import asyncio
from datetime import datetime
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from tests.app.api_town import Api, bill, settle
from tests.app.test_metering_api import kind, read

# Eight in the evening of the 5th of February in the town; the API's clock stands at the 10th.
EVENING = datetime.fromisoformat("2026-02-05T20:00:00+05:00")


async def post(api: Api, path: str, **said: object) -> tuple[int, Any]:
    return await api.call("POST", f"/v1/accounts/{path}", token=api.operator, json=said)


async def out(api: Api, account_id: str = "A-1", **change: object) -> tuple[int, Any]:
    said = {"last_day": "2026-02-05", "because": "moved to Astana", **change}
    return await post(api, f"{account_id}/move-out", **said)


async def into(api: Api, **change: object) -> tuple[int, Any]:
    said = {
        "meter_id": "AQ-000001",
        "supply_point_id": "SP-1",
        "from_day": "2026-02-06",
        **change,
    }
    return await post(api, "A-2/move-in", **said)


class TestMoves:
    """Moving over HTTP ..."""

    async def test_goes_from_one_account_to_the_next(self, api: Api) -> None:
        """Out on the 5th, the final bill at once, in on the 6th with the same register."""
        await bill(api)
        await read(api, 130_000, EVENING, 0)
        status, closing = await out(api)
        assert (status, closing["registers"][0]["register_dm3"]) == (201, 130_000)
        assert (await out(api))[0] == 200
        status, final = await api.call("POST", "/v1/accounts/A-1/final-bill", token=api.operator)
        # 10 m3: 64.05 and 10.25 tenge.
        assert (status, final["state"], final["total_minor"]) == (200, "issued", 7_430)

        status, stay = await into(api)

        assert (status, stay["account_id"], stay["opening_dm3"]) == (201, "A-2", 130_000)
        assert (await into(api))[0] == 200
        status, shown = await api.call("GET", "/v1/accounts/A-1/closing", token=api.resident)
        assert (status, shown["last_day"]) == (200, "2026-02-05")
        answer = await api.call("GET", "/v1/accounts/A-2/closing", token=api.operator)
        assert kind(answer) == (404, "not-found")

    async def test_is_refused_in_words(self, api: Api) -> None:
        """Each mistake has its own name, and nothing is half done."""
        await bill(api)
        assert kind(await out(api, "A-9")) == (404, "not-found")
        assert kind(await out(api, last_day="2026-02-10")) == (422, "move-day")
        assert kind(await out(api, last_day="2027-01-01")) == (422, "move-day")
        assert kind(await out(api)) == (422, "no-register")
        said = [{"meter_id": "AQ-000001", "register_dm3": 5}]
        assert kind(await out(api, registers=said)) == (422, "closing-implausible")
        said = [{"meter_id": "AQ-7", "register_dm3": 5}]
        assert kind(await out(api, registers=said)) == (422, "not-at-account")
        said = [{"meter_id": "AQ-000001", "register_dm3": 100_000}]
        answer = await out(api, last_day="2026-01-15", registers=said)
        assert kind(answer) == (409, "already-measured")
        assert kind(await post(api, "A-1/final-bill")) == (409, "account-open")
        assert kind(await into(api)) == (409, "still-occupied")
        said = [{"meter_id": "AQ-000001", "register_dm3": 130_000}]
        assert (await out(api, registers=said))[0] == 201
        assert kind(await out(api)) == (409, "closing-differs")
        assert kind(await into(api, register_dm3=131_000)) == (409, "gas-unclaimed")
        assert kind(await into(api, supply_point_id="SP-7")) == (422, "supply-point-unknown")
        assert kind(await into(api, from_day="2026-02-05")) == (422, "move-day")
        answer = await api.call(
            "POST",
            "/v1/meters/AQ-000001/installations",
            token=api.operator,
            json={
                "account_id": "A-1",
                "supply_point_id": "SP-1",
                "installed_at": "2026-02-07T00:00:00+05:00",
                "opening_dm3": 130_000,
            },
        )
        assert kind(answer) == (409, "account-closed")


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Give a command line whose database is the test's, with two homes in it."""

    async def prepare() -> None:
        owner = await asyncpg.connect(database_url)
        await owner.execute(
            "INSERT INTO tariff VALUES ('household', '2025-01-01', NULL, 640490, 'KZT', 'a test')"
        )
        await settle(owner, "A-1", "AQ-1")
        await owner.execute("INSERT INTO account VALUES ('A-2', 'household', 'KZT', '2026-01-01Z')")
        await owner.execute("INSERT INTO supply_point VALUES ('A-2', 'SP-1', '2026-01-01Z')")
        await owner.close()

    asyncio.run(prepare())
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


class TestTheCommand:
    """``aqkol account`` with moves ..."""

    def test_moves_out_bills_and_moves_in(self, aqkol: CliRunner) -> None:
        """100 m3 of January, read at its last midnight: 742.97 tenge."""

        def said(words: str) -> list[str]:
            result = aqkol.invoke(shell.cli, ["account", *words.split()])
            lines = (result.stdout + result.stderr).splitlines()
            return [line for line in lines if "[info" not in line]

        wrong = "move-out A-1 --last-day 2026-01-31 --register AQ-1 --because moved --by Olga"
        assert said(wrong) == ["aqkol: a register is written like AQ-000123=12345."]
        assert said("move-out A-1 --last-day 2026-01-31 --because moved --by Olga") == [
            "last_day: 2026-01-31",
            "registers_dm3",
            "  AQ-1: 120000",
            "new: True",
        ]
        assert said("final-bill A-1")[:3] == [
            "bill_no: 2026-01",
            "state: issued",
            "total_minor: 74297",
        ]
        assert said("move-in A-2 --meter AQ-1 --supply-point SP-1 --from 2026-02-01") == [
            "installed_at: 2026-01-31T19:00:00+00:00",
            "opening_dm3: 120000",
            "new: True",
        ]
