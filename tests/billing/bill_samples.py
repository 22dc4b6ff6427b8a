"""Bills of every kind a resident may get, priced by the rules in Python, with all around them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

from billing.bill import Bill, BillKind, Quality, draft
from billing.paper.comparison import compare, sums
from billing.paper.surroundings import Addressee, Balance, Beside, MonthUse, Surroundings
from billing.payee import Payee
from billing.period import Period
from billing.rating import Household, Rated, Usage, rate
from billing.record import Json, Prices, Stretch, record
from billing.tariff import Band, Tariff, VatRate, price_intervals
from billing.terms import TermSpan

ZONE: Final = "Asia/Almaty"
DIAL_DM3: Final = 100_000_000
VAT: Final = (
    VatRate(valid_from=date(2009, 1, 1), rate_bp=1200),
    VatRate(valid_from=date(2026, 1, 1), rate_bp=1600),
)
HOME: Final = Tariff(
    tariff_code="home",
    valid_from=date(2025, 1, 1),
    valid_to=None,
    net_minor_per_1000_m3=640_490,
    currency="KZT",
    approved_by="Committee, order 12",
)
PAYEE: Final = Payee(
    name="«Ақкөл газ» ЖШС",
    bin="940140000385",
    iban="KZ86125KZT5004100100",
    bic="IRTYKZKA",
    bank="«Ақкөл банкі» АҚ",
    kbe="17",
    knp="856",
)
PERSON: Final = Addressee(
    full_name="Әйгүл Ңұрғалиқызы Өтеғұлова", address="Ақкөл қ., Абай көш. 1, 2-пәтер"
)


def instant(text: str) -> datetime:
    """Return a local instant of the town, such as 2026-01-01 or 2026-01-15T12:00."""
    return datetime.fromisoformat(f"{text}T00:00+05:00" if len(text) == 10 else f"{text}+05:00")


def usage(
    opening: int,
    closing: int,
    *,
    meter: str = "AQ-000123",
    start: str = "2026-01-01",
    end: str = "2026-02-01",
    **other: Any,
) -> Usage:
    """Measure gas between two registers; other columns as given."""
    turns = other.get("closing_turns", 0)
    return Usage(
        **{
            "meter_id": meter,
            "installed_at": instant("2025-01-01"),
            "account_id": "A-000123",
            "supply_point_id": "SP-000123",
            "from_at": instant(start).astimezone(UTC),
            "to_at": instant(end).astimezone(UTC),
            "opening_register_dm3": opening,
            "opening_turns": 0,
            "opening_read_at": instant(start).astimezone(UTC),
            "closing_register_dm3": closing,
            "closing_turns": 0,
            "closing_read_at": instant(end).astimezone(UTC),
            "volume_dm3": closing - opening + turns * DIAL_DM3,
            **other,
        }
    )


def recorded(
    usages: Sequence[Usage],
    tariffs: Sequence[Tariff] = (HOME,),
    *,
    month: str = "2026-01",
    social: bool = False,
    persons: int = 1,
    vat: Sequence[VatRate] = VAT,
) -> Json:
    """Price gas and return the record of its bill."""
    bill, spans = _bill(usages, tariffs, month=month, social=social, persons=persons, vat=vat)
    return _record(bill, spans, usages, tariffs, vat)


def cancelled(usages: Sequence[Usage], tariffs: Sequence[Tariff] = (HOME,)) -> Json:
    """Return the record of the cancellation of January's bill."""
    bill, spans = _bill(usages, tariffs, month="2026-01", social=False, persons=1, vat=VAT)
    turned = replace(
        bill,
        bill_no="2026-01-2",
        revision=2,
        kind=BillKind.CANCELLATION,
        corrects_bill_no="2026-01",
        volume_dm3=-bill.volume_dm3,
        net_minor=-bill.net_minor,
        vat_minor=-bill.vat_minor,
        total_minor=-bill.total_minor,
        lines=tuple(
            replace(
                line,
                volume_dm3=-line.volume_dm3,
                net_minor=-line.net_minor,
                vat_minor=-line.vat_minor,
            )
            for line in bill.lines
        ),
    )
    return _record(turned, spans, usages, tariffs, VAT)


def _bill(
    usages: Sequence[Usage],
    tariffs: Sequence[Tariff],
    *,
    month: str,
    social: bool,
    persons: int,
    vat: Sequence[VatRate],
) -> tuple[Bill, tuple[TermSpan, ...]]:
    period = Period.parse(month)
    spans = (
        TermSpan(
            from_day=period.start,
            to_day=period.end,
            tariff_code=tariffs[0].tariff_code,
            persons=persons,
            social=social,
        ),
    )
    household = Household(currency="KZT", spans=spans, period=period, zone=ZONE)
    rated = rate(usages, price_intervals(tariffs, vat, period, ZONE), household)
    assert isinstance(rated, Rated)
    at = datetime(period.end.year, period.end.month, 2, 4, tzinfo=UTC)
    bill = draft(
        rated.lines, rated.charges, account_id="A-000123", currency="KZT", period=period, at=at
    )
    return bill, spans


