"""A dial at an instant, and what passes between two looks at it."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

SECONDS_PER_HOUR: Final = 3600
RESOLUTION: Final = timedelta(microseconds=1)


class Reading(NamedTuple):
    """The register of one meter at one instant (aware), in whole dm3, as the meter says it.

    A tuple, because many millions are made: whoever decodes one refuses what no meter could have
    sent, and the tables do so again.
    """

    meter_id: str
    read_at: datetime
    register_dm3: int


class Mark(NamedTuple):
    """A trusted place on an installation's line: a register, and how often the dial had turned.

    Openings, closings and billable readings are marks; a suspect reading is none.
    """

    read_at: datetime
    register_dm3: int
    turns: int

    def total_dm3(self, dial_dm3: int) -> int:
        """Return the register as it would stand on a dial without end, in dm3."""
        return self.turns * dial_dm3 + self.register_dm3


def advance_dm3(*, before_dm3: int, after_dm3: int, dial_dm3: int) -> int:
    """Return the gas in dm3 that passed between two looks at one dial.

    A dial that shows less than before has passed zero exactly once. Telling that from a swapped
    meter is the verdict's business, not this one's.
    """
    assert 0 <= before_dm3 < dial_dm3, "before must fit the dial"
    assert 0 <= after_dm3 < dial_dm3, "after must fit the dial"
    return (after_dm3 - before_dm3) % dial_dm3


def advance_dm3_max(*, qmax_dm3_h: int, step_dm3: int, earlier: datetime, later: datetime) -> int:
    """Return the most gas in dm3 that a meter can count between two instants.

    Ten per cent above its largest flow, because meters run above the plate, and one step of the
    dial, because both looks are rounded to it.
    """
    microseconds = (later - earlier) // RESOLUTION
    assert microseconds >= 0, "later must not lie before earlier"
    return qmax_dm3_h * microseconds * 11 // (SECONDS_PER_HOUR * 10_000_000) + step_dm3
