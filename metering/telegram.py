"""Bytes in, telegram or refusal out; never an exception, so one mad meter cannot stop the line.

The wire is ``gas/v1/<bucket>/<meter>/up/json`` with one JSON object per message; see README.md.
Signed telegrams come on ``.../up`` and are ``signed.py``'s.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Final, NamedTuple, Never

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from metering.meter import METER_ID, bucket
from metering.reading import Reading

# Five hundred readings of 60 bytes are 30 KiB; twice that leaves room for white space.
PAYLOAD_BYTES_MAX: Final = 64 * 1024
# Three weeks of hourly registers: the longest backlog a meter sends in one piece.
READINGS_MAX: Final = 500
FLAGS_MAX: Final = 16
COUNTER_MAX: Final = 2**32 - 1
REGISTER_DM3_MAX: Final = 10**15
DETAIL_CHARS_MAX: Final = 200
# Instants come back over and over, since meters read on the hour: a year of hours.
INSTANTS_KEPT: Final = 8192

# The epoch of a telegram that no key of the meter signed.
UNSIGNED: Final = 0
ADAPTED: Final = -1
UPLOADED: Final = -2

_TOPIC = re.compile(r"gas/v1/([0-9]{2})/([A-Z0-9-]{1,32})/up/json")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_FIRST_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)
_LAST_INSTANT = datetime(2100, 1, 1, tzinfo=UTC)


class Arrival(NamedTuple):
    """One message as the broker delivered it; ``handle`` is what acknowledges it."""

    topic: str
    payload: bytes
    retained: bool
    handle: object


class RefusalReason(StrEnum):
    """Why a whole telegram is not taken. A closed set: meters and operators act on it."""

    TOO_LARGE = "too_large"
    BAD_TOPIC = "bad_topic"
    NOT_JSON = "not_json"
    BAD_SHAPE = "bad_shape"
    TOO_MANY_READINGS = "too_many_readings"
    METER_MISMATCH = "meter_mismatch"
    UNKNOWN_METER = "unknown_meter"
    NOT_INSTALLED = "not_installed"
    COUNTER_CONFLICT = "counter_conflict"
    READING_CONFLICT = "reading_conflict"
    NOT_STORABLE = "not_storable"
    NOT_COSE = "not_cose"
    WRONG_ALGORITHM = "wrong_algorithm"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    WRONG_EPOCH = "wrong_epoch"
    KEY_FROZEN = "key_frozen"
    KEY_REVOKED = "key_revoked"
    KEY_EXPIRED = "key_expired"
    UNSIGNED = "unsigned"
    COUNTER_JUMP = "counter_jump"
    EQUIVOCATION = "equivocation"
    METER_PENDING = "meter_pending"
    METER_FROZEN = "meter_frozen"
    METER_REMOVED = "meter_removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A telegram we do not take, why, and whom to tell: both ids are None when unreadable.

    ``key_epoch`` is that of the key that signed it; ``answerable`` is False where answering would
    let a stranger speak to a meter through us: nothing is proven about who sent this.
    """

    reason: RefusalReason
    detail: str
    meter_id: str | None
    counter: int | None
    key_epoch: int = UNSIGNED
    answerable: bool = True


class Telegram(NamedTuple):
    """What a meter said in one message: readings in order of time, each instant once.

    The digest covers the meaning and not the spelling, so the same story in other white space is
    still a repeat. ``key_epoch`` is that of the key that signed it, or one of the epochs below 1
    for what no key signed; ``evidence`` holds the signed bytes, and nothing else has any.
    """

    meter_id: str
    counter: int
    readings: tuple[Reading, ...]
    flags: tuple[str, ...]
    digest: bytes
    key_epoch: int = UNSIGNED
    kid: bytes | None = None
    firmware: bytes | None = None
    evidence: bytes | None = None


