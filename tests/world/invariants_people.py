"""The checker's part about what people decide: a stopped run, and debits in review.

It imports nothing of the service. Two people are two whose names differ in more than letters'
case and spaces.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from tests.world.invariants import Checker

# What a person decides, and the reason that stands with the step.
DECIDED: Final = {
    "released": "release",
    "adopted": "adopt",
    "given_up_by_person": "give_up",
    "begin_anew": "begin_anew",
}
# Steps towards money that nobody takes while the run is stopped; later ones follow from these.
FORWARD: Final = frozenset({"noticed", "recorded", "sending"})
TWO: Final = 2


def people(names: Iterable[str]) -> int:
    """Return how many people these names are."""
    return len({" ".join(name.split()).lower() for name in names})


def see_stops(checker: Checker, undo: Iterable[tuple[str, Any, Any]], at: datetime) -> None:
    """Write down when the run is stopped and when it goes on, and see who goes on all the same."""
    truth, rows = checker.truth, checker.rows
    changes = list(undo)
    for table, key, _ in changes:
        row = rows[table].get(key)
        if table == "run_stop" and row is not None:
            truth.stops.setdefault(row.stop_no, [at])
        elif table == "run_release" and row is not None and key[1] == TWO:
            truth.stops[key[0]].append(at)
            names = [rows[table][key[0], number].released_by for number in (1, TWO)]
            if people(names) < TWO:
                checker.say("I6", f"{names[0]} alone let the run go on")
    for table, key, _ in changes:
        row = rows[table].get(key)
        if table == "debit_step" and row is not None:
            _went_on(checker, key, row, at)


def _went_on(checker: Checker, key: tuple[Any, ...], step: Any, at: datetime) -> None:
    """A step towards money is not taken behind a stop; what was sent before is asked about."""
    state = str(step.to_state)
    if state not in FORWARD or not checker.truth.stopped(at):
        return
    debit = checker.rows["debit"][key[:3]]
    asks = state == "sending" and debit.sends > 0 and not _first_order(checker, key)
    if not asks:
        checker.say("I6", f"{key} became {state} while the run was stopped")


def _first_order(checker: Checker, key: tuple[Any, ...]) -> bool:
    """Tell whether a debit is leased for the first time."""
    rows = checker.rows["debit_step"]
    return not any(str(rows[*key[:3], number].to_state) == "sending" for number in range(1, key[3]))


def decided(checker: Checker, two_from_minor: int) -> None:
    """Who leaves the review by a person's word has the words of enough people."""
    words: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for key in checker.rows["review_word"]:
        words[*key[:4], str(key[4])].append(str(key[5]))
    for key, step in checker.rows["debit_step"].items():
        decision = DECIDED.get(step.reason or "")
        if str(step.from_state) != "review" or decision is None:
            continue
        names = words[*key[:3], key[3] - 1, decision]
        amount_minor = checker.rows["debit"][key[:3]].amount_minor
        wanted = TWO if amount_minor >= two_from_minor else 1
        if people(names) < wanted:
            checker.say("I10", f"{key} was decided by {names}, {wanted} were needed")
