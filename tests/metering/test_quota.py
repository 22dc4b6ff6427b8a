"""How much one sender may make us keep."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.outcome import Evidence
from metering.quota import Quota, thin
from metering.telegram import RefusalReason

AT = datetime(2026, 3, 1, tzinfo=UTC)


def evidence(
    sender: str,
    number: int,
    *,
    times: int = 1,
    reason: RefusalReason = RefusalReason.BAD_SHAPE,
) -> Evidence:
    return Evidence(
        sender=sender,
        digest=number.to_bytes(32),
        reason=reason,
        detail=f"story {number}",
        topic="gas/v1/00/AQ-1/up/json",
        payload=b"{}",
        size_bytes=2,
        times=times,
    )


class TestAQuota:
    """A sender with ten a day ..."""

    def test_may_use_it_at_once(self) -> None:
        """A meter that catches up says much in one minute, and honestly."""
        quota = Quota(10)

        assert quota.over("AQ-1", 10, AT) == 0
        assert quota.over("AQ-1", 13, AT) == 3

    def test_is_over_it_when_it_goes_on(self) -> None:
        """Of five more after eight, three are too many; asking alone spends nothing."""
        quota = Quota(10)
        quota.spend({"AQ-1": 8}, AT)

        assert [quota.over("AQ-1", 5, AT) for _ in range(2)] == [3, 3]
        assert quota.over("AQ-2", 5, AT) == 0

    @pytest.mark.parametrize(("hours", "over"), [(0, 10), (12, 5), (24, 0), (2400, 0)])
    def test_has_it_back_within_a_day(self, hours: int, over: int) -> None:
        """Half of it after half a day; nobody saves up more than a day's worth."""
        quota = Quota(10)
        quota.spend({"AQ-1": 1000}, AT)

        assert quota.over("AQ-1", 10, AT + timedelta(hours=hours)) == over

    def test_gets_nothing_from_a_clock_that_goes_back(self) -> None:
        """Time that seems to run back gives nothing and takes nothing."""
        quota = Quota(10)
        quota.spend({"AQ-1": 4}, AT)

        assert quota.over("AQ-1", 10, AT - timedelta(days=3)) == 4

    def test_forgets_who_is_quiet_for_longest(self) -> None:
        """Inventing names must not fill the memory, nor free the one that floods."""
        quota = Quota(10, senders_max=2)
        quota.spend({"flood": 10}, AT)
        for number in range(50):
            quota.spend({f"AQ-{number}": 1, "flood": 1}, AT)

        assert quota.over("flood", 1, AT) == 1
        assert quota.over("AQ-0", 10, AT) == 0


class TestThinning:
    """Evidence beyond a quota ..."""

    def test_is_counted_into_the_last_of_its_kind(self) -> None:
        """Five stories, three too many: the first two stay, the last stands for three."""
        rows = [evidence("AQ-1", number) for number in range(5)]

        assert [(row.digest[-1], row.times, row.detail) for row in thin(rows, {"AQ-1": 3})] == [
            (0, 1, "story 0"),
            (1, 1, "story 1"),
            (4, 3, "one of 3: story 4"),
        ]

    def test_leaves_the_others_alone(self) -> None:
        """A flood of one meter costs nobody else a row."""
        rows = [evidence("AQ-1", 1), evidence("AQ-2", 2), evidence("AQ-1", 3)]

        assert [row.sender for row in thin(rows, {"AQ-1": 2})] == ["AQ-2", "AQ-1"]

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["", "AQ-1", "AQ-2"]),
                st.integers(1, 9),
                st.sampled_from([RefusalReason.BAD_SHAPE, RefusalReason.NOT_JSON]),
            ),
            max_size=40,
        ),
        st.dictionaries(st.sampled_from(["", "AQ-1"]), st.integers(0, 50)),
    )
    def test_loses_no_count(
        self, said: list[tuple[str, int, RefusalReason]], over: dict[str, int]
    ) -> None:
        """An operator sees how often, whatever was kept of it."""
        rows = [
            evidence(sender, number, times=times, reason=reason)
            for number, (sender, times, reason) in enumerate(said)
        ]
        kept = thin(rows, over)

        for key in {(row.sender, row.reason) for row in rows}:
            assert sum(row.times for row in kept if (row.sender, row.reason) == key) == sum(
                row.times for row in rows if (row.sender, row.reason) == key
            )
        for sender, many in over.items():
            mine = [row for row in rows if row.sender == sender]
            assert (
                len([row for row in kept if row.sender == sender]) <= max(len(mine) - many, 0) + 2
            )
