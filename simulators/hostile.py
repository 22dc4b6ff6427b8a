"""Hostile telegrams: changed, replayed, forged and malformed ones, endless and from a seed.

Two kinds of enemy. One has only listened: whatever he makes of what he heard, or with keys of his
own, must not be taken for a meter. The other holds a meter's own key, so his signature is right and
only the rest is wrong: a broken meter, or an opened one.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from simulators import cose, signed
from simulators.forgery import (
    Captured,
    Trick,
    ahead,
    bit_flip,
    bytes_changed,
    changed,
    cut,
    envelope,
    for_purpose,
    forged,
    neighbour,
    noise,
    pairs_of,
    piece_lost,
    raw_map,
    replay,
    sealed,
    spoiled,
    stranger,
    trailing,
    twisted,
    with_header,
    with_parts,
)
from simulators.wire import bucket

# 31 December 2099; 1 January 1970 is 0.
_YEAR_2099_S: Final = 4_102_358_400
_FLOAT_1: Final = b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00"
# Deeper than any sane decoder follows, and still below the 64 KiB that a telegram may have.
_DEEP: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A hostile telegram under the name of its trick."""

    name: str
    topic: str
    payload: bytes


# Who has only listened. Of these the service stores nothing new and nobody's key is frozen.
WITHOUT_KEY: Final[Mapping[str, Trick]] = MappingProxyType(
    {
        "replay": replay,
        "replay-on-another-meters-topic": replay,
        "replay-in-another-bucket": replay,
        "replay-on-the-plain-topic": replay,
        "bit-flip": bit_flip,
        "bytes-changed": bytes_changed,
        "cut-off": cut,
        "piece-lost": piece_lost,
        "trailing-bytes": trailing,
        "noise": noise,
        "empty": lambda _dice, _one, _other: b"",
        "signature-empty": with_parts(lambda p, m, _s, _o: envelope(p, m, b"")),
        "signature-short": with_parts(lambda p, m, s, _o: envelope(p, m, s[:63])),
        "signature-long": with_parts(lambda p, m, s, _o: envelope(p, m, s + b"\x00")),
        "signature-zero": with_parts(lambda p, m, _s, _o: envelope(p, m, bytes(64))),
        "signature-null": with_parts(
            lambda p, m, s, _o: envelope(p, m, s)[: -len(s) - 2] + b"\xf6"
        ),
        "signature-twisted": with_parts(lambda p, m, s, _o: envelope(p, m, twisted(s))),
        "signature-of-a-neighbour": with_parts(
            lambda p, m, _s, o: envelope(p, m, cose.opened(o.message)[2])
        ),
        "payload-of-a-neighbour": with_parts(
            lambda p, _m, s, o: envelope(p, cose.opened(o.message)[1], s)
        ),
        "header-of-a-neighbour": with_parts(
            lambda _p, m, s, o: envelope(cose.opened(o.message)[0], m, s)
        ),
        "fields-swapped": with_parts(lambda p, m, s, _o: envelope(m, p, s)),
        "unprotected-stuffed": with_parts(
            lambda p, m, s, _o: envelope(p, m, s, unprotected=b"\xa1\x18\x63\x01")
        ),
        "unprotected-kid": with_parts(
            lambda p, m, s, o: envelope(
                p, m, s, unprotected=cose.encode({4: cose.kid_of(o.identity.public)})
            )
        ),
        "untagged": with_parts(lambda p, m, s, _o: envelope(p, m, s)[1:]),
        "tag-of-mac0": with_parts(lambda p, m, s, _o: b"\xd1" + envelope(p, m, s)[1:]),
        "tagged-twice": with_parts(lambda p, m, s, _o: b"\xd2" + envelope(p, m, s)),
        "tag-long-form": with_parts(lambda p, m, s, _o: b"\xd8\x12" + envelope(p, m, s)[1:]),
        "list-long-form": with_parts(lambda p, m, s, _o: b"\xd2\x98\x04" + envelope(p, m, s)[2:]),
        "list-indefinite": with_parts(
            lambda p, m, s, _o: b"\xd2\x9f" + envelope(p, m, s)[2:] + b"\xff"
        ),
        "list-of-five": with_parts(
            lambda p, m, s, _o: b"\xd2\x85" + envelope(p, m, s)[2:] + b"\x00"
        ),
        "list-huge": lambda _dice, _one, _other: b"\xd2\x9b" + b"\xff" * 8,
        "bytes-huge": lambda _dice, _one, _other: b"\xd2\x84\x5b\x7f" + b"\xff" * 7,
        "deep-lists": lambda _dice, _one, _other: b"\xd2" + b"\x81" * _DEEP + b"\x00",
        "deep-tags": lambda _dice, _one, _other: b"\xd2" * _DEEP + b"\x00",
        "key-of-a-stranger": forged(stranger, own_kid=True),
        "key-of-a-stranger-under-our-name": forged(stranger, own_kid=False),
        "key-of-a-neighbour": forged(neighbour, own_kid=True),
        "key-of-a-neighbour-under-our-name": forged(neighbour, own_kid=False),
    }
)

