"""Why a meter, or a key of it, may not speak now."""

from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from metering.head import Head
from metering.signed import Key
from metering.telegram import UNSIGNED, UPLOADED, RefusalReason, Telegram
from metering.window import JUMP_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A reason, and whether the meter is told, so that it forgets the telegram.

    What a person may still mend, by activating a meter or giving it a new key, the meter is not
    told: it keeps the telegram and sends it again.
    """

    reason: RefusalReason
    detail: str
    told: bool = False


_STATES: Final = MappingProxyType(
    {
        "pending": Bar(reason=RefusalReason.METER_PENDING, detail="not active yet"),
        "frozen": Bar(reason=RefusalReason.METER_FROZEN, detail="a person has to look first"),
        "removed": Bar(
            reason=RefusalReason.METER_REMOVED, detail="taken out of service", told=True
        ),
    }
)
_UNSIGNED: Final = Bar(
    reason=RefusalReason.UNSIGNED, detail="this meter signs its telegrams", told=True
)


def barred(telegram: Telegram, head: Head, at: datetime) -> Bar | None:
    """Say what stands against a telegram whose signature, if it has one, was found right."""
    if head.state != "active":
        return _STATES[head.state]
    if telegram.key_epoch <= UNSIGNED:
        # Whoever could fall back to unsigned telegrams would need no key at all. What an operator
        # uploads has his name on it.
        return _UNSIGNED if head.keys and telegram.key_epoch != UPLOADED else None
    key = head.key(telegram.kid)
    if key is None:
        return Bar(reason=RefusalReason.UNKNOWN_KEY, detail="no key of this meter")
    return _key_barred(telegram, key, at) or _leap(telegram, head)


def _key_barred(telegram: Telegram, key: Key, at: datetime) -> Bar | None:
    if key.key_epoch != telegram.key_epoch:
        detail = f"the key is of epoch {key.key_epoch}"
        return Bar(reason=RefusalReason.WRONG_EPOCH, detail=detail)
    if key.revoked:
        return Bar(reason=RefusalReason.KEY_REVOKED, detail="the key is revoked")
    if key.frozen:
        return Bar(reason=RefusalReason.KEY_FROZEN, detail="a person has to look first")
    if key.valid_until is not None and at >= key.valid_until:
        return Bar(reason=RefusalReason.KEY_EXPIRED, detail="the key was replaced")
    return None


def _leap(telegram: Telegram, head: Head) -> Bar | None:
    high_water = head.window(telegram.key_epoch).high_water
    if telegram.counter <= high_water + JUMP_MAX:
        return None
    return Bar(reason=RefusalReason.COUNTER_JUMP, detail=f"from {high_water}")
