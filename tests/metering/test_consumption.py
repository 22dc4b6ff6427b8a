"""Gas used, derived again from readings."""

from datetime import UTC, datetime, timedelta

import pytest

from metering.consumption import register_at, volume_dm3
from metering.installation import Installation
from metering.reading import Mark

MONTH = datetime(2026, 2, 1, tzinfo=UTC)
INSTALLATION = Installation(
    meter_id="AQ-1",
    installed_at=datetime(2026, 1, 10, tzinfo=UTC),
    account_id="A-1",
    supply_point_id="SP-1",
    opening_dm3=100,
    removed_at=datetime(2026, 3, 10, tzinfo=UTC),
    closing_dm3=900,
    closing_turns=2,
)


def before(hours: float, register_dm3: int) -> Mark:
    """Return a mark that stands so many hours before the month."""
    return Mark(read_at=MONTH - timedelta(hours=hours), register_dm3=register_dm3, turns=0)


class TestRegisterAt:
    """The register that stands for a boundary ..."""

    @pytest.mark.parametrize(
        ("billable", "expected"),
        [
            ([before(0, 500)], 500),
            ([before(23.99, 400)], 400),
            ([before(24, 400)], None),
            ([before(-0.01, 600)], None),
            ([before(3, 450), before(1, 480), before(2, 470)], 480),
            ([], None),
        ],
    )
    def test_is_the_latest_of_the_last_day(
        self, billable: list[Mark], expected: int | None
    ) -> None:
        """Younger than 24 hours, not later than the boundary."""
        found = register_at(MONTH, installation=INSTALLATION, chained={}, billable=billable)

        assert (found.register_dm3 if found else None) == expected

    def test_is_the_one_already_billed_from(self) -> None:
        """A better reading that came later must not make gas vanish between two bills."""
        billed = before(5, 430)

        found = register_at(
            MONTH, installation=INSTALLATION, chained={MONTH: billed}, billable=[before(0, 500)]
        )

        assert found == billed

    def test_is_the_installations_own_at_its_ends(self) -> None:
        """The opening and the closing were written down by a person standing there."""
        installed_at = INSTALLATION.installed_at
        odd = Mark(read_at=installed_at, register_dm3=7, turns=0)

        opening = register_at(installed_at, installation=INSTALLATION, chained={}, billable=[odd])
        removed_at = datetime(2026, 3, 10, tzinfo=UTC)
        closing = register_at(removed_at, installation=INSTALLATION, chained={}, billable=[odd])

        assert opening == Mark(read_at=installed_at, register_dm3=100, turns=0)
        assert closing == Mark(read_at=removed_at, register_dm3=900, turns=2)

    def test_is_never_another_installations(self) -> None:
        """The same meter hung elsewhere yesterday; that gas is the other home's."""
        elsewhere = Mark(
            read_at=INSTALLATION.installed_at - timedelta(hours=1), register_dm3=50, turns=0
        )

        found = register_at(
            INSTALLATION.installed_at + timedelta(hours=1),
            installation=INSTALLATION,
            chained={},
            billable=[elsewhere],
        )

        assert found is None


class TestVolume:
    """The gas between two marks ..."""

    def test_counts_the_turns(self) -> None:
        """From 99,000 to 500 two turns later, on a dial of 100,000: 101,500."""
        opening = Mark(read_at=MONTH, register_dm3=99_000, turns=1)
        closing = Mark(read_at=MONTH, register_dm3=500, turns=3)

        assert volume_dm3(opening=opening, closing=closing, dial_dm3=100_000) == 101_500

    def test_is_never_negative(self) -> None:
        """That would be money given away; better to be told."""
        high = Mark(read_at=MONTH, register_dm3=500, turns=0)
        low = Mark(read_at=MONTH, register_dm3=499, turns=0)

        with pytest.raises(ValueError, match="below"):
            volume_dm3(opening=high, closing=low, dial_dm3=100_000)
