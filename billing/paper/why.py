"""Why this amount: every line of a bill traced to registers and tariff, in plain words."""

from dataclasses import dataclass
from datetime import date, timedelta

from billing.paper.figures import MINUS, NBSP, Figures
from billing.paper.words import Words
from billing.record import Json
from billing.tariff import WHOLE_BP

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """A record, and the words and figures in which it is told."""

    record: Json
    words: Words
    figures: Figures

    # What lines and charges are called ----------------------------------------------------------

    def days(self, first: str, end: str) -> str:
        """Name the days from one up to, but without, another."""
        return self.figures.days(date.fromisoformat(first), date.fromisoformat(end) - _DAY)

    def line_days(self, line: Json) -> str:
        """Name the local days of a line; one that begins and ends within a day has that day."""
        first = self.figures.local(line["from_at"]).date()
        last = (self.figures.local(line["to_at"]) - timedelta(microseconds=1)).date()
        return self.figures.days(first, last)

    def quantity(self, line: Json) -> str:
        """Say what of a line is charged: m3, or kWh where the tariff is per energy."""
        if line["energy_wh"] is not None:
            return self.words("unit.kwh", energy=self.figures.kwh(line["energy_wh"]))
        return self.words("unit.m3", volume=self.figures.m3(line["volume_dm3"]))

    def price(self, line: Json) -> str:
        """Say the net price of a line and its multiplier, if there is one."""
        if line["net_minor_per_gwh"] is not None:
            price = self.words(
                "unit.per_kwh", price=self.figures.per_kwh(line["net_minor_per_gwh"])
            )
        else:
            price = self.words(
                "unit.per_m3", price=self.figures.per_m3(line["net_minor_per_1000_m3"])
            )
        if line["multiplier_bp"] == WHOLE_BP:
            return price
        return f"{price}{NBSP}\u00d7{NBSP}{self.figures.times(line['multiplier_bp'])}"

    def charge_name(self, charge: Json) -> str:
        """Name a charge; a kind without a word of its own says what it is called."""
        key = f"charge.{charge['kind']}"
        if self.words.has(key):
            return self.words(key)
        return self.words("charge.other", kind=charge["kind"])

    def charge_price(self, charge: Json) -> str:
        """Say by what a charge is reckoned, where its tariff says it."""
        tariff = self.tariff_of(charge)
        if tariff is None:
            return ""
        if charge["kind"] == "discount":
            return f"{MINUS}{self.figures.percent(tariff['discount_bp'])}"
        if charge["kind"] == "standing":
            return self._standing(tariff)
        return ""

    def charge_quantity(self, charge: Json) -> str:
        """Say for how much a charge is."""
        if charge["quantity"] is None:
            return ""
        if charge["kind"] == "standing":
            return self.words("unit.days", days=self.figures.whole(charge["quantity"]))
        if charge["kind"] != "discount":
            return ""
        tariff = self.tariff_of(charge)
        if tariff is not None and tariff["net_minor_per_gwh"] is not None:
            return self.words("unit.kwh", energy=self.figures.kwh(charge["quantity"]))
        return self.words("unit.m3", volume=self.figures.m3(charge["quantity"]))

    def tariff_of(self, part: Json) -> Json | None:
        """Return the version of the tariff that a line or charge names."""
        version = (part.get("tariff_code"), part.get("tariff_valid_from"))
        for tariff in self.record["tariffs"]:
            if (tariff["tariff_code"], tariff["valid_from"]) == version:
                found: Json = tariff
                return found
        return None

    def charge_number(self, charge: Json) -> str:
        """Return under which number a charge stands: after the lines of gas."""
        return self.figures.whole(len(self.record["lines"]) + charge["charge_no"])

    def _standing(self, tariff: Json) -> str:
        parts = []
        if tariff["standing_net_minor_per_1000_days"]:
            price = self.figures.thousandths(tariff["standing_net_minor_per_1000_days"])
            parts.append(self.words("unit.per_day", price=price))
        if tariff["standing_net_minor_per_month"]:
            price = self.figures.money(tariff["standing_net_minor_per_month"])
            parts.append(self.words("unit.per_month", price=price))
        return " + ".join(parts)

    # The story ----------------------------------------------------------------------------------

    def story(self) -> list[str]:
        """Tell where each sum comes from, one paragraph for each line and charge."""
        told = [self._line(line) for line in self.record["lines"]]
        told += [self._charge(charge) for charge in self.record["charges"]]
        totals = self.record["totals"]
        if totals["volume_dm3"] == 0:
            told.append(self.words("why.nothing_used"))
        told.append(
            self.words(
                "why.total",
                net=self.figures.money(totals["net_minor"]),
                vat=self.figures.money(totals["vat_minor"]),
                total=self.figures.money(totals["total_minor"]),
            )
        )
        told.append(self.words("why.rounding"))
        return told

    def _line(self, line: Json) -> str:
        stretch = self._stretch(line)
        sums = self._sums(line)
        number = self.figures.whole(line["line_no"])
        said = [self.words("why.line", line=number), self._registers(line, stretch)]
        if line["days"] != line["days_of"]:
            said.append(
                self.words(
                    "why.split",
                    days=self.figures.whole(line["days"]),
                    of=self.figures.whole(line["days_of"]),
                )
            )
        tariff = self.tariff_of(line)
        quantity = self.quantity(line)
        if tariff is not None and len(tariff["bands"]) > 1:
            band = self.figures.whole(line["band_no"])
            said.append(self.words("why.band", band=band, part=quantity))
        elif stretch is not None and stretch["volume_dm3"] != line["volume_dm3"]:
            said.append(self.words("why.part", part=quantity))
        said.append(
            self.words(
                "why.price",
                code=line["tariff_code"],
                day=self.figures.day(date.fromisoformat(line["tariff_valid_from"])),
                quantity=quantity,
                price=self.price(line),
                **sums,
            )
        )
        return " ".join(said)

    def _registers(self, line: Json, stretch: Json | None) -> str:
        if stretch is None:
            used = self.figures.m3(-line["volume_dm3"])
            return self.words("why.gas_negated", meter=line["meter_id"], used=used)
        return self.words(
            "why.gas",
            meter=line["meter_id"],
            opening_at=self.figures.minute(line["opening_read_at"]),
            opening=self.figures.m3(line["opening_register_dm3"]),
            opening_quality=self.words(f"quality.{line['opening_quality']}"),
            closing_at=self.figures.minute(line["closing_read_at"]),
            closing=self.figures.m3(line["closing_register_dm3"]),
            closing_quality=self.words(f"quality.{line['closing_quality']}"),
            used=self.figures.m3(stretch["volume_dm3"]),
        )

    def _stretch(self, line: Json) -> Json | None:
        for usage in self.record["usages"]:
            if (
                usage["meter_id"] == line["meter_id"]
                and usage["from_at"] <= line["from_at"]
                and line["to_at"] <= usage["to_at"]
            ):
                found: Json = usage
                return found
        return None

    def _charge(self, charge: Json) -> str:
        sums = self._sums(charge)
        number = self.words("why.line", line=self.charge_number(charge))
        name = f"{number} {self.charge_name(charge)}"
        basis = self.charge_price(charge)
        quantity = self.charge_quantity(charge)
        if charge["kind"] == "standing" and basis and quantity:
            return self.words("why.standing", name=name, days=quantity, basis=basis, **sums)
        if charge["kind"] == "discount" and basis and charge["line_no"] is not None:
            line = self.figures.whole(charge["line_no"])
            prices = [
                self.price(one)
                for one in self.record["lines"]
                if one["line_no"] == charge["line_no"]
            ]
            quantity = " \u00d7 ".join([quantity, *prices])
            return self.words(
                "why.discount", name=name, line=line, quantity=quantity, discount=basis, **sums
            )
        days = self.days(charge["from_day"], charge["to_day"])
        if "corrects_bill_no" in charge["detail"]:
            bill = self.words("charge.of_bill", bill=charge["detail"]["corrects_bill_no"])
            days = f"{bill}, {days}"
        return self.words("why.charge", name=name, days=days, **sums)

    def _sums(self, part: Json) -> dict[str, str]:
        return {
            "net": self.figures.money(part["net_minor"]),
            "rate": self.figures.percent(part["vat_rate_bp"]),
            "vat": self.figures.money(part["vat_minor"]),
            "total": self.figures.money(part["net_minor"] + part["vat_minor"]),
        }
