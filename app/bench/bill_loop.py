"""What a tutorial would write: one account, one bill, one transaction. The measure below ours."""

from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

import sql
from app.bench.month import AT, BOUNDS, PERIOD
from billing.bill import bill_no

_Q: Final = sql.queries("owner/bench_billing")

_NO: Final = bill_no(PERIOD, 1)


async def bill_one(connection: asyncpg.Connection, account_id: str) -> None:
    """Bill the month of one account that has one meter, one price and one VAT rate."""
    async with connection.transaction():
        stretch, turns, installed_at = await _stretch(connection, account_id)
        price = await _Q.loop_price(connection)
        volume_dm3 = stretch["volume_dm3"]
        net_minor = (volume_dm3 * price["net_minor_per_1000_m3"] + 500_000) // 1_000_000
        vat_minor = (net_minor * price["rate_bp"] + 5_000) // 10_000
        await _Q.loop_usage(
            connection,
            **stretch,
            period_start=PERIOD.start,
            installed_at=installed_at,
            opening_turns=turns[0],
            closing_turns=turns[1],
        )
        money = {"account_id": account_id, "bill_no": _NO}
        await _Q.loop_bill(
            connection,
            **money,
            period_start=PERIOD.start,
            period_end=PERIOD.end,
            volume_dm3=volume_dm3,
            net_minor=net_minor,
            vat_minor=vat_minor,
            total_minor=net_minor + vat_minor,
            issued_at=AT,
            due_on=PERIOD.due_on,
        )
        await _Q.loop_line(
            connection,
            **stretch,
            bill_no=_NO,
            valid_from=price["valid_from"],
            price=price["net_minor_per_1000_m3"],
            vat_rate_bp=price["rate_bp"],
            net_minor=net_minor,
            vat_minor=vat_minor,
            days=(PERIOD.end - PERIOD.start) // timedelta(days=1),
        )
        parts = (("net", "revenue", net_minor), ("vat", "vat", vat_minor))
        for name, credit_code, amount_minor in parts:
            await _Q.loop_transfer(
                connection,
                **money,
                transfer_id=f"bill/{_NO}/{name}",
                credit_code=credit_code,
                amount_minor=amount_minor,
                posted_at=AT,
            )


async def _stretch(
    connection: asyncpg.Connection, account_id: str
) -> tuple[dict[str, Any], tuple[int, int], datetime]:
    """Return the gas of an account's meter between registers, their turns, and its installation."""
    from_at, to_at = BOUNDS
    hung = await _Q.loop_meter(connection, account_id=account_id)
    opening = await _Q.loop_register(connection, meter_id=hung["meter_id"], at=from_at)
    closing = await _Q.loop_register(connection, meter_id=hung["meter_id"], at=to_at)
    stretch = {
        "account_id": account_id,
        "meter_id": hung["meter_id"],
        "supply_point_id": hung["supply_point_id"],
        "from_at": from_at,
        "to_at": to_at,
        "opening_dm3": opening["register_dm3"],
        "opening_at": opening["read_at"],
        "closing_dm3": closing["register_dm3"],
        "closing_at": closing["read_at"],
        "volume_dm3": closing["register_dm3"] - opening["register_dm3"],
    }
    return stretch, (opening["turns"], closing["turns"]), hung["installed_at"]
