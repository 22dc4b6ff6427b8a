"""Strict JSON, exact counts, and times as the many clocks spell them."""

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.adapter import Message, Source, UnreadableError
from metering.adapters import parse
from metering.telegram import RefusalReason

AMSTERDAM = "Europe/Amsterdam"


def source(*, dm3_per_count: Fraction = Fraction(1), offset_dm3: int = 0) -> Source:
    return Source(
        source_id="S-1",
        family="scalar",
        topic="gas",
        meter_id="AQ-000001",
        dm3_per_count=dm3_per_count,
        offset_dm3=offset_dm3,
    )


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


class TestJson:
    """A payload is one JSON value, or refused with a reason."""

    @pytest.mark.parametrize(
        "payload",
        [
            b"", b"{", b"\xff", b"\xef\xbb\xbf{}", b'{"a":NaN}', b'{"a":-Infinity}', b"{} {}",
            b'{"a":1,"a":1}', b'{"a":{"b":1,"\\u0062":2}}', b"1e" + b"9" * 40, b"9" * 5000,
            b"[" * 60000,
        ],
        ids=lambda payload: repr(payload[:20]),
    )  # fmt: skip
    def test_that_is_not_strict_is_refused(self, payload: bytes) -> None:
        """Of two equal keys one would be billed, and nobody knows which was meant."""
        with pytest.raises(UnreadableError) as refused:
            parse.json_value(payload)

        assert refused.value.reason is RefusalReason.NOT_JSON

    def test_keeps_fractions_exact(self) -> None:
        """0.1 in binary is not 0.1."""
        assert parse.json_object(b'{"a":0.1}') == {"a": Decimal("0.1")}

    @pytest.mark.parametrize("payload", [b"[]", b"7", b"null", b'"{}"'])
    def test_that_is_no_object_is_of_another_shape(self, payload: bytes) -> None:
        """The next family may publish a bare number on a topic like this one."""
        with pytest.raises(UnreadableError) as refused:
            parse.json_object(payload)

        assert refused.value.reason is RefusalReason.BAD_SHAPE


class TestCounter:
    """Pulses have a weight, and a dial stood somewhere when they began."""

    @pytest.mark.parametrize(
        ("count", "weight", "offset_dm3", "register_dm3"),
        [
            (7, Fraction(10), 1200, 1270),
            ("0007", Fraction(10), 1200, 1270),
            (Decimal("7.0"), Fraction(10), 1200, 1270),
            (2, Fraction(1, 3), 0, 0),
            (3, Fraction(1, 3), 0, 1),
            (1, Fraction(1, 2), -1, -1),
        ],
    )
    def test_is_rounded_down_once(
        self, count: object, weight: Fraction, offset_dm3: int, register_dm3: int
    ) -> None:
        """Rounding each pulse would lose or make gas; a negative register is refused later."""
        mapping = source(dm3_per_count=weight, offset_dm3=offset_dm3)

        assert parse.counted_dm3(count, mapping) == register_dm3

    @pytest.mark.parametrize("count", ["7.5", Decimal("7.5"), True, 7.0, None, -1, "x", "1e3"])
    def test_that_is_no_whole_number_is_refused(self, count: object) -> None:
        """Half a pulse means that a gateway scaled it already, with a weight we do not know."""
        with pytest.raises(UnreadableError):
            parse.counted_dm3(count, source())


class TestTimeOfReceipt:
    """What has no time of its own was read when it came."""

    def test_is_a_whole_second(self) -> None:
        """The counter of an adapted telegram counts seconds."""
        message = Message(
            topic="t", payload=b"", retained=False, received_at=utc(2026, 1, 1, 0, 0, 7, 999)
        )

        assert parse.received_at(message) == utc(2026, 1, 1, 0, 0, 7)

    def test_of_a_retained_message_means_nothing(self) -> None:
        """It may have lain at the broker for weeks."""
        message = Message(topic="t", payload=b"", retained=True, received_at=utc(2026, 1, 1))

        with pytest.raises(UnreadableError, match="retained"):
            parse.received_at(message)


