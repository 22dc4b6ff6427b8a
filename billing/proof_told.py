"""What must be true of what the resident was told about money: one receipt, one correction.

Derived from the steps of the debits alone. Each time the money comes it is told once, and each time
it goes back after that, once; the names of both count. An account whose residents were not told of
anything yet, because its debits are older than messages, is not asked for any.
"""

from collections import defaultdict
from collections.abc import Iterator

from billing.debit import FINAL, TAKEN
from billing.message import Kind as MessageKind
from billing.proof import Facts, Finding, Kind, MoneyStep


def check_told(facts: Facts) -> Iterator[Finding]:
    """Find money that came or went back without a word, and words about what never happened."""
    steps: dict[tuple[str, int], list[MoneyStep]] = defaultdict(list)
    for step in facts.money_steps:
        if facts.told_since is not None and step.taken_at >= facts.told_since:
            steps[step.bill_no, step.attempt].append(step)
    meant = {
        name
        for (bill_no, attempt), taken in steps.items()
        for name in _names(bill_no, attempt, taken)
    }
    for name in sorted(meant - facts.told):
        yield _about(facts, Kind.MESSAGE_MISSING, name, "its resident was not told")
    for name in sorted(facts.told - meant):
        yield _about(facts, Kind.MESSAGE_UNEXPLAINED, name, "it tells of what never happened")


def _names(bill_no: str, attempt: int, steps: list[MoneyStep]) -> Iterator[str]:
    """Return what one debit tells of its money, by name, oldest first."""
    came, believed = 0, False
    for step in steps:
        if step.to_state in TAKEN and not believed:
            came, believed = came + 1, True
            yield f"{MessageKind.RECEIPT}/{bill_no}/{attempt}/{came}"
        elif step.to_state in FINAL and believed:
            believed = False
            yield f"{MessageKind.CORRECTION}/{bill_no}/{attempt}/{came}"


def _about(facts: Facts, kind: Kind, name: str, detail: str) -> Finding:
    return Finding(kind=kind, subject=f"{facts.account_id}/{name}", detail=detail)
