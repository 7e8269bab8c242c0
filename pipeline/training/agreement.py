"""How well a rater agrees with labels: pure functions on arrays, and one table of figures for each criterion."""

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
SCORES = 5


def ranks(values: npt.ArrayLike) -> Floats:
    """Ranks from 1, equal values sharing their mean rank.

    >>> ranks([3.0, 1.0, 3.0]).tolist()
    [2.5, 1.0, 2.5]
    """
    _, places, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[places], np.float64)


def spearman(one: npt.ArrayLike, other: npt.ArrayLike) -> float | None:
    """Rank correlation; None if either side has one value only.

    >>> round(spearman([1, 2, 3, 4], [1, 3, 2, 4]), 3)
    0.8
    """
    first, second = ranks(one), ranks(other)
    if not first.size or first.std() == 0 or second.std() == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def confusion(labels: Whole, scores: Whole, size: int = SCORES) -> Whole:
    """Counts by label (rows) and score (columns), both from 1."""
    table = np.zeros((size, size), np.int64)
    np.add.at(table, (labels - 1, scores - 1), 1)
    return table


def macro_f1(table: Whole) -> float:
    """Mean F1 of the classes that are there, in labels or answers.

    >>> round(macro_f1(np.array([[2, 0], [1, 1]])), 4)
    0.7333
    """
    hits, there = np.diag(table), table.sum(axis=0) + table.sum(axis=1)
    return float(np.mean(2 * hits[there > 0] / there[there > 0])) if there.any() else 0.0


def reliability(labels: Floats, expected: Floats) -> list[dict[str, float]]:
    """For each whole expected score: documents, their mean expected score, and their mean label."""
    found = []
    for score in range(1, SCORES + 1):
        chosen = np.floor(expected + 0.5) == score
        if chosen.any():
            found.append({
                "expected": round(float(expected[chosen].mean()), 3),
                "label": round(float(labels[chosen].mean()), 3),
                "documents": int(chosen.sum()),
            })  # fmt: skip
    return found


def level_order(scores: Floats) -> Floats:
    """Of each document: share of pairs of its levels (columns, best first) in the right order, ties counting half.

    >>> level_order(np.array([[5.0, 4.0, 3.0], [5.0, 5.0, 6.0]])).tolist()
    [1.0, 0.16666666666666666]
    """
    pairs = list(combinations(scores.T, 2))
    return np.asarray(np.mean([(better > worse) + 0.5 * (better == worse) for better, worse in pairs], axis=0))


def criterion_figures(labels: Floats, scores: Whole, expected: Floats) -> dict[str, Any]:
    """All figures of one criterion; `labels` are whole numbers, 1 to 5."""
    table = confusion(labels.astype(np.int64), scores)
    commonest = int(table.sum(axis=1).argmax()) + 1
    rank = spearman(labels, expected)
    return {
        "documents": len(labels),
        "exact": round(float(np.mean(labels == scores)), 4),
        "within_one": round(float(np.mean(np.abs(labels - scores) <= 1)), 4),
        "always_the_commonest": round(float(np.mean(labels == commonest)), 4),
        "macro_f1": round(macro_f1(table), 4),
        "spearman": None if rank is None else round(rank, 4),
        "mean_error": round(float(np.mean(np.abs(labels - expected))), 4),
        "confusion": table.tolist(),
        "reliability": reliability(labels, expected),
    }


def domain_figures(labels: Whole, found: Whole, names: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy of domains (places in `names`), and F1 averaged over those that are there."""
    table = confusion(labels + 1, found + 1, len(names))
    return {
        "documents": len(labels),
        "exact": round(float(np.mean(labels == found)), 4),
        "macro_f1": round(macro_f1(table), 4),
        "confusion": table.tolist(),
        "names": list(names),
    }
