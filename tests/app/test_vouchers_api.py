"""Vouchers over HTTP and by hand."""

import asyncio
from typing import Any, Final

import asyncpg
import pytest
from typer.testing import CliRunner

from app import __main__ as shell
from tests.app.api_town import AT, Api, bill
from tests.app.test_metering_api import kind

ORDER: Final = {
    "source": "akimat of Aqkol, order 17",
    "amount_minor": 100_000,
    "currency": "KZT",
    "valid_from": "2026-01-01",
    "valid_to": "2027-01-01",
}


async def enter(api: Api, account_id: str = "A-1", **change: object) -> tuple[int, Any]:
    return await api.call(
        "POST",
        f"/v1/accounts/{account_id}/vouchers",
        token=api.operator,
        json={**ORDER, **change},
    )


async def revoke(api: Api, voucher_no: int, because: str = "error") -> tuple[int, Any]:
    return await api.call(
        "POST",
        f"/v1/accounts/A-1/vouchers/{voucher_no}/revoke",
        token=api.operator,
        json={"because": because},
    )


class TestVouchers:
    """A voucher over HTTP ..."""

    async def test_larger_than_the_bill_is_explained(self, api: Api) -> None:
        """1 000 tenge for a bill of 742.97: the resident reads where it went and what is left."""
        status, entered = await enter(api)
        assert (status, entered["state"], entered["rest_minor"]) == (201, "usable", 100_000)
        assert (await enter(api))[0] == 200
        await bill(api)

        status, told = await api.call("GET", "/v1/accounts/A-1/vouchers", token=api.resident)

        [shown] = told["vouchers"]
        assert (status, shown["used_minor"], shown["rest_minor"]) == (200, 74_297, 25_703)
        assert [(use["bill_no"], use["amount_minor"]) for use in shown["uses"]] == [
            ("2026-01", 74_297)
        ]
        _, account = await api.call("GET", "/v1/accounts/A-1", token=api.resident)
        assert account["owed_minor"] == 0

    async def test_is_refused_in_words(self, api: Api) -> None:
        """Each mistake has its own name."""
        assert (await enter(api))[0] == 201
        assert kind(await enter(api, amount_minor=5)) == (409, "voucher-differs")
        assert kind(await enter(api, source="b", currency="USD")) == (422, "voucher-unusable")
        assert kind(
            await enter(api, source="b", valid_from="2025-01-01", valid_to="2026-02-10")
        ) == (422, "voucher-unusable")
        assert kind(await enter(api, "A-9")) == (404, "not-found")
        assert kind(await enter(api, source="b", amount_minor=0)) == (422, "invalid")
        assert kind(await enter(api, source="b", valid_to="2026-01-01")) == (422, "invalid")

    async def test_is_revoked_once(self, api: Api) -> None:
        """The rest is taken back with a reason."""
        await enter(api)
        status, shown = await revoke(api, 1)
        assert (status, shown["state"], shown["revoked_because"]) == (201, "revoked", "error")
        assert (await revoke(api, 1))[0] == 200
        assert kind(await revoke(api, 1, "other")) == (409, "voucher-revoked")
        assert kind(await revoke(api, 2)) == (404, "not-found")

    async def test_is_entered_by_operators_only(self, api: Api) -> None:
        """A resident reads his own and no other's."""
        answer = await api.call(
            "POST", "/v1/accounts/A-1/vouchers", token=api.resident, json=dict(ORDER)
        )
        assert kind(answer) == (403, "forbidden")
        answer = await api.call("GET", "/v1/accounts/A-1/vouchers", token=api.other)
        assert kind(answer) == (404, "not-found")


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Give a command line whose database is the test's, with one account in it."""

    async def prepare() -> None:
        owner = await asyncpg.connect(database_url)
        await owner.execute("INSERT INTO account VALUES ('A-1', 'household', 'KZT', $1)", AT)
        await owner.close()

    asyncio.run(prepare())
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


class TestTheCommand:
    """``aqkol account`` with vouchers ..."""

    def test_enters_shows_and_revokes(self, aqkol: CliRunner) -> None:
        """The clock is the real one, so the voucher is valid for as long as a voucher can be."""
        words = "--source order-17 --amount-minor 5000 --currency KZT --from 2020-01-01"
        args = ["account", "voucher", "A-1", *words.split(), "--to", "2099-01-01", "--by", "Olga"]

        first = aqkol.invoke(shell.cli, args)
        assert (first.exit_code, "voucher_no: 1" in first.stdout) == (0, True)
        assert "new: False" in aqkol.invoke(shell.cli, args).stdout
        assert "rest_minor: 5000" in aqkol.invoke(shell.cli, ["account", "vouchers", "A-1"]).stdout
        gone = aqkol.invoke(
            shell.cli,
            ["account", "revoke-voucher", "A-1", "1", "--because", "error", "--by", "Olga"],
        )
        assert "state: revoked" in gone.stdout

    def test_ends_with_a_sentence_for_a_mistake(self, aqkol: CliRunner) -> None:
        """No trace of Python for a typing error."""
        result = aqkol.invoke(shell.cli, ["account", "vouchers", "A-9"])
        assert (result.exit_code, result.stderr.strip()) == (
            2,
            "aqkol: No account has this id.",
        )
