"""DoReMi: a small run that is hard on the groups where it is furthest behind a reference gives the mixture.

Source: "DoReMi: Optimizing Data Mixtures Speeds Up Language Model Pretraining". A reference is trained on a prior. A
proxy is trained from the same weights on `a`, which moves by a_i ~ a_i exp(eta excess_i) and is smoothed; the answer is
the mean of `a` over the proxy's run. The excess is that of validation losses, max(proxy - reference, 0) by group, which
is the paper's quantity but for the clip, there applied to each token: a group's mean hides tokens of both signs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from stages.errors import ConfigError
from stages.mixture_base import Base, checked, numbers
from stages.mixture_estimator import Decision, Segment, State
from stages.mixture_simplex import Floats, moved, uniform, with_floor

REFERENCE, PROXY = "reference", "proxy"


def reweighted(weights: Floats, excess: Floats, eta: float, smoothing: float) -> Floats:
    """One move of DoReMi's weights (m,) by the excess losses (m,), which are clipped at zero.

    >>> reweighted(np.array([0.5, 0.5]), np.array([np.log(3), -5.0]), 1.0, 0.0).round(3).tolist()
    [0.75, 0.25]
    """
    return with_floor(moved(weights, np.maximum(excess, 0.0), eta), smoothing)


@dataclass
class DoReMi(Base):
    """Two trials of `trial_steps`; the proxy's weights move every `every` steps."""

    trial_steps: int = 200
    every: int = 10
    eta: float = 1.0
    smoothing: float = 1e-3
    floor: float = 0.02
    prior: Mapping[str, float] | None = None
    """What the reference is trained on, and where `a` starts; uniform if none."""
    _reference: dict[str, float] = field(init=False, repr=False, default_factory=dict)
    _weights: list[list[float]] = field(init=False, repr=False, default_factory=list)
    _done: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        """Decision 0 and the reference. Raises ConfigError unless the proxy moves at least once."""
        if not 0 < self.every <= self.trial_steps:
            raise ConfigError(f"`every` must be from 1 to trial_steps = {self.trial_steps}, found {self.every}")
        prior = self.task.mixture(self.prior, "the prior") if self.prior else uniform(len(self.task.groups))
        self._start(prior, "start: the prior")
        self._weights = [prior.tolist()]
        self._segments = [Segment(0, self.trial_steps, self.task.by_name(prior), "train", REFERENCE)]

    def wants(self, step: int, trial: str | None = None) -> bool:
        """At the end of the reference, and every `every` steps of the proxy."""
        if trial == REFERENCE:
            return step == self.trial_steps
        return trial == PROXY and step == min(self._done + self.every, self.trial_steps)

    def observe(self, step: int, losses: Mapping[str, float], trial: str | None = None) -> Decision | None:
        """Take losses of a trial; the proxy's last ones decide."""
        if not self.wants(step, trial):
            return None
        found, bad = checked(self.task, losses, step)
        if trial == REFERENCE:
            self._reference = found
        else:
            self._done = step
            self._weights.append(self._moved(found, bad))
        if self._done < self.trial_steps:
            steps = min(self.every, self.trial_steps - self._done)
            mixture = self.task.by_name(np.array(self._weights[-1]))
            self._segments = [Segment(self._done, steps, mixture, "train", PROXY)]
            return None
        mean = with_floor(np.mean(self._weights[1:], axis=0), self.floor)
        decision = self._decide(0, 0, mean, f"moved: mean of {len(self._weights) - 1} weights", losses=found)
        self._segments = self._train(0, self.task.steps)
        return decision

    def _moved(self, losses: dict[str, float], bad: str) -> list[float]:
        """The next weights; the present ones again where a loss is not finite."""
        excess = self.task.values(losses, "losses") - self.task.values(self._reference, "losses of the reference")
        if bad or not np.isfinite(excess).all():
            return self._weights[-1]
        weights: list[float] = reweighted(np.array(self._weights[-1]), excess, self.eta, self.smoothing).tolist()
        return weights

    def _memory(self) -> State:
        return {"reference": self._reference, "weights": self._weights, "done": self._done}

    def _remember(self, state: State) -> None:
        self._reference, self._weights, self._done = numbers(state["reference"]), state["weights"], state["done"]
