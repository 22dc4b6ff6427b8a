"""Files of readings over HTTP."""

import asyncio
import gzip
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from app.mount import mount
from app.run import SteppedClock
from app.serve import Runner
from metering.io.blob import Blob
from metering.io.route import (
    Call,
    Files,
    Nothing,
    Policy,
    RouteError,
    Wire,
    route,
    routes_of,
)
from metering.sheet import FILE_BYTES_MAX
from tests.app.api_town import AT, Api
from tests.app.test_metering_api import kind

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CSV: Final = {"Content-Type": "text/csv"}
HEAD: Final = b"meter,at,dm3\n"
# The meters of the town show 20,000 on New Year and 120,000 on 1 February, local time.
GOOD: Final = b"AQ-000001,2026-02-05T00:00:00+05:00,130000\n"
SECOND: Final = b"AQ-000002,2026-02-05T00:00:00+05:00,140000\n"


async def send(
    api: Api, data: bytes, query: str = "", headers: dict[str, str] = CSV
) -> tuple[int, Any]:
    return await api.call(
        "POST", f"/v1/uploads{query}", token=api.operator, data=data, headers=headers
    )


async def uploads(api: Api, query: str = "") -> Any:
    status, page = await api.call("GET", f"/v1/uploads{query}", token=api.operator)
    assert status == 200
    return page


@asynccontextmanager
async def raw(api: Api, *pieces: bytes) -> AsyncIterator[Ends]:
    """Send the head of a request for an upload, and these pieces; leave at the end."""
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
        b"Authorization: Bearer " + api.operator.encode() + b"\r\n" + b"".join(pieces)
    )
    try:
        await writer.drain()
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


