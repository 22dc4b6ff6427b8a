"""Prices over HTTP: proposed by one operator, approved by another."""

import asyncio
from datetime import timedelta
from typing import Any, Final

import pytest

from app.tokens import issue_token
from metering.io.route import Role
from tests.app.api_town import AT, Api
from tests.app.test_metering_api import kind

SHOPS: Final[dict[str, Any]] = {
    "tariff_code": "shops",
    "valid_from": "2026-03-01",
    "net_minor_per_1000_m3": 700_000,
    "currency": "KZT",
}
# What a tariff is shown with when nobody said more about it.
PLAIN: Final[dict[str, Any]] = {
    "valid_to": None,
    "net_minor_per_gwh": None,
    "rounding": "half_up",
    "norm_per": "household",
    "heating_months": [],
    "standing_net_minor_per_1000_days": 0,
    "standing_net_minor_per_month": 0,
    "discount_bp": 0,
    "discount_norm": None,
    "discount_norm_heating": None,
    "bands": [],
}
RICH: Final[dict[str, Any]] = {
    **SHOPS,
    **PLAIN,
    "rounding": "half_even",
    "norm_per": "person",
    "heating_months": [1, 2, 12],
    "standing_net_minor_per_1000_days": 1_500_000,
    "standing_net_minor_per_month": 25_000,
    "discount_bp": 2_500,
    "discount_norm": 50_000,
    "discount_norm_heating": 90_000,
    "bands": [
        {"up_to": 100_000, "up_to_heating": 200_000, "multiplier_bp": 10_000, "net_minor": None},
        {"up_to": 300_000, "up_to_heating": None, "multiplier_bp": 12_000, "net_minor": None},
        {"up_to": None, "up_to_heating": None, "multiplier_bp": 10_000, "net_minor": 900_000},
    ],
}


async def person(api: Api, label: str) -> str:
    """Return a new token of an operator."""
    issued = await issue_token(
        api.pool,
        role=Role.OPERATOR,
        account_id=None,
        label=label,
        at=AT,
        lifetime=timedelta(days=1),
    )
    return issued.token


async def propose(api: Api, token: str | None = None, **change: object) -> tuple[int, Any]:
    return await api.call(
        "POST",
        "/v1/price-proposals",
        token=token or api.operator,
        json={"source": "order 12", **change},
    )


async def approve(api: Api, proposal_no: int, token: str) -> tuple[int, Any]:
    return await api.call("POST", f"/v1/price-proposals/{proposal_no}/approve", token=token)


async def refuse(api: Api, proposal_no: int, token: str, because: str) -> tuple[int, Any]:
    path = f"/v1/price-proposals/{proposal_no}/refuse"
    return await api.call("POST", path, token=token, json={"because": because})


async def listed(api: Api) -> dict[tuple[str, str], Any]:
    _, told = await api.call("GET", "/v1/tariffs", token=api.operator)
    return {(one["tariff_code"], one["valid_from"]): one for one in told["tariffs"]}


