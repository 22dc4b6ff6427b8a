"""Faults a conductor switches on: each strikes so many requests, or so many in a hundred."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simulators.bank.fault_table import KINDS, Kind

# Longer than any client waits; a forgotten fault must not hold a connection for ever.
SECONDS_MAX: Final = 120.0
# A clock may be wrong by days, in both directions.
SKEW_SECONDS_MAX: Final = 10 * 86_400.0
FAULTS_MAX: Final = 1000
TIMES_MAX: Final = 1_000_000
PERCENT_MAX: Final = 100
COPIES_MAX: Final = 100
# Faults whose seconds are of the bank's clock or of no clock at all, and hold nobody.
LONG: Final = frozenset({"clock_skew", "stale_read", "webhook_delayed"})
FIELDS: Final = frozenset({"name", "operation", "times", "seconds", "percent", "seed", "copies"})


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
    copies: int = 1
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
        names = ("name", "operation", "times", "seconds", "percent", "seed", "copies", "fired")
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
        if kind.suits == "listens" and set(wanted) - {"name", "operation", "seconds"}:
            raise BadFaultError("a door is shut at once and for all: it has seconds only")
        percent, seed = _percent(wanted), wanted.get("seed", 0)
        if type(seed) is not int:
            raise BadFaultError("seed must be a whole number")
        seconds = _seconds(name, wanted.get("seconds", kind.seconds))
        bounded = percent is None and not kind.spans
        fault = Fault(
            name=name,
            operation=operation,
            times=_whole("times", wanted.get("times", 1 if bounded else TIMES_MAX), TIMES_MAX),
            copies=_whole("copies", wanted.get("copies", 1), COPIES_MAX),
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


def _whole(name: str, value: object, most: int) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise BadFaultError(f"{name} must be a whole number up to {most}")
    return value


def _seconds(name: str, seconds: object) -> float:
    high = SKEW_SECONDS_MAX if name in LONG else SECONDS_MAX
    low = -high if name == "clock_skew" else 0.0
    if not isinstance(seconds, int | float) or type(seconds) is bool or not low <= seconds <= high:
        raise BadFaultError(f"seconds must be between {low:.0f} and {high:.0f}")
    return float(seconds)
