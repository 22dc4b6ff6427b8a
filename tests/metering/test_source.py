"""What sources make of messages, before anything is stored."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Final

import pytest

from metering.adapter import Message, Sample, Samples, Source
from metering.source import SourceError, Switchboard, check_source, rival
from metering.telegram import Arrival, Refusal, RefusalReason, Telegram
from tests.metering.toy_family import read

AT: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
ONE: Final = Source(source_id="one", family="toy", topic="home/one", meter_id="AQ-1")


def board(*sources: Source) -> Switchboard:
    found = Switchboard(families={"toy": read})
    found.connect(sources)
    return found


def on(topic: str, payload: str, *, retained: bool = False) -> Arrival:
    return Arrival(topic=topic, payload=payload.encode(), retained=retained, handle=None)


def registers(said: list[Telegram | Refusal] | None) -> list[tuple[str, int]]:
    assert said is not None
    return [
        (one.meter_id, reading.register_dm3)
        for one in said
        if isinstance(one, Telegram)
        for reading in one.readings
    ]


class TestSwitchboard:
    """The sources of a process ..."""

    def test_hear_what_they_are_mapped_to(self) -> None:
        """A device's register becomes a telegram of the meter, which says that nobody signed it."""
        said = board(ONE).hear(on("home/one", "- - 12.345"), at=AT)

        assert said is not None
        [telegram] = said
        assert isinstance(telegram, Telegram)
        assert (telegram.meter_id, telegram.key_epoch, telegram.kid) == ("AQ-1", -1, None)
        assert registers(said) == [("AQ-1", 12_345)]
        assert telegram.readings[0].read_at == AT
        assert telegram.flags == ("toy",)

    def test_hear_nothing_else(self) -> None:
        """Not a topic beside theirs, and nothing at all once they are gone."""
        switchboard = board(ONE)

        assert switchboard.hear(on("home/two", "- - 1"), at=AT) is None
        assert switchboard.topics == ("home/one",)
        switchboard.connect([])
        assert switchboard.hear(on("home/one", "- - 1"), at=AT) is None
        assert switchboard.topics == ()

    def test_tell_devices_on_one_topic_apart(self) -> None:
        """A gateway packs a house into one message; who is not mapped is nobody's."""
        first = replace(ONE, source_id="a", topic="gate/+/up", device="A")
        other = replace(first, source_id="b", device="B", meter_id="AQ-2", offset_dm3=500)
        switchboard = board(first, other)

        said = switchboard.hear(on("gate/7/up", "A - 1;B - 2;C - 3"), at=AT)

        assert registers(said) == [("AQ-1", 1000), ("AQ-2", 2500)]
        assert switchboard.hear(on("gate/7/up", "C - 3"), at=AT) == []

    def test_take_one_without_times_only_so_often(self) -> None:
        """A reader that repeats its register every second would fill a disk and say nothing."""
        switchboard = board(ONE)

        def taken(seconds: int, payload: str = "- - 1") -> int:
            said = switchboard.hear(on("home/one", payload), at=AT + timedelta(seconds=seconds))
            assert said is not None
            return len(said)

        assert [taken(0), taken(1), taken(3599), taken(3600), taken(3601)] == [1, 0, 0, 1, 0]

    def test_know_who_has_no_time_by_reading_twice(self) -> None:
        """Families round the time of arrival, or count an age from it: neither is its own."""

        def aged(message: Message, source: Source) -> Samples | None:
            age = timedelta(seconds=int(message.payload))
            read_at = message.received_at.replace(microsecond=0) - age
            return Samples(samples=[Sample(read_at=read_at, register_dm3=source.offset_dm3)])

        switchboard = Switchboard(families={"toy": aged})
        switchboard.connect([ONE])
        now = AT + timedelta(microseconds=7)

        said = [
            switchboard.hear(on("home/one", payload), at=now + HOUR * hour)
            for payload, hour in (("0", 0), ("0", 0.5), ("90", 0.9), ("90", 1))
        ]

        assert [len(one or ()) for one in said] == [1, 0, 0, 1]

    def test_take_one_with_times_whenever_it_says_something(self) -> None:
        """An hourly radio may be a second early, and a live one speaks every second."""
        switchboard = board(ONE)

        def taken(*times: str) -> int:
            payload = ";".join(f"- 2026-03-01T{time}Z 1" for time in times)
            said = switchboard.hear(on("home/one", payload), at=AT)
            assert said is not None
            return len(said)

        assert [taken("10:00:00"), taken("10:59:59")] == [1, 1]
        # The same again is for the store to know, as is what is older, or comes in a bundle.
        assert [taken("10:59:59"), taken("09:00:00"), taken("10:59:59")] == [1, 1, 1]
        assert [taken("11:00:58"), taken("11:00:30", "11:00:58")] == [0, 1]
        assert [taken("11:01:57"), taken("11:01:58")] == [0, 1]

    def test_take_again_what_was_not_stored(self) -> None:
        """The database was away, the message comes again, and it is not the second of its hour."""
        switchboard = board(ONE)
        message = on("home/one", "- - 1")

        assert registers(switchboard.hear(message, at=AT)) == [("AQ-1", 1000)]
        assert switchboard.hear(message, at=AT) == []
        switchboard.forget(AT)
        assert registers(switchboard.hear(message, at=AT)) == [("AQ-1", 1000)]

    def test_remember_through_a_change(self) -> None:
        """Another source's coming is no reason to take this one twice."""
        switchboard = board(ONE)
        switchboard.hear(on("home/one", "- - 1"), at=AT)

        switchboard.connect([ONE, replace(ONE, source_id="two", topic="home/two")])

        assert switchboard.hear(on("home/one", "- - 1"), at=AT + HOUR / 2) == []

    def test_take_a_message_from_before_the_last(self) -> None:
        """A clock that was set back must not silence a meter until it has caught up."""
        switchboard = board(ONE)
        switchboard.hear(on("home/one", "- - 1"), at=AT)

        said = switchboard.hear(on("home/one", "- - 1"), at=AT - 30 * HOUR)

        assert registers(said) == [("AQ-1", 1000)]

    def test_leave_it_to_the_family_what_a_retained_message_is(self) -> None:
        """Without a time of its own it may be a year old."""
        assert board(ONE).hear(on("home/one", "- - 1", retained=True), at=AT) == []

    @pytest.mark.parametrize(
        ("payload", "detail"),
        [
            ("nonsense", "not three words"),
            ("- - 1e3", "not_a_number"),
            ("- 1999-12-31T23:59:59+00:00 1", "a time outside 2000 to 2099"),
            ("bug", "not understood: KeyError"),
        ],
    )
    def test_refuse_for_their_meter(self, payload: str, detail: str) -> None:
        """Whoever wonders about a meter finds it there; not even our own mistake stops the line."""
        assert board(ONE).hear(on("home/one", payload), at=AT) == [
            Refusal(
                reason=RefusalReason.BAD_SHAPE,
                detail=detail,
                meter_id="AQ-1",
                counter=None,
                key_epoch=-1,
                answerable=False,
            )
        ]

    def test_refuse_once_what_none_of_many_can_read(self) -> None:
        """One bad message on a gateway's topic is not a thousand rows of evidence."""
        many = [
            replace(ONE, source_id=str(n), topic="gate", device=str(n), meter_id=f"AQ-{n}")
            for n in range(3)
        ]

        assert board(*many).hear(on("gate", "nonsense"), at=AT) == [
            Refusal(
                reason=RefusalReason.BAD_SHAPE,
                detail="for 3 sources: not three words",
                meter_id=None,
                counter=None,
            )
        ]

    def test_give_two_stories_of_one_second_two_counters(self) -> None:
        """A gateway sends the register alone and then packed with older ones."""
        alone = on("home/one", "- 2026-03-01T11:00:00Z 5")
        packed = on("home/one", "- 2026-03-01T10:00:00Z 4;- 2026-03-01T11:00:00Z 5")
        switchboard = board(ONE)
        said = [switchboard.hear(message, at=AT) for message in (alone, packed, alone)]
        counters = [one.counter for [one] in said if one is not None]  # type: ignore[misc]

        assert counters[0] == counters[2] != counters[1]
        # 2026-03-01T11:00Z is 825,678,000 s after 2000; 20 bits stand below.
        assert [counter >> 20 for counter in counters] == [825_678_000] * 3  # type: ignore[operator]


