"""Orders to a bank without an API, and its answers, against the published schemas."""

from dataclasses import replace
from datetime import date
from importlib.resources import files

import pytest
import xmlschema

from billing.iso.document import FieldError, NotXmlError, VersionError
from billing.iso.pain002 import OrderNews, OrderStatus
from billing.iso.pain002 import read as read_status
from billing.iso.pain008 import (
    Creditor,
    OrderError,
    Payer,
    PayerError,
    order_id,
    order_of,
    read,
    write,
)
from billing.iso.reasons import CAUSES, cause_of, is_chargeback
from tests.billing.statement_file import emitted

KEY = "debit:v1:ACC-1:2026-01:1"
BODY = (
    b'{"payments":{"amount":74297,"charge_date":"2026-02-25","currency":"EUR","description":'
    b'"Gas 2026-01","links":{"mandate":"MD1"},"metadata":{"intent":"debit:v1:ACC-1:2026-01:1"},'
    b'"retry_if_possible":false}}'
)
PAYER = Payer(
    bank_mandate_id="MD1",
    name="Aigul <N> & Söhne",
    iban="DE89370400440532013000",
    signed_on=date(2025, 12, 1),
)
CREDITOR = Creditor(
    name="Aqkol Gas",
    iban="FR1420041010050500013M02606",
    bic="COBADEFFXXX",
    scheme_id="DE98ZZZ09999999999",
)
# "AQ" and the first 32 digits of the SHA-256 of the key, by sha256sum.
NAME = "AQ2324E1D64B668A75A827163986D9F150"


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    """Return the published schema, as the package sepaxml carries it."""
    text = files("sepaxml").joinpath("schemas/pain.008.001.08.xsd").read_text(encoding="utf-8")
    return xmlschema.XMLSchema(text)


class TestAnOrder:
    """A debit as a file."""

    def test_follows_the_published_schema(self, schema: xmlschema.XMLSchema) -> None:
        """A bank's first answer to anything else is no."""
        schema.validate(write(order_of(BODY, KEY), PAYER, CREDITOR).decode())

    def test_would_be_refused_without_its_account(self, schema: xmlschema.XMLSchema) -> None:
        """The schema is really asked."""
        data = write(order_of(BODY, KEY), PAYER, CREDITOR).decode()
        with pytest.raises(xmlschema.XMLSchemaValidationError):
            schema.validate(data.replace("<IBAN>DE89370400440532013000</IBAN>", ""))

    def test_is_the_same_bytes_for_ever(self) -> None:
        """Whoever writes it again after a crash must not give the bank another file."""
        one = write(order_of(BODY, KEY), PAYER, CREDITOR)

        assert one == write(order_of(BODY, KEY), PAYER, CREDITOR)
        assert one.count(NAME.encode()) == 3

    def test_has_one_name_in_every_place(self) -> None:
        """At whatever level the bank answers, it names the order; another attempt has another."""
        assert order_id(KEY) == NAME
        assert len(order_id(KEY)) <= 35
        assert order_id(KEY) != order_id("debit:v1:ACC-1:2026-01:2")

    def test_reads_back_as_it_was_ordered(self) -> None:
        """What the bank holds is compared with what was ordered, from the file itself."""
        found = read(write(order_of(BODY, KEY), PAYER, CREDITOR))

        assert found == order_of(BODY, KEY)
        assert (found.amount_minor, found.currency) == (74_297, "EUR")
        assert (found.key, found.bank_mandate_id) == (KEY, "MD1")
        assert found.charge_on == date(2026, 2, 25)

    @pytest.mark.parametrize("amount_minor", [1, 10, 100, 101, 999_999_999_999])
    def test_keeps_every_tiyn(self, schema: xmlschema.XMLSchema, amount_minor: int) -> None:
        """Amounts are written with two digits, and the sum of one is itself."""
        order = replace(order_of(BODY, KEY), amount_minor=amount_minor)
        data = write(order, PAYER, CREDITOR)

        schema.validate(data.decode())
        assert read(data).amount_minor == amount_minor

    @pytest.mark.parametrize(
        ("body", "word"),
        [
            (b"", "no_order"),
            (b"[]", "no_order"),
            (BODY.replace(b"2026-02-25", b"25.02.2026"), "no_order"),
            (BODY.replace(b':1"}', b':2"}'), "not_this_order"),
            (BODY.replace(b"74297", b"742.97"), "not_this_order"),
            (BODY.replace(b"74297", b"0"), "not_this_order"),
            (BODY.replace(b"74297", b"true"), "not_this_order"),
            (BODY.replace(b"Gas 2026-01", b"Gas " * 40), "text_too_long"),
        ],
    )
    def test_is_not_made_of_other_bytes(self, body: bytes, word: str) -> None:
        """What was frozen is what is written, or nothing is."""
        with pytest.raises(OrderError, match=word):
            order_of(body, KEY)

    @pytest.mark.parametrize(
        ("iban", "currency"),
        [("KZ86125KZT5004100100", "EUR"), ("DE89370400440532013000", "KZT")],
    )
    def test_is_not_written_for_an_account_of_another_currency(
        self, iban: str, currency: str
    ) -> None:
        """An account in Kazakhstan is out of reach of a bank that collects euro, and vice versa."""
        order = replace(order_of(BODY, KEY), currency=currency)

        with pytest.raises(OrderError, match="account_of_another_currency"):
            write(order, replace(PAYER, iban=iban), CREDITOR)

    def test_is_known_by_nobody_elses_file(self) -> None:
        """A name that does not follow from the key in it was not made by us."""
        data = write(order_of(BODY, KEY), PAYER, CREDITOR)
        with pytest.raises(FieldError):
            read(data.replace(b"2026-01:1", b"2026-01:2"))