class TestZonedTime:
    """A time with an offset is an instant."""

    @pytest.mark.parametrize(
        ("value", "instant"),
        [
            ("2025-05-05T21:25:06.548266268Z", utc(2025, 5, 5, 21, 25, 6)),
            ("2025-01-15T10:30:00-05:00", utc(2025, 1, 15, 15, 30)),
            ("2022-10-14T17:06:14+0200", utc(2022, 10, 14, 15, 6, 14)),
            ("2022-10-14 17:06:14+02:00", utc(2022, 10, 14, 15, 6, 14)),
        ],
    )
    def test_is_read_to_the_second(self, value: str, instant: datetime) -> None:
        """Gateways write anything from seconds to nanoseconds."""
        assert parse.zoned_at(value, "time") == instant
        assert parse.told_at(value, "time", AMSTERDAM) == instant

    @pytest.mark.parametrize(
        "value",
        [
            "2025-01-15T10:30:00", "2025-01-15", "1111-11-11T11:11:11Z", "0001-01-01T00:00:00+1400",
            "9999-12-31T23:59:59-14:00", "2025-02-30T00:00:00Z", "2025-01-15T24:00:00Z",
            "2025-01-15T10:30:00+99:99", "", "\u0662025-01-15T10:30:00Z", 7, None, [],
        ],
    )  # fmt: skip
    def test_of_another_spelling_is_refused(self, value: object) -> None:
        """A year 1 moved to UTC is an overflow, not a reading."""
        with pytest.raises(UnreadableError):
            parse.zoned_at(value, "time")


class TestLocalTime:
    """A time without an offset is one in the zone of its mapping."""

    @pytest.mark.parametrize(
        ("value", "zone", "instant"),
        [
            ("2021-09-15 13:18", AMSTERDAM, utc(2021, 9, 15, 11, 18)),
            ("2021-01-15T13:18:09.5", AMSTERDAM, utc(2021, 1, 15, 12, 18, 9)),
            ("2024-02-29 12:00", "Asia/Almaty", utc(2024, 2, 29, 6)),
            ("2024-03-02 12:00", "Asia/Almaty", utc(2024, 3, 2, 7)),
            ("2021-07-15 13:18", "Etc/GMT-1", utc(2021, 7, 15, 12, 18)),
        ],
    )
    def test_is_moved_to_utc(self, value: str, zone: str, instant: datetime) -> None:
        """Almaty moved by an hour on 1 March 2024."""
        assert parse.told_at(value, "time", zone) == instant

    @pytest.mark.parametrize("value", ["2026-03-29 02:00", "2026-03-29 02:59:59"])
    def test_that_the_clock_jumped_over_never_was(self, value: str) -> None:
        """A device that says so has another clock than its mapping."""
        with pytest.raises(UnreadableError, match="never was"):
            parse.local_at(value, "time", AMSTERDAM)

    def test_on_either_side_of_the_jump_is_one_hour_apart(self) -> None:
        """01:59 and 03:00 are one minute apart that night."""
        assert parse.local_at("2026-03-29 01:59", "time", AMSTERDAM) == utc(2026, 3, 29, 0, 59)
        assert parse.local_at("2026-03-29 03:00", "time", AMSTERDAM) == utc(2026, 3, 29, 1, 0)

    @pytest.mark.parametrize("value", ["2026-10-25 02:00", "2026-10-25 02:59:59"])
    def test_that_was_twice_is_not_guessed(self, value: str) -> None:
        """Two registers an hour apart would claim one instant."""
        with pytest.raises(UnreadableError, match="was twice"):
            parse.local_at(value, "time", AMSTERDAM)

    def test_that_was_twice_is_taken_when_it_says_which(self) -> None:
        """Dutch meters write S or W behind it."""
        wall = datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001 - a clock on a wall has no zone

        assert parse.wall_at(wall, "time", AMSTERDAM, 0) == utc(2026, 10, 25, 0, 30)
        assert parse.wall_at(wall, "time", AMSTERDAM, 1) == utc(2026, 10, 25, 1, 30)

    @pytest.mark.parametrize("year", [1, 1998, 2101, 9999])
    def test_of_another_age_is_refused(self, year: int) -> None:
        """Moved to UTC, the first and the last day of all are an overflow."""
        for wall in (datetime(year, 1, 1), datetime(year, 12, 31, 23)):  # noqa: DTZ001 - a wall
            for zone in ("Asia/Almaty", "America/New_York"):
                with pytest.raises(UnreadableError, match="outside"):
                    parse.wall_at(wall, "time", zone)

    @pytest.mark.parametrize("zone", ["", "Nowhere/Land", "../etc", "Europe", "\0"])
    def test_in_no_zone_is_refused(self, zone: str) -> None:
        """A mistake in a mapping must not stop the line."""
        with pytest.raises(UnreadableError):
            parse.local_at("2026-01-01 00:00", "time", zone)

    @pytest.mark.parametrize("value", ["1999-11-30", "1970-01-01 00:00", "2026-13-01 00:00", 7])
    def test_that_is_no_time_is_refused(self, value: object) -> None:
        """Meters print days like these for a time that was never set."""
        with pytest.raises(UnreadableError):
            parse.local_at(value, "time", AMSTERDAM)


