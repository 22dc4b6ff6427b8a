"""When the debit run stops, rule by rule, and whose word lets it go on."""

from datetime import UTC, date, datetime

import pytest

from billing.breaker import (
    Cause,
    Limits,
    Release,
    RunAmounts,
    RunOutcomes,
    SamePersonError,
    Stop,
    StopReleasedError,
    check_release,
    judge_amounts,
    judge_days,
    judge_outcomes,
    judge_total,
)

AT = datetime(2026, 2, 3, 4, 0, tzinfo=UTC)
LIMITS = Limits()


def amounts(
    *, compared: int = 100, high: int = 0, now_minor: int = 100, usual_minor: int = 100
) -> RunAmounts:
    return RunAmounts(
        currency="KZT",
        compared=compared,
        high=high,
        seasonal=compared,
        now_minor=now_minor,
        usual_minor=usual_minor,
    )


def stop(*released_by: str) -> Stop:
    return Stop(
        stop_no=1,
        cause=Cause.AMOUNTS,
        facts={},
        stopped_by=None,
        because=None,
        stopped_at=AT,
        releases=[Release(released_by=by, because="seen", released_at=AT) for by in released_by],
    )


class TestAmounts:
    """Bills far above what their accounts are used to ..."""

    def test_stop_the_run_beyond_a_share(self) -> None:
        """Five of a hundred are odd cases, six are a mistake of ours."""
        assert judge_amounts(amounts(high=5), LIMITS) is None
        trip = judge_amounts(amounts(high=6), LIMITS)
        assert trip is not None
        assert trip.facts == {
            "currency": "KZT",
            "compared": 100,
            "high": 6,
            "high_percent_max": 5,
        }

    def test_are_no_share_where_few_can_be_compared(self) -> None:
        """A new town has no history, and must be able to begin."""
        assert judge_amounts(amounts(compared=19, high=19), LIMITS) is None
        assert judge_amounts(amounts(compared=20, high=2), LIMITS) is not None
        assert judge_amounts(amounts(compared=0, usual_minor=0, now_minor=0), LIMITS) is None


class TestTotal:
    """The sum of a run ..."""

    def test_stops_it_when_it_is_far_from_the_season(self) -> None:
        """Twice the last year's, or a quarter of it: no winter is that much of another one."""
        for now_minor in (25, 100, 200):
            assert judge_total(amounts(now_minor=now_minor), LIMITS) is None
        for now_minor in (24, 201):
            assert judge_total(amounts(now_minor=now_minor), LIMITS) is not None

    def test_is_nothing_without_another_year(self) -> None:
        """A new town again."""
        assert judge_total(amounts(compared=19, now_minor=9_999), LIMITS) is None


class TestOutcomes:
    """What became of debits ..."""

    def test_stops_the_run_when_a_quarter_comes_back(self) -> None:
        """A bank that returns everything, or a list of mandates that is not ours."""
        calm = RunOutcomes(ended=20, failed=5, sent=20, unknown=4)
        assert judge_outcomes(calm, LIMITS) == ()
        (trip,) = judge_outcomes(RunOutcomes(ended=20, failed=6, sent=20, unknown=4), LIMITS)
        assert (trip.cause, trip.facts) == (Cause.FAILURES, {"ended": 20, "failed": 6})

    def test_stops_the_run_when_a_fifth_is_not_heard_of(self) -> None:
        """Whoever does not know what he has ordered orders no more."""
        (trip,) = judge_outcomes(RunOutcomes(ended=20, failed=5, sent=20, unknown=5), LIMITS)
        assert (trip.cause, trip.facts) == (Cause.UNKNOWN, {"sent": 20, "unknown": 5})

    def test_says_nothing_of_a_few(self) -> None:
        """One of two failed: a resident without money, and no fault of the bank."""
        assert judge_outcomes(RunOutcomes(ended=19, failed=19, sent=19, unknown=19), LIMITS) == ()


class TestDays:
    """Books that nobody compares ..."""

    def test_stop_the_run_after_five_days(self) -> None:
        """A long weekend passes; a week without a look does not."""
        for today, stops in ((date(2026, 2, 8), False), (date(2026, 2, 9), True)):
            trip = judge_days(
                compared_until=date(2026, 2, 3), released_on=None, today=today, limits=LIMITS
            )
            assert (trip is not None) is stops

    def test_do_not_stop_it_where_nobody_has_begun(self) -> None:
        """The first month comes before the first statement."""
        found = judge_days(
            compared_until=None, released_on=None, today=date(2026, 2, 9), limits=LIMITS
        )
        assert found is None

    def test_stop_it_again_after_another_five_days(self) -> None:
        """A release is a word on the days until then, not on all to come."""
        for today, stops in ((date(2026, 2, 14), False), (date(2026, 2, 15), True)):
            trip = judge_days(
                compared_until=date(2026, 2, 3),
                released_on=date(2026, 2, 9),
                today=today,
                limits=LIMITS,
            )
            assert (trip is not None) is stops


class TestRelease:
    """Letting a run go on ..."""

    def test_takes_two_people(self) -> None:
        """The first word alone changes nothing."""
        assert stop().is_open
        assert stop("Olga N.").is_open
        assert not stop("Olga N.", "Aigul K.").is_open

    @pytest.mark.parametrize("name", ["Olga N.", "olga n.", "  Olga   N. ", "\uff2flga N."])
    def test_takes_two_different_people(self, name: str) -> None:
        """Case, spaces and forms of a letter make no second person."""
        with pytest.raises(SamePersonError):
            check_release(stop("Olga N."), name)

    def test_happens_once(self) -> None:
        """A third word has nothing to release."""
        with pytest.raises(StopReleasedError):
            check_release(stop("Olga N.", "Aigul K."), "Dana")


class TestLimits:
    """The figures of the rules ..."""

    def test_are_said_by_name(self) -> None:
        """Those not named stay as they are."""
        said = Limits.parse("season=400, days=7")
        assert said == Limits(season_percent=400, unreconciled_days=7)
        assert Limits.parse("  ") == Limits()

    @pytest.mark.parametrize(
        "text",
        [
            *("high=0", "high=100", "season=100", "days=0", "counted=0", "speed=9", "high"),
            *("high=1,high=2", "high=5.5", "high=-5", "high=\u0665", "total=99999999", ","),
        ],
    )
    def test_are_refused_when_they_make_no_sense(self, text: str) -> None:
        """A typing error must not mean that nothing ever stops the run."""
        with pytest.raises(ValueError, match=r"."):
            Limits.parse(text)
