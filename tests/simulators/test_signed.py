"""The signed wire of a meter: bytes worked out by hand, and pycose as the second opinion."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pycose.algorithms import EdDSA
from pycose.headers import KID, Algorithm
from pycose.keys import EC2Key, OKPKey
from pycose.keys.curves import P256, Ed25519
from pycose.messages import Sign1Message

from simulators import cose
from simulators.meter import Reading, Store
from simulators.signed import Ack, AckError, Identity, SignedVoice, read_ack, telegram
from simulators.wire import ReceiptError

METER = "AQ-000123"
AAD = b"gas/v1/reading\x00AQ-000123"
# RFC 8032, section 7.1, test 1: a secret key and its public key that anybody can look up.
SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
IDENTITY = Identity(meter_id=METER, key_epoch=1, key=Ed25519PrivateKey.from_private_bytes(SECRET))
SERVER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SERVER_KEY = SERVER.public_key().public_bytes_raw()
MIDNIGHT_S = 1_767_225_600  # 1 January 2026 UTC, 0x6955B900.

# Six keys: meter AQ-000123, epoch 1, counter 7, the time, register 1,234,567, flag 8 (battery).
ONE_REGISTER = bytes.fromhex("""
    a6  01 49 41512d303030313233  02 01  03 07  04 1a6955b900  05 1a0012d687  06 08
""")
# And two earlier registers, 3600 s and 33 dm3 before and 7200 s and -5 dm3 (the dial passed zero),
# firmware aabb, and 16 bytes of a hash.
THREE_REGISTERS = (
    bytes.fromhex("""
    a9  01 49 41512d303030313233  02 01  03 07  04 1a6955b900  05 1a0012d687  06 00
    07 82 82 190e10 1821 82 191c20 24  08 42 aabb  09 50