# Who holds the meter's key. The signature is right, and the protocol forbids the rest.
WITH_KEY: Final[Mapping[str, Trick]] = MappingProxyType(
    {
        "algorithm-missing": lambda d, a, b: with_header(
            {4: cose.kid_of(a.identity.public)}, keep=False
        )(d, a, b),
        "algorithm-none": with_header({1: 0}),
        "algorithm-hmac": with_header({1: 5}),
        "algorithm-es512": with_header({1: -36}),
        "kid-missing": with_header({1: cose.EDDSA}, keep=False),
        "kid-empty": with_header({4: b""}),
        "kid-long": with_header({4: bytes(32)}),
        "header-with-more": with_header({2: [1]}),
        "purpose-none": for_purpose(lambda _meter_id: b""),
        "purpose-ack": for_purpose(signed.ack_aad),
        "purpose-of-another-meter": for_purpose(
            lambda meter_id: signed.reading_aad(meter_id + "0")
        ),
        "body-empty": lambda _dice, one, _other: sealed(one, b""),
        "body-no-map": lambda _dice, one, _other: sealed(one, b"\x80"),
        "body-deep": lambda _dice, one, _other: sealed(one, b"\x81" * _DEEP + b"\x00"),
        "body-indefinite": lambda _dice, one, _other: sealed(
            one, b"\xbf" + raw_map(pairs_of(one))[1:] + b"\xff"
        ),
        "body-trailing": lambda _dice, one, _other: sealed(one, raw_map(pairs_of(one)) + b"\0"),
        "body-long-form": lambda _dice, one, _other: sealed(
            one, b"\xb8" + bytes([len(pairs_of(one))]) + raw_map(pairs_of(one))[1:]
        ),
        "key-twice": lambda _dice, one, _other: sealed(
            one, raw_map(sorted([*pairs_of(one), pairs_of(one)[4]]))
        ),
        "key-twice-with-another-register": lambda _dice, one, _other: sealed(
            one, raw_map([*pairs_of(one)[:5], (b"\x05", b"\x01"), *pairs_of(one)[5:]])
        ),
        "keys-out-of-order": lambda _dice, one, _other: sealed(one, raw_map(pairs_of(one)[::-1])),
        "key-unknown": changed({10: 1}),
        "key-text": lambda _dice, one, _other: sealed(
            one, raw_map([*pairs_of(one), (b"\x61\x35", b"\x01")])
        ),
        **{f"field-{key}-missing": changed({}, without=key) for key in range(1, 7)},
        "meter-of-a-neighbour": lambda d, a, b: changed(
            {signed.METER: b.identity.meter_id.encode()}
        )(d, a, b),
        "meter-text": lambda d, a, b: changed({signed.METER: a.identity.meter_id})(d, a, b),
        "meter-not-ascii": changed({signed.METER: b"\xff\x00\n"}),
        "epoch-0": changed({signed.EPOCH: 0}),
        "epoch-next": changed({signed.EPOCH: 2}),
        "epoch-huge": changed({signed.EPOCH: 2**64 - 1}),
        "counter-0": changed({signed.COUNTER: 0}),
        "counter-negative": changed({signed.COUNTER: -1}),
        "counter-2-63": changed({signed.COUNTER: 2**63}),
        "counter-2-64-less-1": changed({signed.COUNTER: 2**64 - 1}),
        "counter-bignum": spoiled(signed.COUNTER, b"\xc2\x41\x07"),
        "counter-true": spoiled(signed.COUNTER, b"\xf5"),
        "counter-long-form": spoiled(signed.COUNTER, b"\x1b" + (7).to_bytes(8)),
        "date-1970": ahead({signed.TIME: 0}),
        "date-2099": ahead({signed.TIME: _YEAR_2099_S}),
        "date-2-63": ahead({signed.TIME: 2**63}),
        "date-float": spoiled(signed.TIME, _FLOAT_1),
        "date-tagged": spoiled(signed.TIME, b"\xc1\x1a\x69\x55\xb9\x00"),
        "register-float": spoiled(signed.REGISTER, _FLOAT_1),
        "register-half-float": spoiled(signed.REGISTER, b"\xf9\x3c\x00"),
        "register-negative": changed({signed.REGISTER: -1}),
        "register-2-64-less-1": ahead({signed.REGISTER: 2**64 - 1}),
        "register-null": spoiled(signed.REGISTER, b"\xf6"),
        "register-undefined": spoiled(signed.REGISTER, b"\xf7"),
        "register-text": changed({signed.REGISTER: "7"}),
        "flags-unknown": ahead({signed.FLAGS: 2**40}),
        "flags-negative": changed({signed.FLAGS: -1}),
        "earlier-empty": ahead({signed.EARLIER: []}),
        "earlier-500": changed({signed.EARLIER: [[3600 * n, n] for n in range(1, 501)]}),
        "earlier-later": changed({signed.EARLIER: [[-3600, 1]]}),
        "earlier-now": ahead({signed.EARLIER: [[0, 1]]}),
        "earlier-before-1970": changed({signed.EARLIER: [[2**40, 1]]}),
        "earlier-below-zero": changed({signed.EARLIER: [[3600, 2**50]]}),
        "earlier-in-disorder": ahead({signed.EARLIER: [[7200, 2], [3600, 1]]}),
        "earlier-triple": changed({signed.EARLIER: [[3600, 1, 1]]}),
        "earlier-number": changed({signed.EARLIER: 7}),
        "firmware-empty": changed({signed.FIRMWARE: b""}),
        "firmware-long": changed({signed.FIRMWARE: bytes(17)}),
        "previous-short": changed({signed.PREVIOUS: bytes(15)}),
        "previous-long": changed({signed.PREVIOUS: bytes(17)}),
    }
)

