"""Signed telegrams: bytes made by another hand, and bytes that nobody honest made."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.messages import Sign1Message

from metering.signed import Key, Sealed, signer_of, unseal, verify
from metering.telegram import Refusal, RefusalReason, Telegram
from simulators import cose, signed
from simulators.forgery import capture, envelope, pairs_of, raw_map, sealed, twisted
from simulators.signed import Identity

METER = "AQ-000001"
# 1 January 2026, 00:00 UTC.
MIDNIGHT_S = 1_767_225_600
ANNA = Identity.of(seed="7", meter_id=METER)
BOLD = Identity.of_p256(seed="7", meter_id=METER)
HEARD = capture(ANNA, 7, [(MIDNIGHT_S, 1000), (MIDNIGHT_S - 3600, 990)])


def key_of(identity: Identity) -> Key:
    return Key(
        key_epoch=identity.key_epoch,
        algorithm="EdDSA" if len(identity.public) == 32 else "ES256",
        public_key=identity.public,
        kid=sha256(identity.public).digest()[:8],
        valid_until=None,
        frozen=False,
        revoked=False,
    )


def opened(message: bytes, meter: str = METER) -> Sealed:
    found = unseal(meter, message)
    assert isinstance(found, Sealed), found
    return found


def why_not(message: bytes, meter: str = METER) -> RefusalReason:
    """Return why a message is refused, and see to it that nobody is told."""
    found = unseal(meter, message)
    assert isinstance(found, Refusal), found
    assert not found.answerable
    assert found.counter is None
    return found.reason


def with_body(**fields: object) -> bytes:
    """Return Anna's well-signed message with some fields changed; names are those of signed.py."""
    body = cose.decode(cose.opened(HEARD.message)[1])
    body |= {getattr(signed, name): value for name, value in fields.items()}
    return sealed(HEARD, cose.encode(body))


def with_raw(key: int, value: bytes) -> bytes:
    """Return Anna's well-signed message with one field in raw CBOR."""
    pairs = dict(pairs_of(HEARD)) | {cose.encode(key): value}
    return sealed(HEARD, raw_map(sorted(pairs.items())))


def registers(telegram: Telegram) -> list[tuple[int, int]]:
    return [(int(r.read_at.timestamp()), r.register_dm3) for r in telegram.readings]


class TestAnHonestTelegram:
    """What a meter signed ..."""

    def test_is_read_field_by_field(self) -> None:
        """Every field arrives, the readings oldest first."""
        message = signed.telegram(
            ANNA,
            counter=42,
            registers=[(MIDNIGHT_S, 1000), (MIDNIGHT_S - 3600, 990), (MIDNIGHT_S - 7200, 990)],
            flags=0b1001001,
            firmware=b"\x01\x02",
            previous=b"before",
        )

        said = opened(message)

        telegram = said.telegram
        assert (telegram.meter_id, telegram.counter, telegram.key_epoch) == (METER, 42, 1)
        assert registers(telegram) == [
            (MIDNIGHT_S - 7200, 990),
            (MIDNIGHT_S - 3600, 990),
            (MIDNIGHT_S, 1000),
        ]
        assert telegram.readings[-1].read_at == datetime(2026, 1, 1, tzinfo=UTC)
        assert telegram.flags == ("magnet", "battery_low", "clock_lost")
        assert telegram.firmware == b"\x01\x02"
        assert telegram.kid == sha256(ANNA.public).digest()[:8]
        assert telegram.evidence == message
        assert telegram.digest == sha256(cose.opened(message)[1]).digest()
        assert verify(said, key_of(ANNA))

    def test_signs_what_rfc_9052_says(self) -> None:
        """The bytes under the signature, written out by hand for the shortest body we send."""
        aad = b"gas/v1/reading\x00AQ-000001"
        protected, body, _ = cose.opened(HEARD.message)
        assert len(body) < 256

        assert opened(HEARD.message).signed == (
            b"\x84\x6aSignature1\x4d" + protected + b"\x58\x18" + aad
            + b"\x58" + bytes([len(body)]) + body
        )  # fmt: skip

    def test_is_also_pycoses(self) -> None:
        """A library that has never seen our code agrees."""
        message = Sign1Message.decode(HEARD.message)
        message.external_aad = b"gas/v1/reading\x00AQ-000001"
        message.key = OKPKey(crv=Ed25519, x=ANNA.public)

        assert message.verify_signature()
        assert verify(opened(HEARD.message), key_of(ANNA))

    def test_may_step_back_over_zero(self) -> None:
        """A register that was higher before the dial passed zero has a negative difference."""
        message = signed.telegram(
            ANNA, counter=1, registers=[(MIDNIGHT_S, 200), (MIDNIGHT_S - 3600, 99_900)]
        )

        assert registers(opened(message).telegram) == [
            (MIDNIGHT_S - 3600, 99_900),
            (MIDNIGHT_S, 200),
        ]

    def test_may_be_of_a_secure_element(self) -> None:
        """ES256 is as good as EdDSA, with the key that was registered for it."""
        message = signed.telegram(BOLD, counter=1, registers=[(MIDNIGHT_S, 1000)])

        said = opened(message)

        assert said.algorithm == "ES256"
        assert verify(said, key_of(BOLD))
        assert not verify(said, key_of(ANNA))

    def test_twisted_tells_the_same_story(self) -> None:
        """Anybody can turn an ES256 signature into a second good one; it must be a repeat."""
        message = signed.telegram(BOLD, counter=1, registers=[(MIDNIGHT_S, 1000)])
        protected, body, signature = cose.opened(message)

        other = opened(envelope(protected, body, twisted(signature)))

        assert verify(other, key_of(BOLD))
        assert other.telegram.digest == opened(message).telegram.digest

    @pytest.mark.parametrize(("count", "taken"), [(1, True), (2, True), (500, True), (501, False)])
    def test_carries_up_to_500_registers(self, count: int, taken: bool) -> None:  # noqa: FBT001
        """Three weeks of hours in one piece."""
        earlier = [[3600 * n, n] for n in range(1, count)]
        message = with_body(**({"EARLIER": earlier} if earlier else {}), REGISTER=1000)

        if taken:
            expected = max(count, 2)
            assert len(opened(message).telegram.readings) == expected
        else:
            assert why_not(message) == RefusalReason.BAD_SHAPE

    @pytest.mark.parametrize("at_s", [946_684_800, 4_102_444_799])
    def test_may_be_of_any_second_from_2000_to_2099(self, at_s: int) -> None:
        """The first and the last second that a reading may have."""
        message = signed.telegram(ANNA, counter=1, registers=[(at_s, 1)])

        assert registers(opened(message).telegram) == [(at_s, 1)]


