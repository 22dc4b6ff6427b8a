"""Each family from a broker's bytes to the database, through a source that was entered."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Final

import asyncpg
import pytest

from metering.adapter import Source
from metering.family import FAMILIES
from metering.ingest import IngestCounts, ingest
from metering.io.sources import SourceBook
from metering.io.store import Store
from metering.source import Switchboard
from metering.telegram import Arrival
from tests.metering.test_sources_store import hang, refused

AT: Final = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
ELEVEN: Final = datetime(2026, 3, 1, 11, tzinfo=UTC)
NOW: Final = AT.replace(microsecond=0)
EUI: Final = "001a79881700f1a4"
RADIO: Final = f"application/1/device/{EUI}/event/up"


def radio(**said: object) -> bytes:
    """Wrap what a device says as ChirpStack 4 does."""
    told = {"time": "2026-03-01T11:00:00.123Z", "deviceInfo": {"devEui": EUI}, **said}
    return json.dumps(told).encode()


def source(family: str, topic: str, device: str = "", **more: Any) -> Source:
    return Source(source_id="", family=family, topic=topic, meter_id="AQ-1", device=device, **more)


LITRES: Final = {"dm3_per_count": Fraction(10), "offset_dm3": 7}
# A source, where its hardware published, what; and the last register with its time, by hand.
# The payloads are shortened from those that the modules name.
ROWS: Final = [
    (source("scalar", "home/gas/state"), "home/gas/state", b"000917.567", NOW, 917_567),
    (
        source("scalar", "home/gas/state", unit="count", **LITRES),
        "home/gas/state", b"300", NOW, 3_007,
    ),
    (
        source("camera", "cam/main/json", zone="Asia/Almaty"), "cam/main/json",
        b'{"value":"917.567","error":"no error","timestamp":"2026-03-01T16:00:00"}',
        ELEVEN, 917_567,
    ),
    (
        source("zigbee", "zigbee2mqtt/cellar"), "zigbee2mqtt/cellar",
        b'{"gas":917.567,"battery_low":true}', NOW, 917_567,
    ),
    (
        source("ahpohl", "gasmeter/live"), "gasmeter/live",
        b'{"time":1772362800822,"volume":917.56,"state":0,"rate":235.40}', ELEVEN, 917_560,
    ),
    (
        source("wmbusmeters", "wmbusmeters/#", "05105025"), "wmbusmeters/cellar",
        (b'{"media":"gas","meter":"elster","id":"05105025","actuality_duration_s":742,'
        b'"total_m3":917.567,"timestamp":"2026-03-01T11:12:22Z"}'), ELEVEN, 917_567,
    ),
    (
        source("elehant", "tele/+/SNS/75496", "75496"), "tele/stairs/SNS/75496",
        (b'{"ts":1772362800,"dev":{"bdaddr":"b0:12:01:01:26:e8","device_num":75496},'
        b'"counter":{"m3":0.2553,"l":255.3,"ml":255300}}'), ELEVEN, 255,
    ),
    (
        source("smartico", "application/#", EUI), RADIO,
        radio(data="BAwMAQAxhAAAA1YK4w=="), ELEVEN, 854,
    ),
    # 07 04 80 00 01 56 81: 342 pulses.
    (source("jooby", RADIO, EUI, **LITRES), RADIO, radio(data="BwSAAAFWgQ=="), ELEVEN, 3_427),
    (
        source("milesight", RADIO, EUI, **LITRES), RADIO,
        radio(object={"pulse": 256, "history": [{"pulse": 250, "timestamp": 1772359200}]}),
        ELEVEN, 2_567,
    ),
    (
        source("fludia", RADIO, f"{EUI}/1", **LITRES), RADIO,
        radio(object={"index": 1256, "increments": [1, 2], "time_step": 1, "number_of_starts": 1}),
        ELEVEN, 12_567,
    ),
    (
        source("chirpstack_pulses", RADIO, f"{EUI}/channels.a", **LITRES), RADIO,
        radio(object={"channels": {"a": 300}}), ELEVEN, 3_007,
    ),
    (
        source("rtlamr", "rtlamr", "44826100"), "rtlamr",
        (b'{"Time":"2026-03-01T11:00:00.730309536Z","Offset":0,"Length":0,"Type":"SCM","Message":'
        b'{"ID":44826100,"Type":12,"TamperPhy":1,"TamperEnc":0,"Consumption":548140}}'),
        ELEVEN, 548_140,
    ),
    # A birth: sent then; the metric gas/idx, alias 7, taken then, UInt64 1234567; seq 0.
    (
        source("sparkplug", "spBv1.0/town/+/gate/meter", "gas/idx", unit="dm3"),
        "spBv1.0/town/DBIRTH/gate/meter",
        bytes.fromhex(
            "0880b7b8c8ca3312180a076761732f69647810071880b7b8c8ca3320085887ad4b1800"
        ),
        ELEVEN, 1_234_567,
    ),
    (
        source("tasmota", "tele/cellar/SENSOR", "C1", **LITRES), "tele/cellar/SENSOR",
        b'{"Time":"2026-03-01T11:00:00","COUNTER":{"C1":300}}', ELEVEN, 3_007,
    ),
    # Winter time in Amsterdam is an hour ahead of UTC.
    (
        source("dsmr", "p1/gas", "0-1", zone="Europe/Amsterdam"), "p1/gas",
        b"0-1:24.2.1(260301120000W)(00917.567*m3)", ELEVEN, 917_567,
    ),
    (
        source("homewizard", "homewizard/p1", "4E47", zone="Europe/Amsterdam"), "homewizard/p1",
        b'{"total_gas_m3":917.567,"gas_timestamp":260301120000,"gas_unique_id":"4E47"}',
        ELEVEN, 917_567,
    ),
    (
        source("glow", "glow/4C11AEADF118/SENSOR/gasmeter"), "glow/4C11AEADF118/SENSOR/gasmeter",
        (b'{"gasmeter":{"timestamp":"2026-03-01T11:00:00Z","energy":{"import":{"cumulative":1.5,'
        b'"units":"kWh","cumulativevol":917.567,"cumulativevolunits":"m3","mprn":"1"}}}}'),
        ELEVEN, 917_567,
    ),
    (
        source("rtl433", "rtl_433/attic/events", "4198071"), "rtl_433/attic/events",
        (b'{"time":"2026-03-01 11:00:00","model":"ERT-SCM","id":4198071,"physical_tamper":0,'
        b'"ert_type":12,"encoder_tamper":3,"consumption_data":548140,"mic":"CRC"}'),
        ELEVEN, 548_140,
    ),
    (
        source("senml", "town/packs", "urn:dev:mac:0024befffe804ff1/gas"), "town/packs",
        (b'[{"bn":"urn:dev:mac:0024befffe804ff1/","bt":1772362800,"n":"gas","u":"m3","v":917.567},'
        b'{"n":"battery","u":"%","v":87}]'), ELEVEN, 917_567,
    ),
]  # fmt: skip


def on(topic: str, payload: bytes) -> Arrival:
    return Arrival(topic=topic, payload=payload, retained=False, handle=None)


class TestEveryFamily:
    """A family ..."""

    def test_stands_below(self) -> None:
        """One that is not carried through to the database is one that nobody has tried."""
        assert {row[0].family for row in ROWS} == set(FAMILIES)

    @pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].family)
    async def test_is_stored_once(
        self,
        pool: asyncpg.Pool,
        owner: asyncpg.Connection,
        row: tuple[Source, str, bytes, datetime, int],
    ) -> None:
        """As adapted and believed; a minute later the same says nothing new."""
        wanted, topic, payload, read_at, register_dm3 = row
        await hang(owner)
        entry, _ = await SourceBook(pool=pool).add(wanted, by="a test", at=AT)
        assert replace(entry.source, source_id="") == wanted
        board, store = Switchboard(families=FAMILIES), Store(pool)
        board.connect([entry.source])

        async def take(at: datetime) -> IngestCounts:
            counts, _ = await ingest([on(topic, payload)], store=store, at=at, sources=board)
            return counts

        assert (await take(AT)).stored == 1
        again = await take(AT + timedelta(minutes=1))

        assert (again.stored, again.repeated + again.ignored) == (0, 1)
        assert await refused(owner) == []
        last = await owner.fetchrow(
            "SELECT r.read_at, r.register_dm3, r.verdict, t.trust FROM reading r JOIN telegram t"
            " USING (meter_id, key_epoch, counter) ORDER BY r.read_at DESC LIMIT 1"
        )
        assert tuple(last.values()) == (read_at, register_dm3, "billable", "adapted")
