"""Mandates and debits over HTTP: a resident links, comes back, pauses, cancels."""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.app.api_town import AT, BANK_PAGE, Api, bill

CAPS: Final = {"payment_minor_max": 1_000_000, "month_minor_max": 2_000_000}
MANDATES: Final = "/v1/accounts/A-1/mandates"


def kind(answer: tuple[int, Any]) -> tuple[int, str]:
    status, problem = answer
    return status, problem["type"].removeprefix("/problems/")


async def act(api: Api, what: str, mandate_id: str = "M-1") -> tuple[int, Any]:
    return await api.call("POST", f"{MANDATES}/{mandate_id}/{what}", token=api.resident)


async def unlink(api: Api) -> None:
    await api.owner.execute("DELETE FROM mandate WHERE account_id = 'A-1'")


async def link(api: Api, caps: dict[str, int] = CAPS) -> tuple[int, Any]:
    return await api.call("POST", MANDATES, token=api.resident, json=caps)


class TestLinking:
    """Linking a bank account ..."""

    async def test_leads_to_the_bank_and_back(self, api: Api) -> None:
        """Start, the bank's page, the way back, and the mandate is active."""
        await unlink(api)

        status, started = await link(api)
        assert (status, started["authorisation_url"]) == (201, BANK_PAGE)

        _, invited = await api.call("GET", MANDATES, token=api.resident)
        assert invited["mandates"][0]["authorisation_url"] == BANK_PAGE

        back = urlsplit(api.bank.redirects[0])
        assert (back.scheme, back.netloc, back.path) == ("https", "gas.example", "/v1/link/return")
        async with api.request("GET", f"{back.path}?{back.query}&outcome=success") as page:
            assert (page.status, page.content_type) == (200, "text/html")
            assert "linked" in await page.text()

        _, shown = await api.call("GET", f"{MANDATES}/{started['mandate_id']}", token=api.resident)
        assert (shown["state"], shown["enrolment"]) == ("active", "active")
        assert shown["account_number_ending"] == "00"
        assert (shown["payment_minor_max"], shown["month_minor_max"]) == (1_000_000, 2_000_000)

    async def test_comes_back_with_a_word_nobody_can_guess(self, api: Api) -> None:
        """160 random bits; a wrong word is a page that does not exist."""
        await unlink(api)
        await link(api)
        word = parse_qs(urlsplit(api.bank.redirects[0]).query)["link"][0]

        assert len(word) == 40
        wrong = word[:-1] + ("0" if word[-1] != "0" else "1")
        assert kind(await api.call("GET", f"/v1/link/return?link={wrong}")) == (404, "not-found")
        assert kind(await api.call("GET", "/v1/link/return")) == (422, "invalid")

    async def test_happens_once(self, api: Api) -> None:
        """A second mandate would be a second way to be debited."""
        assert kind(await link(api)) == (409, "mandate-exists")

    async def test_needs_caps_that_hold_together(self, api: Api) -> None:
        """No caps, no mandate: without them there is nothing to keep us in bounds."""
        for caps in (
            {},
            {"payment_minor_max": 5},
            {"payment_minor_max": 5, "month_minor_max": 4},
            {"payment_minor_max": 0, "month_minor_max": 4},
            {"payment_minor_max": 10**10, "month_minor_max": 10**10},
        ):
            assert kind(await link(api, caps)) == (422, "invalid"), caps

    async def test_says_so_when_the_bank_is_silent(self, api: Api) -> None:
        """Nothing is lost: the same call goes on from there."""
        await unlink(api)
        api.bank.silent = True
        assert kind(await link(api)) == (503, "bank-silent")

        api.bank.silent = False
        assert (await link(api))[0] == 201

        api.bank.silent = True
        back = urlsplit(api.bank.redirects[0])
        status, words = await api.call("GET", f"{back.path}?{back.query}")
        assert status == 200
        assert "not answered" in words

    async def test_never_takes_the_mandate_of_another_customer(self, api: Api) -> None:
        """The bank gives the neighbour's: said plainly, a bad gateway, and nothing is kept."""
        await unlink(api)
        _, started = await link(api)
        await api.owner.execute(
            "UPDATE mandate SET bank_mandate_id = 'MD9' WHERE account_id = 'A-2'"
        )

        back = urlsplit(api.bank.redirects[0])
        status, words = await api.call("GET", f"{back.path}?{back.query}")

        assert status == 200
        assert "somebody else" in words
        _, shown = await api.call("GET", f"{MANDATES}/{started['mandate_id']}", token=api.resident)
        assert (shown["state"], shown["account_number_ending"]) == ("invited", None)

    @pytest.mark.parametrize(
        ("body", "headers", "word"),
        [
            (b"<html>caps</html>", {}, (400, "broken-json")),
            (b"<html>caps</html>", {"Content-Type": "text/html"}, (415, "not-json")),
            (b'{"payment_minor_max": 5, "month_minor_max": 9, "bic": 1}', {}, (422, "invalid")),
            (b'{"payment_minor_max": 5.0, "month_minor_max": 9}', {}, (422, "invalid")),
            (b'{"payment_minor_max": "5", "month_minor_max": 9}', {}, (422, "invalid")),
            (b'{"payment_minor_max": 5, "month_minor_max": NaN}', {}, (422, "invalid")),
        ],
    )
    async def test_understands_what_it_asked_for_and_nothing_else(
        self, api: Api, body: bytes, headers: dict[str, str], word: tuple[int, str]
    ) -> None:
        """HTML, a field too many, another type: told apart by name, and nobody is invited."""
        await unlink(api)
        sent = {"Content-Type": "application/json"} | headers

        answer = await api.call("POST", MANDATES, token=api.resident, data=body, headers=sent)

        assert kind(answer) == word
        rows = await api.owner.fetchval("SELECT count(*) FROM mandate WHERE account_id = 'A-1'")
        assert (rows, api.bank.redirects) == (0, [])


