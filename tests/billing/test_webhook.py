"""Who signed a body, and how long we go on looking at an event."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.bank import BankEvent, BankGarbledError
from billing.io.hook_wire import delivery
from billing.webhook import Hint, next_look, signer
from tests.billing.hook_bodies import body_of

BODY = b'{"events": []}'
# printf '{"events": []}' | openssl dgst -sha256 -hmac the-newest-secret
NEWEST = "7b3129ada791da18dcdb8ad85af741ec9fcef0ba42cc6de7e3434dc0907bb048"
# printf '{"events": []}' | openssl dgst -sha256 -hmac the-secret-before
BEFORE = "670e42c216abe42ba291451e407254b3cc010d620c381d29ea7fa97fd4f3980f"
SECRETS = ("the-newest-secret", "the-secret-before")
AT = datetime(2026, 2, 22, 4, 0, tzinfo=UTC)


def hint(looks: int) -> Hint:
    event = BankEvent(event_id="EV1", resource="payments", action="created")
    return Hint(event=event, heard_at=AT, looks=looks, known=False)


class TestSigner:
    """The signature of a body ..."""

    def test_says_which_secret_made_it(self) -> None:
        """So that an operator sees when the bank has stopped to use the old one."""
        assert signer(BODY, NEWEST, SECRETS) == 1
        assert signer(BODY, BEFORE, SECRETS) == 2

    def test_is_refused_once_its_secret_is_gone(self) -> None:
        """A rotation ends with the old secret's end."""
        assert signer(BODY, BEFORE, SECRETS[:1]) is None

    @pytest.mark.parametrize("bit", range(8))
    def test_is_of_these_very_bytes(self, bit: int) -> None:
        """Every flipped bit of every byte is refused."""
        for place in range(len(BODY)):
            flipped = bytearray(BODY)
            flipped[place] ^= 1 << bit
            assert signer(bytes(flipped), NEWEST, SECRETS) is None

    @pytest.mark.parametrize(
        "said", ["", NEWEST[:-1], NEWEST + "0", NEWEST.upper(), f" {NEWEST}", "é" * 64, "\ud800"]
    )
    def test_is_all_of_it_or_none(self, said: str) -> None:
        """A shorter one, another spelling and letters nobody signs with raise nothing."""
        assert signer(BODY, said, SECRETS) is None

    def test_is_nobodys_where_there_is_no_secret(self) -> None:
        """An installation without secrets believes no webhook."""
        assert signer(BODY, NEWEST, ()) is None


class TestNextLook:
    """An event that led nowhere ..."""

    def test_is_looked_at_soon_and_then_seldom(self) -> None:
        """Our own answer may be a second away; after that a bank should be left in peace."""
        minutes = [1, 5, 30, 120, 360, 360]
        for looks, wait in enumerate(minutes, start=1):
            assert next_look(hint(looks), at=AT) == AT + timedelta(minutes=wait)

    def test_is_a_persons_after_three_days(self) -> None:
        """Later news than that was never seen."""
        late = AT + timedelta(days=3)
        assert next_look(hint(9), at=late - timedelta(seconds=1)) is not None
        assert next_look(hint(9), at=late) is None


class TestDelivery:
    """A signed body ..."""

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html><body>502</body></html>",
            b"[]",
            b'{"events": {}}',
            b"\xff",
            b"{",
        ],
    )
    def test_that_is_none_is_garbled(self, body: bytes) -> None:
        """Kept with its trouble; it is no reason to fall over."""
        with pytest.raises(BankGarbledError):
            delivery(body)

    def test_keeps_the_name_of_what_it_cannot_read(self) -> None:
        """An event is poison by itself, and not to its neighbours."""
        read = delivery(
            body_of(
                [
                    {"id": "EV1", "resource_type": "payments", "action": ["paid_out"]},
                    {"id": "EV2", "resource_type": "pay\u0000ments", "action": "created"},
                    {"id": "../EV3", "resource_type": "payments", "action": "created"},
                    {"resource_type": "payments"},
                    "EV5",
                    {
                        "id": "EV6",
                        "resource_type": "payments",
                        "action": "invented_last_week",
                        "links": {"payment": "PM1", "bad": "../x", "\u0000": "PM2", "no": 7},
                        "details": {"cause": "Some Sentence."},
                        "never_seen_before": {"deep": [1, 2, 3]},
                    },
                ]
            )
        )

        assert [(one.event_id, one.resource) for one in read.events] == [
            ("EV1", "unreadable"),
            ("EV2", "unreadable"),
            ("EV6", "payments"),
        ]
        assert read.events[2].links == {"payment": "PM1"}
        assert read.events[2].cause == "other"
        assert read.nameless == 3

    def test_names_an_event_once(self) -> None:
        """The same event twice in one body is one event."""
        event = BankEvent(event_id="EV1", resource="payments", action="created")
        assert len(delivery(body_of([event, event, event])).events) == 1
