"""From the losses around probes to A, the matrix of Aioli, and to how well it is known.

A_ij (nats) is how much the loss of group `i` falls in a probe's steps on group `j` alone. A probe trains on a mixture,
row `j` of P, so B_ij = sum_l A_il P_jl and A_i = solve(P, B_i). Probes come in sweeps, each with every group once.

The error is told from how sweeps differ, after taking out what is the same for all probes of a sweep (learning slows
down: that moves no mixture) and, where enough sweeps are there to see it, a linear trend over a sweep's probes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.mixture_simplex import Floats, normalised, probe_mixtures

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Noise:
    """Residual sum of squares and degrees of freedom; adding up two of them pools the estimates."""

    squares: float = 0.0
    freedom: float = 0.0

    @property
    def variance(self) -> float:
        """Of one value; infinite without degrees of freedom."""
        return self.squares / self.freedom if self.freedom > 0 else np.inf

    def pooled(self, older: "Noise", memory: float) -> "Noise":
        """With older noise, which counts `memory` times."""
        return Noise(self.squares + memory * older.squares, self.freedom + memory * older.freedom)


def sweep_orders(groups: int, sweeps: int, seed: tuple[int, ...]) -> Ints:
    """Which group each probe is for (sweeps, groups): random, and every second sweep is the one before it backwards.

    So a linear trend of the losses over two sweeps favours no group.

    >>> orders = sweep_orders(4, 2, (0, 1))
    >>> sorted(orders[0].tolist()), orders[1].tolist() == orders[0][::-1].tolist()
    ([0, 1, 2, 3], True)
    """
    random = np.random.Generator(np.random.PCG64(seed))
    orders: list[Ints] = []
    while len(orders) < sweeps:
        order = np.argsort(random.random(groups), kind="stable").astype(np.int64)
        orders += [order, order[::-1]]
    return np.array(orders[:sweeps])


def drops_of(losses: Floats, orders: Ints) -> Floats:
    """Losses (probes + 1, m) around probes in `orders` (sweeps, m) as B: (sweeps, group whose loss, group of probe)."""
    sweeps, groups = orders.shape
    fallen = (losses[:-1] - losses[1:]).reshape(sweeps, groups, groups)
    drops = np.empty((sweeps, groups, groups))
    for sweep, order in enumerate(orders):
        drops[sweep][:, order] = fallen[sweep].T
    return drops


def solved(drops: Floats, own: float) -> Floats:
    """A (m, m) from B of all sweeps.

    >>> solved(np.array([[[1.75, 1.25], [0.25, 0.75]]]), 0.75).tolist()
    [[2.0, 1.0], [0.0, 1.0]]
    """
    mixtures = probe_mixtures(drops.shape[1], own)
    return np.asarray(np.linalg.solve(mixtures, drops.mean(0).T).T, np.float64)


def noise(values: Floats, orders: Ints) -> Noise:
    """Noise of values (sweeps, m), one for each probe, around a mean for each group and one for each sweep."""
    residual = _centred(values)
    sweeps, groups = values.shape
    freedom = (sweeps - 1) * (groups - 1)
    place = _centred(np.argsort(orders, axis=1).astype(np.float64))
    spread = float((place**2).sum())
    if freedom > 2 and spread > 0:
        residual = residual - place * float((residual * place).sum()) / spread
        freedom -= 1
    return Noise(float((residual**2).sum()), freedom)


def matrix_error(drops: Floats, orders: Ints, own: float) -> Floats:
    """Standard error of each entry of A (m, m); infinite with one sweep."""
    sweeps, groups, _ = drops.shape
    rows = np.sqrt([noise(drops[:, row], orders).variance / sweeps for row in range(groups)])
    lengths = np.linalg.norm(np.linalg.inv(probe_mixtures(groups, own)), axis=1)
    return np.asarray(np.outer(rows, lengths), np.float64)


def column_variance(found: Noise, sweeps: int, groups: int, own: float) -> float:
    """Variance of a column sum of A around the mean of all, from the noise of one probe."""
    return found.variance / sweeps / (own - (1 - own) / (groups - 1)) ** 2


def deviations(matrix: Floats, weights: Floats) -> Floats:
    """How far A's column sums, weighted by the objective, are from their mean (m,), in nats."""
    columns = weights @ matrix
    return np.asarray(columns - columns.mean(), np.float64)


def shrunk(matrix: Floats, factors: Floats) -> Floats:
    """A with each column drawn to the mean of all by its factor (m,): 1 changes nothing, 0 makes it the mean.

    >>> shrunk(np.array([[1.0, 3.0]]), np.array([1.0, 0.5])).tolist()
    [[1.0, 2.5]]
    """
    mean = matrix.mean(axis=1, keepdims=True)
    drawn: Floats = mean + factors * (matrix - mean)
    return drawn


def normalised_matrix(matrix: Floats, weights: Floats) -> Floats | None:
    """Abar (m, m): rows weighted by the objective, the minimum subtracted if negative, entries sum to 1.

    None where it is degenerate: nothing but zeros, or something that is no number.

    >>> normalised_matrix(np.array([[3.0, -1.0], [1.0, 1.0]]), np.ones(2)).tolist()
    [[0.5, 0.0], [0.25, 0.25]]
    """
    rows = matrix[weights > 0] * weights[weights > 0, None]
    if not np.isfinite(rows).all():
        return None
    rows = rows - min(rows.min(), 0.0)
    full = np.zeros_like(matrix)
    full[weights > 0] = rows
    return normalised(full.ravel()).reshape(matrix.shape) if full.sum() > 0 else None


def _centred(values: Floats) -> Floats:
    centred: Floats = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    return centred
