"""Named days of a town, under names a person would use."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from simulators.faults import Air, OldDial, Silent, WrongClock

_OLD_DIAL: Final = OldDial(every=20, days_min=3, days_max=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A set of faults under one name, with the story that it tells."""

    name: str
    story: str
    silent: Silent | None = None
    clock: WrongClock | None = None
    # Every town has old meters: an index rollover is an ordinary day.
    old_dial: OldDial | None = _OLD_DIAL
    twice_per_mille: int = 0
    garbled_per_mille: int = 0
    shuffled: bool = False

    def air(self, seed: str) -> Air:
        """Return what the network of this scenario does to single telegrams."""
        return Air(
            seed=seed,
            twice_per_mille=self.twice_per_mille,
            garbled_per_mille=self.garbled_per_mille,
            shuffled=self.shuffled,
        )


_ALL: Final = (
    Scenario(
        name="ordinary-days",
        story="Nothing fails, but one dial in twenty passes zero within three weeks.",
    ),
    Scenario(
        name="new-dials",
        story="Nothing fails and no dial passes zero.",
        old_dial=None,
    ),
    Scenario(
        name="lost-network-day",
        story="A quarter of the town has no network for a day, then delivers what it kept.",
        silent=Silent(every=4, first_day=9, days=1),
    ),
    Scenario(
        name="silent-week",
        story="One meter in ten is cut off for a week and then sends its backlog in disorder.",
        silent=Silent(every=10, first_day=5, days=7),
        shuffled=True,
    ),
    Scenario(
        name="long-outage",
        story="The whole town has no network for three days, then delivers what it kept.",
        silent=Silent(every=1, first_day=5, days=3),
    ),
    Scenario(
        name="stammering-gateway",
        story="A third of all telegrams arrive twice.",
        twice_per_mille=333,
    ),
    Scenario(
        name="noisy-air",
        story="One telegram in twenty arrives damaged first and whole only when it is sent again.",
        garbled_per_mille=50,
    ),
    Scenario(
        name="clock-ahead",
        story="One clock in ten runs three days and seven minutes ahead for four days.",
        clock=WrongClock(every=10, first_day=4, days=4, ahead=timedelta(days=3, minutes=7)),
    ),
    Scenario(
        name="forgotten-clock",
        story="One meter in ten wakes up in the year 2000 and is put right after three days.",
        clock=WrongClock(every=10, first_day=4, days=3, ahead=None),
    ),
    Scenario(
        name="bad-month",
        story="A lost week, doubles, noise and disorder, all at once; the clocks are right.",
        silent=Silent(every=5, first_day=7, days=7),
        twice_per_mille=100,
        garbled_per_mille=50,
        shuffled=True,
    ),
)

SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType({one.name: one for one in _ALL})
