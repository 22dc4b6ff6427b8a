"""Bytes in, telegram or refusal out."""

import json
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.meter import bucket
from metering.reading import Reading
from metering.telegram import Refusal, RefusalReason, Telegram, decode, meter_of, printable

TOPIC = f"gas/v1/{crc32(b'AQ-000123') % 64:02d}/AQ-000123/up/json"
GOOD = {
    "meter": "AQ-000123",
    "counter": 42,
    "readings": [{"at": "2026-11-01T00:00:00+05:00", "dm3": 1_234_567}],
    "flags": ["battery_low"],
}


def encoded(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


def reading(at: object = "2026-11-01T00:00:00Z", dm3: object = 1) -> dict[str, object]:
    return {"at": at, "dm3": dm3}


def refusal(payload: bytes, topic: str = TOPIC) -> tuple[str, int | None]:
    """Return the reason and the counter of what must be a refusal."""
    said = decode(topic, payload)
    assert isinstance(said, Refusal)
    return said.reason.value, said.counter


class TestAGoodTelegram:
    """A telegram as the README shows it ..."""

    def test_is_read(self) -> None:
        """Five in the morning of Almaty's first of November is seven in the evening of UTC."""
        said = decode(TOPIC, encoded())

        assert isinstance(said, Telegram)
        assert said.readings == (
            Reading(
                meter_id="AQ-000123",
                read_at=datetime(2026, 10, 31, 19, tzinfo=UTC),
                register_dm3=1_234_567,
            ),
        )
        assert (said.meter_id, said.counter, said.flags) == ("AQ-000123", 42, ("battery_low",))

    def test_needs_no_flags(self) -> None:
        """Most have none."""
        body = {key: value for key, value in GOOD.items() if key != "flags"}

        said = decode(TOPIC, json.dumps(body).encode())

        assert isinstance(said, Telegram)
        assert said.flags == ()

    def test_has_a_digest_of_its_meaning(self) -> None:
        """Stored for ever, so its form must not change: worked out here by hand."""
        said = decode(TOPIC, encoded())

        assert isinstance(said, Telegram)
        assert (
            said.digest
            == sha256(
                b"gas/v1 AQ-000123 42 battery_low\n2026-10-31T19:00:00+00:00 1234567"
            ).digest()
        )

    def test_puts_its_readings_in_order_and_names_each_instant_once(self) -> None:
        """A backlog may come in any order, and may repeat itself."""
        readings = [
            reading("2026-11-02T00:00:00Z", 2),
            reading("2026-11-01T00:00:00Z", 1),
            reading("2026-11-02T05:00:00+05:00", 2),
        ]

        said = decode(TOPIC, encoded(readings=readings))

        assert isinstance(said, Telegram)
        assert [r.register_dm3 for r in said.readings] == [1, 2]

    @pytest.mark.parametrize(
        "at",
        [
            "2000-01-01T00:00:00Z",
            "2099-12-31T23:59:59.999999Z",
            "1999-12-31T23:00:00-01:00",
            "2100-01-01T00:59:59+01:00",
        ],
    )
    def test_may_speak_of_this_century(self, at: str) -> None:
        """The limits are instants, not spellings."""
        assert isinstance(decode(TOPIC, encoded(readings=[reading(at)])), Telegram)

    def test_may_carry_a_whole_backlog(self) -> None:
        """Five hundred readings are the most, and they fit."""
        start = datetime(2026, 1, 1, tzinfo=UTC)
        backlog = [reading((start + timedelta(hours=n)).isoformat(), n) for n in range(500)]

        said = decode(TOPIC, encoded(readings=backlog))

        assert isinstance(said, Telegram)
        assert len(said.readings) == 500


class TestABadTelegram:
    """A telegram that is not as agreed ..."""

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"\xff",
            b"\xef\xbb\xbf{}",
            '{"counter": 42}'.encode("utf-16"),
            b"{",
            b'{"counter": NaN}',
            b'{"counter": -Infinity}',
            b'{"counter": 42, "counter": 42}',
            b'{"counter": ' + b"9" * 5000 + b"}",
            b"[" * 60_000,
            b'{"a":' * 10_000,
            b'{"counter": 42} tail',
            b"'42'",
        ],
        ids=repr,
    )
    def test_that_is_not_json_is_named_so(self, payload: bytes) -> None:
        """Nothing in it can be trusted, so no counter is named."""
        assert refusal(payload) == ("not_json", None)

    @pytest.mark.parametrize(
        "changes",
        [
            {"readings": []},
            {"readings": {}},
            {"readings": [reading(dm3=3.5)]},
            {"readings": [reading(dm3=3.0)]},
            {"readings": [reading(dm3=True)]},
            {"readings": [reading(dm3=False)]},
            {"readings": [reading(dm3="7")]},
            {"readings": [reading(dm3=None)]},
            {"readings": [reading(dm3=-1)]},
            {"readings": [reading(dm3=10**15 + 1)]},
            {"readings": [reading(dm3=2**70)]},
            {"readings": [reading(dm3=[1])]},
            {"readings": [{**reading(), "extra": 1}]},
            {"readings": [reading("2026-11-01T00:00:00")]},
            {"readings": [reading("2026-11-01")]},
            {"readings": [reading("2026-11-01 00:00:00Z")]},
            {"readings": [reading("2026-11-01T00:00Z")]},
            {"readings": [reading("2026-02-30T00:00:00Z")]},
            {"readings": [reading("2026-11-01T24:00:00Z")]},
            {"readings": [reading("2026-11-01T00:00:60Z")]},
            {"readings": [reading("2026-11-01T00:00:00.1234567Z")]},
            {"readings": [reading("2026-11-01T00:00:00+24:00")]},
            {"readings": [reading("\u0662\u0660\u0662\u0666-11-01T00:00:00Z")]},
            {"readings": [reading(1_793_000_000)]},
            {"readings": [reading("1999-12-31T23:59:59Z")]},
            {"readings": [reading("2100-01-01T00:00:00Z")]},
            {"readings": [reading("0001-01-01T00:00:00+05:00")]},
            {"readings": [reading("9999-12-31T23:59:59-05:00")]},
            {"readings": [reading(dm3=1), reading(dm3=2)]},
            {"flags": ["Battery"]},
            {"flags": ["a" * 33]},
            {"flags": ["ok\n"]},
            {"flags": ["a"] * 17},
            {"flags": None},
            {"meter": "\ud800"},
            {"meter": "AQ-000123\u0000"},
            {"meter": "aq-000123"},
            {"extra": 1},
            {"\ud800": 1},
        ],
        ids=repr,
    )
    def test_of_bad_shape_is_answered_under_its_counter(self, changes: dict[str, object]) -> None:
        """The meter must learn which telegram to drop."""
        assert refusal(encoded(**changes)) == ("bad_shape", 42)

    @pytest.mark.parametrize("counter", [-1, 2**32, 1.0, True, "42", None], ids=repr)
    def test_without_a_readable_counter_names_none(self, counter: object) -> None:
        """A counter that is half right must not drop another telegram."""
        assert refusal(encoded(counter=counter)) == ("bad_shape", None)

    @pytest.mark.parametrize("payload", [b"1", b"null", b"[]", b'"x"', b"{}"])
    def test_that_is_other_json_is_of_bad_shape(self, payload: bytes) -> None:
        """JSON is more than objects."""
        assert refusal(payload) == ("bad_shape", None)

    def test_with_a_million_readings_is_not_looked_through(self) -> None:
        """Five hundred and one are already too many."""
        assert refusal(encoded(readings=[1] * 501)) == ("too_many_readings", 42)

    def test_that_is_absurdly_large_is_not_even_parsed(self) -> None:
        """One byte too many is enough."""
        assert refusal(b" " * 65_537) == ("too_large", None)
        assert refusal(b" " * 65_536) == ("not_json", None)

    def test_of_another_meter_names_no_counter(self) -> None:
        """Its counter is the other meter's; naming it could drop a good telegram of this one."""
        assert refusal(encoded(meter="AQ-000124")) == ("meter_mismatch", None)

    @pytest.mark.parametrize(
        "topic",
        [
            "",
            "gas/v1/00/AQ-000123/up/json",
            TOPIC.upper(),
            TOPIC + "/",
            TOPIC + "\n",
            "x" + TOPIC,
            TOPIC.replace("json", "cbor"),
            TOPIC.replace("AQ-000123", "aq-000123"),
            TOPIC.replace("AQ-000123", "A" * 33),
            "gas/v1/\u0663\u0666/AQ-000123/up/json",
            "gas/v1/00/\ud800/up/json",
        ],
        ids=repr,
    )
    def test_on_a_topic_that_is_none_has_no_sender(self, topic: str) -> None:
        """A wrong bucket counts too: another worker may be listening there."""
        said = decode(topic, encoded())

        assert isinstance(said, Refusal)
        assert (said.reason, said.meter_id) == (RefusalReason.BAD_TOPIC, None)
        assert meter_of(topic) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["meter", "counter", "readings", "flags", "at", "dm3"]) | st.text(),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


