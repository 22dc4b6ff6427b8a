"""Contacts over HTTP: a resident says where to be written to, and nobody else reads it."""

from datetime import timedelta
from typing import Any, Final

import pytest

from tests.app.api_town import AT, Api, bill

CONTACT: Final = "/v1/accounts/A-1/contact"
WANTED: Final[dict[str, Any]] = {"address": "aigul@mail.example", "language": "kk"}


async def say(api: Api, **change: object) -> tuple[int, Any]:
    return await api.call("PUT", CONTACT, token=api.resident, json=WANTED | change)


class TestContact:
    """A contact ..."""

    async def test_is_nothing_until_the_resident_says_so(self, api: Api) -> None:
        """Nobody is written to unasked."""
        status, shown = await api.call("GET", CONTACT, token=api.resident)

        assert (status, shown) == (
            200,
            {"address": None, "language": None, "only_outside": None, "said_at": None},
        )

    async def test_is_said_and_shown(self, api: Api) -> None:
        """The same again changes nothing; another word replaces it."""
        quiet = {"from_minor": 0, "to_minor": 500_000}
        status, shown = await say(api, only_outside=quiet)
        assert (status, shown["only_outside"]) == (200, quiet)
        assert await say(api, only_outside=quiet) == (200, shown)

        _, shown = await say(api, address=None, language="en")
        assert shown == {
            "address": None,
            "language": "en",
            "only_outside": None,
            "said_at": "2026-02-10T12:00:00Z",
        }
        assert (await api.call("GET", CONTACT, token=api.resident))[1] == shown

    @pytest.mark.parametrize(
        "change",
        [
            {"address": "a@b.kz\r\nBcc: all@b.kz"},
            {"address": "a@b.kz\n"},
            {"address": "a" * 65 + "@b.kz"},
            {"address": ""},
            {"language": "de"},
            {"only_outside": {"from_minor": 2, "to_minor": 1}},
            {"only_outside": {"from_minor": -1, "to_minor": 1}},
        ],
    )
    async def test_is_refused_when_no_mail_could_follow_it(
        self, api: Api, change: dict[str, object]
    ) -> None:
        """Nothing that could reach another reader; the answer does not repeat the address."""
        status, problem = await say(api, **change)

        assert status == 422
        assert "@b.kz" not in str(problem)

    async def test_reaches_no_operator(self, api: Api) -> None:
        """As with the name: an operator has no route to it, and no token that opens one."""
        await say(api)

        for method in ("GET", "PUT"):
            sent = {"json": WANTED} if method == "PUT" else {}
            assert (await api.call(method, CONTACT, token=api.operator, **sent))[0] == 403
            assert (await api.call(method, CONTACT, token=api.other, **sent))[0] == 404


class TestAccountChange:
    """A change of the bank account ..."""

    async def test_begins_waits_and_is_called_off(self, api: Api) -> None:
        """Three calls: begin, look, cancel the new mandate."""
        path = "/v1/accounts/A-1/account-changes"
        caps = {"payment_minor_max": 5, "month_minor_max": 5}
        status, link = await api.call("POST", path, token=api.resident, json=caps)
        assert status == 201

        _, shown = await api.call("GET", path, token=api.resident)
        (change,) = shown["changes"]
        assert change == {
            "mandate_id": link["mandate_id"],
            "begun_at": "2026-02-10T12:00:00Z",
            "usable_at": "2026-02-13T12:00:00Z",
            "paused": False,
            "ended_at": None,
            "outcome": None,
        }
        new = f"/v1/accounts/A-1/mandates/{link['mandate_id']}"
        assert (await api.call("GET", new, token=api.resident))[1]["enrolment"] == "waiting"

        api.bank.silent = True
        assert (await api.call("POST", f"{new}/cancel", token=api.resident))[0] == 200
        _, shown = await api.call("GET", path, token=api.resident)
        assert shown["changes"][0]["outcome"] == "cancelled"


