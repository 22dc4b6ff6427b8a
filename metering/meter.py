"""A gas meter: what its dial can show, how fast gas can pass, and where on the wire it lives."""

import re
from dataclasses import dataclass
from typing import Final
from zlib import crc32

METER_ID: Final = re.compile(r"[A-Z0-9-]{1,32}")
# Workers lease buckets, so there must be more of them than a country will ever run workers on one
# broker, and few enough to subscribe to each.
BUCKETS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A meter of the registry; volumes in dm3, flow in dm3 per hour."""

    meter_id: str
    dial_dm3: int
    step_dm3: int
    qmax_dm3_h: int
    compensated: bool

    def __post_init__(self) -> None:
        """Refuse a meter that cannot exist; the database refuses the same."""
        if METER_ID.fullmatch(self.meter_id) is None:
            raise ValueError("meter_id must be 1 to 32 of A-Z, 0-9 and -")
        if not 0 < self.step_dm3 < self.dial_dm3:
            raise ValueError("step_dm3 must be positive and smaller than dial_dm3")
        if self.qmax_dm3_h <= 0:
            raise ValueError("qmax_dm3_h must be positive")


def bucket_number(meter_id: str) -> int:
    """Return the bucket of a meter as a number from 0 to 63."""
    return crc32(meter_id.encode("ascii")) % BUCKETS


def bucket(meter_id: str) -> str:
    """Return the bucket of a meter as its topic spells it: two digits."""
    return f"{bucket_number(meter_id):02d}"
