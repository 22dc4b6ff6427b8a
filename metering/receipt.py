"""What a meter is told: which telegrams are safe with us, and which we will never take.

A meter keeps a telegram until its counter shows up in a receipt. A broker's acknowledgement means
nothing to it, because a broker may forget.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from metering.meter import bucket
from metering.telegram import UNSIGNED, RefusalReason


class Result(StrEnum):
    """What became of a telegram, as its receipt says it."""

    STORED = "stored"
    REPEATED = "repeated"
    REFUSED = "refused"


class Answer(NamedTuple):
    """What became of one telegram; the counter is None when it could not be read.

    A refusal has a reason, and nothing else has one.
    """

    meter_id: str
    registered: bool
    counter: int | None
    result: Result
    reason: RefusalReason | None
    key_epoch: int = UNSIGNED


class Receipt(NamedTuple):
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
    """Return one receipt per meter, with each of its counters once, in order of arrival.

    Raises:
        ValueError: a refusal without its reason, or a reason without a refusal.
    """
    by_meter: dict[str, list[Answer]] = {}
    for answer in answers:
        said = by_meter.get(answer.meter_id)
        if said is None:
            by_meter[answer.meter_id] = [answer]
        else:
            said.append(answer)
    stamp = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return [
        _receipt(meter_id, said if len(said) == 1 else _better(said), stamp)
        for meter_id, said in by_meter.items()
    ]


def _better(said: Iterable[Answer]) -> list[Answer]:
    """Return each counter once, with the best that was said of it."""
    best: dict[tuple[int | None, RefusalReason | None], Answer] = {}
    for answer in said:
        key = (answer.counter, answer.reason if answer.counter is None else None)
        if key not in best or _WEIGHT[best[key].result] < _WEIGHT[answer.result]:
            best[key] = answer
    return list(best.values())


def _receipt(meter_id: str, answers: list[Answer], stamp: str) -> Receipt:
    # Written out, because nothing in it can need escaping: ids and reasons are of closed sets.
    entries = ",".join([_entry(answer) for answer in answers])
    said = f'{{"meter":"{meter_id}","at":"{stamp}","receipts":[{entries}]}}'
    return Receipt(
        f"gas/v1/{bucket(meter_id)}/{meter_id}/down/receipt",
        said.encode("ascii"),
        all([answer.registered for answer in answers]),  # noqa: C419 - a list is quicker to make
    )


def _entry(answer: Answer) -> str:
    counter = "null" if answer.counter is None else answer.counter
    if (answer.result is Result.REFUSED) != (answer.reason is not None):
        raise ValueError("a refusal has a reason, and nothing else has one")
    if answer.reason is None:
        return f'{{"counter":{counter},"result":"{answer.result.value}"}}'
    return (
        f'{{"counter":{counter},"result":"{answer.result.value}","reason":"{answer.reason.value}"}}'
    )