WRONG_FIELDS: dict[str, Callable[[], bytes]] = {
    "before 2000": lambda: with_body(TIME=946_684_799),
    "1970": lambda: with_body(TIME=0),
    "2100": lambda: with_body(TIME=4_102_444_800),
    "time of 2^63": lambda: with_body(TIME=2**63),
    "epoch 0": lambda: with_body(EPOCH=0),
    "epoch 2^31": lambda: with_body(EPOCH=2**31),
    "negative counter": lambda: with_body(COUNTER=-1),
    "a bool for a counter": lambda: with_raw(3, b"\xf5"),
    "a float for a counter": lambda: with_raw(3, b"\xf9\x47\x00"),
    "a bignum for a counter": lambda: with_raw(3, b"\xc2\x41\x07"),
    "a long form for a counter": lambda: with_raw(3, b"\x18\x07"),
    "a bool for an epoch": lambda: with_raw(2, b"\xf5"),
    "a float for a register": lambda: with_raw(5, b"\xfb\x40\x8f\x40\x00\x00\x00\x00\x00"),
    "a decimal for a register": lambda: with_raw(5, b"\xc4\x82\x00\x07"),
    "a decimal bomb": lambda: with_raw(5, b"\xc4\x82\x1a\x3b\x9a\xca\x00\x01"),
    "a bigfloat bomb": lambda: with_raw(5, b"\xc5\x82\x1a\x3b\x9a\xca\x00\x01"),
    "a large bignum": lambda: with_raw(5, b"\xc2" + cose.encode(b"\xff" * 50_000)),
    "register over 10^15": lambda: with_body(REGISTER=10**15 + 1),
    "flag 128": lambda: with_body(FLAGS=128),
    "a bool in a pair": lambda: with_raw(7, b"\x81\x82\x19\x0e\x10\xf5"),
    "an indefinite list": lambda: with_raw(7, b"\x9f\x82\x19\x0e\x10\x0a\xff"),
    "a list that holds itself": lambda: with_raw(7, b"\xd8\x1c\x81\xd8\x1d\x00"),
    "10,000 levels": lambda: with_raw(7, b"\x81" * 10_000 + b"\x00"),
    "doubled instant": lambda: with_body(EARLIER=[[0, 0]]),
    "no earlier ones": lambda: with_body(EARLIER=[]),
    "firmware of 17 bytes": lambda: with_body(FIRMWARE=bytes(17)),
    "a chain of 15 bytes": lambda: with_body(PREVIOUS=bytes(15)),
    "a text for a meter": lambda: with_body(METER=METER),
    "an indefinite map": lambda: sealed(HEARD, b"\xbf" + raw_map(pairs_of(HEARD))[1:] + b"\xff"),
    "a map in the long form": lambda: sealed(HEARD, b"\xb8\x07" + raw_map(pairs_of(HEARD))[1:]),
    "a key twice": lambda: sealed(HEARD, raw_map(sorted([*pairs_of(HEARD), pairs_of(HEARD)[4]]))),
    "keys out of order": lambda: sealed(HEARD, raw_map(pairs_of(HEARD)[::-1])),
    "true for the key 1": lambda: sealed(
        HEARD, raw_map([*pairs_of(HEARD)[1:], (b"\xf5", pairs_of(HEARD)[0][1])])
    ),
    "1.0 for the key 1": lambda: sealed(
        HEARD, raw_map([*pairs_of(HEARD)[1:], (b"\xf9\x3c\x00", pairs_of(HEARD)[0][1])])
    ),
    "a tenth field": lambda: sealed(HEARD, raw_map([*pairs_of(HEARD), (b"\x0a", b"\x00")])),
    "bytes behind the body": lambda: sealed(HEARD, raw_map(pairs_of(HEARD)) + b"\x00"),
    "no body": lambda: sealed(HEARD, b"\xa0"),
}


