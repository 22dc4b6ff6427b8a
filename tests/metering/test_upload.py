"""One row of an uploaded file, cell by cell."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.telegram import UPLOADED, Refusal, RefusalReason
from metering.upload import (
    Fault,
    Head,
    Manner,
    Row,
    ZoneUnknownError,
    read_head,
    read_row,
    zone_of,
)

HEAD = Head(columns=("meter", "at", "dm3"), separator=",")
CUBIC = Head(columns=("meter", "at", "m3"), separator=";")
FLAGGED = Head(columns=("meter", "at", "dm3", "flags"), separator=",")
PLAIN = Manner()
COMMA = Manner(decimal=",")
# Until 2004 its clocks went to summer time and back; on 1 March 2024 they went back for good.
ALMATY = Manner(zone=ZoneInfo("Asia/Almaty"))
LETTERS = 'AQ-1,;\t"2026T:Z+05. \r'
WARSAW = Manner(zone=ZoneInfo("Europe/Warsaw"))


def row(text: str, head: Head | None = HEAD, manner: Manner = PLAIN) -> Row:
    return read_row(7, text.encode(), head=head, manner=manner)


def said(found: Row) -> tuple[object, ...]:
    """Return meter, instant and register of a row that can be taken."""
    assert found.telegram is not None, found.fault
    (reading,) = found.telegram.readings
    return reading.meter_id, reading.read_at, reading.register_dm3


def at(text: str, manner: Manner = PLAIN) -> datetime | Fault:
    found = row(f"AQ-1,{text},5", manner=manner)
    if found.telegram is None:
        assert found.fault is not None
        return found.fault
    return found.telegram.readings[0].read_at


def cubic(text: str, manner: Manner = PLAIN) -> int | Fault:
    found = row(f"AQ-1;2026-01-01T00:00:00Z;{text}", CUBIC, manner)
    if found.telegram is None:
        assert found.fault is not None
        return found.fault
    return found.telegram.readings[0].register_dm3


class TestARow:
    """A row ..."""

    def test_is_a_telegram_of_its_own(self) -> None:
        """2026-01-01T00:00:00+05:00 is 820,522,800 seconds after the year 2000 began in UTC."""
        found = row("AQ-000123,2026-01-01T00:00:00+05:00,1234567")

        assert said(found) == ("AQ-000123", datetime(2025, 12, 31, 19, tzinfo=UTC), 1_234_567)
        assert found.telegram is not None
        assert (found.telegram.counter, found.telegram.key_epoch) == (820_522_800, UPLOADED)
        story = b"uploaded AQ-000123 2025-12-31T19:00:00+00:00 1234567"
        assert found.telegram.digest == sha256(story).digest()
        assert found.said is found.telegram

    def test_is_the_same_telegram_however_it_is_spelt(self) -> None:
        """Other offset, other unit, quoted, spaced, as JSON: no second story."""
        spelt = [
            row("AQ-1,2026-01-01T00:00:00+05:00,1500"),
            row('"AQ-1","2025-12-31 19:00Z", 1500 '),
            row("AQ-1;2025-12-31T19:00:00.000Z;1.5", CUBIC),
            row("AQ-1;2026-01-01T00:00:00+05:00;1,500000", CUBIC, COMMA),
            row('{"meter": "AQ-1", "at": "2025-12-31T19:00:00Z", "m3": "1.5"}', None),
            row('{"dm3": 1500, "flags": [], "at": "2025-12-31T19:00Z", "meter": "AQ-1"}', None),
        ]

        assert len({found.telegram for found in spelt}) == 1
        assert spelt[0].telegram is not None

    def test_carries_flags(self) -> None:
        """A reader notes what the meter shows; its words are those of our own wire."""
        found = row("AQ-1,2026-01-01T00:00:00Z,5,battery_low tamper", FLAGGED)

        assert found.telegram is not None
        assert found.telegram.flags == ("battery_low", "tamper")

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("AQ-1,2026-01-01T00:00:00Z", "half_row"),
            ("AQ-1", "half_row"),
            ("AQ-1,2026-01-01T00:00:00Z,5,6", "extra_fields"),
            ('AQ-1,2026-01-01T00:00:00Z,"5', "quoted_newline"),
            ('AQ-1,2026-01-01T00:00:00Z,5"', "bad_quotes"),
            ('AQ-1,2026-01-01T00:00:00Z,"5"6', "bad_quotes"),
            ("aq-1,2026-01-01T00:00:00Z,5", "bad_meter"),
            (",2026-01-01T00:00:00Z,5", "bad_meter"),
            ("АQ-1,2026-01-01T00:00:00Z,5", "bad_meter"),  # noqa: RUF001 - Cyrillic on purpose
            ("=HYPERLINK(1),2026-01-01T00:00:00Z,5", "bad_meter"),
            ("A" * 33 + ",2026-01-01T00:00:00Z,5", "bad_meter"),
            ("AQ-1,2026-01-01T00:00:00Z,", "bad_register"),
            ("AQ-1,2026-01-01T00:00:00Z,-5", "bad_register"),
            ("AQ-1,2026-01-01T00:00:00Z,5.0", "bad_register"),
            ("AQ-1,2026-01-01T00:00:00Z,1e3", "bad_register"),
            ("AQ-1,2026-01-01T00:00:00Z,1_000", "bad_register"),
            ("AQ-1,2026-01-01T00:00:00Z,\u0665", "bad_register"),
            ("AQ-1,2026-01-01T00:00:00Z,1000000000000001", "bad_register"),
            ("AQ-1,2026-01-01T00:00:00,5", "no_offset"),
            ("AQ-1,01.01.2026,5", "bad_time"),
            ("AQ-1,2026-01-01T00:00:00Z" + " " * 4096 + ",5", "line_too_long"),
        ],
    )
    def test_that_is_no_reading_says_why(self, text: str, fault: str) -> None:
        """A closed set of reasons, each one a thing that a person can mend."""
        assert row(text).fault == Fault(fault)

    def test_remembers_its_meter_when_only_the_rest_is_wrong(self) -> None:
        """The operator of that meter finds the evidence under its name."""
        found = row("AQ-1,yesterday,5")

        assert (found.row_no, found.meter_id) == (7, "AQ-1")
        assert found.said == Refusal(
            reason=RefusalReason.BAD_SHAPE,
            detail="bad_time: not an instant in whole seconds, from 2000 to 2099",
            meter_id="AQ-1",
            counter=None,
            key_epoch=UPLOADED,
            answerable=False,
        )
        assert row("AQ-1,2026").meter_id == "AQ-1"
        assert row("=cmd|' /C calc'!A0,2026-01-01T00:00:00Z,5").meter_id is None

    @pytest.mark.parametrize("flags", ["Low", "a" * 33, " ".join(["a"] * 17), "=1+1"])
    def test_with_flags_of_another_kind_is_refused(self, flags: str) -> None:
        """The database holds sixteen words of thirty-two letters."""
        assert row(f"AQ-1,2026-01-01T00:00:00Z,5,{flags}", FLAGGED).fault is Fault.BAD_FLAGS


class TestAnInstant:
    """The time of a row ..."""

    @pytest.mark.parametrize(
        ("text", "manner", "expected"),
        [
            ("2026-01-01T05:00:00+05:00", PLAIN, datetime(2026, 1, 1, tzinfo=UTC)),
            ("2026-01-01 05:00+05:00", PLAIN, datetime(2026, 1, 1, tzinfo=UTC)),
            ("2026-01-01T05:00:00", ALMATY, datetime(2026, 1, 1, tzinfo=UTC)),
            ("2024-02-29T05:00:00", ALMATY, datetime(2024, 2, 28, 23, tzinfo=UTC)),
            ("2026-01-01T05:00:00+06:00", ALMATY, datetime(2025, 12, 31, 23, tzinfo=UTC)),
            ("2026-07-01T02:00:00", WARSAW, datetime(2026, 7, 1, tzinfo=UTC)),
            ("2099-12-31T23:59:59Z", PLAIN, datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ],
    )
    def test_is_one_instant(self, text: str, manner: Manner, expected: datetime) -> None:
        """With an offset the zone says nothing; without one it says all."""
        assert at(text, manner) == expected

    @pytest.mark.parametrize(
        ("text", "manner", "fault"),
        [
            ("2026-01-01T00:00:00", PLAIN, "no_offset"),
            ("2026-03-29T02:30:00", WARSAW, "time_skipped"),
            ("2026-03-29T02:00:00", WARSAW, "time_skipped"),
            ("2026-10-25T02:30:00", WARSAW, "time_ambiguous"),
            ("2024-02-29T23:30:00", ALMATY, "time_ambiguous"),
            ("2026-02-30T00:00:00Z", PLAIN, "bad_time"),
            ("2026-01-01T24:00:00Z", PLAIN, "bad_time"),
            ("2026-01-01T00:00:60Z", PLAIN, "bad_time"),
            ("2026-01-01T00:00:00.5Z", PLAIN, "bad_time"),
            ("2026-01-01T00:00.0Z", PLAIN, "bad_time"),
            ("2026-01-01", PLAIN, "bad_time"),
            ("1999-12-31T23:59:59Z", PLAIN, "bad_time"),
            ("2000-01-01T00:00:00+01:00", PLAIN, "bad_time"),
            ("2100-01-01T00:00:00Z", PLAIN, "bad_time"),
            ("0001-01-01T00:00:00+14:00", PLAIN, "bad_time"),
            ("9999-12-31T23:59:59-14:00", PLAIN, "bad_time"),
            ("1767225600", PLAIN, "bad_time"),
        ],
    )
    def test_is_never_guessed(self, text: str, manner: Manner, fault: str) -> None:
        """An hour that no clock showed, and one that was there twice, belong to no reading."""
        assert at(text, manner) == Fault(fault)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2026-03-29T01:59:59", datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)),
            ("2026-03-29T03:00:00", datetime(2026, 3, 29, 1, tzinfo=UTC)),
            ("2026-10-25T01:59:59", datetime(2026, 10, 24, 23, 59, 59, tzinfo=UTC)),
            ("2026-10-25T03:00:00", datetime(2026, 10, 25, 2, tzinfo=UTC)),
        ],
    )
    def test_beside_a_change_of_the_clock_is_taken(self, text: str, expected: datetime) -> None:
        """Warsaw in 2026: a second before, and the first one after."""
        assert at(text, WARSAW) == expected

    @pytest.mark.parametrize("name", ["", "Mars/Base", "../etc/passwd", "Asia", "a\x00b", "a" * 99])
    def test_is_in_a_zone_that_exists(self, name: str) -> None:
        """What is no zone is told at once, and not with each row."""
        with pytest.raises(ZoneUnknownError):
            zone_of(name)


class TestCubicMetres:
    """A register in m3 ..."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("0", 0),
            ("1234.567", 1_234_567),
            ("1234.5", 1_234_500),
            ("1234", 1_234_000),
            ("0.001", 1),
            ("007.5", 7_500),
            ("1234.567000", 1_234_567),
            ("1000000000000", 10**15),
        ],
    )
    def test_is_whole_litres_exactly(self, text: str, expected: int) -> None:
        """Three decimals are litres; not one of them passes through a float."""
        assert cubic(text) == expected
        assert cubic(text.replace(".", ","), COMMA) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "1234.5675",
            "1.",
            ".5",
            "1 234.5",
            "1,234.5",
            "1e3",
            "+1",
            "1.5.5",
            "nan",
            "1000000000000.001",
        ],
    )
    def test_is_never_rounded_or_guessed(self, text: str) -> None:
        """Finer than a litre, grouped or signed: somebody must look at it."""
        assert cubic(text) is Fault.BAD_REGISTER

    def test_has_the_declared_mark(self) -> None:
        """1,234 is one and a bit in Almaty and a thousand in London: only the sender knows."""
        assert cubic("1,234") is Fault.BAD_REGISTER
        assert cubic("1.234", COMMA) is Fault.BAD_REGISTER
        assert cubic("1,234", COMMA) == 1_234


