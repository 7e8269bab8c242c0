"""Gradient-boosted regression trees on a few features, in numpy: enough for RegMix, whose tables are tiny."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.mixture_simplex import Floats

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tree:
    """A leaf with a value, or a split: rows with `feature <= cut` go to `low`."""

    value: float = 0.0
    feature: int = -1
    cut: float = 0.0
    low: "Tree | None" = None
    high: "Tree | None" = None

    def predict(self, features: Floats, out: Floats, rows: Rows) -> None:
        """Write the values of the given rows of `features` (n, f) into `out` (n,)."""
        if self.low is None or self.high is None:
            out[rows] = self.value
            return
        below = features[rows, self.feature] <= self.cut
        self.low.predict(features, out, rows[below])
        self.high.predict(features, out, rows[~below])


def boosted(
    features: Floats, values: Floats, trees: int = 200, rate: float = 0.1, depth: int = 3
) -> Callable[[Floats], Floats]:
    """A predictor of values (n,) from features (n, f): the mean plus `trees` trees, each fitted to what is left.

    >>> predict = boosted(np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([1.0, 1.0, 5.0, 5.0]))
    >>> predict(np.array([[0.5], [2.5]])).round(3).tolist()
    [1.0, 5.0]
    """
    base = float(values.mean())
    grown: list[Tree] = []
    left = values - base
    for _ in range(trees):
        tree = grow(features, left, depth)
        grown.append(tree)
        left = left - rate * _predicted([tree], features)
    return lambda found: base + rate * _predicted(grown, found)


def grow(features: Floats, values: Floats, depth: int, smallest: int = 2) -> Tree:
    """A tree of least squares; every leaf holds at least `smallest` rows."""
    split = best_split(features, values, smallest) if depth else None
    if split is None:
        return Tree(float(values.mean()))
    feature, cut = split
    below = features[:, feature] <= cut
    low = grow(features[below], values[below], depth - 1, smallest)
    return Tree(0.0, feature, cut, low, grow(features[~below], values[~below], depth - 1, smallest))


def best_split(features: Floats, values: Floats, smallest: int) -> tuple[int, float] | None:
    """The feature and the cut that lower the sum of squares most; None if no cut lowers it.

    >>> best_split(np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([1.0, 1.0, 5.0, 5.0]), 1)
    (0, 1.5)
    """
    count = len(values)
    if count < 2 * smallest:
        return None
    order = np.argsort(features, axis=0, kind="stable")
    ordered = np.take_along_axis(features, order, axis=0)
    sums = np.cumsum(values[order] - values.mean(), axis=0)[smallest - 1 : count - smallest]
    below = np.arange(smallest, count - smallest + 1)[:, None]
    gains = sums**2 * (1 / below + 1 / (count - below))
    gains[ordered[smallest - 1 : count - smallest] == ordered[smallest : count - smallest + 1]] = 0.0
    place, feature = np.unravel_index(int(gains.argmax()), gains.shape)
    if gains[place, feature] <= 1e-15 * max(float((values**2).sum()), 1e-300):
        return None
    edge = place + smallest - 1
    return int(feature), float((ordered[edge, feature] + ordered[edge + 1, feature]) / 2)


def _predicted(trees: list[Tree], features: Floats) -> Floats:
    total, out, rows = np.zeros(len(features)), np.empty(len(features)), np.arange(len(features))
    for tree in trees:
        tree.predict(features, out, rows)
        total += out
    return total
