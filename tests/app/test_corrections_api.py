"""A corrected reading over HTTP: the operator says it, the resident reads what came of it."""

from datetime import UTC, datetime
from typing import Any, Final

from billing.correct import CorrectCounts, correct
from billing.correction import Policy
from billing.io.corrections import Corrections
from tests.app.api_town import AT, ZONE, Api, bill
from tests.app.test_metering_api import kind, read

BILL: Final = "/v1/accounts/A-1/bills/2026-01"
QUOTED: Final = "2026-02-01T00:00:00+05:00".replace("+", "%2B")


async def say(
    api: Api, register_dm3: int, *, read_at: str = QUOTED, **body: object
) -> tuple[int, Any]:
    return await api.call(
        "POST",
        f"/v1/meters/AQ-000001/readings/{read_at}/correct",
        token=api.operator,
        json={"because": "the photo shows 110", "register_dm3": register_dm3, **body},
    )


async def look(api: Api, policy: Policy) -> CorrectCounts:
    return await correct(store=Corrections(api.pool), at=AT, zone=ZONE, policy=policy)


class TestSayingIt:
    """A correction of a reading ..."""

    async def test_is_kept_once_and_signed(self, api: Api) -> None:
        """The same again changes nothing; who said it is the token's label."""
        await bill(api)

        first, again = await say(api, 110_000), await say(api, 110_000)

        assert (first[0], again[0]) == (201, 200)
        assert first[1] == again[1]
        assert (first[1]["revision"], first[1]["decided_by"]) == (1, "a test")
        assert (await say(api, 111_000))[1]["revision"] == 2

    async def test_is_refused_where_it_says_nothing(self, api: Api) -> None:
        """The register is that already; the meter said nothing then; it is held anyway."""
        held = datetime(2026, 1, 20, tzinfo=UTC)
        await read(api, 900_000, held, None)

        assert kind(await say(api, 120_000)) == (409, "nothing-to-correct")
        answer = await say(api, 1, read_at="2026-01-21T00:00:00Z")
        assert kind(answer) == (404, "not-found")
        answer = await say(api, 1, read_at="2026-01-20T00:00:00Z")
        assert kind(answer) == (409, "not-trusted")

    async def test_never_makes_gas_flow_back(self, api: Api) -> None:
        """The stay began with 20 m3, and on the third the meter shows 125."""
        await read(api, 125_000, datetime(2026, 2, 3, tzinfo=UTC), 0)

        for register_dm3 in (19_999, 125_001):
            assert kind(await say(api, register_dm3)) == (422, "breaks-the-line")

    async def test_can_be_taken_back(self, api: Api) -> None:
        """A correction that was a mistake is another correction, to what the meter said."""
        await say(api, 110_000)

        assert (await say(api, 120_000))[0] == 201

        trusted = await api.owner.fetch("SELECT register_dm3 FROM trusted_reading")
        assert [row["register_dm3"] for row in trusted if row["register_dm3"] != 20_000] == [
            120_000,
            120_000,
        ]


class TestReadingIt:
    """What a resident reads of a corrected bill ..."""

    async def test_is_empty_before_anybody_looked(self, api: Api) -> None:
        """A bill nobody doubted has no corrections, and no such bill is not found."""
        await bill(api)

        status, shown = await api.call("GET", f"{BILL}/correction", token=api.resident)

        assert (status, shown["in_force"], shown["corrections"]) == (200, "2026-01", [])
        answer = await api.call("GET", f"{BILL}-7/correction", token=api.resident)
        assert kind(answer) == (404, "not-found")

    async def test_says_which_line_how_much_why_and_who(self, api: Api) -> None:
        """Ten m3 less: 90 m3 cost 576.44 and VAT 92.23, where 640.49 and 102.48 were asked."""
        await bill(api)
        await say(api, 110_000)
        await look(api, Policy())

        _, shown = await api.call("GET", f"{BILL}/correction", token=api.resident)

        assert shown["in_force"] == "2026-01-3"
        (one,) = shown["corrections"]
        assert (one["outcome"], one["cancellation_bill_no"], one["rebill_no"]) == (
            "rebill",
            "2026-01-2",
            "2026-01-3",
        )
        assert (one["volume_dm3"], one["net_minor"], one["vat_minor"]) == (-10_000, -6_405, -1_025)
        (cause,) = one["causes"]
        assert (cause["cause"], cause["was_dm3"], cause["register_dm3"], cause["said_by"]) == (
            "reading",
            120_000,
            110_000,
            "a test",
        )
        assert cause["because"] == "the photo shows 110"
        (line,) = one["difference"]["lines"]
        assert (line["before"]["net_minor"], line["after"]["net_minor"]) == (64_049, 57_644)
        assert line["changed"] == ["closing_register_dm3", "volume_dm3", "net_minor", "vat_minor"]

    async def test_is_on_every_document_of_the_month(self, api: Api) -> None:
        """Whoever holds the cancellation in his hand finds the same story."""
        await bill(api)
        await say(api, 110_000)
        await look(api, Policy())

        stories = [
            (await api.call("GET", f"{BILL}{end}/correction", token=api.operator))[1]["corrections"]
            for end in ("", "-2", "-3")
        ]

        assert stories[0] == stories[1] == stories[2]

    async def test_names_the_bill_that_carries_an_adjustment(self, api: Api) -> None:
        """None yet: it waits for February's."""
        await bill(api)
        await say(api, 110_000)
        await look(api, Policy(adjust_below_minor=10_000))

        _, shown = await api.call("GET", f"{BILL}/correction", token=api.resident)

        assert [(one["outcome"], one["adjusted_on"]) for one in shown["corrections"]] == [
            ("adjustment", [])
        ]


class TestMoneyBeyondBills:
    """Credit and refunds ..."""

    async def test_are_shown_to_whom_they_concern(self, api: Api) -> None:
        """January was paid with 743 tenge; the new bill asks for 668.67."""
        await bill(api)
        await api.owner.execute(
            "INSERT INTO transfer VALUES ('A-1', 'debit/2026-01/1/posted', 'posted',"
            " 'collections_in_transit', 'receivable', 74297, 'KZT', '2026-01', $1)",
            AT,
        )
        await api.owner.execute("UPDATE debit SET state = 'cancelled', reason = 'paused'")
        await say(api, 110_000)

        await look(api, Policy())
        _, credit = await api.call("GET", "/v1/accounts/A-1/credit", token=api.resident)
        assert credit == {"currency": "KZT", "credit_minor": 7_430, "refund_due_minor": 0}

        await look(api, Policy(refund=True))
        _, credit = await api.call("GET", "/v1/accounts/A-1/credit", token=api.resident)
        assert credit == {"currency": "KZT", "credit_minor": 0, "refund_due_minor": 7_430}
        _, page = await api.call("GET", "/v1/refunds", token=api.operator)
        assert [(one["account_id"], one["amount_minor"]) for one in page["refunds"]] == [
            ("A-1", 7_430)
        ]

    async def test_corrections_of_a_month_are_listed(self, api: Api) -> None:
        """Account by account, the last look at each."""
        await bill(api)
        await say(api, 110_000)
        await look(api, Policy())

        _, page = await api.call("GET", "/v1/corrections?period=2026-01", token=api.operator)

        assert [(one["account_id"], one["outcome"]) for one in page["corrections"]] == [
            ("A-1", "rebill")
        ]
