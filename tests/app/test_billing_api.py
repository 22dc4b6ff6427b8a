"""Accounts and bills over HTTP."""

from datetime import UTC, datetime
from typing import Any, Final

import pytest

from tests.app.api_town import AT, Api, bill

ACCOUNT: Final = {
    "account_id": "A-9",
    "tariff_code": "household",
    "currency": "KZT",
    "person": {"full_name": "Айгүл Ахметова", "address": "Абай 1, 2"},
    "supply_point": {"supply_point_id": "SP-9", "connected_at": "2026-01-05T00:00:00+05:00"},
}


def kind(answer: tuple[int, Any]) -> tuple[int, str]:
    status, problem = answer
    return status, problem["type"].removeprefix("/problems/")


async def post(api: Api, path: str, body: object) -> tuple[int, Any]:
    return await api.call("POST", path, token=api.operator, json=body)


class TestAccounts:
    """An account ..."""

    async def test_is_opened_once(self, api: Api) -> None:
        """The same form again changes nothing; another person under the same id is a question."""
        opened = {
            "account_id": "A-9",
            "tariff_code": "household",
            "currency": "KZT",
            "opened_at": "2026-02-10T12:00:00Z",
        }

        assert await post(api, "/v1/accounts", ACCOUNT) == (201, opened)
        assert await post(api, "/v1/accounts", ACCOUNT) == (200, opened)
        for change in (
            {"person": {"full_name": "Other", "address": "Абай 1, 2"}},
            {"supply_point": {**ACCOUNT["supply_point"], "supply_point_id": "SP-8"}},
        ):
            answer = await post(api, "/v1/accounts", {**ACCOUNT, **change})
            assert kind(answer) == (409, "account-differs")

    async def test_needs_a_tariff_that_exists(self, api: Api) -> None:
        """A typing error here would hold every bill of the home."""
        for change in ({"tariff_code": "houshold"}, {"currency": "EUR"}):
            answer = await post(api, "/v1/accounts", {**ACCOUNT, **change})
            assert kind(answer) == (422, "tariff-unknown")

    async def test_holds_text_that_can_be_kept(self, api: Api) -> None:
        """No NUL (the database refuses it), no line breaks (a log would believe them)."""
        for name in ("", "a\x00b", "a\nb", "a\x1b[2Jb", "x" * 201):
            person = {"full_name": name, "address": "y"}
            answer = await post(api, "/v1/accounts", {**ACCOUNT, "person": person})
            assert kind(answer) == (422, "invalid"), name

    async def test_is_listed_without_names(self, api: Api) -> None:
        """A list of customers with names is what thieves come for."""
        status, page = await api.call("GET", "/v1/accounts?limit=1", token=api.operator)
        _, rest = await api.call(
            "GET", f"/v1/accounts?limit=5&after={page['next']}", token=api.operator
        )

        assert status == 200
        assert page["accounts"] == [
            {
                "account_id": "A-1",
                "tariff_code": "household",
                "currency": "KZT",
                "opened_at": "2026-02-10T12:00:00Z",
            }
        ]
        assert [account["account_id"] for account in rest["accounts"]] == ["A-2"]

    async def test_shows_what_is_owed(self, api: Api) -> None:
        """742.97 tenge for January; nothing before there was a bill."""
        _, before = await api.call("GET", "/v1/accounts/A-1", token=api.resident)
        await bill(api)
        _, after = await api.call("GET", "/v1/accounts/A-1", token=api.resident)

        assert (before["owed_minor"], after["owed_minor"]) == (0, 74_297)
        assert after["supply_points"] == [
            {"supply_point_id": "SP-1", "connected_at": "2025-12-31T19:00:00Z"}
        ]

    async def test_that_nobody_opened_is_not_there(self, api: Api) -> None:
        """For an operator, who may ask for any."""
        for path in ("/v1/accounts/A-404", "/v1/accounts/A-404/bills"):
            answer = await api.call("GET", path, token=api.operator)
            assert kind(answer) == (404, "not-found")
        answer = await post(api, "/v1/accounts/A-404/tokens", {"label": "phone"})
        assert kind(answer) == (404, "not-found")


