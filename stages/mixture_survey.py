"""Methods that train many short runs on mixtures spread over the simplex, fit losses, and take the best mixture.

Mixing laws: "Data Mixing Laws: Optimizing Data Mixtures by Predicting Language Modeling Performance".
RegMix: "RegMix: Data Mixture as Regression for Language Model Pre-training".
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from stages.errors import ConfigError
from stages.mixture_base import Base, checked, numbers
from stages.mixture_estimator import Decision, Segment, State
from stages.mixture_laws import best_mixture, fit_laws
from stages.mixture_simplex import Floats, uniform, with_floor
from stages.mixture_trees import boosted


def dirichlet(groups: int, count: int, seed: int, concentration: float = 1.0) -> Floats:
    """Mixtures (count, groups) drawn from a symmetric Dirichlet distribution; 1 is even over the simplex."""
    random = np.random.Generator(np.random.PCG64(seed))
    drawn = random.standard_gamma(concentration, (count, groups))
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True), np.float64)


@dataclass
class Survey(Base, ABC):
    """`trials` runs of `trial_steps`, the first on the uniform mixture; then one decision for the whole run."""

    trials: int = 16
    trial_steps: int = 100
    floor: float = 0.02
    _after: dict[str, dict[str, float]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Decision 0 and the trials. Raises ConfigError if there are too few for a fit."""
        count = len(self.task.groups)
        if self.trials <= count:
            raise ConfigError(f"{count} groups need at least {count + 1} trials, found {self.trials}")
        self._start(uniform(count), "start: uniform")
        self._mixtures = np.vstack([uniform(count), dirichlet(count, self.trials - 1, self.task.seed)])
        self._segments = [
            Segment(0, self.trial_steps, self.task.by_name(mixture), "probe", name)
            for name, mixture in zip(self._names(), self._mixtures, strict=True)
        ]

    def wants(self, step: int, trial: str | None = None) -> bool:
        """At the end of each trial."""
        return trial in self._names() and step == self.trial_steps

    def observe(self, step: int, losses: Mapping[str, float], trial: str | None = None) -> Decision | None:
        """Take a trial's losses; the last trial's decide."""
        if trial is None or not self.wants(step, trial):
            return None
        self._after[trial] = checked(self.task, losses, step)[0]
        self._segments = [segment for segment in self._segments if segment.trial != trial]
        if len(self._after) < self.trials:
            return None
        mixture, reason = self._chosen()
        decision = self._decide(0, 0, mixture, reason, losses=self._after[trial])
        self._segments = self._train(0, self.task.steps)
        return decision

    def _chosen(self) -> tuple[Floats, str]:
        table = np.array([self.task.values(self._after[name], "a trial") for name in self._names()])
        good = np.isfinite(table).all(axis=1)
        if good.sum() <= len(self.task.groups):
            return uniform(len(self.task.groups)), f"held: only {good.sum()} of {self.trials} trials have finite losses"
        best, reason = self._best(self._mixtures[good], table[good])
        return with_floor(best, self.floor), f"moved: {reason}"

    @abstractmethod
    def _best(self, mixtures: Floats, losses: Floats) -> tuple[Floats, str]:
        """The best mixture (m,) by what was measured: mixtures and losses (trials, m); and how it was found."""

    def _names(self) -> list[str]:
        return [f"trial-{number:04}" for number in range(self.trials)]

    def _memory(self) -> State:
        return {"after": self._after}

    def _remember(self, state: State) -> None:
        self._after = {name: numbers(losses) for name, losses in state["after"].items()}


@dataclass
class MixingLaws(Survey):
    """L_i(p) = c_i + k_i exp(sum_j t_ij p_j), fitted to the trials and minimised on the simplex."""

    starts: int = 16
    """Random starts of each group's fit."""

    def _best(self, mixtures: Floats, losses: Floats) -> tuple[Floats, str]:
        laws = fit_laws(mixtures, losses, self.starts, self.task.seed)
        return best_mixture(laws, self.task.weights), f"mixing laws of {len(losses)} trials"


@dataclass
class RegMix(Survey):
    """Boosted regression trees from mixture to the objective; the mean of the best of many sampled mixtures."""

    trials: int = 64
    samples: int = 100_000
    best: int = 100
    """Mixtures whose mean is taken: a tree's prediction is flat over whole regions."""

    def _best(self, mixtures: Floats, losses: Floats) -> tuple[Floats, str]:
        predict = boosted(mixtures, losses @ self.task.weights)
        sampled = dirichlet(len(self.task.groups), self.samples, self.task.seed + 1)
        order = np.argsort(predict(sampled), kind="stable")[: self.best]
        mean: Floats = sampled[order].mean(axis=0)
        return mean, f"regression on {len(losses)} trials, best of {self.samples:,} mixtures"
