"""The interface of all methods that choose a training mixture, and the loop that a trainer runs around one.

    estimator = Aioli(task)
    step = 0
    while step < task.steps:
        for segment in estimator.plan(step):      # up to where the next decision lands; what the mixture log records
            model = trial(segment.trial) if segment.trial else run       # a trial starts at the run's first weights
            train(model, segment.mixture, segment.steps)
            at = ...                                                     # steps taken: of the run, or of the trial
            if estimator.wants(at, segment.trial):
                decision = estimator.observe(at, losses(model), segment.trial)
                if decision: log(decision)

Before anything is trained, `wants(0)` asks for the losses of the first weights. An estimator knows steps, named groups
and losses, and no framework. Its state is JSON, is taken after any `observe`, and gives the same answers ever after.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from stages.mixture_simplex import Floats
from stages.mixture_task import Task

Kind = Literal["probe", "train"]
State = dict[str, Any]


@dataclass(frozen=True)
class Segment:
    """Consecutive steps on one mixture."""

    begin: int
    """First step, of the run or of the trial."""
    steps: int
    mixture: Mapping[str, float]
    kind: Kind = "train"
    trial: str | None = None
    """The trial that it belongs to, which starts at the first weights of the run and counts its own steps; None: the
    run itself. Segments of one trial continue each other."""

    @property
    def end(self) -> int:
        """The step after its last."""
        return self.begin + self.steps


@dataclass(frozen=True)
class Probe:
    """One probe of the run: what was trained on, and the losses of all groups before and after."""

    group: str
    begin: int
    end: int
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True)
class Decision:
    """A mixture, and why."""

    version: int
    step: int
    """Steps of the run that were taken when it was made."""
    lands: int
    """First step that is trained on it."""
    mixture: Mapping[str, float]
    moved: bool
    """False where the mixture before it was kept."""
    reason: str
    probes: tuple[Probe, ...] = ()
    losses: Mapping[str, float] = field(default_factory=dict)
    """Validation losses that it was made from, the latest ones."""
    matrix: tuple[tuple[float, ...], ...] = ()
    """A: row = group whose loss falls, column = group trained on, in nats per probe; groups sorted by name."""
    error: tuple[tuple[float, ...], ...] = ()
    """Standard error of each entry of `matrix`; empty where it cannot be told."""
    caps: tuple[str, ...] = ()
    """Groups whose share was cut because of `max_epochs`."""


class Estimator(Protocol):
    """A method of choosing mixtures."""

    @property
    def decision(self) -> Decision:
        """The latest decision; version 0 before any loss was seen."""
        ...

    def plan(self, step: int) -> list[Segment]:
        """The segments from `step` of the run up to where the next decision lands, trials first; [] at the end."""
        ...

    def wants(self, step: int, trial: str | None = None) -> bool:
        """Whether it needs the validation losses after `step` steps of the run, or of a trial."""
        ...

    def observe(self, step: int, losses: Mapping[str, float], trial: str | None = None) -> Decision | None:
        """Take validation losses (mean token cross-entropy, nats, by group); a decision where they lead to one.

        Losses that were not wanted are ignored. Raises ConfigError naming a group that is missing in wanted ones.
        """
        ...

    def state_dict(self) -> State:
        """All that is not settings, as JSON."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Continue from a state."""
        ...


@dataclass(frozen=True)
class Rounds:
    """A run cut into `count` rounds of (nearly) equal steps, after `warm` steps; the last steps are in the last round.

    >>> rounds = Rounds(steps=10, count=3)
    >>> [rounds.begin(r) for r in range(4)], rounds.of(5)
    ([0, 3, 6, 10], 1)
    """

    steps: int
    count: int
    warm: int = 0

    def begin(self, index: int) -> int:
        """First step of a round; that of `count` is the end of the run."""
        return self.warm + (self.steps - self.warm) * index // self.count

    def of(self, step: int) -> int:
        """The round that a step is in; -1 for warm-up steps."""
        if step < self.warm:
            return -1
        low = min((step - self.warm) * self.count // max(self.steps - self.warm, 1), self.count - 1)
        return low + 1 if low + 1 < self.count and step >= self.begin(low + 1) else low


def rest(segments: list[Segment], step: int) -> list[Segment]:
    """What is left of the run's segments at `step`: the one it falls into is cut."""
    left = [segment for segment in segments if segment.end > step]
    return [
        Segment(max(s.begin, step), s.end - max(s.begin, step), s.mixture, s.kind, s.trial) for s in left if s.steps
    ]


def served(task: Task, used: Floats, segments: list[Segment]) -> Floats:
    """Contexts of each group (m,) after the run's `segments`, as planned, where `used` were served before them."""
    run = [segment for segment in segments if segment.trial is None]
    drawn = [segment.steps * task.batch * task.values(segment.mixture, "a segment") for segment in run]
    return used + np.sum(drawn, axis=0) if drawn else used


def as_rows(matrix: Floats) -> tuple[tuple[float, ...], ...]:
    """A matrix as a decision holds it."""
    return tuple(tuple(float(value) for value in row) for row in matrix)
