"""Worlds in which the best mixture is known, and the loop that runs an estimator in one.

A model is nothing but the steps that it was given of each group, n (m,). In a `LawWorld` losses fall as
L_i = c_i + k_i exp(-sum_j T_ij n_j), which is linear over a few steps with A_ij = (L_i - c_i) T_ij per step; in a
`LinearWorld` L_i = L_i(0) - sum_j A_ij n_j for ever. What is seen of a loss has noise, anew at each evaluation, as
training on random batches gives it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from stages.mixture_estimator import Decision, Estimator
from stages.mixture_laws import Laws, best_mixture
from stages.mixture_simplex import Floats
from stages.mixture_task import Task


class World(Protocol):
    """Losses by what was trained on."""

    groups: tuple[str, ...]
    noise: float

    def losses(self, given: Floats) -> Floats:
        """Exact losses (m,) after `given` steps of each group (m,)."""
        ...

    def matrix(self, given: Floats) -> Floats:
        """Exact A (m, m) there: fall of each loss (row) per step on each group (column)."""
        ...


@dataclass(frozen=True)
class LinearWorld:
    """Losses that fall for ever."""

    groups: tuple[str, ...]
    slope: Floats
    """A (m, m) per step."""
    noise: float = 0.0

    def losses(self, given: Floats) -> Floats:
        """Exact losses."""
        return 10.0 - self.slope @ given

    def matrix(self, given: Floats) -> Floats:
        """A, everywhere the same."""
        return self.slope


@dataclass(frozen=True)
class LawWorld:
    """Losses that saturate."""

    groups: tuple[str, ...]
    floors: Floats
    scales: Floats
    rates: Floats
    """T (m, m), 1 / step."""
    noise: float = 0.0

    def losses(self, given: Floats) -> Floats:
        """Exact losses."""
        return self.floors + self.scales * np.exp(-self.rates @ given)

    def matrix(self, given: Floats) -> Floats:
        """A at this point."""
        return (self.losses(given) - self.floors)[:, None] * self.rates

    def optimum(self, steps: int, weights: Floats) -> Floats:
        """The mixture (m,) with the least weighted losses after `steps`; no changing mixture is better."""
        return best_mixture(Laws(self.floors, self.scales, -self.rates * steps), weights)


def random_law(groups: int, steps: int, seed: int, noise: float = 0.0) -> LawWorld:
    """A law: groups teach themselves most, some others a little, and differ in how much there is to learn."""
    random = np.random.Generator(np.random.PCG64(seed))
    own = np.diag(random.uniform(0.5, 3.0, groups))
    other = random.uniform(0.0, 1.0, (groups, groups)) * (random.random((groups, groups)) < 0.5)
    names = tuple(f"g{number}" for number in range(groups))
    rates = (own + 0.5 * other) / steps * np.sqrt(groups)
    return LawWorld(names, random.uniform(1.0, 3.0, groups), random.uniform(1.0, 5.0, groups), rates, noise)


@dataclass
class Drive:
    """An estimator's way through a world."""

    world: World
    seed: int
    decisions: list[Decision] = field(default_factory=list)
    given: Floats = field(init=False)
    """Steps of each group in the run."""
    spent: int = 0
    """Steps of trials."""

    def __post_init__(self) -> None:
        self._random = np.random.Generator(np.random.PCG64((self.seed, 77)))
        self._trials: dict[str, Floats] = {}
        self.given = np.zeros(len(self.world.groups))

    def run(self, estimator: Estimator, steps: int) -> "Drive":
        """From step 0 to the end."""
        self._tell(estimator, 0, None)
        step = 0
        while step < steps:
            for segment in estimator.plan(step):
                mixture = np.array([segment.mixture[name] for name in self.world.groups])
                self._train(segment.trial, mixture * segment.steps)
                step = segment.end if segment.trial is None else step
                self._tell(estimator, segment.end, segment.trial)
        return self

    def _train(self, trial: str | None, more: Floats) -> None:
        if trial is None:
            self.given = self.given + more
        else:
            self._trials[trial] = self._trials.get(trial, np.zeros_like(self.given)) + more
            self.spent += round(more.sum())

    def _tell(self, estimator: Estimator, step: int, trial: str | None) -> None:
        if estimator.wants(step, trial):
            decision = estimator.observe(step, self._seen(trial), trial)
            if decision is not None:
                self.decisions.append(decision)

    def _seen(self, trial: str | None) -> Mapping[str, float]:
        exact = self.world.losses(self.given if trial is None else self._trials[trial])
        seen = exact + self.world.noise * self._random.standard_normal(len(exact))
        return dict(zip(self.world.groups, seen.tolist(), strict=True))


def task_of(world: World, steps: int, seed: int = 0) -> Task:
    """A task of the world's groups, all as large as the run."""
    return Task(dict.fromkeys(world.groups, steps * 32), steps, batch=32, seed=seed)


def objective(world: World, given: Floats) -> float:
    """Mean loss (nats) of all groups."""
    return float(world.losses(given).mean())
