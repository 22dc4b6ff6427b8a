"""Hold what a record claims against what it should be, field by field.

A bill is worked out anew. A cancellation is the cancelled bill with every sign turned; without that
bill's record only its own arithmetic can be checked. A penalty is worked out from the debts it
names; an adjustment of another month is taken as given, and the answer says so.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from .derive import derive, gas_net_minor, rounded, start_of, vat_minor, volume_dm3
from .penalty import penalty
from .record import Record, Tariff, Usage
from .strict import RecordError, Row, Value

# What is worked out from usage and tariff; every other kind comes from elsewhere.
DERIVED: Final = frozenset({"discount", "standing"})
# What a cancellation turns the sign of.
TURNED: Final = frozenset({"volume_dm3", "energy_wh", "net_minor", "vat_minor", "quantity"})
NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place of the record, what it says there, and what it should say."""

    where: str
    says: Value
    should_be: Value

    def sentence(self) -> str:
        """Say it in one line."""
        return f"{self.where}: says {plain(self.says)}, should be {plain(self.should_be)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came out: the differences, and what nobody can work out from the record alone."""

    number: str
    differences: tuple[Difference, ...]
    taken_as_given: tuple[str, ...]
    zone_data: str

    @property
    def correct(self) -> bool:
        """Say whether nothing differs."""
        return not self.differences


