"""Which topics a filter hears, by hand and by a second opinion; which filters a source may have."""

from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from metering.topic import FILTER_CHARS_MAX, FilterError, checked, matches, overlap

# From the examples of MQTT 5.0, sections 4.7.1 to 4.7.3, and what they leave to think about.
TABLE: Final = [
    ("sport/tennis/player1/#", "sport/tennis/player1", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
    ("sport/tennis/player1/#", "sport/tennis/player10", False),
    ("sport/#", "sport", True),
    ("sport/#", "sports", False),
    ("#", "a/b", True),
    ("#", "$SYS/broker", False),
    ("+", "finance", True),
    ("+", "/finance", False),
    ("+/+", "/finance", True),
    ("/+", "/finance", True),
    ("sport/+", "sport", False),
    ("sport/+", "sport/", True),
    ("sport/+", "sport/a/b", False),
    ("sport/tennis/+", "sport/tennis/player1", True),
    ("+/monitor/Clients", "$SYS/monitor/Clients", False),
    ("$SYS/#", "$SYS/broker", True),
    ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
    ("a/+/c", "a//c", True),
    ("a/+/c", "a/b/d", False),
    ("a/b", "a/b/", False),
    ("a/b/", "a/b", False),
    ("A/b", "a/b", False),
    ("a/+/#", "a", False),
    ("a/+/#", "a/b", True),
    ("a/$b/+", "a/$b/c", True),
]

PARTS: Final = st.sampled_from(["", "a", "b", "$a"])
TOPICS: Final = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
LEVELS: Final = st.lists(st.one_of(PARTS, st.just("+")), min_size=1, max_size=4)
FILTERS: Final = st.builds(
    lambda levels, more: "/".join(levels + more), LEVELS, st.sampled_from([[], ["#"]])
)


class TestMatching:
    """A filter ..."""

    @pytest.mark.parametrize(("topic_filter", "topic", "heard"), TABLE)
    def test_hears_what_the_standard_says(
        self, topic_filter: str, topic: str, *, heard: bool
    ) -> None:
        """Written down by hand: a filter that hears too much takes another home's gas."""
        assert matches(topic_filter, topic) is heard

    @given(topic_filter=FILTERS, topic=TOPICS)
    def test_hears_what_another_library_hears(self, topic_filter: str, topic: str) -> None:
        """The paho client has its own idea of the same rules; an empty name is none for it."""
        if topic and topic_filter:
            assert matches(topic_filter, topic) == topic_matches_sub(topic_filter, topic)

    @given(first=FILTERS, second=FILTERS, topic=TOPICS)
    @example(first="a/#", second="a", topic="a")
    def test_overlaps_another_that_hears_the_same_topic(
        self, first: str, second: str, topic: str
    ) -> None:
        """Otherwise two meters would be told of one device."""
        if matches(first, topic) and matches(second, topic):
            assert overlap(first, second)
            assert overlap(second, first)

    @pytest.mark.parametrize(
        ("first", "second", "shared"),
        [
            ("a/+", "+/b", True),
            ("a/#", "a", True),
            ("a/#", "+/b/c", True),
            ("a/+", "a", False),
            ("a/+/c", "a/b/d", False),
            ("a", "b", False),
            ("+", "a/b", False),
            ("#", "$SYS/a", False),
            ("a/b/#", "a", False),
        ],
    )
    def test_overlaps_no_other(self, first: str, second: str, *, shared: bool) -> None:
        """Too strict a rule would refuse a town its second gateway."""
        assert overlap(first, second) is shared
        assert overlap(second, first) is shared


class TestChecked:
    """A source's filter ..."""

    @pytest.mark.parametrize(
        "topic_filter",
        [
            "tele/gate/SNS/123",
            "application/+/device/+/event/up",
            "wmbusmeters/#",
            "gas/meter",
            "gas",
            "gas/v2/#",
            "gas/v10/x",
            "aqkol",
            "aqkol/other",
            "+/sensor/gas/state",
            "+",
            "/gas/v1/x",
            "zigbee2mqtt/газ",
            "gas meter/state",
            "a//b",
            "x" * FILTER_CHARS_MAX,
        ],
    )
    def test_may_hear_strangers(self, topic_filter: str) -> None:
        """Whatever a gateway is set to."""
        assert checked(topic_filter) == topic_filter

    @pytest.mark.parametrize(
        "topic_filter",
        [
            "#", "+/#", "gas/#", "gas/v1", "gas/v1/#", "gas/v1/36/AQ-1/up/json", "+/v1/36/x",
            "gas/+/36/x", "+/+/a", "gas/+", "aqkol/#", "aqkol/doctor/x", "+/doctor/x",
        ],
    )  # fmt: skip
    def test_never_hears_our_own_meters(self, topic_filter: str) -> None:
        """A telegram that a stranger's mapping may read could be told as another meter's."""
        with pytest.raises(FilterError, match="is ours"):
            checked(topic_filter)

    @pytest.mark.parametrize(
        "topic_filter",
        [
            "", "a/#/b", "a#", "#a", "a/b#", "a+/b", "+a", "a/++", "$SYS/#", "$share/g/a", "$",
            "a\x00b", "a\nb", "a\x7f", " a", "a ", "a\ud800", "a\uffff",
            "x" * (FILTER_CHARS_MAX + 1),
        ],
    )  # fmt: skip
    def test_is_one_that_a_broker_takes(self, topic_filter: str) -> None:
        """A broker answers nonsense by ending the connection, and with it every source."""
        with pytest.raises(FilterError):
            checked(topic_filter)
