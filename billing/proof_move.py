"""What must be true of an account that has ended: its stays end with the registers it was told."""

from collections.abc import Iterator
from datetime import timedelta

from billing.move import Closing
from billing.period import midnight
from billing.proof import Facts, Finding, Kind
from metering.installation import Installation


def check_closing(facts: Facts, *, zone: str) -> Iterator[Finding]:
    """Find stays that go on after the end of their account, or ended with another register."""
    if facts.closing is None:
        return
    for stay in facts.installations:
        wrong = _wrong(stay, facts.closing, facts, zone)
        if wrong is not None:
            yield Finding(
                kind=Kind.CLOSING_WRONG,
                subject=f"{facts.account_id}/{stay.meter_id}",
                detail=wrong,
            )


def _wrong(stay: Installation, closing: Closing, facts: Facts, zone: str) -> str | None:
    ends_at = midnight(closing.last_day + timedelta(days=1), zone)
    if stay.removed_at is None or stay.removed_at > ends_at:
        return f"hangs there after {closing.last_day}"
    last = max(one.installed_at for one in facts.installations if one.meter_id == stay.meter_id)
    told = {one.meter_id: one.register_dm3 for one in closing.registers}
    if stay.installed_at == last and stay.meter_id in told:
        if stay.closing_dm3 != told[stay.meter_id]:
            return f"ended with {stay.closing_dm3} dm3, told {told[stay.meter_id]} dm3"
        if stay.removed_at != ends_at:
            return f"ended at {stay.removed_at.isoformat()}, not with {closing.last_day}"
    return None
