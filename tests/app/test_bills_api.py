"""Bills as documents over HTTP."""

import json
from typing import Any

import pytest

from tests.app.api_town import Api, bill

RECORD = "/v1/accounts/A-1/bills/2026-01/record"


def kind(answer: tuple[int, Any]) -> tuple[int, str]:
    status, problem = answer
    return status, problem["type"].removeprefix("/problems/")


class TestRecord:
    """The record of a bill ..."""

    async def test_is_the_same_for_resident_and_operator(self, api: Api) -> None:
        """100 m3 cost 640.49 and 102.48 of tax; the record names nobody."""
        await bill(api)

        async with api.request("GET", RECORD, token=api.resident) as response:
            content = await response.read()
            assert (response.status, response.content_type) == (200, "application/json")
        _, again = await api.call("GET", RECORD, token=api.operator)

        record = json.loads(content)
        assert record == again
        assert (record["format"], record["number"]) == ("aqkol-bill/1", "A-1/2026-01")
        assert record["totals"]["total_minor"] == 74_297
        assert b"Name of" not in content
        assert b"Street of" not in content

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/accounts/A-1/bills/2099-01/record",
            "/v1/accounts/A-404/bills/2026-01/record",
            "/v1/accounts/A-1/bills/2026-01-2/record",
        ],
    )
    async def test_of_nothing_is_not_there(self, api: Api, path: str) -> None:
        """Neither a month nor an account nor a revision that nobody has."""
        await bill(api)

        assert kind(await api.call("GET", path, token=api.operator)) == (404, "not-found")

    async def test_is_nobody_elses(self, api: Api) -> None:
        """The neighbour cannot tell my bill from one that does not exist."""
        await bill(api)

        assert kind(await api.call("GET", RECORD, token=api.other)) == (404, "not-found")
        assert kind(await api.call("GET", RECORD)) == (401, "no-token")
