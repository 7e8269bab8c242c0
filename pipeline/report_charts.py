"""The geometry of the report's pictures: bars and histograms as plain numbers that templates draw.

Pictures are SVG paths stretched over their box, with labels beside them in HTML, so text keeps its size on a phone.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.aggregates import OTHER, Counts

HEIGHT = 100
"""Units of a picture's height; its width is 1,000."""
_WIDTH = 1000
_BINS = 32
_FEW = 12
_WIDE = 1000.0
"""Positive values whose largest is this many times the smallest are shown by their logarithm."""


@dataclass(frozen=True)
class Histogram:
    """A distribution before (`all`) and after (`kept`) the drops, as paths and labels."""

    all: str
    kept: str
    ticks: list[str]
    """Labels at equal distances, from the left to the right edge; or, if `centred`, one below each bar."""
    marks: list[dict[str, Any]]
    """`left` in percent, `label`: thresholds."""
    documents: int
    kept_documents: int
    text: str
    """The same in words, for those who cannot see it."""
    centred: bool = False


def bars(counts: Counts, kept: Counts, most: int = 30) -> list[dict[str, Any]]:
    """The largest counts as rows of a bar chart: name, count, kept, and both as percent of the largest.

    >>> bars({"a": 4, "b": 1}, {"a": 2}, most=1)
    [{'name': 'a', 'count': 4, 'kept': 2, 'width': 100.0, 'kept_width': 50.0}]
    """
    ordered = sorted((item for item in counts.items() if item[0] != OTHER), key=lambda item: (-item[1], item[0]))
    largest = max((count for _, count in ordered), default=1)
    return [
        {
            "name": name,
            "count": count,
            "kept": kept.get(name, 0),
            "width": 100 * count / largest,
            "kept_width": 100 * kept.get(name, 0) / largest,
        }
        for name, count in ordered[:most]
    ]


def histogram(counts: Counts, kept: Counts) -> Histogram | None:
    """The distribution of counts by number, such as pipeline.aggregates makes; None if there is no number."""
    values = _numbers(counts)
    if not values:
        return None
    axis = _axis(values)
    return _picture(axis.binned(values), axis.binned(_numbers(kept)), axis.ticks, [], axis.centred)


def pair_histogram(first: Counts, second: Counts) -> Histogram | None:
    """Two distributions on one axis, as shares, so that sizes do not matter; None if one is empty."""
    values = [_numbers(counts) for counts in (first, second)]
    totals = [sum(found.values()) for found in values]
    if not all(totals):
        return None
    axis = _axis({**values[0], **values[1]})
    shares = [[count / total for count in axis.binned(found)] for found, total in zip(values, totals, strict=True)]
    highest = max(map(max, shares))
    text = f"{totals[0]:,} documents in A and {totals[1]:,} in B, from {axis.ticks[0]} to {axis.ticks[-1]}"
    paths = [_steps(found, highest) for found in shares]
    return Histogram(paths[0], paths[1], axis.ticks, [], totals[0], totals[1], text, axis.centred)


def moved(first: Counts, second: Counts) -> float:
    """How far two distributions are apart: the share of either that lies elsewhere in the other (total variation).

    >>> moved({"1": 1, "2": 1}, {"1": 10, "3": 10}), moved({"1": 1}, {"1": 7})
    (0.5, 0.0)
    """
    totals = [sum(counts.values()) or 1 for counts in (first, second)]
    names = {*first, *second}
    return sum(abs(first.get(name, 0) / totals[0] - second.get(name, 0) / totals[1]) for name in names) / 2


@dataclass(frozen=True)
class _Axis:
    """Equal bins, of numbers or of their log10."""

    low: float
    width: float
    bins: int
    log: bool

    @property
    def centred(self) -> bool:
        """Whether each bar is a whole number."""
        return not self.log and self.width == 1 and self.bins <= _FEW

    @property
    def ticks(self) -> list[str]:
        if self.centred:
            return [f"{self.low + 0.5 + place:.0f}" for place in range(self.bins)]
        margin = 0.0 if self.log else self.width / 2
        first, last = self.low + margin, self.low + self.width * self.bins - margin
        edges = [first + (last - first) * part / 4 for part in range(5)]
        return [number(10**edge if self.log else edge) for edge in edges]

    def binned(self, values: Mapping[float, int]) -> list[int]:
        """Counts by bin; what lies outside is counted at the edge."""
        found = [0] * self.bins
        for value, count in values.items():
            place = math.log10(value) if self.log else value
            found[max(0, min(self.bins - 1, int((place - self.low) / self.width)))] += count
        return found


