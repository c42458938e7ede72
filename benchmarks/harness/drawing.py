"""Horizontal bars on a logarithmic scale, as SVG without a plotting library; pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

WIDTH, LABELS, ROW, BAR = 860, 300, 22, 14
TOP, BOTTOM, RIGHT = 40, 34, 90

Scale: TypeAlias = Callable[[float], float]
"""From a value to where it stands, in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One bar; ``ours`` decides its colour, ``lowest`` and ``highest`` its whisker."""

    label: str
    value: float
    lowest: float
    highest: float
    ours: bool


def bars_svg(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """A drawing of bars, the longest first, that is legible on light and dark pages."""
    ordered = sorted(bars, key=lambda bar: -bar.value)
    low = 10 ** math.floor(math.log10(min(bar.lowest for bar in ordered) * 0.999))
    high = 10 ** math.ceil(math.log10(max(bar.highest for bar in ordered)))
    height = TOP + ROW * len(ordered) + BOTTOM

    def x(value: float) -> float:
        return LABELS + (WIDTH - LABELS - RIGHT) * math.log10(value / low) / math.log10(high / low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
        *_axis(low, high, x, height, unit),
    ]
    for index, bar in enumerate(ordered):
        parts += _bar(bar, x, low, TOP + ROW * index)
    return "\n".join([*parts, "</svg>", ""])


def _axis(low: float, high: float, x: Scale, height: int, unit: str) -> list[str]:
    parts = []
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at = x(10.0**power)
        parts.append(f'<path d="M{at:.1f} {TOP - 6}V{height - BOTTOM}" stroke="#cccccc"/>')
        parts.append(
            f'<text x="{at:.1f}" y="{height - BOTTOM + 14}" text-anchor="middle" fill="#555555">{10**power:,}</text>'
        )
    parts.append(f'<text x="{LABELS}" y="{height - 4}" fill="#555555">{escape(unit)}, logarithmic</text>')
    return parts


def _bar(bar: Bar, x: Scale, low: float, top: int) -> list[str]:
    colour = "#1b7f5c" if bar.ours else "#8a94a6"
    middle = top + BAR / 2
    end = x(bar.highest)
    return [
        f'<text x="{LABELS - 8}" y="{top + 11}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect x="{x(low):.1f}" y="{top}" width="{x(bar.value) - x(low):.1f}" height="{BAR}" fill="{colour}"/>',
        f'<path d="M{x(bar.lowest):.1f} {middle}H{end:.1f}" stroke="#222222"/>',
        f'<text x="{end + 6:.1f}" y="{top + 11}">{bar.value:,.0f}</text>',
    ]
