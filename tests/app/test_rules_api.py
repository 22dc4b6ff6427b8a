"""The rules of belief over HTTP: in force, overridden, and what they found."""

from datetime import UTC, date, datetime
from typing import Any, Final

import pytest

from billing.period import Period
from billing.window import window_of
from metering.io.findings import Findings
from metering.validate import ValidateCounts, validate
from tests.app.api_town import ZONE, Api
from tests.app.test_metering_api import kind, read

JANUARY: Final = window_of(Period.month(2026, 1), ZONE)
# The 15th of January at local noon, in the middle of what AQ-000001 hung through.
NOON: Final = datetime(2026, 1, 15, 7, 0, tzinfo=UTC)


async def override(api: Api, **changes: object) -> tuple[int, Any]:
    body = {
        "code": "high_low",
        "valid_from": "2026-02-10",
        "figures": {"high_percent": 400},
        "approved_by": "order 12",
        **changes,
    }
    return await api.call("POST", "/v1/rules/overrides", token=api.operator, json=body)


async def rule(api: Api, code: str, query: str = "") -> Any:
    status, book = await api.call("GET", f"/v1/rules{query}", token=api.operator)
    assert status == 200
    return next(one for one in book["rules"] if one["code"] == code)


async def fell(api: Api) -> None:
    """Let AQ-000001 fall once in the middle of January, from 110 m3 to 1 m3."""
    await read(api, 110_000, datetime(2026, 1, 10, tzinfo=UTC), 0)
    await read(api, 1_000, NOON, None)
    await api.owner.execute(
        "UPDATE reading SET reason = 'index_down' WHERE register_dm3 = 1000 AND verdict = 'suspect'"
    )


async def judged(api: Api) -> ValidateCounts:
    """Let the rules go over January, in which a register fell."""
    await fell(api)
    return await validate(
        store=Findings(api.pool), window=JANUARY, at=api.clock.now(), heated=False
    )


async def findings(api: Api, query: str = "") -> Any:
    status, page = await api.call("GET", f"/v1/findings{query}", token=api.operator)
    assert status == 200
    return page


async def decide(api: Api, finding: Any, because: str = "dial read on the spot") -> tuple[int, Any]:
    path = f"/v1/findings/{finding['meter_id']}/{finding['finding_id']}/decide"
    return await api.call("POST", path, token=api.operator, json={"because": because})


class TestRules:
    """The rules in force ..."""

    async def test_are_ours_until_the_town_says_otherwise(self, api: Api) -> None:
        """An operator sees each figure, and whose word it is."""
        assert await rule(api, "high_low") == {
            "rule_no": 11,
            "code": "high_low",
            "version": "1",
            "outcome": "held",
            "figures": {
                "high_percent": 300,
                "low_percent": 25,
                "floor_dm3_month": 10_000,
                "degree_days_min": 30,
            },
            "source": "default",
            "overrides": [],
        }
        status, book = await api.call("GET", "/v1/rules", token=api.operator)
        assert (status, book["day"], book["meter_type"]) == (200, "2026-02-10", "diaphragm")
        assert [one["rule_no"] for one in book["rules"]][:3] == [1, 2, 2]

    async def test_name_who_approved_an_override(self, api: Api) -> None:
        """From its local day on, for its type of meter only; the day before it is ours again."""
        status, made = await override(api, meter_type="diaphragm_g4", outcome="flagged")
        assert status == 201

        found = await rule(api, "high_low", "?meter_type=diaphragm_g4&day=2026-02-10")
        assert (found["version"], found["outcome"], found["source"]) == (
            "1+20260210",
            "flagged",
            "override",
        )
        assert found["figures"]["high_percent"] == 400
        assert found["overrides"] == [made]
        assert made["approved_by"] == "order 12"
        for query in ("?meter_type=diaphragm_g4&day=2026-02-09", "?meter_type=pulse"):
            assert (await rule(api, "high_low", query))["source"] == "default"

    async def test_of_a_meter_nobody_makes_are_none(self, api: Api) -> None:
        """A slip in the type must not look like our defaults."""
        answer = await api.call("GET", "/v1/rules?meter_type=steam", token=api.operator)
        assert kind(answer) == (422, "override-refused")
        assert answer[1]["detail"] == "unknown_meter_type"


