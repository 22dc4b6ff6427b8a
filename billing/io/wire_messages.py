"""What contacts and messages look like on the wire of the API."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from billing.contact import ADDRESS_MAX, ADDRESS_PATTERN, Contact, Range
from billing.io.wire import Minor
from billing.io.wire_debits import CAP_MINOR_MAX
from billing.message import Channel, Kind, State
from billing.paper.words import Language
from metering.io.route import AccountId, Instant, PageSize, Wire

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


class MessageShown(Wire):
    """What a resident was told, as the letter says it; delivered by mail is taken by the relay.

    Subject and text are null where the letter cannot be written; that is a mistake of ours.
    """

    message_id: str
    kind: Kind
    language: Language
    subject: str | None
    text: str | None
    channel: Channel
    state: State
    queued_at: Instant
    delivered_at: Instant | None


class MessagePage(Wire):
    """What a resident was told, newest first."""

    messages: list[MessageShown]
    next: str | None


class MessageQuery(Wire):
    """In which language, and which page."""

    language: Annotated[Language, Field(strict=False)] | None = None
    after: (
        Annotated[
            str,
            Field(pattern=r"^[0-9T:.-]{1,32}Z~[a-z_]{1,20}(/[0-9A-Za-z-]{1,64}){1,4}$"),
        ]
        | None
    ) = None
    limit: Annotated[int, Field(ge=1, le=100)] = 24


class StuckShown(Wire):
    """A message that waits for a person; it says nothing of its reader."""

    account_id: AccountId
    message_id: str
    kind: Kind
    state: State
    tries: int
    trouble: str | None
    queued_at: Instant


class StuckPage(Wire):
    """Messages that wait for a person, the oldest first."""

    messages: list[StuckShown]
    next: str | None


class StuckQuery(Wire):
    """Which page."""

    after: (
        Annotated[
            str,
            Field(
                pattern=r"^[0-9T:.-]{1,32}Z~[A-Z0-9-]{1,32}~"
                r"[a-z_]{1,20}(/[0-9A-Za-z-]{1,64}){1,4}$"
            ),
        ]
        | None
    ) = None
    limit: PageSize = 100


class SentAgain(Wire):
    """How many messages of an account go out again."""

    messages: int


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
