"""A real SMTP server on loopback that takes mails, or behaves as it is told to."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "town", "s3cret pass:word"


class Line(SMTP):
    """One connection, which says when it has really ended."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.ended = asyncio.Event()
        # A handshake that fails begins nothing.
        self.ended.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the beginning."""
        self.ended.clear()
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end."""
        super().connection_lost(error)
        self.ended.set()


@dataclass
class SmtpRelay:
    """The handler of the server; ``script`` says what it does with the next mails.

    A number is the answer to the mail's content, ``"rcpt 550"`` an answer to its reader, "lost"
    takes the mail and cuts the line, "away" hangs up before anything was said.
    """

    script: deque[int | str] = field(default_factory=deque)
    inbox: list[bytes] = field(default_factory=list)
    readers: list[str] = field(default_factory=list)
    logins: list[tuple[bool, bytes]] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    lines: list[Line] = field(default_factory=list)

    def hang_up(self) -> None:
        """Cut every line."""
        for line in self.lines:
            if line.transport is not None:
                line.transport.abort()

    async def handle_MAIL(  # noqa: N802 - aiosmtpd finds hooks by name
        self,
        server: SMTP,
        session: Session,  # noqa: ARG002
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Begin a mail."""
        if self.script and self.script[0] == "away":
            self.script.popleft()
            assert server.transport is not None
            server.transport.abort()
        if self.script and str(self.script[0]).startswith("mail "):
            return str(self.script.popleft()).removeprefix("mail ") + " not you"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - likewise
        self,
        server: SMTP,  # noqa: ARG002
        session: Session,  # noqa: ARG002
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Hear for whom it is."""
        if self.script and str(self.script[0]).startswith("rcpt "):
            return str(self.script.popleft()).removeprefix("rcpt ") + f" <{address}> unknown"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - likewise
        self,
        server: SMTP,
        session: Session,  # noqa: ARG002
        envelope: Envelope,
    ) -> str:
        """Take the mail, or not."""
        told = self.script.popleft() if self.script else 250
        if isinstance(told, int) and told >= 400:
            return f"{told} not like this"
        assert isinstance(envelope.content, bytes)
        self.inbox.append(envelope.content)
        self.readers += envelope.rcpt_tos
        if told == "lost":
            assert server.transport is not None
            server.transport.abort()
        return "250 taken"

    def authenticate(
        self,
        server: SMTP,
        session: Session,  # noqa: ARG002
        envelope: Envelope,  # noqa: ARG002
        mechanism: str,  # noqa: ARG002
        auth_data: Any,
    ) -> AuthResult:
        """Let in who knows the password."""
        assert isinstance(auth_data, LoginPassword)
        assert server.transport is not None
        encrypted = server.transport.get_extra_info("ssl_object") is not None
        self.logins.append((encrypted, auth_data.password))
        good = auth_data == LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=False)


@asynccontextmanager
async def relay(
    *, tls: ssl.SSLContext | None = None, wrapped: bool = False, login: bool = False
) -> AsyncIterator[SmtpRelay]:
    """Run a relay: plain, with STARTTLS, or wrapped in TLS from the first byte."""
    handler = SmtpRelay()

    def made() -> Line:
        handler.connections += 1
        line = Line(
            handler,
            hostname="relay.test",
            tls_context=None if wrapped else tls,
            require_starttls=tls is not None and not wrapped,
            auth_required=login,
            auth_require_tls=False,
            authenticator=handler.authenticate if login else None,
            loop=asyncio.get_running_loop(),
        )
        handler.lines.append(line)
        return line

    running = await asyncio.get_running_loop().create_server(
        made, "127.0.0.1", 0, ssl=tls if wrapped else None
    )
    handler.port = running.sockets[0].getsockname()[1]
    try:
        yield handler
    finally:
        running.close()
        handler.hang_up()
        await running.wait_closed()
        for line in handler.lines:
            await line.ended.wait()


def authority() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server on loopback shows, and what a client needs to believe it."""
    ca = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    return server, client
