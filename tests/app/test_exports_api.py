"""Exports over HTTP: whole files or a problem, over real sockets."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from app import sending
from app.mount import mount
from app.run import SteppedClock
from app.serve import Runner
from billing.io import api_exports
from metering.io.blob import Spool
from metering.io.route import Call, Download, Nothing, Policy, route, routes_of
from tests.app.api_town import AT, Api, bill
from tests.app.test_billing_api import kind

SETTLEMENT: Final = "/v1/exports/settlement"
# More than the buffers of both ends together.
LARGE_BYTES: Final = 32 * 1024**2
JANUARY: Final = f"{SETTLEMENT}?period=2026-01"


async def taken(api: Api, path: str) -> tuple[bytes, Any]:
    """Download a file; return it and the head of the answer."""
    async with api.request("GET", path, token=api.operator) as response:
        assert response.status == 200, await response.text()
        return await response.read(), response.headers


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))


class TestTheSettlementExport:
    """The month of a settlement centre ..."""

    async def test_comes_as_a_file(self, api: Api) -> None:
        """Its length is said before it, so that a cut file is known for one; a name is proposed."""
        await bill(api)
        content, head = await taken(api, JANUARY)

        # 100 m3 at 6.4049 is 640.49; VAT of 16 % is 102.48.
        assert [(row["account_id"], row["to_pay"]) for row in rows(content)] == [
            ("A-1", "742.97"), ("A-2", "742.97"),
        ]  # fmt: skip
        assert head["Content-Type"].startswith("text/csv; charset=utf-8")
        assert head["Content-Disposition"] == 'attachment; filename="settlement-2026-01.csv"'
        assert int(head["Content-Length"]) == len(content)
        assert "Name of" not in content.decode()

    async def test_comes_as_json_and_as_sums(self, api: Api) -> None:
        """The sums of a CSV can be fetched beside it, for the same instant."""
        await bill(api)
        whole, head = await taken(api, f"{JANUARY}&form=json")
        sums, sums_head = await taken(api, f"{JANUARY}&form=summary&as_of=2026-02-10T12:00:00Z")

        told = json.loads(whole)
        assert [it["to_pay_minor"] for it in told.pop("accounts")] == [74_297, 74_297]
        assert told == json.loads(sums)
        assert told["sums"][0]["ledger_receivable_minor"] == 148_594
        assert head["Content-Type"] == sums_head["Content-Type"] == "application/json"
        assert sums_head["Content-Disposition"].endswith('"settlement-2026-01.summary.json"')

    async def test_says_how_long_it_is_without_sending_it(self, api: Api) -> None:
        """A HEAD has no body, and the connection goes on."""
        await bill(api)
        content, _ = await taken(api, JANUARY)
        async with api.request("HEAD", JANUARY, token=api.operator) as response:
            assert (response.status, await response.read()) == (200, b"")
            assert int(response.headers["Content-Length"]) == len(content)

    @pytest.mark.parametrize(
        ("query", "told"),
        [
            ("period=2026-13", (422, "invalid")),
            ("", (422, "invalid")),
            ("period=2026-01&service=water", (422, "invalid")),
            ("period=2026-01&form=xlsx", (422, "invalid")),
            ("period=2026-02", (409, "period-not-over")),
            ("period=2026-01&as_of=2026-01-31T00:00:00Z", (422, "bad-instant")),
            ("period=2026-01&as_of=2026-02-10T12:00:01Z", (422, "bad-instant")),
        ],
    )
    async def test_is_refused_in_words(self, api: Api, query: str, told: tuple[int, str]) -> None:
        """A month that does not exist, still runs, or is asked for wrongly."""
        assert kind(await api.call("GET", f"{SETTLEMENT}?{query}", token=api.operator)) == told

    async def test_is_no_file_when_it_differs_from_the_ledger(self, api: Api) -> None:
        """The rows before the one that does not add up are not sent either."""
        await bill(api)
        await api.owner.execute("DELETE FROM transfer WHERE account_id = 'A-2'")

        told = await api.call("GET", JANUARY, token=api.operator)

        assert kind(told) == (409, "not-reconciled")

    async def test_is_refused_when_it_is_too_large(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A limit of the disk is a status, and not a file that ends somewhere."""
        await bill(api)
        monkeypatch.setattr(api_exports, "EXPORT_BYTES_MAX", 100)

        told = await api.call("GET", JANUARY, token=api.operator)

        assert kind(told) == (413, "export-too-large")

    async def test_names_people_for_a_purpose(self, api: Api) -> None:
        """Who took the names and why stands in a list that other operators see."""
        await bill(api)
        async with api.request(
            "POST", SETTLEMENT, token=api.operator,
            json={"period": "2026-01", "purpose": "the centre lost its addresses"},
        ) as response:  # fmt: skip
            assert response.status == 200
            content = await response.read()

        assert [row["full_name"] for row in rows(content)] == ["Name of A-1", "Name of A-2"]
        _, page = await api.call("GET", "/v1/exports/names", token=api.operator)
        (noted,) = page["exports"]
        del noted["export_id"]
        assert noted == {
            "kind": "settlement", "from_day": "2026-01-01", "to_day": "2026-02-01", "form": "csv",
            "rows": 2, "purpose": "the centre lost its addresses", "exported_by": "a test",
            "exported_at": "2026-02-10T12:00:00Z",
        }  # fmt: skip

    @pytest.mark.parametrize("purpose", [None, "", "a\nb"])
    async def test_names_nobody_without_a_purpose(self, api: Api, purpose: str | None) -> None:
        """An empty reason is none."""
        body = {"period": "2026-01"} | ({} if purpose is None else {"purpose": purpose})
        told = await api.call("POST", SETTLEMENT, token=api.operator, json=body)

        assert kind(told) == (422, "invalid")
        _, page = await api.call("GET", "/v1/exports/names", token=api.operator)
        assert page == {"exports": [], "next_before": None, "next_before_export": None}

    async def test_lists_names_taken_page_by_page(self, api: Api) -> None:
        """Two at one instant stand on two pages, once each."""
        for purpose in ("one", "two", "three"):
            await api.call(
                "POST", SETTLEMENT, token=api.operator,
                json={"period": "2026-01", "purpose": purpose},
            )  # fmt: skip
        found, query = [], "?limit=2"
        for _ in range(2):
            _, page = await api.call("GET", f"/v1/exports/names{query}", token=api.operator)
            found += [it["purpose"] for it in page["exports"]]
            query = f"?before={page['next_before']}&before_export={page['next_before_export']}"

        assert sorted(found) == ["one", "three", "two"]


