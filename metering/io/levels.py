"""A meter that goes on at another level: what its refused readings agree on, and a person's word.

Nothing is inferred: the proposal is only shown. Whoever confirms it says what was seen, and the
stay of the meter ends and begins anew, as if it had been taken down and hung up in that instant.
"""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Final

import asyncpg
import structlog

import sql
from metering.installation import Installation
from metering.io.overrides import read_overrides
from metering.io.registry import (
    LAST_INSTANT,
    AlreadyMeasuredError,
    MeterUnknownError,
    NotInstalledError,
)
from metering.io.store import lock_buckets
from metering.meter import Meter, bucket_number
from metering.policy import meter_type_of
from metering.reading import Mark, Reading
from metering.rule import Code, rule_book
from metering.series import Proposal, propose_level
from metering.survey import LEVEL_REASONS

# A year of hourly readings: whoever is silent for longer is proposed a later beginning.
OFF_LINE_MAX: Final = 10_000

_Q: Final = sql.queries("levels")
_REGISTRY: Final = sql.queries("registry")

log: Final = structlog.get_logger()


class NotConsistentError(Exception):
    """The readings that were refused do not agree on a level, or are too few."""


class ProposalDiffersError(Exception):
    """What the readings agree on now is not what the person was shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The level that refused readings agree on, beside the last trusted register."""

    meter_id: str
    before_read_at: datetime
    before_dm3: int
    first_read_at: datetime
    first_dm3: int
    last_read_at: datetime
    last_dm3: int
    readings: int
    rule_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What a person saw when confirming a level; ``decided_by`` is the label of the token."""

    before_dm3: int
    first_read_at: datetime
    first_dm3: int
    because: str
    decided_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebaseline:
    """A meter's new beginning: the stay that began, the one that ended, and whose word it is."""

    meter_id: str
    installed_at: datetime
    previous_installed_at: datetime
    before_read_at: datetime
    before_dm3: int
    first_dm3: int
    last_dm3: int
    readings: int
    rule_version: str
    decided_by: str
    because: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A proposal with what it was made from."""

    stay: Installation
    before: Mark
    agreed: list[Reading]
    level: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Levels of meters in PostgreSQL; works with the service's rights."""

    pool: asyncpg.Pool

    async def proposed(self, meter_id: str, *, today: date) -> Level:
        """Return the level that refused readings agree on, by the rules of a local day.

        Raises:
            MeterUnknownError: no meter has this id.
            NotInstalledError: it hangs nowhere.
            NotConsistentError: they agree on none.
        """
        async with self.pool.acquire() as conn:
            return (await _propose(conn, meter_id, today)).level

    async def confirm(
        self, meter_id: str, said: Confirmation, *, today: date, at: datetime
    ) -> tuple[Rebaseline, bool]:
        """Let a meter go on at another level; False when that was confirmed before.

        Raises:
            MeterUnknownError: no meter has this id.
            NotInstalledError: it hangs nowhere.
            NotConsistentError: the refused readings agree on no level.
            ProposalDiffersError: they agree on another than the person saw.
            AlreadyMeasuredError: a bill has measured gas beyond the new beginning.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await lock_buckets(conn, [bucket_number(meter_id)])
            known = await _Q.find_rebaseline(
                conn, meter_id=meter_id, installed_at=said.first_read_at
            )
            if known is not None:
                if (known["before_dm3"], known["first_dm3"]) != (said.before_dm3, said.first_dm3):
                    raise ProposalDiffersError("the meter went on then, at another level")
                return Rebaseline(**known), False
            found = await _propose(conn, meter_id, today)
            level = found.level
            if (level.before_dm3, level.first_read_at, level.first_dm3) != (
                said.before_dm3,
                said.first_read_at,
                said.first_dm3,
            ):
                raise ProposalDiffersError("the readings agree on another level now")
            measured = await _REGISTRY.measured_until(
                conn, meter_id=meter_id, installed_at=found.stay.installed_at
            )
            if measured is not None and measured > level.first_read_at:
                raise AlreadyMeasuredError("gas beyond that instant stands on a bill")
            made = _rebaseline(found, said, at)
            await _begin_anew(conn, found, made)
        log.info("meter.rebaselined", meter_id=meter_id, readings=made.readings)
        return made, True


async def _propose(conn: asyncpg.Connection, meter_id: str, today: date) -> _Found:
    row = await _REGISTRY.find_meter(conn, meter_id=meter_id)
    if row is None:
        raise MeterUnknownError
    meter = Meter(**row)
    kind = meter_type_of(await _REGISTRY.find_meter_type(conn, meter_id=meter_id))
    stays = [
        Installation(**one) async for one in _REGISTRY.list_installations(conn, meter_id=meter_id)
    ]
    if not stays or stays[-1].removed_at is not None:
        raise NotInstalledError("the meter hangs nowhere")
    stay = stays[-1]
    last = await _REGISTRY.mark_before(
        conn, meter_id=meter_id, installed_at=stay.installed_at, instant=LAST_INSTANT
    )
    before = stay.opening if last is None else Mark(**last)
    rows = _Q.list_off_line(
        conn,
        meter_id=meter_id,
        since=before.read_at,
        reasons=[reason.value for reason in LEVEL_REASONS],
        at_most=OFF_LINE_MAX,
    )
    refused = [Reading(**one) async for one in rows]
    rule = rule_book(kind, await read_overrides(conn), on=today).rules[Code.REBASELINE]
    proposal = propose_level(refused, meter=meter, before=before, rule=rule)
    if proposal is None:
        raise NotConsistentError(f"fewer than {rule['readings']} refused readings agree")
    agreed = [one for one in refused if one.read_at >= proposal.first.read_at]
    level = _level(proposal, before, len(agreed))
    return _Found(stay=stay, before=before, agreed=agreed, level=level)


def _level(proposal: Proposal, before: Mark, readings: int) -> Level:
    return Level(
        meter_id=proposal.first.meter_id,
        before_read_at=before.read_at,
        before_dm3=before.register_dm3,
        first_read_at=proposal.first.read_at,
        first_dm3=proposal.first.register_dm3,
        last_read_at=proposal.last.read_at,
        last_dm3=proposal.last.register_dm3,
        readings=readings,
        rule_version=proposal.finding.version,
    )


def _rebaseline(found: _Found, said: Confirmation, at: datetime) -> Rebaseline:
    level = found.level
    return Rebaseline(
        meter_id=level.meter_id,
        installed_at=level.first_read_at,
        previous_installed_at=found.stay.installed_at,
        before_read_at=level.before_read_at,
        before_dm3=level.before_dm3,
        first_dm3=level.first_dm3,
        last_dm3=level.last_dm3,
        readings=level.readings,
        rule_version=level.rule_version,
        decided_by=said.decided_by,
        because=said.because,
        decided_at=at,
    )


async def _begin_anew(conn: asyncpg.Connection, found: _Found, made: Rebaseline) -> None:
    """End the stay with its last trusted register, begin another, take the readings that agreed."""
    word = {"decided_by": made.decided_by, "because": made.because, "at": made.decided_at}
    await _REGISTRY.close_installation(
        conn,
        meter_id=made.meter_id,
        installed_at=found.stay.installed_at,
        removed_at=made.installed_at,
        closing_dm3=found.before.register_dm3,
        closing_turns=found.before.turns,
    )
    await _REGISTRY.add_installation(
        conn,
        meter_id=made.meter_id,
        installed_at=made.installed_at,
        account_id=found.stay.account_id,
        supply_point_id=found.stay.supply_point_id,
        opening_dm3=made.first_dm3,
    )
    await _Q.accept_readings(
        conn,
        meter_id=made.meter_id,
        read_ats=[one.read_at for one in found.agreed],
        registers=[one.register_dm3 for one in found.agreed],
        **word,
    )
    await _Q.answer_proposals(
        conn, meter_id=made.meter_id, installed_at=found.stay.installed_at, **word
    )
    await _Q.add_rebaseline(conn, **asdict(made))
