"""What contacts and messages look like on the wire of the API."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from billing.contact import ADDRESS_MAX, ADDRESS_PATTERN, Contact, Range
from billing.io.wire import Minor
from billing.io.wire_debits import CAP_MINOR_MAX
from billing.paper.words import Language
from metering.io.route import Instant, Wire

# The wire's own pattern cannot look ahead; the length before the sign is checked by the noun.
Address = Annotated[
    str,
    Field(
        pattern=ADDRESS_PATTERN.replace("(?=[^@]{1,64}@)", ""),
        max_length=ADDRESS_MAX,
        examples=["aigul@example.kz"],
        description="personal data: shown to nobody but the resident",
    ),
]
AmountMinor = Annotated[int, Field(ge=0, le=CAP_MINOR_MAX)]


class RangeWanted(Wire):
    """Amounts about which no notice is wanted by mail, in minor units, both ends included."""

    from_minor: AmountMinor
    to_minor: AmountMinor

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        if self.to_minor < self.from_minor:
            raise ValueError("to_minor must not be below from_minor")
        return self


class ContactWanted(Wire):
    """Where to write to from now on; without an address everything is read in the API only."""

    address: Address | None
    language: Annotated[Language, Field(strict=False)]
    only_outside: RangeWanted | None = None


class RangeShown(Wire):
    """Amounts about which no notice is sent by mail; it still stands in the API."""

    from_minor: Minor
    to_minor: Minor


class ContactShown(Wire):
    """Where a resident is written to; all null where nothing was said yet."""

    address: str | None
    language: Language | None
    only_outside: RangeShown | None
    said_at: Instant | None


def contact_shown(contact: Contact | None) -> ContactShown:
    """Show a contact to its resident."""
    if contact is None:
        return ContactShown(address=None, language=None, only_outside=None, said_at=None)
    quiet = contact.quiet
    return ContactShown(
        address=contact.address,
        language=contact.language,
        only_outside=None
        if quiet is None
        else RangeShown(from_minor=quiet.from_minor, to_minor=quiet.to_minor),
        said_at=contact.said_at,
    )


def range_of(wanted: RangeWanted | None) -> Range | None:
    """Return the amounts that somebody wants no mail about."""
    if wanted is None:
        return None
    return Range(from_minor=wanted.from_minor, to_minor=wanted.to_minor)
