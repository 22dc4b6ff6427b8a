"""What a meter is told."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from metering.receipt import Answer, Receipt, Result, build
from metering.telegram import RefusalReason

AT = datetime(2026, 11, 1, 5, 0, 3, 999_999, tzinfo=timezone(timedelta(hours=5)))


def answer(
    counter: int | None,
    result: Result,
    reason: RefusalReason | None = None,
    *,
    meter: str = "AQ-000123",
    registered: bool = True,
) -> Answer:
    return Answer(
        meter_id=meter, registered=registered, counter=counter, result=result, reason=reason
    )


def entries(receipt: Receipt) -> list[object]:
    found = json.loads(receipt.payload)["receipts"]
    assert isinstance(found, list)
    return found


class TestBuild:
    """The receipts of one commit ..."""

    def test_are_one_per_meter(self) -> None:
        """Bucket 36 and time in UTC, as the wire's description says."""
        receipts = build(
            [
                answer(42, Result.STORED),
                answer(1, Result.STORED, meter="A"),
                answer(43, Result.REPEATED),
                answer(44, Result.REFUSED, RefusalReason.BAD_SHAPE),
            ],
            at=AT,
        )

        assert [receipt.topic for receipt in receipts] == [
            "gas/v1/36/AQ-000123/down/receipt",
            "gas/v1/11/A/down/receipt",
        ]
        assert json.loads(receipts[0].payload) == {
            "meter": "AQ-000123",
            "at": "2026-11-01T00:00:03Z",
            "receipts": [
                {"counter": 42, "result": "stored"},
                {"counter": 43, "result": "repeated"},
                {"counter": 44, "result": "refused", "reason": "bad_shape"},
            ],
        }
        assert receipts[0].retain

    def test_of_strangers_are_not_retained(self) -> None:
        """The broker keeps retained messages for ever."""
        refused = answer(1, Result.REFUSED, RefusalReason.UNKNOWN_METER, registered=False)

        assert [receipt.retain for receipt in build([refused], at=AT)] == [False]

    def test_say_the_best_news_about_a_counter(self) -> None:
        """Stored is stored, whatever another message under the same counter came to."""
        conflict = answer(1, Result.REFUSED, RefusalReason.COUNTER_CONFLICT)

        for order in ([answer(1, Result.STORED), conflict], [conflict, answer(1, Result.STORED)]):
            (receipt,) = build(order, at=AT)

            assert entries(receipt) == [{"counter": 1, "result": "stored"}]

    def test_name_each_reason_once_where_no_counter_is_known(self) -> None:
        """A thousand pieces of noise need one line."""
        noise = [answer(None, Result.REFUSED, RefusalReason.NOT_JSON)] * 1000
        large = [answer(None, Result.REFUSED, RefusalReason.TOO_LARGE)]

        (receipt,) = build(noise + large, at=AT)

        assert entries(receipt) == [
            {"counter": None, "result": "refused", "reason": "not_json"},
            {"counter": None, "result": "refused", "reason": "too_large"},
        ]

    @pytest.mark.parametrize(
        ("result", "reason"),
        [(Result.REFUSED, None), (Result.STORED, RefusalReason.BAD_SHAPE)],
    )
    def test_have_reasons_for_refusals_only(
        self, result: Result, reason: RefusalReason | None
    ) -> None:
        """A refusal without a reason helps nobody."""
        with pytest.raises(ValueError, match="reason"):
            build([answer(1, result, reason)], at=AT)