class TestMandates:
    """A mandate ..."""

    async def test_is_listed_for_its_resident(self, api: Api) -> None:
        """With the caps, and four letters of the account number at the most."""
        status, listed = await api.call("GET", MANDATES, token=api.resident)

        assert status == 200
        assert listed["mandates"] == [
            {
                "mandate_id": "M-1",
                "state": "active",
                "enrolment": "active",
                "payment_minor_max": 100_000,
                "month_minor_max": 200_000,
                "currency": "KZT",
                "authorisation_url": None,
                "account_number_ending": "00",
                "created_at": "2026-02-10T12:00:00Z",
                "changed_at": "2026-02-10T12:00:00Z",
            }
        ]

    async def test_pauses_and_resumes_while_the_bank_is_silent(self, api: Api) -> None:
        """Stopping is one call, in force at once, and takes back what was announced."""
        await bill(api)
        api.bank.silent = True

        status, paused = await act(api, "pause")
        assert (status, paused["mandate"]["enrolment"], paused["debits_cancelled"]) == (
            200,
            "paused",
            1,
        )
        assert (await act(api, "pause"))[1]["debits_cancelled"] == 0
        assert (await act(api, "resume"))[1]["mandate"]["enrolment"] == "active"

    async def test_is_cancelled_for_good(self, api: Api) -> None:
        """Twice is fine; resuming is not, and neither is a new cap."""
        await bill(api)

        assert (await act(api, "cancel"))[1]["mandate"]["enrolment"] == "cancelled"
        assert (await act(api, "cancel"))[0] == 200
        assert kind(await act(api, "resume")) == (409, "mandate-ended")
        assert kind(await act(api, "pause")) == (409, "mandate-ended")
        caps = await api.call("PUT", f"{MANDATES}/M-1/caps", token=api.resident, json=CAPS)
        assert kind(caps) == (409, "mandate-ended")

    async def test_takes_other_caps(self, api: Api) -> None:
        """Lower or higher, for everything that is not ordered yet."""
        caps = {"payment_minor_max": 1, "month_minor_max": 1}

        status, shown = await api.call("PUT", f"{MANDATES}/M-1/caps", token=api.resident, json=caps)

        assert status == 200
        assert (shown["payment_minor_max"], shown["month_minor_max"]) == (1, 1)

    async def test_takes_the_same_wish_twice_while_the_bank_is_silent(self, api: Api) -> None:
        """One call each, in force with its answer, and the second changes nothing."""
        await bill(api)
        api.bank.silent = True
        caps = {"payment_minor_max": 7, "month_minor_max": 9}

        async def set_caps() -> tuple[int, Any]:
            return await api.call("PUT", f"{MANDATES}/M-1/caps", token=api.resident, json=caps)

        first = await set_caps()
        assert first[0] == 200
        assert await set_caps() == first
        for what in ("pause", "cancel"):
            status, once = await act(api, what)
            assert (status, (await act(api, what))[1]["mandate"]) == (200, once["mandate"])

    async def test_of_another_customer_is_not_there(self, api: Api) -> None:
        """Neither under one's own account nor under his; his own stays as it is."""
        await api.owner.execute("UPDATE mandate SET mandate_id = 'M-2' WHERE account_id = 'A-2'")
        before = await api.owner.fetch("SELECT * FROM mandate WHERE account_id = 'A-2'")

        for what in ("pause", "resume", "cancel"):
            path = f"/v1/accounts/A-2/mandates/M-2/{what}"
            assert kind(await api.call("POST", path, token=api.resident)) == (404, "not-found")
            assert kind(await act(api, what, "M-2")) == (404, "not-found")

        assert await api.owner.fetch("SELECT * FROM mandate WHERE account_id = 'A-2'") == before

    async def test_that_does_not_exist_is_not_there(self, api: Api) -> None:
        """For every verb alike."""
        for what in ("pause", "resume", "cancel"):
            assert kind(await act(api, what, "M-404")) == (404, "not-found")
        shown = await api.call("GET", f"{MANDATES}/M-404", token=api.resident)
        caps = await api.call("PUT", f"{MANDATES}/M-404/caps", token=api.resident, json=CAPS)
        assert kind(shown) == kind(caps) == (404, "not-found")


