"""Plots as inline SVG: no library, no fetches, colours from the page's CSS variables so that light and dark both read well.

Every plot names its axes with units and says its n. Text is real text, so it can be searched and read aloud.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from dragoman.evals.statistics import Interval
from dragoman.evals.statistics.calibration import Calibration

WIDTH, LEFT, RIGHT = 560, 56, 24
COLOURS = {"label": "var(--label)", "token_lookup": "var(--lookup)", "shuffled": "var(--shuffled)"}
"""CSS colour of every contestant."""


@dataclass(frozen=True)
class Group:
    """One row of a distribution plot."""

    name: str
    """What the reader sees at the left."""
    colour: str
    """CSS colour."""
    values: NDArray[np.float64]
    """One figure a feature."""
    median: Interval
    """Median with its interval."""


@dataclass(frozen=True)
class Dot:
    """One feature of a scatter plot."""

    x: float
    """Horizontal value, in data units."""
    y: float
    """Vertical value, in data units."""
    title: str
    """Shown on hover."""
    href: str
    """Where a click leads."""


@dataclass(frozen=True)
class Mark:
    """One named point of a plot of quality against cost."""

    name: str
    """What the reader sees beside it."""
    cost: float
    """Horizontal value, in data units."""
    quality: Interval
    """Vertical value with its interval."""


@dataclass(frozen=True)
class Axis:
    """A linear axis in data units; `log` means that the data are log10 of what the ticks say."""

    label: str
    """Name with unit."""
    low: float
    """Left or lower end."""
    high: float
    """Right or upper end."""
    log: bool = False
    """Whether ticks are written as powers of ten."""
    share: bool = True
    """With `log`: whether they are percentages, 0 standing for all."""

    def ticks(self) -> list[tuple[float, str]]:
        """Positions and texts of about five ticks."""
        if self.log:
            every = max(1, math.ceil((self.high - self.low) / 6))
            return [
                (e, _power(e) if self.share else f"{10.0**e:g}")
                for e in range(math.ceil(self.low), math.floor(self.high) + 1, every)
            ]
        step = _round_step((self.high - self.low) / 6)
        first = math.ceil(self.low / step - 1e-9)
        values = [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return [(v, f"{v:.6g}") for v in values]


def distributions(title: str, axis: Axis, groups: Sequence[Group]) -> Markup:
    """A histogram row a group, with its median (tick) and the median's 95 % interval (bar) below it."""
    row, top = 86, 26
    height = top + row * len(groups) + 40
    parts = [_frame(axis, top, height - 40)]
    for number, group in enumerate(groups):
        base = top + row * (number + 1) - 16
        parts.append(_outline(group.values, axis, base, row - 40, group.colour))
        parts.append(
            f'<text class="name" x="{LEFT}" y="{base - row + 30}" style="fill:{group.colour}">{escape(group.name)}</text>'
        )
        if group.median.n:
            low, high, mid = (_x(v, axis) for v in (group.median.low, group.median.high, group.median.value))
            says = f"median {group.median.value:.3f} [{group.median.low:.3f}, {group.median.high:.3f}], n = {group.median.n}"
            parts.append(
                f'<g stroke="{group.colour}" stroke-width="3"><path d="M{low:.1f} {base + 6}H{high:.1f}"/>'
                f'<path d="M{mid:.1f} {base + 1}V{base + 11}"/></g>'
                f'<text class="figure" x="{WIDTH - RIGHT}" y="{base - row + 30}" text-anchor="end">{says}</text>'
            )
        else:
            parts.append(
                f'<text class="figure" x="{WIDTH - RIGHT}" y="{base - row + 30}" text-anchor="end">nothing scored</text>'
            )
    return _svg(title, height, parts)


def histogram(title: str, axis: Axis, values: NDArray[np.float64], bins: int = 40) -> Markup:
    """Counts of features over a scale."""
    top, height = 30, 220
    counts, _ = np.histogram(np.clip(values, axis.low, axis.high), bins=bins, range=(axis.low, axis.high))
    tall = max(1, int(counts.max(initial=0)))
    width = (WIDTH - LEFT - RIGHT) / bins
    floor = height - 40
    bars = "".join(
        f"M{LEFT + k * width + 0.5:.1f} {floor}v{-c / tall * (floor - top):.1f}h{width - 1:.1f}V{floor}z"
        for k, c in enumerate(counts)
        if c
    )
    parts = [
        _frame(axis, top, floor),
        f'<path d="{bars}" fill="var(--label)"/>',
        _text("tick", LEFT - 6, top + 4, str(tall), "end"),
        _text("tick", LEFT - 6, floor, "0", "end"),
        _text("figure", WIDTH - RIGHT, top - 8, f"features in each bar; n = {len(values)}", "end"),
    ]
    return _svg(title, height, parts)


