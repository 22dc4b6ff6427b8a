"""Our own services at a broker that runs with the configuration we generate."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from app import config, doctor
from app.broker_tls import broker_tls
from app.config import Settings
from app.wiring import subscription
from metering.ingest import IngestCounts, ingest_once
from metering.io.mqtt import Subscription
from metering.io.store import Store
from metering.lease import Share
from metering.meter import bucket
from tests.contract.broker_town import Town, down, running, up, without

pytestmark = pytest.mark.timeout(60)

AT = datetime(2026, 3, 1, tzinfo=UTC)
INSTALLED = datetime(2026, 1, 1, tzinfo=UTC)
ALL = Share(number=0, of=1)
# A default broker keeps 1000.
WAITING = 1_500


class FixedClock:
    """It is always the same moment."""

    def now(self) -> datetime:
        """Return that moment."""
        return AT


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """Return a broker as we configure it."""
    with running(tmp_path) as town:
        yield town


def settings_of(town: Town, name: str = "aqkol-ingest", **more: object) -> Settings:
    """Return the settings of a service with a certificate in files."""
    leaf = town.services.issue(name)
    (town.home / "me.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
    (town.home / "me.key").write_bytes(leaf.private_key_pem.bytes())
    return config.load(
        mqtt_urls=url(town),
        mqtt_ca=town.home / "web-ca.pem",
        mqtt_cert=town.home / "me.pem",
        mqtt_key=town.home / "me.key",
        **more,
    )


def url(town: Town) -> str:
    return f"mqtts://localhost:{town.plan.services_port}"


async def register(owner: asyncpg.Connection, meter_id: str) -> None:
    """Register a meter and hang it up."""
    await owner.execute(
        "INSERT INTO meter (meter_id, dial_dm3, step_dm3, qmax_dm3_h, compensated, registered_at)"
        " VALUES ($1, 100000000, 1, 6000, true, $2)",
        meter_id,
        INSTALLED,
    )
    await owner.execute(
        "INSERT INTO installation VALUES ($1, $2, 'A-1', 'SP-1', 0)", meter_id, INSTALLED
    )


def telegram(meter_id: str) -> bytes:
    reading = {"at": "2026-02-01T00:00:00Z", "dm3": 1000}
    return json.dumps({"meter": meter_id, "counter": 1, "readings": [reading]}).encode()


class TestOurIngest:
    """Ingest with its own certificate ..."""

    async def test_takes_telegrams_and_answers(
        self, town: Town, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Both of its connections live under one certificate, and a receipt reaches the meter."""
        await register(owner, "AQ-1")
        with town.meter("AQ-1") as meter:
            meter.subscribe(f"gas/v1/{bucket('AQ-1')}/AQ-1/down/#")
            async with subscription(url(town), settings_of(town), ALL) as listening:
                await asyncio.wait_for(listening.wait_connected(), 30)
                assert await asyncio.to_thread(meter.publish, up("AQ-1"), telegram("AQ-1")) == 0

                counts = await ingest_once(listening, Store(pool), FixedClock())
            # Closing waits for what was sent, so the receipt is with the broker by now.
            heard = meter.heard()

        assert (counts.stored, counts.refused, counts.receipts_unsent) == (1, 0, 0)
        assert [one.topic for one in heard] == [down("AQ-1")]

    async def test_finds_what_came_while_it_was_away(self, town: Town) -> None:
        """More than a default broker keeps, and through a restart of the broker."""
        settings = settings_of(town)
        async with subscription(url(town), settings, ALL) as listening:
            await asyncio.wait_for(listening.wait_connected(), 30)
        with town.meter("AQ-1") as meter:
            meter.shout(meter.telegram(up("AQ-1"), b"x") * WAITING, WAITING)
        town.stop()
        town.start()

        found = 0
        async with subscription(url(town), settings, ALL) as listening, asyncio.timeout(30):
            while found < WAITING:
                found += len(await listening.get_batch(WAITING))
            assert listening.session_present

        assert found == WAITING

    async def test_knows_a_retained_telegram_for_a_repeat(
        self, town: Town, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """D10: the broker hands it to each new session; it is stored once and answered again."""
        await register(owner, "AQ-1")
        with town.meter("AQ-1") as meter:
            meter.publish(up("AQ-1"), telegram("AQ-1"), retain=True)
        total = IngestCounts()
        context = broker_tls(settings_of(town))
        for name in ("first", "second"):
            async with Subscription(url(town), client_id=name, tls_context=context) as listening:
                total += await asyncio.wait_for(
                    ingest_once(listening, Store(pool), FixedClock()), 30
                )

        assert (total.stored, total.repeated, total.refused) == (1, 1, 0)
        assert await owner.fetchval("SELECT count(*) FROM reading") == 1


class TestTheDoctor:
    """The doctor at our broker ..."""

    async def test_is_content(self, town: Town, tmp_path: Path) -> None:
        """With the ingest's own certificate it may try what ingest relies on."""
        report = await doctor.examine(settings_of(town, state=tmp_path / "state"))

        broker = [one for one in report.findings if one.name.startswith("broker ")]
        assert [one.state for one in broker] == ["ok", "ok", "ok", "ok"]
        assert "lets nobody in without" in broker[-1].detail

    async def test_minds_a_broker_that_lets_anybody_in(self, tmp_path: Path) -> None:
        """A broker that works for us may work for everybody."""
        ask = without("require_certificate", "use_identity", "use_username", "crlfile")
        with running(
            tmp_path,
            conf=lambda said: ask(said).replace("allow_anonymous false", "allow_anonymous true"),
            acl=lambda _: "topic readwrite #\ntopic read $SYS/#\n",
        ) as town:
            report = await doctor.examine(settings_of(town, state=tmp_path / "state"))

        problems = [one.detail for one in report.findings if one.state == "problem"]
        assert len(problems) == 1
        assert problems[0].startswith("lets anybody in")

    async def test_names_a_certificate_that_is_not_there(self, town: Town, tmp_path: Path) -> None:
        """A mistyped path must not look like a broken broker."""
        settings = settings_of(town, state=tmp_path / "state")
        (tmp_path / "me.key").unlink()

        report = await doctor.examine(settings)

        assert "AQKOL_MQTT_KEY cannot be used" in report.as_text()