class TestDebits:
    """A debit ..."""

    async def test_tells_its_story_to_the_resident(self, api: Api) -> None:
        """What was announced, and every step since."""
        await bill(api)
        await act(api, "cancel")

        status, page = await api.call("GET", "/v1/accounts/A-1/debits", token=api.resident)

        assert status == 200
        assert page == {
            "debits": [
                {
                    "account_id": "A-1",
                    "bill_no": "2026-01",
                    "attempt": 1,
                    "mandate_id": "M-1",
                    "state": "cancelled",
                    "reason": "cancelled_by_resident",
                    "amount_minor": 74_297,
                    "currency": "KZT",
                    "charge_on": "2026-02-25",
                    "changed_at": "2026-02-10T12:00:00Z",
                    "money": "withdrawn",
                    "notice": {
                        "amount_minor": 74_297,
                        "currency": "KZT",
                        "charge_on": "2026-02-25",
                        "noticed_at": "2026-02-10T12:00:00Z",
                    },
                    "steps": [
                        {
                            "from_state": None,
                            "to_state": "noticed",
                            "reason": None,
                            "taken_at": "2026-02-10T12:00:00Z",
                        },
                        {
                            "from_state": "noticed",
                            "to_state": "cancelled",
                            "reason": "cancelled_by_resident",
                            "taken_at": "2026-02-10T12:00:00Z",
                        },
                    ],
                }
            ],
            "next": None,
        }

    async def test_is_listed_the_last_attempt_first(self, api: Api) -> None:
        """Page by page; each attempt with its own steps only."""
        await bill(api)
        await act(api, "pause")
        for attempt in (2, 3):
            await api.owner.execute(
                "INSERT INTO debit (account_id, bill_no, attempt, mandate_id, state, amount_minor,"
                " currency, charge_on, changed_at)"
                " VALUES ('A-1', '2026-01', $1, 'M-1', 'cancelled', 1, 'KZT', '2026-03-01', $2)",
                attempt,
                AT,
            )
        path = "/v1/accounts/A-1/debits?limit=2"

        _, one = await api.call("GET", path, token=api.resident)
        _, two = await api.call("GET", f"{path}&after={one['next']}", token=api.resident)

        attempts = [(debit["attempt"], len(debit["steps"])) for debit in one["debits"]]
        assert attempts == [(3, 0), (2, 0)]
        assert [(debit["attempt"], len(debit["steps"])) for debit in two["debits"]] == [(1, 2)]
        assert two["next"] is None

    async def test_is_found_by_operators_through_its_state(self, api: Api) -> None:
        """What waits for a person is found without knowing whose it is."""
        await bill(api)
        path = "/v1/debits?state=noticed&limit=1"

        _, one = await api.call("GET", path, token=api.operator)
        _, two = await api.call("GET", f"{path}&after={one['next']}", token=api.operator)
        _, three = await api.call("GET", f"{path}&after={two['next']}", token=api.operator)

        assert [page["debits"][0]["account_id"] for page in (one, two)] == ["A-1", "A-2"]
        assert three == {"debits": [], "next": None}
        assert (await api.call("GET", "/v1/debits?state=review", token=api.operator))[1] == {
            "debits": [],
            "next": None,
        }

    async def test_is_in_one_of_the_states_there_are(self, api: Api) -> None:
        """An unknown state, an invented place: refused, not empty."""
        for query, word in (
            ("", "invalid"),
            ("state=lost", "invalid"),
            ("state=noticed&after=x", "invalid"),
            ("state=noticed&after=2026-02-31~A-1~2026-01~1", "cursor-unknown"),
        ):
            answer = await api.call("GET", f"/v1/debits?{query}", token=api.operator)
            assert kind(answer) == (422, word), query


