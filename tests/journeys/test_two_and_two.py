"""Two brokers and two ingest processes, each killed ten times while meters send.

The meters are this test's own: each keeps a telegram until somebody says that it is stored. Brokers
that are killed lose what they held since their last save, and ingest what it had in hand.
"""

import asyncio
import json
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import aiomqtt
import asyncpg
import pytest

from app.servers.mosquitto import Mosquitto
from tests.serving import ROOT, environment

METERS, TELEGRAMS, KILLS = 40, 60, 10
TOTAL = 2 * METERS * TELEGRAMS
START = datetime(2026, 1, 1, tzinfo=UTC)
# So many telegrams of one town's half are under way at once; after a pause they are sent again.
WINDOW, PATIENCE_S = 120, 2.0

Key = tuple[str, int]


def read_at(counter: int) -> datetime:
    return START + timedelta(hours=counter)


def register_dm3(meter: str, counter: int) -> int:
    """Return a register that no other telegram has."""
    return 1000 * counter + int(meter[-2:])


def telegram(key: Key) -> tuple[str, str]:
    meter, counter = key
    body = {
        "meter": meter,
        "counter": counter,
        "readings": [{"at": read_at(counter).isoformat(), "dm3": register_dm3(meter, counter)}],
    }
    return f"gas/v1/{crc32(meter.encode()) % 64:02d}/{meter}/up/json", json.dumps(body)


@dataclass(slots=True, kw_only=True)
class Half:
    """The meters of one broker: what they still owe, and what was receipted."""

    port: int
    owed: dict[Key, None]
    receipted: set[Key] = field(default_factory=set)
    refused: list[object] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        """Send until nothing is owed, over as many connections as it takes."""
        while self.owed:
            with suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1", self.port, protocol=aiomqtt.ProtocolVersion.V5, timeout=5
                ) as client:
                    await client.subscribe("gas/v1/+/+/down/receipt", qos=1)
                    listening = asyncio.create_task(self._listen(client))
                    try:
                        await self._send(client, listening)
                    finally:
                        listening.cancel()
                        await asyncio.wait({listening})
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.05)

    async def _send(self, client: aiomqtt.Client, listening: asyncio.Task[None]) -> None:
        while self.owed and not listening.done():
            under_way = list(self.owed)[:WINDOW]
            for key in under_way:
                topic, payload = telegram(key)
                await client.publish(topic, payload, qos=1)
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S), self.changed:
                    await self.changed.wait_for(
                        lambda: not any(key in self.owed for key in under_way)  # noqa: B023 - now
                    )

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            said = json.loads(bytes(message.payload))
            async with self.changed:
                for receipt in said["receipts"]:
                    key = (said["meter"], receipt["counter"])
                    if receipt["result"] == "refused":
                        self.refused.append(receipt)
                    else:
                        self.receipted.add(key)
                        self.owed.pop(key, None)
                self.changed.notify_all()


@dataclass(slots=True, kw_only=True)
class Ingest:
    """An ``aqkol ingest`` that is started again after each death."""

    env: dict[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and do not wait."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "app", "ingest", cwd=ROOT, env=self.env, stderr=log
            )

    async def kill(self) -> None:
        """End it without a word."""
        assert self.process is not None
        assert self.process.returncode is None, self.log.read_text(encoding="utf-8")
        self.process.kill()
        await self.process.wait()

    async def there(self, owner: asyncpg.Connection) -> bool:
        """Say whether it has told the others that it is there."""
        assert self.process is not None
        return bool(
            await owner.fetchval(
                "SELECT count(*) FROM ingest_worker WHERE split_part(worker, '/', 3) = $1",
                str(self.process.pid),
            )
        )


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    never = asyncio.get_running_loop().create_future()
    while not await seen():
        await asyncio.wait([never], timeout=0.02)


