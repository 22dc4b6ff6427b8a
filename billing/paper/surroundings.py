"""What a document says besides the record of its bill."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from billing.paper.comparison import Comparison
from billing.payee import Payee


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Addressee:
    """Who the bill is for; stands on the resident's own copy only, and in no log."""

    full_name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """How an account stood when a bill was issued, without that bill; minor units.

    ``opening_on`` is the day of the bill before, None for a first one; what was owed then, what was
    paid since (positive), and what else changed the debt. ``settled_minor`` of the bill itself was
    paid as it was issued, by a voucher.
    """

    opening_on: date | None
    opening_minor: int
    paid_minor: int
    moved_minor: int
    settled_minor: int = 0

    @property
    def before_minor(self) -> int:
        """Return what was owed before the bill."""
        return self.opening_minor - self.paid_minor + self.moved_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthUse:
    """What the bills of one month say, None without a bill; dm3 and minor units."""

    start: date
    volume_dm3: int | None
    total_minor: int | None
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """An earlier month to compare with, and the comparison if it has a bill."""

    month: date
    comparison: Comparison | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a document says besides the record: who, to whom, how the account stood, and before."""

    addressee: Addressee | None
    payee: Payee | None
    balance: Balance
    months: Sequence[MonthUse]
    besides: Sequence[Beside]
