"""Faults a conductor switches on: each strikes so many requests of an operation, then is spent."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

# What each fault does; `before` means that nothing was done, `after` that all of it was.
NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "answer_lost": "the request is carried out, then the connection is dropped",
        "bad_gateway": "502 with HTML from a proxy, before anything is done",
        "delay": "the request is carried out, the answer comes late",
        "error_after": "500 in the contract's envelope, after everything is done",
        "error_before": "500 in the contract's envelope, before anything is done",
        "forbidden": "403, before anything is done",
        "garbled": "the request is carried out, half of the answer comes",
        "rate_limit": "429, before anything is done",
    }
)
# Longer than any client waits; a forgotten fault must not hold a connection for ever.
SECONDS_MAX: Final = 120.0
FAULTS_MAX: Final = 1000
TIMES_MAX: Final = 1_000_000


class BadFaultError(ValueError):
    """A conductor asked for a fault this bank does not have."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One switched-on fault and how often it has struck."""

    name: str
    operation: str
    times: int
    seconds: float
    fired: int = 0


class Faults:
    """The faults switched on, kept in memory only: a restarted bank is a healthy bank."""

    def __init__(self, operations: frozenset[str]) -> None:
        self._operations = operations
        self._faults: list[Fault] = []

    def add(self, wanted: Mapping[str, Any]) -> Fault:
        """Switch a fault on.

        :raises BadFaultError: for an unknown name or operation, or a count out of range.
        """
        name, operation = str(wanted.get("name")), str(wanted.get("operation", "*"))
        times, seconds = wanted.get("times", 1), wanted.get("seconds", 0)
        if set(wanted) - {"name", "operation", "times", "seconds"}:
            raise BadFaultError("a fault has a name, an operation, times and seconds")
        if name not in NAMES:
            raise BadFaultError(f"name must be one of {', '.join(NAMES)}")
        if operation != "*" and operation not in self._operations:
            raise BadFaultError("operation must be * or one such as payments.create")
        if type(times) is not int or not 1 <= times <= TIMES_MAX:
            raise BadFaultError(f"times must be a whole number up to {TIMES_MAX}")
        if type(seconds) not in {int, float} or not 0 <= seconds <= SECONDS_MAX:
            raise BadFaultError(f"seconds must be between 0 and {SECONDS_MAX:.0f}")
        if len(self._faults) >= FAULTS_MAX:
            raise BadFaultError(f"at most {FAULTS_MAX} faults; DELETE /faults first")
        fault = Fault(name=name, operation=operation, times=times, seconds=float(seconds))
        self._faults.append(fault)
        return fault

    def strike(self, operation: str) -> Fault | None:
        """Return the oldest fault that strikes this request, counting it, or None."""
        for fault in self._faults:
            if fault.operation in {"*", operation} and fault.fired < fault.times:
                fault.fired += 1
                return fault
        return None

    def clear(self) -> None:
        """Switch everything off and forget the counts."""
        self._faults.clear()

    def listed(self) -> list[dict[str, Any]]:
        """Return every fault with how often it struck, oldest first."""
        return [
            {
                "name": fault.name,
                "operation": fault.operation,
                "times": fault.times,
                "seconds": fault.seconds,
                "fired": fault.fired,
            }
            for fault in self._faults
        ]
