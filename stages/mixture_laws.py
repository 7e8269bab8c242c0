"""Mixing laws: L(p) = c + k exp(t p) for each group, fitted to measured losses, and the mixture that minimises them.

Since shares sum to 1, adding a number to all of `t` is the same as scaling `k`; so t has mean zero here. A fit takes
many random starts; each is improved by Gauss-Newton steps with damping (Levenberg-Marquardt) on Huber's loss.
"""

from dataclasses import dataclass

import numpy as np

from stages.mixture_simplex import Floats, moved, uniform

_STEPS = 60
_DESCENTS = 2_000


@dataclass(frozen=True)
class Laws:
    """The laws of m groups."""

    floors: Floats
    """c (m,): what the loss cannot fall below (nats)."""
    scales: Floats
    """k (m,), not negative (nats)."""
    slopes: Floats
    """t (m, m): row = group whose loss, column = group whose share."""

    def losses(self, mixtures: Floats) -> Floats:
        """Losses (n, m) of mixtures (n, m)."""
        predicted: Floats = self.floors + self.scales * np.exp(mixtures @ self.slopes.T)
        return predicted


def fit_laws(mixtures: Floats, losses: Floats, starts: int, seed: int) -> Laws:
    """Laws of all groups from n runs: mixtures (n, m), losses (n, m)."""
    random = np.random.Generator(np.random.PCG64(seed))
    fits = [fit_law(mixtures, column, starts, random) for column in losses.T]
    return Laws(np.array([f[0] for f in fits]), np.array([f[1] for f in fits]), np.array([f[2] for f in fits]))


def fit_law(mixtures: Floats, losses: Floats, starts: int, random: np.random.Generator) -> tuple[float, float, Floats]:
    """The best c, k and t of one group, over random starts: mixtures (n, m), losses (n,)."""
    groups = mixtures.shape[1]
    low, width = float(losses.min()), max(float(np.ptp(losses)), 1e-9)
    delta = 0.1 * width
    found: tuple[float, Floats] | None = None
    for _ in range(starts):
        slant = np.asarray(random.normal(0.0, 2.0, groups), np.float64)
        start = np.concatenate([[low - width * random.random(), np.log(width)], slant - slant.mean()])
        cost, fitted = _improved(start, mixtures, losses, delta)
        if found is None or cost < found[0]:
            found = cost, fitted
    assert found is not None
    floor, log_scale = found[1][:2]
    slopes: Floats = found[1][2:]
    return float(floor), float(np.exp(log_scale + slopes.mean())), slopes - slopes.mean()


def best_mixture(laws: Laws, weights: Floats, rate: float = 1.0) -> Floats:
    """The mixture (m,) with the least weighted sum of losses; the sum is convex, so descent from the middle finds it.

    Exponentiated gradient; the rate is halved whenever a move does not lower the sum.

    >>> best_mixture(Laws(np.zeros(1), np.ones(1), np.array([[-1.0, 1.0]])), np.ones(1)).round(2).tolist()
    [1.0, 0.0]
    """
    mixture = uniform(laws.slopes.shape[1])
    value = _objective(laws, weights, mixture)
    for _ in range(_DESCENTS):
        terms = weights * laws.scales * np.exp(laws.slopes @ mixture)
        candidate = moved(mixture, -(terms @ laws.slopes), rate)
        found = _objective(laws, weights, candidate)
        if found < value:
            mixture, value, rate = candidate, found, rate * 1.1
        else:
            rate /= 2
        if rate < 1e-12:
            break
    return mixture


def _objective(laws: Laws, weights: Floats, mixture: Floats) -> float:
    return float(weights @ laws.losses(mixture[None])[0])


def _improved(parameters: Floats, mixtures: Floats, losses: Floats, delta: float) -> tuple[float, Floats]:
    """Damped Gauss-Newton from one start; the cost and the parameters (c, log k, t)."""
    damping = 1e-2
    cost, step = _step(parameters, mixtures, losses, delta)
    for _ in range(_STEPS):
        candidate = parameters + step(damping)
        new_cost, new_step = _step(candidate, mixtures, losses, delta)
        if new_cost < cost:
            done = cost - new_cost < 1e-12 * cost
            parameters, cost, step, damping = candidate, new_cost, new_step, damping / 3
            if done:
                break
        else:
            damping *= 4
    return cost, parameters


class _Step:
    """The normal equations at one point; called with a damping it gives the move."""

    def __init__(self, jacobian: Floats, residual: Floats, weight: Floats) -> None:
        self._square = jacobian.T @ (weight[:, None] * jacobian)
        self._right = jacobian.T @ (weight * residual)

    def __call__(self, damping: float) -> Floats:
        """Move of all parameters."""
        diagonal = np.diag(np.diag(self._square) * damping + 1e-9)
        return np.asarray(np.linalg.solve(self._square + diagonal, self._right), np.float64)


def _step(parameters: Floats, mixtures: Floats, losses: Floats, delta: float) -> tuple[float, _Step]:
    """Huber's cost of the residuals at the parameters, and the normal equations there."""
    grown = np.exp(np.clip(parameters[1] + mixtures @ parameters[2:], -50.0, 50.0))
    residual = losses - parameters[0] - grown
    size = np.abs(residual)
    cost = np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta)).sum()
    weight = np.minimum(1.0, delta / np.maximum(size, 1e-300))
    jacobian = np.column_stack([np.ones(len(losses)), grown, grown[:, None] * mixtures])
    return float(cost), _Step(jacobian, residual, weight)
