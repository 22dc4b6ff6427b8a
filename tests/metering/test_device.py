"""States, keys and claim codes of a device, without a database."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from metering.device import (
    NEXT,
    KeyUnusableError,
    PublicKey,
    StateError,
    claim_code,
    claim_digest,
    is_claimed_by,
    kid_of,
    next_state,
    rotation_message,
)
from simulators.signed import Identity

# RFC 8032, 7.1, test 1.
RFC_SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
# The base point of P-256 (FIPS 186-4, D.1.2.3).
P256_BASE = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


class TestState:
    """The table of states ..."""

    def test_leads_only_where_it_says(self) -> None:
        """Every pair is written down here, so that a row added by mistake is seen."""
        allowed = {(state, wanted) for state, ways in NEXT.items() for wanted in ways}

        assert allowed == {
            ("pending", "active"),
            ("pending", "removed"),
            ("active", "frozen"),
            ("active", "removed"),
            ("frozen", "active"),
            ("frozen", "removed"),
        }

    def test_refuses_a_way_back(self) -> None:
        """A meter that was scrapped must not speak again."""
        assert next_state("pending", "active") == "active"
        with pytest.raises(StateError, match="removed meter cannot become active"):
            next_state("removed", "active")


class TestD15KeysAnybodyCanSignFor:
    """A public key ..."""

    def test_is_taken_when_it_is_one(self) -> None:
        """Both kinds that meters have, from published examples."""
        assert PublicKey(algorithm="EdDSA", public_key=RFC_PUBLIC).kid == bytes.fromhex(
            "21fe31dfa154a261"
        )
        assert PublicKey(algorithm="ES256", public_key=P256_BASE).kid == kid_of(P256_BASE)

    @pytest.mark.parametrize(
        "point",
        [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ],
    )
    def test_of_low_order_is_refused(self, point: str) -> None:
        """A signature that is right for every message proves nothing about a meter."""
        with pytest.raises(KeyUnusableError, match="anybody can sign"):
            PublicKey(algorithm="EdDSA", public_key=bytes.fromhex(point))

    @pytest.mark.parametrize(
        ("algorithm", "raw"),
        [
            ("EdDSA", RFC_PUBLIC[:31]),
            ("EdDSA", P256_BASE),
            ("EdDSA", b"\x02" + bytes(31)),
            ("ES256", RFC_PUBLIC),
            ("ES256", b"\x02" + P256_BASE[1:]),
            ("ES256", P256_BASE[:-1] + b"\xf4"),
            ("ES256", bytes(65)),
            ("none", RFC_PUBLIC),
        ],
    )
    def test_that_is_no_point_of_its_curve_is_refused(self, algorithm: str, raw: bytes) -> None:
        """Found at the desk where it is typed, not by a meter that is silent for a month."""
        with pytest.raises(KeyUnusableError):
            PublicKey(algorithm=algorithm, public_key=raw)


class TestRotationMessage:
    """What the old key signs ..."""

    def test_is_spelled_as_the_protocol_page_says(self) -> None:
        """A meter's maker writes the same bytes from the page alone."""
        assert rotation_message("AQ-1", 258, b"\xaa\xbb") == (
            b"gas/v1/rotate\x00AQ-1\x00\x00\x00\x01\x02\xaa\xbb"
        )

    def test_is_signed_by_the_key_and_by_no_other(self) -> None:
        """Ed25519 and ES256 alike; one bit of the message or the signature spoils it."""
        said = rotation_message("AQ-1", 2, RFC_PUBLIC)
        secret = Ed25519PrivateKey.from_private_bytes(RFC_SECRET)
        signature = secret.sign(said)
        key = PublicKey(algorithm="EdDSA", public_key=RFC_PUBLIC)

        assert key.has_signed(said, signature)
        assert not key.has_signed(said + b"\x00", signature)
        assert not key.has_signed(said, bytes(64))
        assert not key.has_signed(said, b"")

    def test_may_be_signed_with_es256(self) -> None:
        """Secure elements without Ed25519 rotate too."""
        identity = Identity.of_p256(seed="s", meter_id="AQ-1")
        r, s = decode_dss_signature(identity.key.sign(b"said", ECDSA(SHA256())))  # type: ignore[call-arg,arg-type,unused-ignore]
        signature = r.to_bytes(32) + s.to_bytes(32)
        key = PublicKey(algorithm="ES256", public_key=identity.public)

        assert key.has_signed(b"said", signature)
        assert not key.has_signed(b"sand", signature)
        assert not key.has_signed(b"said", bytes(64))


class TestClaimCode:
    """The code on the label ..."""

    def test_has_eighty_bits_in_letters_nobody_confuses(self) -> None:
        """Every bit of the ten bytes is in it."""
        assert claim_code(bytes(10)) == "0000-0000-0000-0000"
        assert claim_code(b"\xff" * 10) == "ZZZZ-ZZZZ-ZZZZ-ZZZZ"
        assert claim_code(bytes(9) + b"\x21") == "0000-0000-0000-0011"
        # 00001 00010 00011 00100 and so on to 10000: one letter after the other.
        assert claim_code(bytes.fromhex("08864298e84a96c6b9f0")) == ("1234-5678-9ABC-DEFG")

    def test_may_be_typed_as_people_type(self) -> None:
        """Small letters, no dashes, O for 0, I and L for 1."""
        digest = claim_digest("AQ-1", "1001-5678-9ABC-DEFG")

        assert is_claimed_by(digest, "AQ-1", "ioOl 5678 9abcdefg")
        assert not is_claimed_by(digest, "AQ-1", "1001-5678-9ABC-DEFH")

    def test_is_good_for_one_meter_only(self) -> None:
        """The same letters on another label are another code."""
        digest = claim_digest("AQ-1", "1001-5678-9ABC-DEFG")

        assert not is_claimed_by(digest, "AQ-2", "1001-5678-9ABC-DEFG")
