"""What a meter is told: which telegrams are safe with us, and which we will never take.

A meter keeps a telegram until its counter shows up in a receipt. A broker's acknowledgement means
nothing to it, because a broker may forget.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from metering.meter import bucket
from metering.telegram import UNSIGNED, RefusalReason


class Result(StrEnum):
    """What became of a telegram, as its receipt says it."""

    STORED = "stored"
    REPEATED = "repeated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one telegram; the counter is None when it could not be read."""

    meter_id: str
    registered: bool
    counter: int | None
    result: Result
    reason: RefusalReason | None
    key_epoch: int = UNSIGNED

    def __post_init__(self) -> None:
        """Refuse a refusal without its reason, and a reason without a refusal."""
        if (self.result is Result.REFUSED) != (self.reason is not None):
            raise ValueError("a refusal has a reason, and nothing else has one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A message to one meter.

    Only a registered meter gets a retained one: anybody can invent a name, and the broker would
    keep its receipt for ever.
    """

    topic: str
    payload: bytes
    retain: bool


# Where one counter was answered twice in one batch, the better news is the truth: it is stored.
_WEIGHT: Final = {Result.STORED: 2, Result.REPEATED: 1, Result.REFUSED: 0}


def build(answers: Iterable[Answer], *, at: datetime) -> list[Receipt]:
    """Return one receipt per meter, with each of its counters once, in order of arrival."""
    by_meter: dict[str, dict[tuple[int | None, RefusalReason | None], Answer]] = {}
    for answer in answers:
        said = by_meter.setdefault(answer.meter_id, {})
        key = (answer.counter, answer.reason if answer.counter is None else None)
        if key not in said or _WEIGHT[said[key].result] < _WEIGHT[answer.result]:
            said[key] = answer
    stamp = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return [_receipt(meter_id, list(said.values()), stamp) for meter_id, said in by_meter.items()]


def _receipt(meter_id: str, answers: list[Answer], stamp: str) -> Receipt:
    body = {"meter": meter_id, "at": stamp, "receipts": [_entry(answer) for answer in answers]}
    return Receipt(
        topic=f"gas/v1/{bucket(meter_id)}/{meter_id}/down/receipt",
        payload=json.dumps(body, separators=(",", ":")).encode("ascii"),
        retain=all(answer.registered for answer in answers),
    )


def _entry(answer: Answer) -> dict[str, object]:
    entry: dict[str, object] = {"counter": answer.counter, "result": answer.result.value}
    if answer.reason is not None:
        entry["reason"] = answer.reason.value
    return entry
