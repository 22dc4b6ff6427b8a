"""Gas behind the electricity meter, in whole telegrams, lines, and what others make of them."""

import json
from datetime import datetime

import pytest

from metering.adapter import Samples, Source
from metering.adapters.dsmr import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import mapping, message, refused, registers, utc

HOME = mapping(zone="Europe/Amsterdam")
CHANNEL = mapping(device="0-1", zone="Europe/Amsterdam")
SERIAL = "3232323241424344313233343536373839"  # "2222ABCD123456789" in hexadecimal

# The DSMR 5 example of Netbeheer's standard as dsmr_parser has it, with its own check sum.
V5 = (
    b"/ISk5\\2MT382-1000\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(170102192002W)\r\n"
    b"0-0:96.1.1(4B384547303034303436333935353037)\r\n1-0:1.8.1(000004.426*kWh)\r\n"
    b"1-0:1.8.2(000002.399*kWh)\r\n1-0:2.8.1(000002.444*kWh)\r\n1-0:2.8.2(000000.000*kWh)\r\n"
    b"0-0:96.14.0(0002)\r\n1-0:1.7.0(00.244*kW)\r\n1-0:2.7.0(00.000*kW)\r\n0-0:96.7.21(00013)\r\n"
    b"0-0:96.7.9(00000)\r\n1-0:99.97.0(0)(0-0:96.7.19)\r\n1-0:32.32.0(00000)\r\n"
    b"1-0:52.32.0(00000)\r\n1-0:72.32.0(00000)\r\n1-0:32.36.0(00000)\r\n1-0:52.36.0(00000)\r\n"
    b"1-0:72.36.0(00000)\r\n0-0:96.13.0()\r\n1-0:32.7.0(0230.0*V)\r\n1-0:52.7.0(0230.0*V)\r\n"
    b"1-0:72.7.0(0229.0*V)\r\n1-0:31.7.0(0.48*A)\r\n1-0:51.7.0(0.44*A)\r\n1-0:71.7.0(0.86*A)\r\n"
    b"1-0:21.7.0(00.070*kW)\r\n1-0:41.7.0(00.032*kW)\r\n1-0:61.7.0(00.142*kW)\r\n"
    b"1-0:22.7.0(00.000*kW)\r\n1-0:42.7.0(00.000*kW)\r\n1-0:62.7.0(00.000*kW)\r\n"
    b"0-1:24.1.0(003)\r\n0-1:96.1.0(3232323241424344313233343536373839)\r\n"
    b"0-1:24.2.1(170102161005W)(00000.107*m3)\r\n0-2:24.1.0(003)\r\n0-2:96.1.0()\r\n!6EEE\r\n"
)
V5_READ = [(utc(2017, 1, 2, 15, 10, 5), 107)]
# The DSMR 3 example: no check sum, no letter, the register on a line of its own.
V3 = (
    b"/ISk5\\2MT382-1000\r\n\r\n0-0:96.1.1(4B384547303034303436333935353037)\r\n"
    b"1-0:1.8.1(12345.678*kWh)\r\n0-1:96.1.0(3232323241424344313233343536373839)\r\n"
    b"0-1:24.1.0(03)\r\n0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n(00001.001)\r\n"
    b"0-1:24.4.0(1)\r\n!\r\n"
)


def telegram(*lines: str) -> bytes:
    """Return a telegram without a check sum, as old meters send it."""
    return "\r\n".join(["/FLU5\\253769484_A", "", *lines, "!", ""]).encode()


GAS = ("0-1:24.1.0(003)", f"0-1:96.1.0({SERIAL})", "0-1:24.2.1(101209112500W)(12785.123*m3)")
WATER = ("0-2:24.1.0(007)", "0-2:96.1.0(57)", "0-2:24.2.1(101209112500W)(00872.234*m3)")
GAS_READ = [(utc(2010, 12, 9, 10, 25), 12_785_123)]