""")
    + hashlib.sha256(b"before").digest()[:16]
)


def judged(message: bytes, key: OKPKey | EC2Key, aad: bytes = AAD) -> Sign1Message:
    """Return a message that pycose believes."""
    opened = Sign1Message.decode(message)
    opened.external_aad = aad
    opened.key = key
    assert opened.verify_signature()
    return opened


def ack_of(
    changes: Mapping[int, Any] = {},
    *,
    secret: Ed25519PrivateKey = SERVER,
    purpose: bytes = b"gas/v1/ack\x00AQ-000123",
    payload: bytes | None = None,
) -> bytes:
    """Return an acknowledgement as the service makes it, built with pycose and cbor2."""
    seen = bytearray(128)
    seen[0] = 0b0000_0101
    fields = {1: METER.encode(), 2: 1, 3: 9, 4: bytes(seen), 5: MIDNIGHT_S} | dict(changes)
    public = secret.public_key().public_bytes_raw()
    message = Sign1Message(
        phdr={Algorithm: EdDSA, KID: hashlib.sha256(public).digest()[:8]},
        payload=payload or cbor2.dumps(fields, canonical=True),
        external_aad=purpose,
    )
    message.key = OKPKey(crv=Ed25519, d=secret.private_bytes_raw(), x=public)
    return bytes(message.encode())


def read(message: bytes) -> Ack:
    return read_ack(message, meter_id=METER, server_key=SERVER_KEY)


class TestTelegram:
    """A signed telegram ..."""

    def test_has_the_bytes_of_the_protocol_page(self) -> None:
        """Any maker who follows the page gets these bytes: header, empty map, body, signature."""
        made = telegram(IDENTITY, counter=7, registers=[(MIDNIGHT_S, 1_234_567)], flags=8)

        kid = hashlib.sha256(PUBLIC).digest()[:8]
        assert made[:-64] == (
            bytes.fromhex("d2 84 4d a2 01 27 04 48")
            + kid
            + bytes.fromhex("a0 58 1e")
            + ONE_REGISTER
            + bytes.fromhex("58 40")
        )
        assert len(ONE_REGISTER) == 0x1E

    def test_carries_earlier_registers_as_differences(self) -> None:
        """Newest first; the second number is negative where the dial passed zero in between."""
        made = telegram(
            IDENTITY,
            counter=7,
            registers=[
                (MIDNIGHT_S, 1_234_567),
                (MIDNIGHT_S - 3600, 1_234_534),
                (MIDNIGHT_S - 7200, 1_234_572),
            ],
            firmware=b"\xaa\xbb",
            previous=b"before",
        )

        assert cose.opened(made)[1] == THREE_REGISTERS

    def test_is_believed_by_a_second_opinion(self) -> None:
        """Another library finds the signature good, and for this meter only."""
        made = telegram(IDENTITY, counter=7, registers=[(MIDNIGHT_S, 1_234_567)])

        believed = judged(made, OKPKey(crv=Ed25519, x=PUBLIC))
        believed.external_aad = b"gas/v1/reading\x00AQ-000124"

        assert not believed.verify_signature()
        assert believed.uhdr == {}

    def test_is_believed_from_a_secure_element(self) -> None:
        """An element that lacks Ed25519 signs with ES256; r and s are 64 bytes, not DER."""
        identity = Identity.of_p256(seed="7", meter_id=METER)

        made = telegram(identity, counter=7, registers=[(MIDNIGHT_S, 1_234_567)])

        public = identity.public
        assert (len(public), public[0]) == (65, 4)
        judged(made, EC2Key(crv=P256, x=public[1:33], y=public[33:]))
        assert (
            cose.opened(made)[0]
            == bytes.fromhex("a2 01 26 04 48") + hashlib.sha256(public).digest()[:8]
        )
        assert cose.verify(made, public, aad=AAD)

    def test_has_a_key_of_its_own_for_each_seed_meter_and_epoch(self) -> None:
        """A shared key would let one opened meter speak for all."""
        keys = {
            Identity.of(seed=seed, meter_id=name, key_epoch=epoch).public
            for seed in ("7", "8")
            for name in (METER, "AQ-000124")
            for epoch in (1, 2)
        }

        assert len(keys) == 8

    def test_shows_no_secret_when_it_is_printed(self) -> None:
        """A key in a log is a key lost."""
        assert "key=" not in repr(IDENTITY)


class TestCbor:
    """Our own CBOR ..."""

    @pytest.mark.parametrize(
        ("item", "hexed"),
        [
            (0, "00"), (23, "17"), (24, "1818"), (255, "18ff"), (256, "190100"),
            (65_536, "1a00010000"), (2**32, "1b0000000100000000"),
            (2**64 - 1, "1bffffffffffffffff"), (-1, "20"), (-24, "37"), (-25, "3818"),
            (b"", "40"), ("ü", "62c3bc"), ([1, [2]], "82018102"),
            ({10: 1, -1: 2, "z": 3}, "a30a012002617a03"), (cose.Tag(18, []), "d280"),
        ],
    )  # fmt: skip
    def test_writes_and_reads_the_examples_of_the_standard(self, item: object, hexed: str) -> None:
        """RFC 8949, appendix A and section 4.2.1; keys sort by their bytes."""
        assert cose.encode(item).hex() == hexed
        assert cose.decode(bytes.fromhex(hexed)) == item

    @pytest.mark.parametrize(
        "hexed",
        ["", "1800", "190001", "5f4100ff", "9fff", "bf0000ff", "a200010002", "a201000000", "f5",
         "f6", "fb3ff0000000000000", "4102ff", "42ff", "61ff", "ff", "1c", "81" * 10 + "00"],
    )  # fmt: skip
    def test_reads_nothing_else(self, hexed: str) -> None:
        """Two encodings of one thing would be two stories under one signature."""
        with pytest.raises(cose.CborError):
            cose.decode(bytes.fromhex(hexed))


class TestAck:
    """An acknowledgement ..."""

    def test_says_which_counters_are_safe(self) -> None:
        """High water 9 with bits 0 and 2: counters 9 and 7, and nothing else."""
        ack = read(ack_of({6: [[8, "counter_conflict"]]}))

        assert [counter for counter in range(20) if ack.is_safe(counter)] == [7, 9]
        assert ack.refused == ((8, "counter_conflict"),)
        assert ack.server_time_s == MIDNIGHT_S

    def test_does_not_speak_of_what_lies_further_back_than_its_bits(self) -> None:
        """With 1,024 bits set below 2,000, counter 977 is safe and 976 is not known."""
        ack = read(ack_of({3: 2000, 4: b"\xff" * 128}))

        assert ack.is_safe(977)
        assert not ack.is_safe(976)
        assert not ack.is_safe(2001)

    def test_of_another_key_is_refused(self) -> None:
        """Whoever can publish on the topic must not be able to empty a meter's memory."""
        forger = Ed25519PrivateKey.from_private_bytes(bytes(32))

        with pytest.raises(AckError, match="another key"):
            read(ack_of(secret=forger))

    def test_with_a_changed_byte_is_refused(self) -> None:
        """Every single byte of it is under the signature or has only one form."""
        good = ack_of()
        for place in range(len(good)):
            bad = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]

            with pytest.raises(AckError):
                read(bad)

    @pytest.mark.parametrize(
        ("changes", "purpose"),
        [
            ({1: b"AQ-000124"}, b"gas/v1/ack\x00AQ-000124"),
            ({1: b"AQ-000124"}, b"gas/v1/ack\x00AQ-000123"),
            ({}, b"gas/v1/ack\x00AQ-000124"),
            ({}, b"gas/v1/reading\x00AQ-000123"),
            ({}, b""),
        ],
    )
    def test_for_another_meter_or_purpose_is_refused(
        self, changes: dict[int, Any], purpose: bytes
    ) -> None:
        """A neighbour's acknowledgement, sent to this meter, would cost it its registers."""
        with pytest.raises(AckError):
            read(ack_of(changes, purpose=purpose))

    @pytest.mark.parametrize(
        "changes",
        [{3: -1}, {3: "9"}, {4: b""}, {4: bytes(127)}, {5: 1.5}, {7: 1}, {6: 3}, {6: [[1]]},
         {6: [[1, b"x"]]}, {1: b"\xff"}],
    )  # fmt: skip
    def test_of_another_shape_is_refused_although_it_is_signed(
        self, changes: dict[int, Any]
    ) -> None:
        """A meter in the field cannot be mended: it must survive our own mistakes."""
        with pytest.raises(ReceiptError):
            read(ack_of(changes))


