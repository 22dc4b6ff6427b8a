"""Who reads which share: every picture leads to one where all is read and nobody has much more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.lease import Key, Moves, Share, moves, share_named, shares

HERE = "broker:1883"
KEYS: list[Key] = [(HERE, f"{number}-of-4") for number in range(4)]
WORKERS = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=7, unique=True)


def settled(holders: dict[Key, str], workers: list[str], keys: list[Key]) -> dict[Key, str]:
    """Let everybody move in turn, by the rules of the table, until nobody wants to."""
    holders = dict(holders)
    for _ in range(20):
        moved = False
        for me in workers:
            next_moves = moves(me, names=keys, holders=holders, workers=workers)
            for key in next_moves.give:
                assert holders.pop(key) == me, "only what is ours is given"
                moved = True
            for key in next_moves.take:
                if holders.get(key) not in workers:
                    holders[key] = me
                    moved = True
        if not moved:
            return holders
    raise AssertionError("they never come to rest")


class TestMoves:
    """What a process should do next ..."""

    @given(
        workers=WORKERS,
        held=st.lists(st.sampled_from(["", *"abcdefghij"]), min_size=8, max_size=8),
    )
    @settings(max_examples=500, deadline=None)
    def test_comes_to_rest_with_everything_read(self, workers: list[str], held: list[str]) -> None:
        """Whoever held what, alive or dead: at most one more here than there."""
        keys: list[Key] = [(HERE, f"{number}-of-8") for number in range(8)]
        holders = {key: who for key, who in zip(keys, held, strict=True) if who}

        after = settled(holders, workers, keys)

        assert set(after) == set(keys)
        assert set(after.values()) <= set(workers)
        counts = [list(after.values()).count(worker) for worker in workers]
        assert max(counts) - min(counts) <= 1

    def test_leaves_things_as_they_are_when_they_are_fair(self) -> None:
        """Two each, or three of seven: nothing moves without need."""
        for names, held in ((KEYS, "aabb"), (KEYS[:3], "bba")):
            holders = dict(zip(names, held, strict=False))
            for me in "ab":
                assert moves(me, names=names, holders=holders, workers={"a", "b"}) == Moves()

    def test_gives_what_is_too_much_when_somebody_comes(self) -> None:
        """The last ones: what a process has had longest it keeps."""
        holders = dict.fromkeys(KEYS, "a")

        assert moves("a", names=KEYS, holders=holders, workers={"a", "b"}) == Moves(
            give=(KEYS[2], KEYS[3])
        )
        # Nothing is free yet: it waits for them to be given.
        assert moves("b", names=KEYS, holders=holders, workers={"a", "b"}) == Moves()

    def test_takes_over_from_the_dead(self) -> None:
        """Its own share of it, and no more."""
        holders = dict(zip(KEYS, "aazz", strict=True))

        assert moves("b", names=KEYS, holders=holders, workers={"a", "b"}) == Moves(
            take=(KEYS[2], KEYS[3])
        )

    def test_needs_nobody_else(self) -> None:
        """A process that is alone reads everything, though nobody told it that it is there."""
        assert moves("a", names=KEYS, holders={}, workers=()) == Moves(take=tuple(KEYS))

    def test_lets_one_wait_when_there_is_one_share_for_two(self) -> None:
        """The second stands by."""
        holders = {KEYS[0]: "b"}

        assert moves("a", names=KEYS[:1], holders=holders, workers={"a", "b"}) == Moves()


class TestShare:
    """A share of the meters ..."""

    @pytest.mark.parametrize("of", [1, 2, 4, 8, 16, 32, 64])
    def test_leaves_no_bucket_out_and_none_twice(self, of: int) -> None:
        """Each bucket has a filter for plain telegrams and one for signed ones, in one share."""
        topics = [topic for share in shares(of) for topic in share.topics]

        if of == 1:
            assert topics == ["gas/v1/+/+/up/json", "gas/v1/+/+/up"]
        else:
            assert sorted(topics) == sorted(
                f"gas/v1/{bucket:02d}/+/{end}" for bucket in range(64) for end in ("up", "up/json")
            )

    def test_is_found_by_its_name(self) -> None:
        """Leases name shares, also those of a time when there were more or fewer."""
        assert share_named("3-of-4") == Share(number=3, of=4)
        assert Share(number=3, of=4).name == "3-of-4"

    @pytest.mark.parametrize(("number", "of"), [(0, 3), (4, 4), (-1, 2), (0, 0), (0, 128)])
    def test_can_be_completed_by_others(self, number: int, of: int) -> None:
        """Sixty-four buckets are not cut into three."""
        with pytest.raises(ValueError, match="shares"):
            Share(number=number, of=of)

    @pytest.mark.parametrize("name", ["", "1", "1-of-", "x-of-2", "1-of-2-of-4"])
    def test_has_a_name_of_two_numbers(self, name: str) -> None:
        """Anything else in the table is a mistake, and said to be one."""
        with pytest.raises(ValueError, match="invalid literal"):
            share_named(name)
