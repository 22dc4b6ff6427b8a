"""Arithmetic of measurements; nothing here runs anything."""

from collections.abc import Sequence
from statistics import median
from typing import Any


def middle(values: Sequence[float]) -> float:
    """Return the median, rounded to a tenth."""
    return round(median(values), 1)


def ratio(part: float, whole: float) -> float:
    """Return a ratio with three decimals; nothing to compare with makes 0."""
    return round(part / whole, 3) if whole else 0.0


def run_of(
    rounds: Sequence[dict[str, Any]], *, ceilings: Sequence[float], plain: float
) -> dict[str, Any]:
    """Return one run from its rounds: medians, and ratios round by round.

    Each round of a run is compared with the ceiling of the same round, so that a machine that
    slows down slows both.
    """
    rates = [found["telegrams_per_s"] for found in rounds]
    ratios = [ratio(rate, ceiling) for rate, ceiling in zip(rates, ceilings, strict=True)]
    rate = middle(rates)
    latencies = [found["p99_ms"] for found in rounds if found["p99_ms"] is not None]
    return {
        **{name: rounds[0][name] for name in ("codec", "registers", "receipts", "processes")},
        "telegrams_per_s": rate,
        "registers_per_s": round(rate * rounds[0]["registers"], 1),
        "ratio_to_ceiling": round(median(ratios), 3),
        "ratio_to_row_by_row": ratio(rate, plain),
        "rss_mb": max(found["rss_mb"] for found in rounds),
        "p99_ms": middle(latencies) if latencies else None,
        "lost": sum(found["lost"] for found in rounds),
        "doubled": sum(found["doubled"] for found in rounds),
        "rounds": list(rounds),
    }
