"""One metric of an industrial gateway, byte by byte."""

import struct
from datetime import UTC, datetime
from typing import Any

import pytest

from metering.adapter import Message, Samples, Source, UnreadableError
from metering.adapters import sparkplug

BIRTH, DATA = "spBv1.0/town/DBIRTH/gate/meter", "spBv1.0/town/DDATA/gate/meter"
READ_AT = datetime(2024, 10, 30, 11, 18, 16, tzinfo=UTC)
# 1730287096822 ms, seven bits a byte, the lowest first.
MS = bytes.fromhex("f6a797e9ad32")

# A whole DBIRTH, written by hand after sparkplug_b.proto.
BORN = bytes.fromhex(
    "08 f6a797e9ad32"  # 1, a number: when the payload was sent
    "12 18"  # 2, 24 bytes: a metric
    "0a 07 6761732f696478"  # 1, 7 bytes: its name, "gas/idx"
    "10 07"  # 2, a number: its alias
    "18 f6a797e9ad32"  # 3, a number: when it was taken
    "20 08"  # 4, a number: UInt64
    "58 87ad4b"  # 11, a number: 1234567
    "18 00"  # 3, a number: seq
)
# The DDATA after it: no name, no type.
LATER = bytes.fromhex(
    "08 f6a797e9ad32"
    "12 0d"
    "10 07"
    "18 f6a797e9ad32"
    "58 87ad4b"
    "18 01"
)  # fmt: skip


def number(field: int, value: int) -> bytes:
    """Return a varint field, shorter than the two above to write."""
    out = bytearray([field << 3])
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def inside(field: int, content: bytes) -> bytes:
    assert len(content) < 0x80
    return bytes([field << 3 | 2, len(content)]) + content


def metric(*parts: bytes, name: bytes = b"gas/idx") -> bytes:
    """Return a payload of one metric, which was taken when the payload was sent."""
    head = inside(1, name) if name else b""
    return b"\x08" + MS + inside(2, head + b"\x18" + MS + b"".join(parts))


def source(device: str = "gas/idx", **more: Any) -> Source:
    more = {"unit": "dm3", **more}
    return Source(
        source_id="S-1",
        family="sparkplug",
        topic=BIRTH,
        meter_id="AQ-000001",
        device=device,
        **more,
    )


def read(payload: bytes, mapping: Source | None = None, topic: str = BIRTH) -> Samples | None:
    received_at = datetime(2026, 1, 1, tzinfo=UTC)
    message = Message(topic=topic, payload=payload, retained=False, received_at=received_at)
    return sparkplug.read(message, mapping or source())


def registers(found: Samples | None) -> list[tuple[datetime, int]]:
    assert found is not None
    return [(sample.read_at, sample.register_dm3) for sample in found.samples]


class TestBirth:
    """A birth names its metrics, so it needs no memory."""

    @pytest.mark.parametrize("device", ["gas/idx", "gas/idx#7"])
    def test_is_a_register(self, device: str) -> None:
        """Its time is in milliseconds."""
        assert registers(read(BORN, source(device))) == [(READ_AT, 1234567)]

    def test_of_another_metric_is_not_ours(self) -> None:
        """A gateway has water, heat and the weather beside it."""
        assert read(BORN, source("water/idx")) is None
        assert read(BORN, source("")) is None

    @pytest.mark.parametrize("device", ["gas/idx#8", "water/idx#7"])
    def test_that_gives_another_alias_is_refused(self, device: str) -> None:
        """Data after it come by alias alone; the mapping would read another metric as gas."""
        with pytest.raises(UnreadableError, match="alias"):
            read(BORN, source(device))

    def test_without_a_name_is_refused(self) -> None:
        """Nobody could ever tell what its aliases are."""
        with pytest.raises(UnreadableError, match="names"):
            read(LATER)


class TestData:
    """Data may come without a name."""

    def test_by_a_mapped_alias_are_a_register(self) -> None:
        """We remember no birth, so the mapping says what it gave."""
        assert registers(read(LATER, source("gas/idx#7"), DATA)) == [(READ_AT, 1234567)]

    @pytest.mark.parametrize("device", ["gas/idx", "gas/idx#8", "#8", ""])
    def test_by_an_alias_that_nobody_told_us_are_not_ours(self, device: str) -> None:
        """It may be anything."""
        assert read(LATER, source(device), DATA) is None

    def test_with_a_name_are_a_register(self) -> None:
        """An alias is a saving, not a duty; an empty name is none."""
        payload = metric(number(4, 8), number(11, 5))

        assert registers(read(payload, topic=DATA)) == [(READ_AT, 5)]
        unnamed = metric(inside(1, b""), number(2, 7), number(11, 5), name=b"")
        assert registers(read(unnamed, source("gas/idx#7"), DATA)) == [(READ_AT, 5)]
        assert read(unnamed, topic=DATA) is None

    def test_with_our_alias_and_another_name_are_refused(self) -> None:
        """The node was born again with its aliases shuffled."""
        with pytest.raises(UnreadableError, match="alias"):
            read(metric(number(2, 7), number(11, 5), name=b"water"), source("gas/idx#7"), DATA)