def _axis(values: Collection[float]) -> _Axis:
    log = min(values) > 0 and max(values) > _WIDE * min(values)
    bins = _log_bins([math.log10(value) for value in values]) if log else _linear_bins(values)
    return _Axis(*bins, log)


def _log_bins(places: Collection[float]) -> tuple[float, float, int]:
    """Where the first bin begins, the width of a bin, and their number, for logarithms."""
    low, high = math.floor(10 * min(places)) / 10, max(places) + 1e-9
    return low, (high - low) / _BINS, _BINS


def _linear_bins(places: Collection[float]) -> tuple[float, float, int]:
    """The same for values of two significant digits: bins are as wide as one or several of their steps, so that none
    stays empty, or holds twice as much, because of the rounding.

    >>> _linear_bins([0.0, 3.0]), _linear_bins([25.0, 120.0])
    ((-0.5, 1.0, 4), (15.0, 10.0, 11))
    """
    low, high = min(places), max(places)
    largest = max(abs(low), abs(high))
    step = 10.0 ** (math.floor(math.log10(largest)) - 1) if largest else 1.0
    if all(place == int(place) for place in places):
        step = max(step, 1.0)
    width = step * max(1, math.ceil((high - low) / step / _BINS))
    begin = math.floor(low / step + 1e-9) * step - step / 2
    return begin, width, max(1, math.ceil((high - begin) / width - 1e-9))


def score_histogram(counts: Counts, kept: Counts, step: float, log: bool, limits: Mapping[str, float]) -> Histogram:
    """The distribution of scores counted by bins of width `step`, with thresholds marked; `log`: bins are of log10."""
    usable = {name: limit for name, limit in limits.items() if limit > 0 or not log}
    places = [(math.log10(limit) if log else limit) / step for limit in usable.values()]
    low = min([*map(int, counts), *map(math.floor, places)])
    high = max([*map(int, counts), *map(math.floor, places)]) + 1
    group = math.ceil((high - low) / max(_FEW, min(60, 4 * math.isqrt(sum(counts.values())))))
    bins = math.ceil((high - low) / group)
    found, found_kept = (_grouped(one, low, group, bins) for one in (counts, kept))
    edges = [step * (low + group * bins * part / 4) for part in range(5)]
    marks = [
        {"left": 100 * (place - low) / (group * bins), "label": f"{name} {number(limit)}"}
        for (name, limit), place in zip(usable.items(), places, strict=True)
    ]
    return _picture(found, found_kept, [number(10**edge if log else edge) for edge in edges], marks)


def _grouped(counts: Counts, low: int, group: int, bins: int) -> list[int]:
    found = [0] * bins
    for name, count in counts.items():
        found[(int(name) - low) // group] += count
    return found


def number(value: float) -> str:
    """A number with at most three significant digits, thousands short.

    >>> [number(value) for value in (0.1234, 12.0, 1234.5, 2_500_000)]
    ['0.123', '12', '1.23k', '2.5M']
    """
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def _numbers(counts: Counts) -> dict[float, int]:
    return {float(name): count for name, count in counts.items() if name != OTHER}


def _picture(
    found: Sequence[int], kept: Sequence[int], ticks: list[str], marks: list[dict[str, Any]], centred: bool = False
) -> Histogram:
    highest = max(found, default=0) or 1
    total, left = sum(found), sum(kept)
    peak = found.index(max(found)) / max(len(found) - 1, 1)
    text = f"{total:,} documents from {ticks[0]} to {ticks[-1]}, {left:,} of them kept; the peak lies {peak:.0%} along"
    text += "".join(f"; {mark['label']}" for mark in marks)
    return Histogram(_steps(found, highest), _steps(kept, highest), ticks, marks, total, left, text, centred)


def _steps(found: Sequence[float], highest: float) -> str:
    """The outline of bars as an SVG path; a bar that is not empty is at least one unit high."""
    width = _WIDTH / max(len(found), 1)
    path = [f"M0 {HEIGHT}"]
    for place, count in enumerate(found):
        top = HEIGHT - max(1.0, HEIGHT * count / highest) if count else HEIGHT
        path.append(f"V{top:.1f}H{(place + 1) * width:.1f}")
    return "".join([*path, f"V{HEIGHT}Z"])