class TestDecode:
    """Whatever comes in ..."""

    @settings(deadline=None)
    @given(topic=st.text() | st.just(TOPIC), payload=st.binary())
    def test_never_raises_on_bytes(self, topic: str, payload: bytes) -> None:
        """One mad meter must not stop the line."""
        assert isinstance(decode(topic, payload), Refusal)

    @settings(deadline=None)
    @given(changes=st.dictionaries(st.sampled_from([*GOOD, "more", "\ud800"]), JSON, max_size=3))
    def test_never_raises_on_json(self, changes: dict[str, object]) -> None:
        """Near misses of a good telegram are the most dangerous ones."""
        said = decode(TOPIC, json.dumps(GOOD | changes).encode())

        if isinstance(said, Telegram):
            assert said.meter_id == "AQ-000123"
            assert all(0 <= r.register_dm3 <= 10**15 for r in said.readings)
            assert all(type(r.register_dm3) is int for r in said.readings)
        else:
            assert said.detail.isascii()
            assert said.detail.isprintable()

    @settings(deadline=None)
    @given(
        registers=st.dictionaries(
            st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30)),  # noqa: DTZ001 - Hypothesis wants them naive
            st.integers(0, 10**15),
            min_size=1,
            max_size=20,
        ),
        hours=st.integers(-23, 23),
        counter=st.integers(0, 2**32 - 1),
    )
    def test_reads_every_honest_telegram(
        self, registers: dict[datetime, int], hours: int, counter: int
    ) -> None:
        """Any time of the century in any zone, any register that fits: read as it was said."""
        zone = timezone(timedelta(hours=hours))
        said_at = {at.replace(tzinfo=UTC): dm3 for at, dm3 in registers.items()}
        readings = [reading(at.astimezone(zone).isoformat(), dm3) for at, dm3 in said_at.items()]

        said = decode(TOPIC, encoded(readings=readings, counter=counter))

        assert isinstance(said, Telegram)
        assert {r.read_at: r.register_dm3 for r in said.readings} == said_at
        assert said.counter == counter

    @settings(deadline=None)
    @given(
        text=st.text(alphabet=st.characters(), max_size=50) | st.text(), limit=st.integers(0, 40)
    )
    def test_details_are_always_printable(self, text: str, limit: int) -> None:
        """PostgreSQL's text refuses NUL, and a terminal obeys escape sequences."""
        safe = printable(text, limit)

        assert safe.isascii()
        assert safe.isprintable()
        assert len(safe) <= limit


class TestBucket:
    """Where on the wire a meter lives ..."""

    @pytest.mark.parametrize(
        ("meter", "expected"), [("AQ-000123", "36"), ("AQ-000001", "61"), ("A", "11")]
    )
    def test_is_what_other_implementations_say(self, meter: str, expected: str) -> None:
        """Worked out with the checksum that gzip writes, not with our own code."""
        assert bucket(meter) == expected