class TestTopic:
    """Only births and data have readings."""

    @pytest.mark.parametrize(
        "topic",
        [
            "spBv1.0/town/NDEATH/gate", "spBv1.0/town/DDEATH/gate/meter",
            "spBv1.0/town/DCMD/gate/meter", "spBv1.0/town/NCMD/gate", "spBv1.0/STATE/host",
            "spAv1.0/town/DBIRTH/gate/meter", "spBv1.0/town/DBIRTH/gate", "spBv1.0", "gas",
            "spBv1.0/town/NBIRTH/gate/meter",
        ],
    )  # fmt: skip
    def test_of_anything_else_says_nothing(self, topic: str) -> None:
        """A death has metrics too (bdSeq), and the last register of a dead node is old."""
        assert read(BORN, topic=topic) is None

    @pytest.mark.parametrize("topic", ["spBv1.0/town/NBIRTH/gate", "spBv1.0/town/NDATA/gate"])
    def test_of_a_node_is_read_like_a_device(self, topic: str) -> None:
        """Small gateways publish their one meter as their own metric."""
        assert registers(read(BORN, topic=topic)) == [(READ_AT, 1234567)]


class TestTime:
    """A metric stands at its own time."""

    def test_of_history_is_kept(self) -> None:
        """A backlog comes late and was true then: 2024-10-30T11:18:16 and an hour before."""
        earlier = inside(
            2, inside(1, b"gas/idx") + number(3, 1730283496822) + number(5, 1) + number(11, 4)
        )
        payload = metric(number(11, 5)) + earlier

        assert registers(read(payload, topic=DATA)) == [
            (READ_AT, 5),
            (datetime(2024, 10, 30, 10, 18, 16, tzinfo=UTC), 4),
        ]

    def test_of_the_payload_holds_where_a_metric_has_none(self) -> None:
        """Except for history, which was not taken when it was sent."""
        bare = b"\x08" + MS + inside(2, inside(1, b"gas/idx") + number(11, 5))
        history = b"\x08" + MS + inside(2, inside(1, b"gas/idx") + number(11, 5) + number(5, 1))

        assert registers(read(bare, topic=DATA)) == [(READ_AT, 5)]
        with pytest.raises(UnreadableError, match="history"):
            read(history, topic=DATA)

    @pytest.mark.parametrize("ms", [0, 1730287096, 10**14])
    def test_in_other_units_is_refused(self, ms: int) -> None:
        """Seconds in a field of milliseconds are a day in 1970."""
        with pytest.raises(UnreadableError, match="milliseconds"):
            read(inside(2, inside(1, b"gas/idx") + number(3, ms) + number(11, 5)))

    def test_that_nobody_told_is_refused(self) -> None:
        """Every payload of Sparkplug has one."""
        with pytest.raises(UnreadableError, match="milliseconds"):
            read(inside(2, inside(1, b"gas/idx") + number(11, 5)))


