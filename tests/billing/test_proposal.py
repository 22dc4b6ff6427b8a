"""Prices that one person proposes and another approves."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.io.proposals import PriceDesk
from billing.io.records import Records
from billing.io.store import BillingStore
from billing.money import Rounding
from billing.period import Calendar, Period
from billing.proposal import (
    Change,
    Outcome,
    PriceDayPastError,
    PriceDecidedError,
    PriceProposalUnknownError,
    Proposal,
    SecondPersonError,
    TariffCurrencyError,
    TariffEnd,
    TariffGapError,
    VatBilledError,
    VatKnownError,
    ended_by,
    same_person,
)
from billing.reconcile import reconcile
from billing.tariff import (
    Band,
    NormPer,
    Tariff,
    TariffBilledError,
    TariffOverlapError,
    TariffUnknownError,
    VatRate,
)
from tests.billing.town import Town

ZONE = "Asia/Almaty"
# Noon in the town on 10 February.
AT = datetime(2026, 2, 10, 7, tzinfo=UTC)
ORDER = "Committee, order 12"


def version(
    valid_from: str, valid_to: str | None = None, *, price: int = 640_490, currency: str = "KZT"
) -> Tariff:
    return Tariff(
        tariff_code="household",
        valid_from=date.fromisoformat(valid_from),
        valid_to=date.fromisoformat(valid_to) if valid_to else None,
        net_minor_per_1000_m3=price,
        currency=currency,
        approved_by="",
    )


def end(day: str, code: str = "household") -> TariffEnd:
    return TariffEnd(tariff_code=code, valid_to=date.fromisoformat(day))


def vat(day: str, rate_bp: int = 1800) -> VatRate:
    return VatRate(valid_from=date.fromisoformat(day), rate_bp=rate_bp)


# A version with everything a price can be made of.
EVERYTHING = replace(
    version("2026-03-01"),
    rounding=Rounding.HALF_EVEN,
    norm_per=NormPer.PERSON,
    heating_months=(1, 2, 3, 11, 12),
    standing_net_minor_per_1000_days=1_500_000,
    standing_net_minor_per_month=25_000,
    discount_bp=2_500,
    discount_norm=50_000,
    discount_norm_heating=90_000,
    bands=(
        Band(up_to=100_000, up_to_heating=200_000),
        Band(up_to=300_000, multiplier_bp=12_000),
        Band(up_to=None, net_minor=900_000),
    ),
)


def desk(pool: asyncpg.Pool) -> PriceDesk:
    return PriceDesk(pool=pool, calendar=Calendar(zone=ZONE))


async def propose(pool: asyncpg.Pool, change: Change, by: str = "Olga") -> Proposal:
    made, fresh = await desk(pool).propose(change, source=ORDER, by=by, at=AT)
    assert fresh
    return made


async def approve(pool: asyncpg.Pool, change: Change) -> None:
    made = await propose(pool, change)
    await desk(pool).approve(made.proposal_no, by="Aigul", at=AT)


async def listed(pool: asyncpg.Pool) -> list[tuple[date, date | None, str]]:
    """Return the versions in the list: from, to, and who approved each."""
    tariffs = await BillingStore(pool).tariffs()
    return [(one.valid_from, one.valid_to, one.approved_by) for one in tariffs]


@pytest.fixture
async def town(owner: asyncpg.Connection) -> Town:
    """Give a town whose one price has no end."""
    place = Town(owner)
    await place.tariff(640_490, "2025-01-01")
    return place


class TestTwoNames:
    """Two names ..."""

    @pytest.mark.parametrize(
        ("one", "two", "same"),
        [
            ("Olga", "Olga", True),
            ("Olga", " olga ", True),
            ("Olga  N.", "OLGA N.", True),
            ("Айгүл", "АЙГҮЛ", True),
            ("\uff2flga", "Olga", True),
            ("Olga", "Aigul", False),
        ],
    )
    def test_are_one_person_however_they_are_written(
        self, one: str, two: str, *, same: bool
    ) -> None:
        """Case, spaces and wide letters would be an easy way to be two people."""
        assert same_person(one, two) is same


class TestAVersionsPlace:
    """A new version ..."""

    def test_ends_the_open_one(self) -> None:
        """The open one goes on until the day on which the new one begins."""
        old = version("2025-01-01")

        assert ended_by(version("2026-03-01"), [old]) == old
        assert ended_by(version("2026-03-01"), []) is None

    @pytest.mark.parametrize(
        ("new", "others"),
        [
            (("2026-03-01", None), [("2025-01-01", "2026-03-02")]),
            (("2026-03-01", None), [("2026-03-01", None)]),
            (("2026-03-01", None), [("2026-05-01", None)]),
            (("2026-03-01", "2026-05-02"), [("2026-05-01", None)]),
            (("2026-03-01", "2026-04-01"), [("2025-01-01", "2027-01-01")]),
        ],
    )
    def test_leaves_no_day_with_two_prices(
        self, new: tuple[str, str | None], others: list[tuple[str, str | None]]
    ) -> None:
        """Two prices for one day would make a bill depend on luck."""
        with pytest.raises(TariffOverlapError, match="household already has a price"):
            ended_by(version(*new), [version(*one) for one in others])

    @pytest.mark.parametrize(
        ("new", "others", "told"),
        [
            (("2026-03-01", None), [("2025-01-01", "2026-02-20")], "2026-02-20 .* 2026-03-01"),
            (("2026-03-01", "2026-04-30"), [("2026-05-01", None)], "2026-04-30 .* 2026-05-01"),
        ],
    )
    def test_leaves_no_day_without_one(
        self, new: tuple[str, str | None], others: list[tuple[str, str | None]], told: str
    ) -> None:
        """The bills of those days would be held for ever; the words say which days."""
        with pytest.raises(TariffGapError, match=told):
            ended_by(version(*new), [version(*one) for one in others])

    def test_fits_exactly_between_two(self) -> None:
        """Day to day, nothing is left."""
        others = [version("2025-01-01", "2026-03-01"), version("2026-05-01")]

        assert ended_by(version("2026-03-01", "2026-05-01"), others) is None

    def test_keeps_the_currency(self) -> None:
        """Accounts in tenge would find no price any more."""
        with pytest.raises(TariffCurrencyError, match="KZT"):
            ended_by(version("2026-03-01", currency="EUR"), [version("2025-01-01")])


def taken(ends: list[tuple[int | None, int | None]]) -> bool:
    """Say whether a version with bands that end so can be made."""
    try:
        bands = [Band(up_to=one, up_to_heating=two) for one, two in ends]
        replace(version("2026-03-01"), bands=bands)
    except ValueError:
        return False
    return True


class TestBandTables:
    """A table of bands ..."""

    @given(
        st.lists(
            st.tuples(
                st.none() | st.integers(min_value=1, max_value=6),
                st.none() | st.integers(min_value=1, max_value=6),
            ),
            max_size=5,
        )
    )
    def test_is_taken_just_if_it_ascends_to_an_open_end(
        self, ends: list[tuple[int | None, int | None]]
    ) -> None:
        """In both seasons each bound lies above the one before, and only the last has none.

        Said here as: every amount of gas from nothing to far beyond lies in exactly one band, and
        in no month a band is empty.
        """
        sensible = True
        for season in (0, 1):
            bounds = [one[season] if one[season] is not None else one[0] for one in ends]
            low = 0
            for number, bound in enumerate(bounds, start=1):
                last = number == len(bounds)
                if bound is None or last:
                    sensible &= bound is None and last
                    break
                sensible &= bound > low
                low = bound
        sensible &= all(one is not None or two is None for one, two in ends)

        assert taken(ends) is sensible

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"up_to": 0}, "bound of a band"),
            ({"up_to": -5}, "bound of a band"),
            ({"up_to": 5, "up_to_heating": 0}, "bound of a band"),
            ({"up_to": 5, "net_minor": 1, "multiplier_bp": 12_000}, "not both"),
            ({"up_to": 5, "net_minor": -1}, "price of a band"),
            ({"up_to": 5, "multiplier_bp": -1}, "multiplier of a band"),
            ({"up_to": None, "up_to_heating": 5}, "ends in the other one too"),
        ],
    )
    def test_has_bands_with_a_meaning(self, wrong: dict[str, int], told: str) -> None:
        """Each mistake has its own words."""
        with pytest.raises(ValueError, match=told):
            Band(**wrong)


@pytest.mark.usefixtures("town")
class TestAProposal:
    """A proposed price ..."""

    async def test_changes_nothing_before_a_second_person_approves_it(
        self, pool: asyncpg.Pool
    ) -> None:
        """Then the open version ends and the new one stands, in one transaction, with its name."""
        made = await propose(pool, EVERYTHING)
        assert await listed(pool) == [(date(2025, 1, 1), None, "a test")]

        done, fresh = await desk(pool).approve(made.proposal_no, by="Aigul", at=AT)

        assert (done.state, fresh) == ("approved", True)
        assert await BillingStore(pool).tariffs() == (
            replace(version("2025-01-01", "2026-03-01"), approved_by="a test"),
            replace(EVERYTHING, approved_by="Aigul"),
        )

    async def test_keeps_every_part_of_the_price(self, pool: asyncpg.Pool) -> None:
        """What the second person reads is what the first one wrote."""
        made = await propose(pool, EVERYTHING)

        assert (await desk(pool).proposal(made.proposal_no)).change == EVERYTHING

    @pytest.mark.parametrize("by", ["Olga", " olga", "OLGA"])
    async def test_is_not_approved_by_its_proposer(self, pool: asyncpg.Pool, by: str) -> None:
        """Nobody slips in a price alone."""
        made = await propose(pool, version("2026-03-01"))

        with pytest.raises(SecondPersonError):
            await desk(pool).approve(made.proposal_no, by=by, at=AT)

        assert await listed(pool) == [(date(2025, 1, 1), None, "a test")]
        assert (await desk(pool).proposal(made.proposal_no)).state == "waiting"

    async def test_is_not_approved_by_its_proposer_whatever_our_code_believes(
        self, pool: asyncpg.Pool
    ) -> None:
        """The database says the same, also about a proposer who is given another name there."""
        made = await propose(pool, version("2026-03-01"))
        decide = "INSERT INTO price_decision VALUES ($1, $2, 'approved', NULL, $3, $4)"

        with pytest.raises(asyncpg.CheckViolationError, match="second_person_approves"):
            await pool.execute(decide, made.proposal_no, "Olga", "olga ", AT)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await pool.execute(decide, made.proposal_no, "Aigul", "Olga", AT)

    async def test_is_approved_once_by_two_at_the_same_time(self, pool: asyncpg.Pool) -> None:
        """One of two people wins; the other one reads that it was decided."""
        made = await propose(pool, version("2026-03-01"))

        answers = await asyncio.gather(
            desk(pool).approve(made.proposal_no, by="Aigul", at=AT),
            desk(pool).approve(made.proposal_no, by="Boris", at=AT),
            return_exceptions=True,
        )

        lost = [one for one in answers if isinstance(one, BaseException)]
        assert [type(one) for one in lost] == [PriceDecidedError]
        decided = (await desk(pool).proposal(made.proposal_no)).decision
        assert decided is not None
        assert [by for _, _, by in await listed(pool)] == ["a test", decided.decided_by]

    async def test_is_approved_or_refused_never_both(self, pool: asyncpg.Pool) -> None:
        """Whoever comes first decides, and the price stands exactly when it was approved."""
        made = await propose(pool, version("2026-03-01"))

        answers = await asyncio.gather(
            desk(pool).approve(made.proposal_no, by="Aigul", at=AT),
            desk(pool).refuse(made.proposal_no, because="an error", by="Boris", at=AT),
            return_exceptions=True,
        )

        assert [type(one) for one in answers if isinstance(one, BaseException)] == [
            PriceDecidedError
        ]
        state = (await desk(pool).proposal(made.proposal_no)).state
        assert (len(await listed(pool)) == 2) is (state == "approved")

    async def test_is_decided_again_without_effect_by_the_same_person(
        self, pool: asyncpg.Pool
    ) -> None:
        """A network that swallows an answer lets people press twice."""
        made = await propose(pool, version("2026-03-01"))
        again, fresh = await desk(pool).propose(
            version("2026-03-01"), source=ORDER, by="Olga", at=AT
        )
        assert (again, fresh) == (made, False)
        first, _ = await desk(pool).approve(made.proposal_no, by="Aigul", at=AT)
        second, fresh = await desk(pool).approve(made.proposal_no, by="Aigul", at=AT)
        assert (second, fresh) == (first, False)

    @pytest.mark.parametrize(
        ("by", "outcome"), [("Olga", Outcome.WITHDRAWN), ("Aigul", Outcome.REFUSED)]
    )
    async def test_is_turned_down_with_a_reason(
        self, pool: asyncpg.Pool, by: str, outcome: Outcome
    ) -> None:
        """The proposer withdraws, another refuses; both leave the price as it was."""
        made = await propose(pool, version("2026-03-01"))

        done, _ = await desk(pool).refuse(made.proposal_no, because="an error", by=by, at=AT)
        _, fresh = await desk(pool).refuse(made.proposal_no, because="an error", by=by, at=AT)

        assert done.decision is not None
        assert (done.decision.outcome, done.decision.because, fresh) == (outcome, "an error", False)
        with pytest.raises(PriceDecidedError, match=f"{outcome} by {by}"):
            await desk(pool).approve(made.proposal_no, by="Boris", at=AT)
        assert await listed(pool) == [(date(2025, 1, 1), None, "a test")]

    async def test_is_history_for_ever(self, pool: asyncpg.Pool) -> None:
        """Who proposed, who decided, how, when; newest first, in pages, or only what waits."""
        first = await propose(pool, version("2026-03-01"))
        await desk(pool).refuse(first.proposal_no, because="an error", by="Aigul", at=AT)
        await approve(pool, version("2026-04-01"))
        third = await propose(pool, end("2026-06-01"))

        found = await desk(pool).proposals(page=10)

        assert [(one.proposal_no, one.proposed_by, one.state) for one in found] == [
            (3, "Olga", "waiting"),
            (2, "Olga", "approved"),
            (1, "Olga", "refused"),
        ]
        assert await desk(pool).proposals(page=10, waiting=True) == [third]
        assert await desk(pool).proposals(page=1, before=2) == [found[2]]
        with pytest.raises(PriceProposalUnknownError):
            await desk(pool).approve(4, by="Aigul", at=AT)


class TestADay:
    """The day from which a change counts ..."""

    @pytest.mark.parametrize(
        "change",
        [version("2026-02-10"), version("2026-01-01"), end("2026-02-10"), vat("2026-02-10")],
    )
    @pytest.mark.usefixtures("town")
    async def test_is_still_to_come(self, pool: asyncpg.Pool, change: Change) -> None:
        """Today has begun: people use gas at today's price."""
        with pytest.raises(PriceDayPastError, match="2026-02-10"):
            await desk(pool).propose(change, source=ORDER, by="Olga", at=AT)

    @pytest.mark.usefixtures("town")
    async def test_is_the_town_s(self, pool: asyncpg.Pool) -> None:
        """At 20:00 in London the 11th has begun in Almaty."""
        late = datetime(2026, 2, 10, 20, tzinfo=UTC)

        with pytest.raises(PriceDayPastError):
            await desk(pool).propose(version("2026-02-11"), source=ORDER, by="Olga", at=late)
        await desk(pool).propose(version("2026-02-12"), source=ORDER, by="Olga", at=late)

    @pytest.mark.usefixtures("town")
    async def test_must_not_pass_while_a_proposal_waits(self, pool: asyncpg.Pool) -> None:
        """An approval that comes too late changes nothing; a new proposal names a new day."""
        made = await propose(pool, version("2026-02-11"))

        with pytest.raises(PriceDayPastError):
            await desk(pool).approve(
                made.proposal_no, by="Aigul", at=datetime(2026, 2, 10, 19, tzinfo=UTC)
            )

        assert await listed(pool) == [(date(2025, 1, 1), None, "a test")]

    async def test_was_not_billed(self, pool: asyncpg.Pool, town: Town) -> None:
        """A bill quotes its price and its tax; a clock that went back must not take them away."""
        await town.home("1", {"2026-01-01T00:00+05:00": 0, "2026-02-01T00:00+05:00": 10})
        early = datetime(2026, 1, 10, tzinfo=UTC)
        waiting = [
            (await desk(pool).propose(change, source=ORDER, by="Olga", at=early))[0]
            for change in (version("2026-01-15"), end("2026-01-31"), vat("2026-01-31"))
        ]
        await reconcile(
            store=BillingStore(pool),
            period=Period.month(2026, 1),
            at=datetime(2026, 2, 2, tzinfo=UTC),
            zone=ZONE,
        )

        for made, error in zip(
            waiting, (TariffBilledError, TariffBilledError, VatBilledError), strict=True
        ):
            with pytest.raises(error):
                await desk(pool).approve(made.proposal_no, by="Aigul", at=early)
        fine, _ = await desk(pool).propose(end("2026-02-01"), source=ORDER, by="Olga", at=early)
        await desk(pool).approve(fine.proposal_no, by="Aigul", at=early)

        assert await listed(pool) == [(date(2025, 1, 1), date(2026, 2, 1), "a test")]


