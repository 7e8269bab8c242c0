"""Skill-It: short runs on one group each tell how groups help each other; the mixture then follows the losses.

Source: "Skill-it! A Data-Driven Skills Framework for Understanding and Training Language Models".
G_ij = (L_j(0) - L_j(H)) / L_j(0) after H steps on group `i` alone, and every round
p_i proportional to exp(eta sum_j G_ij (sum of the last `window` losses L_j)).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from stages.errors import ConfigError
from stages.mixture_base import Base, checked, numbers
from stages.mixture_estimator import Decision, Rounds, Segment, State, as_rows
from stages.mixture_simplex import Floats, moved, uniform, with_floor


def helpfulness(before: Floats, after: Floats) -> Floats:
    """G (m, m): relative fall of each loss (column) after training on one group alone (row).

    >>> helpfulness(np.array([2.0, 4.0]), np.array([[1.0, 4.0], [2.0, 3.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    falls: Floats = (before - after) / before
    return falls


@dataclass
class SkillIt(Base):
    """Trials of `trial_steps` on one group each, then a decision at the start of each of `rounds` rounds."""

    rounds: int = 10
    trial_steps: int = 100
    eta: float = 0.2
    window: int = 3
    floor: float = 0.02
    lag: int = 0
    _first: dict[str, float] = field(init=False, repr=False, default_factory=dict)
    _after: dict[str, dict[str, float]] = field(init=False, repr=False, default_factory=dict)
    _recent: list[dict[str, float]] = field(init=False, repr=False, default_factory=list)
    _round: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        """Decision 0 and the trials. Raises ConfigError if rounds are shorter than the lag."""
        self._rounds = Rounds(self.task.steps, self.rounds)
        if self.task.steps // self.rounds <= self.lag:
            raise ConfigError(f"rounds of {self.task.steps // self.rounds} steps are too short for a lag of {self.lag}")
        count = len(self.task.groups)
        self._start(uniform(count), "start: uniform")
        ones = [self.task.by_name(row) for row in np.eye(count)]
        self._segments = [
            Segment(0, self.trial_steps, one, "probe", name) for name, one in zip(self.task.groups, ones, strict=True)
        ]

    def wants(self, step: int, trial: str | None = None) -> bool:
        """Of the first weights, after each trial, and at the start of each round."""
        if trial is not None:
            return trial in self.task.contexts and step == self.trial_steps
        return (step == 0 and not self._first) or (
            self._round < self.rounds and step == self._rounds.begin(self._round)
        )

    def observe(self, step: int, losses: Mapping[str, float], trial: str | None = None) -> Decision | None:
        """Take losses; decides after the last trial, and at the start of each later round."""
        if not self.wants(step, trial):
            return None
        found, bad = checked(self.task, losses, step)
        if trial is not None:
            self._after[trial] = found
            self._segments = [segment for segment in self._segments if segment.trial != trial]
        elif step == 0:
            self._first = self._first or found
        if len(self._after) < len(self.task.groups) or not self._first:
            return None
        latest = self._first if trial is not None else found
        self._recent = [*self._recent, latest][-self.window :] if not bad or trial else self._recent
        return self._next(step if trial is None else 0, latest, "" if trial else bad)

    def _next(self, step: int, losses: dict[str, float], bad: str) -> Decision:
        gains = self._matrix() @ np.sum([self.task.values(found, "losses") for found in self._recent], axis=0)
        mixture, reason = self.task.values(self._decision.mixture, "the mixture"), "moved: losses of the last rounds"
        if bad:
            reason = f"held: the loss of '{bad}' is not finite after step {step}"
        elif not np.isfinite(gains).all():
            reason = "held: a trial's losses are not finite"
        else:
            mixture = with_floor(moved(uniform(len(gains)), gains, self.eta), self.floor)
        lands = min(step + (self.lag if step else 0), self.task.steps)
        matrix = as_rows(self._matrix().T) if np.isfinite(gains).all() else ()
        decision = self._decide(step, lands, mixture, reason, losses=losses, matrix=matrix)
        self._round += 1
        self._segments = self._train(lands, min(self._rounds.begin(self._round) + self.lag, self.task.steps))
        return decision

    def _matrix(self) -> Floats:
        after = np.array([self.task.values(self._after[name], "a trial") for name in self.task.groups])
        return helpfulness(self.task.values(self._first, "the first losses"), after)

    def _memory(self) -> State:
        return {"first": self._first, "after": self._after, "recent": self._recent, "round": self._round}

    def _remember(self, state: State) -> None:
        self._first = numbers(state["first"])
        self._after = {name: numbers(losses) for name, losses in state["after"].items()}
        self._recent = [numbers(losses) for losses in state["recent"]]
        self._round = state["round"]