class TestTelegram:
    """A whole telegram says whose gas it is."""

    @pytest.mark.parametrize("device", ["", "0-1", SERIAL, "2222ABCD123456789"])
    @pytest.mark.parametrize(
        "payload",
        [V5, V5.replace(b"\r\n", b"\n"), b"\n" + V5 + b"\n\n",
         json.dumps({"SerialReceived": V5.decode()}).encode()],
        ids=["crlf", "lf", "blank", "tasmota"],
    )  # fmt: skip
    def test_is_a_register(self, payload: bytes, device: str) -> None:
        """By its channel, by the meter's name, or because there is only one; 107 dm3 in winter."""
        source = mapping(device=device, zone="Europe/Amsterdam")

        assert registers(read, source, message(payload)) == V5_READ

    def test_of_old_meters_has_the_register_below(self) -> None:
        """16:00 in Amsterdam in February; zero is a register of a new meter."""
        assert registers(read, HOME, message(V3)) == [(utc(2009, 2, 12, 15), 1_001)]
        fresh = message(V3.replace(b"00001.001", b"00000.000"))
        assert registers(read, HOME, fresh) == [(utc(2009, 2, 12, 15), 0)]
        beside = message(V3.replace(b"(m3)\r\n(", b"(m3)("))
        assert registers(read, HOME, beside) == [(utc(2009, 2, 12, 15), 1_001)]

    def test_of_belgium_has_a_code_of_its_own(self) -> None:
        """Not converted to a temperature, and gas even where no type says so."""
        line = "0-1:24.2.3(200512134558S)(00112.384*m3)"

        for lines in (["0-1:24.1.0(003)", "0-1:96.1.1(37)", line], [line]):
            came = message(telegram(*lines))
            assert registers(read, HOME, came) == [(utc(2020, 5, 12, 11, 45, 58), 112_384)]

    def test_at_six_in_the_morning_is_kept_as_it_is(self) -> None:
        """The gas day begins at six; a register taken then is of then."""
        came = message(telegram(*GAS[:2], "0-1:24.2.1(261101060000W)(12785.123*m3)"))

        assert registers(read, HOME, came) == [(utc(2026, 11, 1, 5), 12_785_123)]

    @pytest.mark.parametrize(
        "payload",
        [
            V5.replace(b"00000.107", b"00001.107"), V5.replace(b"!6EEE", b"!6EEF"),
            V5.replace(b"!6EEE", b"!6E"), V5.replace(b"!6EEE", b""), V5[:400],
            V5.replace(b"!6EEE", b"!6EEE\r\nmore"), V3.replace(b"ISk5", b"ISk\xe9"), V5 + V5,
            GAS[2].encode() + b"\xff",
        ],
        ids=["digit", "sum", "short", "endless", "cut", "more", "not_ascii", "two", "line"],
    )  # fmt: skip
    def test_that_was_damaged_is_refused(self, payload: bytes) -> None:
        """One digit of the register changed on the serial line, and the sum tells."""
        assert refused(read, HOME, message(payload))[0] is RefusalReason.BAD_SHAPE

    def test_has_gas_and_water_in_one_code(self) -> None:
        """Type 007 is water; its m3 are nobody's gas, whatever the mapping says."""
        for lines in ((*GAS, *WATER), (*WATER, *GAS)):
            came = message(telegram(*lines))
            assert registers(read, HOME, came) == GAS_READ
            assert registers(read, CHANNEL, came) == GAS_READ
            for device in ("0-2", "57"):
                assert "no gas meter" in refused(read, mapping(device=device), came)[1]
        assert read(message(telegram(*WATER)), HOME) is None

    def test_with_two_gas_meters_needs_a_name(self) -> None:
        """A house with two flats behind one port."""
        other = [line.replace("0-1", "0-2").replace(SERIAL, "58") for line in GAS]
        came = message(telegram(*GAS, *other))

        assert refused(read, HOME, came)[1] == "more than one gas register"
        assert registers(read, CHANNEL, came) == GAS_READ

    @pytest.mark.parametrize(
        "unpaired",
        [
            "(700101010000W)(00000000)",
            "(700101010000W)(00000.000*m3)",
            "(632525252525S)(00000.000)",
        ],
    )
    def test_ignores_a_channel_without_a_meter(self, unpaired: str) -> None:
        """Published beside the live channel 0-2, which stays the only one."""
        line = "0-1:24.2.1" + unpaired
        live = "0-2:24.2.1(200426223001S)(00246.138*m3)"
        came = message(telegram("0-1:24.1.0(003)", line, "0-2:24.1.0(003)", live))

        assert registers(read, HOME, came) == [(utc(2020, 4, 26, 20, 30, 1), 246_138)]
        dead = read(message(telegram("0-1:24.1.0(003)", line)), CHANNEL)
        assert dead == Samples()

    @pytest.mark.parametrize(
        "line",
        [
            "0-1:24.2.1(700101010000W)(00003.333*m3)", "0-1:24.2.1(101209112500W)(12785.123)",
            "0-1:24.2.1(101209112500W)(12785.123*GJ)", "0-1:24.2.1(101209112500W)(12785.123*kWh)",
            "0-1:24.2.1(12785.123*m3)", "0-1:24.2.1(101209112500W)(-1*m3)",
            "0-1:24.2.1(101209112500W)(1*m3)(2*m3)", "0-1:24.2.1(101209112500W)(1.2.3*m3)",
            "0-1:24.2.1(101209112500W)(1*m3)\r\n(2*m3)",
            "0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)",
            "0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n0-1:24.4.0(1)\r\n(00001.001)",
            "0-1:24.3.0(090212160000)(00)(60)(2)(0-1:24.2.1)(m3)\r\n(00001.001)",
            "0-1:24.3.0(090212160000)(00)(60)(1)(0-2:24.2.1)(m3)\r\n(00001.001)",
            "0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(kWh)\r\n(00001.001)",
            "0-1:24.2.1(101209112500W)(1*m3)\r\n0-1:24.2.1(101209112500W)(1*m3)",
            "0-1:24.2.1(101209112500W)(1*m3)\r\n0-1:24.2.3(101209112500W)(1*m3)",
        ],
    )  # fmt: skip
    def test_of_another_shape_is_refused(self, line: str) -> None:
        """A clock never set beside gas, no unit, energy, two values, half a register."""
        came = message(telegram("0-1:24.1.0(003)", line))

        assert refused(read, HOME, came)[0] is RefusalReason.BAD_SHAPE

    @pytest.mark.parametrize("kind", ["x", "", "0003", "\t3"])
    def test_with_a_type_that_is_no_number_is_refused(self, kind: str) -> None:
        """What it meters decides whether it is billed."""
        came = message(telegram(f"0-1:24.1.0({kind})", GAS[2]))

        assert refused(read, HOME, came)[1] == "the device type is no number"

    @pytest.mark.parametrize("device", ["0-2", "58", "2222abcd123456789"])
    def test_of_another_meter_is_not_ours(self, device: str) -> None:
        """One topic may carry many homes."""
        assert read(message(telegram(*GAS)), mapping(device=device)) is None


