"""Measures of a score on labelled documents, and thresholds chosen by them: pure functions on arrays.

Everywhere a higher score means more harmful, and a document is dropped if its score is above the threshold. Whoever has
a score of the other direction (a perplexity) negates it first.

Every source weighs the same, so that one large source does not decide for the others: the share of a class that is
dropped is the mean of the shares of its sources. Precision is stated for a prevalence, the share of harmful documents
where the threshold will be used, since that of a labelled set is whatever its collector chose.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BySource = Mapping[str, Floats]
"""Scores by source; no source is empty."""


class Point(NamedTuple):
    """What a threshold does; shares of 1."""

    threshold: float
    precision: float
    """Of the dropped documents, how many are harmful at the stated prevalence; NaN if nothing is dropped."""
    recall: float
    """Harmful documents that are dropped."""
    false_positive_rate: float
    """Benign documents that are dropped."""


class Interval(NamedTuple):
    """A measured value and where 95 of 100 bootstrap samples have it."""

    value: float
    low: float
    high: float


def rounded(value: float) -> float | None:
    """A measure as a card holds it: four digits, None for NaN.

    >>> rounded(0.123456), rounded(float("nan"))
    (0.1235, None)
    """
    return None if math.isnan(value) else round(value, 4)


def auc(positive: Floats, negative: Floats) -> float:
    """The chance that a positive scores above a negative, ties counting half (area under the ROC curve).

    >>> auc(np.array([1.0, 3.0]), np.array([0.0, 1.0]))
    0.875
    """
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    up_to = np.searchsorted(ordered, positive, side="right")
    return float((below + up_to).sum() / (2.0 * len(positive) * len(negative)))


def auc_by_source(positive: BySource, negative: BySource) -> float:
    """The mean AUC over all pairs of a positive and a negative source."""
    return float(np.mean([auc(p, n) for p in positive.values() for n in negative.values()]))


def share_above(scores: BySource, threshold: float) -> float:
    """The share above the threshold, the mean of the sources' shares.

    >>> share_above({"a": np.array([1.0, 3.0]), "b": np.array([3.0])}, 2.0)
    0.75
    """
    return float(np.mean([np.mean(values > threshold) for values in scores.values()]))


def precision_at(recall: float, false_positive_rate: float, prevalence: float) -> float:
    """Precision where `prevalence` of the documents are harmful; NaN if nothing is dropped.

    >>> round(precision_at(recall=0.9, false_positive_rate=0.1, prevalence=0.01), 3)
    0.083
    """
    hits, alarms = prevalence * recall, (1.0 - prevalence) * false_positive_rate
    return hits / (hits + alarms) if hits + alarms else float("nan")


def point_at(threshold: float, positive: BySource, negative: BySource, prevalence: float) -> Point:
    """What a threshold does on a labelled set."""
    recall, alarms = share_above(positive, threshold), share_above(negative, threshold)
    return Point(threshold, precision_at(recall, alarms, prevalence), recall, alarms)


def threshold_for_recall(positive: BySource, recall: float) -> float:
    """The highest threshold that still drops this share of the positives.

    >>> threshold_for_recall({"a": np.array([1.0, 2.0, 3.0, 4.0])}, 0.5)
    2.0
    """
    candidates = _candidates(positive)[::-1]
    shares = _shares(positive, candidates)
    return float(candidates[np.argmax(shares >= recall - 1e-12)])


def threshold_for_precision(
    positive: BySource, negative: BySource, precision: float, prevalence: float
) -> float | None:
    """The lowest threshold from which on precision stays at the wanted one or above; None if there is none.

    "Stays": a low threshold that reaches the precision by luck, with worse ones above it, is not taken.
    """
    candidates = _candidates({**positive, **{f"-{name}": values for name, values in negative.items()}})
    hits = prevalence * _shares(positive, candidates)
    alarms = (1.0 - prevalence) * _shares(negative, candidates)
    enough = (hits >= precision * (hits + alarms)) | (hits == 0)
    start = len(enough) - int(np.argmin(enough[::-1])) if not enough.all() else 0
    return float(candidates[start]) if start < len(candidates) and hits[start] > 0 else None


def threshold_for_alarms(negative: BySource, share: float) -> float:
    """The lowest threshold that drops at most this share of the negatives.

    >>> threshold_for_alarms({"a": np.array([1.0, 2.0, 3.0, 4.0])}, 0.25)
    3.0
    """
    candidates = _candidates(negative)
    return float(candidates[np.argmax(_shares(negative, candidates) <= share + 1e-12)])


def bootstrap(
    measure: Callable[[BySource, BySource], float], positive: BySource, negative: BySource, seed: int, rounds: int = 500
) -> Interval:
    """A measure with its 95% interval: sources are drawn with replacement, then documents within each of them.

    Few sources give a wide interval, as they should: what matters is the next source, not the next document.
    """
    rng = np.random.default_rng(seed)
    values = [measure(_resampled(positive, rng), _resampled(negative, rng)) for _ in range(rounds)]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return Interval(measure(positive, negative), float(low), float(high))


def bootstrap_share(values: Floats, threshold: float, seed: int, rounds: int = 500) -> Interval:
    """The share of one source's documents above the threshold, with its 95% interval over documents."""
    rng, above = np.random.default_rng(seed), values > threshold
    drawn = rng.binomial(len(above), above.mean(), rounds) / len(above)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(above.mean()), float(low), float(high))


def _candidates(scores: BySource) -> Floats:
    """All places where a share can change, ascending, with one below all scores."""
    values = np.unique(np.concatenate(list(scores.values())))
    return np.concatenate(([np.nextafter(values[0], -np.inf)], values))


def _shares(scores: BySource, thresholds: Floats) -> Floats:
    """`share_above` for many thresholds at once."""
    above = [
        1.0 - np.searchsorted(np.sort(values), thresholds, side="right") / len(values) for values in scores.values()
    ]
    return np.asarray(np.mean(above, axis=0), dtype=np.float64)


def _resampled(scores: BySource, rng: np.random.Generator) -> dict[str, Floats]:
    names = list(scores)
    drawn = rng.integers(len(names), size=len(names))
    return {f"{place} {names[i]}": rng.choice(scores[names[i]], len(scores[names[i]])) for place, i in enumerate(drawn)}
