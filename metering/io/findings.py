"""What validating reads from PostgreSQL, and the findings it keeps."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any, Final

import asyncpg

import sql
from metering.habit import PeriodUse
from metering.installation import Installation
from metering.io.overrides import read_overrides
from metering.meter import Meter
from metering.policy import meter_type_of
from metering.quality import Quality
from metering.reading import Mark, Reading
from metering.rule import Finding, MeterType, Override, RuleBook
from metering.survey import Case, Seen, Survey, Window, daily_from, seen_from
from metering.validate import Key, Page, ValidateCounts
from metering.verdict import Reason

_Q = sql.queries("findings")
_PLAN = sql.queries("usage")
_FIRST: Final = ("", datetime(2000, 1, 1, tzinfo=UTC))
_METER: Final = ("meter_id", "dial_dm3", "step_dm3", "qmax_dm3_h", "compensated")
_PLACE: Final = (
    "meter_id",
    "installed_at",
    "account_id",
    "supply_point_id",
    "opening_dm3",
    "removed_at",
    "closing_dm3",
    "closing_turns",
)


class Findings:
    """Findings in PostgreSQL, by way of a pool that works as the service's role."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def overrides(self) -> Sequence[Override]:
        """Return every word of the town on the rules.

        Raises:
            BadOverrideError: one of them is refused today.
        """
        async with self._pool.acquire() as connection:
            return await read_overrides(connection)

    async def cases(
        self, window: Window, *, books: Mapping[MeterType, RuleBook], after: Key | None, limit: int
    ) -> Page:
        """Return the next installations that hung in a window; one page is one snapshot."""
        after_meter_id, after_installed_at = after or _FIRST
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await _PLAN.plan_for_a_run(connection)
            found = _Q.survey_installations(
                connection,
                start_at=window.start_at,
                end_at=window.end_at,
                after_meter_id=after_meter_id,
                after_installed_at=after_installed_at,
                chunk=limit,
            )
            places = [dict(row) async for row in found]
            if not places:
                return Page(last=None, cases=())
            known = await _known(
                connection,
                window,
                places,
                daily_from=min(daily_from(window, book) for book in books.values()),
            )
        return Page(
            last=_key(places[-1]),
            cases=[_case(place, known, window) for place in places],
        )

    async def keep(
        self, surveys: Sequence[tuple[Case, Survey]], *, window: Window, at: datetime
    ) -> int:
        """Write findings that are new, in one transaction, and return how many were."""
        of_readings = [
            (case.meter.meter_id, read_at, finding)
            for case, survey in surveys
            for read_at, finding in survey.readings
        ]
        of_periods = [
            (case.meter.meter_id, case.installation.installed_at, finding)
            for case, survey in surveys
            for finding in survey.period
        ]
        async with self._pool.acquire() as connection, connection.transaction():
            readings = await _Q.add_reading_findings(
                connection,
                meter_ids=[meter_id for meter_id, _, _ in of_readings],
                read_ats=[read_at for _, read_at, _ in of_readings],
                **_columns([(read_at.isoformat(), finding) for _, read_at, finding in of_readings]),
                at=at,
            )
            periods = await _Q.add_period_findings(
                connection,
                meter_ids=[meter_id for meter_id, _, _ in of_periods],
                installed_ats=[installed_at for _, installed_at, _ in of_periods],
                period_start=window.days.start,
                **_columns(
                    [
                        (f"{installed_at.isoformat()}|{window.days.start}", finding)
                        for _, installed_at, finding in of_periods
                    ]
                ),
                at=at,
            )
        return _count(readings) + _count(periods)

    async def note(self, counts: ValidateCounts, *, window: Window, at: datetime) -> None:
        """Note that the rules have gone over all of a month."""
        async with self._pool.acquire() as connection:
            await _Q.add_validation(
                connection, period_start=window.days.start, at=at, **asdict(counts)
            )

    async def validated_since(self, period_start: date, since: datetime) -> bool:
        """Say whether the rules went over a month at or after an instant."""
        async with self._pool.acquire() as connection:
            known: bool = await _Q.validated_since(
                connection, period_start=period_start, since=since
            )
        return known


