"""``python -m recompute bill.json``: is this bill right?

Exit codes: 0 it is; 1 it is not; 2 the file cannot be used.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from .compare import Answer, check, plain
from .record import Record, read
from .strict import BYTES_MAX, RecordError, loads

CORRECT: Final = 0
WRONG: Final = 1
UNUSABLE: Final = 2


def main(arguments: list[str] | None = None) -> int:
    """Check the bill that the command line names, say what came out, and return the exit code."""
    parser = argparse.ArgumentParser(prog="recompute", description="Is this bill right?")
    parser.add_argument("bill", type=Path, help="the record of a bill, as JSON")
    parser.add_argument("cancelled", type=Path, nargs="?", help="the bill that it cancels")
    parser.add_argument("--json", action="store_true", help="answer with one JSON object")
    told = parser.parse_args(arguments)
    return recompute(told.bill, told.cancelled, as_json=told.json)


def recompute(bill: Path, cancelled: Path | None, *, as_json: bool) -> int:
    """Check a file, print the answer, and return the exit code."""
    try:
        answer = check(_record(bill), None if cancelled is None else _record(cancelled))
    except (OSError, RecordError) as error:
        why = error.strerror or "" if isinstance(error, OSError) else str(error)
        if as_json:
            sys.stdout.write(json.dumps({"verdict": "unusable", "because": why}) + "\n")
        sys.stderr.write(f"recompute: {bill} cannot be checked: {why}.\n")
        return UNUSABLE
    sys.stdout.write((_object(answer) if as_json else _sentences(answer)) + "\n")
    return CORRECT if answer.correct else WRONG


def _record(path: Path) -> Record:
    with path.open("rb") as file:
        return read(loads(file.read(BYTES_MAX + 1)))


def _sentences(answer: Answer) -> str:
    found = [difference.sentence() for difference in answer.differences]
    given = [f"taken as given: {one}" for one in answer.taken_as_given]
    places = "1 place" if len(found) == 1 else f"{len(found)} places"
    verdict = "correct" if answer.correct else f"WRONG in {places}"
    return "\n".join([f"{plain(answer.number)}: {verdict}", *found, *given])


def _object(answer: Answer) -> str:
    return json.dumps(
        {
            "number": answer.number,
            "verdict": "correct" if answer.correct else "wrong",
            "differences": [
                {
                    "where": difference.where,
                    "says": plain(difference.says),
                    "should_be": plain(difference.should_be),
                }
                for difference in answer.differences
            ],
            "taken_as_given": answer.taken_as_given,
            "zone_data": answer.zone_data,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
