"""What is known about a meter up to now, in one place: enough to judge whatever comes next.

Most telegrams continue where the last one ended: a higher counter, later readings, the same
installation. For those nothing else has to be looked up. The rest asks for details.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from metering.installation import Installation
from metering.meter import Meter
from metering.reading import Mark
from metering.signed import Key
from metering.telegram import UNSIGNED, Telegram
from metering.window import EMPTY, Window


@dataclass(slots=True)
class Head:
    """One meter as it stands; changed only by the batch that holds it.

    ``windows`` has one entry per signing key that was heard, ``counter_max`` is the highest counter
    of unsigned telegrams (-1 before any). ``last_read_at`` is the latest instant with a stored
    reading, trusted or not; ``mark`` the last trusted place on the line of the last installation.
    """

    meter: Meter
    state: str = "active"
    installations: Sequence[Installation] = ()
    keys: Sequence[Key] = ()
    windows: dict[int, Window] = field(default_factory=dict)
    counter_max: int = -1
    last_read_at: datetime | None = None
    mark: Mark | None = None

    def copy(self) -> "Head":
        """Return a head to work on, so that nothing is remembered that is not committed."""
        return Head(
            self.meter,
            self.state,
            self.installations,
            self.keys,
            dict(self.windows) if self.windows else {},
            self.counter_max,
            self.last_read_at,
            self.mark,
        )

    @property
    def hanging(self) -> Installation | None:
        """Where the meter hangs now."""
        last = self.installations[-1] if self.installations else None
        return last if last is not None and last.removed_at is None else None

    def key(self, kid: bytes | None) -> Key | None:
        """Return the meter's key with this id."""
        for key in self.keys:
            if key.kid == kid:
                return key
        return None

    def window(self, key_epoch: int) -> Window:
        """Return what is safe of one signing key."""
        return self.windows.get(key_epoch, EMPTY)

    def heard(self, key_epoch: int, counter: int) -> None:
        """Remember a counter that was stored."""
        if key_epoch == UNSIGNED:
            self.counter_max = max(self.counter_max, counter)
        elif key_epoch > UNSIGNED:
            self.windows[key_epoch] = self.window(key_epoch).add(counter)

    def high_water(self, key_epoch: int) -> int | None:
        """Return the highest stored counter of an epoch; None where we do not keep it."""
        if key_epoch == UNSIGNED:
            return self.counter_max
        return self.window(key_epoch).high_water if key_epoch > UNSIGNED else None


def looked_up(telegrams: Iterable[Telegram], heads: Mapping[str, Head]) -> set[str]:
    """Return the meters of which a batch needs more than the head.

    A telegram continues the head when its counter is the highest yet, its readings come after every
    stored one, and the meter still hangs where they begin. One that does not makes its meter's
    whole share of the batch be looked up.
    """
    asked: set[str] = set()
    counters: dict[tuple[str, int], int] = {}
    last: dict[str, datetime] = {}
    for telegram in telegrams:
        meter_id = telegram.meter_id
        head = heads.get(meter_id)
        if head is None or meter_id in asked:
            continue
        first_at = telegram.readings[0].read_at
        hanging = head.hanging
        lane = (meter_id, telegram.key_epoch)
        high = counters.get(lane, head.high_water(telegram.key_epoch))
        before = last.get(meter_id, head.last_read_at)
        if (
            high is None
            or telegram.counter <= high
            or hanging is None
            or first_at < hanging.installed_at
            or (before is not None and first_at <= before)
        ):
            asked.add(meter_id)
            continue
        counters[lane] = telegram.counter
        last[meter_id] = telegram.readings[-1].read_at
    return asked
