"""Averages of models, to score a mixture without training on it.

Source: "Scalable Data Ablation Approximations for Language Models through Modular Training and Merging". One model is
trained on each partition of the data, all from one seed checkpoint and for as long. The average of the models of a
mixture's partitions, weighted by its shares, has a perplexity that ranks mixtures like models trained on them; the cost
is linear in partitions. This module holds the arithmetic; training and scoring are the caller's.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from stages.errors import ConfigError

Array = npt.NDArray[np.floating]
Parameters = Mapping[str, Array]


def merged(models: Mapping[str, Parameters], mixture: Mapping[str, float]) -> dict[str, Array]:
    """The parameters averaged with the mixture's shares; sums in float64, answers in each parameter's own type.

    Raises ConfigError where a partition has no model, or models are not of one shape.

    >>> merged({"a": {"w": np.array([0.0, 4.0])}, "b": {"w": np.array([4.0, 0.0])}}, {"a": 0.25, "b": 0.75})
    {'w': array([3., 1.])}
    """
    _check(models, mixture)
    shares = {name: share for name, share in mixture.items() if share}
    first = models[next(iter(shares))]
    return {key: _mean([(models[name][key], share) for name, share in shares.items()]) for key in first}


def ranked(
    models: Mapping[str, Parameters],
    mixtures: Iterable[Mapping[str, float]],
    score: Callable[[dict[str, Array]], float],
) -> list[tuple[float, Mapping[str, float]]]:
    """Mixtures with the scores of their averages, the least first; `score` gives a loss or perplexity of parameters."""
    scored = [(score(merged(models, mixture)), mixture) for mixture in mixtures]
    return sorted(scored, key=lambda pair: pair[0])


def partition_mixture(shares: Mapping[str, float], partitions: Mapping[str, list[str]]) -> dict[str, float]:
    """A mixture of groups as one of their equal-sized partitions: each has its part of its group's share.

    >>> partition_mixture({"code": 0.6, "prose": 0.4}, {"code": ["c0", "c1"], "prose": ["p0"]})
    {'c0': 0.3, 'c1': 0.3, 'p0': 0.4}
    """
    return {part: shares[group] / len(parts) for group, parts in partitions.items() for part in parts}


def _mean(weighted: list[tuple[Array, float]]) -> Array:
    """The weighted mean; counters and other whole numbers are the first model's."""
    if not np.issubdtype(weighted[0][0].dtype, np.floating):
        return weighted[0][0]
    total = np.zeros(weighted[0][0].shape)
    for values, share in weighted:
        total += share * values.astype(np.float64)
    mean: Array = total.astype(weighted[0][0].dtype)
    return mean


def _check(models: Mapping[str, Parameters], mixture: Mapping[str, float]) -> None:
    missing = [name for name in mixture if name not in models]
    if missing:
        raise ConfigError(f"there is no model of partition '{missing[0]}': found {', '.join(models)}")
    if any(share < 0 for share in mixture.values()) or abs(sum(mixture.values()) - 1) > 1e-6:
        raise ConfigError(f"a mixture's shares must not be negative and must sum to 1, found {dict(mixture)}")
    first = next(iter(models))
    shapes = {key: values.shape for key, values in models[first].items()}
    for name, model in models.items():
        if {key: values.shape for key, values in model.items()} != shapes:
            raise ConfigError(
                f"the models of '{first}' and '{name}' differ in their parameters: train them from one seed"
            )
