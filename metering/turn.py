"""Whose messages come first when more of them wait than a batch takes.

In order of arrival, as long as nobody crowds the next batch. When somebody does, everybody may have
the same number of places in it, and who has fewer messages gets all of them in. Nobody's own
messages change their order, and the message that waits longest is always among those taken.
"""

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from itertools import islice
from typing import Final, TypeVar

# One sender alone may have this part of a batch before we look who else is waiting: no honest meter
# has a hundred telegrams in a batch of two thousand, unless it catches up after months.
SHARES: Final = 20

_Message = TypeVar("_Message")


def take(
    waiting: deque[_Message], limit: int, *, sender: Callable[[_Message], Hashable]
) -> list[_Message]:
    """Take up to ``limit`` messages out of those that wait; the others stay in their order.

    Costs nothing while all fit, a count of the first ``limit`` while nobody crowds, else time in
    proportion to all that wait.
    """
    if len(waiting) <= limit:
        taken = list(waiting)
        waiting.clear()
        return taken
    first = Counter(map(sender, islice(waiting, limit)))
    if max(first.values()) <= max(limit // SHARES, 1):
        return [waiting.popleft() for _ in range(limit)]
    return _in_turn(waiting, limit, sender)


def _in_turn(
    waiting: deque[_Message], limit: int, sender: Callable[[_Message], Hashable]
) -> list[_Message]:
    """Take at most the same number of everybody, then fill up in order of arrival."""
    most = level(Counter(map(sender, waiting)).values(), limit)
    had: Counter[Hashable] = Counter()
    taken: list[_Message] = []
    passed: list[_Message] = []
    while waiting and len(taken) < limit:
        message = waiting.popleft()
        name = sender(message)
        had[name] += 1
        (taken if had[name] <= most else passed).append(message)
    free = limit - len(taken)
    waiting.extendleft(reversed(passed[free:]))
    return taken + passed[:free]


def level(counts: Iterable[int], room: int) -> int:
    """Return how many each may have so that all together fit into ``room``; never less than 1.

    Who wants less than an equal part leaves the rest of it to the others.
    """
    ordered = sorted(counts)
    for place, count in enumerate(ordered):
        part = room // (len(ordered) - place)
        if count > part:
            return max(part, 1)
        room -= count
    return ordered[-1] if ordered else 1
