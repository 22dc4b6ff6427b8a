"""The energy of measured gas, where a tariff charges it."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import asyncpg
import structlog

import sql
from billing.io.rows import installation_of
from billing.reconcile import NOTHING_HEATED, Heated, Run
from metering.conversion import Energy, EnergyUnit
from metering.io.conversions import Conversions, Converted
from metering.standard import Standard
from metering.used import Used

_USAGE = sql.queries("usage")

# Lends a connection for one statement.
Lend = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]

log = structlog.get_logger()


async def heat(
    lend: Lend, conversions: Conversions, run: Run, *, codes: Sequence[str], after: str
) -> Heated:
    """Write the energy of the gas of the next accounts with one of these tariffs.

    It is reckoned once, with what is known at the run; a stretch whose place, zone figures or
    calorific value lacks has none, and holds its bill.
    """
    async with lend() as connection:
        wanted = _USAGE.energy_wanted(
            connection,
            account_after=after,
            period_start=run.period.start,
            end_day=run.period.end,
            codes=list(codes),
            chunk=run.chunk,
        )
        rows = [row async for row in wanted]
    if not rows:
        return NOTHING_HEATED
    uses = [_use(row) for row in rows if row["meter_id"] is not None]
    found = await conversions.of(uses) or []
    known = [
        (use, one, one.energy)
        for use, one in zip(uses, found, strict=False)
        if isinstance(one.energy, Energy) and one.energy.unit is EnergyUnit.WH
    ]
    async with lend() as connection:
        await _USAGE.write_energy(
            connection,
            meter_ids=[use.installation.meter_id for use, _, _ in known],
            from_ats=[use.from_at for use, _, _ in known],
            standards=[_standard_dm3(one) for _, one, _ in known],
            energies=[energy.value for _, _, energy in known],
            rules=[energy.rule for _, _, energy in known],
            steps=[_steps(energy) for _, _, energy in known],
            at=run.at,
        )
    log.info("energy.known", wanted=len(uses), known=len(known))
    return Heated(last=rows[-1]["account_id"], heated=len(known))


def _use(row: asyncpg.Record) -> Used:
    return Used(
        installation=installation_of(row),
        from_at=row["from_at"],
        to_at=row["to_at"],
        volume_dm3=row["volume_dm3"],
        quality=None,
        method=None,
        why=None,
        findings=(),
    )


def _standard_dm3(one: Converted) -> int | None:
    return one.standard.volume_dm3 if isinstance(one.standard, Standard) else None


def _steps(energy: Energy) -> str:
    return json.dumps({name: str(value) for name, value in energy.steps.items()}, sort_keys=True)
