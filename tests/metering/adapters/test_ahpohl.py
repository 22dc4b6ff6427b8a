"""A pulse reader whose time is not in the unit it says."""

import pytest

from metering.adapters.ahpohl import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import mapping, message, refused, registers, utc

# As published by ahpohl/gasmeter on gasmeter/live.
LIVE = (
    b'{"time":1730287096822,"volume":4207.18,"state":0,'
    b'"rate":235.40,"price":0.1042,"factor":11.048}'
)


class TestLive:
    """A live message is a register with a time."""

    def test_is_in_milliseconds_whatever_is_documented(self) -> None:
        """As seconds it would be in the year 56 800."""
        assert registers(read, mapping(), message(LIVE, retained=True)) == [
            (utc(2024, 10, 30, 11, 18, 16), 4_207_180)
        ]

    def test_may_be_in_seconds_as_documented(self) -> None:
        """As milliseconds it would be in January 1970."""
        came = message(LIVE.replace(b"1730287096822", b"1730287096"))

        assert registers(read, mapping(), came) == [(utc(2024, 10, 30, 11, 18, 16), 4_207_180)]

    @pytest.mark.parametrize(
        "payload",
        [
            b"{}", b'{"time":1730287096822}', b'{"volume":4207.18}',
            b'{"time":"1730287096822","volume":1}', b'{"time":0,"volume":1}',
            b'{"time":1730287096822,"volume":-1}', b'{"time":1730287096822,"volume":null}',
        ],
    )  # fmt: skip
    def test_without_either_is_refused(self, payload: bytes) -> None:
        """A clock in 1970 was never set."""
        assert refused(read, mapping(), message(payload))[0] is RefusalReason.BAD_SHAPE
