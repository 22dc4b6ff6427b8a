"""Letters: what each says, in three languages, and that nothing in them is left open."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from billing.bill import Bill, Charge, ChargeKind, Line, Quality
from billing.letter import Letter, LetterError, letter
from billing.letter_facts import Around, facts
from billing.message import Kind, Message
from billing.paper.words import Language
from billing.payee import Payee

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "letters"
TOLD = datetime(2026, 2, 1, 20, 0, tzinfo=UTC)
ABOUT: dict[str, Any] = {
    "bill_no": "2026-01",
    "attempt": 1,
    "mandate_id": "M-1",
    "amount_minor": 1_234_567,
    "currency": "KZT",
    "charge_on": "2026-02-25",
    "reason": "insufficient_funds",
    "retry_on": "2026-03-02",
}
MORE: dict[Kind, dict[str, Any]] = {
    Kind.REFUND: {"cause": "double_debit", "state": "requested"},
    Kind.ACCOUNT_CHANGE: {"step": "begun", "usable_at": "2026-02-05T04:00:00+00:00"},
    Kind.CONTACT_CHANGE: {"old": True},
}
PAYEE = Payee(
    name="Town Gas LLP", bin="940140000385", iban="KZ86125KZT5004100100", bic="KKMFKZ2A",
    bank="Bank of the Town", kbe="16", knp="859",
)  # fmt: skip


def line(line_no: int, **change: Any) -> Line:
    """Return a line of January: 100 m3 of gas at 6.4049 tenge."""
    known: dict[str, Any] = {
        "line_no": line_no,
        "meter_id": "AQ-000123",
        "supply_point_id": "SP-1",
        "from_at": datetime(2025, 12, 31, 19, tzinfo=UTC),
        "to_at": datetime(2026, 1, 31, 19, tzinfo=UTC),
        "opening_register_dm3": 1_200_000,
        "opening_read_at": datetime(2025, 12, 31, 18, tzinfo=UTC),
        "closing_register_dm3": 1_334_567,
        "closing_read_at": datetime(2026, 1, 31, 18, tzinfo=UTC),
        "volume_dm3": 100_000,
        "tariff_code": "household",
        "tariff_valid_from": date(2026, 1, 1),
        "net_minor_per_1000_m3": 640_490,
        "vat_rate_bp": 1_600,
        "net_minor": 64_049,
        "vat_minor": 10_248,
    }
    return Line(**known | change)


JANUARY = Bill(
    account_id="A-000123",
    bill_no="2026-01",
    period_start=date(2026, 1, 1),
    period_end=date(2026, 2, 1),
    revision=1,
    volume_dm3=134_567,
    net_minor=1_000_000,
    vat_minor=234_567,
    total_minor=1_234_567,
    currency="KZT",
    issued_at=TOLD,
    due_on=date(2026, 2, 25),
    lines=(line(1), line(2, volume_dm3=34_567, band_no=2, multiplier_bp=13_000)),
    charges=(
        Charge(
            charge_no=1, kind=ChargeKind.STANDING, from_day=date(2026, 1, 1),
            to_day=date(2026, 2, 1), tariff_code="household", tariff_valid_from=date(2026, 1, 1),
            line_no=None, quantity=31, detail={}, vat_rate_bp=1_600, net_minor=50_000,
            vat_minor=8_000,
        ),
    ),
)  # fmt: skip
AROUND = Around(
    zone="Asia/Almaty", bill=JANUARY, ending="4321", url="https://gas.example", payee=PAYEE
)


def written(kind: Kind, language: Language, around: Around = AROUND, **about: Any) -> Letter:
    message = Message(
        account_id="A-000123",
        message_id=f"{kind}/1",
        kind=kind,
        about=ABOUT | MORE.get(kind, {}) | about,
    )
    return letter(kind, language, facts(message, around, language, queued_at=TOLD))


def plain(text: str) -> str:
    """Return a text with the spaces that a keyboard has."""
    return text.replace("\u00a0", " ")


AMOUNTS = {
    Language.KK: "12 345,67 ₸",
    Language.RU: "12 345,67 ₸",
    Language.EN: "12,345.67 ₸",
}


class TestEveryLetter:
    """Every letter ..."""

    @pytest.mark.parametrize("language", list(Language))
    @pytest.mark.parametrize("kind", list(Kind))
    def test_is_written_in_every_language(self, kind: Kind, language: Language) -> None:
        """A subject of one line, words of that language, and the same words on the page."""
        told = written(kind, language)

        assert 0 < len(told.subject) <= 100
        assert "\n" not in told.subject
        shown = re.sub(r"<[^>]+>", "", told.html)
        for said in filter(None, told.text.splitlines()):
            assert said in shown.replace("&#39;", "'").replace("&#34;", '"'), said
        kazakh = set("әғқңөұүһі") & set(told.text.lower())
        cyrillic = re.search("[\u0430-\u044f]", told.text)
        assert (bool(kazakh), bool(cyrillic)) == {
            Language.KK: (True, True),
            Language.RU: (False, True),
            Language.EN: (False, False),
        }[language]

    @pytest.mark.parametrize("language", list(Language))
    @pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.CONTACT_CHANGE, Kind.ACCOUNT_CHANGE}))
    def test_about_money_names_the_amount_and_the_bill(
        self, kind: Kind, language: Language
    ) -> None:
        """In the subject, where it is read even when the mail is not opened."""
        told = written(kind, language)

        assert AMOUNTS[language] in plain(told.subject)
        assert "2026-01" in told.text
        assert "A-000123" in told.text

    @pytest.mark.parametrize("language", list(Language))
    @pytest.mark.parametrize("kind", list(Kind))
    def test_loads_nothing_and_runs_nothing(self, kind: Kind, language: Language) -> None:
        """A picture from elsewhere would tell somebody who opened which mail, and when."""
        page = written(kind, language).html

        assert not re.search(r"<(img|script|link|iframe|a|form)\b|src=|href=|url\(", page)

    @pytest.mark.parametrize("language", list(Language))
    @pytest.mark.parametrize("kind", list(Kind))
    def test_is_written_by_a_town_that_has_said_little(
        self, kind: Kind, language: Language
    ) -> None:
        """No payee, no address, no bank account yet, no bill: still a letter, without holes."""
        told = written(kind, language, Around(zone="Asia/Almaty"))

        assert "None" not in told.subject + told.text + told.html

    def test_escapes_what_people_wrote(self) -> None:
        """The name of the payee is a setting, and a page is not the place for its brackets."""
        payee = Payee(
            name="Gas <b>& Sons", bin=PAYEE.bin, iban=PAYEE.iban, bic=PAYEE.bic, bank="A <i>bank",
            kbe="16", knp="859",
        )  # fmt: skip
        told = written(Kind.NOTICE, Language.EN, Around(zone="Asia/Almaty", payee=payee))

        assert "Gas &lt;b&gt;&amp; Sons" in told.html
        assert "Gas <b>& Sons" in told.text

    def test_that_lacks_a_fact_is_not_written(self) -> None:
        """A hole in a letter about money is worse than a late letter."""
        with pytest.raises(LetterError, match="amount"):
            letter(Kind.RECEIPT, Language.EN, {})


class TestANotice:
    """A notice ..."""

    def test_says_everything_that_a_resident_can_check(self) -> None:
        """Amount, day, registers, prices, the bank account, and three ways to object."""
        told = written(Kind.NOTICE, Language.RU)

        assert plain(told.subject).startswith("25.02.2026")
        assert plain(told.text) == (VECTORS / "notice.ru.txt").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("language", "said"),
        [
            (Language.KK, "(есептік көрсеткіш)"),
            (Language.RU, "(расчётное показание)"),
            (Language.EN, "(estimated register)"),
        ],
    )
    def test_says_when_a_register_was_made_up(self, language: Language, said: str) -> None:
        """Nobody should have to look the bill up to learn that it was guessed."""
        guessed = replace(JANUARY, lines=(line(1, closing_quality=Quality.ESTIMATED),))

        assert said in written(Kind.NOTICE, language, replace(AROUND, bill=guessed)).text
        assert said not in written(Kind.NOTICE, language).text


class TestReasons:
    """A reason ..."""

    @pytest.mark.parametrize(
        ("kind", "reason", "said"),
        [
            (Kind.HOLD, "over_cap", "raise your limit, or pay the bill by yourself."),
            (Kind.HOLD, "anomaly", "the bill is much larger than usual"),
            (Kind.CORRECTION, "authorisation_disputed", "the consent to this debit is disputed"),
            (Kind.FAILED, "bank_account_closed", "the bank account is closed"),
            (Kind.FAILED, "a_word_of_tomorrow", "the bank named another reason"),
            (Kind.FAILED, "given_up_by_person", "we have given this debit up"),
            (Kind.FAILED, "unknown_cause", "the bank did not say why"),
            (Kind.FAILED, "validation_failed", "the bank did not accept our order"),
            (Kind.RETRY, "insufficient_funds", "there was not enough money on the account"),
        ],
    )
    def test_is_said_in_words(self, kind: Kind, reason: str, said: str) -> None:
        """A code of the bank tells a resident nothing; one we do not know is not shown."""
        told = written(kind, Language.EN, reason=reason)

        assert said in told.text
        assert "_" not in told.text

    @pytest.mark.parametrize("language", list(Language))
    def test_of_a_bank_that_asks_again_promises_no_day(self, language: Language) -> None:
        """We do not know it, and nothing of ours is asked meanwhile."""
        told = written(Kind.RETRY, language, reason="bank_retries", retry_on=None)

        assert "None" not in told.subject + told.text
        assert "2026-03-02" not in told.text
        assert "02.03.2026" not in told.text
        assert told.subject != written(Kind.RETRY, language).subject
        # Whoever paid by hand now would be debited as well.
        assert "KZ86125KZT5004100100" not in told.text

    @pytest.mark.parametrize("reason", ["over_month_cap", "disputed", "mandate_pending"])
    def test_that_goes_by_itself_waits_for_no_decision(self, reason: str) -> None:
        """The month ends, the bank agrees: the debit goes on, and its resident decided nothing."""
        told = written(Kind.HOLD, Language.EN, reason=reason)

        assert "until you have decided" not in told.text
        assert "a new notice comes before any debit" in told.text

    @pytest.mark.parametrize("language", list(Language))
    def test_of_what_was_taken_and_went_back_does_not_say_that_nothing_was_taken(
        self, language: Language
    ) -> None:
        """Its resident saw the money leave; true is that the bill is not paid."""
        told = written(Kind.FAILED, language, reason="authorisation_disputed")

        for untrue in ("not debited", "не списано", "алынбады"):
            assert untrue not in told.subject

    def test_of_a_refund_is_its_cause(self) -> None:
        """And each of its three letters says another thing."""
        told = {
            state: written(Kind.REFUND, Language.EN, state=state)
            for state in ("requested", "paid", "bounced")
        }

        assert "the bill was paid twice" in told["requested"].text
        assert [plain(one.subject) for one in told.values()] == [
            "12,345.67 ₸ goes back to you",
            "12,345.67 ₸ was given back",
            "12,345.67 ₸ could not be given back",
        ]


class TestAChange:
    """A change of the bank account ..."""

    def test_says_until_when_nothing_is_taken(self) -> None:
        """In the town's own time, with the way to stop it."""
        told = written(Kind.ACCOUNT_CHANGE, Language.EN)

        assert "before 2026-02-05 09:00;" in plain(told.text)
        assert "cancel the new consent in your account (https://gas.example)" in told.text
