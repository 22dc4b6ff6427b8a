"""Every step that any resource of the bank can take, for the agenda."""

from types import MappingProxyType
from typing import Final

from simulators.bank import billing_requests, collection, mandates, payouts, refunds

STEPS: Final = MappingProxyType(
    {
        **billing_requests.STEPS,
        **collection.STEPS,
        **mandates.STEPS,
        **payouts.STEPS,
        **refunds.STEPS,
    }
)
