"""Bills as documents over HTTP."""

import json
from io import BytesIO
from typing import Any

import pytest
from pypdf import PdfReader

from tests.app.api_town import Api, bill

RECORD = "/v1/accounts/A-1/bills/2026-01/record"
DOCUMENT = "/v1/accounts/A-1/bills/2026-01/document"


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


class TestDocument:
    """A bill as a document ..."""

    @pytest.mark.parametrize("language", ["kk", "ru", "en"])
    async def test_is_a_pdf_in_each_language(self, api: Api, language: str) -> None:
        """The resident's copy names the resident."""
        await bill(api)
        path = f"{DOCUMENT}?language={language}&form=pdf"

        async with api.request("GET", path, token=api.resident) as response:
            content = await response.read()
            assert (response.status, response.content_type) == (200, "application/pdf")
        said = PdfReader(BytesIO(content)).pages[0].extract_text()

        assert "A-1/2026-01" in said
        assert "Name of A-1" in said
        assert ("742.97" if language == "en" else "742,97") in said

    async def test_is_a_page_that_a_browser_may_show(self, api: Api) -> None:
        """In Kazakh when nobody says otherwise; it may load its own style and nothing else."""
        await bill(api)

        async with api.request("GET", DOCUMENT, token=api.resident) as response:
            page = await response.text()
            policy = response.headers["Content-Security-Policy"]
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
            assert response.headers["Cache-Control"] == "no-store"

        assert '<html lang="kk">' in page
        assert "Street of A-1" in page
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy

    async def test_names_nobody_to_an_operator(self, api: Api) -> None:
        """Who works on bills need not know who lives there."""
        await bill(api)

        status, page = await api.call("GET", f"{DOCUMENT}?language=en", token=api.operator)

        assert status == 200
        assert "Name of" not in page
        assert "Street of" not in page
        assert "Copy without the resident&#39;s name and address" in page

    @pytest.mark.parametrize(
        "query", ["language=de", "form=docx", "language=", "language=kk&form=PDF", "size=a5"]
    )
    async def test_is_refused_in_another_language_or_form(self, api: Api, query: str) -> None:
        """By the name of what cannot be had."""
        await bill(api)

        assert kind(await api.call("GET", f"{DOCUMENT}?{query}", token=api.resident)) == (
            422,
            "invalid",
        )

    async def test_of_nothing_is_not_there(self, api: Api) -> None:
        """Nor is the neighbour's."""
        await bill(api)

        for path, token in (
            ("/v1/accounts/A-1/bills/2099-01/document", api.resident),
            (DOCUMENT, api.other),
        ):
            assert kind(await api.call("GET", path, token=token)) == (404, "not-found")

    async def test_keeps_names_out_of_the_log(
        self, api: Api, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A line of the log says the route, not who lives where."""
        await bill(api)
        await api.call("GET", f"{DOCUMENT}?form=pdf", token=api.resident)

        logged = "".join(capsys.readouterr())
        assert "/document" in logged
        assert "Name of" not in logged
        assert "Street of" not in logged