class TestAnUpload:
    """A file that is sent ..."""

    async def test_is_answered_row_by_row(self, api: Api) -> None:
        """The operator sees at once which rows to mend; the readings are there."""
        data = HEAD + GOOD + b"AQ-000001,2026-02-06\n" + b"AQ-404,2026-02-05T00:00:00Z,5\n"
        status, answer = await send(api, data)
        upload_id = answer.pop("upload_id")

        assert status == 200
        assert answer == {
            "rows": 3,
            "stored": 1,
            "repeated": 0,
            "refused": 2,
            "suspect": 0,
            "flagged": 0,
            "answers": [
                {
                    "row": 3,
                    "meter_id": "AQ-000001",
                    "read_at": None,
                    "result": "refused",
                    "reason": "half_row",
                },
                {
                    "row": 4,
                    "meter_id": "AQ-404",
                    "read_at": "2026-02-05T00:00:00Z",
                    "result": "refused",
                    "reason": "unknown_meter",
                },
            ],
            "answers_left_out": 0,
        }
        _, shown = await api.call("GET", f"/v1/uploads/{upload_id}", token=api.operator)
        assert (shown["state"], shown["rows"], shown["rows_done"]) == ("done", 3, 3)
        assert (shown["sent_by"], shown["form"], shown["zone"]) == ("a test", "csv", None)
        _, page = await api.call("GET", f"/v1/uploads/{upload_id}/rows?limit=1", token=api.operator)
        assert (page["rows"], page["next"]) == (answer["answers"][:1], 3)
        _, page = await api.call("GET", f"/v1/uploads/{upload_id}/rows?after=3", token=api.operator)
        assert (page["rows"], page["next"]) == (answer["answers"][1:], None)
        _, readings = await api.call(
            "GET", "/v1/meters/AQ-000001/readings?after=2026-02-02T00:00:00Z", token=api.operator
        )
        assert [it["register_dm3"] for it in readings["readings"]] == [130_000]

    async def test_again_is_found_repeated(self, api: Api) -> None:
        """The button pressed twice."""
        await send(api, HEAD + GOOD + SECOND)
        status, answer = await send(api, HEAD + GOOD + SECOND)

        assert (status, answer["stored"], answer["repeated"]) == (200, 0, 2)
        assert [it["repeated"] for it in (await uploads(api))["uploads"]] in ([2, 0], [0, 2])

    async def test_may_be_lines_of_json(self, api: Api) -> None:
        """What a program writes needs no separators."""
        line = b'{"meter": "AQ-000001", "at": "2026-02-05T00:00:00+05:00", "m3": "130.000"}\n'
        status, answer = await send(api, line, headers={"Content-Type": "application/x-ndjson"})

        assert (status, answer["stored"]) == (200, 1)

    async def test_is_read_as_declared(self, api: Api) -> None:
        """Local times, a comma, another alphabet: all said, none guessed."""
        data = (
            "meter;at;m3;flags\nAQ-000001;2026-02-05 00:00;130,5;\nсчёт;;;\n"  # noqa: RUF001
        ).encode("cp1251")
        manner = "zone=Asia/Almaty&decimal=,"

        refused = kind(await send(api, data, f"?{manner}"))
        status, answer = await send(api, data, f"?{manner}&encoding=windows-1251")
        _, again = await send(
            api, data, f"?{manner}", {"Content-Type": "text/csv; charset=Windows-1251"}
        )

        assert refused == (422, "upload-unreadable")
        assert (status, answer["stored"], answer["refused"]) == (200, 1, 1)
        assert (again["repeated"], again["refused"]) == (1, 1)

    async def test_may_only_be_tried_out(self, api: Api) -> None:
        """All answers, and no trace."""
        before = await api.owner.fetchval("SELECT count(*) FROM reading")
        status, answer = await send(api, HEAD + GOOD + b"x\n", "?dry_run=true")

        assert (status, answer["upload_id"], answer["stored"], answer["refused"]) == (
            200,
            None,
            1,
            1,
        )
        assert await api.owner.fetchval("SELECT count(*) FROM reading") == before
        assert (await uploads(api))["uploads"] == []

    async def test_never_comes_back_as_a_formula(self, api: Api) -> None:
        """A spreadsheet that shows our answer must not run what a stranger wrote into a cell."""
        cells = b"=1+1,+1,@SUM(1)\n-2+3,2026-02-05T00:00:00Z,5\n=cmd|' /C calc'!A0,,\n"
        status, answer = await send(api, HEAD + cells)

        assert (status, answer["refused"]) == (200, 3)
        assert [it["meter_id"] for it in answer["answers"]] == [None] * 3
        for sign in "=+@|!":
            assert sign not in str(answer)

    async def test_is_listed_page_by_page(self, api: Api) -> None:
        """Three files at one instant: nothing twice, nothing left out, and an end."""
        for data in (HEAD + GOOD, HEAD + SECOND, b"nonsense\n"):
            await send(api, data)
        found, query = [], "?limit=2"
        while query:
            page = await uploads(api, query)
            found += [it["upload_id"] for it in page["uploads"]]
            place = page["next_before"]
            query = place and (
                f"?limit=2&before={place}&before_upload={page['next_before_upload']}"
            )

        assert len(found) == len(set(found)) == 3

    async def test_may_hold_more_than_a_mebibyte(self, api: Api) -> None:
        """The limit of JSON bodies is not the limit of files."""
        async with api.session.post(
            f"{api.url}/v1/uploads",
            data=io.BytesIO(HEAD + b"9" * 2**21 + b"\n" + GOOD),
            headers={**CSV, "Authorization": f"Bearer {api.operator}"},
        ) as response:
            answer = await response.json()

        assert (response.status, answer["stored"]) == (200, 1)
        assert answer["answers"][0]["reason"] == "line_too_long"