class TestCheck:
    """A source that an operator enters ..."""

    @pytest.mark.parametrize(
        "change",
        [
            {"family": "nobody"},
            {"meter_id": "aq-1"},
            {"meter_id": ""},
            {"device": "x" * 129},
            {"device": "a\x00"},
            {"topic": "home/+"},
            {"topic": "gas/#", "device": "A"},
            {"dm3_per_count": Fraction(0)},
            {"dm3_per_count": Fraction(-1)},
            {"dm3_per_count": Fraction(1_000_001)},
            {"dm3_per_count": Fraction(1, 1_000_001)},
            {"offset_dm3": 10**15 + 1},
            {"offset_dm3": -(10**15) - 1},
            {"unit": "kWh"},
            {"unit": ""},
            {"zone": "Almaty"},
            {"zone": "../../etc/passwd"},
            {"zone": ""},
            {"every_s": 0},
            {"every_s": 31 * 24 * 3600 + 1},
        ],
        ids=str,
    )
    def test_is_refused_when_it_could_not_work(self, change: dict[str, Any]) -> None:
        """Better a sentence now than a meter that is silent, or speaks for another."""
        with pytest.raises(ValueError, match=r"."):
            check_source(replace(ONE, **change), {"toy": read})

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"topic": "home/+", "device": "A"},
            {"dm3_per_count": Fraction(1, 1_000_000)},
            {"dm3_per_count": Fraction(1_000_000)},
            {"offset_dm3": -(10**15)},
            {"unit": "l", "zone": "Asia/Almaty"},
            {"unit": "count"},
            {"every_s": 1},
        ],
        ids=str,
    )
    def test_is_taken_up_to_the_limits(self, change: dict[str, Any]) -> None:
        """A pulse may be a litre, a reader may start below zero."""
        check_source(replace(ONE, **change), {"toy": read})

    def test_names_the_families_there_are(self) -> None:
        """The next question would be what to write instead."""
        with pytest.raises(SourceError, match="the families are a, b"):
            check_source(ONE, ("b", "a"))

    def test_has_a_device_to_itself(self) -> None:
        """One device is one meter's; two spellings of a topic do not change that."""
        wide = replace(ONE, source_id="w", topic="gate/+/up", device="A", meter_id="AQ-2")

        assert rival(replace(ONE, topic="gate/7/up", device="A"), [wide]) == wide
        assert rival(replace(ONE, topic="gate/7/up", device="a"), [wide]) == wide
        assert rival(replace(ONE, topic="gate/7/up"), [wide]) == wide
        assert rival(replace(ONE, topic="gate/7/up", device="B"), [wide]) is None
        assert rival(replace(ONE, topic="gate/7/down", device="A"), [wide]) is None