def status_file(version: str, **levels: object) -> bytes:
    """Return a pain.002 that speaks of one order, at the levels that are given."""
    group: dict[str, object] = {"orgnl_msg_id": NAME, "orgnl_msg_nm_id": "pain.008.001.08"}
    if "group" in levels:
        group["grp_sts"] = levels["group"]
    if "group_reason" in levels:
        group["sts_rsn_inf"] = [{"rsn": {"cd": levels["group_reason"]}}]
    told: dict[str, object] = {
        "grp_hdr": {"msg_id": "S1", "cre_dt_tm": "2026-02-23T10:00:00+05:00"},
        "orgnl_grp_inf_and_sts": group,
    }
    if "instruction" in levels or "transaction" in levels:
        instruction: dict[str, object] = {"orgnl_pmt_inf_id": NAME}
        if "instruction" in levels:
            instruction["pmt_inf_sts"] = levels["instruction"]
        if "transaction" in levels:
            one: dict[str, object] = {"orgnl_end_to_end_id": NAME, "tx_sts": levels["transaction"]}
            if "reason" in levels:
                one["sts_rsn_inf"] = [{"rsn": {"cd": levels["reason"]}}]
            instruction["tx_inf_and_sts"] = [one]
        told["orgnl_pmt_inf_and_sts"] = [instruction]
    return emitted(f"pain.pain_002_001_{version}", {"cstmr_pmt_sts_rpt": told})


class TestAPayer:
    """Whose account is debited ..."""

    @pytest.mark.parametrize(
        "iban",
        [
            "KZ86125KZT5004100101",
            "KZ68125KZT5004100100",
            "DE89370400440532013001",
            "KZ86125KZT5004100100\n",
            "kz86125kzt5004100100",
            "KZ86 125K ZT50 0410 0100",
            "",
        ],
    )
    def test_has_a_number_whose_check_digits_fit(self, iban: str) -> None:
        """A slip of the pen is somebody else's account, or nobody's."""
        with pytest.raises(PayerError, match="iban_invalid"):
            replace(PAYER, iban=iban)

    @pytest.mark.parametrize("iban", ["KZ07999A000000000000", "DE44999999990532013000"])
    def test_may_be_at_a_bank_that_nobody_knows(self, iban: str) -> None:
        """Lists of banks are out of date; the bank itself will say no if it has to."""
        assert replace(PAYER, iban=iban).iban == iban


