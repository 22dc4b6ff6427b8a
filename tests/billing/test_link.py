"""Linking a bank account, against a real database and a bank that can break off anywhere."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest

from billing.bank import BankEvent, BankSilentError, MandateStatus
from billing.enrol import (
    MandateEndedError,
    NoSuchMandateError,
    cancel,
    change_caps,
    pause,
    resume,
)
from billing.io.debits import Debits
from billing.link import (
    ForeignMandateError,
    Link,
    MandateExistsError,
    NoSuchAccountError,
    finish_link,
    refresh_link,
    start_link,
)
from billing.mandate import Caps, Enrolment, Mandate, State
from billing.withdraw import withdraw
from tests.billing.debit_town import ISSUED, DebitTown, followed
from tests.billing.fake_bank import FakeBank

CAPS = Caps(payment_minor_max=100_000, month_minor_max=200_000)
BACK = "https://gas.test/v1/mandates/return?lang=kk"


class Numbers:
    """Unguessable names that a test can guess: 0...01, 0...02, and so on."""

    def __init__(self) -> None:
        self._next: Iterator[int] = count(1)

    def token_hex(self, nbytes: int, /) -> str:
        """Return the next number, as long as a real one."""
        return f"{next(self._next):0{2 * nbytes}x}"


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


@pytest.fixture
def tokens() -> Numbers:
    return Numbers()


class Resident:
    """Somebody who links the account ACC-1."""

    def __init__(self, store: Debits, bank: FakeBank, tokens: Numbers) -> None:
        self.store, self.bank, self.tokens = store, bank, tokens

    async def start(self, *, caps: Caps = CAPS, days: int = 0) -> Link:
        """Ask for the bank's page."""
        return await start_link(
            store=self.store,
            bank=self.bank,
            account_id="ACC-1",
            caps=caps,
            scheme="kz_direct",
            return_url=BACK,
            at=ISSUED + timedelta(days=days),
            tokens=self.tokens,
        )

    async def come_back(self) -> Mandate:
        """Follow the address that the bank's page leads back to."""
        address, _ = self.bank.flows[-1]
        (word,) = parse_qs(urlsplit(address).query)["link"]
        return await finish_link(store=self.store, bank=self.bank, secret=word, at=ISSUED)


async def mandates(town: DebitTown) -> list[str]:
    """Return all mandates as "account state name at the bank"."""
    rows = await town.owner.fetch(
        "SELECT account_id, state, bank_mandate_id FROM mandate ORDER BY account_id"
    )
    return [" ".join(filter(None, row)) for row in rows]


@pytest.fixture
async def resident(town: DebitTown, store: Debits, bank: FakeBank, tokens: Numbers) -> Resident:
    await town.account()
    return Resident(store, bank, tokens)


