"""What meters say they run, against what the town has approved for their type.

A signed telegram may carry the first bytes of the SHA-256 of the meter's firmware. That is a claim
and no proof: a meter with other firmware can repeat the digest of the right one, or say nothing. It
finds what a maker, or somebody careless, has changed, and it costs a meter eight bytes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from metering.head import Head
from metering.telegram import Telegram

# Fewer bytes fit by chance, or by trying, to one digest of a list.
PREFIX_BYTES_MIN: Final = 8
DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareWord:
    """The town's word on one firmware of one type of meter; a later one is another revision."""

    meter_type: str
    firmware_digest: bytes
    revision: int
    approved: bool
    because: str
    said_by: str
    said_at: datetime

    def __post_init__(self) -> None:
        """Refuse what is no SHA-256."""
        if len(self.firmware_digest) != DIGEST_BYTES:
            raise ValueError("a firmware is named by its SHA-256")


def claims(telegrams: Iterable[Telegram], heads: Mapping[str, Head]) -> set[tuple[str, bytes]]:
    """Return which meter says it runs what, where that was not looked at before."""
    return {
        (telegram.meter_id, telegram.firmware)
        for telegram in telegrams
        if telegram.firmware is not None and heads[telegram.meter_id].firmware != telegram.firmware
    }
