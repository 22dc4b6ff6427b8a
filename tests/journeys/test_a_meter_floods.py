"""One meter says more than all others together: they are answered long before it is.

The ingest is a real process and begins with everything waiting at the broker, the flood in front.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import aiomqtt
import asyncpg
import pytest

from app.bench import children
from tests.conftest import Broker
from tests.serving import environment

INSTALLED = datetime(2026, 1, 1, tzinfo=UTC)
FLOOD, OTHERS = 8000, 50
LOUD = "AQ-999999"
QUIET = [f"AQ-{number:06d}" for number in range(OTHERS)]
# What one batch takes at most. In the order of arrival the others would be in the last batch, so
# fewer of the flood than this would be left when they are answered.
BATCH = 2000


def topic(meter_id: str, direction: str) -> str:
    return f"gas/v1/{crc32(meter_id.encode()) % 64:02d}/{meter_id}/{direction}"


def nonsense(counter: int) -> dict[str, Any]:
    return {"meter": LOUD, "counter": counter}


def honest(counter: int, meter_id: str = LOUD) -> dict[str, Any]:
    at = INSTALLED + timedelta(minutes=counter)
    readings = [{"at": at.isoformat(), "dm3": counter // 100}]
    return {"meter": meter_id, "counter": counter, "readings": readings}


class Ear:
    """A stranger who hears what every meter is told."""

    def __init__(self) -> None:
        self.told: dict[str, dict[int, tuple[str, str | None]]] = defaultdict(dict)
        # How many of the flood had an answer when the last of the others got one.
        self.flood_before: int | None = None

    async def listen(self, client: aiomqtt.Client) -> None:
        """Listen until everybody has every answer."""
        async for message in client.messages:
            said = json.loads(bytes(message.payload))
            for receipt in said["receipts"]:
                answer = (receipt["result"], receipt.get("reason"))
                self.told[said["meter"]][receipt["counter"]] = answer
            if self.flood_before is None and all(self.told.get(name) for name in QUIET):
                self.flood_before = len(self.told[LOUD])
            if self.flood_before is not None and len(self.told[LOUD]) == FLOOD:
                return


async def register(owner: asyncpg.Connection) -> None:
    for meter_id in (LOUD, *QUIET):
        await owner.execute(
            "INSERT INTO meter VALUES ($1, 100000000, 1, 6000, true, $2)", meter_id, INSTALLED
        )
        await owner.execute(
            "INSERT INTO installation VALUES ($1, $2, 'A-1', 'SP-1', 0)", meter_id, INSTALLED
        )


async def publish(client: aiomqtt.Client, bodies: list[dict[str, Any]]) -> None:
    """Publish in this order, and wait until the broker has it all."""
    await asyncio.gather(
        *(
            client.publish(topic(body["meter"], "up/json"), json.dumps(body), qos=1)
            for body in bodies
        )
    )


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("say", "answer", "case"),
    [
        (nonsense, ("refused", "bad_shape"), "refused_flood"),
        (honest, ("stored", None), "telegram_flood"),
    ],
)
async def test_a_flood_of_one_meter_leaves_the_others_unaffected(
    own_mosquitto: Broker,
    owner: asyncpg.Connection,
    database_url: str,
    tmp_path: Path,
    say: Callable[[int], dict[str, Any]],
    answer: tuple[str, str | None],
    case: str,
) -> None:
    """Everybody is answered, the others first, and an operator is asked to look."""
    await register(owner)
    env = environment(database_url=database_url, mqtt_url=own_mosquitto.url, state=tmp_path)
    async with children.ingest(env):
        pass  # Now the broker knows whom it keeps messages for.
    place = (own_mosquitto.host, own_mosquitto.port)
    async with aiomqtt.Client(*place, max_inflight_messages=1000) as meters:
        meters.pending_calls_threshold = FLOOD + OTHERS
        await publish(meters, [say(counter) for counter in range(FLOOD)])
        await publish(meters, [honest(1, meter_id) for meter_id in QUIET])
    ear = Ear()
    async with aiomqtt.Client(*place) as stranger:
        await stranger.subscribe("gas/v1/+/+/down/receipt", qos=1)
        async with children.ingest(env), asyncio.timeout(120):
            await ear.listen(stranger)

    assert ear.flood_before is not None
    assert FLOOD - ear.flood_before > BATCH
    assert all(ear.told[meter_id] == {1: ("stored", None)} for meter_id in QUIET)
    assert ear.told[LOUD] == dict.fromkeys(range(FLOOD), answer)
    cases = await owner.fetch("SELECT meter_id, kind FROM meter_case")
    assert [tuple(row.values()) for row in cases] == [(LOUD, case)]
