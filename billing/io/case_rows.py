"""Everything that is known of accounts whose bills are looked at again, read from PostgreSQL."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import asyncpg

import sql
from billing.io.rows import terms_of, usage_of
from billing.rating import Usage
from billing.remeasure import Known, Sighting
from billing.review import CaseFile, Fault, Stay, Word
from billing.terms import Terms
from metering.installation import Installation
from metering.reading import Mark

_Q: Final = sql.queries("corrections")

_Key = tuple[str, datetime]


async def cases_of(
    connection: asyncpg.Connection, account_ids: Sequence[str], *, since: date, at: datetime
) -> list[CaseFile]:
    """Return what holds of locked accounts now, as the caller's transaction sees it."""
    about = {"account_ids": account_ids}
    stays = await _stays(connection, account_ids)
    terms: dict[str, list[Terms]] = defaultdict(list)
    async for row in _Q.terms(connection, **about, at=at):
        terms[row["account_id"]].append(terms_of(row))
    reworded: dict[str, set[date]] = defaultdict(set)
    async for row in _Q.months_of_other_terms(connection, **about, since=since, at=at):
        reworded[row["account_id"]].add(row["period_start"])
    return [
        CaseFile(
            account_id=row["account_id"],
            currency=row["currency"],
            opened_with=row["tariff_code"],
            written_at=row["written_at"],
            terms=tuple(terms[row["account_id"]]),
            stays=tuple(stays[row["account_id"]]),
            reworded=frozenset(reworded[row["account_id"]]),
        )
        async for row in _Q.accounts(connection, **about)
    ]


async def _stays(
    connection: asyncpg.Connection, account_ids: Sequence[str]
) -> dict[str, list[Stay]]:
    lines: dict[_Key, list[tuple[date, Usage]]] = defaultdict(list)
    revisions: dict[_Key, dict[date, int]] = defaultdict(dict)
    async for row in _Q.gas_now(connection, account_ids=account_ids):
        values = dict(row)
        start, revision = values.pop("period_start"), values.pop("revision")
        usage = usage_of(values)
        lines[usage.meter_id, usage.installed_at].append((start, usage))
        revisions[usage.meter_id, usage.installed_at][start] = revision
    sightings: dict[_Key, dict[datetime, Sighting]] = defaultdict(dict)
    async for row in _Q.sightings(connection, account_ids=account_ids):
        sightings[row["meter_id"], row["installed_at"]][row["to_at"]] = Sighting(
            near=_mark(row, "near"), low=_mark(row, "low"), high=_mark(row, "high")
        )
    homes = [dict(row) async for row in _Q.stays(connection, account_ids=account_ids)]
    meter_ids = sorted({home["meter_id"] for home in homes})
    corrected: dict[str, dict[datetime, Mark]] = defaultdict(dict)
    words: dict[str, dict[datetime, Word]] = defaultdict(dict)
    async for row in _Q.corrected_readings(connection, meter_ids=meter_ids):
        corrected[row["meter_id"]][row["read_at"]] = Mark(
            read_at=row["read_at"], register_dm3=row["register_dm3"], turns=row["turns"]
        )
        words[row["meter_id"]][row["read_at"]] = _word(row)
    found: dict[str, list[Stay]] = defaultdict(list)
    for home in homes:
        dial_dm3 = home.pop("dial_dm3")
        installation = Installation(**home)
        key = (installation.meter_id, installation.installed_at)
        found[installation.account_id].append(
            Stay(
                known=Known(
                    installation=installation,
                    dial_dm3=dial_dm3,
                    corrected=corrected[installation.meter_id],
                    sightings=sightings[key],
                ),
                line=tuple(lines[key]),
                revisions=revisions[key],
                words=words[installation.meter_id],
            )
        )
    return found


def _mark(row: Mapping[str, Any], side: str) -> Mark | None:
    if row[f"{side}_read_at"] is None:
        return None
    return Mark(
        read_at=row[f"{side}_read_at"],
        register_dm3=row[f"{side}_dm3"],
        turns=row[f"{side}_turns"],
    )


def _word(row: Mapping[str, Any]) -> Word:
    return Word(
        revision=row["revision"],
        register_dm3=row["register_dm3"],
        fault=Fault(row["fault"]),
        said_by=row["decided_by"],
        because=row["because"],
        said_at=row["decided_at"],
    )