class TestAHead:
    """The first line ..."""

    @pytest.mark.parametrize(
        ("text", "columns", "separator"),
        [
            ("meter,at,dm3", ("meter", "at", "dm3"), ","),
            ("at;m3;meter", ("at", "m3", "meter"), ";"),
            ("meter\tat\tdm3\tflags", ("meter", "at", "dm3", "flags"), "\t"),
            ('"meter","at", dm3 ', ("meter", "at", "dm3"), ","),
        ],
    )
    def test_names_the_columns_in_any_order(
        self, text: str, columns: tuple[str, ...], separator: str
    ) -> None:
        """What stands between the names stands between the cells."""
        assert read_head(text) == Head(columns=columns, separator=separator)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "meter",
            "meter,at",
            "meter,dm3",
            "meter,at,dm3,m3",
            "meter,at,dm3,at",
            "meter,at,dm3,address",
            "Meter,at,dm3",
            "meter,at;dm3",
            "meter|at|dm3",
            'meter,at,"dm3',
            "AQ-1,2026-01-01T00:00:00Z,5",
        ],
    )
    def test_of_another_kind_is_none(self, text: str) -> None:
        """Without names, with unknown or doubled ones, nothing of the file can be trusted."""
        assert read_head(text) is None


class TestAJsonLine:
    """A row of JSON ..."""

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", "not_json"),
            ("[]", "not_json"),
            ('{"meter": "AQ-1", "at": "2026-01-01T00:00:00Z", "dm3": 5', "not_json"),
            ('{"meter": "AQ-1", "meter": "AQ-2", "at": "x", "dm3": 5}', "not_json"),
            ('{"meter": "AQ-1", "at": "2026-01-01T00:00:00Z", "dm3": NaN}', "not_json"),
            ("[" * 4000, "not_json"),
            ('{"meter": 1, "at": "2026-01-01T00:00:00Z", "dm3": 5}', "bad_meter"),
            ('{"meter": "AQ-1", "at": 1767225600, "dm3": 5}', "bad_shape"),
            ('{"meter": "AQ-1", "at": "2026-01-01T00:00:00Z"}', "bad_shape"),
            ('{"meter": "AQ-1", "at": "x", "dm3": 5, "m3": "5"}', "bad_shape"),
            ('{"meter": "AQ-1", "at": "x", "dm3": 5, "note": ""}', "bad_shape"),
            ('{"meter": "AQ-1", "at": "2026-01-01T00:00:00Z", "dm3": 5.0}', "bad_register"),
            ('{"meter": "AQ-1", "at": "2026-01-01T00:00:00Z", "dm3": true}', "bad_register"),
            ('{"meter": "AQ-1", "at": "2026-01-01T00:00:00Z", "dm3": "5"}', "bad_register"),
            ('{"meter": "AQ-1", "at": "2026-01-01T00:00:00Z", "m3": 1.5}', "bad_register"),
            ('{"meter": "AQ-1", "at": "x", "dm3": 5, "flags": "low"}', "bad_flags"),
            ('{"meter": "AQ-1", "at": "x", "dm3": 5, "flags": [1]}', "bad_flags"),
        ],
    )
    def test_is_as_strict_as_a_telegram(self, text: str, fault: str) -> None:
        """A float, a bool or a text for a number is a mistake of the program that wrote it."""
        assert row(text, None).fault == Fault(fault)


