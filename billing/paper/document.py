"""The bill as a document of one language: words and figures in their places, ready to be printed.

PDF and HTML are made from the same document and add nothing to it, so they cannot disagree.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from billing.paper import qr
from billing.paper.asked import Asked
from billing.paper.figures import Figures
from billing.paper.surroundings import Surroundings
from billing.paper.told import Told
from billing.paper.why import Speech
from billing.paper.words import Language, words
from billing.record import Json

Document = dict[str, Any]


def document(record: Json, around: Surroundings, language: Language) -> Document:
    """Return the document of a bill in one language."""
    figures = Figures(language=language, currency=record["currency"], zone=record["period"]["zone"])
    speech = Speech(record=record, words=words(language), figures=figures)
    asked = Asked(record=record, around=around, speech=speech)
    told = Told(record=record, around=around, speech=speech)
    head = _Head(record=record, around=around, asked=asked)
    blocks = [
        asked.registers(),
        asked.lines(),
        asked.money_side(),
        told.why(),
        told.comparison(),
        told.chart(),
        told.tariffs(),
        told.dispute(),
    ]
    return {
        "language": str(language),
        "issued_on": figures.local(record["issued_at"]).date().isoformat(),
        "payee": around.payee.name if around.payee else "",
        "title": speech.words(f"title.{record['kind']}"),
        "number": speech.words("number", number=record["number"]),
        "page": speech.words("page"),
        "notes": head.notes(),
        "facts": head.facts(),
        "pay": head.pay(),
        "qr": head.qr(),
        "blocks": [block for block in blocks if block is not None],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What stands above the tables: whose bill, for when, and the one sum that counts."""

    record: Json
    around: Surroundings
    asked: Asked

    def notes(self) -> list[str]:
        say, notes = self.asked.say, []
        corrected = self.record["corrects_bill_no"]
        if corrected is not None:
            notes.append(say(f"corrects.{self.record['kind']}", number=corrected))
        if self.around.addressee is None:
            notes.append(say("copy_without_person"))
        return notes

    def facts(self) -> list[list[str]]:
        say, figures = self.asked.say, self.asked.figures
        period = self.record["period"]
        facts = [[say("fact.account"), self.record["account_id"]]]
        if self.around.addressee is not None:
            facts.append([say("fact.name"), self.around.addressee.full_name])
            facts.append([say("fact.address"), self.around.addressee.address])
        volume = figures.m3(self.record["totals"]["volume_dm3"])
        issued_on = figures.local(self.record["issued_at"]).date()
        return [
            *facts,
            [say("fact.period"), self.asked.speech.days(period["from"], period["to"])],
            [say("fact.volume"), say("unit.m3", volume=volume)],
            [say("fact.issued"), figures.day(issued_on)],
        ]

    def pay(self) -> dict[str, str]:
        say, figures, amount_minor = self.asked.say, self.asked.figures, self.asked.to_pay_minor
        if amount_minor > 0:
            due = figures.day(date.fromisoformat(self.record["due_on"]))
            return {
                "label": say("to_pay"),
                "amount": figures.money(amount_minor),
                "note": f"{say('fact.due')}: {due}",
            }
        return {
            "label": say("credit") if amount_minor < 0 else say("to_pay"),
            "amount": figures.money(-amount_minor),
            "note": say("nothing_to_pay"),
        }

    def qr(self) -> list[str]:
        """Return the code of the payment details; without a payee or a debt there is none."""
        payee, amount_minor = self.around.payee, self.asked.to_pay_minor
        if payee is None or amount_minor <= 0:
            return []
        whole, rest = divmod(amount_minor, 100)
        lines = (
            f"NAME={payee.name}",
            f"BIN={payee.bin}",
            f"IBAN={payee.iban}",
            f"BIC={payee.bic}",
            f"KBE={payee.kbe}",
            f"KNP={payee.knp}",
            f"SUM={whole}.{rest:02d}",
            f"CUR={self.record['currency']}",
            f"PURPOSE={self.record['number']}",
        )
        return qr.rows("\n".join(lines))
