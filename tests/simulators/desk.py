"""A service's end of the wire, just enough of it to answer meters; and a broker that can die."""

import asyncio
import contextlib
import json
import math
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

from tests.conftest import Broker

SETTLE_S = 15


@dataclass(slots=True, kw_only=True)
class Desk:
    """It hears telegrams and answers them; it can swallow answers, stammer or refuse."""

    prefix: str
    heard: list[bytes] = field(default_factory=list)
    stored: dict[tuple[str, int], bytes] = field(default_factory=dict)
    conflicts: list[tuple[str, int]] = field(default_factory=list)
    garbled: int = 0
    swallow_every: int = 0
    swallowed: set[tuple[str, int]] = field(default_factory=set)
    stammer: bool = False
    refuse: dict[int, str] = field(default_factory=dict)
    mute: bool = False
    truth: Path | None = None
    untold: list[bytes] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def readings(self) -> dict[tuple[str, str], int]:
        """What was stored: meter and time to register."""
        return {
            (meter, reading["at"]): reading["dm3"]
            for (meter, _), payload in self.stored.items()
            for reading in json.loads(payload)["readings"]
        }

    def answer(self, topic: str, payload: bytes) -> list[dict[str, Any]]:
        """Return the receipts for one telegram."""
        self.heard.append(payload)
        self.arrived.set()
        meter = topic.split("/")[3]
        if self.truth is not None and not self._is_told(meter, payload):
            self.untold.append(payload)
        try:
            body = json.loads(payload)
        except ValueError:
            self.garbled += 1
            return [{"counter": None, "result": "refused", "reason": "not_json"}]
        counter = body["counter"]
        key = (meter, counter)
        if counter in self.refuse:
            return [{"counter": counter, "result": "refused", "reason": self.refuse[counter]}]
        result = "repeated" if key in self.stored else "stored"
        if self.stored.setdefault(key, payload) != payload:
            self.conflicts.append(key)
        if self.mute:
            return []
        if self.swallow_every and counter % self.swallow_every == 0 and key not in self.swallowed:
            self.swallowed.add(key)
            return []
        return [{"counter": counter, "result": result}] * (2 if self.stammer else 1)

    def _is_told(self, meter: str, payload: bytes) -> bool:
        """Say whether the truth file knew every reading of a telegram when it arrived."""
        assert self.truth is not None
        lines = [json.loads(line) for line in self.truth.read_text().splitlines()]
        told = {(line["at"], line["register_dm3"]) for line in lines if line["meter"] == meter}
        body = json.loads(payload)
        return all((reading["at"], reading["dm3"]) in told for reading in body["readings"])

    async def hears(self, count: int) -> None:
        """Wait until so many telegrams have arrived, repeats included."""
        while len(self.heard) < count:
            self.arrived.clear()
            await self.arrived.wait()

    async def serve(self, broker: Broker, ready: asyncio.Event) -> None:
        """Answer for ever, over broken connections too."""
        while True:
            with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                async with aiomqtt.Client(
                    broker.host, broker.port, identifier=f"desk-{self.prefix}"
                ) as client:
                    client.pending_calls_threshold = 100_000
                    await client.subscribe("gas/v1/+/+/up/json", 1)
                    ready.set()
                    async for message in client.messages:
                        await self._take(client, message)
            await asyncio.sleep(0.05)

    async def _take(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        topic = str(message.topic)
        if f"/{self.prefix}" not in topic or not isinstance(message.payload, bytes):
            return
        receipts = self.answer(topic, message.payload)
        if receipts:
            body = {
                "meter": topic.split("/")[3],
                "at": "2026-01-01T00:00:00Z",
                "receipts": receipts,
            }
            down = topic.replace("/up/json", "/down/receipt")
            async with asyncio.timeout(1):
                await client.publish(down, json.dumps(body), qos=1, retain=True, timeout=math.inf)


@contextlib.asynccontextmanager
async def serving(desk: Desk, broker: Broker) -> AsyncIterator[Desk]:
    """Run a desk while the block lasts."""
    ready = asyncio.Event()
    task = asyncio.create_task(desk.serve(broker, ready))
    await asyncio.wait_for(ready.wait(), SETTLE_S)
    yield desk
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@dataclass(slots=True, kw_only=True)
class MortalBroker:
    """A broker with a disk that a test may stop and start again on the same port."""

    home: Path
    port: int
    server: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> Broker:
        """Where it listens."""
        return Broker(host="127.0.0.1", port=self.port)

    def start(self) -> None:
        """Start it and wait until it listens."""
        conf = self.home / "mosquitto.conf"
        conf.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.home}/\nuser root\n"
            "max_queued_messages 0\nmax_inflight_messages 65535\n"
        )
        self.server = subprocess.Popen(
            ["/usr/sbin/mosquitto", "-c", str(conf)], stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.server.wait(0.05)
        raise AssertionError("the broker does not come up")

    def stop(self) -> None:
        """Stop it in good order; what it keeps stays on its disk."""
        assert self.server is not None
        self.server.terminate()
        self.server.wait(20)
