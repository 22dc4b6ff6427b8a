"""One good message of each family at least, for tests that go through all of them."""

import base64
from collections.abc import Mapping
from fractions import Fraction
from typing import Final, NamedTuple

from metering.adapter import Message, Source
from tests.metering.adapters.published import mapping, message

EUI = "02aaaa0200003184"
UP = f"application/1/device/{EUI}/event/up"
CUBIC_FOOT = Fraction(28316846592, 10**9)
SERIAL = "3232323241424344313233343536373839"
GAS_LINES = (
    b"0-1:24.1.0(003)\r\n0-1:96.1.0(3232323241424344313233343536373839)\r\n"
    b"0-1:24.2.1(170102161005W)(00000.107*m3)\r\n0-2:24.1.0(007)\r\n0-2:96.1.0(57)\r\n"
    b"0-2:24.2.1(101209112500W)(00872.234*m3)\r\n"
)
BORN = bytes.fromhex(
    "08f6a797e9ad32 1218 0a076761732f696478 1007 18f6a797e9ad32 2008 5887ad4b 1800"
)
# 10 is Double, 1234.567; properties without any, and not historical.
DOUBLE = bytes.fromhex(
    "08f6a797e9ad32 1221 0a076761732f696478 1007 18f6a797e9ad32 200a"
    "4a00 6954e3a59b444a9340 2800 1800"
)


class Good(NamedTuple):
    """A message that a family reads for a source."""

    family: str
    source: Source
    came: Message


def uplink(*, data: str = "", codec: object = None) -> dict[str, object]:
    return {
        "time": "2026-01-31T10:00:00Z",
        "deviceInfo": {"devEui": EUI},
        "data": base64.b64encode(bytes.fromhex(data)).decode(),
        "object": codec,
    }


def rtlamr_frame(kind: str, **inside: object) -> Message:
    return message({"Time": "2025-12-05T16:44:45.730309536Z", "Type": kind, "Message": inside})


