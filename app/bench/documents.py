"""``aqkol bench documents``: how many bills one core prints as PDF, in each language.

Every bill is another: other registers, other sums, another code to pay with. Seven of ten have one
line of gas; two have three bands, a discount and a standing charge; one has a meter exchanged and a
price that changes. Making the document and printing it are both counted; reading the database is
not.
"""

import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from statistics import median
from typing import Any, Final

from billing.bill import draft
from billing.io import press
from billing.io.press import Job
from billing.paper.comparison import compare, sums
from billing.paper.surroundings import Addressee, Balance, Beside, MonthUse, Surroundings
from billing.paper.words import Language
from billing.payee import Payee
from billing.period import Period
from billing.rating import Household, Rated, Usage, rate
from billing.record import Json, Prices, Stretch, record
from billing.tariff import Band, Tariff, VatRate, price_intervals
from billing.terms import TermSpan

ZONE: Final = "Asia/Almaty"
MONTH: Final = Period.month(2026, 1)
DIAL_DM3: Final = 100_000_000
# The compiler's fonts and the first words of a language cost once, not per bill.
WARM_UP: Final = 4

_VAT: Final = (VatRate(valid_from=date(2026, 1, 1), rate_bp=1600),)
_PLAIN: Final = Tariff(
    tariff_code="home",
    valid_from=date(2025, 1, 1),
    valid_to=None,
    net_minor_per_1000_m3=640_490,
    currency="KZT",
    approved_by="Committee, order 12",
)
_BANDS: Final = replace(
    _PLAIN,
    bands=(
        Band(up_to=100_000),
        Band(up_to=200_000, multiplier_bp=13_000),
        Band(up_to=None, multiplier_bp=20_000),
    ),
    standing_net_minor_per_1000_days=1_000_000,
    discount_bp=2_000,
    discount_norm=50_000,
)
_CHANGING: Final = (
    replace(_PLAIN, valid_to=date(2026, 1, 15)),
    replace(_PLAIN, valid_from=date(2026, 1, 15), net_minor_per_1000_m3=700_000),
)
# Published examples of a number of a company and of a bank account; no real payee.
_PAYEE: Final = Payee(
    name="«Ақкөл газ» ЖШС",
    bin="940140000385",
    iban="KZ86125KZT5004100100",
    bic="IRTYKZKA",
    bank="«Ақкөл банкі» АҚ",
    kbe="17",
    knp="856",
)