def _instant(value: object) -> datetime:
    """Return an RFC 3339 instant as UTC; years outside 2000 to 2099 are no reading's."""
    if not isinstance(value, str) or _INSTANT.fullmatch(value) is None:
        raise ValueError("not an RFC 3339 instant with an offset")
    if not value.startswith(("1999-12-31", "20", "2100-01-01")):
        raise ValueError("outside 2000 to 2099")
    instant = datetime.fromisoformat(value).astimezone(UTC)
    if not _FIRST_INSTANT <= instant < _LAST_INSTANT:
        raise ValueError("outside 2000 to 2099")
    return instant


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _Reading(_Strict):
    at: Annotated[datetime, BeforeValidator(_instant)]
    dm3: Annotated[int, Field(ge=0, le=REGISTER_DM3_MAX)]


class _Body(_Strict):
    """The JSON a meter sends; strict, so that 3.5, true and "7" are refused."""

    meter: Annotated[str, Field(pattern=rf"^{METER_ID.pattern}$")]
    counter: Annotated[int, Field(ge=0, le=COUNTER_MAX)]
    readings: Annotated[list[_Reading], Field(min_length=1, max_length=READINGS_MAX)]
    flags: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]], Field(max_length=FLAGS_MAX)
    ] = []


# How nearly every meter spells its message: these keys in this order, nothing escaped, at most one
# space where JSON allows any. What is spelt otherwise is as good and is read the longer way.
_NUMBER: Final = r"(?:0|[1-9][0-9]{0,15})"
_AT: Final = r"[0-9T:.Z+-]{20,32}"
_LINE: Final = re.compile(rf'\{{"at": ?"({_AT})", ?"dm3": ?({_NUMBER})\}}')
_ORDINARY: Final = re.compile(
    r'\{"meter": ?"([A-Z0-9-]{1,32})", ?'
    rf'"counter": ?({_NUMBER}), ?'
    rf'"readings": ?\[((?:\{{"at": ?"{_AT}", ?"dm3": ?{_NUMBER}\}}(?:, ?(?=\{{))?)+)\]'
    r'(?:, ?"flags": ?\[((?:"[a-z_]{1,32}"(?:, ?(?="))?)*)\])?\}'
)
_FLAG: Final = re.compile(r"[a-z_]{1,32}")


@lru_cache(maxsize=65536)
def meter_of(topic: str) -> str | None:
    """Return the meter that a topic names, or None when it is no topic of ours."""
    match = _TOPIC.fullmatch(topic)
    if match is None or bucket(match[2]) != match[1]:
        return None
    return match[2]


def decode(topic: str, payload: bytes) -> Telegram | Refusal:
    """Return what a message says, or why it is refused; whatever the bytes, it never raises."""
    meter_id = meter_of(topic)
    if meter_id is None:
        return refusal(RefusalReason.BAD_TOPIC, "not gas/v1/<bucket>/<meter>/up/json")
    if len(payload) > PAYLOAD_BYTES_MAX:
        return refusal(RefusalReason.TOO_LARGE, f"{len(payload)} bytes", meter_id)
    quick = _quick(meter_id, payload)
    if quick is not None:
        return quick
    try:
        document = _parse(payload)
    except RecursionError:
        return refusal(RefusalReason.NOT_JSON, "nested too deeply", meter_id)
    except ValueError as error:
        return refusal(RefusalReason.NOT_JSON, str(error), meter_id)
    return _read(meter_id, document)


def _quick(meter_id: str, payload: bytes) -> Telegram | None:
    """Return the telegram of an ordinary message at a fraction of the cost; None: look again.

    It takes only what ``_read`` would take too, and makes the same of it.
    """
    try:
        match = _ORDINARY.fullmatch(payload.decode("ascii"))
        if match is None:
            return None
        meter, digits, listed, flagged = match.groups()
        registers = [(*_at(spelt), int(dm3)) for spelt, dm3 in _LINE.findall(listed)]
    except ValueError:
        return None
    counter = int(digits)
    flags = tuple(_FLAG.findall(flagged)) if flagged else ()
    if (
        meter != meter_id
        or counter > COUNTER_MAX
        or len(flags) > FLAGS_MAX
        or any(dm3 > REGISTER_DM3_MAX for _, _, dm3 in registers)
    ):
        return None
    if len(registers) > 1:
        registers.sort()
        if len(registers) > READINGS_MAX or len({at for at, _, _ in registers}) != len(registers):
            return None
    story = "".join([f"\n{spelt} {register_dm3}" for _, spelt, register_dm3 in registers])
    digest = sha256(f"gas/v1 {meter_id} {counter} {','.join(flags)}{story}".encode("ascii"))
    return Telegram(
        meter_id,
        counter,
        tuple([Reading(meter_id, at, register_dm3) for at, _, register_dm3 in registers]),
        flags,
        digest.digest(),
    )


