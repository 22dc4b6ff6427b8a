"""A known sum shared out so that not a litre is lost, and registers between two that are known."""

from collections.abc import Sequence
from datetime import datetime

from metering.reading import RESOLUTION, Mark


def share_out(total_dm3: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Return whole parts of a sum in proportion to weights; they add up to the sum exactly.

    Each part is rounded down, and what is left goes, a litre each, to the largest remainders; of
    equal ones to the earlier. When all weights are 0 the parts are equal.

    Raises:
        ValueError: there are no parts, or something is negative.
    """
    if not weights or total_dm3 < 0 or min(weights) < 0:
        raise ValueError("a sum is shared out among parts, and nothing of it is negative")
    used = weights if any(weights) else [1] * len(weights)
    whole = sum(used)
    parts = [total_dm3 * weight // whole for weight in used]
    left = total_dm3 - sum(parts)
    by_remainder = sorted(
        range(len(used)), key=lambda place: (-(total_dm3 * used[place] % whole), place)
    )
    for place in by_remainder[:left]:
        parts[place] += 1
    return tuple(parts)


def day_weights(
    degree_days_tenths: Sequence[int | None], *, base_tenths: int
) -> tuple[int, ...] | None:
    """Return a profile of days: what every day burns, and more for each degree it was colder.

    ``base_tenths`` is the part that does not heat (cooking, hot water), in tenths of a degree day
    a day. None when some temperature is not known: half a profile is a wrong one.

    Raises:
        ValueError: the base is negative.
    """
    if base_tenths < 0:
        raise ValueError("base_tenths must not be negative")
    known = [one for one in degree_days_tenths if one is not None]
    if len(known) != len(degree_days_tenths) or not known:
        return None
    return tuple(base_tenths + one for one in known)


def register_between(instant: datetime, *, before: Mark, after: Mark, dial_dm3: int) -> Mark:
    """Return the mark on the straight line between two marks, rounded down to the litre.

    Rounded down, so that no instant shows gas before it was there; the end is exact in any case.

    Raises:
        ValueError: the instant does not lie between the marks, or the register falls.
    """
    if not before.read_at <= instant <= after.read_at or before.read_at == after.read_at:
        raise ValueError("the instant must lie between two marks")
    first_dm3, last_dm3 = before.total_dm3(dial_dm3), after.total_dm3(dial_dm3)
    if last_dm3 < first_dm3:
        raise ValueError("the later mark stands below the earlier one")
    part = (instant - before.read_at) // RESOLUTION
    whole = (after.read_at - before.read_at) // RESOLUTION
    turns, register_dm3 = divmod(first_dm3 + (last_dm3 - first_dm3) * part // whole, dial_dm3)
    return Mark(read_at=instant, register_dm3=register_dm3, turns=turns)
