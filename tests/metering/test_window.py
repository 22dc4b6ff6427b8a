"""The window of safe counters, against a plain set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.window import EMPTY, Window, window

# Steps around the width of the window, and leaps.
COUNTERS = st.lists(
    st.one_of(st.integers(0, 40), st.integers(0, 2100), st.integers(0, 2**32 - 1)), max_size=60
)


def filled(counters: list[int]) -> Window:
    found = EMPTY
    for counter in counters:
        found = found.add(counter)
    return found


def model(counters: list[int]) -> set[int]:
    """Return what a window knows: what came while it was within 1,024 of the highest, and is."""
    known: set[int] = set()
    for counter in counters:
        known.add(counter)
        highest = max(known)
        known = {one for one in known if one > highest - 1024}
    return known


class TestAWindow:
    """Counters in any order ..."""

    @given(COUNTERS)
    def test_is_a_set_of_the_last_1024(self, counters: list[int]) -> None:
        """Every counter asked, those beside it too."""
        found, known = filled(counters), model(counters)

        assert found.high_water == max(counters, default=-1)
        asked = {near for one in counters for near in (one - 1, one, one + 1, one - 1024)}
        assert {one for one in asked if found.holds(one)} == known

    @given(COUNTERS)
    def test_goes_through_128_bytes(self, counters: list[int]) -> None:
        """Bit i stands in byte i // 8 for the counter i below the highest."""
        found = filled(counters)
        seen = found.to_bytes()

        assert len(seen) == 128
        assert {found.high_water - i for i in range(1024) if seen[i // 8] & 1 << i % 8} == model(
            counters
        )
        assert window(found.high_water, seen) == found

    @given(COUNTERS, st.integers(0, 2**32 - 1))
    def test_saying_it_twice_changes_nothing(self, counters: list[int], counter: int) -> None:
        """A repeat is no news."""
        once = filled([*counters, counter])

        assert once.add(counter) == once

    @pytest.mark.parametrize(
        ("counters", "bits"),
        [
            ([], {}),
            ([0], {0: 0x01}),
            ([0, 1, 2], {0: 0x07}),
            ([5, 3, 9], {0: 0x51}),
            ([0, 8], {0: 0x01, 1: 0x01}),
            ([0, 1023], {0: 0x01, 127: 0x80}),
            ([0, 1024], {0: 0x01}),
            ([1024, 0], {0: 0x01}),
        ],
    )
    def test_worked_by_hand(self, counters: list[int], bits: dict[int, int]) -> None:
        """Nought, neighbours, a byte's edge, the last bit and one beyond."""
        expected = bytes(bits.get(place, 0) for place in range(128))

        assert filled(counters).to_bytes() == expected
