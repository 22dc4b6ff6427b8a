"""Faults a conductor switches on: each strikes so many requests, or so many in a hundred.

What a fault does stands in the table below; how it does it, in the file of its moment: `gate.py`
(listener), `early.py` (unread, before), `door.py` (doing), `twists.py` (answer), `wire_faults.py`
(wire) and `postman.py` (delivery).
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final


class Moment(StrEnum):
    """When a fault strikes, seen from the way of a request."""

    LISTENER = "listener"
    UNREAD = "unread"
    BEFORE = "before"
    DOING = "doing"
    ANSWER = "answer"
    WIRE = "wire"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a fault does, which operations it suits, and how long it takes by default."""

    moment: Moment
    says: str
    suits: str = "asks"
    seconds: float = 0
    spans: bool = False


# `before` and `unread` mean that nothing was done, the later moments that all of it was.
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "connection_refused": Kind(
            moment=Moment.LISTENER,
            says="for so many seconds nobody listens; open connections are cut",
            suits="listens",
            seconds=1,
        ),
        "partition_requests": Kind(
            moment=Moment.UNREAD,
            says="for so many seconds connections open, and nothing that is sent arrives",
            seconds=5,
            spans=True,
        ),
        "partition_answers": Kind(
            moment=Moment.WIRE,
            says="for so many seconds requests are carried out, and no answer leaves",
            seconds=5,
            spans=True,
        ),
        "silent_before": Kind(
            moment=Moment.UNREAD,
            says="nothing is read or done; after so many seconds the connection is dropped",
            seconds=120,
        ),
        "silent_after": Kind(
            moment=Moment.WIRE,
            says="the request is carried out; after so many seconds the connection is dropped",
            seconds=120,
        ),
        "reordered": Kind(
            moment=Moment.BEFORE,
            says="the request waits until another one was answered, at most so many seconds",
            seconds=5,
        ),
        "error_before": Kind(
            moment=Moment.BEFORE, says="500 in the contract's envelope, before anything is done"
        ),
        "bad_gateway": Kind(
            moment=Moment.BEFORE, says="502 with HTML from a proxy, before anything is done"
        ),
        "unavailable": Kind(
            moment=Moment.BEFORE, says="503 with plain text, before anything is done"
        ),
        "rate_limit": Kind(moment=Moment.BEFORE, says="429, before anything is done"),
        "rate_limit_bare": Kind(
            moment=Moment.BEFORE, says="429 that does not say until when, before anything is done"
        ),
        "unauthorized": Kind(
            moment=Moment.BEFORE, says="401 as while a token is rotated, before anything is done"
        ),
        "forbidden": Kind(moment=Moment.BEFORE, says="403, before anything is done"),
        "conflict_elsewhere": Kind(
            moment=Moment.BEFORE,
            says="409 that names somebody else's resource, before anything is done",
            suits="creates",
        ),
        "delivered_twice": Kind(
            moment=Moment.DOING, says="the request arrives twice; the second answer comes back"
        ),
        "key_forgotten": Kind(
            moment=Moment.DOING,
            says="the idempotency key is forgotten early: the request is carried out again",
            suits="creates",
        ),
        "stale_read": Kind(
            moment=Moment.DOING,
            says="the answer does not know the last so many seconds of the bank's clock",
            suits="reads",
            seconds=60,
        ),
        "page_shift": Kind(
            moment=Moment.DOING,
            says="the page begins with the row that ended the page before, as if pages shifted",
            suits="lists",
        ),
        "error_after": Kind(
            moment=Moment.ANSWER, says="500 in the contract's envelope, after everything is done"
        ),
        "new_enum": Kind(
            moment=Moment.ANSWER, says="done; the status (or action) is a word nobody knows"
        ),
        "extra_field": Kind(
            moment=Moment.ANSWER, says="done; the answer has fields that nobody knows"
        ),
        "missing_optional": Kind(
            moment=Moment.ANSWER, says="done; the fields that may be empty are not there at all"
        ),
        "clock_skew": Kind(
            moment=Moment.ANSWER,
            says="done; every created_at and the Date are so many seconds ahead (or behind)",
            seconds=3600,
        ),
        "same_id": Kind(
            moment=Moment.ANSWER,
            says="done; the answer bears the id of another resource of its kind",
            suits="creates",
        ),
        "amount_wrong": Kind(
            moment=Moment.ANSWER,
            says="done as asked; the amount in the answer is one minor unit more",
            suits="pays",
        ),
        "delay": Kind(
            moment=Moment.WIRE, says="the request is carried out, the answer comes so much later"
        ),
        "answer_lost": Kind(
            moment=Moment.WIRE, says="the request is carried out, then the connection is dropped"
        ),
        "reset": Kind(
            moment=Moment.WIRE,
            says="the request is carried out; the connection is reset in the middle of the answer",
        ),
        "garbled": Kind(
            moment=Moment.WIRE,
            says="the request is carried out; the answer ends in the middle of its JSON",
        ),
        "slow_drip": Kind(
            moment=Moment.WIRE,
            says="the request is carried out; the answer drips in over so many seconds",
            seconds=1,
        ),
    }
)
# Longer than any client waits; a forgotten fault must not hold a connection for ever.
SECONDS_MAX: Final = 120.0
# A clock may be wrong by days, in both directions.
SKEW_SECONDS_MAX: Final = 10 * 86_400.0
FAULTS_MAX: Final = 1000
TIMES_MAX: Final = 1_000_000
PERCENT_MAX: Final = 100
FIELDS: Final = frozenset({"name", "operation", "times", "seconds", "percent", "seed"})


