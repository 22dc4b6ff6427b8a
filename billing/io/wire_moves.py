"""What moving out and in looks like on the wire of the API."""

from datetime import date
from typing import Annotated, Final

from pydantic import Field

from billing.io.final import FinalBill, FinalState
from billing.io.wire import BillNo, Minor
from billing.move import Closing
from metering.io.route import AccountId, Day, Instant, MeterId, SupplyPointId, Wire
from metering.io.wire import REGISTER_DM3_MAX
from metering.io.wire_desk import Sentence

# No home has more meters.
REGISTERS_MAX: Final = 20

RegisterDm3 = Annotated[int, Field(ge=0, le=REGISTER_DM3_MAX)]


class RegisterSaid(Wire):
    """What a meter showed, as a person says."""

    meter_id: MeterId
    register_dm3: RegisterDm3


class NewMoveOut(Wire):
    """The last local day of supply; registers only where no reading of that day is trusted."""

    last_day: Day
    registers: Annotated[list[RegisterSaid], Field(max_length=REGISTERS_MAX, default_factory=list)]
    because: Sentence


class NewMoveIn(Wire):
    """The meter that goes on, from which local day, and its register if somebody looked."""

    meter_id: MeterId
    supply_point_id: SupplyPointId
    from_day: Day
    register_dm3: RegisterDm3 | None = None


class ClosingRegisterShown(Wire):
    """With which register a meter's stay ended; without ``read_at`` a person said it."""

    meter_id: MeterId
    register_dm3: int
    read_at: Instant | None


class ClosingShown(Wire):
    """The end of an account."""

    account_id: AccountId
    last_day: date
    registers: list[ClosingRegisterShown]
    because: str
    closed_by: str
    closed_at: Instant


class FinalBillShown(Wire):
    """A final bill, or why there is none: the hold's reason and the meter to look at."""

    bill_no: BillNo
    state: FinalState
    total_minor: Annotated[Minor | None, Field(description="what the bill asks for")]
    due_on: date | None
    reason: str | None
    meter_id: MeterId | None


def closing_shown(closing: Closing) -> ClosingShown:
    """Show how an account ended."""
    return ClosingShown(
        account_id=closing.account_id,
        last_day=closing.last_day,
        registers=[
            ClosingRegisterShown.model_validate(one, from_attributes=True)
            for one in closing.registers
        ],
        because=closing.because,
        closed_by=closing.closed_by,
        closed_at=closing.closed_at,
    )


def final_shown(final: FinalBill) -> FinalBillShown:
    """Show what became of a final bill."""
    return FinalBillShown(
        bill_no=final.bill_no,
        state=final.state,
        total_minor=final.bill.total_minor if final.bill else None,
        due_on=final.bill.due_on if final.bill else None,
        reason=final.reason.value if final.reason else None,
        meter_id=final.meter_id,
    )