GOOD: Final[Mapping[str, Good]] = {
    "ahpohl": Good(
        "ahpohl", mapping(), message({"time": 1730287096822, "volume": 4207.18, "state": 0})
    ),
    "camera": Good(
        "camera",
        mapping(zone="Europe/Amsterdam"),
        message({"value": "4207.1", "error": "no error", "timestamp": "2026-01-31T10:00:00"}),
    ),
    "fludia": Good(
        "fludia",
        mapping(device=EUI),
        message(uplink(codec={"index": 9.5, "increments": [1, 2], "time_step": 1}), topic=UP),
    ),
    "jooby": Good("jooby", mapping(device=EUI), message(uplink(data="07048000015681"), topic=UP)),
    "milesight": Good(
        "milesight",
        mapping(device=EUI),
        message(
            uplink(codec={"pulse": 300, "history": [{"pulse": 256, "timestamp": 1665561758}]}),
            topic=UP,
        ),
    ),
    "chirpstack_pulses": Good(
        "chirpstack_pulses",
        mapping(device=f"{EUI}/a.b"),
        message(uplink(codec={"a": {"b": 7}}), topic=UP),
    ),
    "smartico": Good(
        "smartico",
        mapping(device=f"{EUI}/12676"),
        message(uplink(data="040c0c01003184000003560ae3"), topic=UP),
    ),
    "elehant": Good(
        "elehant",
        mapping(device="75496"),
        message(
            {
                "ts": 1769853600,
                "dev": {"bdaddr": "b0:12:01:01:26:e8", "device_num": 75496},
                "counter": {"m3": 0.2553, "ml": 255300},
            }
        ),
    ),
    "scalar": Good("scalar", mapping(), message(b"917.5")),
    "tasmota": Good(
        "tasmota",
        mapping(device="C1", zone="Europe/Amsterdam"),
        message({"Time": "2021-12-31T09:39:59", "COUNTER": {"C1": 3}}),
    ),
    "wmbusmeters": Good(
        "wmbusmeters",
        mapping(device="00043094", zone="Europe/Amsterdam"),
        message(
            {
                "media": "gas",
                "meter": "unismart",
                "id": "00043094",
                "total_m3": 917,
                "meter_datetime": "2021-09-15 13:18",
                "target_m3": 911.32,
                "target_date": "2021-09-01",
                "actuality_duration_s": 5,
                "status": "OK",
            }
        ),
    ),
    "zigbee": Good(
        "zigbee",
        mapping(device="0x0015bc001b0231f0"),
        message(
            {"gas": 12.5, "last_seen": 1769853600000, "device": {"ieeeAddr": "0x0015bc001b0231f0"}}
        ),
    ),
    "rtlamr_scm": Good(
        "rtlamr",
        mapping(device="44826100", dm3_per_count=CUBIC_FOOT),
        rtlamr_frame("SCM", ID=44826100, Type=12, TamperPhy=1, TamperEnc=0, Consumption=548140),
    ),
    "rtlamr_idm": Good(
        "rtlamr",
        mapping(device="20190118", dm3_per_count=CUBIC_FOOT),
        rtlamr_frame(
            "IDM",
            PacketTypeID=28,
            PacketLength=92,
            HammingCode=198,
            ERTType=12,
            ERTSerialNumber=20190118,
            LastConsumptionCount=2528113,
        ),
    ),
    "rtl433_scm": Good(
        "rtl433",
        mapping(device="4198071", dm3_per_count=CUBIC_FOOT, zone="America/Denver"),
        message(
            {
                "time": "2022-10-25 20:32:05",
                "model": "ERT-SCM",
                "id": 4198071,
                "ert_type": 12,
                "consumption_data": 5200778,
                "mic": "CRC",
            }
        ),
    ),
    "rtl433_mbus": Good(
        "rtl433",
        mapping(device="5105025"),
        message(
            {
                "model": "Wireless-MBus",
                "id": 5105025,
                "type": 3,
                "mic": "CRC",
                "inst_volume_0": "3223.470 m3",
            }
        ),
    ),
    "glow": Good(
        "glow",
        mapping(device="2188127003"),
        message(
            {
                "gasmeter": {
                    "timestamp": "2023-01-07T23:24:10Z",
                    "energy": {
                        "import": {
                            "units": "kWh",
                            "cumulativevol": 629.514,
                            "cumulativevolunits": "m3",
                            "mprn": "2188127003",
                        }
                    },
                }
            }
        ),
    ),
    "homewizard": Good(
        "homewizard",
        mapping(device="4E47", zone="Europe/Amsterdam"),
        message(
            {
                "total_gas_m3": 2569.646,
                "gas_timestamp": 210606140010,
                "gas_unique_id": "4E47",
                "external": [
                    {
                        "unique_id": "4E47",
                        "type": "gas_meter",
                        "value": 2569.646,
                        "timestamp": "2024-06-28T14:00:00",
                        "unit": "m3",
                    }
                ],
            }
        ),
    ),
    "dsmr_telegram": Good(
        "dsmr",
        mapping(device=SERIAL, zone="Europe/Amsterdam"),
        message(b"/ISk5\\2MT382-1000\r\n\r\n" + GAS_LINES + b"!\r\n"),
    ),
    "dsmr_tasmota": Good(
        "dsmr",
        mapping(device="0-1", zone="Europe/Amsterdam"),
        message({"SerialReceived": "0-1:24.2.1(181227090000W)(02910.491*m3)"}),
    ),
    "dsmr_dsmr2mqtt": Good(
        "dsmr",
        mapping(device="33313137"),
        message({"gas_consumed": 10142194.0, "serial": "33313137", "timestamp": 1708542182}),
    ),
    "senml": Good(
        "senml",
        mapping(device="urn:dev:x/gas"),
        message(
            [
                {"bn": "urn:dev:x/", "bt": 1735689600, "n": "gas", "u": "m3", "v": 1234.567},
                {"n": "battery", "u": "%", "v": 3},
                {"n": "gas", "u": "l/s", "t": 60, "s": 1e6},
            ]
        ),
    ),
    "sparkplug_int": Good(
        "sparkplug",
        mapping(device="gas/idx#7", unit="dm3"),
        message(BORN, topic="spBv1.0/town/DBIRTH/gate/meter"),
    ),
    "sparkplug_double": Good(
        "sparkplug",
        mapping(device="gas/idx"),
        message(DOUBLE, topic="spBv1.0/town/NDATA/gate"),
    ),
}