class TestStart:
    """Starting a link ..."""

    async def test_leads_to_the_banks_page(self, resident: Resident, town: DebitTown) -> None:
        """Row, request, flow, address: and the caps are kept."""
        link = await resident.start()

        assert link.authorisation_url == "https://bank.test/flow/BRF1"
        row = await town.owner.fetchrow("SELECT * FROM mandate")
        assert row is not None
        assert row["mandate_id"] == link.mandate_id
        assert (row["state"], row["enrolment"]) == ("invited", "active")
        assert (row["payment_minor_max"], row["month_minor_max"]) == (100_000, 200_000)
        assert (row["bank_request_id"], row["bank_flow_id"]) == ("BRQ1", "BRF1")

    async def test_keeps_no_word_that_opens_anything(
        self, resident: Resident, town: DebitTown
    ) -> None:
        """The word stands in the address only; of it we keep the digest."""
        await resident.start()
        address, _ = resident.bank.flows[-1]
        fields = parse_qs(urlsplit(address).query)

        assert fields["lang"] == ["kk"]
        assert await town.owner.fetchval(
            "SELECT sha256($1) = return_digest FROM mandate", fields["link"][0].encode()
        )
        row = await town.owner.fetchrow("SELECT * FROM mandate")
        assert fields["link"][0] not in str(row)

    async def test_goes_on_where_it_broke_off(self, resident: Resident, town: DebitTown) -> None:
        """The bank is silent after our row was written; the next call asks under the same key."""
        resident.bank.silent = True
        with pytest.raises(BankSilentError):
            await resident.start()
        resident.bank.silent = False

        await resident.start()

        assert await town.owner.fetchval("SELECT count(*) FROM mandate") == 1
        assert len(resident.bank.requests) == 1

    async def test_makes_one_request_when_its_answer_is_lost(
        self, resident: Resident, town: DebitTown, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The bank made the request and stayed silent; the same key finds it again."""
        inner = resident.bank.create_billing_request

        async def lost(**wanted: str) -> object:
            await inner(**wanted)
            raise BankSilentError("timeout")

        with monkeypatch.context() as patch:
            patch.setattr(resident.bank, "create_billing_request", lost)
            with pytest.raises(BankSilentError):
                await resident.start()

        await resident.start()

        assert list(resident.bank.requests) == ["BRQ1"]
        assert await town.owner.fetchval("SELECT bank_request_id FROM mandate") == "BRQ1"

    async def test_hands_out_the_same_address_twice(self, resident: Resident) -> None:
        """A double click opens one page."""
        assert await resident.start() == await resident.start()
        assert len(resident.bank.flows) == 1

    async def test_opens_a_new_page_when_the_old_one_has_expired(self, resident: Resident) -> None:
        """The bank's page lasts seven days; its successor is for the same request."""
        first = await resident.start()

        second = await resident.start(days=7)

        assert second.mandate_id == first.mandate_id
        assert second.authorisation_url == "https://bank.test/flow/BRF2"
        assert list(resident.bank.requests) == ["BRQ1"]

    async def test_begins_anew_when_the_bank_has_dropped_the_request(
        self, resident: Resident, town: DebitTown
    ) -> None:
        """A request that is over at the bank is no invitation any more."""
        first = await resident.start()
        await resident.bank.cancel_billing_request("BRQ1")

        second = await resident.start(days=7)

        assert second.mandate_id != first.mandate_id
        rows = await town.owner.fetch("SELECT state FROM mandate ORDER BY mandate_id")
        assert [row["state"] for row in rows] == ["cancelled", "invited"]

    async def test_takes_the_caps_of_the_last_call(
        self, resident: Resident, town: DebitTown
    ) -> None:
        """The resident thought again before he agreed."""
        await resident.start()
        await resident.start(caps=Caps(payment_minor_max=5, month_minor_max=6))

        assert await town.owner.fetchval("SELECT month_minor_max FROM mandate") == 6

    async def test_is_refused_when_the_account_is_linked(self, resident: Resident) -> None:
        """Two mandates for one account would be two debits."""
        await resident.start()
        resident.bank.agree("BRQ1")
        await resident.come_back()

        with pytest.raises(MandateExistsError):
            await resident.start()

    async def test_makes_one_mandate_from_many_clicks(
        self, resident: Resident, town: DebitTown
    ) -> None:
        """Ten at once: one row, one request, and whoever was late is told the same page."""
        outcomes = await asyncio.gather(
            *(resident.start() for _ in range(10)), return_exceptions=True
        )

        links = {outcome for outcome in outcomes if isinstance(outcome, Link)}
        assert len(links) == 1
        assert all(isinstance(one, Link | MandateExistsError) for one in outcomes)
        assert await town.owner.fetchval("SELECT count(*) FROM mandate") == 1
        assert len(resident.bank.requests) == 1

    async def test_needs_an_account(self, store: Debits, bank: FakeBank, tokens: Numbers) -> None:
        """Nobody is asked for a permission that belongs to no account."""
        with pytest.raises(NoSuchAccountError):
            await Resident(store, bank, tokens).start()


class TestFinish:
    """Coming back from the bank ..."""

    async def test_makes_the_mandate_active(self, resident: Resident) -> None:
        """Of the account number four characters are kept, to be recognised by its owner."""
        await resident.start()
        resident.bank.agree("BRQ1")

        mandate = await resident.come_back()

        assert (mandate.state, mandate.bank_mandate_id) == (State.ACTIVE, "MD1")
        assert mandate.account_number_ending == "9876"

    async def test_twice_is_the_same(self, resident: Resident) -> None:
        """The resident reloads the page."""
        await resident.start()
        resident.bank.agree("BRQ1")

        assert await resident.come_back() == await resident.come_back()

    async def test_without_agreement_changes_nothing(self, resident: Resident) -> None:
        """He turned back; the invitation stands."""
        await resident.start()

        assert (await resident.come_back()).state is State.INVITED

    async def test_after_the_request_was_dropped_ends_the_invitation(
        self, resident: Resident
    ) -> None:
        """What is over at the bank is over here."""
        await resident.start()
        await resident.bank.cancel_billing_request("BRQ1")

        assert (await resident.come_back()).state is State.CANCELLED

    async def test_waits_for_the_bank(self, resident: Resident) -> None:
        """Agreed, but not active yet: nothing may be debited."""
        await resident.start()
        resident.bank.agree("BRQ1")
        resident.bank.mandates["MD1"] = type(resident.bank.mandates["MD1"])(
            bank_mandate_id="MD1", status=MandateStatus.PENDING_SUBMISSION, bank_account_id=None
        )

        assert (await resident.come_back()).state is State.PENDING

    async def test_with_an_invented_word_leads_nowhere(self, resident: Resident) -> None:
        """Nothing of another resident is shown to somebody who guesses."""
        await resident.start()

        with pytest.raises(NoSuchMandateError):
            await finish_link(store=resident.store, bank=resident.bank, secret="guessed", at=ISSUED)

    async def test_never_takes_the_mandate_of_another_customer(
        self, resident: Resident, town: DebitTown
    ) -> None:
        """The bank mixed two of them up: a neighbour would pay for this gas, or lose his mandate.

        Nothing is kept of it, and nothing is ended under it either when the resident gives up.
        """
        await town.home("ACC-2")
        link = await resident.start()
        resident.bank.agree("BRQ1", "MD1")

        with pytest.raises(ForeignMandateError):
            await resident.come_back()

        assert await mandates(town) == ["ACC-1 invited", "ACC-2 active MD1"]
        await cancel(
            store=resident.store, account_id="ACC-1", mandate_id=link.mandate_id, at=ISSUED
        )
        counts = await withdraw(store=resident.store, bank=resident.bank, at=ISSUED, limit=9)
        assert counts.silent == 1
        assert resident.bank.mandates["MD1"].status is MandateStatus.ACTIVE
        assert await mandates(town) == ["ACC-1 invited", "ACC-2 active MD1"]

    async def test_puts_the_mandate_of_another_customer_before_a_person(
        self, resident: Resident, town: DebitTown
    ) -> None:
        """The event is set aside with its trouble, and the list goes on behind it."""
        await town.home("ACC-2")
        await resident.start()
        resident.bank.agree("BRQ1", "MD1")
        fulfilled = {"resource": "billing_requests", "action": "fulfilled"}
        for number in (1, 2):
            links = {"billing_request": "BRQ1"} if number == 1 else {}
            resident.bank.events.append(BankEvent(event_id=f"EV{number}", links=links, **fulfilled))

        counts = await followed(resident.store, resident.bank)

        assert counts.unknown == 2
        kept = await town.owner.fetch("SELECT event_id, trouble FROM bank_hint ORDER BY event_id")
        assert [tuple(row) for row in kept] == [("EV1", "mandate_of_another"), ("EV2", "no_link")]
        assert await resident.store.bank_cursor() == "EV2"
        assert await mandates(town) == ["ACC-1 invited", "ACC-2 active MD1"]

    async def test_is_not_needed(self, resident: Resident, town: DebitTown) -> None:
        """The browser was closed on the bank's page; the bank's events bring the news."""
        await resident.start()
        resident.bank.agree("BRQ1")
        resident.bank.events.append(
            BankEvent(
                event_id="EV1",
                resource="billing_requests",
                action="fulfilled",
                links={"billing_request": "BRQ1"},
            )
        )

        counts = await followed(resident.store, resident.bank)

        assert counts.moved == 1
        assert await town.owner.fetchval("SELECT state FROM mandate") == "active"

    async def test_may_be_asked_for_by_name(self, resident: Resident) -> None:
        """The resident opens the app again instead of coming back."""
        link = await resident.start()
        resident.bank.agree("BRQ1")

        mandate = await refresh_link(
            store=resident.store,
            bank=resident.bank,
            account_id="ACC-1",
            mandate_id=link.mandate_id,
            at=ISSUED,
        )

        assert mandate.state is State.ACTIVE


class TestWishes:
    """What a resident wants ..."""

    async def test_is_done_twice_as_well_as_once(self, town: DebitTown, store: Debits) -> None:
        """Pause, pause, resume, resume, cancel, cancel: no call is wrong."""
        await town.home()
        wishes = []
        for wish in (pause, pause, resume, resume, cancel, cancel):
            changed = await wish(store=store, account_id="ACC-1", mandate_id="M-1", at=ISSUED)
            wishes.append(changed.mandate.enrolment)

        assert wishes == [
            Enrolment.PAUSED,
            Enrolment.PAUSED,
            Enrolment.ACTIVE,
            Enrolment.ACTIVE,
            Enrolment.CANCELLED,
            Enrolment.CANCELLED,
        ]

    @pytest.mark.parametrize("wish", [pause, resume])
    async def test_revives_no_cancelled_mandate(
        self, town: DebitTown, store: Debits, wish: object
    ) -> None:
        """No means no until a new yes."""
        await town.home()
        await cancel(store=store, account_id="ACC-1", mandate_id="M-1", at=ISSUED)

        with pytest.raises(MandateEndedError):
            await wish(store=store, account_id="ACC-1", mandate_id="M-1", at=ISSUED)  # type: ignore[operator]  # either of the two

    @pytest.mark.parametrize("wish", [pause, resume, cancel])
    async def test_reaches_nobody_elses_mandate(
        self, town: DebitTown, store: Debits, wish: object
    ) -> None:
        """The name of a mandate is worth nothing with another account."""
        await town.home()
        await town.account("ACC-2")

        with pytest.raises(NoSuchMandateError):
            await wish(store=store, account_id="ACC-2", mandate_id="M-1", at=ISSUED)  # type: ignore[operator]  # any of the three

    async def test_sets_no_caps_on_what_is_over(self, town: DebitTown, store: Debits) -> None:
        """Caps of a cancelled mandate would promise something."""
        await town.home()
        await cancel(store=store, account_id="ACC-1", mandate_id="M-1", at=ISSUED)

        with pytest.raises(MandateEndedError):
            await change_caps(
                store=store, account_id="ACC-1", mandate_id="M-1", caps=CAPS, at=ISSUED
            )

    async def test_ends_an_invitation(self, resident: Resident, town: DebitTown) -> None:
        """Cancelled before the bank's page was used: the page is taken back as well."""
        link = await resident.start()
        await cancel(
            store=resident.store, account_id="ACC-1", mandate_id=link.mandate_id, at=ISSUED
        )

        await withdraw(store=resident.store, bank=resident.bank, at=ISSUED, limit=9)

        assert resident.bank.requests["BRQ1"].cancelled
        assert await town.owner.fetchval("SELECT state FROM mandate") == "cancelled"

    async def test_ends_a_mandate_agreed_to_after_the_cancelling(
        self, resident: Resident, town: DebitTown
    ) -> None:
        """The page stood open in another window; what came of it is ended at the bank."""
        link = await resident.start()
        await cancel(
            store=resident.store, account_id="ACC-1", mandate_id=link.mandate_id, at=ISSUED
        )
        resident.bank.agree("BRQ1")

        await withdraw(store=resident.store, bank=resident.bank, at=ISSUED, limit=9)

        assert resident.bank.mandates["MD1"].status is MandateStatus.CANCELLED
        assert await town.owner.fetchval("SELECT state FROM mandate") == "cancelled"

    async def test_lets_the_account_be_linked_again(self, resident: Resident) -> None:
        """A new start after the cancelling is a new mandate with a new request."""
        first = await resident.start()
        await cancel(
            store=resident.store, account_id="ACC-1", mandate_id=first.mandate_id, at=ISSUED
        )

        second = await resident.start()

        assert second.mandate_id != first.mandate_id
        assert list(resident.bank.requests) == ["BRQ1", "BRQ2"]