@pytest.mark.usefixtures("town")
class TestTheListOfPrices:
    """The list of prices ..."""

    async def test_is_checked_again_when_a_second_person_approves(self, pool: asyncpg.Pool) -> None:
        """Two proposals for one day: the one approved later finds the day taken."""
        one = await propose(pool, version("2026-03-01", price=1))
        two = await propose(pool, version("2026-03-01", price=2), by="Boris")
        await desk(pool).approve(one.proposal_no, by="Aigul", at=AT)

        with pytest.raises(TariffOverlapError):
            await desk(pool).approve(two.proposal_no, by="Aigul", at=AT)

        assert (await desk(pool).proposal(two.proposal_no)).state == "waiting"

    async def test_ends_where_nothing_follows_yet(self, pool: asyncpg.Pool) -> None:
        """A version has one end, after its beginning; what follows begins exactly there."""
        with pytest.raises(TariffUnknownError):
            await desk(pool).propose(end("2026-03-01", "nobody"), source=ORDER, by="Olga", at=AT)
        await approve(pool, end("2026-03-01"))
        assert await listed(pool) == [(date(2025, 1, 1), date(2026, 3, 1), "a test")]
        with pytest.raises(TariffUnknownError):
            await desk(pool).propose(end("2026-04-01"), source=ORDER, by="Olga", at=AT)
        with pytest.raises(TariffGapError):
            await desk(pool).propose(version("2026-03-02"), source=ORDER, by="Olga", at=AT)

        await approve(pool, version("2026-03-01"))

        assert (await listed(pool))[1] == (date(2026, 3, 1), None, "Aigul")

    async def test_has_one_tax_a_day(self, pool: asyncpg.Pool) -> None:
        """A rate is proposed and approved like a price, and its document is kept with it."""
        await approve(pool, vat("2027-01-01"))

        assert (await BillingStore(pool).vat_rates())[-1] == vat("2027-01-01")
        assert (
            await pool.fetchval("SELECT source FROM vat_rate WHERE valid_from = '2027-01-01'")
            == ORDER
        )
        with pytest.raises(VatKnownError, match="2027-01-01"):
            await desk(pool).propose(vat("2027-01-01", 1), source=ORDER, by="Olga", at=AT)


