"""How the server answers what it should not have been asked."""

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from app import mount as mounting
from app.mount import MountError, mount
from metering.io.route import (
    Bound,
    Call,
    MeterId,
    Nothing,
    NotThereError,
    Policy,
    RouteError,
    Wire,
    route,
    routes_of,
)
from tests.app.api_town import Api, bill

METER: Final = {
    "meter_id": "AQ-000009",
    "dial_dm3": 100_000_000,
    "step_dm3": 10,
    "qmax_dm3_h": 6000,
    "compensated": True,
}
JSON: Final = {"Content-Type": "application/json"}


async def post(api: Api, data: bytes, headers: dict[str, str] = JSON) -> tuple[int, Any]:
    return await api.call("POST", "/v1/meters", token=api.operator, data=data, headers=headers)


class TestBadBodies:
    """A body ..."""

    async def test_that_is_no_json_is_400(self, api: Api) -> None:
        """Broken text is not a mistake in a value, and never an error of ours."""
        bodies = [b"", b"{", b"\xff\xfe", b'{"meter_id": "\\ud800"}', b"[" * 100_000, b"{}{}"]

        for body in bodies:
            status, problem = await post(api, body)

            assert (status, problem["type"]) == (400, "/problems/broken-json"), body[:20]

    async def test_of_another_kind_is_415(self, api: Api) -> None:
        """A form that a browser can send across sites must not count as JSON."""
        kinds = [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin-1",
            "application/json-patch+json",
        ]

        for kind in kinds:
            status, problem = await post(api, json.dumps(METER).encode(), {"Content-Type": kind})

            assert (status, problem["type"]) == (415, "/problems/not-json"), kind

    async def test_that_is_compressed_is_415(self, api: Api) -> None:
        """A small archive may hold a gigabyte."""
        packed = gzip.compress(json.dumps(METER).encode())

        status, _ = await post(api, packed, {**JSON, "Content-Encoding": "gzip"})

        assert status == 415

    async def test_larger_than_a_mebibyte_is_413(self, api: Api) -> None:
        """Announced or not, nobody fills our memory."""

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(64):
                yield b" " * 65_536

        async with api.session.post(
            api.url + "/v1/meters",
            data=io.BytesIO(b" " * (1024 * 1024 + 1)),
            headers={**JSON, "Authorization": f"Bearer {api.operator}"},
        ) as response:
            announced = response.status
        async with api.session.post(
            api.url + "/v1/meters",
            data=endless(),
            headers={**JSON, "Authorization": f"Bearer {api.operator}"},
        ) as response:
            unannounced = response.status
            problem = await response.json(content_type=None)

        assert (announced, unannounced) == (413, 413)
        assert problem["type"] == "/problems/body-too-large"

    async def test_that_never_ends_is_408(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection that says one letter and waits must not be kept for ever."""
        monkeypatch.setattr(mounting, "BODY_SECONDS", 0.05)
        host, port = api.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /v1/meters HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.operator}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )

        answer = await reader.read()
        writer.close()

        assert answer.startswith(b"HTTP/1.1 408")
        assert b"/problems/body-slow" in answer

    async def test_with_a_bad_value_is_422_and_says_where(self, api: Api) -> None:
        """A bool or a text for a number bills a whole dial; the pointer finds the field."""
        changes: list[tuple[dict[str, object], str]] = [
            ({"dial_dm3": True}, "/dial_dm3"),
            ({"dial_dm3": "100000"}, "/dial_dm3"),
            ({"dial_dm3": 100_000.0}, "/dial_dm3"),
            ({"dial_dm3": 10**15 + 1}, "/dial_dm3"),
            ({"meter_id": "AQ-1\x00"}, "/meter_id"),
            ({"meter_id": "ąq"}, "/meter_id"),
            ({"compensated": 1}, "/compensated"),
            ({"secret~/x": 1}, "/secret~0~1x"),
            ({"step_dm3": 100_000, "dial_dm3": 100_000}, ""),
        ]

        for change, at in changes:
            status, problem = await post(api, json.dumps({**METER, **change}).encode())

            assert (status, problem["type"]) == (422, "/problems/invalid"), change
            assert [field["at"] for field in problem["fields"]] == [at]

    async def test_is_never_repeated_to_the_caller(self, api: Api) -> None:
        """What was sent by mistake (a password, a card number) must not come back in answers."""
        status, problem = await post(
            api, json.dumps({**METER, "meter_id": "my password", "dial_dm3": "1234-5678"}).encode()
        )

        assert status == 422
        assert "password" not in str(problem)
        assert "1234-5678" not in str(problem)

    async def test_with_a_thousand_mistakes_gets_twenty_answers(self, api: Api) -> None:
        """A small request must not buy a large answer."""
        _, problem = await post(api, json.dumps({f"x{n}": n for n in range(1000)}).encode())

        assert len(problem["fields"]) == 20


class TestAddresses:
    """An address ..."""

    async def test_that_leads_nowhere_is_404(self, api: Api) -> None:
        """With the same body as everything else that is not there."""
        paths = [
            "/nothing",
            "/v1",
            "/v1/meters/",
            "/v1/meters/a/b",
            "/v1/%00",
            "/docs/../web.py",
            "/docs/%2e%2e%2fweb.py",
            "/docs/README.md",
            "/problems/none",
            "/v1/meters/%ff",
        ]

        for path in paths:
            status, problem = await api.call("GET", path, token=api.operator)

            assert status == 404, path
            assert problem == {
                "type": "/problems/not-found",
                "title": "There is no such thing here",
                "status": 404,
            }

    async def test_with_another_method_is_405(self, api: Api) -> None:
        """The answer says which methods there are."""
        async with api.request("PUT", "/v1/meters", token=api.operator) as response:
            problem = await response.json(content_type=None)

        assert (response.status, problem["type"]) == (405, "/problems/method-unknown")
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"

    async def test_ignores_override_headers(self, api: Api) -> None:
        """A proxy that counts GETs must see what we see."""
        async with api.request(
            "GET",
            "/v1/accounts/A-1/tokens",
            token=api.operator,
            headers={"X-HTTP-Method-Override": "DELETE"},
        ) as response:
            assert response.status == 405

    async def test_answers_head_and_options(self, api: Api) -> None:
        """HEAD is GET without a body; OPTIONS names the methods and grants nothing to others."""
        async with api.request("HEAD", "/v1/meters", token=api.operator) as head:
            assert (head.status, await head.read()) == (200, b"")
        async with api.request("HEAD", "/v1/meters") as shut:
            assert (shut.status, await shut.read()) == (401, b"")
        async with api.request(
            "OPTIONS", "/v1/meters", headers={"Origin": "https://evil.example"}
        ) as options:
            assert (options.status, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")
            assert not [name for name in options.headers if name.startswith("Access-Control")]

    async def test_with_a_bad_query_is_422(self, api: Api) -> None:
        """A parameter with a typing error must not be taken for none."""
        queries = {
            "limit=0": "?limit",
            "limit=501": "?limit",
            "limit=x": "?limit",
            "page=2": "?page",
            "after=aq": "?after",
            "after=%00": "?after",
        }

        for query, at in queries.items():
            status, problem = await api.call("GET", f"/v1/meters?{query}", token=api.operator)

            assert (status, problem["fields"][0]["at"]) == (422, at)

    async def test_with_a_parameter_twice_is_422(self, api: Api) -> None:
        """Two values for one name are read differently by every program on the way."""
        status, _ = await api.call("GET", "/v1/meters?limit=1&limit=2", token=api.operator)

        assert status == 422


class TestTokensOnTheWire:
    """A token on the wire ..."""

    @pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
    async def test_may_spell_its_scheme_in_any_case(self, api: Api, scheme: str) -> None:
        """RFC 9110 says so, and clients rely on it."""
        status, _ = await api.call(
            "GET", "/v1/meters", headers={"Authorization": f"{scheme} {api.operator}"}
        )

        assert status == 200

    async def test_is_asked_for_by_name(self, api: Api) -> None:
        """A 401 says what is missing."""
        async with api.request("GET", "/v1/meters") as response:
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="aqkol"'

    async def test_stands_in_the_header_once(self, api: Api) -> None:
        """Not in the address, where it would be logged, and not twice."""
        in_address, _ = await api.call("GET", f"/v1/meters?access_token={api.operator}")
        async with api.session.get(
            api.url + "/v1/meters",
            headers=[
                ("Authorization", f"Bearer {api.operator}"),
                ("Authorization", f"Bearer {api.operator}"),
            ],
        ) as twice:
            assert (in_address, twice.status) == (401, 401)


class TestAnswers:
    """Every answer ..."""

    async def test_carries_the_security_headers(self, api: Api) -> None:
        """Error pages too: an attacker asks for what fails."""
        expected = [
            ("GET", "/livez", 200),
            ("GET", "/docs", 200),
            ("GET", "/nothing", 404),
            ("PATCH", "/livez", 405),
            ("GET", "/v1/meters", 401),
            ("OPTIONS", "/livez", 204),
        ]

        for method, path, status in expected:
            async with api.request(method, path) as response:
                headers = response.headers

            assert response.status == status
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cache-Control"] == "no-store"
            assert headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert headers["Server"] == "aqkol"

    async def test_to_a_mistake_of_ours_says_nothing_about_it(self, api: Api) -> None:
        """The driver's message may hold a person's address; it stays out of answer and log."""
        await api.owner.execute("ALTER TABLE person RENAME COLUMN full_name TO secret_column")

        with structlog.testing.capture_logs() as logs:
            status, problem = await api.call("GET", "/v1/accounts/A-1", token=api.resident)

        assert status == 500
        assert problem == {
            "type": "/problems/ours",
            "title": "The mistake is ours; it has been noted",
            "status": 500,
        }
        failed = [entry for entry in logs if entry["event"] == "web.failed"]
        assert [(entry["error"], entry["route"]) for entry in failed] == [
            ("UndefinedColumnError", "/v1/accounts/{account_id}")
        ]
        assert "secret_column" not in str(logs)

    async def test_to_what_is_no_http_is_a_problem_too(self, api: Api) -> None:
        """The line below the application repeats nothing and names no versions either."""
        host, port = api.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /secret HTTP/9.9\r\nHost: x\r\n\r\n")

        with structlog.testing.capture_logs() as logs:
            answer = (await reader.read()).decode()
        writer.close()

        assert " 400 " in answer.splitlines()[0]
        assert "Content-Type: application/problem+json" in answer
        assert "X-Content-Type-Options: nosniff" in answer
        assert "Server: aqkol" in answer
        assert "aiohttp" not in answer
        assert "secret" not in answer + str(logs)

    async def test_without_a_database_says_try_again(self, api: Api) -> None:
        """A restart of the database is no mistake of the caller and none of ours."""
        await api.owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

        statuses = [(await api.call("GET", "/v1/meters", token=api.operator))[0] for _ in range(6)]

        assert set(statuses) <= {200, 503}
        assert statuses[-1] == 200

    async def test_leaves_a_line_in_the_log_without_secrets(self, api: Api) -> None:
        """The route by its template, never the token, the account or the word in the address."""
        with structlog.testing.capture_logs() as logs:
            await api.call("GET", "/v1/accounts/A-1?x=secret", token=api.resident)
            await api.call("GET", f"/v1/link/return?link={'a' * 40}")
            await api.call("GET", "/secret/path")

        lines = [
            (e["method"], e["route"], e["status"]) for e in logs if e["event"] == "web.answered"
        ]
        assert lines == [
            ("GET", "/v1/accounts/{account_id}", 422),
            ("GET", "/v1/link/return", 404),
            ("GET", "unknown", 404),
        ]
        said = str(logs)
        for secret in (api.resident, "A-1", "secret", "a" * 40):
            assert secret not in said


class TestHealth:
    """The service's health ..."""

    async def test_is_alive_without_a_database(self, api: Api) -> None:
        """A supervisor must not kill a process because its database restarts."""
        api.healthy["database"] = False

        assert await api.call("GET", "/livez") == (200, {"alive": True})

    async def test_is_ready_when_everything_answers(self, api: Api) -> None:
        """Then, and only then, may callers be sent here."""
        assert await api.call("GET", "/readyz") == (
            200,
            {"ready": True, "checks": {"database": True}},
        )

        api.healthy["database"] = False
        status, problem = await api.call("GET", "/readyz")

        assert (status, problem["detail"]) == (503, "database")

    async def test_counts_requests_by_template(self, api: Api) -> None:
        """Figures by route and status; an id in a label would be personal data for ever."""
        await bill(api)
        await api.call("GET", "/v1/accounts/A-1", token=api.resident)
        await api.call("LOCK", "/coffee")

        status, text = await api.call("GET", "/metrics", token=api.operator)

        assert status == 200
        assert (
            'aqkol_http_requests_total{method="GET",route="/v1/accounts/{account_id}",'
            'status="200"} 1.0' in text
        )
        assert 'method="other",route="unknown"' in text
        assert "A-1" not in text
        assert "LOCK" not in text


class MeterPath(Wire):
    """One meter."""

    meter_id: MeterId


class Sloppy:
    """Handlers to be declared wrongly."""

    async def takes(self, call: Call[MeterPath, Nothing, Nothing]) -> Nothing:
        """Take a meter in its path."""
        raise NotThereError(call.path.meter_id)


class TestDeclarations:
    """A route that is declared wrongly ..."""

    def test_without_a_policy_does_not_import(self) -> None:
        """Nobody forgets who may call a route: the module does not load."""
        with pytest.raises(TypeError, match="policy"):
            route("GET", "/x/{meter_id}", summary="x", tag="x")(Sloppy.takes)  # type: ignore[call-arg] # that is the point

    @pytest.mark.parametrize("policy", [None, "operator", True])
    def test_with_half_a_policy_does_not_import(self, policy: object) -> None:
        """A text that looks like a policy would match none of the cases."""
        with pytest.raises(RouteError, match="policy"):
            route("GET", "/x/{meter_id}", policy=policy, summary="x", tag="x")(  # type: ignore[arg-type] # that is the point
                Sloppy.takes
            )

    @pytest.mark.parametrize("path", ["/x", "/x/{meter}", "/x/{meter_id}/{more}"])
    def test_with_a_path_that_its_model_does_not_know(self, path: str) -> None:
        """A parameter nobody reads is a parameter nobody checks."""
        with pytest.raises(RouteError, match="disagree"):
            route("GET", path, policy=Policy.PUBLIC, summary="x", tag="x")(Sloppy.takes)

    def test_for_residents_names_an_account(self) -> None:
        """Without an account in the path there is nothing to compare the token with."""
        with pytest.raises(RouteError, match="account"):
            route("GET", "/x/{meter_id}", policy=Policy.RESIDENT, summary="x", tag="x")(
                Sloppy.takes
            )

    def test_twice_does_not_mount(self) -> None:
        """Of two handlers for one address the second would never be asked."""

        class Twice:
            @route("GET", "/x", policy=Policy.PUBLIC, summary="x", tag="x")
            async def one(self, _call: Call[Nothing, Nothing, Nothing]) -> Nothing:
                return Nothing()

            @route("GET", "/x", policy=Policy.PUBLIC, summary="x", tag="x")
            async def two(self, _call: Call[Nothing, Nothing, Nothing]) -> Nothing:
                return Nothing()

        with pytest.raises(MountError, match="GET /x"):
            mounted(*routes_of(Twice()))

    def test_with_an_error_that_has_no_status_does_not_mount(self) -> None:
        """An error nobody thought of would be told as ours."""

        class Lost:
            @route("GET", "/x", policy=Policy.PUBLIC, summary="x", tag="x", raises=(LookupError,))
            async def one(self, _call: Call[Nothing, Nothing, Nothing]) -> Nothing:
                return Nothing()

        with pytest.raises(MountError, match="LookupError"):
            mounted(*routes_of(Lost()))


def mounted(*bounds: Bound) -> web.Application:
    nothing: Any = None
    return mount(bounds, pool=nothing, clock=nothing, errors={}, registry=CollectorRegistry())
