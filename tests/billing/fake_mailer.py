"""A relay of a few lines: takes mails, or answers as it is told to."""

from collections import deque
from dataclasses import dataclass, field

from billing.mail import Away, Delivery, Mail, NotYet, Refused, Sent, Unsure


@dataclass
class FakeMailer:
    """What it took stands in ``inbox``, as bytes; ``script`` holds what it does with the next ones.

    A word of the script is a number of SMTP, "lost" (it takes the mail and the answer is lost) or
    "away".
    """

    script: deque[int | str] = field(default_factory=deque)
    inbox: list[bytes] = field(default_factory=list)

    async def send(self, mail: Mail) -> Delivery:
        """Take a mail, or not."""
        told = self.script.popleft() if self.script else 250
        if told == "away":
            return Away(reason="unreachable")
        if isinstance(told, int) and told >= 400:
            return (NotYet if told < 500 else Refused)(reason=f"smtp_{told}")
        self.inbox.append(mail.as_bytes())
        return Unsure(reason="outcome_unknown") if told == "lost" else Sent()