async def hold(api: Api, reason: str) -> None:
    """Bill January and hold the debits for it."""
    await bill(api)
    await api.owner.execute("UPDATE debit SET state = 'held', reason = $1", reason)


class TestApproval:
    """A sum that is unusual ..."""

    PATH = "/v1/accounts/A-1/bills/2026-01/debit/approve"

    async def test_is_approved_in_one_call(self, api: Api) -> None:
        """The resident says yes to what he saw; the same word again is the same word."""
        await hold(api, "anomaly")
        word = {"amount_minor": 74_297}

        status, shown = await api.call("POST", self.PATH, token=api.resident, json=word)
        assert (status, shown["amount_minor"], shown["approved_by"]) == (
            201,
            74_297,
            "the resident",
        )
        assert (await api.call("POST", self.PATH, token=api.resident, json=word))[0] == 200
        assert await api.owner.fetchval("SELECT count(*) FROM debit_approval") == 1

    async def test_is_approved_by_its_resident_or_an_operator(self, api: Api) -> None:
        """The neighbour cannot; whoever answers the telephone signs with his name."""
        await hold(api, "estimated")
        word = {"amount_minor": 74_297}

        assert (await api.call("POST", self.PATH, token=api.other, json=word))[0] == 404
        status, shown = await api.call("POST", self.PATH, token=api.operator, json=word)
        assert (status, shown["approved_by"]) == (201, "a test")

    @pytest.mark.parametrize(
        ("reason", "amount_minor", "status", "problem"),
        [
            ("over_cap", 74_297, 409, "debit-not-approvable"),
            ("disputed", 74_297, 409, "debit-not-approvable"),
            ("anomaly", 74_298, 409, "debit-differs"),
        ],
    )
    async def test_is_approved_for_what_was_seen_only(
        self, api: Api, reason: str, amount_minor: int, status: int, problem: str
    ) -> None:
        """A cap is raised, not talked over; and nobody approves a sum that he has not seen."""
        await hold(api, reason)

        answer = await api.call(
            "POST", self.PATH, token=api.resident, json={"amount_minor": amount_minor}
        )

        assert kind(answer) == (status, problem)

    async def test_is_not_approved_where_nothing_waits(self, api: Api) -> None:
        """No debit, no word."""
        answer = await api.call("POST", self.PATH, token=api.resident, json={"amount_minor": 1})

        assert kind(answer) == (404, "not-found")


