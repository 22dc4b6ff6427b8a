"""The part of a document that asks for money: registers, lines, taxes, balance, how to pay."""

from dataclasses import dataclass
from datetime import date

from billing.paper.blocks import Block, Cell, table, text
from billing.paper.figures import MINUS, NBSP, Figures
from billing.paper.surroundings import Surroundings
from billing.paper.why import Speech
from billing.paper.words import Words
from billing.record import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A bill's sums, in the words of one language."""

    record: Json
    around: Surroundings
    speech: Speech

    @property
    def say(self) -> Words:
        """Return the words."""
        return self.speech.words

    @property
    def figures(self) -> Figures:
        """Return the figures."""
        return self.speech.figures

    @property
    def to_pay_minor(self) -> int:
        """Return what is left to pay with this bill; negative is in the resident's favour."""
        total_minor: int = self.record["totals"]["total_minor"]
        balance = self.around.balance
        return balance.before_minor + total_minor - balance.settled_minor

    def purpose(self) -> str:
        """Say what the payment is for, so that it finds its bill."""
        return self.say(
            "payment.purpose_text",
            account=self.record["account_id"],
            bill=self.record["bill_no"],
        )

    def registers(self) -> Block | None:
        """Show the registers, how they are known, and the difference written out."""
        rows: list[list[Cell]] = []
        estimated = False
        for usage in self.record["usages"]:
            opening, closing = usage["opening"], usage["closing"]
            estimated = estimated or "estimated" in {opening["quality"], closing["quality"]}
            rows.append(
                [
                    {"main": usage["meter_id"], "sub": usage["supply_point_id"]},
                    self._mark(opening),
                    self._mark(closing),
                    self._arithmetic(usage),
                ]
            )
        if not rows:
            return None
        return table(
            self.say("heading.registers"),
            head=[
                self.say(f"column.{name}") for name in ("meter", "opening", "closing", "arithmetic")
            ],
            align="lrrr",
            widths=(3, 3, 3, 5),
            rows=rows,
            notes=[self.say("estimated_note")] if estimated else [],
        )

    def _mark(self, mark: Json) -> Cell:
        quality = self.say(f"quality.{mark['quality']}")
        return {
            "main": self.figures.m3(mark["register_dm3"]),
            "sub": f"{self.figures.minute(mark['read_at'])}, {quality}",
        }

    def _arithmetic(self, usage: Json) -> Cell:
        """Write the difference out, with the turns of a dial that passed zero."""
        turns = usage["closing"]["turns"] - usage["opening"]["turns"]
        closing = self.figures.m3(usage["closing"]["register_dm3"])
        opening = self.figures.m3(usage["opening"]["register_dm3"])
        dial = self.figures.m3(usage["dial_dm3"])
        passed = f" + {self.figures.whole(turns)}{NBSP}\u00d7{NBSP}{dial}" if turns else ""
        used = self.figures.m3(usage["volume_dm3"])
        said = {"main": f"{closing}{passed} {MINUS}{NBSP}{opening} ={NBSP}{used}"}
        if usage["energy_wh"] is not None:
            said["sub"] = self.say("unit.kwh", energy=self.figures.kwh(usage["energy_wh"]))
        return said

    def lines(self) -> Block:
        """Show every line and charge with its quantity, price, tax and sum."""
        totals = self.record["totals"]
        rows = [self._line(line) for line in self.record["lines"]]
        rows += [self._charge(charge) for charge in self.record["charges"]]
        names = ("what", "quantity", "price", "net", "vat", "total")
        return table(
            self.say("heading.lines"),
            head=["", *(self.say(f"column.{name}") for name in names)],
            align="llrrrrr",
            widths=(0, 11, 5, 6, 4, 4, 4),
            rows=rows,
            foot=[
                "",
                self.say("sum"),
                "",
                "",
                *(self.figures.money(totals[f"{key}_minor"]) for key in ("net", "vat", "total")),
            ],
        )

    def _line(self, line: Json) -> list[Cell]:
        tariff = self.speech.tariff_of(line)
        day = self.figures.day(date.fromisoformat(line["tariff_valid_from"]))
        about = [
            self.speech.line_days(line),
            self.say("line.tariff", code=line["tariff_code"], day=day),
        ]
        if tariff is not None and len(tariff["bands"]) > 1:
            band = self.figures.whole(line["band_no"])
            times = self.figures.times(line["multiplier_bp"])
            about.append(self.say("line.band", band=band, multiplier=times))
        if line["days"] != line["days_of"]:
            days, of = self.figures.whole(line["days"]), self.figures.whole(line["days_of"])
            about.append(self.say("line.split", days=days, of=of))
        what: Cell = {
            "main": self.say("line.gas", meter=line["meter_id"]),
            "sub": "; ".join(about),
        }
        number = self.figures.whole(line["line_no"])
        quantity, price = self.speech.quantity(line), self.speech.price(line)
        return [number, what, quantity, price, *self._sums(line)]

    def _charge(self, charge: Json) -> list[Cell]:
        about = [self.speech.days(charge["from_day"], charge["to_day"])]
        if charge["line_no"] is not None:
            about.append(self.say("charge.of_line", line=self.figures.whole(charge["line_no"])))
        if "corrects_bill_no" in charge["detail"]:
            about.append(self.say("charge.of_bill", bill=charge["detail"]["corrects_bill_no"]))
        what: Cell = {"main": self.speech.charge_name(charge), "sub": "; ".join(about)}
        quantity, price = self.speech.charge_quantity(charge), self.speech.charge_price(charge)
        return [self.speech.charge_number(charge), what, quantity, price, *self._sums(charge)]

    def _sums(self, part: Json) -> list[Cell]:
        rate = self.figures.percent(part["vat_rate_bp"])
        return [
            self.figures.money(part["net_minor"]),
            {"main": self.figures.money(part["vat_minor"]), "sub": rate},
            self.figures.money(part["net_minor"] + part["vat_minor"]),
        ]

    def money_side(self) -> Block:
        """Put the taxes and how the account stands beside how to pay."""
        payment = self._payment()
        sides = [[self._vat(), self._balance()], [payment] if payment else []]
        return {"kind": "pair", "sides": [side for side in sides if side]}

    def _vat(self) -> Block:
        rows = [
            [
                self.say(
                    "vat.on",
                    rate=self.figures.percent(rate["rate_bp"]),
                    net=self._money(rate["net_minor"]),
                ),
                self._money(rate["vat_minor"]),
            ]
            for rate in self.record["totals"]["vat"]
        ]
        return {"kind": "facts", "heading": self.say("heading.vat"), "rows": rows, "foot": []}

    def _balance(self) -> Block:
        balance = self.around.balance
        rows: list[list[str]] = []
        if balance.opening_on is not None:
            day = self.figures.day(balance.opening_on)
            rows.append([self.say("balance.before", day=day), self._money(balance.opening_minor)])
            rows.append([self.say("balance.paid"), self._money(-balance.paid_minor)])
            if balance.moved_minor:
                rows.append([self.say("balance.moved"), self._money(balance.moved_minor)])
        rows.append([self.say("balance.start"), self._money(balance.before_minor)])
        rows.append([self.say("balance.bill"), self._money(self.record["totals"]["total_minor"])])
        if balance.settled_minor:
            rows.append([self.say("balance.settled"), self._money(-balance.settled_minor)])
        label = self.say("credit") if self.to_pay_minor < 0 else self.say("to_pay")
        return {
            "kind": "facts",
            "heading": self.say("heading.balance"),
            "rows": rows,
            "foot": [label, self._money(abs(self.to_pay_minor))],
        }

    def _payment(self) -> Block | None:
        if self.to_pay_minor <= 0:
            return None
        payee = self.around.payee
        if payee is None:
            return text(self.say("heading.payment"), [self.say("payment.missing")])
        rows = [
            [self.say("payment.name"), payee.name],
            [self.say("payment.bin"), payee.bin],
            [self.say("payment.iban"), payee.iban_grouped.replace(" ", NBSP)],
            [self.say("payment.bank"), f"{payee.bank}, {payee.bic}"],
            [self.say("payment.codes"), f"{payee.kbe}, {payee.knp}"],
            [self.say("payment.purpose"), self.purpose()],
            [self.say("payment.amount"), self._money(self.to_pay_minor)],
        ]
        return {"kind": "facts", "heading": self.say("heading.payment"), "rows": rows, "foot": []}

    def _money(self, minor: int) -> str:
        return self.figures.money(minor)
