"""The part of a document that explains: why so much, what changed, whose tariff, how to object."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from billing.paper import chart
from billing.paper.blocks import Block, text
from billing.paper.comparison import Comparison, Part
from billing.paper.figures import NBSP, Figures
from billing.paper.surroundings import Beside, MonthUse, Surroundings
from billing.paper.why import Speech
from billing.paper.words import Words
from billing.record import Json

DASH: Final = "\u2014"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A bill's story, in the words of one language."""

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

    def why(self) -> Block:
        """Trace every line to registers and tariff."""
        return text(self.say("heading.why"), self.speech.story())

    def comparison(self) -> Block | None:
        """Say what differs from earlier bills, in parts that add up."""
        parts = [self._beside(beside) for beside in self.around.besides]
        if not parts:
            return None
        return {
            "kind": "comparisons",
            "heading": self.say("heading.comparison"),
            "parts": parts,
            "note": self.say("comparison.how") if any(part["rows"] for part in parts) else "",
        }

    def _beside(self, beside: Beside) -> dict[str, Any]:
        compared = beside.comparison
        month = self._month(beside.month)
        if compared is None:
            return {"text": self.say("comparison.none", month=month), "rows": [], "foot": []}
        minor = compared.difference_minor
        key = "more" if minor > 0 else "less" if minor < 0 else "same"
        text = self.say(
            f"comparison.{key}",
            month=month,
            bill=compared.before.bill_no,
            total=self.figures.money(compared.before.total_minor),
            difference=self.figures.money(abs(minor)),
        )
        rows = [
            [self._part(part, compared), self.figures.money(share, signed=True)]
            for part, share in compared.parts
            if share or part in {Part.VOLUME, Part.PRICE}
        ]
        return {
            "text": text,
            "rows": rows,
            "foot": [self.say("column.difference"), self.figures.money(minor, signed=True)],
        }

    def _part(self, part: Part, compared: Comparison) -> str:
        now, before = compared.now, compared.before
        if part is Part.DAYS:
            days = {"now": self.figures.whole(now.days), "before": self.figures.whole(before.days)}
            return self.say("part.days", **days)
        if part is Part.WEATHER:
            assert now.degree_days_tenths is not None, "a share of the weather is of known weather"
            assert before.degree_days_tenths is not None, "likewise"
            return self.say(
                "part.weather",
                now=self.figures.tenths(now.degree_days_tenths),
                before=self.figures.tenths(before.degree_days_tenths),
            )
        if part is Part.VOLUME:
            return self.say(
                "part.volume", now=self._m3(now.volume_dm3), before=self._m3(before.volume_dm3)
            )
        return self.say(f"part.{part}")

    def _m3(self, volume_dm3: int) -> str:
        return self.say("unit.m3", volume=self.figures.m3(volume_dm3))

    def _month(self, start: date) -> str:
        return f"{self.say.months[start.month - 1]}{NBSP}{start.year}"

    def chart(self) -> Block | None:
        """Draw twelve months, with their table."""
        months = self.around.months
        if not months:
            return None
        heights = chart.heights([month.volume_dm3 for month in months])
        now = date.fromisoformat(self.record["period"]["from"])
        bars = [
            chart.Bar(
                month=self.say.months[month.start.month - 1],
                figure=DASH
                if month.volume_dm3 is None
                else self.figures.round_m3(month.volume_dm3),
                height=height,
                now=month.start == now,
                estimated=month.estimated,
            )
            for month, height in zip(months, heights, strict=True)
        ]
        label = self.say("chart.label")
        return {
            "kind": "chart",
            "heading": self.say("heading.chart"),
            "label": label,
            "svg": chart.svg(bars, label=label),
            "bars": [
                {"month": bar.month, "figure": bar.figure, "height": bar.height, "now": bar.now}
                for bar in bars
            ],
            "head": [self.say(f"column.{name}") for name in ("month", "volume", "total")],
            "align": "lrr",
            "rows": [[{"main": text} for text in self._month_row(month)] for month in months],
            "foot": [],
        }

    def _month_row(self, month: MonthUse) -> list[str]:
        name = self._month(month.start)
        if month.volume_dm3 is None or month.total_minor is None:
            return [name, DASH, self.say("chart.no_bill")]
        quality = f" ({self.say('quality.estimated')})" if month.estimated else ""
        return [
            name,
            self.figures.m3(month.volume_dm3) + quality,
            self.figures.money(month.total_minor),
        ]

    def tariffs(self) -> Block:
        """Name the tariffs, and who proposed and approved them."""
        rows = [
            [
                self.say(
                    "tariff.price",
                    code=tariff["tariff_code"],
                    day=self.figures.day(date.fromisoformat(tariff["valid_from"])),
                    price=self._tariff_price(tariff),
                ),
                self.say(
                    "tariff.by",
                    proposed=tariff["proposed_by"] or DASH,
                    approved=tariff["approved_by"],
                ),
            ]
            for tariff in self.record["tariffs"]
        ]
        return {"kind": "facts", "heading": self.say("heading.tariffs"), "rows": rows, "foot": []}

    def _tariff_price(self, tariff: Mapping[str, Any]) -> str:
        if tariff["net_minor_per_gwh"] is not None:
            price = self.figures.per_kwh(tariff["net_minor_per_gwh"])
            return self.say("unit.per_kwh", price=price)
        price = self.figures.per_m3(tariff["net_minor_per_1000_m3"])
        return self.say("unit.per_m3", price=price)

    def dispute(self) -> Block:
        """Say what to do who does not agree."""
        number = self.record["number"]
        said = [self.say("dispute.say", number=number)]
        return text(
            self.say("heading.dispute"),
            [*said, self.say("dispute.change"), self.say("dispute.check")],
        )