class TestAFileThatIsNotTaken:
    """A file that is not taken ..."""

    async def test_in_a_wrong_encoding_says_where(self, api: Api) -> None:
        """The line and the byte, and it stands among the uploads as failed."""
        status, problem = await send(api, HEAD + GOOD + "счёт".encode("cp1251"))

        assert (status, problem["type"]) == (422, "/problems/upload-unreadable")
        assert problem["detail"].startswith("bad_encoding at line 3, byte 57: not utf-8 (upload ")
        (failed,) = (await uploads(api))["uploads"]
        assert (failed["state"], failed["reason"], failed["rows"]) == ("failed", "bad_encoding", 0)
        _, evidence = await api.call("GET", "/v1/telegrams/refused", token=api.operator)
        assert [it["topic"] for it in evidence["telegrams"]] == ["upload"]

    @pytest.mark.parametrize(
        "query",
        ["encoding=koi8-r", "decimal=;", "dry_run=maybe", "zone=../x", "sep=,", "before=x"],
    )
    async def test_with_a_manner_we_do_not_know_is_422(self, api: Api, query: str) -> None:
        """A misspelt option must not be taken for none."""
        assert kind(await send(api, HEAD + GOOD, f"?{query}")) == (422, "invalid")

    async def test_with_a_zone_that_does_not_exist_is_422(self, api: Api) -> None:
        """Nor a zone on Mars, nor an encoding that the head of the request contradicts."""
        assert kind(await send(api, HEAD + GOOD, "?zone=Mars/Base")) == (422, "zone-unknown")
        headers = {"Content-Type": "text/csv; charset=utf-8"}
        answer = await send(api, HEAD + GOOD, "?encoding=windows-1251", headers)
        assert kind(answer) == (422, "encoding-differs")

    @pytest.mark.parametrize(
        "headers",
        [
            {"Content-Type": "application/json"},
            {"Content-Type": "multipart/form-data; boundary=x"},
            {"Content-Type": "text/plain"},
            {"Content-Type": "text/csv; charset=koi8-r"},
            {"Content-Type": "text/csv", "Content-Encoding": "gzip"},
        ],
    )
    async def test_of_another_kind_is_415(self, api: Api, headers: dict[str, str]) -> None:
        """A browser's form, an archive that may hold a gigabyte, an alphabet we do not read."""
        data = gzip.compress(HEAD + GOOD) if "Content-Encoding" in headers else HEAD + GOOD

        assert kind(await send(api, data, headers=headers)) == (415, "file-kind")
        assert (await uploads(api))["uploads"] == []

    async def test_larger_than_we_take_is_413(self, api: Api) -> None:
        """Announced or not, nobody fills our disk."""

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(FILE_BYTES_MAX // 2**20 + 1):
                yield b" " * 2**20

        length = f"Content-Length: {FILE_BYTES_MAX + 1}\r\n\r\n".encode()
        async with raw(api, length) as (reader, _):
            announced = await reader.read()
        async with api.session.post(
            f"{api.url}/v1/uploads",
            data=endless(),
            headers={**CSV, "Authorization": f"Bearer {api.operator}"},
        ) as response:
            problem = await response.json(content_type=None)

        assert announced.startswith(b"HTTP/1.1 413")
        assert (response.status, problem["type"]) == (413, "/problems/file-too-large")

    async def test_whose_sender_leaves_is_not_taken(self, api: Api) -> None:
        """Half a file ends on a whole row here; only its length shows that more was to come."""
        for framing in (b"Content-Length: 9999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"):
            piece = HEAD + GOOD
            if b"chunked" in framing:
                piece = f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
            async with raw(api, framing, piece) as (reader, writer):
                writer.write_eof()
                answer = await reader.read()

            assert b" 200 " not in answer.splitlines()[:1]
        assert (await uploads(api))["uploads"] == []
        assert await api.owner.fetchval("SELECT count(*) FROM telegram") == 0

    async def test_is_no_residents(self, api: Api) -> None:
        """A resident's own readings come another way, with another trust; the body is not read."""
        for token, status in ((api.resident, 403), (None, 401)):
            answer = await api.call(
                "POST", "/v1/uploads", token=token, data=HEAD + GOOD, headers=CSV
            )
            assert answer[0] == status
        assert (await uploads(api))["uploads"] == []


class TestASenderWhoLeaves:
    """A sender who leaves after the last byte ..."""

    async def test_leaves_a_whole_upload(self, api: Api) -> None:
        """We had the file whole, so it is taken whole, whoever hears the answer."""
        piece = HEAD + GOOD + SECOND
        async with api.owner.transaction():
            # Nobody may judge a reading now, so the upload waits here after it began.
            await api.owner.execute("SELECT * FROM bucket FOR UPDATE")
            head = f"Content-Length: {len(piece)}\r\n\r\n".encode()
            async with raw(api, head, piece), asyncio.timeout(20):
                while not (found := (await uploads(api))["uploads"]):
                    pass

        assert (found[0]["state"], found[0]["rows_done"]) == ("running", 0)
        async with asyncio.timeout(20):
            while (found := (await uploads(api))["uploads"])[0]["state"] != "done":
                pass
        assert (found[0]["stored"], found[0]["rows_done"]) == (2, 2)


class TestTwoFilesAtOnce:
    """Two files at once ..."""

    async def test_are_taken_one_after_the_other(self, api: Api) -> None:
        """Both are answered, and both are whole."""
        answers = await asyncio.gather(
            *(send(api, HEAD + row) for row in (GOOD, SECOND, GOOD + SECOND))
        )

        assert [status for status, _ in answers] == [200] * 3
        assert sum(answer["stored"] for _, answer in answers) == 2
        assert sum(answer["repeated"] for _, answer in answers) == 2

    async def test_are_not_ten(self, api: Api) -> None:
        """Four are held, on disk and in mind; the fifth is told to come again."""
        async with AsyncExitStack() as senders:
            begun = 0
            async with asyncio.timeout(20):
                # One that comes while ours is being taken may itself be told to come again.
                while (answer := await send(api, HEAD + GOOD))[0] != 503:
                    await senders.enter_async_context(
                        raw(api, b"Content-Length: 9999\r\n\r\n", HEAD)
                    )
                    begun += 1
        assert begun >= 4
        assert answer[1]["detail"] == "too many files at once"
        async with asyncio.timeout(20):
            while (await send(api, HEAD + GOOD))[0] == 503:
                pass

        assert (await send(api, HEAD + GOOD))[1]["repeated"] == 1


class _Sloppy:
    async def takes(self, call: Call[Nothing, Nothing, Blob]) -> Nothing:
        """Take a file."""
        raise AssertionError(call)

    async def asks(self, call: Call[Nothing, Nothing, Nothing]) -> Nothing:
        """Take none."""
        raise AssertionError(call)


class TestDeclaration:
    """A route for files ..."""

    def test_says_which_it_takes(self) -> None:
        """A file without a limit would be one of any size."""
        files = Files(media_types=("text/csv",), bytes_max=1, seconds_max=1)
        with pytest.raises(RouteError, match="belong together"):
            route("POST", "/x", policy=Policy.OPERATOR, summary="x", tag="x")(_Sloppy.takes)
        with pytest.raises(RouteError, match="belong together"):
            route("POST", "/x", policy=Policy.OPERATOR, summary="x", tag="x", files=files)(
                _Sloppy.asks
            )
        with pytest.raises(RouteError, match="GET has no body"):
            route("GET", "/x", policy=Policy.OPERATOR, summary="x", tag="x", files=files)(
                _Sloppy.takes
            )

    async def test_is_described(self, api: Api) -> None:
        """A client's generator sees both kinds, and what else may be answered."""
        _, document = await api.call("GET", "/openapi.json")
        post = document["paths"]["/v1/uploads"]["post"]

        assert list(post["requestBody"]["content"]) == ["text/csv", "application/x-ndjson"]
        assert {"200", "408", "409", "413", "415", "422"} <= set(post["responses"])
        assert "`file-too-large`" in post["responses"]["413"]["description"]


class _Weighed(Wire):
    size_bytes: int


class _Scales:
    @route(
        "POST",
        "/scales",
        policy=Policy.PUBLIC,
        summary="x",
        tag="x",
        files=Files(media_types=("image/png",), bytes_max=4, seconds_max=0.05),
    )
    async def weigh(self, call: Call[Nothing, Nothing, Blob]) -> _Weighed:
        """Say how large a file is."""
        return _Weighed(size_bytes=call.body.size_bytes)


class TestAnyRoute:
    """Any route that takes files ..."""

    async def test_keeps_to_what_it_declared(self) -> None:
        """Its own kinds, bytes and seconds, and a file that never ends is told so."""
        nothing: Any = None
        app = mount(
            tuple(routes_of(_Scales())),
            pool=nothing,
            clock=SteppedClock(AT),
            errors={},
            registry=CollectorRegistry(),
        )
        runner = Runner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        statuses = []
        for head in (
            b"Content-Type: image/png\r\nContent-Length: 4",
            b"Content-Type: text/csv\r\nContent-Length: 4",
            b"Content-Type: image/png\r\nContent-Length: 5",
            b"Content-Type: image/png\r\nContent-Length: 3",
        ):
            reader, writer = await asyncio.open_connection(host, port)
            end = b"\r\n\r\n1234" if not head.endswith(b"3") else b"\r\n\r\n12"
            writer.write(b"POST /scales HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + end)
            async with asyncio.timeout(20):
                statuses.append((await reader.read()).split()[1])
            writer.close()
            await writer.wait_closed()
        await runner.cleanup()

        assert statuses == [b"200", b"415", b"413", b"408"]
