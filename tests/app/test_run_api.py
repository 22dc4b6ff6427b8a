"""The debit run over HTTP and on the command line: shown, stopped, let go on by two people."""

from datetime import timedelta

from app.tokens import issue_token
from metering.io.route import Role
from tests.app.api_town import AT, Api, bill


async def operator(api: Api, name: str) -> str:
    """Return a token that signs with a name."""
    issued = await issue_token(
        api.pool,
        role=Role.OPERATOR,
        account_id=None,
        label=name,
        at=AT,
        lifetime=timedelta(days=1),
    )
    return issued.token


class TestTheRun:
    """The debit run ..."""

    async def test_is_shown_with_what_waits(self, api: Api) -> None:
        """Two debits were announced; nothing keeps them back."""
        await bill(api)

        status, shown = await api.call("GET", "/v1/debit-run", token=api.operator)

        assert (status, shown) == (
            200,
            {"stopped": False, "announced": 2, "recorded": 0, "stops": []},
        )

    async def test_is_stopped_by_one_and_released_by_two(self, api: Api) -> None:
        """Each signs with his own token; the second word of the same person does not count."""
        olga, aigul = await operator(api, "Olga N."), await operator(api, "Aigul K.")
        _, stop = await api.call(
            "POST", "/v1/debit-run/stops", token=olga, json={"because": "a wrong price"}
        )
        assert stop == {
            "stop_no": 1,
            "cause": "by_hand",
            "facts": {},
            "stopped_by": "Olga N.",
            "because": "a wrong price",
            "stopped_at": "2026-02-10T12:00:00Z",
            "releases": [],
            "releases_missing": 2,
        }
        releases = "/v1/debit-run/stops/1/releases"
        word = {"because": "corrected"}

        assert (await api.call("POST", releases, token=olga, json=word))[0] == 200
        status, problem = await api.call("POST", releases, token=olga, json=word)
        assert (status, problem["type"]) == (409, "/problems/same-person")
        _, half = await api.call("GET", "/v1/debit-run", token=olga)
        assert half["stopped"] is True
        _, done = await api.call("POST", releases, token=aigul, json=word)

        assert [one["released_by"] for one in done["releases"]] == ["Olga N.", "Aigul K."]
        assert done["releases_missing"] == 0
        _, whole = await api.call("GET", "/v1/debit-run", token=olga)
        assert whole["stopped"] is False
        status, problem = await api.call("POST", releases, token=aigul, json=word)
        assert (status, problem["type"]) == (409, "/problems/stop-released")

    async def test_that_is_stopped_leaves_the_service_ready(self, api: Api) -> None:
        """Nothing is broken; a supervisor must not start us again and again. /metrics says it."""
        await bill(api)
        await api.call("POST", "/v1/debit-run/stops", token=api.operator, json={"because": "x"})

        assert (await api.call("GET", "/readyz"))[0] == 200
        _, page = await api.call("GET", "/metrics", token=api.operator)
        assert "aqkol_debit_run_stopped 1.0" in page
        assert 'aqkol_debits_unsent{state="announced"} 2.0' in page

    async def test_knows_no_stop_of_another_number(self, api: Api) -> None:
        """Nothing there to release."""
        for number in ("7", "0", "x", "99999999999999999999"):
            status, _ = await api.call(
                "POST",
                f"/v1/debit-run/stops/{number}/releases",
                token=api.operator,
                json={"because": "x"},
            )
            assert status == 404