class TestTheJournal:
    """The accountants' journal ..."""

    async def test_comes_as_a_file_with_sums_beside_it(self, api: Api) -> None:
        """The bills of two homes, net and VAT."""
        await bill(api)
        api.clock.advance_to(AT + timedelta(days=1))
        days = "/v1/exports/journal?from_day=2026-02-10&to_day=2026-02-11"
        content, head = await taken(api, days)
        sums, _ = await taken(api, f"{days}&form=summary")

        assert [row["transfer_id"] for row in rows(content)] == [
            "bill/2026-01/net", "bill/2026-01/vat"
        ] * 2  # fmt: skip
        assert head["Content-Disposition"].endswith('"journal-2026-02-10-2026-02-11.csv"')
        assert json.loads(sums)["entries"] == 4

    @pytest.mark.parametrize(
        ("days", "told"),
        [
            ("from_day=2026-02-01&to_day=2026-02-01", (422, "bad-days")),
            ("from_day=2026-02-01&to_day=2026-02-11", (422, "bad-days")),
            ("from_day=2026-02-30&to_day=2026-03-01", (422, "invalid")),
            ("from_day=2026-02-01", (422, "invalid")),
            ("from_day=2026-02-01&to_day=2026-02-02&form=json", (422, "invalid")),
        ],
    )
    async def test_is_refused_in_words(self, api: Api, days: str, told: tuple[int, str]) -> None:
        """Days that end before they begin, are not over, or do not exist."""
        assert (
            kind(await api.call("GET", f"/v1/exports/journal?{days}", token=api.operator)) == told
        )


class _Watched(Spool):
    """A file that tells when it is closed."""

    def __init__(self) -> None:
        super().__init__(LARGE_BYTES)
        self.closed = asyncio.Event()

    def close(self) -> None:
        super().close()
        self.closed.set()


class _Shelf:
    """Hands out one file that no socket swallows at once, and keeps it to look at."""

    def __init__(self) -> None:
        self.spool = _Watched()

    @route("GET", "/shelf", policy=Policy.PUBLIC, summary="x", tag="x", media_type="text/csv")
    async def take(self, _call: Call[Nothing, Nothing, Nothing]) -> Download:
        """Give the file."""
        self.spool.add(b"x" * LARGE_BYTES)
        return Download(spool=self.spool, media_type="text/csv", name="x.csv")


@asynccontextmanager
async def shelf() -> AsyncIterator[tuple[_Shelf, str, int]]:
    nothing: Any = None
    it = _Shelf()
    app = mount(
        tuple(routes_of(it)),
        pool=nothing,
        clock=SteppedClock(AT),
        errors={},
        registry=CollectorRegistry(),
    )
    runner = Runner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield it, host, port
    finally:
        await runner.cleanup()


class TestADownload:
    """A file on its way ..."""

    async def test_is_ended_when_the_reader_leaves(self) -> None:
        """Whoever goes away in the middle leaves no file behind, and no error of ours."""
        with capture_logs() as logs:
            async with shelf() as (it, host, port):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"GET /shelf HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await reader.readline()).split()[1] == b"200"
                writer.transport.abort()
                async with asyncio.timeout(20):
                    await it.spool.closed.wait()

        assert [log["event"] for log in logs if log["event"] != "web.answered"] == ["web.left"]

    async def test_is_ended_when_the_reader_takes_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A reader that stands still must not keep the file, and gets no end to believe in."""
        monkeypatch.setattr(sending, "STALL_SECONDS", 0.05)
        async with shelf() as (it, host, port):
            reader, writer = await asyncio.open_connection(host, port, limit=1)
            writer.write(b"GET /shelf HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(20):
                await it.spool.closed.wait()
            read = 0
            with suppress(ConnectionError):
                while piece := await reader.read(1 << 20):
                    read += len(piece)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

        assert read < LARGE_BYTES