class TestD17WrongBody:
    """Signed well, and still not a telegram: ..."""

    @pytest.mark.parametrize("make", WRONG_FIELDS.values(), ids=list(WRONG_FIELDS))
    def test_is_refused(self, make: Callable[[], bytes]) -> None:
        """One story has one spelling, and nothing is taken for what it nearly is."""
        assert why_not(make()) == RefusalReason.BAD_SHAPE

    @pytest.mark.parametrize("counter", [2**32, 2**63, 2**64 - 1])
    def test_never_reaches_a_table_with_a_giant_counter(self, counter: int) -> None:
        """A counter that PostgreSQL cannot hold is refused here."""
        assert why_not(with_body(COUNTER=counter)) == RefusalReason.COUNTER_JUMP

    def test_of_another_meter_is_refused(self) -> None:
        """The body names its meter too."""
        assert why_not(with_body(METER=b"AQ-000002")) == RefusalReason.METER_MISMATCH


class TestAWrongEnvelope:
    """Around a good body: ..."""

    def test_another_meters_topic(self) -> None:
        """The very same bytes mean nothing elsewhere, even with that meter's id unread."""
        assert why_not(HEARD.message, "AQ-000002") == RefusalReason.METER_MISMATCH

    def test_the_signature_binds_the_meter(self) -> None:
        """Whoever signs another meter's id in has another signature."""
        body = cose.opened(HEARD.message)[1]
        message = cose.sign(ANNA.key, body, aad=b"gas/v1/reading\x00AQ-000002")

        assert not verify(opened(message), key_of(ANNA))

    def test_another_purpose(self) -> None:
        """An ack's signature is no telegram's."""
        body = cose.opened(HEARD.message)[1]
        message = cose.sign(ANNA.key, body, aad=signed.ack_aad(METER))

        assert not verify(opened(message), key_of(ANNA))

    @pytest.mark.parametrize("algorithm", [0, 5, -35, -36, -37])
    def test_an_algorithm_we_do_not_speak(self, algorithm: int) -> None:
        """None, HMAC, ES384, ES512 and RSA."""
        _, body, signature = cose.opened(HEARD.message)
        header = cose.encode({1: algorithm, 4: cose.kid_of(ANNA.public)})

        assert why_not(envelope(header, body, signature)) == RefusalReason.WRONG_ALGORITHM

    def test_the_other_algorithm_for_the_key(self) -> None:
        """A key is good for the algorithm it was registered with."""
        said = opened(HEARD.message)

        assert not verify(replace(said, algorithm="ES256"), key_of(ANNA))
        assert not verify(said, replace(key_of(ANNA), algorithm="ES256"))
        assert not verify(said, replace(key_of(ANNA), kid=bytes(8)))

    @pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
    def test_a_signature_of_another_length(self, length: int) -> None:
        """64 bytes, as both algorithms have."""
        protected, body, _ = cose.opened(HEARD.message)

        assert why_not(envelope(protected, body, bytes(length))) == RefusalReason.BAD_SIGNATURE

    @pytest.mark.parametrize("header", [b"\xa1\x18\x63\x01", b"\xa1\x04\x40", b"\xb8\x00", b"\xf6"])
    def test_an_unprotected_header(self, header: bytes) -> None:
        """Nobody signed it, so nobody may put anything there."""
        protected, body, signature = cose.opened(HEARD.message)
        message = envelope(protected, body, signature, unprotected=header)

        assert why_not(message) == RefusalReason.NOT_COSE

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"\xd2",
            b"\xd8\x12" + HEARD.message[1:],
            b"\xd2\x98\x04" + HEARD.message[2:],
            b"\xd2\x9f" + HEARD.message[2:] + b"\xff",
            HEARD.message[1:],
            b"\xd1" + HEARD.message[1:],
            HEARD.message + b"\x00",
            HEARD.message[:16] + b"\xa0\x59\x00" + HEARD.message[18:],
            b"\xd2" + b"\x81" * 10_000 + b"\x00",
            b"\xd2" * 10_000 + b"\x00",
            b"\xd2\x9b" + b"\xff" * 8,
            b"\xd2\x84\x5b\x7f" + b"\xff" * 7,
            b"\xd2\x84\x5b\x00\x00\x00\x01" + bytes(4),
            b"{}",
        ],
        ids=range(15),
    )
    def test_bytes_in_another_spelling(self, message: bytes) -> None:
        """Long forms, indefinite lists, lost tags, bombs."""
        assert why_not(message) == RefusalReason.NOT_COSE

    def test_one_byte_too_many(self) -> None:
        """64 KiB is the most; the rest is not looked at."""
        assert why_not(bytes(65_537)) == RefusalReason.TOO_LARGE


