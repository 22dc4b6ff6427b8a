"""Under a frozen mandate nothing is announced, recorded or sent until a person has looked."""

from datetime import timedelta

import asyncpg
import pytest

from billing.bank import Unknown
from billing.collect import RecordCounts
from billing.debit import KEY_WINDOW
from billing.io.breaks import BreakDesk, NotFrozenError
from billing.io.debits import Debits
from billing.io.recon import ReconBooks
from tests.billing.debit_town import ISSUED, TO_RECORD, DebitTown, recorded, sent, told
from tests.billing.fake_bank import LOST, FakeBank


@pytest.fixture
def books(pool: asyncpg.Pool) -> ReconBooks:
    return ReconBooks(pool=pool)


@pytest.fixture
def desk(pool: asyncpg.Pool) -> BreakDesk:
    return BreakDesk(pool=pool)


async def frozen(books: ReconBooks) -> bool:
    return await books.freeze("ACC-1", "M-1", because="payment PM-X is not ours", at=ISSUED)


async def lifted(desk: BreakDesk) -> None:
    at = TO_RECORD
    await desk.lift("ACC-1", "M-1", by="Aigul K.", because="the bank's mistake", at=at)


class TestAFrozenMandate:
    """Somebody may be taking money in our name; we do not take more before we know."""

    async def test_announces_nothing(
        self, town: DebitTown, store: Debits, books: ReconBooks
    ) -> None:
        """A notice is a promise to take money."""
        await town.home()
        await frozen(books)
        await told(store)

        assert not any("noticed" in one for one in await town.states())

    async def test_records_nothing(self, town: DebitTown, store: Debits, books: ReconBooks) -> None:
        """What was announced before is not ordered either."""
        await town.home()
        await told(store)
        await frozen(books)

        assert (await recorded(store)).recorded == 0

    async def test_sends_nothing(self, town: DebitTown, store: Debits, books: ReconBooks) -> None:
        """What was recorded before stays with us, and does not even wait for a lease."""
        bank = FakeBank()
        await town.home()
        await told(store)
        await recorded(store)
        await frozen(books)
        await sent(store, bank)

        assert bank.orders == []
        assert await town.states() == ["2026-01/1 recorded"]

    async def test_only_looks_for_what_may_have_been_sent(
        self, town: DebitTown, store: Debits, books: ReconBooks
    ) -> None:
        """The same order again is a second order if the bank has forgotten the first."""
        bank = FakeBank()
        bank.script.append(Unknown(reason="timeout"))
        await town.home()
        await told(store)
        await recorded(store)
        await sent(store, bank)
        await frozen(books)
        await sent(store, bank, TO_RECORD + timedelta(hours=1))
        await sent(store, bank, TO_RECORD + KEY_WINDOW + timedelta(days=1))

        assert len(bank.orders) == 1
        assert await town.states() == ["2026-01/1 unknown frozen"]

    async def test_finds_what_was_sent(
        self, town: DebitTown, store: Debits, books: ReconBooks
    ) -> None:
        """Looking costs nothing, and what is at the bank already is told as it is."""
        bank = FakeBank()
        bank.script.append("lost")
        await town.home()
        await told(store)
        await recorded(store)
        await sent(store, bank)
        await frozen(books)
        await sent(store, bank, TO_RECORD + timedelta(hours=1))

        assert (len(bank.orders), LOST.reason) == (1, "timeout")
        assert await town.states() == ["2026-01/1 accepted"]

    async def test_keeps_no_other_resident_waiting(
        self, town: DebitTown, store: Debits, books: ReconBooks
    ) -> None:
        """Somebody else's trouble is no reason."""
        await town.home()
        await town.account("ACC-2")
        await town.mandate("ACC-2", bank_mandate_id="MD2")
        await town.bill("ACC-2")
        await told(store)
        await frozen(books)

        assert await recorded(store) == RecordCounts(recorded=1, held=1)

    async def test_goes_on_when_a_person_lifts_it(
        self, town: DebitTown, store: Debits, books: ReconBooks, desk: BreakDesk
    ) -> None:
        """With his name and his reason; the resident is told anew or not at all."""
        bank = FakeBank()
        await town.home()
        await told(store)
        await recorded(store)
        await frozen(books)
        await sent(store, bank)
        await lifted(desk)
        await sent(store, bank)

        assert await town.states() == ["2026-01/1 accepted"]

    async def test_is_lifted_once(
        self, town: DebitTown, books: ReconBooks, desk: BreakDesk
    ) -> None:
        """Two people who lift it at once are told apart."""
        await town.home()
        await frozen(books)
        await lifted(desk)
        with pytest.raises(NotFrozenError):
            await lifted(desk)

    async def test_can_be_frozen_again(
        self, town: DebitTown, books: ReconBooks, desk: BreakDesk
    ) -> None:
        """A second payment that nobody knows is a second question."""
        await town.home()
        assert await frozen(books)
        assert not await frozen(books)
        await lifted(desk)

        again = TO_RECORD + timedelta(days=1)
        assert await books.freeze("ACC-1", "M-1", because="payment PM-Y is not ours", at=again)
