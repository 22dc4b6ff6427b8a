"""What the payer allowed, and whether one more payment stays within it."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from simulators.bank.clock import parse
from simulators.bank.fields import Fields
from simulators.bank.store import Document
from simulators.bank.world import Bank

PERIODS: Final = ("day", "week", "month", "year", "flexible")
MONTHS: Final = {"month": 1, "year": 12}
DAYS: Final = {"day": 1, "week": 7}
EVER: Final = ("0001-01-01", "9999-12-31")


def read(constraints: Fields) -> Document | None:
    """Return the constraints of a request for a mandate, or None when it asks for none."""
    found: Document = {
        "start_date": constraints.day("start_date"),
        "end_date": constraints.day("end_date"),
        "max_amount_per_payment": constraints.integer("max_amount_per_payment"),
        "payment_method": constraints.text("payment_method"),
        "periodic_limits": [],
    }
    first, last = found["start_date"], found["end_date"]
    if first is not None and last is not None and last < first:
        constraints.refuse("end_date", "must not be before start_date")
    for limit in constraints.children("periodic_limits"):
        found["periodic_limits"].append(
            {
                "period": limit.choice("period", PERIODS, required=True),
                "alignment": limit.choice("alignment", ("calendar", "creation_date")) or "calendar",
                "max_total_amount": limit.integer("max_total_amount"),
                "max_payments": limit.integer("max_payments"),
            }
        )
    return found if any(found.values()) else None


def consent(constraints: Document | None) -> Document | None:
    """Return the constraints as a mandate shows them: of several limits, the first."""
    if constraints is None:
        return None
    limit = (constraints["periodic_limits"] or [{}])[0]
    return {
        "max_amount_per_payment": constraints["max_amount_per_payment"],
        "max_amount_per_period": limit.get("max_total_amount"),
        "max_payments_per_period": limit.get("max_payments"),
        "period": limit.get("period"),
        "start_date": constraints["start_date"],
        "end_date": constraints["end_date"],
    }


def objections(
    bank: Bank, mandate: Document, *, amount: int, charge_date: str
) -> Iterator[tuple[str, str]]:
    """Yield (field, message) for each thing the payer did not allow about a payment."""
    constraints = mandate["hidden"]["constraints"]
    if constraints is None:
        return
    most = constraints["max_amount_per_payment"]
    if most is not None and amount > most:
        yield "amount", f"exceeds the mandate's maximum amount per payment ({most})"
    if charge_date < (constraints["start_date"] or EVER[0]):
        yield "charge_date", "is before the mandate's start date"
    if charge_date > (constraints["end_date"] or EVER[1]):
        yield "charge_date", "is after the mandate's end date"
    for limit in constraints["periodic_limits"]:
        day_from, day_to = period(
            limit["period"],
            limit["alignment"],
            created_on=parse(mandate["created_at"]).date(),
            day=date.fromisoformat(charge_date),
        )
        count, total = bank.store.charged_between(mandate["id"], day_from, day_to)
        most = limit["max_total_amount"]
        if most is not None and total + amount > most:
            yield "amount", f"exceeds the mandate's maximum amount per period ({most})"
        most = limit["max_payments"]
        if most is not None and count + 1 > most:
            yield "charge_date", f"exceeds the mandate's maximum payments per period ({most})"


def period(name: str, alignment: str, *, created_on: date, day: date) -> tuple[str, str]:
    """Return the first day of the period around `day` and the first day after it."""
    if name == "flexible":
        return EVER
    if name in DAYS:
        length = DAYS[name]
        # Day 1 of the calendar, 0001-01-01, was a Monday.
        start = date.min if alignment == "calendar" else created_on
        first = day - timedelta(days=(day - start).days % length)
        return first.isoformat(), (first + timedelta(days=length)).isoformat()
    length = MONTHS[name]
    if alignment == "calendar":
        month = (day.year * 12 + day.month - 1) // length * length
        return _day_of(month, 1).isoformat(), _day_of(month + length, 1).isoformat()
    begun = created_on.year * 12 + created_on.month - 1
    passed = (day.year * 12 + day.month - 1 - begun) // length
    if _day_of(begun + passed * length, created_on.day) > day:
        passed -= 1
    return (
        _day_of(begun + passed * length, created_on.day).isoformat(),
        _day_of(begun + (passed + 1) * length, created_on.day).isoformat(),
    )


def _day_of(month: int, day: int) -> date:
    """Return that day of a month counted from year 0, or the month's last when it has fewer."""
    year, index = divmod(month, 12)
    after = date(year + (index == 11), (index + 1) % 12 + 1, 1)  # noqa: PLR2004 - December
    last = (after - timedelta(days=1)).day
    return date(year, index + 1, min(day, last))
