"""The place of a register on an installation's line when a person vouches for it."""

from metering.reading import Mark


def least_turns(
    register_dm3: int, *, dial_dm3: int, before: Mark, after: Mark | None
) -> int | None:
    """Return the fewest turns of the dial that keep the line growing; None when none do.

    A person may know better than a rule how fast gas can pass, but nobody can make it flow back.
    """
    if not 0 <= register_dm3 < dial_dm3:
        return None
    turns = before.turns + (1 if register_dm3 < before.register_dm3 else 0)
    total_dm3 = turns * dial_dm3 + register_dm3
    if after is not None and total_dm3 > after.total_dm3(dial_dm3):
        return None
    return turns