class TestLine:
    """Tasmota posts line by line, without the type of the meter behind it."""

    @pytest.mark.parametrize(
        "payload",
        [
            b'{"SerialReceived":"0-1:24.2.1(181227090000W)(02910.491*m3)"}',
            b'{"SerialReceived":"0-1:24.2.1(181227090000W)(02910.491*m3)\\r\\n"}',
            b"0-1:24.2.1(181227090000W)(02910.491*m3)",
        ],
    )
    def test_of_a_mapped_channel_is_a_register(self, payload: bytes) -> None:
        """The mapping says that channel 1 is gas."""
        found = registers(read, CHANNEL, message(payload))

        assert found == [(utc(2018, 12, 27, 8), 2_910_491)]

    def test_of_another_channel_is_not_ours(self) -> None:
        """Water comes in lines of the same code."""
        came = message({"SerialReceived": "0-2:24.2.1(181227090000W)(00872.234*m3)"})

        assert read(came, CHANNEL) is None

    @pytest.mark.parametrize("device", ["", SERIAL])
    def test_does_not_say_whose_it_is(self, device: str) -> None:
        """It may be water's; Belgium's own code is gas."""
        source = mapping(device=device, zone="Europe/Amsterdam")
        came = message(b"0-1:24.2.1(181227090000W)(02910.491*m3)")
        assert "a line alone" in refused(read, source, came)[1]

        belgian = message(b"0-1:24.2.3(181227090000W)(02910.491*m3)")
        if device:
            assert "a line alone" in refused(read, source, belgian)[1]
        else:
            assert registers(read, source, belgian)[0][1] == 2_910_491

    def test_of_old_meters_is_half_a_register(self) -> None:
        """The other half comes in another message, and nobody can tell that they belong."""
        first = message({"SerialReceived": "0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)"})
        assert "beside its time" in refused(read, CHANNEL, first)[1]
        assert read(message({"SerialReceived": "(00001.001)"}), CHANNEL) is None

    @pytest.mark.parametrize(
        "payload",
        [b"1-0:1.8.1(000004.426*kWh)", b"", b"!6EEE", b'{"Time":"2026-01-01T00:00:00","Wifi":{}}'],
    )
    def test_of_anything_else_says_nothing_of_gas(self, payload: bytes) -> None:
        """Thirty lines a second are not worth keeping."""
        assert read(message(payload), CHANNEL) is None


