"""What bills say besides their records, read from PostgreSQL; and the documents made of both."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

import asyncpg

import sql
from billing.io.records import Key, Records
from billing.paper.comparison import Sums, compare, sums, supply
from billing.paper.surroundings import Addressee, Balance, Beside, MonthUse, Surroundings
from billing.payee import Payee
from billing.period import Period, local_day
from billing.record import Json

_Q: Final = sql.queries("papers")

# So many months stand in the chart; the one before them is last year's, to compare with.
CHART_MONTHS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """A bill of an earlier month, or of this one, that is in force."""

    bill_no: str
    volume_dm3: int
    total_minor: int
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What a few statements brought about some bills."""

    balances: Mapping[Key, Balance]
    uses: Mapping[Key, Mapping[date, Sequence[_Use]]]
    others: Mapping[Key, Json]
    colds: Mapping[tuple[date, date, datetime], int]
    addressees: Mapping[str, Addressee] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """Reads what a document needs; works with the service's rights."""

    pool: asyncpg.Pool
    zone: str
    payee: Payee | None

    async def around(
        self, records: Sequence[Json], *, addressed: bool
    ) -> list[tuple[Json, Surroundings]]:
        """Return each record with what its document says besides.

        With ``addressed``, name and address are among it: for the residents' own copies only.
        """
        keys = [(record["account_id"], record["bill_no"]) for record in records]
        balances, uses = await self._books(keys)
        others = await self._others(records, uses)
        colds = await self._colds(records, others)
        known = _Known(
            balances=balances,
            uses=uses,
            others=others,
            colds=colds,
            addressees=await self._addressees(keys) if addressed else {},
        )
        return [(record, self._surroundings(record, known)) for record in records]

    async def _books(
        self, keys: Sequence[Key]
    ) -> tuple[dict[Key, Balance], dict[Key, dict[date, list[_Use]]]]:
        named = _named(keys)
        balances: dict[Key, Balance] = {}
        uses: defaultdict[Key, dict[date, list[_Use]]] = defaultdict(dict)
        async with self.pool.acquire() as conn:
            async for row in _Q.balances(conn, **named):
                opening_at = row["opening_at"]
                balances[row["account_id"], row["bill_no"]] = Balance(
                    opening_on=None if opening_at is None else local_day(opening_at, self.zone),
                    opening_minor=row["opening_minor"],
                    paid_minor=row["paid_minor"],
                    moved_minor=row["moved_minor"],
                    settled_minor=row["settled_minor"],
                )
            async for row in _Q.bills_in_force(conn, **named):
                month = row["period_start"].replace(day=1)
                uses[row["account_id"], row["bill_no"]].setdefault(month, []).append(
                    _Use(
                        bill_no=row["other_bill_no"],
                        volume_dm3=row["volume_dm3"],
                        total_minor=row["total_minor"],
                        estimated=row["estimated"],
                    )
                )
        return balances, dict(uses)

    async def _others(
        self, records: Sequence[Json], uses: Mapping[Key, Mapping[date, Sequence[_Use]]]
    ) -> dict[Key, Json]:
        """Read the records of the bills that these are compared with."""
        wanted = {
            (record["account_id"], other.bill_no)
            for record in records
            for month in _beside(record)
            if (other := _only(uses.get(_key(record), {}), month)) is not None
        }
        if not wanted:
            return {}
        found = await Records(pool=self.pool, zone=self.zone).records(sorted(wanted))
        return {_key(record): record for record in found}

    async def _colds(
        self, records: Sequence[Json], others: Mapping[Key, Json]
    ) -> dict[tuple[date, date, datetime], int]:
        spans = []
        by_account: defaultdict[str, list[Json]] = defaultdict(list)
        for other in others.values():
            by_account[other["account_id"]].append(other)
        for record in records:
            known_at = datetime.fromisoformat(record["issued_at"])
            compared = by_account[record["account_id"]]
            spans += [(*supply(one), known_at) for one in (record, *compared)]
        async with self.pool.acquire() as conn:
            rows = _Q.colds(
                conn,
                from_days=[span[0] for span in spans],
                to_days=[span[1] for span in spans],
                known_ats=[span[2] for span in spans],
            )
            return {
                (row["from_day"], row["to_day"], row["known_at"]): row["degree_days_tenths"]
                async for row in rows
            }

    async def _addressees(self, keys: Sequence[Key]) -> dict[str, Addressee]:
        account_ids = sorted({account_id for account_id, _ in keys})
        async with self.pool.acquire() as conn:
            rows = _Q.addressees(conn, account_ids=account_ids)
            return {
                row["account_id"]: Addressee(full_name=row["full_name"], address=row["address"])
                async for row in rows
            }

    def _surroundings(self, record: Json, known: _Known) -> Surroundings:
        key = _key(record)
        uses = known.uses.get(key, {})
        return Surroundings(
            addressee=known.addressees.get(record["account_id"]),
            payee=self.payee,
            balance=known.balances[key],
            months=[_month_use(month, uses.get(month, ())) for month in _chart(record)],
            besides=[
                Beside(month=month, comparison=None)
                if (other := _only(uses, month)) is None
                else Beside(
                    month=month,
                    comparison=compare(
                        _sums(record, record, known),
                        _sums(known.others[record["account_id"], other.bill_no], record, known),
                    ),
                )
                for month in _beside(record)
            ],
        )


def _named(keys: Sequence[Key]) -> dict[str, list[str]]:
    return {
        "account_ids": [account_id for account_id, _ in keys],
        "bill_nos": [bill_no for _, bill_no in keys],
    }


def _key(record: Json) -> Key:
    return record["account_id"], record["bill_no"]


def _sums(record: Json, told_by: Json, known: _Known) -> Sums:
    """Return what is compared of a record, with the cold as the telling bill's day knew it."""
    known_at = datetime.fromisoformat(told_by["issued_at"])
    return sums(record, degree_days_tenths=known.colds.get((*supply(record), known_at)))


def _month(record: Json) -> Period:
    start = date.fromisoformat(record["period"]["from"])
    return Period.month(start.year, start.month)


def _beside(record: Json) -> tuple[date, ...]:
    """Name the months to compare with: the last one, and the same of last year."""
    if record["kind"] == "cancellation":
        return ()
    month = _month(record)
    return month.before().start, month.start.replace(year=month.start.year - 1)


def _chart(record: Json) -> list[date]:
    month = _month(record)
    months = []
    for _ in range(CHART_MONTHS):
        months.append(month.start)
        month = month.before()
    return months[::-1]


def _only(uses: Mapping[date, Sequence[_Use]], month: date) -> _Use | None:
    """Return the one bill of a month; a month with several cannot be compared as one."""
    found = uses.get(month, ())
    return found[0] if len(found) == 1 else None


def _month_use(month: date, uses: Sequence[_Use]) -> MonthUse:
    return MonthUse(
        start=month,
        volume_dm3=sum(use.volume_dm3 for use in uses) if uses else None,
        total_minor=sum(use.total_minor for use in uses) if uses else None,
        estimated=any(use.estimated for use in uses),
    )