class TestAPrice:
    """A price ..."""

    async def test_takes_two_operators(self, api: Api) -> None:
        """Proposed by one, approved by another; then it stands in the list with its parts."""
        status, made = await propose(api, tariff=RICH)
        assert (status, made["state"], made["tariff"]) == (201, "waiting", RICH)
        assert (await propose(api, tariff=RICH))[0] == 200
        assert ("shops", "2026-03-01") not in await listed(api)

        status, done = await approve(api, made["proposal_no"], await person(api, "Aigul"))

        assert (status, done["state"], done["proposed_by"], done["decided_by"]) == (
            201,
            "approved",
            "a test",
            "Aigul",
        )
        assert (await listed(api))["shops", "2026-03-01"] == {**RICH, "approved_by": "Aigul"}

    async def test_is_not_approved_with_another_token_of_the_same_name(self, api: Api) -> None:
        """A person may have two tokens, and is still one."""
        _, made = await propose(api, tariff=SHOPS)

        for label in ("a test", "A Test "):
            answer = await approve(api, made["proposal_no"], await person(api, label))
            assert kind(answer) == (409, "second-person")
        assert ("shops", "2026-03-01") not in await listed(api)

    async def test_has_one_fate(self, api: Api) -> None:
        """Three people press at once: one outcome, which the others are told."""
        _, made = await propose(api, tariff=SHOPS)
        people = [await person(api, label) for label in ("Aigul", "Boris", "Dana")]

        answers = await asyncio.gather(
            approve(api, made["proposal_no"], people[0]),
            approve(api, made["proposal_no"], people[1]),
            refuse(api, made["proposal_no"], people[2], "an error"),
        )

        assert sorted(status for status, _ in answers) == [201, 409, 409]
        lost = {kind(one) for one in answers if one[0] == 409}
        assert lost == {(409, "proposal-decided")}

    async def test_is_withdrawn_or_refused_with_a_reason(self, api: Api) -> None:
        """By its proposer, or by anybody else; the list keeps both, newest first."""
        _, one = await propose(api, tariff=SHOPS)
        _, two = await propose(api, tariff={**SHOPS, "valid_from": "2026-04-01"})
        aigul = await person(api, "Aigul")

        assert (await refuse(api, one["proposal_no"], api.operator, "a slip"))[0] == 201
        assert (await refuse(api, two["proposal_no"], aigul, "too high"))[0] == 201
        assert (await refuse(api, two["proposal_no"], aigul, "too high"))[0] == 200
        assert kind(await refuse(api, two["proposal_no"], aigul, "other")) == (
            409,
            "proposal-decided",
        )

        _, told = await api.call("GET", "/v1/price-proposals?limit=2", token=aigul)
        assert [(one["state"], one["because"], one["decided_by"]) for one in told["proposals"]] == [
            ("refused", "too high", "Aigul"),
            ("withdrawn", "a slip", "a test"),
        ]
        _, rest = await api.call("GET", "/v1/price-proposals?waiting=true", token=aigul)
        assert rest == {"proposals": [], "next": None}
        _, last = await api.call("GET", f"/v1/price-proposals?before={told['next']}", token=aigul)
        assert last["proposals"] == []
        _, shown = await api.call("GET", "/v1/price-proposals/1", token=aigul)
        assert shown == told["proposals"][1]
        for answer in (
            await api.call("GET", "/v1/price-proposals/9", token=aigul),
            await approve(api, 9, aigul),
        ):
            assert kind(answer) == (404, "not-found")

    async def test_follows_another_from_day_to_day(self, api: Api) -> None:
        """The open price of households ends where the new one begins."""
        _, made = await propose(api, tariff={**SHOPS, "tariff_code": "household"})
        await approve(api, made["proposal_no"], await person(api, "Aigul"))

        found = await listed(api)
        assert found["household", "2025-01-01"]["valid_to"] == "2026-03-01"
        assert found["household", "2026-03-01"]["valid_to"] is None

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"tariff": {**SHOPS, "valid_from": "2026-02-10"}}, (422, "price-day-past")),
            (
                {"tariff": {**SHOPS, "tariff_code": "household", "currency": "EUR"}},
                (409, "tariff-currency"),
            ),
            ({"end": {"tariff_code": "shops", "valid_to": "2026-03-01"}}, (409, "tariff-not-open")),
            ({"vat_rate": {"valid_from": "2026-02-10", "rate_bp": 1}}, (422, "price-day-past")),
        ],
    )
    async def test_is_refused_in_words(
        self, api: Api, change: dict[str, Any], problem: tuple[int, str]
    ) -> None:
        """Each mistake has its own name."""
        assert kind(await propose(api, **change)) == problem

    async def test_leaves_neither_two_prices_nor_none(self, api: Api) -> None:
        """The answer says from which day on, or for which days."""
        aigul = await person(api, "Aigul")
        _, made = await propose(api, tariff={**SHOPS, "valid_to": "2026-05-01"})
        await approve(api, made["proposal_no"], aigul)

        over = await propose(api, tariff={**SHOPS, "valid_from": "2026-04-30"})
        late = await propose(api, tariff={**SHOPS, "valid_from": "2026-05-02"})

        assert (kind(over), over[1]["detail"]) == (
            (409, "tariff-overlaps"),
            "tariff shops already has a price from 2026-03-01 on",
        )
        assert (kind(late), late[1]["detail"]) == (
            (409, "tariff-gap"),
            "tariff shops would have no price from 2026-05-01 until, but without, 2026-05-02",
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"net_minor_per_1000_m3": 6404.9},
            {"net_minor_per_1000_m3": "640490"},
            {"net_minor_per_1000_m3": -1},
            {"net_minor_per_1000_m3": None},
            {"net_minor_per_gwh": 5},
            {"valid_from": 1_767_225_600},
            {"valid_from": "2026-03-01T00:00:00Z"},
            {"valid_to": "2026-03-01"},
            {"currency": "kzt"},
            {"rounding": "up"},
            {"norm_per": "room"},
            {"heating_months": [13]},
            {"heating_months": [1, 1]},
            {"discount_bp": 10_001},
            {"discount_norm": 0},
            {"bands": [{"up_to": 5}]},
            {"bands": [{}, {"up_to": 5}]},
            {"bands": [{"up_to": 5}, {"up_to": 5}, {}]},
            {"bands": [{"up_to": 9, "up_to_heating": 3}, {"up_to": 10, "up_to_heating": 2}, {}]},
            {"bands": [{"up_to": 0}, {}]},
            {"bands": [{"net_minor": 5, "multiplier_bp": 12_000}]},
        ],
    )
    async def test_is_written_without_contradictions(
        self, api: Api, change: dict[str, Any]
    ) -> None:
        """What cannot be meant is refused with the place and the reason, not guessed."""
        answer = await propose(api, tariff={**SHOPS, **change})

        assert kind(answer) == (422, "invalid")
        [field, *_] = answer[1]["fields"]
        assert field["at"].startswith("/tariff")
        assert field["message"]

    async def test_is_one_change_at_a_time(self, api: Api) -> None:
        """Nobody approves two things with one press."""
        end = {"tariff_code": "household", "valid_to": "2026-03-01"}

        assert kind(await propose(api)) == (422, "invalid")
        assert kind(await propose(api, tariff=SHOPS, end=end)) == (422, "invalid")


