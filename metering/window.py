"""Which counters of a key are safe: the highest, and bit by bit the 1,024 up to it.

The telegrams themselves decide what is a repeat; the window says so in 128 bytes, for a receipt.
"""

from dataclasses import dataclass
from typing import Final

WINDOW_BITS: Final = 1024
WINDOW_BYTES: Final = WINDOW_BITS // 8
# A meter that telegraphs every hour for eleven years; a counter that leaps further is a fault or a
# forger, and would make every honest counter look old.
JUMP_MAX: Final = 100_000

_MASK: Final = (1 << WINDOW_BITS) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """``seen`` has bit i set when counter ``high_water - i`` is stored; -1 is before any."""

    high_water: int
    seen: int

    def add(self, counter: int) -> "Window":
        """Return the window with one more counter; one that fell out of it changes nothing."""
        above = counter - self.high_water
        if above > 0:
            moved = self.seen << above if above < WINDOW_BITS else 0
            return Window(high_water=counter, seen=(moved | 1) & _MASK)
        if -above < WINDOW_BITS:
            return Window(high_water=self.high_water, seen=self.seen | 1 << -above)
        return self

    def holds(self, counter: int) -> bool:
        """Say whether the window knows this counter as stored."""
        below = self.high_water - counter
        return 0 <= below < WINDOW_BITS and bool(self.seen >> below & 1)

    def to_bytes(self) -> bytes:
        """Return ``seen`` as 128 bytes: bit i is ``byte[i // 8] & 1 << i % 8``."""
        return self.seen.to_bytes(WINDOW_BYTES, "little")


EMPTY: Final = Window(high_water=-1, seen=0)


def window(high_water: int, seen: bytes) -> Window:
    """Return the window that was written as a number and 128 bytes."""
    return Window(high_water=high_water, seen=int.from_bytes(seen, "little"))
