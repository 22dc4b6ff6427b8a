"""Which meter hung where, from when to when."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter

from metering.reading import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One meter in one place, from ``installed_at`` until just before ``removed_at``."""

    meter_id: str
    installed_at: datetime
    account_id: str
    supply_point_id: str
    opening_dm3: int
    removed_at: datetime | None
    closing_dm3: int | None
    closing_turns: int | None

    def __post_init__(self) -> None:
        """Refuse half a removal, and one that comes before the installation."""
        parts = {self.removed_at is None, self.closing_dm3 is None, self.closing_turns is None}
        if len(parts) != 1:
            raise ValueError("a removal has an instant, a register and turns, or none of them")
        if self.removed_at is not None and self.removed_at <= self.installed_at:
            raise ValueError("removed_at must lie after installed_at")

    @property
    def opening(self) -> Mark:
        """The first mark of the line: the register at the installation, no turns yet."""
        return Mark(read_at=self.installed_at, register_dm3=self.opening_dm3, turns=0)

    @property
    def closing(self) -> Mark | None:
        """The last mark of the line, once the meter was taken down."""
        if self.removed_at is None or self.closing_dm3 is None or self.closing_turns is None:
            return None
        return Mark(
            read_at=self.removed_at, register_dm3=self.closing_dm3, turns=self.closing_turns
        )

    def holds(self, instant: datetime) -> bool:
        """Say whether the meter hung here at that instant."""
        return self.installed_at <= instant and (
            self.removed_at is None or instant < self.removed_at
        )


class Outside(StrEnum):
    """Where an instant lies that no installation holds."""

    BEFORE = "before"
    AFTER = "after"


def locate(installations: Iterable[Installation], instant: datetime) -> Installation | Outside:
    """Return the installation of one meter that holds an instant, or the side it missed them on.

    An instant between two installations lies after the first: the meter had been taken down.
    """
    side = Outside.BEFORE
    for installation in installations:
        if installation.holds(instant):
            return installation
        if installation.removed_at is not None and installation.removed_at <= instant:
            side = Outside.AFTER
    return side


class Line:
    """The marks of one installation in order of time, from its opening to its closing.

    It need not know every mark, only the nearest on both sides of each instant it is asked for.
    """

    __slots__ = ("_marks",)

    def __init__(self, installation: Installation, marks: Sequence[Mark]) -> None:
        closing = installation.closing
        known = {mark.read_at: mark for mark in marks}
        known.setdefault(installation.opening.read_at, installation.opening)
        if closing is not None:
            known.setdefault(closing.read_at, closing)
        self._marks = sorted(known.values(), key=_READ_AT)

    def before(self, instant: datetime) -> Mark:
        """Return the last mark at or before an instant; the opening stands before all."""
        index = bisect_right(self._marks, instant, key=_READ_AT)
        assert index > 0, "an installation holds no instant before its opening"
        return self._marks[index - 1]

    def after(self, instant: datetime) -> Mark | None:
        """Return the first mark after an instant, if there is one."""
        index = bisect_right(self._marks, instant, key=_READ_AT)
        return self._marks[index] if index < len(self._marks) else None

    def add(self, mark: Mark) -> None:
        """Put a newly trusted mark in its place."""
        self._marks.insert(bisect_left(self._marks, mark.read_at, key=_READ_AT), mark)


_READ_AT = attrgetter("read_at")
