"""The proxy's run: it trains what the estimator plans, evaluates where the estimator wants it, and logs decisions.

Killed at any moment and started again, it goes on from its checkpoint and ends in the same log and the same weights,
on a CPU byte by byte. Trials are runs of their own from the first weights, before the run's first step.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import xxhash

from pipeline.data.contexts import ContextSource
from pipeline.data.loops import MixtureRun
from pipeline.proxy.checkpoint import Folder
from pipeline.proxy.learner import Learner
from pipeline.proxy.ranks import Ranks
from pipeline.proxy.watch import Watch
from pipeline.proxy.windows import Windows
from stages.mixture_base import numbers, plain
from stages.mixture_estimator import Decision, Estimator, Segment, State
from stages.mixture_log import Facts, LogWriter
from stages.mixture_task import Task

KINDS = ("train", "probe", "trial", "evaluation")
"""What tokens are spent on."""


@dataclass(frozen=True)
class Data:
    """What a proxy trains on and is measured with."""

    training: Mapping[str, ContextSource]
    validation: Mapping[str, Windows]


@dataclass(frozen=True)
class Training:
    """How a proxy is trained."""

    make: Callable[[], Any]
    """Gives the model with its first weights."""
    device: str
    learning_rate: float
    trial_steps: int
    every_s: float = 60.0
    """Seconds after which a checkpoint is written; one is written after every decision, too."""


@dataclass
class ProxyRun:
    """A run of an estimator with the model that it learns from."""

    task: Task
    estimator: Estimator
    data: Data
    facts: Facts
    training: Training
    folder: Folder
    watch: Watch
    ranks: Ranks = field(default_factory=Ranks)
    spent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    """Steps of the run after which losses were measured, with the losses."""
    _saved: float = field(init=False, default_factory=time.monotonic)

    def go(self) -> Learner:
        """Everything that is left to do; the trained model. Log and weights are in the folder when it returns."""
        self.ranks.check(self.task.batch)
        found = self.folder.load(self.facts.config)
        self.ranks.wait()
        if self.ranks.writes:
            self.folder.cut_log(found[0]["log"] if found else 0)
        self._restore(*found) if found else self._begin()
        while self._step < self.task.steps:
            self._follow(self.estimator.plan(self._step)[0])
        self._finish()
        return self._learner

    @property
    def skipped(self) -> int:
        """Steps of the run whose gradient was not finite."""
        return self._learner.step - self._learner.updates

    @property
    def _step(self) -> int:
        """Steps of the run; trials come before its first."""
        return 0 if self._learner.trial else self._learner.step

    def _begin(self) -> None:
        self._learner = self._fresh(None)
        self._run = MixtureRun(self.estimator, self._writer())
        self._tell(None)

    def _restore(self, state: State, tensors: Mapping[str, Any]) -> None:
        self._learner = self._fresh(state["learner"]["trial"])
        self._learner.load(state["learner"], tensors)
        self._run = MixtureRun(self.estimator, self._writer(), state["estimator"])
        self.spent.update(state["spent"])
        self.history = [(step, numbers(losses)) for step, losses in state["history"]]

    def _follow(self, segment: Segment) -> None:
        """Train on a segment, up to its end or to a decision."""
        if segment.trial != self._learner.trial:
            assert not self._step, "trials come before the run's first step"
            self._learner = self._fresh(segment.trial)
        learner = self._learner
        learner.follow(segment)
        kind = "trial" if segment.trial else segment.kind
        while learner.step < segment.end:
            tokens = learner.train(self.data.training)
            self.spent[kind] += tokens
            if self.ranks.writes:
                self.watch.stepped(learner.step, learner.steps, self.task.batch, tokens, segment.trial)
            decided = self._tell(segment.trial)
            self._save(now=decided is not None)
            if decided:
                return

    def _tell(self, trial: str | None) -> Decision | None:
        """Let the estimator have the losses, if it wants them here."""
        decision = self._run.tell(self._learner.step, lambda: self._losses(trial), trial)
        if decision is not None and self.ranks.writes:
            self.watch.decided(decision)
        return decision

    def _losses(self, trial: str | None = None) -> Mapping[str, float]:
        losses, tokens = self._learner.losses(self.data.validation)
        self.spent["evaluation"] += tokens
        if trial is None:
            self.history.append((self._learner.step, losses))
        if self.ranks.writes:
            self.watch.evaluated(self._learner.step, losses, trial)
        return losses

    def _finish(self) -> None:
        """Measure the last weights, unless that is done, and write them down."""
        if not self.history or self.history[-1][0] < self.task.steps:
            self._losses()
            self._save(now=True)
        if self.ranks.writes:
            self.folder.save_model(self._learner.model)

    def _fresh(self, trial: str | None) -> Learner:
        """A model with the first weights, for the run or a trial."""
        seed = xxhash.xxh3_64_intdigest((trial or "").encode()) % 2**31 if trial else 0
        schedule = Facts(self.facts.contexts, self.facts.batch, self.facts.seed + seed).schedule()
        model = self.training.make().to(self.training.device)
        steps = self.training.trial_steps if trial else self.task.steps
        rate = self.training.learning_rate
        return Learner(model, schedule, steps, self.task.batch, rate, self.ranks, trial)

    def _save(self, *, now: bool) -> None:
        if not self.ranks.writes or not (now or time.monotonic() - self._saved > self.training.every_s):
            return
        state = {
            "config": self.facts.config,
            "learner": self._learner.state_dict(),
            "estimator": self._run.state_dict(),
            "spent": self.spent,
            "history": [(step, plain(losses)) for step, losses in self.history],
        }
        self.folder.save(self._learner.tensors(), state)
        self._saved = time.monotonic()

    def _writer(self) -> LogWriter:
        return LogWriter(self.folder.log, self.facts) if self.ranks.writes else _NoLog(self.folder.log, self.facts)


class _NoLog(LogWriter):
    """The log of a rank that does not write."""

    def __init__(self, path: Any, facts: Facts) -> None:
        """Nothing is read."""

    def append(self, decision: Any, segments: Any) -> None:
        """Nothing is written."""
