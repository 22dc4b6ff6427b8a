"""Handing mails over: one suite for the fake of the tests and for SMTP, and what only SMTP has."""

import email
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Protocol, cast

import pytest
from structlog.testing import capture_logs

from billing.deliver import Mailer
from billing.io.smtp import Relay, RelayUrlError, SmtpMailer, relay_of
from billing.mail import Away, Mail, NotYet, Refused, Sent, Unsure
from billing.paper.words import Language
from tests.billing.fake_mailer import FakeMailer
from tests.contract.relay import PASSWORD, USER, SmtpRelay, authority, relay

MAIL = Mail(
    name="0123456789abcdef0123456789abcdef01234567@gas.example",
    sender="gas@gas.example",
    to="aigul@mail.example",
    language=Language.KK,
    subject="Төлем туралы хабарлама: 742,97 ₸",
    text="Ғимаратқа газ үшін 742,97 ₸ алынады.\n.\n..нүктелер\n",
    html="<p>Ғимаратқа газ үшін 742,97 ₸ алынады.</p>\n",
    dated_at=datetime(2026, 2, 2, 4, 0, tzinfo=UTC),
)

# aiosmtpd speaks ill of its own past, and cannot see TLS that was there before it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Session.login_data is deprecated"),
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
]


class Taken(Protocol):
    """What both relays of the suite have."""

    script: deque[int | str]
    inbox: list[bytes]


@dataclass
class Door:
    """A mailer, and the relay behind it."""

    mailer: Mailer
    relay: Taken


