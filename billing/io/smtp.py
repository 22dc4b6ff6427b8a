"""Mails through a relay, over SMTP; every answer of the relay becomes one of five.

    smtps://user:password@relay:465    TLS from the first byte
    smtp://user:password@relay:587     STARTTLS, demanded; only a relay on loopback may do without

What the relay writes beside its numbers is never kept or logged: it likes to repeat the address.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

from billing.mail import Away, Delivery, Mail, NotYet, Refused, Sent, Unsure

# A relay that checks for spam may think for a while; longer than this it is not there.
ANSWER_S: Final = 30.0
_SUBMISSION_PORT: Final = 587
_TLS_PORT: Final = 465
# What a refusing relay says: 4xx not now, 5xx never, 421 that it closes its door, whoever knocks.
_FIRST_LATER: Final = 400
_CLOSING: Final = 421
_FIRST_NEVER: Final = 500
_LAST: Final = 599

log: Final = structlog.get_logger()


class RelayUrlError(ValueError):
    """The address of the relay cannot be used; the message does not repeat it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Where mails are handed over, and who we are there."""

    host: str
    port: int
    tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def local(self) -> bool:
        """Say whether the relay stands on this machine, so that nobody can listen in between."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def relay_of(url: str) -> Relay:
    """Return the relay that an address names.

    Raises:
        RelayUrlError: it is of another kind, or names half a login.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise RelayUrlError("must be an address that begins with smtp:// or smtps://")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise RelayUrlError("must end with the host or its port")
    if (parts.username is None) is not (parts.password is None):
        raise RelayUrlError("a name and a password belong together")
    tls = parts.scheme == "smtps"
    return Relay(
        host=parts.hostname,
        port=port or (_TLS_PORT if tls else _SUBMISSION_PORT),
        tls=tls,
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


class SmtpMailer:
    """Hands mails to one relay, one after the other, over a connection that is kept open."""

    def __init__(self, relay: Relay, *, domain: str, tls: ssl.SSLContext | None = None) -> None:
        """Take the relay, the domain we say we are, and whom to trust; None: the system's."""
        self._relay = relay
        self._domain = domain
        self._tls = tls or ssl.create_default_context()
        self._client: aiosmtplib.SMTP | None = None
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, relay: Relay, *, domain: str, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator["SmtpMailer"]:
        """Give a mailer, and take leave of the relay at the end."""
        mailer = cls(relay, domain=domain, tls=tls)
        try:
            yield mailer
        finally:
            await mailer.leave()

    async def send(self, mail: Mail) -> Delivery:
        """Hand a mail to the relay and return what it says; it raises nothing."""
        content = mail.as_bytes()
        async with self._one_at_a_time:
            answer = await self._hand_over(mail, content)
            if not isinstance(answer, Sent):
                log.warning("mail.not_sent", reason=answer.reason, kind=type(answer).__name__)
                await self.leave()
            return answer

    async def knock(self, sender: str) -> Away | None:
        """Go as far as a mail would begin, and no further; return why that cannot be."""
        async with self._one_at_a_time:
            client = await self._client_for(sender)
            await self.leave()
        return client if isinstance(client, Away) else None

    async def leave(self) -> None:
        """End the connection, if there is one."""
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit()
            client.close()

    async def _hand_over(self, mail: Mail, content: bytes) -> Delivery:
        client = await self._client_for(mail.sender)
        if not isinstance(client, aiosmtplib.SMTP):
            return client
        try:
            await client.rcpt(mail.to)
        except aiosmtplib.SMTPRecipientRefused as error:
            return _told(error) or NotYet(reason="nonsense")
        except (aiosmtplib.SMTPException, OSError):
            return Away(reason="unreachable")
        try:
            await client.data(content)
        except aiosmtplib.SMTPResponseException as error:
            return _told(error) or Unsure(reason="nonsense")
        except (aiosmtplib.SMTPException, OSError):
            # The last line may have arrived and its answer not.
            return Unsure(reason="outcome_unknown")
        return Sent()

    async def _client_for(self, sender: str) -> aiosmtplib.SMTP | Away:
        """Return a connection on which a mail has begun, or why there is none.

        Whoever sends us away before he has heard for whom a mail is sends every mail away.
        """
        try:
            return await self._begin(sender)
        except aiosmtplib.SMTPAuthenticationError as error:
            return Away(reason=f"login_{_number(error)}")
        except aiosmtplib.SMTPResponseException as error:
            return Away(reason=_number(error))
        except OSError as error:
            return Away(reason="bad_certificate" if _is_tls(error) else "unreachable")
        except aiosmtplib.SMTPException:
            # It is there, but not with the encryption or the login that we demand.
            return Away(reason="not_supported")

    async def _begin(self, sender: str) -> aiosmtplib.SMTP:
        """Return a connection on which a mail has begun; a kept one may have gone to sleep."""
        if self._client is not None:
            try:
                await self._client.mail(sender)
            except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError):
                await self.leave()
            else:
                return self._client
        relay = self._relay
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.username,
            password=relay.password,
            local_hostname=self._domain,
            timeout=ANSWER_S,
            use_tls=relay.tls,
            start_tls=False if relay.tls else None if relay.local else True,
            tls_context=self._tls,
        )
        self._client = client
        await client.connect()
        await client.mail(sender)
        return client


def _told(error: aiosmtplib.SMTPResponseException) -> Delivery | None:
    """Return what a number means for the mail; None if it is none of those for a refusal."""
    if error.code == _CLOSING:
        return Away(reason=_number(error))
    if _FIRST_LATER <= error.code < _FIRST_NEVER:
        return NotYet(reason=_number(error))
    return Refused(reason=_number(error)) if _FIRST_NEVER <= error.code <= _LAST else None


def _number(error: aiosmtplib.SMTPResponseException) -> str:
    known = _FIRST_LATER <= error.code <= _LAST
    return f"smtp_{error.code}" if known else "nonsense"


def _is_tls(error: BaseException) -> bool:
    chain = (error, error.__cause__, error.__context__)
    return any(isinstance(one, ssl.SSLError) for one in chain)
