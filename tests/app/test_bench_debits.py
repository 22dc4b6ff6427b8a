"""The benchmark of debits: its arithmetic, what is lost or double, and that a small one works."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from app.bench.debits import Round, faults, report

ROOT = Path(__file__).resolve().parents[2]


def one_round(rate: float, *, ceiling: float, double: int = 0, lost: int = 0) -> Round:
    return Round(
        debits_per_s=rate, ceiling_per_s=ceiling, cpu_s=1.0, rss_mb=90.0, double=double, lost=lost
    )


def payment(name: str, intent: str, amount: int = 500) -> dict[str, Any]:
    return {"id": name, "amount": amount, "metadata": {"intent": intent}}


def debit(key: str, name: str | None) -> dict[str, Any]:
    return {"idempotency_key": key, "bank_payment_id": name, "amount_minor": 500}


class TestReport:
    """The report of a benchmark ..."""

    def test_compares_each_round_with_its_own_ceiling(self) -> None:
        """0.5, 0.2 and 0.9: the median of the ratios; a fault in any round is a fault."""
        rounds = [
            one_round(100.0, ceiling=200.0),
            one_round(20.0, ceiling=100.0, double=1),
            one_round(90.0, ceiling=100.0, lost=2),
        ]

        found = report(rounds, debits=1000)

        assert found["ratio_to_ceiling"] == 0.5
        assert (found["debits_per_s"], found["ceiling_per_s"]) == (90.0, 100.0)
        assert (found["double_debits"], found["lost_debits"]) == (1, 2)


class TestFaults:
    """What stands at the bank and here ..."""

    def test_fits_where_each_debit_has_its_payment(self) -> None:
        """Orders of the bare client are nobody's debit, and no fault."""
        at_bank = [payment("PM1", "k1"), payment("PM2", "bench"), payment("PM3", "bench")]

        assert faults(at_bank, [debit("k1", "PM1")]) == (0, 0)

    def test_is_double_where_a_debit_has_two_payments_or_nobody_ordered_one(self) -> None:
        """Two for one key, and one for a key that no debit has."""
        at_bank = [payment("PM1", "k1"), payment("PM2", "k1"), payment("PM3", "k9")]

        assert faults(at_bank, [debit("k1", "PM1")]) == (2, 0)

    def test_is_lost_where_the_payment_is_missing_or_another(self) -> None:
        """None at the bank, one under another name, one of another amount."""
        at_bank = [payment("PM2", "k2"), payment("PM3", "k3", amount=501)]
        here = [debit("k1", "PM1"), debit("k2", "PM9"), debit("k3", "PM3")]

        assert faults(at_bank, here) == (0, 3)


class TestASmallOne:
    """A benchmark of a dozen debits ..."""

    def test_loses_and_doubles_nothing(self) -> None:
        """It says what the issue of its numbers is, whatever the machine is like."""
        command = [sys.executable, "-m", "app", "bench", "debits", "--debits", "12"]
        done = subprocess.run(
            [*command, "--rounds", "1", "--json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert (found["debits"], found["double_debits"], found["lost_debits"]) == (12, 0, 0)
        assert found["debits_per_s"] > 0
        assert found["ceiling_per_s"] > 0
