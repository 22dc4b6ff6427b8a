"""Which process reads which share of the meters at a broker.

A share is some of the 64 buckets, read in one session of its own. Who reads it is a matter of speed
and not of truth: two readers would store nothing twice, since whoever judges a meter locks its
bucket. They would only push each other out of the session.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from metering.meter import BUCKETS

# A process that did not say for so long that it is there, is not. Long enough for a database that
# restarts, short enough that no meter notices.
LEASE: Final = timedelta(seconds=15)
# How often it says so; two may get lost.
BEAT: Final = timedelta(seconds=3)
# What other makers' hardware publishes is one more share of each broker.
SOURCES: Final = "sources"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The buckets that leave the remainder ``number`` when divided by ``of``."""

    number: int
    of: int

    def __post_init__(self) -> None:
        """Refuse a share that no other one completes."""
        if not 0 <= self.number < self.of <= BUCKETS or BUCKETS % self.of:
            raise ValueError("there are 1, 2, 4, 8, 16, 32 or 64 shares, numbered from 0")

    @property
    def name(self) -> str:
        """How leases, logs and sessions call it."""
        return f"{self.number}-of-{self.of}"

    @property
    def topics(self) -> tuple[str, ...]:
        """The MQTT filters of its telegrams: plain ones and signed ones."""
        if self.of == 1:
            return ("gas/v1/+/+/up/json", "gas/v1/+/+/up")
        return tuple(
            f"gas/v1/{bucket:02d}/+/{end}"
            for bucket in range(self.number, BUCKETS, self.of)
            for end in ("up/json", "up")
        )


def share_named(name: str) -> Share:
    """Return the share of a name.

    Raises:
        ValueError: there is none of that name.
    """
    number, _, of = name.partition("-of-")
    return Share(number=int(number), of=int(of))


def shares(of: int) -> tuple[Share, ...]:
    """Return all shares when there are so many."""
    return tuple(Share(number=number, of=of) for number in range(of))


# A broker's place and the name of a share of its meters.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What one process should do next: shares to take if they are still free, and to give back."""

    take: tuple[Key, ...] = ()
    give: tuple[Key, ...] = ()


def moves(
    me: str, *, names: Sequence[Key], holders: Mapping[Key, str], workers: Collection[str]
) -> Moves:
    """Return what ``me`` should do so that every share is read and nobody reads many more.

    ``holders`` names who holds a share now, ``workers`` who is there (me always is). Everybody who
    looks at the same picture computes the same quotas, so nobody needs to be told. Those who hold
    most may keep one more where it does not come out even: nothing moves without need.
    """
    there = {*workers, me}
    held = Counter(holders[name] for name in names if holders.get(name) in there)
    ranked = sorted(there, key=lambda worker: (-held[worker], worker))
    quota = len(names) // len(there) + (ranked.index(me) < len(names) % len(there))
    mine = [name for name in names if holders.get(name) == me]
    free = [name for name in names if holders.get(name) not in there]
    if len(mine) > quota:
        return Moves(give=tuple(mine[quota:]))
    return Moves(take=tuple(free[: quota - len(mine)]))
