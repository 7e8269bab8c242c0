"""Whether A is known well enough to move a mixture: rounds are pooled, then tested and shrunk.

A round's own A often has a signal no larger than its error. Groups keep their character for some rounds, so a
forgetting mean over rounds tells them apart before any single round does. Rounds are pooled in units of their own
errors: signal and noise both fall, by tens over a run, and a mean of nats would hear the first rounds alone.
"""

from dataclasses import dataclass, field

import numpy as np

from stages.mixture_estimator import State
from stages.mixture_probes import Ints, Noise, column_variance, deviations, noise, shrunk
from stages.mixture_simplex import Floats

_EXACT = 1e-9
"""Differences of this share of the largest drop are rounding, not signal."""

_ANEW = 2.0
"""How many times as far as a column that stands out one is that needs no other round to tell so."""
_NOISE_MEMORY = 0.8
"""How much shorter errors are remembered than A: those of early rounds are too large for later ones."""


@dataclass
class Evidence:
    """The pooled A and its error; a round counts `memory` times as much as the one after it, 0 takes each alone.

    A column stands out that is more than `hold` errors from the mean of all. A round in which one does by twice as much
    starts the pool anew.
    """

    memory: float
    hold: float
    _matrix: Floats | None = field(init=False, default=None)
    """The pooled A in units: of each round's own error."""
    _weight: float = field(init=False, default=0.0)
    """Sum of memory^age over pooled rounds."""
    _square: float = field(init=False, default=0.0)
    """Sum of memory^(2 age) over pooled rounds."""
    _noise: Noise = field(init=False, default_factory=Noise)
    _unit: float = field(init=False, default=1.0)
    """Error of a column sum in the latest round (nats); 1 if it cannot be told."""
    _away: Floats = field(init=False, default_factory=lambda: np.zeros(1))
    """How far column sums of the pooled A are from their mean (m,), in units."""

    def add(self, matrix: Floats, drops: Floats, orders: Ints, own: float, weights: Floats) -> None:
        """Take a round: its A, the drops it was solved from (sweeps, m, m), and the objective's weights (m,)."""
        sweeps, groups, _ = drops.shape
        older = self._remembered()
        objective = np.einsum("i,sij->sj", weights, drops)
        self._noise = noise(objective, orders).pooled(self._noise, _NOISE_MEMORY * self.memory)
        rounding = _EXACT * float(np.abs(objective).max())
        variance = max(column_variance(self._noise, sweeps, groups, own), rounding**2)
        self._unit = float(np.sqrt(variance)) if 0 < variance < np.inf else 1.0
        old, square = self.memory * self._weight, self.memory**2 * self._square
        self._take(matrix / self._unit, 1.0, 1.0, weights)
        if older is not None and old and self.farthest <= _ANEW * self.threshold:
            self._take((old * older + matrix / self._unit) / (old + 1), old + 1, square + 1, weights)

    def _remembered(self) -> Floats | None:
        """The pooled A before a round, in units; no clearer than what starts a pool anew, or it would never fade."""
        if self._matrix is None or not self.hold or not self._noise.freedom:
            return self._matrix
        return self._matrix * min(1.0, _ANEW * self.threshold / max(self.farthest, 1e-300))

    @property
    def farthest(self) -> float:
        """How far a column sum of the pooled A is from the mean of all, at most (nats, at the latest round's scale)."""
        return float(np.abs(self._away).max()) * self._unit

    @property
    def error(self) -> float:
        """Standard error of a column sum of the pooled A (nats); infinite if it cannot be told."""
        known = self._weight and self._noise.freedom > 0
        return self._unit * float(np.sqrt(self._square)) / self._weight if known else np.inf

    @property
    def threshold(self) -> float:
        """From where on a column stands out (nats): `hold` errors, more with few degrees of freedom."""
        return self.hold * few(self._noise.freedom) * self.error if self._noise.freedom > 0 else np.inf

    def matrix(self, *, shrink: bool) -> Floats:
        """The pooled A; if asked, columns that do not stand out are the mean of all, and others are drawn to it."""
        assert self._matrix is not None
        matrix = self._matrix * self._unit
        if not shrink or not self.hold:
            return matrix
        away = np.maximum(np.abs(self._away) * self._unit, 1e-300)
        return shrunk(matrix, np.maximum(0.0, 1 - np.minimum(self.threshold / away, 1.0) ** 2))

    def _take(self, matrix: Floats, weight: float, square: float, weights: Floats) -> None:
        self._matrix, self._weight, self._square = matrix, weight, square
        self._away = deviations(matrix, weights)

    def state(self) -> State:
        """As JSON."""
        return {
            "matrix": None if self._matrix is None else self._matrix.tolist(),
            "away": self._away.tolist(),
            "sums": [self._weight, self._square, self._noise.squares, self._noise.freedom, self._unit],
        }

    def load(self, state: State) -> None:
        """Take back what `state` gave."""
        self._matrix = None if state["matrix"] is None else np.array(state["matrix"], np.float64)
        self._weight, self._square, squares, freedom, self._unit = state["sums"]
        self._away = np.array(state["away"], np.float64)
        self._noise = Noise(squares, freedom)


def few(freedom: float) -> float:
    """How much wider an interval is with an error told from few degrees of freedom: Student's t over the normal's, 95%.

    >>> [round(few(freedom), 2) for freedom in (1, 2, 3, 10)]
    [6.5, 2.17, 1.59, 1.13]
    """
    return 1 + 1.3 / freedom + 4.2 / freedom**3