async def _known(
    connection: asyncpg.Connection,
    window: Window,
    places: Sequence[dict[str, Any]],
    *,
    daily_from: datetime,
) -> dict[str, Any]:
    """Read all that the rules need about some installations, by installation."""
    keys: dict[str, Any] = {
        "meter_ids": [place["meter_id"] for place in places],
        "installed_ats": [place["installed_at"] for place in places],
    }
    periods = (window.days, window.previous, window.last_year)
    readings = _Q.survey_readings(
        connection, **keys, from_at=seen_from(window), to_at=window.end_at
    )
    daily = _Q.survey_days(connection, **keys, from_at=daily_from, to_at=window.end_at)
    flags = _Q.survey_flags(connection, **keys, from_at=window.start_at, to_at=window.end_at)
    silences = _Q.survey_silences(connection, **keys, from_at=window.start_at, to_at=window.end_at)
    usage = _Q.survey_usage(
        connection, **keys, period_starts=[window.previous.start, window.last_year.start]
    )
    cold = _Q.degree_days(
        connection, starts=[one.start for one in periods], ends=[one.end for one in periods]
    )
    known: dict[str, Any] = {}
    for name, rows in (
        ("readings", readings),
        ("daily", daily),
        ("flags", flags),
        ("silences", silences),
    ):
        known[name] = defaultdict(list)
        async for row in rows:
            known[name][_key(row)].append(row)
    known["usage"] = {(*_key(row), row["period_start"]): row async for row in usage}
    known["cold"] = {row["start_on"]: row["degree_days_tenths"] async for row in cold}
    return known


def _case(place: Mapping[str, Any], known: Mapping[str, Any], window: Window) -> Case:
    key, cold = _key(place), known["cold"]

    def past(start: date) -> PeriodUse | None:
        row = known["usage"].get((*key, start))
        if row is None or row["days"] < 1:
            return None
        return PeriodUse(
            days=row["days"],
            volume_dm3=row["volume_dm3"],
            quality=Quality.ACTUAL,
            degree_days_tenths=cold.get(start),
        )

    return Case(
        installation=Installation(**{name: place[name] for name in _PLACE}),
        meter=Meter(**{name: place[name] for name in _METER}),
        meter_type=meter_type_of(place["meter_type"]),
        seen=[_seen(row) for row in known["readings"][key]],
        daily=[
            Mark(read_at=row["read_at"], register_dm3=row["register_dm3"], turns=row["turns"])
            for row in known["daily"][key]
        ],
        flags=[row["flag"] for row in known["flags"][key]],
        declared=[(row["from_at"], row["to_at"]) for row in known["silences"][key]],
        last_year=past(window.last_year.start),
        previous=past(window.previous.start),
        degree_days_tenths=cold.get(window.days.start),
    )


def _seen(row: Mapping[str, Any]) -> Seen:
    decided = row["decided_dm3"] is not None
    turns = row["decided_turns"] if decided else row["turns"]
    register_dm3 = row["decided_dm3"] if decided else row["register_dm3"]
    return Seen(
        reading=Reading(
            meter_id=row["meter_id"], read_at=row["read_at"], register_dm3=row["register_dm3"]
        ),
        mark=None
        if turns is None
        else Mark(read_at=row["read_at"], register_dm3=register_dm3, turns=turns),
        reason=Reason(row["reason"]) if row["reason"] else None,
        received_at=row["received_at"],
    )


def _columns(findings: Sequence[tuple[str, Finding]]) -> dict[str, Any]:
    """Return findings as the columns of their tables.

    The digest is of what is said and of what it is said, so it names one finding of a meter.
    """
    figures = [json.dumps(dict(one.figures), sort_keys=True) for _, one in findings]
    words = [
        f"{subject}|{one.code}|{one.version}|{one.outcome}|{said}"
        for (subject, one), said in zip(findings, figures, strict=True)
    ]
    return {
        "codes": [one.code.value for _, one in findings],
        "digests": [sha256(one.encode()).digest() for one in words],
        "versions": [one.version for _, one in findings],
        "outcomes": [one.outcome.value for _, one in findings],
        "figures": figures,
    }


def _key(row: Mapping[str, Any]) -> Key:
    return row["meter_id"], row["installed_at"]


def _count(status: str) -> int:
    """Return how many rows an INSERT says it wrote."""
    return int(status.rsplit(" ", 1)[1])
