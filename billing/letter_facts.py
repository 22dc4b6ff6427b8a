"""What a letter has to say, put together from a message and what is looked up for it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

from billing.bill import Bill, Line, Quality
from billing.message import Message
from billing.money import BASIS_POINTS
from billing.paper.figures import NBSP, Figures
from billing.paper.words import Language
from billing.payee import Payee
from billing.period import local_day

_OTHER: Final = "other"
# Cubic metres and kilowatt-hours, as each language writes them.
_UNITS: Final[Mapping[Language, tuple[str, str]]] = {
    Language.KK: ("\u043c\u00b3", "\u043a\u0412\u0442\u00b7\u0441\u0430\u0493"),
    Language.RU: ("\u043c\u00b3", "\u043a\u0412\u0442\u00b7\u0447"),
    Language.EN: ("m\u00b3", "kWh"),
}
# Where the bank has not told the end of the account's number yet.
_UNKNOWN_ENDING: Final = "\u2014"


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What stands around a message: its bill, the end of the bank account, the town.

    ``url`` is where residents decide about their debits; None where nobody said.
    """

    zone: str
    bill: Bill | None = None
    ending: str | None = None
    url: str | None = None
    payee: Payee | None = None


def facts(
    message: Message, around: Around, language: Language, *, queued_at: datetime
) -> dict[str, Any]:
    """Return everything that the letter of a message may name, as its language writes it."""
    about = message.about
    figures = Figures(language=language, currency=about.get("currency", ""), zone=around.zone)
    reason = about.get("cause") or about.get("reason") or _OTHER
    said: dict[str, Any] = {
        "account": message.account_id,
        "told_on": figures.day(local_day(queued_at, around.zone)),
        "bill": about.get("bill_no"),
        "ending": (around.ending and f"\u2026{around.ending}") or _UNKNOWN_ENDING,
        "where": "" if around.url is None else f" ({around.url})",
        "payee": around.payee,
        "why": word("why", reason, language),
        "advice": word("advice", reason, language),
        "old": about.get("old"),
        "state": about.get("state"),
        "step": about.get("step"),
        **_made_of(around.bill, figures),
    }
    if "amount_minor" in about:
        said["amount"] = figures.money(about["amount_minor"])
    for name in ("charge_on", "retry_on"):
        day = about.get(name)
        said[name] = None if day is None else figures.day(date.fromisoformat(day))
    if "usable_at" in about:
        said["usable_on"] = figures.minute(about["usable_at"])
    return said


def word(table: str, reason: str, language: Language) -> str:
    """Return the words for a reason; one that we have none for is called another one."""
    entries = _reasons()[table]
    return entries.get(reason, entries[_OTHER])[language.value]


@cache
def _reasons() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    text = files("billing").joinpath("letters", "reasons.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _made_of(bill: Bill | None, figures: Figures) -> dict[str, Any]:
    """Say what a bill is made of: each pair of registers once, each price once."""
    if bill is None:
        return {"registers": [], "tariff": [], "other": None, "total": None}
    stretches = {(line.meter_id, line.from_at): line for line in bill.lines}
    other_minor = sum(one.net_minor + one.vat_minor for one in bill.charges)
    return {
        "registers": [_registers(bill, line, figures) for line in stretches.values()],
        "tariff": [_price(line, figures) for line in bill.lines],
        "other": figures.money(other_minor) if bill.charges else None,
        "total": figures.money(bill.total_minor),
    }


def _registers(bill: Bill, line: Line, figures: Figures) -> dict[str, Any]:
    """Say what one meter showed; its bands add up to what it used."""
    same = [
        one for one in bill.lines if (one.meter_id, one.from_at) == (line.meter_id, line.from_at)
    ]
    return {
        "meter": line.meter_id,
        "opening": figures.m3(line.opening_register_dm3),
        "closing": figures.m3(line.closing_register_dm3),
        "volume": figures.m3(sum(one.volume_dm3 for one in same)),
        "estimated": Quality.ESTIMATED in {line.opening_quality, line.closing_quality},
    }


def _price(line: Line, figures: Figures) -> dict[str, str]:
    if line.net_minor_per_gwh is not None:
        quantity = f"{figures.kwh(line.energy_wh or 0)}{NBSP}{_UNITS[figures.language][1]}"
        price = figures.per_kwh(line.net_minor_per_gwh)
    else:
        quantity = f"{figures.m3(line.volume_dm3)}{NBSP}{_UNITS[figures.language][0]}"
        price = figures.per_m3(line.net_minor_per_1000_m3 or 0)
    times = line.multiplier_bp
    return {
        "quantity": quantity,
        "price": price,
        "times": "" if times == BASIS_POINTS else f" \u00d7 {figures.times(times)}",
        "net": figures.money(line.net_minor),
        "rate": figures.percent(line.vat_rate_bp),
        "vat": figures.money(line.vat_minor),
    }