class TestResidentTokens:
    """A resident's token ..."""

    async def test_opens_the_own_account(self, api: Api) -> None:
        """Made by an operator, shown once, good for the days asked for."""
        status, made = await post(api, "/v1/accounts/A-2/tokens", {"label": "phone", "days": 7})

        assert status == 201
        assert made["expires_at"] == "2026-02-17T12:00:00Z"
        assert (await api.call("GET", "/v1/accounts/A-2", token=made["token"]))[0] == 200
        assert (await api.call("GET", "/v1/accounts/A-1", token=made["token"]))[0] == 404
        assert (await api.call("GET", "/v1/accounts", token=made["token"]))[0] == 403

    async def test_is_taken_back_with_the_others(self, api: Api) -> None:
        """A lost phone: one call, and the very next request fails."""
        status, answer = await api.call("DELETE", "/v1/accounts/A-1/tokens", token=api.operator)

        assert (status, answer) == (200, {"revoked": 1})
        assert (await api.call("GET", "/v1/accounts/A-1", token=api.resident))[0] == 401
        assert (await api.call("GET", "/v1/accounts/A-2", token=api.other))[0] == 200

    async def test_is_in_no_log(self, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
        """A log is read by more people than the token is for."""
        _, made = await post(api, "/v1/accounts/A-2/tokens", {"label": "phone"})

        assert made["token"] not in "".join(capsys.readouterr())


class TestBillRuns:
    """A bill run ..."""

    async def test_bills_the_month(self, api: Api) -> None:
        """Two homes, 100 m3 each, 742.97 tenge each; run again, nothing is left to do."""
        status, first = await post(api, "/v1/bill-runs", {"period": "2026-01"})
        _, second = await post(api, "/v1/bill-runs", {"period": "2026-01"})

        assert status == 200
        assert first == {
            "period": "2026-01",
            "measured": 2,
            "lacking": 0,
            "billed": 2,
            "lines": 2,
            "volume_dm3": 200_000,
            "total_minor": 148_594,
            "held": 0,
        }
        assert (second["billed"], second["total_minor"]) == (0, 0)

    async def test_waits_for_the_end_of_the_month(self, api: Api) -> None:
        """February ends at local midnight, which is 19:00 UTC of its last day."""
        answer = await post(api, "/v1/bill-runs", {"period": "2026-02"})
        assert kind(answer) == (409, "period-not-over")

        api.clock.advance_to(datetime(2026, 2, 28, 19, 0, tzinfo=UTC))
        assert (await post(api, "/v1/bill-runs", {"period": "2026-02"}))[0] == 200

    async def test_needs_a_month(self, api: Api) -> None:
        """Not a day, not a thirteenth month, not one of another century."""
        for period in ("2026-1", "2026-13", "2026-00", "1999-12", "2026-01-01", "", 202601, None):
            answer = await post(api, "/v1/bill-runs", {"period": period})
            assert kind(answer) == (422, "invalid"), period


class TestBills:
    """A bill ..."""

    async def test_shows_every_figure_it_was_made_of(self, api: Api) -> None:
        """100 m3 at 6404.90 per 1000 m3 are 640.49; 16 % of it 102.48; together 742.97."""
        await bill(api)

        status, shown = await api.call("GET", "/v1/accounts/A-1/bills/2026-01", token=api.resident)

        assert status == 200
        assert shown == {
            "bill_no": "2026-01",
            "period_start": "2026-01-01",
            "period_end": "2026-02-01",
            "revision": 1,
            "volume_dm3": 100_000,
            "net_minor": 64_049,
            "vat_minor": 10_248,
            "total_minor": 74_297,
            "owed_minor": 74_297,
            "currency": "KZT",
            "state": "open",
            "issued_at": "2026-02-10T12:00:00Z",
            "due_on": "2026-02-25",
            "lines": [
                {
                    "line_no": 1,
                    "meter_id": "AQ-000001",
                    "supply_point_id": "SP-1",
                    "from_at": "2025-12-31T19:00:00Z",
                    "to_at": "2026-01-31T19:00:00Z",
                    "opening_register_dm3": 20_000,
                    "opening_read_at": "2025-12-31T19:00:00Z",
                    "closing_register_dm3": 120_000,
                    "closing_read_at": "2026-01-31T19:00:00Z",
                    "volume_dm3": 100_000,
                    "tariff_code": "household",
                    "tariff_valid_from": "2025-01-01",
                    "net_minor_per_1000_m3": 640_490,
                    "vat_rate_bp": 1600,
                    "net_minor": 64_049,
                    "vat_minor": 10_248,
                    "band_no": 1,
                    "multiplier_bp": 10_000,
                    "energy_wh": None,
                    "net_minor_per_gwh": None,
                    "days": 31,
                    "days_of": 31,
                    "opening_quality": "read",
                    "closing_quality": "read",
                }
            ],
            "charges": [],
            "kind": "bill",
            "corrects_bill_no": None,
        }

    async def test_is_open_then_in_transit_then_paid(self, api: Api) -> None:
        """A resident who looks while the bank is at work must not pay twice."""
        await bill(api)
        states = []
        for step in (None, "pending", "posted"):
            if step is not None:
                await api.owner.execute(
                    "INSERT INTO transfer VALUES ('A-1', 'debit/2026-01/1/' || $1::text, $1,"
                    " 'collections_in_transit', 'receivable', 74297, 'KZT', '2026-01', $2)",
                    step,
                    AT,
                )
            _, shown = await api.call("GET", "/v1/accounts/A-1/bills/2026-01", token=api.resident)
            states.append((shown["state"], shown["owed_minor"]))

        assert states == [("open", 74_297), ("in_transit", 74_297), ("paid", 0)]

    async def test_is_open_again_when_the_debit_was_given_up(self, api: Api) -> None:
        """A void answers the pending transfer; nothing is under way any more."""
        await bill(api)
        for step in ("pending", "void"):
            await api.owner.execute(
                "INSERT INTO transfer VALUES ('A-1', 'debit/2026-01/1/' || $1::text, $1,"
                " 'collections_in_transit', 'receivable', 74297, 'KZT', '2026-01', $2)",
                step,
                AT,
            )

        _, page = await api.call("GET", "/v1/accounts/A-1/bills", token=api.resident)
        assert [shown["state"] for shown in page["bills"]] == ["open"]

    async def test_is_listed_the_newest_first(self, api: Api) -> None:
        """Page by page, through the number of the last one."""
        await bill(api)
        await api.owner.execute("SELECT open_reading_month('2026-02-28Z')")
        await api.owner.execute(
            "INSERT INTO reading VALUES"
            " ('AQ-000001', '2026-02-28T19:00:00Z', 150000, 0, 'billable', NULL, 2, '2026-02-28Z')"
        )
        api.clock.advance_to(datetime(2026, 3, 2, tzinfo=UTC))
        await post(api, "/v1/bill-runs", {"period": "2026-02"})
        path = "/v1/accounts/A-1/bills?limit=1"

        _, one = await api.call("GET", path, token=api.resident)
        _, two = await api.call("GET", f"{path}&after={one['next']}", token=api.resident)
        _, three = await api.call("GET", f"{path}&after={two['next']}", token=api.resident)

        assert [page["bills"][0]["bill_no"] for page in (one, two)] == ["2026-02", "2026-01"]
        assert three == {"bills": [], "next": None}


class TestHeldBills:
    """A bill that waits ..."""

    async def test_says_for_what_and_for_which_meter(self, api: Api) -> None:
        """No register near the end of February: held, not guessed."""
        await bill(api)
        api.clock.advance_to(datetime(2026, 3, 2, tzinfo=UTC))
        await post(api, "/v1/bill-runs", {"period": "2026-02"})

        status, page = await api.call("GET", "/v1/bills/held", token=api.operator)
        _, named = await api.call(
            "GET", "/v1/bills/held?period=2026-02&after=A-1", token=api.operator
        )

        assert status == 200
        assert page == {
            "period": "2026-02",
            "periods": ["2026-02"],
            "holds": [
                {
                    "account_id": f"A-{n}",
                    "reason": "no_closing_register",
                    "meter_id": f"AQ-00000{n}",
                    "noted_at": "2026-03-02T00:00:00Z",
                    "detail": {},
                }
                for n in (1, 2)
            ],
            "next": None,
        }
        assert [hold["account_id"] for hold in named["holds"]] == ["A-2"]

    async def test_is_in_an_empty_list_when_nothing_waits(self, api: Api) -> None:
        """No period, no holds, no error."""
        assert await api.call("GET", "/v1/bills/held", token=api.operator) == (
            200,
            {"period": None, "periods": [], "holds": [], "next": None},
        )