class TestTime:
    """The letter says which of the two hours, and must otherwise fit the zone."""

    @pytest.mark.parametrize(
        ("stamp", "read_at"),
        [
            ("261025023000S", utc(2026, 10, 25, 0, 30)),
            ("261025023000W", utc(2026, 10, 25, 1, 30)),
            ("261025015959S", utc(2026, 10, 24, 23, 59, 59)),
            ("261025030000W", utc(2026, 10, 25, 2)),
            ("260329015959W", utc(2026, 3, 29, 0, 59, 59)),
            ("260329030000S", utc(2026, 3, 29, 1)),
            ("991231235959W", utc(2099, 12, 31, 22, 59, 59)),
        ],
    )
    def test_is_an_instant(self, stamp: str, read_at: datetime) -> None:
        """In the autumn night 02:30 comes twice, an hour apart."""
        came = message(f"0-1:24.2.1({stamp})(1*m3)".encode())

        assert registers(read, CHANNEL, came) == [(read_at, 1_000)]

    @pytest.mark.parametrize(
        "stamp",
        [
            "260101120000S", "260701120000W", "260329023000S", "260329023000W", "261025023000",
            "260229120000W", "260101240000W", "26010112000W", "260101120000X", "w", "",
        ],
    )  # fmt: skip
    def test_that_contradicts_its_zone_is_refused(self, stamp: str) -> None:
        """Summer in January, an hour that never was, one that was twice, no time at all."""
        came = message(f"0-1:24.2.1({stamp})(1*m3)".encode())

        assert refused(read, CHANNEL, came)[0] is RefusalReason.BAD_SHAPE

    @pytest.mark.parametrize(
        ("zone", "stamp", "is_right"),
        [
            ("Etc/GMT-1", "260701120000W", True), ("Etc/GMT-1", "260701120000S", False),
            ("UTC", "260701120000S", False), ("Australia/Sydney", "260101120000S", True),
            ("Australia/Sydney", "260101120000W", False),
            ("Australia/Sydney", "260701120000W", True),
        ],
    )  # fmt: skip
    def test_knows_zones_without_summer_and_the_other_half(
        self, zone: str, stamp: str, *, is_right: bool
    ) -> None:
        """A mapping that left its zone out is noticed in summer at the latest."""
        source: Source = mapping(device="0-1", zone=zone)
        came = message(f"0-1:24.2.1({stamp})(1*m3)".encode())

        if is_right:
            assert registers(read, source, came)[0][1] == 1_000
        else:
            assert "says" in refused(read, source, came)[1]


class TestOthers:
    """What other programs make of a telegram."""

    def test_of_dsmr_reader_is_in_m3_and_utc(self) -> None:
        """As documented; numbers are texts."""
        came = message(
            b'{"read_at":"2015-12-11T20:00:00Z","delivered":"956.212",'
            b'"currently_delivered":"0.000"}'
        )

        assert registers(read, HOME, came) == [(utc(2015, 12, 11, 20), 956_212)]
        assert "names no device" in refused(read, CHANNEL, came)[1]

    @pytest.mark.parametrize(
        "payload",
        [b'{"delivered":"956.212"}', b'{"read_at":"2015-12-11T20:00:00","delivered":"956.212"}',
         b'{"read_at":"2015-12-11T20:00:00Z","delivered":null}'],
    )  # fmt: skip
    def test_of_dsmr_reader_need_both(self, payload: bytes) -> None:
        """A register and its instant."""
        assert refused(read, HOME, message(payload))[0] is RefusalReason.BAD_SHAPE

    @pytest.mark.parametrize("device", ["", "33313137"])
    def test_of_dsmr2mqtt_is_in_litres(self, device: str) -> None:
        """10142194 m3 would be the gas of a small town; 1708542182 is a second in 2024."""
        came = message(b'{"gas_consumed":10142194.0,"serial":"33313137","timestamp":1708542182}')

        assert registers(read, mapping(device=device), came) == [
            (utc(2024, 2, 21, 19, 3, 2), 10_142_194)
        ]
        assert read(came, mapping(device="33313138")) is None

    @pytest.mark.parametrize(
        ("good", "bad"),
        [
            (b"10142194.0", b"10142.194"), (b"10142194.0", b'"10142194"'), (b"10142194.0", b"-1"),
            (b"1708542182", b"0"), (b',"timestamp":1708542182', b""), (b'"33313137"', b"33313137"),
        ],
    )  # fmt: skip
    def test_of_dsmr2mqtt_in_doubt_is_refused(self, good: bytes, bad: bytes) -> None:
        """A release that turned to m3 would have a fraction, and be a thousand times too low."""
        payload = b'{"gas_consumed":10142194.0,"serial":"33313137","timestamp":1708542182}'
        came = message(payload.replace(good, bad))

        assert refused(read, mapping(device="33313137"), came)[0] is RefusalReason.BAD_SHAPE
