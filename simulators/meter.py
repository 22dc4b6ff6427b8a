"""One gas meter: it counts what the home burns, writes telegrams, and keeps each until a receipt.

    made --> waiting --(receipt says stored or repeated)--> gone
                |
                `------(receipt says refused)-------------> remembered as refused

Nothing else removes a telegram: not a send, not an acknowledgement of the broker, not time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Final

from simulators.household import Household, Weather, hour_of, instant_of, luck, pick
from simulators.wire import PlainVoice, Receipt, Voice

# More than a year of daily telegrams; a real module promises ninety days.
TELEGRAMS_KEPT_MAX: Final = 400

# (share of all meters in per cent, dial in dm3, step in dm3, largest flow in dm3 per hour):
# mostly G4 with five digits, some that count in tens of litres, some small, some large.
_MODELS: Final = (
    (55, 100_000_000, 1, 6_000),
    (20, 100_000_000, 10, 6_000),
    (15, 10_000_000, 1, 4_000),
    (10, 100_000_000, 10, 10_000),
)


class StoreFullError(RuntimeError):
    """A meter heard no receipt for longer than it can remember; carries meter_id."""

    def __init__(self, meter_id: str) -> None:
        super().__init__(f"meter {meter_id} keeps {TELEGRAMS_KEPT_MAX} telegrams without a receipt")
        self.meter_id = meter_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """What a fitter writes down when the meter is hung up; volumes in dm3, flow in dm3 per hour."""

    meter_id: str
    number: int
    dial_dm3: int
    step_dm3: int
    qmax_dm3_h: int
    compensated: bool
    opening_dm3: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the dial truly showed at an instant, and the time the meter believed it was."""

    at: datetime
    claimed_at: datetime
    register_dm3: int
    total_dm3: int


class Errand(StrEnum):
    """Why a telegram leaves: an ordinary day, a debt of an outage, an hour beside or after it."""

    ORDINARY = "ordinary"
    OWED = "owed"
    LIVE = "live"
    CALM = "calm"


@dataclass(slots=True, kw_only=True)
class Telegram:
    """Readings under one counter; `sends` counts tries, `old` says tried before this session."""

    meter_id: str
    number: int
    counter: int
    readings: tuple[Reading, ...]
    payload: bytes
    sends: int = 0
    old: bool = False
    errand: Errand = Errand.ORDINARY


@dataclass(slots=True, kw_only=True)
class Store:
    """The telegrams of one meter that wait for a receipt, oldest first, and those refused.

    Without a voice of its own a meter speaks plain JSON.
    """

    meter_id: str
    number: int
    next_counter: int
    voice: Voice | None = None
    waiting: dict[int, Telegram] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Say whether there is no room for another telegram."""
        return len(self.waiting) >= TELEGRAMS_KEPT_MAX

    def write(self, readings: Sequence[Reading], errand: Errand = Errand.ORDINARY) -> Telegram:
        """Put readings under the next counter and keep them; raises StoreFullError."""
        if self.is_full:
            raise StoreFullError(self.meter_id)
        telegram = Telegram(
            meter_id=self.meter_id,
            number=self.number,
            counter=self.next_counter,
            readings=tuple(readings),
            payload=self._voice.speak(
                self.next_counter,
                [(reading.claimed_at, reading.register_dm3) for reading in readings],
            ),
            errand=errand,
        )
        self.waiting[telegram.counter] = telegram
        self.next_counter += 1
        return telegram

    def listen(self, payload: bytes) -> tuple[Receipt, ...]:
        """Return what a message down says about what waits; raises ReceiptError."""
        return self._voice.listen(payload, tuple(self.waiting))

    @property
    def _voice(self) -> Voice:
        """Return how this meter speaks."""
        return self.voice or PlainVoice(meter_id=self.meter_id)

    def hear(self, receipt: Receipt, *, retained: bool) -> Telegram | None:
        """Return the telegram that a receipt settles, or None when it settles nothing.

        A meter believes a receipt only about what it has sent. One that the broker kept for
        newcomers may be about an earlier life of this counter, so it settles only what was sent
        before this session began.
        """
        telegram = self.waiting.get(receipt.counter) if receipt.counter is not None else None
        if telegram is None or not (telegram.old or (telegram.sends and not retained)):
            return None
        refusal = (receipt.reason or "no_reason") if receipt.result == "refused" else ""
        self.forget(telegram.counter, refusal)
        return telegram

    def forget(self, counter: int, refusal: str) -> None:
        """Drop a telegram whose receipt is known; a refusal is kept, "" stands for none."""
        del self.waiting[counter]
        if refusal:
            self.refused[counter] = refusal

    def new_session(self) -> None:
        """Note that whatever was sent so far was sent on an earlier connection."""
        for telegram in self.waiting.values():
            telegram.old = telegram.old or telegram.sends > 0


@dataclass(slots=True, kw_only=True)
class Meter:
    """A meter on a wall, lived up to some hour; volumes in dm3, hours since 1970 UTC."""

    plate: Plate
    household: Household
    lived_to_hour: int
    burned_dm3: int = 0
    store: Store

    @property
    def total_dm3(self) -> int:
        """Return what the dial would show if it never wrapped, in whole steps."""
        exact_dm3 = self.plate.opening_dm3 + self.burned_dm3
        return exact_dm3 - exact_dm3 % self.plate.step_dm3

    @property
    def register_dm3(self) -> int:
        """Return what the dial shows."""
        return self.total_dm3 % self.plate.dial_dm3

    def live_to(self, hour: int, weather: Weather) -> None:
        """Let the home burn gas up to the beginning of an hour; hours never run back."""
        assert hour >= self.lived_to_hour, "time does not run back"
        self.burned_dm3 += self.household.between_dm3(self.lived_to_hour, hour, weather)
        self.lived_to_hour = hour

    def look(self, zone: tzinfo) -> Reading:
        """Return the dial as it stands now, with a clock that is right."""
        at = instant_of(self.lived_to_hour).astimezone(zone)
        return Reading(
            at=at, claimed_at=at, register_dm3=self.register_dm3, total_dm3=self.total_dm3
        )


def hang(*, seed: str, number: int, meter_id: str, start: datetime, first_counter: int) -> Meter:
    """Return the meter that this seed hangs up under this number, at its opening register."""
    dice = luck(seed, "meter", number)
    dial_dm3, step_dm3, qmax_dm3_h = _model(pick(dice, 0, 0, 99))
    # Somewhere in the lower half of its dial: a few years old.
    opening_dm3 = int.from_bytes(dice[2:10]) % (dial_dm3 // 2)
    plate = Plate(
        meter_id=meter_id,
        number=number,
        dial_dm3=dial_dm3,
        step_dm3=step_dm3,
        qmax_dm3_h=qmax_dm3_h,
        compensated=pick(dice, 5, 0, 99) < 75,  # noqa: PLR2004  (three in four)
        opening_dm3=opening_dm3 - opening_dm3 % step_dm3,
    )
    return Meter(
        plate=plate,
        household=Household.of(seed=seed, number=number, qmax_dm3_h=qmax_dm3_h),
        lived_to_hour=hour_of(start),
        store=Store(meter_id=meter_id, number=number, next_counter=first_counter),
    )


def _model(share: int) -> tuple[int, int, int]:
    """Return dial, step and largest flow for a share from 0 to 99."""
    for percent, dial_dm3, step_dm3, qmax_dm3_h in _MODELS:
        if share < percent:
            return dial_dm3, step_dm3, qmax_dm3_h
        share -= percent
    raise AssertionError("the shares sum to a hundred")