def scatter(title: str, across: Axis, up: Axis, dots: Sequence[Dot], diagonal: bool = False) -> Markup:
    """A dot a feature, each a link to the feature's section."""
    top, height = 30, 330
    floor = height - 40
    parts = [_frame(across, top, floor), _vertical(up, top, floor)]
    if diagonal:
        low, high = max(across.low, up.low), min(across.high, up.high)
        parts.append(
            f'<path class="diagonal" d="M{_x(low, across):.1f} {_y(low, up, top, floor):.1f}'
            f'L{_x(high, across):.1f} {_y(high, up, top, floor):.1f}"/>'
        )
    for dot in dots:
        x, y = _x(dot.x, across), _y(dot.y, up, top, floor)
        parts.append(
            f'<a href="{escape(dot.href)}" tabindex="-1"><circle cx="{x:.1f}" cy="{y:.1f}" r="3">'
            f"<title>{escape(dot.title)}</title></circle></a>"
        )
    parts.append(_text("figure", WIDTH - RIGHT, top - 8, f"n = {len(dots)} features", "end"))
    return _svg(title, height, parts)


def reliability(title: str, found: Calibration) -> Markup:
    """Observed share against predicted probability, a bar for each 95 % interval; a calibrated judge is the diagonal."""
    top, height = 30, 330
    floor = height - 40
    across, up = Axis("probability that the judge gave (mean of a bin)", 0.0, 1.0), Axis("share that came true", 0.0, 1.0)
    left, right = (f"{_x(end, across):.1f} {_y(end, up, top, floor):.1f}" for end in (0, 1))
    parts = [_frame(across, top, floor), _vertical(up, top, floor), f'<path class="diagonal" d="M{left}L{right}"/>']
    for bin in (bin for bin in found.bins if bin.n):
        x = _x(bin.predicted, across)
        low, high = (_y(end, up, top, floor) for end in bin.interval)
        parts.append(
            f'<g><path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="var(--label)" stroke-width="1.6"/>'
            f'<circle cx="{x:.1f}" cy="{_y(bin.observed, up, top, floor):.1f}" r="4" fill="var(--label)"/>'
            f"<title>{bin.predicted:.2f} given, {bin.observed:.2f} came true, n = {bin.n}</title></g>"
        )
    parts.append(_text("figure", WIDTH - RIGHT, top - 8, f"Brier score {found.brier:.3f}; n = {found.n} answers", "end"))
    return _svg(title, height, parts)


def curve(title: str, across: Axis, up: Axis, points: Sequence[tuple[float, float]]) -> Markup:
    """A line through points whose first coordinates ascend; the last value is written out."""
    top, height = 30, 260
    floor = height - 40
    line = "L".join(f"{_x(x, across):.1f} {_y(y, up, top, floor):.1f}" for x, y in points)
    parts = [
        _frame(across, top, floor),
        _vertical(up, top, floor),
        f'<path class="curve" d="M{line}" fill="none" stroke="var(--label)" stroke-width="1.6"/>',
        _text("figure", WIDTH - RIGHT, top - 8, f"at the end {points[-1][1]:.4g}; n = {len(points)} points", "end"),
    ]
    return _svg(title, height, parts)


def frontier(title: str, across: Axis, up: Axis, marks: Sequence[Mark]) -> Markup:
    """Named points with their intervals; a line joins those of which none is both cheaper and better."""
    top, height = 30, 330
    floor = height - 40
    parts = [_frame(across, top, floor), _vertical(up, top, floor)]
    best, line = -math.inf, []
    for mark in sorted(marks, key=lambda mark: (mark.cost, -mark.quality.value)):
        if mark.quality.value > best:
            best = mark.quality.value
            line.append(f"{_x(mark.cost, across):.1f} {_y(best, up, top, floor):.1f}")
    if len(line) > 1:
        parts.append(f'<path class="diagonal" d="M{"L".join(line)}"/>')
    taken: list[tuple[float, float]] = []
    for mark in marks:
        x, y = _x(mark.cost, across), _y(mark.quality.value, up, top, floor)
        shift = next(
            d for d in (4, 18, -10, 32, -24, 46) if d == 46 or all(abs(y + d - v) > 12 or abs(x - u) > 240 for u, v in taken)
        )
        taken.append((x, y + shift))
        low, high = (_y(end, up, top, floor) for end in (mark.quality.low, mark.quality.high))
        right = x > (LEFT + WIDTH) / 2
        parts.append(
            f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="var(--label)" stroke-width="1.6"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
            + _text("name", x - 8 if right else x + 8, y + shift, mark.name, "end" if right else "start")
        )
    return _svg(title, height, parts)


