"""Sources over HTTP: entered, tried, listed, removed."""

import base64
from typing import Any, Final
from uuid import uuid4

import pytest

from metering.family import FAMILIES
from tests.app.api_town import Api
from tests.metering.toy_family import read

SOURCE: Final = {"family": "toy", "topic": "gate/+/up", "device": "A", "meter_id": "AQ-000001"}
SHOWN: Final = {
    **SOURCE,
    "dm3_numerator": 1,
    "dm3_denominator": 1,
    "offset_dm3": 0,
    "unit": "m3",
    "zone": "UTC",
    "every_s": 3600,
    "entered_by": "a test",
    "entered_at": "2026-02-10T12:00:00Z",
    "removed_by": None,
    "removed_at": None,
}


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know the family of the tests."""
    monkeypatch.setitem(FAMILIES, "toy", read)


async def post(api: Api, path: str = "", **change: object) -> tuple[int, Any]:
    return await api.call(
        "POST", f"/v1/sources{path}", token=api.operator, json={**SOURCE, **change}
    )


async def tried(api: Api, payload: bytes, topic: str = "gate/7/up", **change: object) -> Any:
    status, trial = await post(
        api,
        "/try",
        message_topic=topic,
        payload_base64=base64.b64encode(payload).decode(),
        **change,
    )
    assert status == 200, trial
    return trial


def kind(answer: tuple[int, Any]) -> tuple[int, str]:
    status, problem = answer
    return status, problem["type"].removeprefix("/problems/")


class TestSources:
    """A source ..."""

    async def test_is_entered_listed_and_removed(self, api: Api) -> None:
        """With the name of who did it; the entry stays."""
        status, made = await post(api)
        source_id = made.pop("source_id")
        assert (status, made) == (201, SHOWN)
        assert await post(api) == (200, {**SHOWN, "source_id": source_id})

        path = f"/v1/sources/{source_id}/remove"
        status, removed = await api.call("POST", path, token=api.operator)
        gone = {"removed_by": "a test", "removed_at": "2026-02-10T12:00:00Z"}
        assert (status, removed) == (200, {**SHOWN, **gone, "source_id": source_id})
        status, again = await post(api)
        assert status == 201

        status, page = await api.call("GET", "/v1/sources?limit=1", token=api.operator)
        assert [one["source_id"] for one in page["sources"]] == [page["next"]]
        path = f"/v1/sources?after={page['next']}"
        status, rest = await api.call("GET", path, token=api.operator)
        assert (status, rest["next"]) == (200, None)
        assert sorted(one["source_id"] for one in page["sources"] + rest["sources"]) == sorted(
            [source_id, again["source_id"]]
        )

    async def test_has_its_device_to_itself(self, api: Api) -> None:
        """The answer names the source that is in the way."""
        _, made = await post(api)

        status, problem = await post(api, topic="gate/7/up", meter_id="AQ-000002")

        assert kind((status, problem)) == (409, "source-claimed")
        assert made["source_id"] in problem["detail"]

    @pytest.mark.parametrize(
        ("change", "answer"),
        [
            ({"meter_id": "AQ-9"}, (404, "not-found")),
            ({"family": "nobody"}, (422, "source-unusable")),
            ({"device": ""}, (422, "source-unusable")),
            ({"zone": "Mars/Base"}, (422, "source-unusable")),
            ({"topic": "gas/#"}, (422, "topic-unusable")),
            ({"topic": "$SYS/#"}, (422, "topic-unusable")),
            ({"topic": "a#"}, (422, "topic-unusable")),
            ({"unit": "kWh"}, (422, "invalid")),
            ({"dm3_denominator": 0}, (422, "invalid")),
            ({"dm3_numerator": 1_000_000_000_000}, (422, "source-unusable")),
            ({"every_s": 0}, (422, "invalid")),
            ({"topic": "a\u0000"}, (422, "invalid")),
        ],
        ids=str,
    )
    async def test_is_refused_when_it_cannot_work(
        self, api: Api, change: dict[str, object], answer: tuple[int, str]
    ) -> None:
        """Now, and not when the first message comes."""
        assert kind(await post(api, **change)) == answer
        assert await api.owner.fetchval("SELECT count(*) FROM source") == 0

    async def test_must_be_there_to_be_removed(self, api: Api) -> None:
        """A typing error is not a success."""
        path = f"/v1/sources/{uuid4()}/remove"

        assert kind(await api.call("POST", path, token=api.operator)) == (404, "not-found")


class TestTrial:
    """A trial of a source ..."""

    async def test_shows_what_would_be_stored(self, api: Api) -> None:
        """Offset and unit included; a time that the payload does not have is now."""
        trial = await tried(api, b"A - 1.5;B - 9;A 2026-02-01T00:00:00+05:00 1", offset_dm3=7)

        assert trial == {
            "result": "read",
            "samples": [
                {"read_at": "2026-01-31T19:00:00Z", "register_dm3": 1007},
                {"read_at": "2026-02-10T12:00:00Z", "register_dm3": 1507},
            ],
            "flags": ["toy"],
            "reason": None,
            "detail": None,
        }

    async def test_shows_why_it_would_be_refused(self, api: Api) -> None:
        """In the words that the evidence would have."""
        trial = await tried(api, b"\xff\x00")

        assert (trial["result"], trial["reason"], trial["detail"]) == (
            "refused", "bad_shape", "not three words",
        )  # fmt: skip
        assert (await tried(api, b"x" * 65_537))["reason"] == "too_large"

    async def test_shows_that_it_would_say_nothing(self, api: Api) -> None:
        """Another device, an old message, another topic: three reasons for silence."""
        assert (await tried(api, b"B - 1"))["result"] == "nothing"
        assert (await tried(api, b"A - 1", retained=True))["result"] == "nothing"
        assert (await tried(api, b"A - 1", "gate/7/down"))["result"] == "not_heard"

    async def test_stores_nothing(self, api: Api) -> None:
        """Neither the source, nor a reading, nor evidence."""
        await tried(api, b"A - 1")
        await tried(api, b"nonsense")

        for table in ("source", "telegram", "refused_telegram"):
            assert await api.owner.fetchval(f"SELECT count(*) FROM {table}") == 0

    async def test_needs_a_source_that_could_be_entered(self, api: Api) -> None:
        """Otherwise a trial would promise what entering refuses."""
        more = {"message_topic": "gas/x", "payload_base64": ""}
        assert kind(await post(api, "/try", **more, topic="gas/#")) == (422, "topic-unusable")
        more["payload_base64"] = "%%"
        assert kind(await post(api, "/try", **more)) == (422, "invalid")