class TestStopping:
    """One debit is stopped ..."""

    PATH = "/v1/accounts/A-1/bills/2026-01/debits/1/cancel"

    async def test_in_one_call(self, api: Api) -> None:
        """In force with the answer, twice as well as once, and the mandate goes on."""
        await bill(api)

        status, stopped = await api.call("POST", self.PATH, token=api.resident)

        assert (status, stopped) == (
            200,
            {"state": "cancelled", "reason": "stopped_by_resident", "stopped": "done"},
        )
        assert (await api.call("POST", self.PATH, token=api.resident))[0] == 200
        _, shown = await api.call("GET", "/v1/accounts/A-1/debits", token=api.resident)
        assert [one["state"] for one in shown["debits"]] == ["cancelled"]
        rows = await api.owner.fetch("SELECT account_id, stopped_by FROM debit_stop")
        assert [tuple(row) for row in rows] == [("A-1", "the resident")]
        _, mandate = await api.call("GET", f"{MANDATES}/M-1", token=api.resident)
        assert mandate["enrolment"] == "active"

    async def test_by_its_resident_or_an_operator(self, api: Api) -> None:
        """The neighbour cannot; whoever answers the telephone signs with his name."""
        await bill(api)

        assert kind(await api.call("POST", self.PATH, token=api.other)) == (404, "not-found")
        assert (await api.call("POST", self.PATH, token=api.operator))[0] == 200
        assert await api.owner.fetchval("SELECT stopped_by FROM debit_stop") == "a test"

    @pytest.mark.parametrize(
        ("state", "word"),
        [
            ("submitted", "debit-too-late"),
            ("settled", "debit-too-late"),
            ("exhausted", "debit-over"),
            ("charged_back", "debit-over"),
        ],
    )
    async def test_as_long_as_there_is_something_to_stop(
        self, api: Api, state: str, word: str
    ) -> None:
        """Told apart, because what to do next is not the same."""
        await bill(api)
        await api.owner.execute(
            "UPDATE debit SET state = $1, idempotency_key = 'debit:v1:x', body = 'x',"
            " body_digest = sha256('x'), bank_payment_id = 'PM1', sends = 1, first_sent_at = $2",
            state,
            AT,
        )

        assert kind(await api.call("POST", self.PATH, token=api.resident)) == (409, word)

    async def test_if_it_is_there(self, api: Api) -> None:
        """Another attempt, another bill: as if there were none."""
        await bill(api)

        for path in ("2026-01/debits/2", "2025-12/debits/1"):
            answer = await api.call(
                "POST", f"/v1/accounts/A-1/bills/{path}/cancel", token=api.resident
            )
            assert kind(answer) == (404, "not-found")


class TestReview:
    """A debit in review over HTTP ..."""

    PATH = "/v1/accounts/A-1/bills/2026-01/debits/1/decide"

    async def test_is_decided_by_an_operator_with_a_reason(self, api: Api) -> None:
        """The step is named, the word is kept, and the same list shows what became of it."""
        await bill(api)
        await api.owner.execute(
            "UPDATE debit SET state = 'review', reason = 'credentials', idempotency_key ="
            " 'debit:v1:' || account_id || ':2026-01:1', body = 'x', body_digest = sha256('x')"
        )
        word = {"decision": "give_up", "because": "never sent"}

        assert kind(await api.call("POST", self.PATH, token=api.resident, json=word)) == (
            403,
            "forbidden",
        )
        status, shown = await api.call("POST", self.PATH, token=api.operator, json=word)
        assert (status, shown["state"], shown["waits_for_second"]) == (200, "exhausted", False)
        assert [(one["decision"], one["because"]) for one in shown["words"]] == [
            ("give_up", "never sent")
        ]
        answer = await api.call("POST", self.PATH, token=api.operator, json=word)
        assert kind(answer) == (409, "not-in-review")

    async def test_is_decided_within_the_table_only(self, api: Api) -> None:
        """A word that no table knows, and a step that the bank's books forbid."""
        await bill(api)
        await api.owner.execute(
            "UPDATE debit SET state = 'review', reason = 'contradiction',"
            " idempotency_key = 'debit:v1:' || account_id || ':2026-01:1', body = 'x',"
            " body_digest = sha256('x')"
        )

        word = {"decision": "settle", "because": "b"}
        assert (await api.call("POST", self.PATH, token=api.operator, json=word))[0] == 422
        word = {"decision": "release", "because": "b"}
        answer = await api.call("POST", self.PATH, token=api.operator, json=word)
        assert kind(answer) == (409, "decision-not-legal")
