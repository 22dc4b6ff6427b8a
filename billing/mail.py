"""A mail: frozen to the byte, so that what is sent twice can be told to be the same.

Everything but the words comes from the message that is told: its name on the wire, its date, the
line between its parts. A mail sent again after an unclear answer is therefore the same mail, and a
reader's program shows it once.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from billing.contact import address_of
from billing.paper.words import Language

SUBJECT_MAX: Final = 200
# A letter has a few kilobytes; a megabyte is a mistake of ours.
BODY_MAX: Final = 200_000

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NAME: Final = re.compile(r"[0-9a-f]{40}@[A-Za-z0-9.-]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The relay has taken the mail; that it reaches the reader, only the reader can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """The relay does not want this mail now (4xx)."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsure:
    """The mail was on its way when the connection ended; the relay may have it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """The relay is not there, or not for us; this says nothing about the mail."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The relay will never take this mail (5xx)."""

    reason: str


Delivery = Sent | NotYet | Unsure | Away | Refused


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Mail:
    """One mail to one reader. ``name`` is its Message-ID; ``dated_at`` when it was told first."""

    name: str
    sender: str
    to: str
    language: Language
    subject: str
    text: str
    html: str
    dated_at: datetime

    def __post_init__(self) -> None:
        """Refuse whatever could end a header and begin another, and a mail without end.

        Raises:
            ValueError: the name, an address, the subject or the body cannot be sent.
        """
        address_of(self.sender)
        address_of(self.to)
        if not _NAME.match(self.name):
            raise ValueError("a mail is named by 40 hexadecimal digits and the sender's domain")
        if _CONTROL.search(self.subject) or not 0 < len(self.subject) <= SUBJECT_MAX:
            raise ValueError("a subject is one line")
        if len(self.text) > BODY_MAX or len(self.html) > BODY_MAX:
            raise ValueError("a letter is short")
        if self.dated_at.utcoffset() is None:
            raise ValueError("an instant carries its zone")

    def as_bytes(self) -> bytes:
        """Return the mail as it goes over the wire: ASCII only, the same bytes every time."""
        mail = EmailMessage(policy=SMTP)
        mail["Message-ID"] = f"<{self.name}>"
        mail["Date"] = format_datetime(self.dated_at)
        mail["From"] = self.sender
        mail["To"] = self.to
        mail["Subject"] = self.subject
        # Nobody's holiday program should answer a machine (RFC 3834).
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(self.text, charset="utf-8", cte="base64")
        mail.add_alternative(self.html, subtype="html", charset="utf-8", cte="base64")
        # Setting the content takes every Content-* header away, so this one comes last.
        mail["Content-Language"] = self.language.value
        mail.set_boundary(f"=_{self.name.split('@', 1)[0]}")
        return mail.as_bytes()


def mail_name(account_id: str, message_id: str, sender: str) -> str:
    """Return the Message-ID of a message's mail: the same for ever, and telling nothing.

    Account ids and message ids hold no space, so two messages never share a name.
    """
    digest = hashlib.sha256(f"{account_id} {message_id}".encode()).hexdigest()[:40]
    return f"{digest}@{sender.rsplit('@', 1)[1]}"
