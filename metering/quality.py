"""How a register or a volume came to be, and which one stands when there are two.

    ACTUAL > ACTUAL_LATE > CUSTOMER > EDITED > SUBSTITUTED > ESTIMATED > NORM > REJECTED

What is replaced is kept: a replacement is another row, never a change.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Quality(StrEnum):
    """How a register or a volume came to be."""

    ACTUAL = "actual"  # the meter said it, in time
    ACTUAL_LATE = "actual_late"  # the meter said it, after its period was closed
    CUSTOMER = "customer"  # a resident read the dial
    EDITED = "edited"  # a person wrote it, with a reason
    SUBSTITUTED = "substituted"  # made up between two actual registers
    ESTIMATED = "estimated"  # made up from history
    NORM = "norm"  # made up from a norm
    REJECTED = "rejected"  # refused; measures nothing


# Written out, best first: an order taken from the enum would change when a member moves.
RANKING: Final = (
    Quality.ACTUAL,
    Quality.ACTUAL_LATE,
    Quality.CUSTOMER,
    Quality.EDITED,
    Quality.SUBSTITUTED,
    Quality.ESTIMATED,
    Quality.NORM,
    Quality.REJECTED,
)
_RANK: Final = {quality: len(RANKING) - place for place, quality in enumerate(RANKING)}
# Made by us from other data, so a newer one of the same kind knows more. What a meter or a resident
# said about one instant is said once; a second story is evidence.
REMADE: Final = frozenset(
    {Quality.EDITED, Quality.SUBSTITUTED, Quality.ESTIMATED, Quality.NORM},
)
MEASURED: Final = frozenset({Quality.ACTUAL, Quality.ACTUAL_LATE, Quality.CUSTOMER})
MADE_UP: Final = frozenset({Quality.SUBSTITUTED, Quality.ESTIMATED, Quality.NORM})


def rank(quality: Quality) -> int:
    """Return the rank of a quality; the best has the highest, and no two have the same."""
    return _RANK[quality]


def replaces(new: Quality, old: Quality) -> bool:
    """Say whether a newer value takes the place of one that stands."""
    if new is Quality.REJECTED:
        return False
    return rank(new) > rank(old) or (new is old and new in REMADE)


def worst(qualities: Iterable[Quality]) -> Quality:
    """Return the quality of a whole that is made of these parts.

    Raises:
        ValueError: there are no parts.
    """
    return min(qualities, key=rank)
