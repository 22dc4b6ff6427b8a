"""What was counted while telegrams flew: sends, acknowledgements, receipts, waiting times."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from simulators.meter import Errand, Telegram
from simulators.wire import Receipt

_SIGNIFICANT: Final = 100
_REASONS_MAX: Final = 100


@dataclass(slots=True, kw_only=True)
class Waits:
    """How long receipts took, rounded to two digits, and when the last came, by the loop's clock.

    Only a telegram that was sent by this process has a wait.
    """

    waits_us: Counter[int] = field(default_factory=Counter)
    last_s: float | None = None

    def add(self, wait_s: float, now_s: float) -> None:
        """Count one receipt."""
        self.waits_us[_rounded(int(wait_s * 1_000_000))] += 1
        self.last_s = now_s

    def percentile_ms(self, share: int) -> float | None:
        """Return the smallest wait that `share` per cent of the telegrams did not exceed."""
        rank = self.waits_us.total() * share
        passed = 0
        for wait_us in sorted(self.waits_us):
            passed += self.waits_us[wait_us] * 100
            if passed >= rank:
                return wait_us / 1000
        return None

    def report(self) -> dict[str, Any]:
        """Return how many there were, and their percentiles in milliseconds."""
        return {
            "receipts": self.waits_us.total(),
            "p50_ms": self.percentile_ms(50),
            "p99_ms": self.percentile_ms(99),
        }


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of one run; `again` are receipts that settled nothing, `noise` had no counter."""

    telegrams: int = 0
    readings: int = 0
    published: int = 0
    acked: int = 0
    resent: int = 0
    connects: int = 0
    again: int = 0
    noise: int = 0
    unreadable: int = 0
    results: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    all_waits: Waits = field(default_factory=Waits)
    waits: dict[Errand, Waits] = field(default_factory=lambda: {one: Waits() for one in Errand})

    def sent(self, readings: int) -> None:
        """Count a telegram that leaves for the first time."""
        self.telegrams += 1
        self.readings += readings

    def settled(
        self, telegram: Telegram, receipt: Receipt, *, wait_s: float | None, now_s: float
    ) -> None:
        """Count a receipt that settled a telegram, and how long it took."""
        self.results[receipt.result] += 1
        if receipt.result == "refused" and len(self.reasons) < _REASONS_MAX:
            self.reasons[receipt.reason or "no_reason"] += 1
        if wait_s is not None:
            self.all_waits.add(wait_s, now_s)
            self.waits[telegram.errand].add(wait_s, now_s)

    def receipts(self) -> dict[str, int]:
        """Return the settled telegrams by result."""
        return {result: self.results[result] for result in ("stored", "repeated", "refused")}

    def latency_ms(self) -> dict[str, float | None]:
        """Return percentiles of publish to receipt in milliseconds, None before any receipt."""
        return {f"p{share}": self.all_waits.percentile_ms(share) for share in (50, 95, 99)}

    def report(self, seconds: float) -> dict[str, Any]:
        """Return everything as one JSON object; rates are per second of the whole run."""
        return {
            "telegrams_sent": self.telegrams,
            "readings_sent": self.readings,
            "published": self.published,
            "acked": self.acked,
            "resent": self.resent,
            "connects": self.connects,
            "published_per_s": round(self.published / seconds, 1),
            "acked_per_s": round(self.acked / seconds, 1),
            "receipts": self.receipts(),
            "refused_reasons": dict(self.reasons),
            "receipts_again": self.again,
            "receipts_without_counter": self.noise,
            "receipts_unreadable": self.unreadable,
            "latency_ms": self.latency_ms(),
            "seconds": round(seconds, 3),
        }


def _rounded(wait_us: int) -> int:
    """Return a wait with two significant digits, so that a long run needs little memory."""
    scale = 1
    while wait_us // scale >= _SIGNIFICANT:
        scale *= 10
    return wait_us // scale * scale
