"""The hostile set: that it is as hostile as it says, or a service that passes it proves nothing."""

import hashlib
from collections import Counter
from itertools import islice

import cbor2
import pytest
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.messages import Sign1Message

from simulators import cose
from simulators.forgery import Captured, capture
from simulators.hostile import (
    REPEATED,
    TRICKS,
    UNBELIEVABLE,
    UNSAID,
    WITH_KEY,
    WITHOUT_KEY,
    Attack,
    attacks,
)
from simulators.signed import Identity, reading_aad

MIDNIGHT_S = 1_767_225_600
ROUNDS = 12
# The topic is wrong and the bytes are right.
BY_TOPIC = {
    "replay",
    "replay-on-another-meters-topic",
    "replay-in-another-bucket",
    "replay-on-the-plain-topic",
}
# The header, the purpose or the envelope is wrong, so the signature is good only for its maker.
BY_HEADER = {
    name for name in WITH_KEY if name.startswith(("algorithm", "kid", "header", "purpose"))
}


def captured(*, p256: bool = False) -> list[Captured]:
    make = Identity.of_p256 if p256 else Identity.of
    return [
        capture(
            make(seed="7", meter_id=f"AQ-00000{number}"),
            counter,
            [(MIDNIGHT_S, 1000), (MIDNIGHT_S - 3600, 990)],
        )
        for number in (1, 2, 3)
        for counter in (1, 2)
    ]


def hostile(seed: str = "7", *, p256: bool = False) -> list[Attack]:
    count = ROUNDS * len(TRICKS)
    return list(attacks(seed=seed, captured=captured(p256=p256), count=count))


def is_believed(attack: Attack, heard: list[Captured]) -> bool:
    """Say whether the meter that the topic names has signed these very bytes for readings."""
    keys = {one.identity.meter_id: one.identity.public for one in heard}
    meter_id = attack.topic.split("/")[3]
    try:
        cose.verify(attack.payload, keys[meter_id], aad=reading_aad(meter_id))
    except cose.SignatureError:
        return False
    return True


class TestAttacks:
    """The hostile telegrams ..."""

    def test_come_the_same_from_the_same_seed(self) -> None:
        """A failure is found again by its seed and its place."""
        assert hostile() == hostile()
        assert hostile() != hostile("8")

    def test_play_every_trick_equally_often(self) -> None:
        """A trick that is never played is a trick that nobody withstood."""
        assert Counter(attack.name for attack in hostile()) == dict.fromkeys(TRICKS, ROUNDS)
        assert len(TRICKS) > 100

    def test_say_nothing_honest_but_in_replays(self) -> None:
        """A harmless attack would count as one repelled."""
        heard = captured()
        honest = {one.message for one in heard}

        said = {attack.name for attack in hostile() if attack.payload in honest}

        assert said == BY_TOPIC

    def test_replay_an_honest_telegram_only_where_it_was_heard(self) -> None:
        """Right topic, right bytes: that is the one that a service answers again."""
        honest = {(one.topic, one.message) for one in captured()}

        said = {one.name for one in hostile() if (one.topic, one.payload) in honest}

        assert said == REPEATED

    @pytest.mark.parametrize("p256", [False, True])
    def test_of_a_listener_are_believed_by_no_careful_reader(self, *, p256: bool) -> None:
        """All but the replays and, with ES256, the twisted signature, which is as good as the old.

        Whoever compares whole messages would take the twisted one for a clone and freeze an honest
        meter's key.
        """
        heard = captured(p256=p256)

        believed = {
            attack.name
            for attack in hostile(p256=p256)
            if attack.name in WITHOUT_KEY and is_believed(attack, heard)
        }

        twisted = {"signature-twisted"} if p256 else set()
        assert believed == BY_TOPIC - {"replay-on-another-meters-topic"} | twisted

    def test_of_an_opened_meter_have_a_good_signature(self) -> None:
        """Refused for its signature, a malformed body would never reach the reader of bodies."""
        heard = captured()

        unbelieved = {
            attack.name
            for attack in hostile()
            if attack.name in WITH_KEY and not is_believed(attack, heard)
        }

        assert unbelieved == BY_HEADER

    def test_are_signed_in_the_eyes_of_a_second_opinion(self) -> None:
        """Also pycose finds the counter of 2^63 well signed, and reads it."""
        attack = next(one for one in hostile() if one.name == "counter-2-63")
        meter_id = attack.topic.split("/")[3]
        message = Sign1Message.decode(attack.payload)
        message.external_aad = b"gas/v1/reading\x00" + meter_id.encode()
        message.key = OKPKey(crv=Ed25519, x=Identity.of(seed="7", meter_id=meter_id).public)

        assert message.verify_signature()
        assert cbor2.loads(message.payload)[3] == 2**63

    def test_fit_into_a_telegram(self) -> None:
        """What a broker cuts off at 64 KiB never tries the service."""
        assert max(len(attack.payload) for attack in hostile()) <= 64 * 1024

    def test_have_names_that_stand_in_their_lists(self) -> None:
        """A test leaves these out by name; a name that changed would leave out nothing."""
        assert set(WITHOUT_KEY) >= REPEATED
        assert set(WITH_KEY) >= UNBELIEVABLE | UNSAID
        assert not set(WITHOUT_KEY) & set(WITH_KEY)

    def test_use_counters_of_their_own_where_they_might_be_taken(self) -> None:
        """With a used counter they would look like a clone, which is another trick."""
        used = {1, 2}
        for attack in hostile():
            if attack.name in UNBELIEVABLE | UNSAID:
                assert cbor2.loads(cbor2.loads(attack.payload).value[2])[3] not in used

    def test_are_endless(self) -> None:
        """A million are asked for; nothing is kept while they come."""
        many = attacks(seed="7", captured=captured(), count=10**9)

        digest = hashlib.sha256(b"".join(one.payload for one in islice(many, 500)))

        assert len(digest.hexdigest()) == 64
