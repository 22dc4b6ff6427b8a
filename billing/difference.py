"""What differs between two ratings of one month, line by line, as people read it.

A line is known by its meter, its time, its band and its VAT rate; a charge by its kind, its days
and its VAT rate. What stands on one side only was added or fell away.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, TypeVar

from billing.bill import Charge, Line

_Item = TypeVar("_Item", Line, Charge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line, or one charge, before and after; None where it does not stand."""

    before: Line | Charge | None
    after: Line | Charge | None

    @property
    def volume_dm3(self) -> int:
        """Return how much more gas it is now, in dm3."""
        return _volume_dm3(self.after) - _volume_dm3(self.before)

    @property
    def net_minor(self) -> int:
        """Return how much more it is now without VAT."""
        return _money(self.after, "net_minor") - _money(self.before, "net_minor")

    @property
    def vat_minor(self) -> int:
        """Return how much more VAT it is now."""
        return _money(self.after, "vat_minor") - _money(self.before, "vat_minor")

    @property
    def changed(self) -> tuple[str, ...]:
        """Name what differs, but the number of the line."""
        if self.before is None or self.after is None:
            return ()
        return tuple(
            field.name
            for field in fields(self.before)
            if field.name not in {"line_no", "charge_no"}
            and getattr(self.before, field.name) != getattr(self.after, field.name)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Everything that differs, in the order of the lines."""

    lines: tuple[Change, ...]
    charges: tuple[Change, ...]


def difference(
    before: tuple[Sequence[Line], Sequence[Charge]], after: tuple[Sequence[Line], Sequence[Charge]]
) -> Difference:
    """Compare the lines and charges of one month with those that take their place."""
    return Difference(
        lines=_changes(before[0], after[0], _line_key),
        charges=_changes(before[1], after[1], _charge_key),
    )


def as_data(found: Difference) -> dict[str, Any]:
    """Return a difference as plain values, each side of a change whole."""
    return {
        "lines": [_change_data(change) for change in found.lines],
        "charges": [_change_data(change) for change in found.charges],
    }


def _changes(
    before: Iterable[_Item], after: Iterable[_Item], key: Callable[[_Item], Hashable]
) -> tuple[Change, ...]:
    was: Mapping[Hashable, _Item] = {key(one): one for one in before}
    now: Mapping[Hashable, _Item] = {key(one): one for one in after}
    found = [Change(before=was.get(name), after=one) for name, one in now.items()]
    found += [Change(before=one, after=None) for name, one in was.items() if name not in now]
    return tuple(
        change
        for change in found
        if change.before is None or change.after is None or change.changed
    )


def _line_key(line: Line) -> Hashable:
    return line.meter_id, line.from_at, line.to_at, line.band_no, line.tariff_code, line.vat_rate_bp


def _charge_key(charge: Charge) -> Hashable:
    return (
        charge.kind,
        charge.from_day,
        charge.to_day,
        charge.tariff_code,
        charge.vat_rate_bp,
        charge.line_no,
    )


def _volume_dm3(item: Line | Charge | None) -> int:
    return item.volume_dm3 if isinstance(item, Line) else 0


def _money(item: Line | Charge | None, name: str) -> int:
    return 0 if item is None else int(getattr(item, name))


def _change_data(change: Change) -> dict[str, Any]:
    return {
        "before": _plain(change.before),
        "after": _plain(change.after),
        "changed": list(change.changed),
        "volume_dm3": change.volume_dm3,
        "net_minor": change.net_minor,
        "vat_minor": change.vat_minor,
    }


def _plain(item: Line | Charge | None) -> dict[str, Any] | None:
    if item is None:
        return None
    return {field.name: _value(getattr(item, field.name)) for field in fields(item)}


def _value(value: object) -> object:
    if isinstance(value, date | datetime):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else value
