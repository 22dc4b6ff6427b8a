"""Where a resident is written to: an address, a language, and what the mail is spared for.

An address goes onto the wire of a mail, so it is of the plainest kind: no quotes, no comments, no
spaces, ASCII only, and nothing that could end a header and begin another.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from billing.paper.words import Language

# What SMTP can carry: 64 characters before the sign, 254 in all (RFC 5321, 4.5.3.1).
ADDRESS_MAX: Final = 254
_LOCAL: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ADDRESS_PATTERN: Final = rf"^(?=[^@]{{1,64}}@){_LOCAL}@{_LABEL}(?:\.{_LABEL})+$"
_ADDRESS: Final = re.compile(ADDRESS_PATTERN.removesuffix("$") + r"\Z", re.ASCII)

# So long whoever changed an address cannot keep what happens from the address before.
OLD_ADDRESS_HEARS_FOR: Final = timedelta(hours=72)
# An address that a later one replaced is forgotten after the last change it had to hear of.
OLD_ADDRESS_KEPT_FOR: Final = timedelta(days=30)


class BadAddressError(ValueError):
    """This is no address that a mail can safely be sent to."""


def address_of(text: str) -> str:
    """Return an address of mail, checked.

    Raises:
        BadAddressError: it is of another kind; the message does not repeat it.
    """
    if len(text) > ADDRESS_MAX or not _ADDRESS.match(text):
        raise BadAddressError("an address of mail is written like name@example.kz")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Amounts from one to another in minor units, both included."""

    from_minor: int
    to_minor: int

    def __post_init__(self) -> None:
        """Refuse a range that holds nothing."""
        if not 0 <= self.from_minor <= self.to_minor:
            raise ValueError("a range goes from an amount to one that is not smaller")

    def __contains__(self, amount_minor: int) -> bool:
        """Say whether an amount lies in the range."""
        return self.from_minor <= amount_minor <= self.to_minor


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Contact:
    """One word of a resident on where to write; the latest revision holds. Never logged.

    Without an address the resident reads in the API only. Of amounts in ``quiet`` no notice is sent
    by mail ("only tell me outside this range"); it still stands in the API.
    """

    account_id: str
    revision: int
    address: str | None
    language: Language
    quiet: Range | None
    said_at: datetime

    def __post_init__(self) -> None:
        """Refuse an address of another kind."""
        if self.address is not None:
            address_of(self.address)