async def set_up(
    pool: asyncpg.Pool, tariff: Tariff, approved_by: str = "Aigul"
) -> tuple[Proposal, bool]:
    return await desk(pool).set_up(
        replace(tariff, approved_by=approved_by), source=ORDER, proposed_by="Olga", at=AT
    )


class TestSettingUp:
    """Setting up a town on the machine itself ..."""

    async def test_gives_days_their_first_price(self, pool: asyncpg.Pool) -> None:
        """Also days that are over; both names are kept, and the same again changes nothing."""
        made, fresh = await set_up(pool, version("2025-01-01"))
        again, repeated = await set_up(pool, version("2025-01-01"))

        assert (fresh, repeated, again) == (True, False, made)
        assert (made.state, made.set_up, made.proposed_by) == ("approved", True, "Olga")
        assert await listed(pool) == [(date(2025, 1, 1), None, "Aigul")]

    async def test_takes_two_names(self, pool: asyncpg.Pool) -> None:
        """One person is not two on the machine either."""
        with pytest.raises(SecondPersonError):
            await set_up(pool, version("2025-01-01"), approved_by="OLGA")
        assert await listed(pool) == []

    @pytest.mark.usefixtures("town")
    @pytest.mark.parametrize("valid_from", ["2025-01-01", "2024-01-01", "2025-06-01", "2026-03-01"])
    async def test_changes_no_price_that_there_is(
        self, pool: asyncpg.Pool, valid_from: str
    ) -> None:
        """Not even one to come: what has a price goes through a proposal."""
        with pytest.raises(TariffOverlapError):
            await set_up(pool, version(valid_from, price=1))
        assert await listed(pool) == [(date(2025, 1, 1), None, "a test")]

    @pytest.mark.usefixtures("town")
    async def test_fills_the_days_before(self, pool: asyncpg.Pool) -> None:
        """Up to the first price, without a gap."""
        with pytest.raises(TariffGapError):
            await set_up(pool, version("2024-01-01", "2024-12-31"))
        await set_up(pool, version("2024-01-01", "2025-01-01"))

        assert (await listed(pool))[0] == (date(2024, 1, 1), date(2025, 1, 1), "Aigul")


class TestTheRecordOfABill:
    """The record of a bill ..."""

    async def test_says_who_proposed_and_who_approved_its_price(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A resident may ask who set the price; both names stand there."""
        await set_up(pool, version("2025-01-01"))
        await Town(owner).home("1", {"2026-01-01T00:00+05:00": 0, "2026-02-01T00:00+05:00": 10})
        await reconcile(store=BillingStore(pool), period=Period.month(2026, 1), at=AT, zone=ZONE)

        record = await Records(pool=pool, zone=ZONE).record("AC-1", "2026-01")

        [tariff] = record["tariffs"]
        assert (tariff["proposed_by"], tariff["approved_by"]) == ("Olga", "Aigul")
