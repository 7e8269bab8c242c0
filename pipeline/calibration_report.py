"""The page of a calibration: both distributions as a picture, and the figures. One file, no text of documents."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.calibrate import NO_LABELS, Calibrated, Inputs, native
from pipeline.calibration import BySource, Floats
from pipeline.density import Valley, density, grid_of

WIDTH, HEIGHT, BOTTOM = 720, 220, 30
"""Pixels of the picture, and of the axis below it."""


class Curve(NamedTuple):
    """One distribution as an SVG path."""

    name: str
    path: str


class Mark(NamedTuple):
    """A place on the axis: pixels from the left, and the score there."""

    x: float
    label: str


def labelled_page(found: Calibrated) -> str:
    """The page of a labelled set."""
    positive, negative = _all(found.positive), _all(found.negative)
    grid = grid_of(positive, negative)
    score = found.inputs.score
    return _render(
        found.inputs,
        grid,
        _curves(grid, [("harmful", positive), ("benign", negative)]),
        threshold=_mark(grid, found.point.threshold, score),
        valley=_valley_mark(grid, found.valley, score),
        found=found,
        refusal="",
        clusters=None,
    )


def unlabelled_page(scores: BySource, inputs: Inputs, found: Valley | None) -> str:
    """The page of documents without labels: the distribution, and why there is no threshold."""
    values = _all(scores)
    grid = grid_of(values)
    return _render(
        inputs,
        grid,
        _curves(grid, [("all documents", values)]),
        threshold=None,
        valley=_valley_mark(grid, found, inputs.score),
        found=None,
        refusal=NO_LABELS,
        clusters=found,
    )


def _render(inputs: Inputs, grid: Floats, curves: Sequence[Curve], **facts: Any) -> str:
    """Every value is escaped by the template engine."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["percent"] = lambda value: f"{value:.1%}"
    ticks = [_mark(grid, float(place), inputs.score) for place in np.linspace(grid[0], grid[-1], 7)]
    size = {"width": WIDTH, "height": HEIGHT, "bottom": BOTTOM}
    page = environment.get_template("calibration.html")
    return page.render(inputs=inputs, curves=curves, ticks=ticks, size=size, **facts)


def _all(scores: BySource) -> Floats:
    return np.concatenate(list(scores.values()))


def _curves(grid: Floats, sets: Sequence[tuple[str, Floats]]) -> list[Curve]:
    heights = [density(values, grid) for _, values in sets]
    highest = max(float(height.max()) for height in heights)
    return [Curve(name, _path(height / highest)) for (name, _), height in zip(sets, heights, strict=True)]


def _path(heights: Floats) -> str:
    xs = np.linspace(0, WIDTH, len(heights))
    points = " ".join(f"L{x:.1f} {HEIGHT * (1 - y):.1f}" for x, y in zip(xs, heights, strict=True))
    return f"M0 {HEIGHT} {points} L{WIDTH} {HEIGHT} Z"


def _mark(grid: Floats, place: float, score: str) -> Mark:
    x = WIDTH * (place - grid[0]) / (grid[-1] - grid[0])
    return Mark(round(float(np.clip(x, 0, WIDTH)), 1), f"{native(place, score):.3g}")


def _valley_mark(grid: Floats, found: Valley | None, score: str) -> Mark | None:
    return None if found is None else _mark(grid, found.place, score)