@asynccontextmanager
async def towns(
    tmp_path: Path, database_url: str
) -> AsyncIterator[tuple[list[Mosquitto], list[Ingest]]]:
    """Start two brokers that save as ours do, and two processes that share their meters."""
    brokers = [Mosquitto(home=tmp_path / f"broker-{number}") for number in (1, 2)]
    urls = [await broker.start() for broker in brokers]
    env = environment(
        database_url=database_url, mqtt_url=",".join(urls), state=tmp_path / "state",
        AQKOL_INGEST_SHARES="2",
    )  # fmt: skip
    ingests = [Ingest(env=env, log=tmp_path / f"ingest-{number}.log") for number in (1, 2)]
    try:
        for ingest in ingests:
            await ingest.start()
        yield brokers, ingests
    finally:
        for ingest in ingests:
            if ingest.process is not None and ingest.process.returncode is None:
                ingest.process.send_signal(signal.SIGINT)
                await ingest.process.wait()
        for broker in brokers:
            await broker.stop()


async def kill_broker(broker: Mosquitto) -> None:
    """End a broker without a word, and start it again on what it had saved."""
    process = broker._process
    assert process is not None
    process.kill()
    process.wait()
    await broker.start()


@pytest.mark.slow
@pytest.mark.timeout(420)
async def test_two_brokers_and_two_processes_are_killed(
    database_url: str, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    """Every receipt was true, every telegram is stored, and none twice."""
    meters = [f"AQ-{half}{number:02d}" for half in (1, 2) for number in range(METERS)]
    await owner.executemany(
        "INSERT INTO meter VALUES ($1, 100000000, 1, 6000, true, $2)",
        [(meter, START) for meter in meters],
    )
    await owner.executemany(
        "INSERT INTO installation VALUES ($1, $2, 'A-1', 'SP-1', 0)",
        [(meter, START) for meter in meters],
    )
    dice = random.Random(22)  # noqa: S311 - it need not be secret, only the same each time
    async with towns(tmp_path, database_url) as (brokers, ingests):
        halves = [
            Half(
                port=broker.port,
                owed={
                    (meter, counter): None
                    for counter in range(1, TELEGRAMS + 1)
                    for meter in meters
                    if meter.startswith(f"AQ-{number}")
                },
            )
            for number, broker in enumerate(brokers, start=1)
        ]
        sending = [asyncio.create_task(half.run()) for half in halves]
        deaths = await kill_everybody(dice, brokers, ingests, halves, owner)
        await asyncio.gather(*sending)
    assert deaths == {"broker-1": KILLS, "broker-2": KILLS, "ingest-1": KILLS, "ingest-2": KILLS}
    assert [half.refused for half in halves] == [[], []]
    assert halves[0].receipted | halves[1].receipted == {
        (meter, counter) for meter in meters for counter in range(1, TELEGRAMS + 1)
    }
    stored = await owner.fetch("SELECT meter_id, counter FROM telegram")
    assert len(stored) == TOTAL
    rows = await owner.fetch(
        "SELECT meter_id, counter, read_at, register_dm3, verdict FROM reading"
    )
    assert sorted(tuple(row.values()) for row in rows) == sorted(
        (meter, counter, read_at(counter), register_dm3(meter, counter), "billable")
        for meter in meters
        for counter in range(1, TELEGRAMS + 1)
    )


async def kill_everybody(
    dice: random.Random,
    brokers: list[Mosquitto],
    ingests: list[Ingest],
    halves: list[Half],
    owner: asyncpg.Connection,
) -> dict[str, int]:
    """Kill each of the four ten times, each time after some more receipts; count the deaths."""
    deaths = dict.fromkeys(("broker-1", "broker-2", "ingest-1", "ingest-2"), 0)
    # So much is left for after the last death.
    step = TOTAL // (4 * KILLS + 4)
    for turn in range(KILLS):
        victims = list(deaths)
        dice.shuffle(victims)
        for place, name in enumerate(victims, start=1):
            wanted = (4 * turn + place) * step

            async def reached(wanted: int = wanted) -> bool:
                return sum(len(half.receipted) for half in halves) >= wanted

            await until(reached)
            kind, number = name.split("-")
            if kind == "broker":
                await kill_broker(brokers[int(number) - 1])
            else:
                victim = ingests[int(number) - 1]
                await until(lambda victim=victim: victim.there(owner))  # type: ignore[misc]
                await victim.kill()
                promised = halves[0].receipted | halves[1].receipted
                kept = await owner.fetch("SELECT meter_id, counter FROM telegram")
                assert promised - {(row["meter_id"], row["counter"]) for row in kept} == set()
                await victim.start()
            deaths[name] += 1
    return deaths