def activation_histogram(counts: Sequence[int], largest: float, threshold: float) -> Markup:
    """A feature's non-zero train activations in equal bins from 0 to the train maximum; bar heights are logarithmic."""
    width, height, bottom = 260, 96, 74
    tall = math.log1p(max(1, *counts)) if counts else 1.0
    bar = width / max(1, len(counts))
    bars = "".join(
        f"M{k * bar + 0.5:.1f} {bottom}v{-math.log1p(c) / tall * (bottom - 14):.1f}h{bar - 1:.1f}V{bottom}z"
        for k, c in enumerate(counts)
        if c
    )
    at = threshold / largest * width if largest else 0.0
    title = f"Histogram of {sum(counts)} non-zero train activations from 0 to {largest:.3g}"
    return Markup(
        f'<svg class="small" viewBox="0 0 {width} {height}" role="img" aria-label="{title}"><title>{title}</title>'
        f'<path d="{bars}" fill="var(--hot)"/><path class="threshold" d="M{at:.1f} 8V{bottom}"/>'
        + _text("tick", at + 3, 14, f"fires above {threshold:.3g}")
        + f'<path class="axis" d="M0 {bottom}H{width}"/>'
        + _text("tick", 0, bottom + 14, "0")
        + _text("tick", width / 2, bottom + 14, f"activation, n = {sum(counts)}, log height", "middle")
        + _text("tick", width, bottom + 14, f"{largest:.3g}", "end")
        + "</svg>"
    )


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    """A line of text."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, height: float, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f'<text class="title" x="0" y="14">{escape(title)}</text>{"".join(parts)}</svg>'
    )


def _frame(axis: Axis, top: float, floor: float) -> str:
    """Horizontal axis with ticks, grid and label."""
    grid = "".join(f"M{_x(v, axis):.1f} {top}V{floor}" for v, _ in axis.ticks())
    texts = "".join(
        f'<text class="tick" x="{_x(v, axis):.1f}" y="{floor + 14}" text-anchor="middle">{escape(text)}</text>'
        for v, text in axis.ticks()
    )
    middle = (LEFT + WIDTH - RIGHT) / 2
    return (
        f'<path class="grid" d="{grid}"/><path class="axis" d="M{LEFT} {floor}H{WIDTH - RIGHT}"/>{texts}'
        f'<text class="axis-label" x="{middle}" y="{floor + 32}" text-anchor="middle">{escape(axis.label)}</text>'
    )


def _vertical(axis: Axis, top: float, floor: float) -> str:
    """Vertical axis with ticks, grid and label."""
    grid = "".join(f"M{LEFT} {_y(v, axis, top, floor):.1f}H{WIDTH - RIGHT}" for v, _ in axis.ticks())
    texts = "".join(
        f'<text class="tick" x="{LEFT - 6}" y="{_y(v, axis, top, floor) + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        for v, text in axis.ticks()
    )
    middle = (top + floor) / 2
    return (
        f'<path class="grid" d="{grid}"/>{texts}'
        f'<g transform="rotate(-90 12 {middle})">{_text("axis-label", 12, middle, axis.label, "middle")}</g>'
    )


def _outline(values: NDArray[np.float64], axis: Axis, base: float, tall: float, colour: str) -> str:
    """A filled step line of the values' histogram."""
    if len(values) == 0:
        return ""
    bins = 50
    counts, _ = np.histogram(np.clip(values, axis.low, axis.high), bins=bins, range=(axis.low, axis.high))
    width = (WIDTH - LEFT - RIGHT) / bins
    steps = "".join(f"V{base - c / counts.max() * tall:.1f}h{width:.2f}" for c in counts)
    return f'<path d="M{LEFT} {base}{steps}V{base}z" fill="{colour}" fill-opacity=".35" stroke="{colour}"/>'


def _x(value: float, axis: Axis) -> float:
    share = (min(max(value, axis.low), axis.high) - axis.low) / (axis.high - axis.low)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(value: float, axis: Axis, top: float, floor: float) -> float:
    share = (min(max(value, axis.low), axis.high) - axis.low) / (axis.high - axis.low)
    return floor - share * (floor - top)


def _power(exponent: int) -> str:
    return {0: "100 %", -1: "10 %", -2: "1 %"}.get(exponent, f"{10.0 ** (exponent + 2):.{max(0, -exponent - 2)}f} %")


def _round_step(step: float) -> float:
    """The step rounded up to 1, 2 or 5 times a power of ten."""
    magnitude = 10.0 ** math.floor(math.log10(step))
    for factor in (1, 2, 5):
        if step <= factor * magnitude * (1 + 1e-9):
            return factor * magnitude
    return 10 * magnitude
