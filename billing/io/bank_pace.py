"""For how long the bank wants to be left alone, as the headers of its answers say."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

RETRY_AFTER_S_MAX: Final = 3600
_DIGITS_MAX: Final = 9


def retry_after_s(headers: Mapping[str, str]) -> int | None:
    """Return for how long the bank wants to be left alone, if it says so in a way we understand."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX:
        return min(int(text), RETRY_AFTER_S_MAX)
    # This bank names the instant at which its allowance is whole again; its own clock tells now.
    reset_at, now = (_instant(headers.get(name, "")) for name in ("ratelimit-reset", "Date"))
    if reset_at is None or now is None:
        return None
    wait_s = int((reset_at - now).total_seconds())
    return wait_s if 0 < wait_s <= RETRY_AFTER_S_MAX else None


def _instant(text: str) -> datetime | None:
    """Return the instant in a header; None if there is none."""
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
