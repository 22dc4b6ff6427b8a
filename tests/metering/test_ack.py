"""What signing meters are told, read as a meter's maker reads it."""

from datetime import UTC, datetime
from zlib import crc32

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.messages import Sign1Message

from metering.ack import Ack, Signer
from metering.window import EMPTY, Window
from simulators import cose, signed
from simulators.signed import AckError, Identity, SignedVoice, read_ack

METER = "AQ-000001"
# 1 January 2026, 00:00 UTC.
AT = datetime(2026, 1, 1, tzinfo=UTC)
AT_S = 1_767_225_600
OURS = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = OURS.public_key().public_bytes_raw()
WINDOW = Window(high_water=9, seen=0b1010001)


def told(
    *, refused: dict[int, str] | None = None, epoch: int = 1, window: Window = WINDOW
) -> bytes:
    ack = Ack(meter_id=METER, key_epoch=epoch, window=window, refused=refused or {})
    return Signer(OURS).sign(ack, at=AT).payload


class TestAnAck:
    """Our word to a signing meter ..."""

    def test_says_which_counters_are_safe(self) -> None:
        """9, 5 and 3 are; what was refused has its reason."""
        ack = read_ack(
            told(refused={8: "meter_removed", 7: "reading_conflict"}),
            meter_id=METER,
            server_key=PUBLIC,
        )

        assert (ack.meter_id, ack.key_epoch, ack.high_water, ack.server_time_s) == (
            METER, 1, 9, AT_S,
        )  # fmt: skip
        assert [counter for counter in range(20) if ack.is_safe(counter)] == [3, 5, 9]
        assert ack.refused == ((7, "reading_conflict"), (8, "meter_removed"))

    def test_is_these_bytes(self) -> None:
        """The whole body, written by hand."""
        payload = cose.opened(told())[1]

        assert payload == (
            b"\xa5\x01\x49AQ-000001\x02\x01\x03\x09\x04\x58\x80\x51" + bytes(127)
            + b"\x05\x1a\x69\x55\xb9\x00"
        )  # fmt: skip

    def test_is_also_pycoses(self) -> None:
        """A library that has never seen our code verifies it."""
        message = Sign1Message.decode(told())
        message.external_aad = b"gas/v1/ack\x00AQ-000001"
        message.key = OKPKey(crv=Ed25519, x=PUBLIC)

        assert message.verify_signature()

    def test_goes_to_its_meter_and_stays(self) -> None:
        """Retained, so that a meter that was asleep finds it."""
        ack = Ack(meter_id=METER, key_epoch=1, window=WINDOW, refused={})
        receipt = Signer(OURS).sign(ack, at=AT)

        bucket = crc32(METER.encode()) % 64
        assert receipt.topic == f"gas/v1/{bucket:02d}/{METER}/down/ack"
        assert receipt.retain

    def test_of_nothing_frees_nothing(self) -> None:
        """A key that was never heard has no safe counter, zero included."""
        ack = read_ack(told(window=EMPTY), meter_id=METER, server_key=PUBLIC)

        assert not any(ack.is_safe(counter) for counter in range(1100))

    def test_carries_64_refusals(self) -> None:
        """The lowest; the others are told next time."""
        ack = read_ack(
            told(refused=dict.fromkeys(range(100), "meter_removed")),
            meter_id=METER,
            server_key=PUBLIC,
        )

        assert [counter for counter, _ in ack.refused] == list(range(64))


class TestAMeter:
    """The one who reads it ..."""

    def test_refuses_another_servers_word(self) -> None:
        """A stranger's key, under his own name and under ours."""
        stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
        payload = cose.opened(told())[1]
        message = cose.sign(stranger, payload, aad=signed.ack_aad(METER))

        with pytest.raises(AckError):
            read_ack(message, meter_id=METER, server_key=PUBLIC)

    def test_refuses_another_meters_ack(self) -> None:
        """It is bound to its meter twice over."""
        with pytest.raises(AckError):
            read_ack(told(), meter_id="AQ-000002", server_key=PUBLIC)

    def test_refuses_any_changed_bit(self) -> None:
        """Every single one."""
        message = told()
        for place in range(8 * len(message)):
            changed = bytearray(message)
            changed[place // 8] ^= 1 << place % 8
            with pytest.raises(AckError):
                read_ack(bytes(changed), meter_id=METER, server_key=PUBLIC)

    def test_frees_nothing_for_another_epoch(self) -> None:
        """Counters begin anew with every key."""
        voice = SignedVoice(identity=Identity.of(seed="7", meter_id=METER), server_key=PUBLIC)

        assert voice.listen(told(epoch=2), [9]) == ()
        assert [one.counter for one in voice.listen(told(epoch=1), [9, 8])] == [9]
