"""The geometry of the mixture's pictures: lines by group as SVG paths, with colours that keep apart."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 1000, 300
_DASHES = ("", "8 4", "2 4", "10 3 2 3")
_COLOURS = 8
_LIGHTNESS, _CHROMA = 0.62, 0.13
_ROUNDING = 1e-9
"""Of a step: what lies so near an end is taken to lie on it."""

Points = Sequence[tuple[float, float]]


def chart(lines: Mapping[str, Points], what: str, over: str, *, zero: bool) -> dict[str, Any]:
    """Lines as paths in a box of WIDTH x HEIGHT, with ticks, a legend, and the same in words.

    `zero`: the box begins at 0. Lines without a point are left out.

    >>> found = chart({"a": [(0, 0.0), (10, 1.0)]}, "share", "step", zero=True)
    >>> found["lines"][0]["path"], [tick["label"] for tick in found["y"]]
    ('M0.0 300.0L1000.0 0.0', ['0', '0.2', '0.4', '0.6', '0.8', '1'])
    """
    shown = {name: points for name, points in lines.items() if points}
    xs = [x for points in shown.values() for x, _ in points]
    ys = [y for points in shown.values() for _, y in points]
    left, right = (min(xs), max(xs)) if xs else (0.0, 1.0)
    low, high = (0.0 if zero else min(ys), max(ys)) if ys else (0.0, 1.0)
    wide, tall = right - left or 1.0, high - low or 1.0

    def path(points: Points) -> str:
        places = (f"{WIDTH * (x - left) / wide:.1f} {HEIGHT * (1 - (y - low) / tall):.1f}" for x, y in points)
        return "M" + "L".join(places)

    return {
        "width": WIDTH,
        "height": HEIGHT,
        "what": what,
        "over": over,
        "lines": [
            {"name": name, "path": path(points), **stroke(number)}
            for number, (name, points) in enumerate(shown.items())
        ],
        "y": [{"at": HEIGHT * (1 - (y - low) / tall), "label": f"{y:.12g}"} for y in ticks(low, low + tall)],
        "x": [{"at": WIDTH * (x - left) / wide, "label": f"{x:,.12g}"} for x in ticks(left, left + wide, 5)],
        "text": _text(shown, what),
    }


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """The multiples of 1, 2 or 5 times a power of ten from `low` to `high`, at most `most`.

    >>> ticks(0.0, 0.187), ticks(5.98, 9.04)
    ([0.0, 0.05, 0.1, 0.15], [6.0, 7.0, 8.0, 9.0])
    """
    power = math.floor(math.log10((high - low) / most))
    for times in (1, 2, 5, 10, 20, 50):
        step = times * 10.0**power
        first, last = math.ceil(low / step - _ROUNDING), math.floor(high / step + _ROUNDING)
        if last - first < most:
            break
    return [float(f"{place * step:.12g}") for place in range(first, last + 1)]


def stroke(number: int) -> dict[str, str]:
    """The colour and the dashes of a line; the first 32 differ.

    >>> stroke(0)["dash"], stroke(8)["dash"], stroke(0)["colour"] == stroke(8)["colour"]
    ('', '8 4', True)
    """
    hue = 360 * (number % _COLOURS) / _COLOURS + 20
    colour = f"oklch({_LIGHTNESS} {_CHROMA} {hue:.0f})"
    return {"colour": colour, "dash": _DASHES[number // _COLOURS % len(_DASHES)]}


def shade(value: float, largest: float) -> int:
    """How strongly a cell of a heat map is coloured, -60 to 60 percent; 0 for what is no number.

    >>> shade(-0.5, 1.0), shade(0.0, 0.0)
    (-30, 0)
    """
    return round(60 * value / largest) if largest > 0 and math.isfinite(value) else 0


def _text(lines: Mapping[str, Points], what: str) -> str:
    """First and last value of each line."""
    told = "; ".join(f"{name} from {points[0][1]:.3g} to {points[-1][1]:.3g}" for name, points in lines.items())
    return f"{what}: {told or 'nothing measured'}"
