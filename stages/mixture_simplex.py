"""Mixtures: points on the simplex over `m` groups, and the operations that methods of mixing share.

A mixture is a float64 array (m,) that is not negative and sums to 1. All functions are pure.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SMALL = 1e-12


def normalised(weights: Floats) -> Floats:
    """Weights (m,), not negative, divided by their sum; uniform if all are zero.

    >>> normalised(np.array([1.0, 3.0])).tolist()
    [0.25, 0.75]
    """
    total = weights.sum()
    return weights / total if total > 0 else np.full(len(weights), 1 / len(weights))


def uniform(count: int) -> Floats:
    """The same share for each of `count` groups."""
    return np.full(count, 1 / count)


def tempered(sizes: Floats, temperature: float) -> Floats:
    """Shares proportional to `sizes ** (1 / temperature)`: 1 is proportional to size, infinity is uniform.

    >>> tempered(np.array([1.0, 4.0]), 2.0).round(3).tolist()
    [0.333, 0.667]
    """
    return normalised((sizes / sizes.max()) ** (1 / temperature))


def moved(mixture: Floats, gains: Floats, eta: float) -> Floats:
    """The multiplicative update: `p_j` proportional to `p_j exp(eta gains_j)`; no gain is too large for it.

    >>> moved(np.array([0.5, 0.5]), np.array([0.0, np.log(3)]), 1.0).round(3).tolist()
    [0.25, 0.75]
    """
    logs = np.log(np.maximum(mixture, 1e-300)) + eta * gains
    return normalised(np.where(mixture > 0, np.exp(logs - logs.max()), 0.0))


def with_floor(mixture: Floats, floor: float) -> Floats:
    """`(1 - floor) p + floor / m`: no group is ever below `floor / m`, so that all keep being measured.

    >>> with_floor(np.array([0.0, 1.0]), 0.1).round(3).tolist()
    [0.05, 0.95]
    """
    return (1 - floor) * mixture + floor / len(mixture)


def capped(mixture: Floats, limits: Floats) -> Floats:
    """The mixture with no share above its limit (m,); what is cut spills to the others in proportion to their shares.

    Limits that sum to less than 1 cannot all hold: then shares are proportional to the limits.

    >>> capped(np.array([0.6, 0.3, 0.1]), np.array([0.4, 1.0, 1.0])).round(3).tolist()
    [0.4, 0.45, 0.15]
    """
    if limits.sum() <= 1 + _SMALL:
        return normalised(limits)
    bound = np.zeros(len(mixture), bool)
    shares = mixture
    while (over := ~bound & (shares > limits + _SMALL)).any():
        bound |= over
        left = 1 - limits[bound].sum()
        shares = np.where(bound, limits, left * normalised(_of_unbound(mixture, limits, bound)))
    return shares


def _of_unbound(mixture: Floats, limits: Floats, bound: npt.NDArray[np.bool_]) -> Floats:
    """Shares of the groups that still may grow; by their room where none of them has a share."""
    free = np.where(bound, 0.0, mixture)
    return free if free.sum() > _SMALL else np.where(bound, 0.0, limits)


def unimax(sizes: Floats, budget: float, epochs: float) -> Floats:
    """Uniform shares of `budget` tokens, but no group of `sizes` tokens more often than `epochs` times.

    Source: "UniMax: Fairer and More Effective Language Sampling for Large-Scale Multilingual Pretraining".

    >>> unimax(np.array([10.0, 100.0, 100.0]), 100.0, 1.0).round(3).tolist()
    [0.1, 0.45, 0.45]
    """
    return capped(uniform(len(sizes)), epochs * sizes / budget)


def probe_mixtures(count: int, own: float) -> Floats:
    """The mixtures of Aioli's probes (m, m): row `j` has share `own` of group `j`, the others share the rest alike.

    >>> probe_mixtures(3, 0.5).tolist()
    [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]]
    """
    rest = (1 - own) / (count - 1)
    return np.full((count, count), rest) + (own - rest) * np.eye(count)
