"""The student's heads: one hidden layer, an ordinal head for each criterion, a linear head for the domain.

Plain numpy, one document at a time. A criterion's head is the cumulative model of "Rank consistent ordinal regression
for neural networks with application to age estimation" (2020): one score per criterion and four thresholds,
p(rating > k) = sigmoid(score - threshold_k).
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.rating_tokens import Floats32

CLIP = 5.0
"""Standardised statistics are cut to this, so that no odd document is far outside of what training saw."""
EMBEDDING_SCALE = 8.0
"""An embedding's numbers times this are about as large as standardised statistics."""


class Answer(NamedTuple):
    """What the heads say of one document."""

    ratings: npt.NDArray[np.float64]
    """(criteria, 5): p(1) to p(5)."""
    domains: npt.NDArray[np.float64]
    """(domains,): probabilities."""


@dataclass(frozen=True)
class Heads:
    """Weights; `inputs` = statistics, then the embedding."""

    mean: Floats32
    """(statistics,)."""
    scale: Floats32
    """(statistics,)."""
    hidden: Floats32
    """(inputs, hidden)."""
    hidden_bias: Floats32
    criteria: Floats32
    """(hidden + statistics, criteria): the statistics are also read directly."""
    thresholds: Floats32
    """(criteria, 4), ascending."""
    domains: Floats32
    """(embedding, domains): the statistics would tell sources, not subjects."""
    domain_bias: Floats32

    def halved(self) -> "Heads":
        """As they are after they were stored: all but mean and scale with 16 bits."""
        kept = {"mean", "scale"}
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Heads(**{n: v if n in kept else v.astype(np.float16).astype(np.float32) for n, v in values.items()})

    def inputs(self, statistics: Floats32, embedding: Floats32) -> Floats32:
        """What the layers read of a document."""
        standard = np.clip((statistics - self.mean) / self.scale, -CLIP, CLIP)
        return np.concatenate([standard, embedding * np.float32(EMBEDDING_SCALE)])

    def answer(self, statistics: Floats32, embedding: Floats32) -> Answer:
        """Ratings of one document."""
        row = self.inputs(statistics, embedding)
        hidden = np.maximum(weighted(row, self.hidden) + self.hidden_bias, 0)
        scores = weighted(np.concatenate([hidden, row[: self.mean.size]]), self.criteria)
        domains = softmax(weighted(row[self.mean.size :], self.domains) + self.domain_bias)
        return Answer(ordinal(scores, self.thresholds), domains)


def weighted(row: Floats32, weights: Floats32) -> Floats32:
    """`row @ weights` as a sum over rows in order, the same bits whatever BLAS there is and whatever it does.

    >>> weighted(np.array([1, 2], np.float32), np.array([[1, 0], [3, 4]], np.float32)).tolist()
    [7.0, 8.0]
    """
    return np.asarray(np.add.reduce(weights * row[:, None], axis=0))


def ordinal(scores: Floats32, thresholds: Floats32) -> npt.NDArray[np.float64]:
    """p(1), ..., p(5) of each criterion.

    >>> ordinal(np.zeros(1, np.float32), np.array([[-9, -9, 9, 9]], np.float32)).round(2).tolist()
    [[0.0, 0.0, 1.0, 0.0, 0.0]]
    """
    above = 1 / (1 + np.exp(np.clip(np.sort(thresholds, axis=1) - scores[:, None], -50, 50).astype(np.float64)))
    edges = np.concatenate([np.ones((len(above), 1)), above, np.zeros((len(above), 1))], axis=1)
    return np.asarray(edges[:, :-1] - edges[:, 1:])


def softmax(scores: Floats32) -> npt.NDArray[np.float64]:
    """Probabilities of scores.

    >>> softmax(np.zeros(2, np.float32)).tolist()
    [0.5, 0.5]
    """
    powers = np.exp((scores - scores.max()).astype(np.float64))
    return np.asarray(powers / powers.sum())
