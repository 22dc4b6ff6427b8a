"""Whose messages come first: nobody's order changes, nobody is forgotten, nobody crowds."""

from collections import Counter, deque
from collections.abc import Iterable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.turn import level, take

# A message is its sender and its number; some waiting lists are crowded by one sender.
SENDERS = st.one_of(st.sampled_from("abcde"), st.just("a"))
WAITING = st.lists(SENDERS, max_size=120).map(lambda senders: list(zip(senders, count())))
LIMITS = st.integers(1, 60)
Message = tuple[str, int]


def sender(message: Message) -> str:
    return message[0]


def emptied(waiting: Iterable[Message], limit: int) -> list[list[Message]]:
    """Take batches until nothing is left."""
    line, batches = deque(waiting), []
    while line:
        batches.append(take(line, limit, sender=sender))
        assert batches[-1], "a batch takes something"
    return batches


def line_of(**counts: int) -> deque[Message]:
    """Return a line in which each sender stands whole behind the one before."""
    numbers = count()
    return deque((name, next(numbers)) for name, many in counts.items() for _ in range(many))


class TestAnyLine:
    """Messages that wait, whoever sent them ..."""

    @given(WAITING, LIMITS)
    def test_are_taken_once_each(self, waiting: list[Message], limit: int) -> None:
        """What a meter sent is neither lost nor doubled on the way to a batch."""
        batches = emptied(waiting, limit)

        assert sorted(message for batch in batches for message in batch) == sorted(waiting)
        assert all(len(batch) == limit for batch in batches[:-1])
        assert all(len(batch) <= limit for batch in batches)

    @given(WAITING, LIMITS)
    def test_keep_the_order_of_their_sender(self, waiting: list[Message], limit: int) -> None:
        """A dial is judged by the register before it, so a meter's order is its meaning."""
        taken = [message for batch in emptied(waiting, limit) for message in batch]

        for name in {sender(message) for message in waiting}:
            mine = [message for message in taken if sender(message) == name]
            assert mine == [message for message in waiting if sender(message) == name]

    @given(WAITING, LIMITS)
    def test_stay_in_line_in_their_order(self, waiting: list[Message], limit: int) -> None:
        """Who is passed over does not also lose the place before those that came later."""
        line = deque(waiting)
        taken = set(take(line, limit, sender=sender))

        assert list(line) == [message for message in waiting if message not in taken]

    @given(WAITING, LIMITS)
    def test_begin_with_the_one_that_waits_longest(
        self, waiting: list[Message], limit: int
    ) -> None:
        """Whatever joins behind it, a message has at most as many turns to wait as stand before."""
        for batch, left in zip(emptied(waiting, limit), _lines(waiting, limit), strict=True):
            assert left[0] in batch

    @given(WAITING, LIMITS)
    def test_leave_room_for_the_modest_when_somebody_crowds(
        self, waiting: list[Message], limit: int
    ) -> None:
        """Who waits with no more than an equal part of the batch is served whole, at once."""
        line = deque(waiting)
        first = Counter(map(sender, waiting[:limit]))
        everybody = Counter(map(sender, waiting))
        taken = Counter(map(sender, take(line, limit, sender=sender)))

        if line and max(first.values()) > max(limit // 20, 1):
            for name, many in everybody.items():
                assert taken[name] >= min(many, limit // len(everybody))


def _lines(waiting: list[Message], limit: int) -> list[list[Message]]:
    """Return the line before each batch."""
    line, lines = deque(waiting), []
    while line:
        lines.append(list(line))
        take(line, limit, sender=sender)
    return lines


class TestACrowd:
    """One sender with more than all others together ..."""

    def test_leaves_room_for_everybody_behind_it(self) -> None:
        """Three thousand of one and one each of two others: the two are in the first batch."""
        line = line_of(flood=3000, b=1, c=1)

        taken = take(line, 2000, sender=sender)

        assert Counter(map(sender, taken)) == {"flood": 1998, "b": 1, "c": 1}
        assert len(line) == 1002

    def test_shares_with_another_crowd(self) -> None:
        """Two floods get half each, also when one of them came first."""
        taken = take(line_of(a=5000, b=5000), 2000, sender=sender)

        assert Counter(map(sender, taken)) == {"a": 1000, "b": 1000}

    def test_takes_everything_when_nobody_else_waits(self) -> None:
        """A meter that catches up alone is not slowed down."""
        line = line_of(a=5000)

        assert [number for _, number in take(line, 2000, sender=sender)] == list(range(2000))

    def test_is_not_one_with_a_twentieth_of_the_batch(self) -> None:
        """A hundred of two thousand is a meter that catches up: the order of arrival stands."""
        line = line_of(**{f"m{number}": 100 for number in range(40)})

        assert [number for _, number in take(line, 2000, sender=sender)] == list(range(2000))


class TestLevel:
    """The most that each may have ..."""

    @pytest.mark.parametrize(
        ("counts", "room", "most"),
        [
            ([10], 4, 4),
            ([1, 10], 4, 3),
            ([1, 1, 10, 10], 8, 3),
            ([2, 2, 2], 6, 2),
            ([5, 5, 5], 2, 1),
            ([1, 2], 9, 2),
            ([], 9, 1),
        ],
    )
    def test_is_what_the_modest_leave(self, counts: list[int], room: int, most: int) -> None:
        """Who wants less than an equal part leaves the rest of it to the others."""
        assert level(counts, room) == most