class TestTax:
    """The VAT ..."""

    async def test_takes_two_operators_too(self, api: Api) -> None:
        """18 per cent from 2027 on, by a law."""
        _, made = await propose(api, vat_rate={"valid_from": "2027-01-01", "rate_bp": 1800})
        await approve(api, made["proposal_no"], await person(api, "Aigul"))

        _, told = await api.call("GET", "/v1/vat-rates", token=api.operator)
        assert told["vat_rates"] == [
            {"valid_from": "2009-01-01", "rate_bp": 1200},
            {"valid_from": "2026-01-01", "rate_bp": 1600},
            {"valid_from": "2027-01-01", "rate_bp": 1800},
        ]
        answer = await propose(api, vat_rate={"valid_from": "2027-01-01", "rate_bp": 1900})
        assert kind(answer) == (409, "vat-known")


class TestResidents:
    """A resident ..."""

    async def test_neither_proposes_nor_approves(self, api: Api) -> None:
        """Nor reads what waits."""
        await propose(api, tariff=SHOPS)

        assert kind(await propose(api, api.resident, tariff=SHOPS)) == (403, "forbidden")
        assert kind(await approve(api, 1, api.resident)) == (403, "forbidden")
        answer = await api.call("GET", "/v1/price-proposals", token=api.resident)
        assert kind(answer) == (403, "forbidden")
