"""Twelve months of gas as bars: the same figures that stand in the table beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

# The drawing's own units; whoever shows it stretches it.
_BAR: Final = 34
_GAP: Final = 10
_HEIGHT: Final = 120
_TOP: Final = 16
_FOOT: Final = 20
# The height of the highest bar; every other is a whole number of thousandths of it.
FULL: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One month: what it is called, what it says, and how high it stands (0 to FULL)."""

    month: str
    figure: str
    height: int
    now: bool
    estimated: bool


def heights(volumes_dm3: Sequence[int | None]) -> list[int]:
    """Return how high each month stands beside the highest; what is unknown or negative is flat."""
    known = [max(0, volume or 0) for volume in volumes_dm3]
    highest = max(known, default=0)
    return [FULL * volume // highest if highest else 0 for volume in known]


def svg(bars: Sequence[Bar], *, label: str) -> str:
    """Draw the bars; colours come from the page's own style."""
    step = _BAR + _GAP
    width, height = step * len(bars), _TOP + _HEIGHT + _FOOT
    box = f'viewBox="0 0 {width} {height}"'
    parts = [f'<svg class="chart" {box} role="img" aria-label="{escape(label)}">']
    for at, bar in enumerate(bars):
        tall = _HEIGHT * bar.height // FULL
        middle = at * step + step // 2
        kind = "now" if bar.now else "estimated" if bar.estimated else "then"
        left, top = at * step + _GAP // 2, _TOP + _HEIGHT - tall
        parts += [
            f'<rect class="{kind}" x="{left}" y="{top}" width="{_BAR}" height="{tall}"/>',
            f'<text x="{middle}" y="{top - 4}">{escape(bar.figure)}</text>',
            f'<text x="{middle}" y="{height - 5}">{escape(bar.month)}</text>',
        ]
    parts.append(f'<line x1="0" y1="{_TOP + _HEIGHT}" x2="{width}" y2="{_TOP + _HEIGHT}"/></svg>')
    return "".join(parts)