class TestOverride:
    """An override ..."""

    async def test_is_entered_once(self, api: Api) -> None:
        """The form sent twice is one word; another one for the same day leaves open which holds."""
        first = await override(api)
        assert first[0] == 201
        assert await override(api) == (200, first[1])
        assert kind(await override(api, figures={"high_percent": 500})) == (409, "override-known")
        assert (await rule(api, "high_low"))["figures"]["high_percent"] == 400

    async def test_begins_with_a_local_midnight(self, api: Api) -> None:
        """Almaty is five hours ahead: the tenth begins at 19:00 of the ninth, UTC."""
        await override(api)
        assert await api.owner.fetchval("SELECT from_at FROM rule_override") == datetime(
            2026, 2, 9, 19, 0, tzinfo=UTC
        )

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"code": "highlow"}, "unknown_rule"),
            ({"meter_type": "steam"}, "unknown_meter_type"),
            ({"outcome": "ignored"}, "unknown_outcome"),
            ({"figures": {"high": 400}}, "unknown_figure"),
            ({"figures": {"high_percent": 100}}, "out_of_range"),
            ({"figures": {"high_percent": -1}}, "negative"),
            ({"figures": {}}, "empty"),
            ({"approved_by": " "}, "not_approved"),
            ({"code": "index_down", "figures": {}, "outcome": "accepted"}, "softened"),
            ({"code": "sum", "meter_type": "diaphragm", "figures": {"tolerance_steps": 3}},
             "rule_off"),
            ({"valid_from": "2026-02-09"}, "in_the_past"),
        ],
    )  # fmt: skip
    async def test_that_cannot_be_is_refused_with_a_reason(
        self, api: Api, changes: dict[str, object], reason: str
    ) -> None:
        """The same words as of the rules themselves; nothing is rounded, and nothing is written."""
        answer = await override(api, **changes)
        assert kind(answer) == (422, "override-refused")
        assert answer[1]["detail"] == reason
        assert await api.owner.fetchval("SELECT count(*) FROM rule_override") == 0

    async def test_may_look_back_only_on_purpose(self, api: Api) -> None:
        """A month that is over may be gone over by other figures; nobody slips into it."""
        assert (await override(api, valid_from="2026-01-01", retroactive=True))[0] == 201


class TestDegreeDays:
    """Temperatures ..."""

    async def test_are_revised_and_never_overwritten(self, api: Api) -> None:
        """A better number is another row, and counts; the same list again is no news."""

        async def note(cold: int, source: str = "station 35394") -> Any:
            body = {
                "source": source,
                "days": [
                    {"day": "2026-01-01", "degree_days_tenths": cold},
                    {"day": "2026-01-02", "degree_days_tenths": 280},
                ],
            }
            return await api.call("POST", "/v1/degree-days", token=api.operator, json=body)

        assert await note(301) == (200, {"days": 2, "news": 2})
        assert await note(301) == (200, {"days": 2, "news": 0})
        assert await note(305) == (200, {"days": 2, "news": 1})

        path = "/v1/degree-days?from_day=2026-01-01&to_day=2026-01-02"
        _, shown = await api.call("GET", path, token=api.operator)
        assert [
            (one["day"], one["revision"], one["degree_days_tenths"]) for one in shown["days"]
        ] == [("2026-01-01", 2, 305)]
        assert await api.owner.fetchval("SELECT count(*) FROM degree_day") == 3

    async def test_are_whole_days_told_once(self, api: Api) -> None:
        """Two numbers for one day in one list: nobody knows which."""
        day = {"day": "2026-01-01", "degree_days_tenths": 301}
        for days in ([day, day], [], [{**day, "degree_days_tenths": 1001}], [{**day, "day": 1}]):
            answer = await api.call(
                "POST", "/v1/degree-days", token=api.operator, json={"source": "x", "days": days}
            )
            assert kind(answer) == (422, "invalid")