def bench_documents(*, bills: int) -> dict[str, Any]:
    """Print so many bills in each language, on one process, and return what it took."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        found = {
            str(language): pool.submit(_measured, language, bills).result() for language in Language
        }
        rss_mb = pool.submit(_peak_mb).result()
    seconds = sum(one["cpu_s"] for one in found.values())
    return {
        "pdf_per_s_per_core": round(bills * len(found) / seconds, 1),
        "languages": {name: round(bills / one["cpu_s"], 1) for name, one in found.items()},
        "wall_per_s": {name: round(bills / one["wall_s"], 1) for name, one in found.items()},
        "bytes": round(median([one["bytes"] for one in found.values()])),
        "rss_mb": round(rss_mb, 1),
        "bills": bills,
        "cores": os.cpu_count(),
    }


def shown(found: dict[str, Any]) -> list[str]:
    """Return the lines people read."""
    each = ", ".join(f"{name} {rate}" for name, rate in found["languages"].items())
    return [
        f"{found['pdf_per_s_per_core']} PDF/s per core ({each})",
        f"{found['bytes']} bytes each, {found['rss_mb']:.0f} MB in the printing process",
    ]


def jobs_of(language: Language, bills: int) -> Iterator[Job]:
    """Make bills of which no two are alike."""
    for number in range(bills):
        told = _record(number)
        yield told, _around(told, number), language


def _measured(language: Language, bills: int) -> dict[str, Any]:
    """Print in this process; CPU seconds count every thread that the compiler starts."""
    press.printed(list(jobs_of(language, WARM_UP)))
    jobs = list(jobs_of(language, bills))
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    sizes = [len(content) for content in press.printed(jobs)]
    return {
        "cpu_s": time.process_time() - cpu_s,
        "wall_s": time.perf_counter() - wall_s,
        "bytes": median(sizes),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _record(number: int) -> Json:
    kind = number % 10
    usages = [_usage(f"AQ-{number:06d}", 1_000 * number, 131 * number + 34_567)]
    if kind == 9:  # noqa: PLR2004 - one of ten
        usages = _exchanged(usages[0])
    tariffs = (_BANDS,) if kind in {7, 8} else _CHANGING if kind == 9 else (_PLAIN,)  # noqa: PLR2004
    spans = (
        TermSpan(
            from_day=MONTH.start, to_day=MONTH.end, tariff_code="home", persons=1, social=True
        ),
    )
    household = Household(currency="KZT", spans=spans, period=MONTH, zone=ZONE)
    rated = rate(usages, price_intervals(tariffs, _VAT, MONTH, ZONE), household)
    assert isinstance(rated, Rated), "these months have a price"
    bill = draft(
        rated.lines,
        rated.charges,
        account_id=f"A-{number:06d}",
        currency="KZT",
        period=MONTH,
        at=datetime(2026, 2, 2, 4, tzinfo=UTC),
    )
    prices = Prices(
        tariffs=tariffs,
        vat_rates=_VAT,
        proposers={(one.tariff_code, one.valid_from): "Economist B." for one in tariffs},
    )
    return record(
        bill,
        zone=ZONE,
        spans=spans,
        prices=prices,
        stretches=[Stretch(usage=usage, dial_dm3=DIAL_DM3) for usage in usages],
    )


def _usage(meter_id: str, opening_dm3: int, volume_dm3: int) -> Usage:
    from_at, to_at = MONTH.bounds(ZONE)
    return Usage(
        meter_id=meter_id,
        installed_at=from_at,
        account_id="A-1",
        supply_point_id="SP-1",
        from_at=from_at,
        to_at=to_at,
        opening_register_dm3=opening_dm3,
        opening_turns=0,
        opening_read_at=from_at,
        closing_register_dm3=opening_dm3 + volume_dm3,
        closing_turns=0,
        closing_read_at=to_at,
        volume_dm3=volume_dm3,
    )


def _exchanged(usage: Usage) -> list[Usage]:
    """Take the meter down at noon on the tenth day, and hang up another."""
    at = usage.from_at + timedelta(days=9, hours=12)
    first = replace(usage, to_at=at, closing_read_at=at)
    second = replace(
        _usage(f"{usage.meter_id}-B", 0, usage.volume_dm3 * 2),
        from_at=at,
        opening_read_at=at,
    )
    return [first, second]


def _around(told: Json, number: int) -> Surroundings:
    earlier = sums(_record(number + 10), degree_days_tenths=7_000)
    now = sums(told, degree_days_tenths=8_000 + number % 97)
    compared = compare(now, earlier)
    months = [date(2025, month, 1) for month in range(2, 13)] + [MONTH.start]
    return Surroundings(
        addressee=Addressee(
            full_name=f"Әйгүл Өтеғұлова {number}", address=f"Ақкөл қ., Абай көш. {number}"
        ),
        payee=_PAYEE,
        balance=Balance(
            opening_on=date(2026, 1, 2),
            opening_minor=50_000 + number,
            paid_minor=40_000,
            moved_minor=0,
        ),
        months=[
            MonthUse(
                start=start,
                volume_dm3=(1 + (number * 7 + at * 13) % 97) * 1_003,
                total_minor=(1 + (number * 7 + at * 13) % 97) * 745,
                estimated=False,
            )
            for at, start in enumerate(months)
        ],
        besides=[
            Beside(month=date(2025, 12, 1), comparison=compared),
            Beside(month=date(2025, 1, 1), comparison=compared),
        ],
    )
