"""How good an order is: similarity along it, and inside the windows that a trainer sees."""

import numpy as np
import numpy.typing as npt

from stages.ordering_graph import Ints, Longs
from stages.ordering_vectors import Units, cosine, pair_similarities

Doubles = npt.NDArray[np.float64]


def consecutive(vectors: Units, order: Ints) -> Doubles:
    """The cosine of each row to the next, (n - 1,).

    >>> consecutive(np.array([[16384, 0], [0, 16384], [16384, 0]], np.int16), np.array([0, 2, 1], np.int32)).tolist()
    [1.0, 0.0]
    """
    return cosine(pair_similarities(vectors, order[:-1], order[1:]))


def windows_of(order: Ints, size: int) -> Ints:
    """The window (n,) of each row, if every `size` rows in a row make one.

    >>> windows_of(np.array([2, 0, 1], np.int32), 2).tolist()
    [0, 1, 0]
    """
    found = np.empty(len(order), np.int32)
    found[order] = np.arange(len(order)) // size
    return found


def win(vectors: Units, rows: npt.ArrayLike, windows: npt.ArrayLike) -> float:
    """The mean over windows of the mean cosine of all pairs within; windows of one row do not count.

    `rows` and `windows` (m,) say which row has a part in which window. NaN if no window has two.

    >>> win(np.array([[16384, 0], [16384, 0], [0, 16384]], np.int16), [0, 1, 2], [0, 0, 0])
    0.3333333333333333
    """
    given = np.asarray(rows, np.int32)
    sums, homes = _sums(vectors, given, np.asarray(windows), np.ones(len(given), np.int64))
    squares = np.bincount(homes, _squares(vectors, given), len(sums))
    sizes = np.bincount(homes, minlength=len(sums))
    several = sizes > 1
    pairs = np.square(sums[several]).sum(axis=1) - squares[several]
    means = pairs / (sizes * (sizes - 1))[several]
    return float(cosine(means).mean()) if len(means) else float("nan")


def token_win(vectors: Units, rows: npt.ArrayLike, windows: npt.ArrayLike, tokens: npt.ArrayLike) -> float:
    """The mean over tokens of the mean cosine of their document to those of the other documents' tokens in the window.

    A document that is alone in a window counts as 0, so isolating long ones gains nothing. `tokens` (m,) are those of
    each part. NaN without tokens.

    >>> vectors = np.array([[16384, 0], [16384, 0], [0, 16384]], np.int16)
    >>> token_win(vectors, [0, 1, 2], [0, 0, 1], [10, 10, 20])
    0.5
    """
    given, weights = np.asarray(rows, np.int32), np.asarray(tokens, np.int64)
    sums, homes = _sums(vectors, given, np.asarray(windows), weights)
    loads = np.bincount(homes, weights, len(sums))[homes]
    inside = np.empty(len(given), np.float64)
    for begin in range(0, len(given), 65_536):
        part = slice(begin, begin + 65_536)
        inside[part] = (sums[homes[part]] * vectors[given[part]]).sum(axis=1)
    others = loads - weights
    means = (inside - weights * _squares(vectors, given)) / np.maximum(others, 1)
    total = weights.sum()
    return float(cosine((means * weights * (others > 0)).sum() / total)) if total else float("nan")


def _sums(vectors: Units, rows: Ints, windows: npt.NDArray[np.int64], weights: Longs) -> tuple[Doubles, Longs]:
    """The weighted sum of each window's vectors, and the number of each part's window."""
    names, homes = np.unique(windows, return_inverse=True)
    sums = np.zeros((len(names), vectors.shape[1]), np.float64)
    order = np.argsort(homes, kind="stable")
    begins = np.searchsorted(homes[order], np.arange(len(names)))
    for first in range(0, len(names), 4_096):
        last = min(first + 4_096, len(names))
        begin, end = begins[first], begins[last] if last < len(names) else len(rows)
        part = order[begin:end]
        weighted = vectors[rows[part]].astype(np.float64) * weights[part, None]
        sums[first:last] = np.add.reduceat(weighted, begins[first:last] - begin, axis=0)
    return sums, homes


def _squares(vectors: Units, rows: Ints) -> Doubles:
    return np.asarray(pair_similarities(vectors, rows, rows), np.float64)
