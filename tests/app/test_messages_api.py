"""Contacts over HTTP: a resident says where to be written to, and nobody else reads it."""

from typing import Any, Final

import pytest

from tests.app.api_town import Api

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
