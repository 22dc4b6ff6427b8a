"""The document of the API, and the page that shows it."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import app
from tests.app.api_town import Api

STATIC = Path(app.__file__).parent / "static"


@pytest.fixture
async def document(api: Api) -> dict[str, Any]:
    status, document = await api.call("GET", "/openapi.json")
    assert status == 200
    assert isinstance(document, dict)
    return document


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


class TestDocument:
    """The OpenAPI document ..."""

    def test_is_valid(self, document: dict[str, Any]) -> None:
        """A second opinion: generators of clients read it as strictly."""
        assert document["openapi"] == "3.1.0"
        assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []

    def test_shows_every_route_that_has_no_reason_to_hide(
        self, api: Api, document: dict[str, Any]
    ) -> None:
        """An operation outside of the inventory is one that nobody tests or retires."""
        hidden = {bound.route.name for bound in api.routes if not bound.route.shown}
        told = {operation["operationId"] for _, _, operation in operations(document)}

        assert hidden == {"docs_asset"}
        assert told == {bound.route.name for bound in api.routes} - hidden

    def test_says_who_may_call(self, document: dict[str, Any]) -> None:
        """A token on every operation that is neither public nor signed, and nothing else."""
        for _, path, operation in operations(document):
            without = operation["x-aqkol-policy"] in {"public", "signed"}
            assert operation["security"] == ([] if without else [{"token": []}]), path

    def test_writes_no_volume_and_no_money_as_a_fraction(self, document: dict[str, Any]) -> None:
        """A float somewhere is a cent somewhere."""
        assert '"number"' not in str(document).replace("'", '"')

    def test_answers_errors_as_problems(self, document: dict[str, Any]) -> None:
        """One shape for every error, so that a client needs one reader."""
        for _, path, operation in operations(document):
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"], path
                    assert response["content"]["application/problem+json"] == {
                        "schema": {"$ref": "#/components/schemas/Problem"}
                    }

    def test_explains_every_problem_it_names(self, document: dict[str, Any]) -> None:
        """Each answer names what may be wrong by the word that stands in its ``type``."""
        conflicts = document["paths"]["/v1/meters/{meter_id}/installations"]["post"]["responses"][
            "409"
        ]["description"]

        assert "`installation-overlaps`" in conflicts
        assert "`installation-differs`" in conflicts

    async def test_has_a_page_for_each_problem(self, api: Api, document: dict[str, Any]) -> None:
        """The ``type`` of an error is an address that can be opened."""
        slugs = set(re.findall(r"`([a-z-]+)`: ", str(document)))

        assert len(slugs) > 20
        for slug in slugs:
            status, explained = await api.call("GET", f"/problems/{slug}")
            assert (status, explained["type"]) == (200, f"/problems/{slug}")


class TestPage:
    """The documentation page ..."""

    async def test_loads_nothing_from_elsewhere(self, api: Api) -> None:
        """It works in a cellar without a network, and tells nobody who reads it."""
        async with api.request("GET", "/docs") as response:
            html = await response.text()
            policy = response.headers["Content-Security-Policy"]

        assert response.content_type == "text/html"
        sources = re.findall(r'(?:src|href)="([^"]+)"', html)
        assert len(sources) == 5
        assert all(source.startswith("/") and not source.startswith("//") for source in sources)
        assert "unsafe" not in policy
        assert "http" not in policy
        for source in sources:
            assert (await api.call("GET", source))[0] == 200

    async def test_finds_its_files_with_their_kinds(self, api: Api) -> None:
        """With nosniff on, a script of the wrong kind is not run."""
        kinds = {
            "swagger-ui-bundle.js": "text/javascript",
            "swagger-ui.css": "text/css",
            "start.js": "text/javascript",
            "favicon-32x32.png": "image/png",
        }
        for name, kind in kinds.items():
            async with api.request("GET", f"/docs/{name}") as response:
                assert (response.status, response.content_type) == (200, kind)
                assert response.headers["Cache-Control"] == "public, max-age=3600"

    def test_is_what_was_vendored(self) -> None:
        """A vendored file that somebody edits is no longer what its licence note says."""
        for line in (STATIC / "digests.sha256").read_text().splitlines():
            digest, name = line.split()
            assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, name

    async def test_has_a_front_door(self, api: Api) -> None:
        """Somebody who opens the bare address finds the way."""
        status, html = await api.call("GET", "/")

        assert status == 200
        assert 'href="/docs"' in html
