"""The ledger and refunds over HTTP."""

from typing import Any

import pytest

from tests.app.api_town import AT, Api, bill

DAYS = "from_day=2026-02-01&to_day=2026-03-01"
WANTED = {
    "bill_no": "2026-01",
    "attempt": 1,
    "amount_minor": 5_000,
    "cause": "operator",
    "because": "the resident called",
}


async def ask(api: Api, **change: object) -> tuple[int, Any]:
    return await api.call(
        "POST", "/v1/accounts/A-1/refunds", token=api.operator, json={**WANTED, **change}
    )


async def collected(api: Api) -> None:
    """Bill January and take A-1's money for it."""
    await bill(api)
    await api.owner.execute("DELETE FROM notice; DELETE FROM debit_step; DELETE FROM debit")
    body = b"{}"
    await api.owner.execute(
        "INSERT INTO debit (account_id, bill_no, attempt, mandate_id, state, amount_minor,"
        " currency, charge_on, idempotency_key, body, body_digest, bank_payment_id, changed_at)"
        " VALUES ('A-1', '2026-01', 1, 'M-1', 'settled', 74297, 'KZT', '2026-02-08', 'debit:v1:x',"
        " $1, sha256($1), 'PM1', $2)",
        body,
        AT,
    )
    for name, debit, credit in (
        ("posted", "collections_in_transit", "receivable"),
        ("payout", "bank", "collections_in_transit"),
    ):
        await api.owner.execute(
            "INSERT INTO transfer VALUES ('A-1', $1, 'posted', $2, $3, 74297, 'KZT', '2026-01',"
            " $4)",
            f"debit/2026-01/1/{name}",
            debit,
            credit,
            AT,
        )


class TestBooks:
    """The books ..."""

    async def test_add_up_to_nothing(self, api: Api) -> None:
        """Two homes of 742.97 each, one of them has paid."""
        await collected(api)

        status, told = await api.call("GET", f"/v1/books/trial-balance?{DAYS}", token=api.operator)

        assert status == 200
        assert {one["code"]: one["closing_minor"] for one in told["accounts"]} == {
            "bank": 74_297,
            "collections_in_transit": 0,
            "receivable": 74_297,
            "revenue": -128_098,
            "vat": -20_496,
        }
        assert told["sums"] == [
            {
                "currency": "KZT",
                "opening_minor": 0,
                "debited_minor": 297_188,
                "credited_minor": 297_188,
                "closing_minor": 0,
            }
        ]

    async def test_tell_a_resident_every_movement(self, api: Api) -> None:
        """In three languages, with what is owed after each."""
        await collected(api)

        status, told = await api.call(
            "GET", f"/v1/accounts/A-1/statement?{DAYS}", token=api.resident
        )

        assert status == 200
        assert [(one["kind"], one["owed_minor"]) for one in told["movements"]] == [
            ("billed", 74_297),
            ("taken", 0),
        ]
        assert told["movements"][1]["words"] == {
            "kk": "Банк шотыңыздан алынды",
            "ru": "Деньги списаны вашим банком",
            "en": "Taken from your bank account",
        }
        assert (told["opening_minor"], told["closing_minor"]) == (0, 0)

    @pytest.mark.parametrize(
        "days", ["from_day=2026-02-02&to_day=2026-02-01", "from_day=2027-01-01&to_day=2027-01-02"]
    )
    async def test_know_only_days_that_have_been(self, api: Api, days: str) -> None:
        """The answer says what is wrong with them."""
        status, problem = await api.call(
            "GET", f"/v1/accounts/A-1/statement?{days}", token=api.resident
        )

        assert (status, problem["type"]) == (422, "/problems/bad-span")


class TestRefunds:
    """A refund over HTTP ..."""

    async def test_is_asked_for_by_an_operator_and_seen_by_the_resident(self, api: Api) -> None:
        """With every step, and no word that an operator wrote about him."""
        await collected(api)
        status, asked = await ask(api)
        assert (status, asked["state"], asked["refund_no"]) == (201, "requested", 1)
        assert (await ask(api))[1]["refund_no"] == 1

        status, told = await api.call("GET", "/v1/accounts/A-1/refunds", token=api.resident)

        (shown,) = told["refunds"]
        assert (status, shown["amount_minor"], shown["cause"]) == (200, 5_000, "operator")
        assert [step["to_state"] for step in shown["steps"]] == ["requested"]
        assert "because" not in shown

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"amount_minor": 74_298}, 409),
            ({"attempt": 2}, 409),
            ({"cause": "overcharged"}, 409),
            ({"cause": "cancel_too_late"}, 422),
            ({"amount_minor": 0}, 422),
            ({"amount_minor": 5.0}, 422),
            ({"because": ""}, 422),
        ],
    )
    async def test_is_refused_with_a_reason(
        self, api: Api, change: dict[str, object], status: int
    ) -> None:
        """More than was taken, an attempt that never was, too much that was not."""
        await collected(api)

        assert (await ask(api, **change))[0] == status

    async def test_is_not_the_residents_to_ask_for(self, api: Api) -> None:
        """He disputes the bill or cancels the mandate; what is given back a person decides."""
        await collected(api)

        status, _ = await api.call(
            "POST", "/v1/accounts/A-1/refunds", token=api.resident, json=WANTED
        )

        assert status == 403

    async def test_that_waits_for_a_person_is_found(self, api: Api) -> None:
        """By its state, over all accounts, page by page."""
        await collected(api)
        for amount_minor in (1_000, 2_000, 3_000):
            await ask(api, amount_minor=amount_minor)
        path = "/v1/refunds/orders?state=requested&limit=2"

        _, first = await api.call("GET", path, token=api.operator)
        _, second = await api.call("GET", f"{path}&after={first['next']}", token=api.operator)

        found = [one["amount_minor"] for page in (first, second) for one in page["refunds"]]
        assert found == [1_000, 2_000, 3_000]
        assert second["next"] is None
        _, own = await api.call("GET", "/v1/accounts/A-1/refunds?limit=2", token=api.resident)
        _, more = await api.call(
            "GET", f"/v1/accounts/A-1/refunds?limit=2&after={own['next']}", token=api.resident
        )
        assert [one["refund_no"] for page in (own, more) for one in page["refunds"]] == [3, 2, 1]