class TestSummer:
    """Clocks in summer are ahead of those in winter, where there are two."""

    @pytest.mark.parametrize(
        ("month", "zone", "is_summer"),
        [
            (1, AMSTERDAM, False), (7, AMSTERDAM, True), (1, "Australia/Sydney", True),
            (7, "Australia/Sydney", False), (7, "Etc/GMT-1", False), (1, "UTC", False),
            (7, "Asia/Almaty", False), (7, "Europe/Dublin", True), (1, "Europe/Dublin", False),
        ],
    )  # fmt: skip
    def test_is_told_by_the_zone(self, month: int, zone: str, *, is_summer: bool) -> None:
        """By the offsets: Ireland's law calls its summer the standard."""
        assert parse.is_summer(utc(2026, month, 15), zone) is is_summer


class TestEpoch:
    """Seconds or milliseconds since 1970, whatever the documentation says."""

    @pytest.mark.parametrize(
        ("value", "instant"),
        [
            (1730287096822, utc(2024, 10, 30, 11, 18, 16)),
            (1730287096, utc(2024, 10, 30, 11, 18, 16)),
            (Decimal("1730287096.5"), utc(2024, 10, 30, 11, 18, 16)),
            (946684800, utc(2000, 1, 1)),
            (946684800000, utc(2000, 1, 1)),
            (4102444799, utc(2099, 12, 31, 23, 59, 59)),
            (4102444799999, utc(2099, 12, 31, 23, 59, 59)),
        ],
    )
    def test_is_told_by_its_size(self, value: object, instant: datetime) -> None:
        """No time between 2000 and 2099 is both."""
        assert parse.epoch_at(value, "time") == instant

    @pytest.mark.parametrize(
        "value",
        [0, 1, -1, 10**11 - 1, 10**15, True, "1730287096", 1.5, None, Decimal("NaN"),
         Decimal("1e999"), Decimal(-1)],
    )  # fmt: skip
    def test_of_anything_else_is_refused(self, value: object) -> None:
        """A clock that was never set starts in 1970."""
        with pytest.raises(UnreadableError):
            parse.epoch_at(value, "time")


class TestEverything:
    """Nothing but an UnreadableError ever leaves."""

    @given(st.binary(max_size=200))
    def test_json_of_any_bytes(self, payload: bytes) -> None:
        """One mad gateway must not stop the line."""
        with suppress(UnreadableError):
            assert isinstance(parse.json_object(payload), dict)

    @given(
        st.one_of(
            st.text(max_size=40),
            st.integers(),
            st.decimals(),
            st.floats(),
            st.datetimes().map(str),
            st.datetimes(timezones=st.timezones()).map(str),
        )
    )
    def test_time_of_any_value(self, value: object) -> None:
        """Likewise, and what is taken is in UTC and whole seconds."""
        for read in (parse.zoned_at, parse.epoch_at):
            try:
                found = read(value, "time")
            except UnreadableError:
                continue
            assert found.tzinfo is UTC
            assert found.microsecond == 0
        try:
            assert parse.told_at(value, "time", AMSTERDAM).tzinfo is UTC
        except UnreadableError:
            return
