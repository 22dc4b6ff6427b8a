"""Moving out and in: an account ends with a register, the next one begins with the same.

    last day of the old account        first day of the new one
    ------------------------- midnight -------------------------
                    closing register = opening register

The line between two accounts is a local midnight, so that every day of supply, and every cubic
metre, is one account's. A register that was read on the last day stands for that midnight.
"""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingRegister:
    """What a meter showed when its account ended; ``read_at`` is None where a person said it."""

    meter_id: str
    register_dm3: int
    read_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The end of an account: its last local day of supply, the registers, who said so and why."""

    account_id: str
    last_day: date
    registers: tuple[ClosingRegister, ...]
    because: str
    closed_by: str
    closed_at: datetime