class TestSignedMeter:
    """A meter's memory under signed acknowledgements ..."""

    def store(self, telegrams: int = 12) -> Store:
        """Return a memory with telegrams 1, 2, 3 … on their way."""
        voice = SignedVoice(identity=IDENTITY, server_key=SERVER_KEY)
        store = Store(meter_id=METER, number=123, next_counter=1, voice=voice)
        for hour in range(telegrams):
            at = datetime.fromtimestamp(MIDNIGHT_S + 3600 * hour, UTC)
            reading = Reading(at=at, claimed_at=at, register_dm3=hour, total_dm3=hour)
            store.write([reading]).sends = 1
        return store

    def settle(self, store: Store, message: bytes) -> None:
        """Let a meter hear an acknowledgement."""
        for receipt in store.listen(message):
            store.hear(receipt, retained=False)

    def test_is_freed_of_exactly_the_safe_telegrams(self) -> None:
        """One bit too many loses gas for ever; one too few only costs a repeat."""
        store = self.store()

        self.settle(store, ack_of())

        assert sorted(store.waiting) == [1, 2, 3, 4, 5, 6, 8, 10, 11, 12]
        assert store.refused == {}

    def test_remembers_what_was_refused(self) -> None:
        """Counter 8 is refused; so is 9, although its bit stands for somebody's telegram."""
        store = self.store()

        self.settle(store, ack_of({6: [[8, "bad_shape"], [9, "counter_conflict"]]}))

        assert store.refused == {8: "bad_shape", 9: "counter_conflict"}
        assert sorted(store.waiting) == [1, 2, 3, 4, 5, 6, 10, 11, 12]

    def test_is_untouched_by_an_acknowledgement_of_another_epoch(self) -> None:
        """Counters begin again with a new key, so an old acknowledgement means other telegrams."""
        store = self.store()

        self.settle(store, ack_of({2: 2}))

        assert len(store.waiting) == 12

    def test_is_untouched_by_a_forged_acknowledgement(self) -> None:
        """The memory of a meter is the last copy of the truth."""
        store = self.store()
        forger = Ed25519PrivateKey.from_private_bytes(bytes(32))

        with pytest.raises(ReceiptError):
            self.settle(store, ack_of({4: b"\xff" * 128, 3: 12}, secret=forger))

        assert len(store.waiting) == 12

    def test_chains_each_message_to_the_one_before(self) -> None:
        """A message that somebody deleted on the way shows as a hash that fits nothing."""
        messages = [one.payload for one in self.store(3).waiting.values()]

        links = [cbor2.loads(cose.opened(message)[1]).get(9) for message in messages]

        assert links == [None, *(hashlib.sha256(one).digest()[:16] for one in messages[:2])]
