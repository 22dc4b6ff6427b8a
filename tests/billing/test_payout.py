"""Amounts of payout items: text with one digit behind the point, and never a float."""

import json

import pytest

from billing.bank import BankGarbledError
from billing.io.bank_payouts import payout_items, payouts
from billing.payout import PayoutItem, PayoutStatus, fee_tenths, sum_tenths, tenths


class TestTenths:
    """What the bank writes as "45.0" is 450 tenths of a minor unit."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("45.0", 450),
            ("45", 450),
            ("0.1", 1),
            ("-0.1", -1),
            ("-12.5", -125),
            ("0.0", 0),
            # Beyond what a float tells apart: 2**53 tenths and one more.
            ("900719925474099.3", 9_007_199_254_740_993),
            ("-900719925474099.3", -9_007_199_254_740_993),
        ],
    )
    def test_are_read_exactly(self, text: str, expected: int) -> None:
        """A float loses the last tenth of a large sum, and the books do not add up for ever."""
        assert tenths(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "-",
            "4.55",
            "45.0\n",
            "45.",
            ".5",
            "1e3",
            "NaN",
            "inf",
            " 45.0",
            "4 5.0",
            "+45.0",
            "4,5",
            "\u0664.\u0665",
        ],
    )
    def test_refuse_what_is_none(self, text: str) -> None:
        """What would have to be rounded is not what we agreed on."""
        with pytest.raises(ValueError, match="not an amount"):
            tenths(text)

    def test_add_up_over_many_small_fees(self) -> None:
        """Ten fees of a tenth are one minor unit, exactly; as floats they are less."""
        fees = [PayoutItem(kind="gocardless_fee", amount_tenths=tenths("-0.1"))] * 10

        assert (sum_tenths(fees), fee_tenths(fees)) == (-10, 10)


# One page of each, with every key that the published API has.
PAGES = {
    "payouts": {
        "meta": {"cursors": {"after": "example_after", "before": None}, "limit": 50},
        "payouts": [
            {
                "amount": 1000,
                "arrival_date": "2014-01-01",
                "created_at": "2014-01-01T12:00:00.000Z",
                "currency": "EUR",
                "deducted_fees": 20,
                "fx": {
                    "estimated_exchange_rate": "1.1234567890",
                    "exchange_rate": "1.1234567890",
                    "fx_amount": 1150,
                    "fx_currency": "EUR",
                },
                "id": "PO123",
                "links": {"creditor": "CR123", "creditor_bank_account": "BA123"},
                "metadata": {},
                "payout_type": "merchant",
                "reference": "ref-1",
                "status": "pending",
                "tax_currency": "EUR",
            }
        ],
    },
    "payout_items": {
        "meta": {"cursors": {"after": None, "before": None}, "limit": 50},
        "payout_items": [
            {
                "amount": "45.0",
                "links": {"mandate": "MD123", "payment": "PM123", "refund": "RF123"},
                "taxes": [
                    {
                        "amount": "1.1",
                        "currency": "EUR",
                        "destination_amount": "1.1",
                        "destination_currency": "EUR",
                        "exchange_rate": "1.11205",
                        "tax_rate_id": "GB_VAT_1",
                    }
                ],
                "type": "payment_paid_out",
            }
        ],
    },
}


def page(name: str) -> bytes:
    return json.dumps(PAGES[name]).encode()


class TestAPageOfPayouts:
    """The published shape, in our own words."""

    def test_is_read(self) -> None:
        """What we rely on is there, the rest is passed over."""
        found, after = payouts(page("payouts"))

        assert after == "example_after"
        assert [(one.payout_id, one.amount_minor, one.fees_minor) for one in found] == [
            ("PO123", 1000, 20)
        ]
        assert (found[0].status, found[0].reference) == (PayoutStatus.PENDING, "ref-1")

    def test_may_hold_a_status_we_do_not_know(self) -> None:
        """The bank may add some; nothing is matched on a word we cannot read."""
        found, _ = payouts(page("payouts").replace(b'"pending"', b'"on_its_way"'))

        assert found[0].status is None

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [
            (b"1000,", b"1000.0,"),
            (b"1000,", b'"1000",'),
            (b'"EUR", "deducted', b'"euro", "deducted'),
            (b'"PO123"', b'"PO/../123"'),
            (b'"2014-01-01T12:00:00.000Z"', b'"2014-01-01"'),
        ],
    )
    def test_is_refused_where_we_rely_on_it(self, right: bytes, wrong: bytes) -> None:
        """Money in a float, a name that leads elsewhere: better no answer than this one."""
        assert right in page("payouts")
        with pytest.raises(BankGarbledError):
            payouts(page("payouts").replace(right, wrong))


class TestAPageOfItems:
    """What a payout is made of."""

    def test_is_read(self) -> None:
        """Amounts are text there, and stay exact."""
        found, after = payout_items(page("payout_items"))

        assert after is None
        assert found == [
            PayoutItem(
                kind="payment_paid_out", amount_tenths=450, payment_id="PM123", refund_id="RF123"
            )
        ]

    @pytest.mark.parametrize("wrong", [b"45.0", b'"45.05"', b'"forty"', b"null"])
    def test_is_refused_with_another_amount(self, wrong: bytes) -> None:
        """A number instead of a text has been through a float already."""
        with pytest.raises(BankGarbledError):
            payout_items(page("payout_items").replace(b'"45.0"', wrong))
