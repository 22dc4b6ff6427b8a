"""The quick way through a JSON telegram: whatever it takes, the careful way takes alike."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.telegram import Telegram, _parse, _quick, _read

METER = "AQ-000001"
AT = '"2026-01-01T00:00:00Z"'
LATER = '"2026-01-01T01:00:00+00:00"'


def carefully(payload: bytes) -> Telegram | None:
    """Return what the careful way makes of a message; None is any refusal."""
    try:
        found = _read(METER, _parse(payload))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, Telegram) else None


def agree(payload: bytes) -> bool:
    """Say whether the quick way took it, after seeing that the careful way takes it alike."""
    quick = _quick(METER, payload)
    assert quick is None or quick == carefully(payload)
    return quick is not None


def message(
    *, counter: str = "7", readings: str = f'{{"at":{AT},"dm3":1}}', more: str = ""
) -> bytes:
    return f'{{"meter":"{METER}","counter":{counter},"readings":[{readings}]{more}}}'.encode()


def spaced(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(["", "", "", " ", "\n", "\t\r\n"]))


INSTANTS = st.sampled_from(
    [
        AT, LATER, '"2026-01-01T01:00:00+01:00"', '"2026-01-01T00:00:00.500000Z"',
        '"1999-12-31T23:59:59-00:01"', '"2099-12-31T23:59:59-23:59"', '"2026-02-30T00:00:00Z"',
        '"2026-01-01"', '"at"', '"2026\\u002d01-01T00:00:00Z"', "7", "null",
    ]
)  # fmt: skip
NUMBERS = st.sampled_from(
    [
        "0", "-0", "1", "7", "4294967295", "4294967296", str(10**15), str(10**15 + 1), str(2**63),
        str(2**64), "9" * 400, "9" * 5000, "1.0", "1e2", "01", "-1", "true", "null", '"7"', "NaN",
        "Infinity",
    ]
)  # fmt: skip
FLAGS = st.sampled_from(
    [
        "[]", '["at"]', '["meter"]', '["dm3"]', '["flags"]', '["counter","readings"]', '["a","b"]',
        '["A"]', '["\\u0061"]', '["a\\n"]', "null", "[7]", '["' + "a" * 33 + '"]',
        "[" + ",".join(['"a"'] * 17) + "]", '["é"]',
    ]
)  # fmt: skip


@st.composite
def readings(draw: st.DrawFn) -> str:
    """Return one reading, mostly right, some with a key said twice or a key too many."""
    pairs = [("at", draw(st.one_of(st.just(AT), st.just(LATER), INSTANTS))), ("dm3", "1")]
    pairs[1] = ("dm3", draw(st.one_of(st.sampled_from(["0", "1", "7"]), NUMBERS)))
    pairs += draw(
        st.lists(
            st.sampled_from([("at", AT), ("dm3", "1"), ("x", "1"), ("\\u0061t", AT)]), max_size=1
        )
    )
    return "{" + ",".join(f'{spaced(draw)}"{k}":{spaced(draw)}{v}' for k, v in pairs) + "}"


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Return a message in JSON or almost, its keys in any order and as often as it likes."""
    inside = ",".join(draw(st.lists(readings(), min_size=0, max_size=4)))
    counter = draw(st.one_of(st.just("7"), NUMBERS))
    pairs = [("meter", f'"{METER}"'), ("counter", counter), ("readings", f"[{inside}]")]
    pairs += [("flags", flags) for flags in draw(st.lists(FLAGS, max_size=2))]
    pairs += draw(
        st.lists(
            st.sampled_from(
                [("counter", "8"), ("meter", '"AQ-000002"'), ("readings", "[]"), ("x", "1")]
            ),
            max_size=1,
        )
    )
    body = ",".join(
        f'{spaced(draw)}"{k}"{spaced(draw)}:{spaced(draw)}{v}'
        for k, v in draw(st.permutations(pairs))
    )
    return (
        spaced(draw) + "{" + body + "}" + draw(st.sampled_from(["", "", "", " ", "x", "\0"]))
    ).encode()


class TestTheQuickWay:
    """It saves time, and nothing else: ..."""

    @given(documents())
    @settings(max_examples=2000, deadline=None)
    def test_takes_only_what_the_careful_way_takes_alike(self, payload: bytes) -> None:
        """Same meter, counter, readings, flags and digest, or it stands aside."""
        agree(payload)

    @given(
        st.lists(
            st.tuples(st.integers(0, 23), st.integers(0, 10**15)),
            min_size=1, max_size=24, unique_by=lambda pair: pair[0],
        ),
        st.integers(0, 2**32 - 1),
    )  # fmt: skip
    @settings(max_examples=200, deadline=None)
    def test_takes_ordinary_messages(self, pairs: list[tuple[int, int]], counter: int) -> None:
        """Otherwise it would be of no use, and the first test empty; in any order of hours."""
        body = {
            "meter": METER,
            "counter": counter,
            "readings": [{"at": f"2026-01-01T{h:02d}:00:00Z", "dm3": dm3} for h, dm3 in pairs],
        }

        assert agree(json.dumps(body).encode())

    @pytest.mark.parametrize(
        "payload",
        [
            message(more=',"flags":["a"],"flags":[]'),
            message(more=',"flags":[],"flags":[]'),
            message(more=',"counter":7'),
            message(readings=f'{{"at":{AT},"dm3":1,"dm3":1}}'),
            message(readings=f'{{"at":{AT},"at":{AT},"dm3":1}}'),
            message(readings=f'{{"at":{AT},"dm3":1}},{{"at":{AT},"dm3":2}}'),
            message(counter="7.0"),
            message(counter="true"),
            message(readings=f'{{"at":{AT},"dm3":"1"}}'),
            message() + b"x",
            b"\xef\xbb\xbf" + message(),
        ],
        ids=range(11),
    )
    def test_takes_nothing_that_the_careful_way_refuses(self, payload: bytes) -> None:
        """Keys said twice, flags among them also when the last are none; two registers at once."""
        assert carefully(payload) is None
        assert _quick(METER, payload) is None

    @pytest.mark.parametrize(
        "payload",
        [
            message(more=',"flags":["at"]'),
            message(more=',"flags":["flags"]'),
            message(readings=f'{{"at":{AT},"dm3":1}},{{"at":{AT},"dm3":1}}'),
            message().replace(b'"counter"', b'"count\\u0065r"'),
        ],
        ids=range(4),
    )
    def test_leaves_the_odd_ones_to_the_careful_way(self, payload: bytes) -> None:
        """Good messages that its counting cannot be sure of."""
        assert carefully(payload) is not None
        agree(payload)