def plain(value: Value) -> str | int | None:
    """Return a value as JSON has it; strangers' texts without what a terminal would obey."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return ascii(value)[1:-1] if isinstance(value, str) else value


def check(record: Record, cancelled: Record | None = None) -> Answer:
    """Work a bill out anew and compare.

    Args:
        record: the bill.
        cancelled: of a cancellation, the bill that it takes back.

    Raises:
        RecordError: the bill cannot be worked out, or the second record is not the one it names.
    """
    given: list[str] = []
    if record.kind == "cancellation":
        differences = list(_cancellation(record, cancelled, given))
    elif cancelled is not None:
        raise RecordError("only a cancellation is compared with another record")
    else:
        differences = list(_bill(record, given))
    return Answer(
        number=record.number,
        differences=(*_names(record), *differences),
        taken_as_given=tuple(given),
        zone_data=record.zone_data,
    )


def _names(record: Record) -> Iterator[Difference]:
    """Check what the bill calls itself."""
    yield from _same("number", record.number, f"{record.account_id}/{record.bill_no}")
    month = record.from_day.isoformat()[:7]
    yield from _same("month of bill_no", record.bill_no[:7], month)
    for name, rows in (("line", record.lines), ("charge", record.charges)):
        for number, row in enumerate(rows, start=1):
            yield from _same(f"{name} {number} {name}_no", row[f"{name}_no"], number)


def _same(where: str, says: Value, should_be: Value) -> Iterator[Difference]:
    if says != should_be:
        yield Difference(where=where, says=says, should_be=should_be)


def _bill(record: Record, given: list[str]) -> Iterator[Difference]:
    yield from _usages(record)
    derived = derive(record)
    ours = [row for row in record.charges if row["kind"] in DERIVED]
    others = [row for row in record.charges if row["kind"] not in DERIVED]
    for row, detail in zip(record.charges, record.details, strict=True):
        if row["kind"] in DERIVED:
            continue
        where = f"charge {row['charge_no']}"
        if row["kind"] == "penalty":
            given.append(f"{where} (penalty): the debts and rates that its detail names")
            for name, says, should_be in penalty(detail, row):
                yield from _same(f"{where} {name}", says, should_be)
        else:
            given.append(f"{where} ({plain(row['kind'])}): net_minor {row['net_minor']}")
    yield from _rows("line", record.lines, derived.lines, _line_key)
    yield from _rows("charge", ours, derived.charges, _charge_key)
    yield from _totals(record, derived.lines, [*derived.charges, *others])


def _usages(record: Record) -> Iterator[Difference]:
    """Check the way of each dial, and that each stretch goes on where the one before it ended."""
    first, end = start_of(record, record.from_day), start_of(record, record.to_day)
    last: dict[str, Usage] = {}
    order = sorted(enumerate(record.usages, start=1), key=lambda pair: pair[1].from_at)
    for number, usage in order:
        where = f"usage {number}"
        yield from _same(f"{where} volume_dm3", usage.volume_dm3, volume_dm3(usage))
        if usage.from_at < first or usage.to_at > end:
            raise RecordError(f"usages: number {number} lies outside the month")
        if usage.meter_id in last:
            before = last[usage.meter_id]
            if usage.from_at < before.to_at:
                yield Difference(
                    where=f"{where} from_at", says=usage.from_at, should_be=before.to_at
                )
            if usage.from_at == before.to_at:
                yield from _goes_on(where, before, usage)
        last[usage.meter_id] = usage


def _goes_on(where: str, before: Usage, usage: Usage) -> Iterator[Difference]:
    closing, opening = before.closing, usage.opening
    yield from _same(f"{where} opening turns", opening.turns, closing.turns)
    yield from _same(f"{where} opening register_dm3", opening.register_dm3, closing.register_dm3)
    yield from _same(f"{where} dial_dm3", usage.dial_dm3, before.dial_dm3)


def _line_key(row: Row) -> Hashable:
    return (row["meter_id"], row["from_at"], row["band_no"])


def _charge_key(row: Row) -> Hashable:
    return (row["kind"], row["line_no"], row["from_day"])


def _rows(
    name: str, said: Sequence[Row], derived: Sequence[Row], key: Callable[[Row], Hashable]
) -> Iterator[Difference]:
    """Compare rows one by one; if some lack or are too many, by what each is for."""
    if len(said) == len(derived):
        for row, should_be in zip(said, derived, strict=True):
            yield from _row(f"{name} {row[f'{name}_no']}", row, should_be)
        return
    waiting: defaultdict[Hashable, list[Row]] = defaultdict(list)
    for row in derived:
        waiting[key(row)].append(row)
    for row in said:
        where = f"{name} {row[f'{name}_no']}"
        if not waiting[key(row)]:
            yield Difference(where=where, says=_short(row), should_be=NOTHING)
            continue
        should_be = waiting[key(row)].pop(0)
        yield from _row(where, row, {**should_be, "line_no": row["line_no"]})
    for rows in waiting.values():
        for row in rows:
            yield Difference(where=f"a {name}", says=NOTHING, should_be=_short(row))


def _row(where: str, row: Row, should_be: Row) -> Iterator[Difference]:
    for name, value in should_be.items():
        yield from _same(f"{where} {name}", row[name], value)


def _short(row: Row) -> str:
    of = row["meter_id"] if "meter_id" in row else row["kind"]
    since = row["from_at"] if "from_at" in row else row["from_day"]
    return f"{of} from {plain(since)}, net_minor {row['net_minor']}"


def _totals(record: Record, lines: Sequence[Row], charges: Sequence[Row]) -> Iterator[Difference]:
    net_minor, vat = _sum(lines, "net_minor"), _sum(lines, "vat_minor")
    net_minor += _sum(charges, "net_minor")
    vat += _sum(charges, "vat_minor")
    says = record.totals
    yield from _same("totals volume_dm3", says["volume_dm3"], _sum(lines, "volume_dm3"))
    yield from _same("totals net_minor", says["net_minor"], net_minor)
    yield from _same("totals vat_minor", says["vat_minor"], vat)
    yield from _same("totals total_minor", says["total_minor"], net_minor + vat)
    rates: dict[Value, list[Row]] = defaultdict(list)
    for row in (*lines, *charges):
        rates[row["vat_rate_bp"]].append(row)
    told = {row["rate_bp"]: row for row in record.vat_totals}
    yield from _same("totals vat: how many rates", len(record.vat_totals), len(rates))
    for rate_bp, rows in rates.items():
        for name in ("net_minor", "vat_minor"):
            row = told.get(rate_bp, {})
            where = f"totals vat of {rate_bp} basis points {name}"
            yield from _same(where, row.get(name), _sum(rows, name))


def _sum(rows: Sequence[Row], name: str) -> int:
    return sum(value for row in rows if isinstance(value := row[name], int))


def _cancellation(
    record: Record, cancelled: Record | None, given: list[str]
) -> Iterator[Difference]:
    if record.usages:
        yield Difference(where="usages", says=f"{len(record.usages)} of them", should_be=NOTHING)
    if cancelled is None:
        given.append(
            f"the lines and charges of bill {plain(record.corrects_bill_no)}, whose record would be"
            " needed"
        )
        yield from _own_arithmetic(record)
        yield from _totals(record, record.lines, record.charges)
        return
    if (cancelled.account_id, cancelled.bill_no) != (record.account_id, record.corrects_bill_no):
        raise RecordError(f"it cancels {record.corrects_bill_no!a}, not {cancelled.number!a}")
    lines = [_turned(row) for row in cancelled.lines]
    charges = [_turned(row) for row in cancelled.charges]
    yield from _same("currency", record.currency, cancelled.currency)
    yield from _rows("line", record.lines, lines, _line_key)
    yield from _rows("charge", record.charges, charges, _charge_key)
    yield from _totals(record, lines, charges)


def _turned(row: Row) -> dict[str, Value]:
    return {
        name: -value if name in TURNED and isinstance(value, int) else value
        for name, value in row.items()
    }


def _own_arithmetic(record: Record) -> Iterator[Difference]:
    """Check each cancelled line by the quantity, price and rate that it names itself."""
    tariffs: Mapping[tuple[Value, Value], Tariff] = {
        (tariff.tariff_code, tariff.valid_from): tariff for tariff in record.tariffs
    }
    for row in record.lines:
        where = f"line {row['line_no']}"
        tariff = tariffs.get((row["tariff_code"], row["tariff_valid_from"]))
        if tariff is None:
            raise RecordError(f"{where}: its version of the tariff is not in the record")
        net_minor = _net_minor(row, tariff)
        vat = vat_minor(net_minor, _whole(row["vat_rate_bp"]), tariff.rounding)
        yield from _same(f"{where} net_minor", row["net_minor"], -net_minor)
        yield from _same(f"{where} vat_minor", row["vat_minor"], -vat)


def _net_minor(row: Row, tariff: Tariff) -> int:
    per_energy = row["energy_wh"] is not None
    quantity = -_whole(row["energy_wh"] if per_energy else row["volume_dm3"])
    price = row["net_minor_per_gwh"] if per_energy else row["net_minor_per_1000_m3"]
    if quantity < 0 or price is None:
        raise RecordError(f"line {row['line_no']}: a cancelled line has a price and no gas left")
    exact = gas_net_minor(
        quantity, _whole(price), _whole(row["multiplier_bp"]), per_energy=per_energy
    )
    return rounded(exact, tariff.rounding)


def _whole(value: Value) -> int:
    assert isinstance(value, int), "the record was read so"
    return value
