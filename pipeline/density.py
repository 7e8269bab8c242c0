"""The distribution of a score as a smooth curve, and the valley between its two highest hills."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_POINTS = 400
_PROMINENCE = 0.05


class Valley(NamedTuple):
    """The lowest place between two hills."""

    place: float
    depth: float
    """1 minus the height of the valley as a share of the lower hill: 1 for two clusters that do not touch."""
    left: float
    """Where the lower-scoring hill is."""
    right: float


def density(values: Floats, grid: Floats) -> Floats:
    """Kernel density of `values` on `grid`: Gaussian, bandwidth by Silverman's rule (1986, equation 3.31)."""
    spread = min(float(np.std(values)), float(np.subtract(*np.quantile(values, [0.75, 0.25]))) / 1.34) or np.std(values)
    width = 0.9 * float(spread) * len(values) ** -0.2 or 1e-3
    counts, edges = np.histogram(values, bins=8 * len(grid))
    centres = (edges[:-1] + edges[1:]) / 2
    kernel = np.exp(-0.5 * ((grid[:, None] - centres[None, :]) / width) ** 2)
    return np.asarray(kernel @ counts / (len(values) * width * np.sqrt(2 * np.pi)), dtype=np.float64)


def grid_of(*arrays: Floats) -> Floats:
    """Evenly spaced places that span all but the outermost 0.1% of the values on each side, with a margin."""
    low = min(float(np.quantile(values, 0.001)) for values in arrays)
    high = max(float(np.quantile(values, 0.999)) for values in arrays)
    margin = 0.05 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, _POINTS)


def valley(values: Floats) -> Valley | None:
    """The valley between the two highest hills; None if there is one hill, or the second is a mere ripple.

    It says where few documents lie, not which side of it is harmful: see `pipeline.calibrate`.
    """
    grid = grid_of(values)
    heights = density(values, grid)
    inner = heights[1:-1]
    hills = np.flatnonzero((inner > heights[:-2]) & (inner >= heights[2:])) + 1
    hills = hills[heights[hills] > _PROMINENCE * heights.max()]
    pairs = [_between(grid, heights, int(a), int(b)) for i, a in enumerate(hills) for b in hills[i + 1 :]]
    pairs = [pair for pair in pairs if pair.depth > _PROMINENCE]
    return max(pairs, key=lambda pair: _lower_hill(grid, heights, pair) * pair.depth, default=None)


def _between(grid: Floats, heights: Floats, left: int, right: int) -> Valley:
    lowest = left + int(np.argmin(heights[left : right + 1]))
    depth = 1.0 - heights[lowest] / min(heights[left], heights[right])
    return Valley(float(grid[lowest]), float(depth), float(grid[left]), float(grid[right]))


def _lower_hill(grid: Floats, heights: Floats, found: Valley) -> float:
    return float(np.min(np.interp([found.left, found.right], grid, heights)))
