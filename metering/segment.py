"""The gas of a home in a stretch of time, meter after meter, and whether nothing is left over.

A period with an exchange in it has two segments: the old meter from its register at the start to
its closing, the new one from its opening to its register at the end. An exchange is entered by a
person and never inferred; without one, a register that starts again is refused, not added up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from metering.installation import Installation
from metering.reading import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One installation's share of a period, from mark to mark, in dm3."""

    installation: Installation
    from_at: datetime
    to_at: datetime
    opening: Mark
    closing: Mark
    volume_dm3: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A share of a period that cannot be measured: a register lacks at one end, or falls."""

    installation: Installation
    from_at: datetime
    to_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Gas as it was written down, and the two marks it was measured between."""

    from_at: datetime
    to_at: datetime
    opening: Mark
    closing: Mark
    volume_dm3: int


# The mark that stands for an instant on an installation's line, or None.
RegisterAt = Callable[[Installation, datetime], Mark | None]


def segments(
    installations: Sequence[Installation],
    *,
    start_at: datetime,
    end_at: datetime,
    dials_dm3: Callable[[str], int],
    register_at: RegisterAt,
) -> tuple[Segment | Lacking, ...]:
    """Return the shares of a period, in order of time; installations outside it have none."""
    found: list[Segment | Lacking] = []
    for installation in sorted(installations, key=lambda one: one.installed_at):
        from_at = max(start_at, installation.installed_at)
        to_at = min(end_at, installation.removed_at or end_at)
        if from_at >= to_at:
            continue
        opening, closing = register_at(installation, from_at), register_at(installation, to_at)
        dial_dm3 = dials_dm3(installation.meter_id)
        if (
            opening is None
            or closing is None
            or closing.total_dm3(dial_dm3) < opening.total_dm3(dial_dm3)
        ):
            found.append(Lacking(installation=installation, from_at=from_at, to_at=to_at))
            continue
        found.append(
            Segment(
                installation=installation,
                from_at=from_at,
                to_at=to_at,
                opening=opening,
                closing=closing,
                volume_dm3=closing.total_dm3(dial_dm3) - opening.total_dm3(dial_dm3),
            )
        )
    return tuple(found)


def unaccounted_dm3(stretches: Sequence[Stretch], *, dial_dm3: int) -> int:
    """Return by how much the gas of one installation misses last register - first register.

    Zero when nothing was lost or counted twice; positive is gas that nobody was billed for. The gas
    of a time that no stretch covers counts as known, since its marks say how much it was: it will
    be measured when its month is.
    """
    ordered = sorted(stretches, key=lambda one: one.from_at)
    if not ordered:
        return 0
    whole = ordered[-1].closing.total_dm3(dial_dm3) - ordered[0].opening.total_dm3(dial_dm3)
    not_yet = sum(
        two.opening.total_dm3(dial_dm3) - one.closing.total_dm3(dial_dm3)
        for one, two in pairwise(ordered)
        if two.from_at > one.to_at
    )
    return whole - not_yet - sum(one.volume_dm3 for one in ordered)
