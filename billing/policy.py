"""What a town decides about its bills besides prices: what paying late costs, what is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

# K of the published formula, in ten thousandths; more than tenfold is a typing error.
FACTOR_BP_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BillPolicy:
    """Without a word of the town no penalty is charged, and every bill is asked for.

    ``penalty_factor_bp`` is K in ten thousandths, None where there are no penalties.
    ``minimums_minor`` says by currency from which amount on a bill is asked for. Without ``issues``
    the town only rehearses beside another system: all is worked out, nothing issued or debited.
    With ``approval`` a person approves the figures of a month before its first bills go out.
    ``estimate_after_days`` is how long after a month's end late registers are waited for before
    they are made up; None: they never are. With ``mails`` residents who named an address are told
    by mail, and not in the API alone.
    """

    penalty_factor_bp: int | None = None
    minimums_minor: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    issues: bool = True
    approval: bool = False
    estimate_after_days: int | None = None
    mails: bool = False

    def __post_init__(self) -> None:
        """Refuse a factor that charges nothing or everything, and a minimum below nothing."""
        factor_bp = self.penalty_factor_bp
        if factor_bp is not None and not 0 < factor_bp <= FACTOR_BP_MAX:
            raise ValueError("the factor of a penalty lies above 0 and up to 10")
        if any(minimum < 0 for minimum in self.minimums_minor.values()):
            raise ValueError("a minimum is not below nothing")

    def minimum_minor(self, currency: str) -> int:
        """Return from which amount on a bill in a currency is asked for, in minor units."""
        return self.minimums_minor.get(currency, 0)


NO_POLICY: Final = BillPolicy()
