"""Frames of gas modules in American homes, and one that its check sum let by."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from metering.adapter import Message, Samples, Source, UnreadableError
from metering.adapters import rtlamr
from metering.telegram import RefusalReason

# A cubic foot is 28.316846592 dm3 by definition.
CUBIC_FOOT = Fraction(28316846592, 10**9)

# As people publish them from their receivers; the IDM is shortened where nothing is read, and has
# the type of a gas module instead of an electricity meter's.
SCM = (
    b'{"Time":"2025-12-05T16:44:45.730309536Z","Offset":0,"Length":0,"Type":"SCM","Message":'
    b'{"ID":44826100,"Type":12,"TamperPhy":1,"TamperEnc":0,"Consumption":548140,"ChecksumVal":48922}}'
)
SCM_PLUS = (
    b'{"Time":"2022-08-28T01:20:46.21663461+01:00","Offset":0,"Length":0,"Type":"SCM+","Message":'
    b'{"FrameSync":5795,"ProtocolID":30,"EndpointType":156,"EndpointID":76324406,'
    b'"Consumption":88604,"Tamper":3080,"PacketCRC":14115}}'
)
IDM = (
    b'{"Time":"2023-10-11T03:03:33.788020063Z","Offset":0,"Length":0,"Type":"IDM","Message":'
    b'{"Preamble":1431639715,"PacketTypeID":28,"PacketLength":92,"HammingCode":198,'
    b'"ApplicationVersion":4,"ERTType":12,"ERTSerialNumber":20190118,"TamperCounters":"AQEAMgUA",'
    b'"LastConsumptionCount":2528113,"DifferentialConsumptionIntervals":[11,23,28]}}'
)
R900 = (
    b'{"Time":"2025-05-05T21:25:10.905527969Z","Offset":0,"Length":0,"Type":"R900","Message":'
    b'{"ID":1111111111,"Unkn1":163,"NoUse":0,"BackFlow":0,"Consumption":4555831,"Unkn3":0,'
    b'"Leak":2,"LeakNow":0}}'
)
# As published in the mock capture of rtlamr2mqtt, where SCM shows 9480653 for the same module.
BROKEN = (
    b'{"Time":"2025-05-05T21:25:15.387177726Z","Offset":0,"Length":0,"Type":"IDM","Message":'
    b'{"Preamble":1431639715,"PacketTypeID":52,"PacketLength":92,"HammingCode":198,'
    b'"ApplicationVersion":140,"ERTType":6,"ERTSerialNumber":22222222,'
    b'"ConsumptionIntervalCount":164,"ModuleProgrammingState":184,"TamperCounters":"BAEAbQEA",'
    b'"AsynchronousCounters":0,"PowerOutageFlags":"AAAACAAA","LastConsumptionCount":1217440205,'
    b'"TransmitTimeOffset":3938,"SerialNumberCRC":40239,"PacketCRC":58148}}'
)
STATE = b'{"reading":"001234.567","lastseen":"2025-01-15T10:30:00-05:00"}'


def source(device: str, **more: Any) -> Source:
    more = {"dm3_per_count": CUBIC_FOOT, **more}
    return Source(
        source_id="S-1",
        family="rtlamr",
        topic="rtlamr/#",
        meter_id="AQ-000001",
        device=device,
        **more,
    )


def read(payload: bytes, mapping: Source, topic: str = "rtlamr") -> Samples | None:
    received_at = datetime(2026, 1, 1, tzinfo=UTC)
    message = Message(topic=topic, payload=payload, retained=False, received_at=received_at)
    return rtlamr.read(message, mapping)


def only(found: Samples | None) -> tuple[datetime, int]:
    assert found is not None
    (sample,) = found.samples
    return sample.read_at, sample.register_dm3


class TestFrame:
    """A frame of the source's module is its register in dm3."""

    # 548140 * 28.316846592 = 15521596.29..., 88604 * ... = 2508985.87..., 2528113 * ... =
    # 71588187.98..., and 4555831 tenths of a cubic foot = 12900676.75...
    @pytest.mark.parametrize(
        ("payload", "device", "weight", "read_at", "register_dm3"),
        [
            (SCM, "44826100", CUBIC_FOOT, (2025, 12, 5, 16, 44, 45), 15521596),
            (SCM_PLUS, "76324406", CUBIC_FOOT, (2022, 8, 28, 0, 20, 46), 2508985),
            (IDM, "20190118", CUBIC_FOOT, (2023, 10, 11, 3, 3, 33), 71588187),
            (R900, "1111111111", CUBIC_FOOT / 10, (2025, 5, 5, 21, 25, 10), 12900676),
        ],
        ids=["scm", "scm_plus", "idm", "r900"],
    )
    def test_is_a_register(
        self,
        payload: bytes,
        device: str,
        weight: Fraction,
        read_at: tuple[int, ...],
        register_dm3: int,
    ) -> None:
        """A cubic foot has an exact volume, so nothing is lost but the part of a dm3."""
        found = read(payload, source(device, dm3_per_count=weight))

        assert only(found) == (datetime(*read_at, tzinfo=UTC), register_dm3)

    @pytest.mark.parametrize("payload", [SCM, SCM_PLUS, IDM, R900])
    def test_of_another_module_is_not_ours(self, payload: bytes) -> None:
        """A receiver hears the whole street, and no module's gas is its neighbour's."""
        assert read(payload, source("4482610")) is None
        assert read(payload, source("")) is None

    @pytest.mark.parametrize(
        ("payload", "device", "kind", "water"),
        [
            (SCM, "44826100", b'"Type":12', b'"Type":11'),
            (SCM, "44826100", b'"Type":12', b'"Type":7'),
            (SCM, "44826100", b'"Type":12,', b""),
            (SCM_PLUS, "76324406", b'"EndpointType":156', b'"EndpointType":171'),
            (IDM, "20190118", b'"ERTType":12', b'"ERTType":8'),
        ],
    )
    def test_of_water_or_electricity_is_refused(
        self, payload: bytes, device: str, kind: bytes, water: bytes
    ) -> None:
        """All three have the same frames, and a mapping may name the wrong module."""
        with pytest.raises(UnreadableError, match="ERT type"):
            read(payload.replace(kind, water), source(device))

    @pytest.mark.parametrize(
        ("name", "value"), [(b"PacketTypeID", 52), (b"PacketLength", 93), (b"HammingCode", 0)]
    )
    def test_with_a_broken_head_is_refused(self, name: bytes, value: int) -> None:
        """Frames are published whose check sum does not hold for the register."""
        broken = IDM.replace(b"2528113", b"1217440205").replace(
            b'"%b":' % name, b'"%b":%d,"was":' % (name, value)
        )

        with pytest.raises(UnreadableError) as refused:
            read(broken, source("20190118"))

        assert refused.value.reason is RefusalReason.BAD_SHAPE
        assert name.decode() in refused.value.detail

    def test_that_was_published_broken_is_refused(self) -> None:
        """It shows 1217440205 where the dial shows 9480653, even if its type were gas."""
        for payload in (BROKEN, BROKEN.replace(b'"ERTType":6', b'"ERTType":12')):
            with pytest.raises(UnreadableError, match="PacketTypeID"):
                read(payload, source("22222222"))

    @pytest.mark.parametrize(
        ("payload", "device", "bits"),
        [(SCM, "44826100", 24), (SCM_PLUS, "76324406", 32), (R900, "1111111111", 27)],
    )
    def test_with_all_bits_set_is_no_reading(self, payload: bytes, device: str, bits: int) -> None:
        """Multiplied by a weight it would no longer look like a counter that gave up."""
        counts = (b"548140", b"88604", b"4555831")

        def with_count(count: int) -> bytes:
            changed = payload
            for old in counts:
                changed = changed.replace(b'"Consumption":' + old, b'"Consumption":%d' % count)
            return changed

        one = source(device, dm3_per_count=Fraction(1))
        assert only(read(with_count(2**bits - 2), one))[1] == 2**bits - 2
        for count in (2**bits - 1, 2**bits):
            with pytest.raises(UnreadableError, match="counter"):
                read(with_count(count), one)

    @pytest.mark.parametrize("time", [b"2025-12-05T16:44:45", b"0001-01-01T00:00:00Z", b""])
    def test_without_a_time_and_its_zone_is_refused(self, time: bytes) -> None:
        """A receiver that does not know where it is does not know when either."""
        with pytest.raises(UnreadableError):
            read(SCM.replace(b"2025-12-05T16:44:45.730309536Z", time), source("44826100"))

    @pytest.mark.parametrize(
        ("payload", "device", "flags"),
        [
            (SCM, "44826100", ["tamper_physical"]),
            (SCM.replace(b'"TamperEnc":0', b'"TamperEnc":2'), "44826100",
             ["tamper_physical", "tamper_encoder"]),
            (SCM_PLUS, "76324406", ["tamper"]),
            (SCM_PLUS.replace(b"3080", b"0"), "76324406", []),
            (R900, "1111111111", ["leak"]),
            (R900.replace(b'"BackFlow":0', b'"BackFlow":1'), "1111111111", ["reverse", "leak"]),
        ],
    )  # fmt: skip
    def test_tells_who_touched_it(self, payload: bytes, device: str, flags: list[str]) -> None:
        """Somebody may want to look; the register stands all the same."""
        found = read(payload, source(device))

        assert found is not None
        assert list(found.flags) == flags