class BadFaultError(ValueError):
    """A conductor asked for a fault this bank does not have."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One switched-on fault and how often it has struck; `until` ends what spans a time."""

    name: str
    operation: str
    times: int
    seconds: float
    percent: float | None = None
    seed: int = 0
    until: float | None = None
    fired: int = 0
    dice: random.Random = field(default_factory=random.Random)

    @property
    def kind(self) -> Kind:
        """Return what this fault does."""
        return KINDS[self.name]

    def hits(self, now: float) -> bool:
        """Say whether the next request that suits is struck; a seeded fault throws its dice."""
        if self.fired >= self.times or (self.until is not None and now >= self.until):
            return False
        return self.percent is None or self.dice.random() * PERCENT_MAX < self.percent

    def listed(self) -> dict[str, Any]:
        """Return the fault as the control port shows it."""
        names = ("name", "operation", "times", "seconds", "percent", "seed", "fired")
        return {name: getattr(self, name) for name in names}


class Faults:
    """The faults switched on, kept in memory only: a restarted bank is a healthy bank."""

    def __init__(
        self,
        traits: Mapping[str, frozenset[str]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._traits = traits
        self._monotonic = monotonic
        self._faults: list[Fault] = []
        self._healed = asyncio.Event()

    def add(self, wanted: Mapping[str, Any]) -> Fault:
        """Switch a fault on.

        :raises BadFaultError: for an unknown name or operation, or a number out of range.
        """
        if set(wanted) - FIELDS:
            raise BadFaultError(f"a fault has {', '.join(sorted(FIELDS))}")
        name, operation = str(wanted.get("name")), str(wanted.get("operation", "*"))
        if name not in KINDS:
            raise BadFaultError(f"name must be one of {', '.join(KINDS)}")
        kind = KINDS[name]
        if operation != "*" and kind.suits not in self._traits.get(operation, frozenset()):
            raise BadFaultError(f"operation must be * or one that {kind.suits}")
        if len(self._faults) >= FAULTS_MAX:
            raise BadFaultError(f"at most {FAULTS_MAX} faults; DELETE /faults first")
        percent, seed = _percent(wanted), wanted.get("seed", 0)
        if type(seed) is not int:
            raise BadFaultError("seed must be a whole number")
        seconds = _seconds(name, wanted.get("seconds", kind.seconds))
        bounded = percent is None and not kind.spans
        fault = Fault(
            name=name,
            operation=operation,
            times=_times(wanted.get("times", 1 if bounded else TIMES_MAX)),
            seconds=seconds,
            percent=percent,
            seed=seed,
            until=self._monotonic() + seconds if kind.spans else None,
            dice=random.Random(seed),  # noqa: S311 - seeded on purpose: a story can be told again
        )
        self._faults.append(fault)
        return fault

    def strike(self, operation: str) -> Fault | None:
        """Return the oldest fault that strikes this request, counting it, or None."""
        traits, now = self._traits[operation], self._monotonic()
        for fault in self._faults:
            fits = fault.operation in {"*", operation} and fault.kind.suits in traits
            if fits and fault.hits(now):
                fault.fired += 1
                return fault
        return None

    def clear(self) -> None:
        """Switch everything off, forget the counts, and let go of whoever is held."""
        self._faults.clear()
        self._healed.set()
        self._healed = asyncio.Event()

    async def hold(self, fault: Fault) -> None:
        """Wait as long as a fault says, or until everything is healed."""
        rest = fault.seconds if fault.until is None else fault.until - self._monotonic()
        healed = self._healed
        try:
            async with asyncio.timeout(max(rest, 0)):
                await healed.wait()
        except TimeoutError:
            return

    def listed(self) -> list[dict[str, Any]]:
        """Return every fault with how often it struck, oldest first."""
        return [fault.listed() for fault in self._faults]


def _percent(wanted: Mapping[str, Any]) -> float | None:
    percent = wanted.get("percent")
    if percent is None:
        return None
    if type(percent) not in {int, float} or not 0 < percent <= PERCENT_MAX:
        raise BadFaultError(f"percent must be above 0 and at most {PERCENT_MAX}")
    return float(percent)


def _times(times: object) -> int:
    if type(times) is not int or not 1 <= times <= TIMES_MAX:
        raise BadFaultError(f"times must be a whole number up to {TIMES_MAX}")
    return times


def _seconds(name: str, seconds: object) -> float:
    low, high = (0.0, SECONDS_MAX)
    if name in {"clock_skew", "stale_read"}:
        low, high = (-SKEW_SECONDS_MAX if name == "clock_skew" else 0.0), SKEW_SECONDS_MAX
    if not isinstance(seconds, int | float) or type(seconds) is bool or not low <= seconds <= high:
        raise BadFaultError(f"seconds must be between {low:.0f} and {high:.0f}")
    return float(seconds)