@lru_cache(maxsize=INSTANTS_KEPT)
def _at(value: str) -> tuple[datetime, str]:
    """Return an instant and its one spelling."""
    instant = _instant(value)
    return instant, instant.isoformat()


def _read(meter_id: str, document: object) -> Telegram | Refusal:
    """Return the telegram that a parsed document means on a meter's own topic."""
    if not isinstance(document, dict):
        return refusal(RefusalReason.BAD_SHAPE, "not an object", meter_id)
    counter = _counter(document)
    readings = document.get("readings")
    if isinstance(readings, list) and len(readings) > READINGS_MAX:
        detail = f"{len(readings)} readings"
        return refusal(RefusalReason.TOO_MANY_READINGS, detail, meter_id, counter)
    try:
        body = _Body.model_validate(document)
    except ValidationError as error:
        return refusal(RefusalReason.BAD_SHAPE, _first(error), meter_id, counter)
    if body.meter != meter_id:
        # The counter is another meter's; naming it could make this one drop a telegram of its own.
        return refusal(RefusalReason.METER_MISMATCH, f"the body says {body.meter}", meter_id)
    registers: dict[datetime, int] = {}
    for reading in body.readings:
        if registers.setdefault(reading.at, reading.dm3) != reading.dm3:
            detail = f"two registers at {reading.at.isoformat()}"
            return refusal(RefusalReason.BAD_SHAPE, detail, meter_id, counter)
    ordered = sorted(registers.items())
    return Telegram(
        meter_id=meter_id,
        counter=body.counter,
        readings=tuple(
            Reading(meter_id=meter_id, read_at=at, register_dm3=dm3) for at, dm3 in ordered
        ),
        flags=tuple(body.flags),
        digest=_digest(meter_id, body.counter, ordered, body.flags),
    )


def printable(text: str, limit: int) -> str:
    """Return a text as printable ASCII of at most ``limit`` characters, fit for a table or a log.

    What a meter or a stranger wrote may hold NUL, control characters or half a surrogate pair.
    """
    safe = text[:limit].encode("ascii", "backslashreplace").decode("ascii")
    return "".join(c if c.isprintable() else "?" for c in safe)[:limit]


def _parse(payload: bytes) -> Any:  # noqa: ANN401 - JSON may be anything
    """Return the JSON value; a key said twice and a number that is none are refused."""
    return _JSON.decode(payload.decode("utf-8"))


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs; for JSON decoders that refuse a key said twice.

    Raises:
        ValueError: one was.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def no_constant(name: str) -> Never:
    """Refuse NaN and the infinities; for JSON decoders.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is no JSON")


_JSON = json.JSONDecoder(object_pairs_hook=unique_keys, parse_constant=no_constant)


def _counter(document: dict[str, Any]) -> int | None:
    """Return the counter when it alone is readable, so that the refusal reaches its telegram."""
    counter = document.get("counter")
    return counter if type(counter) is int and 0 <= counter <= COUNTER_MAX else None


def _first(error: ValidationError) -> str:
    """Say which field is wrong and how, without repeating what stood there."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{field}: {first['type']}"


def _digest(
    meter_id: str, counter: int, registers: Iterable[tuple[datetime, int]], flags: Iterable[str]
) -> bytes:
    lines = [f"gas/v1 {meter_id} {counter} {','.join(flags)}"]
    lines += [f"{read_at.isoformat()} {register_dm3}" for read_at, register_dm3 in registers]
    return sha256("\n".join(lines).encode("ascii")).digest()


def refusal(
    reason: RefusalReason, detail: str, meter_id: str | None = None, counter: int | None = None
) -> Refusal:
    """Return a refusal whose detail is fit for a table and a log."""
    return Refusal(
        reason=reason,
        detail=printable(detail, DETAIL_CHARS_MAX),
        meter_id=meter_id,
        counter=counter,
    )