RECEIPT: Final = """
    INSERT INTO message (account_id, message_id, kind, about, channel, state, next_try_at,
        queued_at, tries, trouble)
    VALUES ('A-1', 'receipt/2026-01/1/' || $1::text, 'receipt', '{"bill_no": "2026-01",
        "attempt": 1, "mandate_id": "M-1", "amount_minor": 74297, "currency": "KZT",
        "charge_on": "2026-02-25", "reason": null, "retry_on": null}', 'mail', $2, $3, $3, 1,
        'smtp_550')
"""


class TestMessages:
    """What a resident was told ..."""

    async def test_stands_in_the_api_as_the_letter_says_it(self, api: Api) -> None:
        """Whether a mail went out or not, in the language that is asked for."""
        await api.owner.execute(RECEIPT, "1", "queued", AT)
        path = "/v1/accounts/A-1/messages"

        _, page = await api.call("GET", f"{path}?language=en", token=api.resident)
        (shown,) = page["messages"]
        assert shown["subject"].replace("\u00a0", " ") == "Receipt: 742.97 ₸ was debited"
        assert "Gas bill: 2026-01" in shown["text"]
        assert "Bank account: …00" in shown["text"]
        assert (shown["channel"], shown["state"], shown["delivered_at"]) == ("mail", "queued", None)
        assert page["next"] is None

    @pytest.mark.parametrize(
        "about",
        [
            "{}",
            '{"bill_no": "2026-01"}',
            '{"amount_minor": "much", "currency": "KZT"}',
            '{"charge_on": "tomorrow"}',
        ],
    )
    async def test_does_not_hide_the_others_if_one_cannot_be_written(
        self, api: Api, about: str
    ) -> None:
        """It is told that there was something; what it said is a question to us."""
        for number in ("1", "2", "3"):
            await api.owner.execute(RECEIPT, number, "queued", AT)
        await api.owner.execute(
            "UPDATE message SET about = $1 WHERE message_id = 'receipt/2026-01/1/2'", about
        )
        path = "/v1/accounts/A-1/messages?language=en"

        status, page = await api.call("GET", path, token=api.resident)

        assert status == 200
        shown = {one["message_id"][-1]: (one["subject"], one["text"]) for one in page["messages"]}
        assert list(shown) == ["3", "2", "1"]
        assert shown["2"] == (None, None)
        assert None not in (*shown["1"], *shown["3"])

    async def test_comes_in_pages(self, api: Api) -> None:
        """Newest first, none twice, none left out, though several are of one instant."""
        for number in range(5):
            await api.owner.execute(RECEIPT, str(number), "queued", AT)
        seen, after = [], ""
        while True:
            path = f"/v1/accounts/A-1/messages?limit=2{after}"
            _, page = await api.call("GET", path, token=api.resident)
            seen += [one["message_id"] for one in page["messages"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"

        assert seen == [f"receipt/2026-01/1/{number}" for number in (4, 3, 2, 1, 0)]

    async def test_that_no_relay_takes_is_shown_to_an_operator_without_its_reader(
        self, api: Api
    ) -> None:
        """What, why and since when; sent again, it is queued for the address that holds."""
        await say(api)
        await api.owner.execute(RECEIPT, "1", "failed", AT)
        await api.owner.execute(RECEIPT, "2", "given_up", AT)

        _, page = await api.call("GET", "/v1/messages/stuck?limit=1", token=api.operator)
        assert page["messages"] == [
            {
                "account_id": "A-1",
                "message_id": "receipt/2026-01/1/1",
                "kind": "receipt",
                "state": "failed",
                "tries": 1,
                "trouble": "smtp_550",
                "queued_at": "2026-02-10T12:00:00Z",
            }
        ]
        path = f"/v1/messages/stuck?after={page['next']}"
        _, page = await api.call("GET", path, token=api.operator)
        assert [one["state"] for one in page["messages"]] == ["given_up"]

        again = "/v1/accounts/A-1/messages/again"
        assert await api.call("POST", again, token=api.operator) == (200, {"messages": 2})
        assert await api.call("POST", again, token=api.operator) == (200, {"messages": 0})

    async def test_is_counted_for_whoever_watches(self, api: Api) -> None:
        """Waiting, since when, and what a person has to look at."""
        await api.owner.execute(RECEIPT, "1", "queued", AT - timedelta(minutes=5))
        await api.owner.execute(RECEIPT, "2", "failed", AT)

        _, figures = await api.call("GET", "/metrics", token=api.operator)
        assert "aqkol_messages_waiting 1.0" in figures
        assert "aqkol_messages_oldest_seconds 300.0" in figures
        assert "aqkol_messages_stuck 1.0" in figures


REFUND: Final = """
    INSERT INTO refund (account_id, bill_no, attempt, refund_no, state, amount_minor, currency,
        cause, source, asked_by, because, asked_at, debit_minor, before_minor, changed_at,
        idempotency_key, body, body_digest, bank_refund_id, sends, first_sent_at)
    VALUES ($1, '2026-01', 1, 1, $2, 100, 'KZT', $3, 'resident_credit', 'a test', 'a test', $4,
        74297, 0, $4, 'refund:v1:x', 'x', sha256('x'), 'RF1', 1, $4)
"""


class TestStatus:
    """The status line ..."""

    async def test_says_that_all_is_well(self, api: Api) -> None:
        """To anybody, without a token."""
        status, shown = await api.call("GET", "/v1/status")

        assert status == 200
        assert shown == {
            "line": "Debits run. No mistakes of ours in the last 30 days.",
            "debits_stopped_since": None,
            "messages_waiting_since": None,
            "mistakes": {
                "accounts_affected": 0,
                "refunds": 0,
                "refunds_paid": 0,
                "last_paid_at": None,
            },
        }

    async def test_counts_our_mistakes_and_what_went_back(self, api: Api) -> None:
        """How many, and when it was made good; of nobody's change of mind, and of nobody's name."""
        await bill(api)
        await api.owner.execute(REFUND, "A-1", "paid", "double_debit", AT - timedelta(hours=1))
        await api.owner.execute(REFUND, "A-2", "pending", "overcharged", AT)

        _, shown = await api.call("GET", "/v1/status")
        assert shown["mistakes"] == {
            "accounts_affected": 2,
            "refunds": 2,
            "refunds_paid": 1,
            "last_paid_at": "2026-02-10T11:00:00Z",
        }
        assert shown["line"] == (
            "Debits run. In the last 30 days too much was taken from 2 accounts by our mistake;"
            " 1 of 2 refunds were paid, the last on 2026-02-10 11:00 UTC."
        )
        assert "A-1" not in str(shown)

        await api.owner.execute("UPDATE refund SET cause = 'operator', asked_at = $1", AT)
        _, shown = await api.call("GET", "/v1/status")
        assert shown["mistakes"]["refunds"] == 0

    async def test_says_when_the_run_is_stopped(self, api: Api) -> None:
        """Why a debit does not come is no secret."""
        await api.owner.execute(
            "INSERT INTO run_stop VALUES (1, 'failures', '{}', NULL, NULL, $1)", AT
        )

        _, shown = await api.call("GET", "/v1/status")
        assert shown["debits_stopped_since"] == "2026-02-10T12:00:00Z"
        assert shown["line"].startswith(
            "Debits are stopped since 2026-02-10 12:00 UTC: nothing new is asked of the bank, and"
            " what it had before goes on."
        )


class TestMoney:
    """The word for the money ..."""

    async def test_stands_beside_each_debit(self, api: Api) -> None:
        """Announced is scheduled, and nothing more."""
        await bill(api)

        _, page = await api.call("GET", "/v1/accounts/A-1/debits", token=api.resident)
        assert [one["money"] for one in page["debits"]] == ["scheduled"]