def _record(
    bill: Bill,
    spans: tuple[TermSpan, ...],
    usages: Sequence[Usage],
    tariffs: Sequence[Tariff],
    vat: Sequence[VatRate],
) -> Json:
    return record(
        bill,
        zone=ZONE,
        spans=spans,
        prices=Prices(
            tariffs=tariffs,
            vat_rates=vat,
            proposers={(one.tariff_code, one.valid_from): "Economist B." for one in tariffs},
        ),
        stretches=[Stretch(usage=one, dial_dm3=DIAL_DM3) for one in usages],
    )


def around(
    told: Json,
    *,
    addressee: Addressee | None = PERSON,
    payee: Payee | None = PAYEE,
    opening_minor: int = 50_000,
    paid_minor: int = 50_000,
    moved_minor: int = 0,
) -> Surroundings:
    """Put a year, a balance, a payee and two earlier bills around a record."""
    december = recorded(
        [usage(1_150_000, 1_200_000, start="2025-12-01", end="2026-01-01")], month="2025-12"
    )
    last_year = recorded(
        [usage(700_000, 760_000, start="2025-01-01", end="2025-02-01")], month="2025-01"
    )
    now = sums(told, degree_days_tenths=8_000)
    months = [date(2025, month, 1) for month in range(2, 13)] + [date(2026, 1, 1)]
    volume_dm3 = told["totals"]["volume_dm3"]
    return Surroundings(
        addressee=addressee,
        payee=payee,
        balance=Balance(
            opening_on=date(2026, 1, 2),
            opening_minor=opening_minor,
            paid_minor=paid_minor,
            moved_minor=moved_minor,
        ),
        months=[
            MonthUse(
                start=start,
                volume_dm3=None if number == 2 else volume_dm3 if number == 11 else 9_000 * number,
                total_minor=None if number == 2 else 7_000 * number,
                estimated=number == 5,
            )
            for number, start in enumerate(months)
        ],
        besides=[
            Beside(
                month=date(2025, 12, 1),
                comparison=compare(now, sums(december, degree_days_tenths=7_000)),
            ),
            Beside(
                month=date(2025, 1, 1),
                comparison=compare(now, sums(last_year, degree_days_tenths=9_005)),
            ),
        ]
        if told["kind"] != "cancellation"
        else [],
    )


PLAIN: Final = (usage(1_200_000, 1_234_567),)
BANDS: Final = replace(
    HOME,
    bands=(
        Band(up_to=20_000),
        Band(up_to=30_000, multiplier_bp=13_000),
        Band(up_to=None, multiplier_bp=20_000),
    ),
    standing_net_minor_per_1000_days=1_000_000,
    discount_bp=2_000,
    discount_norm=15_000,
)


def samples() -> dict[str, tuple[Json, Surroundings]]:
    """Return every kind of bill by name."""
    changing = (
        replace(HOME, valid_to=date(2026, 1, 15)),
        replace(HOME, valid_from=date(2026, 1, 15), net_minor_per_1000_m3=700_000),
    )
    exchanged = (
        usage(99_990_000, 12_345, end="2026-01-10T12:00", closing_turns=1),
        usage(0, 22_000, meter="AQ-000999", start="2026-01-10T12:00"),
    )
    energy = replace(HOME, net_minor_per_1000_m3=None, net_minor_per_gwh=60_000_005)
    plain = recorded(PLAIN)
    found = {
        "plain": (plain, around(plain)),
        "no_payee": (plain, around(plain, payee=None, addressee=None)),
        "in_credit": (plain, around(plain, opening_minor=-90_000, paid_minor=0, moved_minor=-500)),
    }
    records = {
        "bands": recorded(PLAIN, (BANDS,), social=True),
        "split_by_days": recorded(PLAIN, changing),
        "exchanged": recorded(exchanged),
        "energy": recorded([usage(1_200_000, 1_234_567, energy_wh=365_123_456)], (energy,)),
        "estimated": recorded([usage(1_200_000, 1_234_567, closing_quality=Quality.ESTIMATED)]),
        "nothing_used": recorded([usage(1_200_000, 1_200_000)]),
        "many_lines": recorded(
            [
                usage(1_000_000 * number, 1_000_000 * number + 7_777, meter=f"AQ-{number:06d}")
                for number in range(1, 11)
            ]
        ),
        "cancellation": cancelled(PLAIN),
    }
    adjusted = {
        **plain,
        "charges": [
            {
                "charge_no": 1,
                "kind": "adjustment",
                "from_day": "2025-12-01",
                "to_day": "2026-01-01",
                "tariff_code": None,
                "tariff_valid_from": None,
                "line_no": None,
                "quantity": -2_000,
                "detail": {"corrects_bill_no": "2025-12"},
                "vat_rate_bp": 1200,
                "net_minor": -1_281,
                "vat_minor": -154,
            }
        ],
        "totals": {
            "volume_dm3": 34_567,
            "net_minor": 20_859,
            "vat_minor": 3_388,
            "total_minor": 24_247,
            "vat": [
                {"rate_bp": 1200, "net_minor": -1_281, "vat_minor": -154},
                {"rate_bp": 1600, "net_minor": 22_140, "vat_minor": 3_542},
            ],
        },
    }
    found["adjusted"] = (adjusted, around(adjusted))
    return found | {name: (told, around(told)) for name, told in records.items()}
