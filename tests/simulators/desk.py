"""A service's end of the wire, just enough of it to answer meters; and a broker that can die."""

import asyncio
import contextlib
import hashlib
import json
import math
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiomqtt
import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

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
    up: str = "gas/v1/+/+/up/json"

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
                    await client.subscribe(self.up, 1)
                    ready.set()
                    async for message in client.messages:
                        await self._take(client, message)
            await asyncio.sleep(0.05)

    async def _take(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        topic = str(message.topic)
        if f"/{self.prefix}" not in topic or not isinstance(message.payload, bytes):
            return
        if (reply := self.reply(topic, message.payload)) is not None:
            async with asyncio.timeout(1):
                await client.publish(*reply, qos=1, retain=True, timeout=math.inf)

    def reply(self, topic: str, payload: bytes) -> tuple[str, bytes] | None:
        """Return topic and bytes of the answer to one telegram, if there is one."""
        receipts = self.answer(topic, payload)
        if not receipts:
            return None
        meter = topic.split("/")[3]
        body = {"meter": meter, "at": "2026-01-01T00:00:00Z", "receipts": receipts}
        return topic.replace("/up/json", "/down/receipt"), json.dumps(body).encode()


@dataclass(slots=True, kw_only=True)
class SignedDesk(Desk):
    """A desk for signed telegrams; it answers with its own key and what it has of each meter."""

    keys: dict[str, bytes]
    secret: Ed25519PrivateKey = field(
        default_factory=lambda: Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    )
    has: dict[str, set[int]] = field(default_factory=dict)
    forged: int = 0
    up: str = "gas/v1/+/+/up"

    @property
    def readings(self) -> dict[tuple[str, str], int]:
        """What was stored: meter and time in Almaty to register."""
        return {
            (meter, datetime.fromtimestamp(at_s, ZoneInfo("Asia/Almaty")).isoformat()): dm3
            for (meter, _), payload in self.stored.items()
            for at_s, dm3 in self.registers(payload)
        }

    def registers(self, payload: bytes) -> list[tuple[int, int]]:
        """Return all registers of a telegram."""
        body = cbor2.loads(cbor2.loads(payload).value[2])
        earlier = [(body[4] - back, body[5] - dm3) for back, dm3 in body.get(7, [])]
        return [(body[4], body[5]), *earlier]

    def reply(self, topic: str, payload: bytes) -> tuple[str, bytes] | None:
        """Return topic and bytes of the answer to one telegram, if there is one."""
        self.heard.append(payload)
        self.arrived.set()
        meter = topic.split("/")[3]
        try:
            protected, _, raw, signature = cbor2.loads(payload).value
            to_verify = cbor2.dumps(
                ["Signature1", protected, b"gas/v1/reading\0" + meter.encode(), raw]
            )
            public = Ed25519PublicKey.from_public_bytes(self.keys[meter])
            public.verify(signature, to_verify)
        except (InvalidSignature, AttributeError, ValueError, TypeError, cbor2.CBORError):
            self.garbled += 1
            return None
        counter = cbor2.loads(raw)[3]
        key = (meter, counter)
        if self.stored.setdefault(key, payload) != payload:
            self.conflicts.append(key)
        self.has.setdefault(meter, set()).add(counter)
        if self.mute:
            return None
        if self.swallow_every and counter % self.swallow_every == 0 and key not in self.swallowed:
            self.swallowed.add(key)
            return None
        return topic.removesuffix("/up") + "/down/ack", self.ack(meter)

    def ack(self, meter: str) -> bytes:
        """Return the signed acknowledgement of everything a meter has here."""
        high_water = max(self.has[meter])
        seen = bytearray(128)
        for counter in self.has[meter]:
            back = high_water - counter
            seen[back // 8] |= 1 << back % 8
        fields = {1: meter.encode(), 2: 1, 3: high_water, 4: bytes(seen), 5: 1_767_225_600}
        if self.refuse:
            fields[6] = [[counter, reason] for counter, reason in self.refuse.items()]
        kid = hashlib.sha256(self.secret.public_key().public_bytes_raw()).digest()[:8]
        protected = cbor2.dumps({1: -8, 4: kid}, canonical=True)
        raw = cbor2.dumps(fields, canonical=True)
        to_sign = cbor2.dumps(["Signature1", protected, b"gas/v1/ack\0" + meter.encode(), raw])
        signature = self.secret.sign(to_sign)
        return cbor2.dumps(cbor2.CBORTag(18, [protected, {}, raw, signature]))


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
