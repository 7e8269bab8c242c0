"""Fitting of the student's heads: Adam in numpy, the same bytes for the same seed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.rating_heads import CLIP, EMBEDDING_SCALE, Heads
from stages.rating_protocol import CRITERIA, DOMAINS

F = npt.NDArray[np.float32]
THRESHOLDS = 4


@dataclass(frozen=True)
class Fitting:
    """How the heads are fitted; set once, not searched for."""

    hidden: int = 48
    epochs: int = 12
    batch: int = 128
    rate: float = 2e-3
    decay: float = 2e-2
    domain_decay: float = 5e-2
    dropout: float = 0.1
    """Chance that a training input is left out."""
    embedding_dropout: float = 0.3
    """The same for an example's whole embedding, so that criteria do not lean on the topic."""
    seed: int = 20250219


@dataclass(frozen=True)
class Inputs:
    """What the heads are fitted on; rows are examples."""

    statistics: F
    embeddings: F
    labels: npt.NDArray[np.float64]
    """(n, criteria): NaN where there is none."""
    weights: npt.NDArray[np.float64]
    domains: npt.NDArray[np.int64]
    """(n,): -1 where not known."""


def fit(data: Inputs, how: Fitting) -> Heads:
    """Heads for these examples."""
    mean = data.statistics.mean(axis=0)
    scale = np.maximum(data.statistics.std(axis=0), 1e-4)
    standard = np.clip((data.statistics - mean) / scale, -CLIP, CLIP)
    rows = np.concatenate([standard, data.embeddings * EMBEDDING_SCALE], axis=1).astype(np.float32)
    parameters = _criteria(rows, data, how, standard.shape[1])
    domains, bias = _domains(rows[:, standard.shape[1] :], data.domains, how)
    return Heads(mean.astype(np.float32), scale.astype(np.float32), *parameters, domains, bias)


class _Adam:
    def __init__(self, parameters: list[F], rate: float, decay: list[float], steps: int) -> None:
        self.parameters, self.rate, self.decay, self.steps, self.step = parameters, rate, decay, steps, 0
        self.first = [np.zeros_like(p) for p in parameters]
        self.second = [np.zeros_like(p) for p in parameters]

    def update(self, gradients: list[F]) -> None:
        self.step += 1
        rate = self.rate * (1 - self.step / (self.steps + 1))
        for place, gradient in enumerate(gradients):
            parameter, first, second = self.parameters[place], self.first[place], self.second[place]
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient * gradient - second)
            step = (first / (1 - 0.9**self.step)) / (np.sqrt(second / (1 - 0.999**self.step)) + 1e-8)
            parameter -= np.float32(rate) * (step + np.float32(self.decay[place]) * parameter)


def _criteria(rows: F, data: Inputs, how: Fitting, statistics: int) -> tuple[F, F, F, F]:
    chance = np.random.default_rng(how.seed)
    size, outputs = rows.shape[1], len(CRITERIA)
    hidden = chance.normal(0, size**-0.5, (size, how.hidden)).astype(np.float32)
    bias = np.zeros(how.hidden, np.float32)
    out = chance.normal(0, 0.05, (how.hidden + statistics, outputs)).astype(np.float32)
    thresholds = np.tile(np.array([-3, -2, -1, 0], np.float32), (outputs, 1))
    known = ~np.isnan(data.labels)
    above = (np.nan_to_num(data.labels)[:, :, None] > np.arange(1, 5)).astype(np.float32)
    weights = (np.where(known, data.weights, 0) / np.maximum(1, known.sum(axis=0)) * len(rows)).astype(np.float32)
    weights = np.minimum(weights, 10)
    steps = how.epochs * -(-len(rows) // how.batch)
    adam = _Adam([hidden, bias, out, thresholds], how.rate, [how.decay, 0, how.decay, 0], steps)
    for _ in range(how.epochs):
        order = chance.permutation(len(rows))
        for start in range(0, len(rows), how.batch):
            chosen = order[start : start + how.batch]
            kept = (chance.random((len(chosen), size)) >= how.dropout).astype(np.float32)
            kept[:, statistics:] *= chance.random((len(chosen), 1)) >= how.embedding_dropout
            batch = rows[chosen] * kept
            adam.update(_gradients(batch, (hidden, bias, out, thresholds), above[chosen], weights[chosen], statistics))
    return hidden, bias, out, np.sort(thresholds, axis=1)


def _gradients(rows: F, parameters: tuple[F, F, F, F], above: F, weights: F, statistics: int) -> list[F]:
    hidden, bias, out, thresholds = parameters
    before = rows @ hidden + bias
    active = np.maximum(before, 0)
    layer = np.concatenate([active, rows[:, :statistics]], axis=1)
    scores = layer @ out
    chances = 1 / (1 + np.exp(np.clip(thresholds - scores[:, :, None], -30, 30)))
    wrong = (chances - above) * weights[:, :, None] / len(rows)
    by_score = wrong.sum(axis=2)
    back = (by_score @ out[: hidden.shape[1]].T) * (before > 0)
    return [rows.T @ back, back.sum(axis=0), layer.T @ by_score, -wrong.sum(axis=0)]


def _domains(rows: F, domains: npt.NDArray[np.int64], how: Fitting) -> tuple[F, F]:
    """A linear softmax, every domain weighing the same; domains without examples get a bias that keeps them out."""
    chosen = domains >= 0
    weights, bias = np.zeros((rows.shape[1], len(DOMAINS)), np.float32), np.zeros(len(DOMAINS), np.float32)
    counts = np.bincount(domains[chosen], minlength=len(DOMAINS))
    bias[counts == 0] = -30
    if not chosen.any():
        return weights, np.zeros(len(DOMAINS), np.float32)
    data, target = rows[chosen], np.eye(len(DOMAINS), dtype=np.float32)[domains[chosen]]
    weight = (len(data) / np.maximum(1, counts) / (counts > 0).sum())[domains[chosen]].astype(np.float32)
    chance = np.random.default_rng(how.seed + 1)
    steps = how.epochs * -(-len(data) // how.batch)
    adam = _Adam([weights, bias], how.rate, [how.domain_decay, 0], steps)
    for _ in range(how.epochs):
        order = chance.permutation(len(data))
        for start in range(0, len(data), how.batch):
            now = order[start : start + how.batch]
            batch = data[now]
            scores = batch @ weights + bias
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            wrong = (powers / powers.sum(axis=1, keepdims=True) - target[now]) * weight[now][:, None] / len(now)
            adam.update([batch.T @ wrong, wrong.sum(axis=0)])
    return weights, bias
