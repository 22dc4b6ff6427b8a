"""Every step that any resource of the bank can take, for the agenda."""

from types import MappingProxyType
from typing import Final

from simulators.bank import collection, mandates, payouts, refunds

STEPS: Final = MappingProxyType(
    {**collection.STEPS, **mandates.STEPS, **payouts.STEPS, **refunds.STEPS}
)