class TestValue:
    """A value is whole dm3 beyond doubt."""

    @pytest.mark.parametrize(
        ("parts", "unit", "register_dm3"),
        [
            ([number(4, 3), number(10, 917)], "m3", 917000),
            ([number(4, 7), number(10, 2**32 - 1)], "dm3", 4294967295),
            ([number(4, 7), number(11, 2**32 - 1)], "dm3", 4294967295),
            ([number(4, 4), number(11, 917)], "dm3", 917),
            ([number(10, 917)], "dm3", 917),
            ([number(4, 12), inside(15, b"0001234.567")], "m3", 1234567),
            ([number(4, 14), inside(15, b"1234567")], "l", 1234567),
            ([number(4, 10), b"\x69" + struct.pack("<d", 1234.567)], "m3", 1234567),
            ([number(4, 10), b"\x69" + struct.pack("<d", 99999999.999)], "m3", 99999999999),
            ([number(4, 10), b"\x69" + struct.pack("<d", 1234567.0)], "dm3", 1234567),
            ([number(4, 9), b"\x65" + struct.pack("<f", 1234.567)], "m3", 1234567),
            ([number(4, 9), b"\x65" + struct.pack("<f", 8191.999)], "m3", 8191999),
            ([b"\x69" + struct.pack("<d", 0.0)], "m3", 0),
        ],
    )
    def test_of_a_plain_kind_is_a_register(
        self, parts: list[bytes], unit: str, register_dm3: int
    ) -> None:
        """Integers, texts, and floats that can be only one dm3."""
        assert registers(read(metric(*parts), source(unit=unit))) == [(READ_AT, register_dm3)]

    @pytest.mark.parametrize(
        ("parts", "unit"),
        [
            # A half dm3 and the sum of two floats are nobody's dial.
            ([number(4, 10), b"\x69" + struct.pack("<d", 1234.5675)], "m3"),
            ([number(4, 10), b"\x69" + struct.pack("<d", 0.1 + 0.2)], "m3"),
            # Beyond 16384 m3 the steps of a short float are two dm3 wide.
            ([number(4, 9), b"\x65" + struct.pack("<f", 20000.001)], "m3"),
            ([number(4, 10), b"\x69" + struct.pack("<d", float("nan"))], "m3"),
            ([number(4, 10), b"\x69" + struct.pack("<d", float("inf"))], "m3"),
            ([number(4, 10), b"\x69" + struct.pack("<d", -1.0)], "m3"),
            ([number(4, 10), b"\x69" + struct.pack("<d", 1e300)], "m3"),
            ([number(4, 10), b"\x69" + struct.pack("<d", 1.0)], "kWh"),
            ([number(4, 3), number(10, 917)], "kWh"),
            ([number(4, 9), b"\x69" + struct.pack("<d", 1.0)], "m3"),
            # The bytes of a float in another kind of field, or half of them.
            ([number(4, 10), inside(13, struct.pack("<d", 1.0))], "m3"),
            ([number(4, 10), b"\x6d" + struct.pack("<f", 1.0)], "m3"),
            # -1, in the ways that encoders write it; without a type the top bit is a doubt.
            ([number(4, 3), number(10, 2**32 - 1)], "dm3"),
            ([number(4, 2), number(10, 2**32 - 1)], "dm3"),
            ([number(4, 4), number(11, 2**64 - 1)], "dm3"),
            ([number(10, 2**31)], "dm3"),
            ([number(11, 2**63)], "dm3"),
            # A boolean, a date, bytes, another type than the value, two values, none.
            ([number(4, 11), number(14, 1)], "dm3"),
            ([number(4, 13), number(11, 5)], "dm3"),
            ([number(4, 17), inside(16, b"5")], "dm3"),
            ([number(4, 8), inside(15, b"5")], "dm3"),
            ([number(10, 5), number(11, 6)], "dm3"),
            ([number(10, 5), number(10, 6)], "dm3"),
            ([number(4, 8)], "dm3"),
        ],
    )
    def test_in_doubt_is_refused(self, parts: list[bytes], unit: str) -> None:
        """A guess would be billed."""
        with pytest.raises(UnreadableError):
            read(metric(*parts), source(unit=unit))

    def test_that_is_null_is_no_reading(self) -> None:
        """The gateway lives and has lost its meter; a value beside it is the last one."""
        assert registers(read(metric(number(7, 1), number(11, 5)))) == []
        assert registers(read(metric(number(7, 0), number(11, 5)))) == [(READ_AT, 5)]

    @pytest.mark.parametrize(("quality", "is_good"), [(192, True), (0, False), (500, False)])
    def test_of_bad_or_stale_quality_is_refused(self, quality: int, *, is_good: bool) -> None:
        """A gateway goes on with the last value when its meter no longer answers."""
        told = inside(1, b"Quality") + inside(2, number(1, 3) + number(3, quality))
        payload = metric(number(11, 5), inside(9, told))

        if is_good:
            assert registers(read(payload)) == [(READ_AT, 5)]
        else:
            with pytest.raises(UnreadableError, match="quality"):
                read(payload)


class TestBytes:
    """The wire is read strictly, since two readers of one message must not differ."""

    @pytest.mark.parametrize(
        "payload",
        [
            BORN[:-1], BORN[:20], b"\x12\x7f", b"\x08" + b"\xff" * 9 + b"\x02",
            b"\x08" + b"\x80" * 10 + b"\x00", b"\x08", b"\x0b\x0c", b"\x0e\x00", b"\x00\x00",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x69\x00", b"\x10\x00",
            b"\x08\x01\x08\x01", b"\x0a\x00", inside(2, b"\x08\x01"), inside(2, inside(1, b"\xff")),
            b"\x11\x0a\x06gas/id", number(3, 0) * 8193, inside(2, b"\x0a\x02a"),
        ],
        ids=lambda payload: payload[:12].hex(),
    )  # fmt: skip
    def test_of_another_shape_are_refused(self, payload: bytes) -> None:
        """Cut off, too long, a group, an unknown kind, a field that stands twice."""
        with pytest.raises(UnreadableError):
            read(payload)

    def test_that_nobody_knows_are_passed_over(self) -> None:
        """Fields are added to a protocol: here 4 (uuid), 6 and 1000 in all kinds."""
        more = inside(4, b"u") + b"\x31" + b"\0" * 8 + b"\x35" + b"\0" * 4 + b"\xc0\x3e\x01"

        assert registers(read(BORN + more)) == [(READ_AT, 1234567)]