@pytest.fixture(params=["fake", "smtp"])
async def door(request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    if request.param == "fake":
        fake = FakeMailer()
        yield Door(fake, fake)
        return
    async with relay() as real, SmtpMailer.open(plain(real), domain="gas.example") as mailer:
        yield Door(mailer, real)


def plain(real: SmtpRelay) -> Relay:
    return Relay(host="127.0.0.1", port=real.port, tls=False)


def read(raw: bytes) -> EmailMessage:
    return cast(EmailMessage, email.message_from_bytes(raw, policy=default))


def body(raw: bytes, kind: str) -> str:
    part = read(raw).get_body(preferencelist=(kind,))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


class TestMailers:
    """Every mailer ..."""

    async def test_hands_a_mail_over(self, door: Door) -> None:
        """Taken once, and said so."""
        assert await door.mailer.send(MAIL) == Sent()

        (raw,) = door.relay.inbox
        mail = read(raw)
        assert mail["Message-ID"] == f"<{MAIL.name}>"
        assert (mail["From"], mail["To"]) == ("gas@gas.example", "aigul@mail.example")
        assert mail["Date"] == "Mon, 02 Feb 2026 04:00:00 +0000"
        assert mail["Auto-Submitted"] == "auto-generated"

    async def test_keeps_every_letter_of_kazakh(self, door: Door) -> None:
        """Headers and bodies go as ASCII and come back as written, lone dots too."""
        await door.mailer.send(MAIL)

        (raw,) = door.relay.inbox
        assert raw.isascii()
        assert read(raw)["Subject"] == "Төлем туралы хабарлама: 742,97 ₸"
        assert body(raw, "plain") == MAIL.text
        assert body(raw, "html") == MAIL.html

    @pytest.mark.parametrize("number", [421, 450, 451, 452])
    async def test_says_later_when_the_relay_does(self, door: Door, number: int) -> None:
        """4xx is no end: a grey list lets the same mail in an hour later."""
        door.relay.script.append(number)

        answer = await door.mailer.send(MAIL)
        assert isinstance(answer, NotYet | Away)
        assert answer.reason == f"smtp_{number}"
        assert door.relay.inbox == []

        assert await door.mailer.send(MAIL) == Sent()

    @pytest.mark.parametrize("number", [550, 552, 554])
    async def test_says_never_when_the_relay_does(self, door: Door, number: int) -> None:
        """5xx again tomorrow would be 5xx again; and the next mail is another story."""
        door.relay.script.append(number)

        assert await door.mailer.send(MAIL) == Refused(reason=f"smtp_{number}")
        assert await door.mailer.send(MAIL) == Sent()

    async def test_does_not_know_when_the_line_is_cut_after_the_content(self, door: Door) -> None:
        """The relay has it and its word was lost: that is neither sent nor not sent."""
        door.relay.script.append("lost")

        assert await door.mailer.send(MAIL) == Unsure(reason="outcome_unknown")
        assert len(door.relay.inbox) == 1

    async def test_repeats_a_mail_byte_for_byte(self, door: Door) -> None:
        """The reader's program knows the second by its Message-ID, and nothing else differs."""
        door.relay.script.append("lost")
        await door.mailer.send(MAIL)
        await door.mailer.send(MAIL)

        first, second = door.relay.inbox
        assert read(first)["Message-ID"] == read(second)["Message-ID"] == f"<{MAIL.name}>"
        assert first == second

    async def test_says_that_a_relay_is_away(self, door: Door) -> None:
        """That says nothing about the mail, and is over when the relay is back."""
        door.relay.script.append("away")

        assert await door.mailer.send(MAIL) == Away(reason="unreachable")
        assert door.relay.inbox == []
        assert await door.mailer.send(MAIL) == Sent()


@pytest.fixture
async def real() -> AsyncIterator[SmtpRelay]:
    async with relay() as found:
        yield found


@pytest.fixture
async def mailer(real: SmtpRelay) -> AsyncIterator[SmtpMailer]:
    async with SmtpMailer.open(plain(real), domain="gas.example") as opened:
        yield opened


class TestSmtp:
    """Over SMTP ..."""

    async def test_many_mails_share_a_connection(self, mailer: SmtpMailer, real: SmtpRelay) -> None:
        """A town's notices are not twenty thousand handshakes."""
        for _ in range(5):
            assert await mailer.send(MAIL) == Sent()

        assert (real.connections, real.readers) == (1, ["aigul@mail.example"] * 5)

    async def test_a_connection_that_went_to_sleep_is_opened_again(
        self, mailer: SmtpMailer, real: SmtpRelay
    ) -> None:
        """Relays close what is idle; that is no failure."""
        await mailer.send(MAIL)
        real.hang_up()

        assert await mailer.send(MAIL) == Sent()
        assert real.connections == 2

    @pytest.mark.parametrize(
        ("said", "answer"),
        [
            ("rcpt 550", Refused(reason="smtp_550")),
            ("rcpt 450", NotYet(reason="smtp_450")),
            ("mail 550", Away(reason="smtp_550")),
            ("mail 451", Away(reason="smtp_451")),
        ],
    )
    async def test_it_counts_who_was_sent_away(
        self, mailer: SmtpMailer, real: SmtpRelay, said: str, answer: object
    ) -> None:
        """A reader who is unknown is his mail's end; a sender who is unwelcome is nobody's."""
        real.script.append(said)

        assert await mailer.send(MAIL) == answer
        assert await mailer.send(MAIL) == Sent()

    async def test_nobody_listening_is_a_relay_that_is_away(self) -> None:
        """A closed port is not an exception."""
        async with relay() as gone:
            port = gone.port
        nowhere = Relay(host="127.0.0.1", port=port, tls=False)

        async with SmtpMailer.open(nowhere, domain="gas.example") as opened:
            assert await opened.send(MAIL) == Away(reason="unreachable")

    @pytest.mark.parametrize("wrapped", [True, False], ids=["smtps", "starttls"])
    async def test_the_line_is_encrypted_before_the_password(self, wrapped: bool) -> None:  # noqa: FBT001
        """Name and password come out of the address, with whatever letters they have."""
        shown, trusted = authority()
        async with relay(tls=shown, wrapped=wrapped, login=True) as real:
            scheme = "smtps" if wrapped else "smtp"
            where = relay_of(f"{scheme}://{USER}:s3cret%20pass%3Aword@127.0.0.1:{real.port}")
            async with SmtpMailer.open(where, domain="gas.example", tls=trusted) as opened:
                assert await opened.send(MAIL) == Sent()

        assert real.logins == [(True, PASSWORD.encode())]

    async def test_a_wrong_password_is_no_mails_fault(self) -> None:
        """Else one forgotten rotation would give up every letter of a town."""
        shown, trusted = authority()
        async with relay(tls=shown, wrapped=True, login=True) as real:
            where = replace(plain(real), tls=True, username=USER, password="other")
            async with SmtpMailer.open(where, domain="gas.example", tls=trusted) as opened:
                assert await opened.send(MAIL) == Away(reason="login_smtp_535")

    async def test_a_stranger_with_a_certificate_of_his_own_gets_nothing(self) -> None:
        """Neither the password nor a letter."""
        shown, _ = authority()
        async with relay(tls=shown, wrapped=True, login=True) as real:
            where = replace(plain(real), tls=True, username=USER, password=PASSWORD)
            async with SmtpMailer.open(where, domain="gas.example") as opened:
                assert await opened.send(MAIL) == Away(reason="bad_certificate")

        assert (real.logins, real.inbox) == ([], [])

    async def test_a_distant_relay_without_tls_gets_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever sits in between could take STARTTLS out of the greeting and read along."""
        monkeypatch.setattr(Relay, "local", property(lambda _self: False))
        async with relay(login=True) as open_line:
            where = replace(plain(open_line), username=USER, password=PASSWORD)
            async with SmtpMailer.open(where, domain="gas.example") as opened:
                assert await opened.send(MAIL) == Away(reason="not_supported")

        assert (open_line.logins, open_line.inbox) == ([], [])

    async def test_nothing_secret_is_logged(self) -> None:
        """Neither the password nor the reader, whatever goes wrong; relays repeat both."""
        shown, trusted = authority()
        with capture_logs() as lines:
            async with relay(tls=shown, wrapped=True, login=True) as real:
                where = replace(plain(real), tls=True, username=USER, password=PASSWORD)
                real.script.extend(["rcpt 550", 550, 451, "lost", "away"])
                async with SmtpMailer.open(where, domain="gas.example", tls=trusted) as opened:
                    for _ in range(5):
                        await opened.send(MAIL)
                wrong = replace(where, password="wrong horse")
                async with SmtpMailer.open(wrong, domain="gas.example", tls=trusted) as opened:
                    await opened.send(MAIL)

        assert len(lines) == 6
        said = str(lines) + repr(where) + repr(wrong) + repr(MAIL)
        assert [word for word in (PASSWORD, "wrong horse", "aigul") if word in said] == []


class TestRelayUrl:
    """The address of a relay ..."""

    def test_names_who_we_are_there(self) -> None:
        """With the ports everybody uses, unless another is named."""
        assert relay_of("smtps://a:b@mail.example") == Relay(
            host="mail.example", port=465, tls=True, username="a", password="b"
        )
        assert relay_of("smtp://mail.example") == Relay(host="mail.example", port=587, tls=False)
        assert relay_of("smtp://127.0.0.1:25").port == 25

    @pytest.mark.parametrize(
        "url",
        [
            "http://mail.example",
            "smtp://",
            "smtp://mail.example:99999",
            "smtp://a@mail.example",
            "smtp://mail.example/path",
            "smtp://mail.example?tls=no",
            "mail.example",
        ],
    )
    def test_is_refused_when_it_is_of_another_kind(self, url: str) -> None:
        """Without repeating it: it may hold a password."""
        with pytest.raises(RelayUrlError) as caught:
            relay_of(url)

        assert "mail.example" not in str(caught.value)


class TestHeaders:
    """A header ..."""

    @pytest.mark.parametrize(
        "change",
        [
            {"to": "a@b.kz\r\nBcc: all@b.kz"},
            {"to": "a@b.kz\n"},
            {"to": "a@b.kz, c@d.kz"},
            {"to": '"a\r\n"@b.kz'},
            {"to": "a b@c.kz"},
            {"to": "<a@b.kz>"},
            {"to": "a@b.kz\x00"},
            {"to": "айгүл@пошта.қаз"},
            {"sender": "gas@gas.example\r\nBcc: all@b.kz"},
            {"subject": "Hello\r\nBcc: all@b.kz"},
            {"subject": "Hello\nBcc: all@b.kz"},
            {"subject": "Hello\u2028Bcc: all@b.kz"},
            {"subject": ""},
            {"name": "a>\r\nBcc: all@b.kz"},
            {"name": MAIL.name + "\n"},
        ],
    )
    def test_cannot_be_smuggled_in(self, change: dict[str, str]) -> None:
        """Whatever could end a line is refused before there is a mail, wherever it stands."""
        with pytest.raises(ValueError, match=r"address|subject|named"):
            replace(MAIL, **change)

    async def test_are_those_that_we_wrote(self, mailer: SmtpMailer, real: SmtpRelay) -> None:
        """Looked at from the other side: these and no others, and one reader."""
        await mailer.send(MAIL)

        (raw,) = real.inbox
        assert sorted(read(raw).keys()) == [
            "Auto-Submitted", "Content-Language", "Content-Type", "Date", "From", "MIME-Version",
            "Message-ID", "Subject", "To",
        ]  # fmt: skip
        assert real.readers == ["aigul@mail.example"]
