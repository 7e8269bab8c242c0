"""Whether A is known well enough to move a mixture: rounds are pooled, then tested and shrunk.

A round's own A often has a signal no larger than its error. Groups keep their character for some rounds, so a
forgetting mean over rounds tells them apart before any single round does. Rounds are pooled in units of their own
errors: signal and noise both fall, by tens over a run, and a mean of nats would hear the first rounds alone.
"""

from dataclasses import dataclass, field

import numpy as np

from stages.mixture_estimator import State
from stages.mixture_probes import Ints, Noise, column_variance, noise, shrunk, spread
from stages.mixture_simplex import Floats

_EXACT = 1e-9
"""Differences of this share of the largest drop are rounding, not signal."""


_NOISE_MEMORY = 0.8
"""How much shorter errors are remembered than A: those of early rounds are too large for later ones."""


@dataclass
class Evidence:
    """The pooled A and its error; a round counts `memory` times as much as the one after it, 0 takes each alone.

    A round that is clear by itself (its columns differ by more than `hold` errors) starts the pool anew.
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
    _spread: float = field(init=False, default=0.0)

    def add(self, matrix: Floats, drops: Floats, orders: Ints, own: float, weights: Floats) -> None:
        """Take a round: its A, the drops it was solved from (sweeps, m, m), and the objective's weights (m,)."""
        sweeps, groups, _ = drops.shape
        objective = np.einsum("i,sij->sj", weights, drops)
        self._noise = noise(objective, orders).pooled(self._noise, _NOISE_MEMORY * self.memory)
        rounding = _EXACT * float(np.abs(objective).max())
        variance = max(column_variance(self._noise, sweeps, groups, own), rounding**2)
        self._unit = float(np.sqrt(variance)) if 0 < variance < np.inf else 1.0
        older, old, square = self._matrix, self.memory * self._weight, self.memory**2 * self._square
        self._take(matrix / self._unit, 1.0, 1.0, weights)
        if older is not None and old and self.spread <= self.threshold:
            self._take((old * older + matrix / self._unit) / (old + 1), old + 1, square + 1, weights)

    @property
    def spread(self) -> float:
        """How far column sums of the pooled A are from their mean (nats, at the scale of the latest round)."""
        return self._spread * self._unit

    @property
    def error(self) -> float:
        """Standard error of a column sum of the pooled A (nats); infinite if it cannot be told."""
        known = self._weight and self._noise.freedom > 0
        return self._unit * float(np.sqrt(self._square)) / self._weight if known else np.inf

    @property
    def threshold(self) -> float:
        """The spread (nats) under which columns count as the same: `hold` errors, more with few degrees of freedom."""
        return self.hold * few(self._noise.freedom) * self.error if self._noise.freedom > 0 else np.inf

    def matrix(self, *, shrink: bool) -> Floats:
        """The pooled A; its columns drawn to their mean by the share of their variance that is noise, if asked."""
        assert self._matrix is not None
        if not shrink or not self.spread:
            return self._matrix * self._unit
        return shrunk(self._matrix * self._unit, max(0.0, 1 - (self.error / self.spread) ** 2))

    def _take(self, matrix: Floats, weight: float, square: float, weights: Floats) -> None:
        self._matrix, self._weight, self._square = matrix, weight, square
        self._spread = spread(matrix, weights)

    def state(self) -> State:
        """As JSON."""
        return {
            "matrix": None if self._matrix is None else self._matrix.tolist(),
            "sums": [self._weight, self._square, self._noise.squares, self._noise.freedom, self._unit, self._spread],
        }

    def load(self, state: State) -> None:
        """Take back what `state` gave."""
        self._matrix = None if state["matrix"] is None else np.array(state["matrix"], np.float64)
        self._weight, self._square, squares, freedom, self._unit, self._spread = state["sums"]
        self._noise = Noise(squares, freedom)


def few(freedom: float) -> float:
    """How much wider an interval is with an error told from few degrees of freedom: Student's t over the normal's, 95%.

    >>> [round(few(freedom), 2) for freedom in (1, 2, 3, 10)]
    [6.5, 2.17, 1.59, 1.13]
    """
    return 1 + 1.3 / freedom + 4.2 / freedom**3