class TestState:
    """What rtlamr2mqtt makes of a frame is a volume already."""

    def test_is_a_padded_text_in_the_unit_of_the_mapping(self) -> None:
        """Zeros in front are no octal number, and the weight was applied before."""
        found = read(STATE, source("33333333"), "rtlamr/33333333/state")

        assert only(found) == (datetime(2025, 1, 15, 15, 30, tzinfo=UTC), 1234567)

    def test_in_cubic_feet_is_refused(self) -> None:
        """Frames have a weight for that; a unit that we do not know is not guessed."""
        with pytest.raises(UnreadableError, match="bad_unit"):
            read(STATE, source("33333333", unit="ft3"), "rtlamr/33333333/state")

    @pytest.mark.parametrize(
        "topic", ["rtlamr/22222222/state", "rtlamr/33333333/other", "33333333", "state"]
    )
    def test_of_another_topic_is_not_ours(self, topic: str) -> None:
        """The payload itself names nobody."""
        assert read(STATE, source("33333333"), topic) is None

    @pytest.mark.parametrize(
        ("topic", "payload"),
        [
            ("rtlamr/status", b"online"),
            ("rtlamr/33333333/attributes", b'{"Type":"SCM","Message":{"ID":33333333}}'),
        ],
    )
    def test_beside_it_says_nothing_of_gas(self, topic: str, payload: bytes) -> None:
        """A gateway that came online is no fault of anybody's."""
        assert read(payload, source("33333333"), topic) is None

    @pytest.mark.parametrize(
        "payload",
        [
            b'{"reading":1234.567,"lastseen":"2025-01-15T10:30:00-05:00"}',
            b'{"reading":"1,234.567","lastseen":"2025-01-15T10:30:00-05:00"}',
            b'{"reading":"001234.567","lastseen":"2025-01-15T10:30:00"}',
            b'{"reading":"001234.567"}',
            b'{"lastseen":"2025-01-15T10:30:00-05:00"}',
        ],
    )
    def test_of_another_shape_is_refused(self, payload: bytes) -> None:
        """Kept with its reason, so somebody can see what the gateway began to say."""
        with pytest.raises(UnreadableError):
            read(payload, source("33333333"), "rtlamr/33333333/state")