class TestATopic:
    """The topic of a signed telegram ..."""

    def test_names_its_meter(self) -> None:
        """In its own bucket only, and without /json behind it."""
        bucket = crc32(METER.encode()) % 64
        assert signer_of(f"gas/v1/{bucket:02d}/{METER}/up") == METER
        assert signer_of(f"gas/v1/{(bucket + 1) % 64:02d}/{METER}/up") is None
        assert signer_of(f"gas/v1/{bucket:02d}/{METER}/up/json") is None
        assert signer_of(f"gas/v1/{bucket:02d}/{METER}/up\n") is None


HONEST = [
    HEARD.message,
    signed.telegram(ANNA, counter=8, registers=[(MIDNIGHT_S + 3600, 1010)], firmware=b"\x01"),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return an honest message with a few bytes changed, lost or put in."""
    message = bytearray(draw(st.sampled_from(HONEST)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(message)))
        length = draw(st.integers(0, 4))
        message[place : place + length] = draw(st.binary(max_size=4))
    return bytes(message)


class TestAnyBytes:
    """Whatever comes ..."""

    @given(st.binary(max_size=400))
    @settings(max_examples=300, deadline=None)
    def test_never_raises(self, message: bytes) -> None:
        """Bytes out of nowhere are refused."""
        assert isinstance(unseal(METER, message), Refusal)

    @given(mutated())
    @settings(max_examples=500, deadline=None)
    def test_what_verifies_is_what_was_signed(self, message: bytes) -> None:
        """A changed message is refused, or it is not changed at all."""
        said = unseal(METER, message)

        if isinstance(said, Sealed) and verify(said, key_of(ANNA)):
            assert message in HONEST

    @given(st.binary(max_size=200))
    @settings(max_examples=300, deadline=None)
    def test_under_a_good_envelope_never_raise(self, body: bytes) -> None:
        """A broken meter signs anything."""
        assert isinstance(unseal(METER, sealed(HEARD, body)), Refusal)

    @given(
        counter=st.integers(0, 2**32 - 1),
        registers_dm3=st.lists(st.integers(0, 10**15), min_size=1, max_size=20),
        flags=st.integers(0, 127),
    )
    @settings(max_examples=100, deadline=None)
    def test_honest_ones_come_out_as_they_went_in(
        self, counter: int, registers_dm3: list[int], flags: int
    ) -> None:
        """Whatever registers a meter has, whichever way they step."""
        sent = [(MIDNIGHT_S - 3600 * n, dm3) for n, dm3 in enumerate(registers_dm3)]

        said = opened(signed.telegram(ANNA, counter=counter, registers=sent, flags=flags))

        names = ("magnet", "tilt", "cover", "battery_low", "reverse", "valve", "clock_lost")
        assert registers(said.telegram) == sent[::-1]
        assert said.telegram.counter == counter
        assert said.telegram.flags == tuple(n for i, n in enumerate(names) if flags & 2**i)
        assert verify(said, key_of(ANNA))