class TestFindings:
    """What the rules found ..."""

    async def test_is_listed_by_meter_day_and_outcome(self, api: Api) -> None:
        """January fell silent for A-1 after the 10th, and one reading ran back on the 15th."""
        counts = await judged(api)
        assert counts.held == 1

        held = (await findings(api, "?outcome=held"))["findings"]
        assert [
            (it["meter_id"], it["code"], it["read_at"], it["period_start"], it["decided_at"])
            for it in held
        ] == [("AQ-000001", "index_down", "2026-01-15T07:00:00Z", None, None)]
        assert held[0]["figures"]["before_dm3"] == 110_000
        everything = (await findings(api))["findings"]
        assert len(everything) == counts.written

        def codes(page: Any) -> list[str]:
            return sorted({it["code"] for it in page["findings"]})

        assert "index_down" in codes(await findings(api, "?meter=AQ-000001&day=2026-01-15"))
        assert "index_down" not in codes(await findings(api, "?day=2026-01-16"))
        assert "index_down" not in codes(await findings(api, "?meter=AQ-000002"))
        assert codes(await findings(api, "?day=2026-02-01")) == []

    async def test_is_read_page_by_page(self, api: Api) -> None:
        """Nothing twice, nothing left out, though all were found in one instant."""
        counts = await judged(api)
        seen: list[str] = []
        query = "?limit=1"
        while (page := await findings(api, query))["findings"]:
            seen += [it["finding_id"] for it in page["findings"]]
            query = (
                f"?limit=1&before={page['next_before']}&before_meter={page['next_before_meter']}"
                f"&before_finding={page['next_before_finding']}"
            )
        assert len(seen) == len(set(seen)) == counts.written

    async def test_stands_when_a_person_says_so(self, api: Api) -> None:
        """The first word is final, signed by the token; reading and finding stay as they came."""
        await judged(api)
        before = await api.owner.fetch("SELECT * FROM reading ORDER BY meter_id, read_at")
        finding = (await findings(api, "?state=open&outcome=held"))["findings"][0]

        status, made = await decide(api, finding)
        assert (status, made["decided_by"], made["because"]) == (
            201,
            "a test",
            "dial read on the spot",
        )
        assert await decide(api, finding, "another thought") == (200, made)
        assert (await findings(api, "?state=open&outcome=held"))["findings"] == []
        assert (await findings(api, "?state=decided"))["findings"] == [made]
        assert await api.owner.fetch("SELECT * FROM reading ORDER BY meter_id, read_at") == before

    async def test_holds_the_bill_until_then(self, api: Api) -> None:
        """The run asks the rules by itself: A-1 waits, A-2 is billed; a word sends the bill."""
        await fell(api)

        async def billed() -> tuple[int, int]:
            body = {"period": "2026-01"}
            status, done = await api.call("POST", "/v1/bill-runs", token=api.operator, json=body)
            assert status == 200
            return done["billed"], done["held"]

        assert await billed() == (1, 1)
        _, page = await api.call("GET", "/v1/bills/held", token=api.operator)
        assert [(it["account_id"], it["reason"], it["meter_id"]) for it in page["holds"]] == [
            ("A-1", "held_finding", "AQ-000001")
        ]
        await decide(api, (await findings(api, "?state=open&outcome=held"))["findings"][0])
        assert await billed() == (1, 0)

    async def test_is_decided_only_where_somebody_is_asked(self, api: Api) -> None:
        """A flagged finding waits for nobody, and what was never found cannot be decided."""
        await judged(api)
        flagged = (await findings(api, "?outcome=flagged"))["findings"][0]
        assert kind(await decide(api, flagged)) == (409, "finding-not-held")
        unknown = {**flagged, "finding_id": "0" * 64}
        assert kind(await decide(api, unknown)) == (404, "not-found")
        elsewhere = {**flagged, "meter_id": "AQ-000009"}
        assert kind(await decide(api, elsewhere)) == (404, "not-found")

    async def test_is_counted_on_the_desk(self, api: Api) -> None:
        """Held ones until they are decided; flagged ones all the time."""
        await judged(api)
        path = "/v1/meters/overview?limit=1"

        async def counted() -> tuple[int, int]:
            _, page = await api.call("GET", path, token=api.operator)
            meter = page["meters"][0]
            return meter["held_findings"], meter["flagged_findings"]

        flagged = len((await findings(api, "?meter=AQ-000001&outcome=flagged"))["findings"])
        assert flagged > 0
        assert await counted() == (1, flagged)
        await decide(api, (await findings(api, "?outcome=held"))["findings"][0])
        assert await counted() == (0, flagged)


def test_the_month_of_these_tests_is_local() -> None:
    """January begins at seven in the evening of New Year's Eve, UTC."""
    assert JANUARY.start_at == datetime(2025, 12, 31, 19, tzinfo=UTC)
    assert JANUARY.days.start == date(2026, 1, 1)
