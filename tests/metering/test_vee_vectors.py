"""Every rule of the table on each side of its threshold, in files that an engineer can read."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from metering.habit import PeriodUse, check_high_low, check_prolonged, check_zero
from metering.installation import Outside
from metering.match import check_duplicate, check_flags, check_multiplier, check_unit_ratio
from metering.meter import Meter
from metering.quality import Quality
from metering.reading import Mark, Reading
from metering.rule import Code, Finding, MeterType, RuleBook, standard_book
from metering.series import (
    Interval,
    check_frozen,
    check_gaps,
    check_spike,
    check_sum,
    propose_level,
)
from metering.verdict import Billable, Suspect, explain, judge, judge_place, policy_of

FOLDER = Path(__file__).parents[1] / "vectors" / "vee"
FILES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
CASES = {
    f"{stem}: {case['name']}": (Code(file["code"]), case)
    for stem, file in FILES.items()
    for case in file["cases"]
}
START = datetime(2026, 1, 1, tzinfo=UTC)
# Where a case does not say what meter it is: one that knows every rule.
ANY = standard_book(MeterType.PULSE)

Given = dict[str, Any]
Found = Finding | None | tuple[Finding, ...]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def meter(given: Given) -> Meter:
    return Meter(
        meter_id="AQ-1",
        dial_dm3=given["dial_dm3"],
        step_dm3=given["step_dm3"],
        qmax_dm3_h=given["qmax_dm3_h"],
        compensated=True,
    )


def hourly(given: Given) -> list[Interval]:
    return [
        Interval(
            from_at=START + timedelta(hours=hour),
            to_at=START + timedelta(hours=hour + 1),
            volume_dm3=volume,
        )
        for hour, volume in enumerate(given["hourly_dm3"])
    ]


def use(given: Given | None) -> PeriodUse | None:
    return None if given is None else PeriodUse(**{**given, "quality": Quality(given["quality"])})


def high_low(given: Given, book: RuleBook) -> Found:
    now = use(given["now"])
    assert now is not None
    return check_high_low(
        now,
        last_year=use(given.get("last_year")),
        previous=use(given.get("previous")),
        rule=book.rules[Code.HIGH_LOW],
    )


def frozen(given: Given, book: RuleBook) -> Found:
    if "type" in given:
        book = standard_book(MeterType(given["type"]))
    rule = book.get(Code.FROZEN)
    return None if rule is None else check_frozen(hourly(given), rule)


def gaps(given: Given, book: RuleBook) -> Found:
    return check_gaps(
        [
            Mark(read_at=START + timedelta(seconds=second), register_dm3=0, turns=0)
            for second in given["marks_s"]
        ],
        cadence=timedelta(seconds=given["cadence_s"]),
        end_at=START + timedelta(seconds=given["end_s"]),
        book=book,
    )


def level(given: Given, book: RuleBook) -> Found:
    before = given["before"]
    proposal = propose_level(
        [
            Reading(
                meter_id="AQ-1",
                read_at=START + timedelta(hours=row["hour"]),
                register_dm3=row["dm3"],
            )
            for row in given["refused"]
        ],
        meter=meter(given["meter"]),
        before=Mark(read_at=instant(before["at"]), register_dm3=before["dm3"], turns=0),
        rule=book.rules[Code.REBASELINE],
    )
    return None if proposal is None else proposal.finding


def exchange(given: Given, book: RuleBook) -> Found:
    return tuple(one for one in check_flags(given["flags"], book=book) if one.code is Code.EXCHANGE)


def prolonged(given: Given, book: RuleBook) -> Found:
    qualities = [Quality(one) for one in given["qualities"]]
    return check_prolonged(qualities, book.rules[Code.PROLONGED])


RUN: dict[Code, Callable[[Given, RuleBook], Found]] = {
    Code.DUPLICATE: lambda given, book: check_duplicate(**given, rule=book.rules[Code.DUPLICATE]),
    Code.UNIT: lambda given, book: check_unit_ratio(**given, rule=book.rules[Code.UNIT]),
    Code.EXCHANGE: exchange,
    Code.SPIKE: lambda given, book: check_spike(hourly(given), book.rules[Code.SPIKE]),
    Code.HIGH_LOW: high_low,
    Code.ZERO: lambda given, book: check_zero(**given, rule=book.rules[Code.ZERO]),
    Code.FROZEN: frozen,
    Code.SUM: lambda given, book: check_sum(**given, rule=book.rules[Code.SUM]),
    Code.GAP_SHORT: gaps,
    Code.GAP_BOUNDED: gaps,
    Code.GAP_OPEN: gaps,
    Code.PROLONGED: prolonged,
    Code.MULTIPLIER: lambda given, book: check_multiplier(
        **given, rule=book.rules[Code.MULTIPLIER]
    ),
    Code.REBASELINE: level,
    Code.DEVICE_FLAG: lambda given, book: check_flags(given["flags"], book=book),
}


def said(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code.value,
        "outcome": finding.outcome.value,
        "figures": dict(finding.figures),
    }


def wanted(code: Code, finding: dict[str, Any]) -> dict[str, Any]:
    return {"code": code.value, **finding}


def judged(given: Given) -> dict[str, Any]:
    """Judge a single reading as ingest does, and explain it when it is suspect."""
    book = standard_book(MeterType(given["meter"].get("type", "diaphragm")))
    policy, at = policy_of(book), instant(given["received_at"])
    reading = Reading(
        meter_id="AQ-1",
        read_at=instant(given["reading"]["at"]),
        register_dm3=given["reading"]["dm3"],
    )
    before = given["before"] and Mark(
        read_at=instant(given["before"]["at"]),
        register_dm3=given["before"]["dm3"],
        turns=given["before"]["turns"],
    )
    where = Outside(given["where"]) if "where" in given else None
    verdict: Billable | Suspect | None = judge_place(reading, where=where, at=at, policy=policy)
    if verdict is None:
        assert before
        verdict = judge(
            reading, meter=meter(given["meter"]), before=before, after=None, policy=policy, at=at
        )
    if isinstance(verdict, Billable):
        return {
            "turns": verdict.turns,
            "advance_dm3": verdict.advance_dm3,
            "findings": [said(one) for one in verdict.findings],
        }
    found = explain(
        verdict, reading, meter=meter(given["meter"]), before=before or None, book=book, at=at
    )
    return {"suspect": said(found)}


def speaks(code: str, case: dict[str, Any]) -> bool:
    """Say whether the file's own rule found something in a case."""
    expected = case["expected"]
    if isinstance(expected, dict):
        expected = [expected["suspect"]] if "suspect" in expected else expected["findings"]
    return any(finding.get("code", code) == code for finding in expected)


class TestVectors:
    """The worked cases ..."""

    @pytest.mark.parametrize(("code", "case"), CASES.values(), ids=CASES)
    def test_hold(self, code: Code, case: dict[str, Any]) -> None:
        """Each says its arithmetic in words, so that it can be checked without this code."""
        expected = case["expected"]

        if code in RUN:
            found = RUN[code](case["given"], ANY)
            rows = (found,) if isinstance(found, Finding) else found or ()
            assert [said(one) for one in rows] == [wanted(code, one) for one in expected]
        elif "suspect" in expected:
            assert judged(case["given"]) == {"suspect": wanted(code, expected["suspect"])}
        else:
            assert judged(case["given"]) == expected

    def test_are_there_for_every_rule(self) -> None:
        """A rule without a case on both sides of its threshold is a rule nobody has seen work."""
        assert {(file["number"], file["code"]) for file in FILES.values()} == {
            (rule.number, rule.code.value) for rule in ANY.rules.values()
        }
        for file in FILES.values():
            assert {speaks(file["code"], case) for case in file["cases"]} == {True, False}