class TestAStatusOfTheBanks:
    """What the bank says of an order."""

    @pytest.mark.parametrize("version", ["03", "10", "12"])
    def test_is_read_in_every_version(self, version: str) -> None:
        """With the reason of a no."""
        told = {"transaction": "RJCT", "reason": "AM04"}

        assert read_status(status_file(version, **told)) == (
            OrderNews(order_id=NAME, status=OrderStatus.REJECTED, reason="AM04"),
        )

    @pytest.mark.parametrize(
        ("levels", "status", "reason"),
        [
            ({"group": "ACCP"}, OrderStatus.TAKEN_IN, None),
            ({"group": "RJCT", "group_reason": "AC01"}, OrderStatus.REJECTED, "AC01"),
            ({"instruction": "ACSP"}, OrderStatus.TAKEN_IN, None),
            ({"group": "ACCP", "transaction": "RJCT"}, OrderStatus.REJECTED, None),
            ({"transaction": "ACSC"}, OrderStatus.COLLECTED, None),
            ({"transaction": "CANC"}, OrderStatus.CANCELLED, None),
        ],
    )
    def test_counts_where_it_is_nearest(
        self, levels: dict[str, str], status: OrderStatus, reason: str | None
    ) -> None:
        """A message that was taken in may hold an order that was not."""
        assert read_status(status_file("10", **levels)) == (
            OrderNews(order_id=NAME, status=status, reason=reason),
        )

    def test_in_a_word_we_do_not_know_is_no_news(self) -> None:
        """The bank may have words of its own; nothing is concluded from them."""
        assert read_status(status_file("10", transaction="XXXX")) == ()

    def test_may_be_no_status_at_all(self) -> None:
        """Each bad file has its name here too."""
        with pytest.raises(NotXmlError):
            read_status(b"late")
        with pytest.raises(VersionError):
            read_status(write(order_of(BODY, KEY), PAYER, CREDITOR))


class TestAReason:
    """Four letters of the bank's, in our words."""

    @pytest.mark.parametrize(
        ("code", "cause"),
        [
            ("AM04", "insufficient_funds"),
            ("MS03", "refer_to_payer"),
            ("AC04", "bank_account_closed"),
            ("AC01", "invalid_bank_details"),
            ("RC01", "invalid_bank_details"),
            ("AC06", "direct_debit_not_enabled"),
            ("AG01", "direct_debit_not_enabled"),
            ("SL01", "direct_debit_not_enabled"),
            ("MD01", "mandate_cancelled"),
            ("MD06", "authorisation_disputed"),
            ("MS02", "authorisation_disputed"),
            ("MD07", "payer_deceased"),
            ("AM05", "double_presented"),
            ("DUPL", "double_presented"),
        ],
    )
    def test_is_one_of_the_table(self, code: str, cause: str) -> None:
        """Worked out from the rule book, not from the code."""
        assert cause_of(code) == cause

    @pytest.mark.parametrize("code", ["RR04", "MD02", "FRAD", "TECH", "", None, "am04"])
    def test_is_unknown_where_nothing_hangs_on_it(self, code: str | None) -> None:
        """An unknown cause is never tried again by itself."""
        assert cause_of(code) == "unknown_cause"

    @pytest.mark.parametrize(
        ("code", "days", "expected"),
        [
            ("MD06", 1, True),
            ("MS02", 1, True),
            ("MD01", 5, False),
            ("MD01", 56, False),
            ("MD01", 57, True),
            ("AM04", 2, False),
            (None, 100, False),
        ],
    )
    def test_tells_a_dispute_from_a_return(
        self, code: str | None, days: int, *, expected: bool
    ) -> None:
        """Without a mandate five days later is the bank's return; months later the payer's word."""
        assert is_chargeback(code, days_since_taken=days) is expected

    def test_covers_what_is_tried_again(self) -> None:
        """Only two causes of the table heal with time."""
        healing = {code for code, cause in CAUSES.items() if cause.startswith(("insuff", "refer"))}
        assert healing == {"AM04", "MS03"}