class TestAnyLine:
    """Whatever stands on a line ..."""

    @given(
        line=st.binary(max_size=60) | st.text(LETTERS, max_size=60).map(str.encode),
        head=st.sampled_from([HEAD, CUBIC, FLAGGED, None]),
        manner=st.sampled_from([PLAIN, COMMA, ALMATY, Manner(encoding="windows-1251")]),
    )  # fmt: skip
    def test_is_a_telegram_or_a_fault(self, line: bytes, head: Head | None, manner: Manner) -> None:
        """It never raises: one mad row must not stop a file."""
        try:
            line.decode(manner.encoding)
        except UnicodeDecodeError:
            return  # The whole file was turned away before a row was read.

        found = read_row(1, line, head=head, manner=manner)

        assert (found.telegram is None) is (found.fault is not None)
        assert found.said.meter_id == found.meter_id

    @given(
        register_dm3=st.integers(0, 10**15),
        instant=st.datetimes(
            datetime(2000, 1, 2), datetime(2099, 12, 30), timezones=st.timezones()  # noqa: DTZ001
        ).map(lambda it: it.astimezone(UTC).replace(microsecond=0)),
    )  # fmt: skip
    def test_that_was_written_down_is_read_back(self, register_dm3: int, instant: datetime) -> None:
        """Litres, cubic metres and JSON all give back what went in."""
        at_ = instant.isoformat()
        expected = ("AQ-1", instant, register_dm3)
        whole, litres = divmod(register_dm3, 1000)

        assert said(row(f"AQ-1,{at_},{register_dm3}")) == expected
        assert said(row(f"AQ-1;{at_};{whole},{litres:03d}", CUBIC, COMMA)) == expected
        line = json.dumps({"meter": "AQ-1", "at": at_, "dm3": register_dm3})
        assert said(row(line, None)) == expected