# The service has the very same telegram: it answers again, and stores nothing.
REPEATED: Final = frozenset({"replay"})
# Well-formed and signed by the meter itself, only not to be believed: kept with a verdict that
# measures nothing, or refused.
UNBELIEVABLE: Final = frozenset(
    {
        "counter-2-63", "counter-2-64-less-1", "date-1970", "date-2099", "date-2-63",
        "register-2-64-less-1",
    }
)  # fmt: skip
# Odd, but the protocol page does not forbid it; whether they are taken is the service's choice.
UNSAID: Final = frozenset({"earlier-empty", "earlier-now", "earlier-in-disorder", "flags-unknown"})

TRICKS: Final[Mapping[str, Trick]] = MappingProxyType({**WITHOUT_KEY, **WITH_KEY})

_TOPIC_TRICKS: Final[Mapping[str, Callable[[Captured, Captured], str]]] = MappingProxyType(
    {
        "replay-on-another-meters-topic": lambda _one, other: other.topic,
        "replay-in-another-bucket": lambda one, _other: one.topic.replace(
            f"/{bucket(one.identity.meter_id)}/", "/99/", 1
        ),
        "replay-on-the-plain-topic": lambda one, _other: one.topic + "/json",
    }
)


def attacks(*, seed: str, captured: Sequence[Captured], count: int) -> Iterator[Attack]:
    """Yield hostile telegrams, every trick in turn; `captured` holds two meters at least.

    The service is expected to have stored the captured ones already.
    """
    meters = {one.identity.meter_id for one in captured}
    assert len(meters) > 1, "tricks need a second meter"
    others = {name: [one for one in captured if one.identity.meter_id != name] for name in meters}
    dice = random.Random(seed)  # noqa: S311  (seeded on purpose; no secret comes from it)
    tricks = list(TRICKS.items())
    for number in range(count):
        name, trick = tricks[number % len(tricks)]
        victim = dice.choice(captured)
        other = dice.choice(others[victim.identity.meter_id])
        topic = _TOPIC_TRICKS[name](victim, other) if name in _TOPIC_TRICKS else victim.topic
        yield Attack(name=name, topic=topic, payload=trick(dice, victim, other))
