"""Runs of estimators with real models: each run and each trial is a job, and all jobs train side by side.

A job trains one replica through its segments, tells its estimator the losses that it wants, and asks for more. The run
of an estimator with trials begins when they are done. Data orders are those of `stages.mixture_schedule`.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.mixture_real_data import Texts
from benchmarks.mixture_real_model import Replicas, Shape, Windows
from stages.mixture_estimator import Decision, Estimator, Segment
from stages.mixture_schedule import Schedule, Span
from stages.mixture_task import Task


@dataclass(frozen=True)
class Setting:
    """How models train."""

    shape: Shape = field(default_factory=Shape)
    batch: int = 2
    """Contexts in a step."""
    rate: float = 4e-3
    """Highest learning rate; it rises for a twentieth of the steps, then falls to a tenth in a cosine."""
    at_once: int = 16
    """Replicas that train side by side."""

    def rates(self, done: int, steps: int) -> float:
        """The learning rate of a step."""
        warm = max(steps // 20, 1)
        cosine = 0.1 + 0.9 * (1 + np.cos(np.pi * done / steps)) / 2
        return float(self.rate * min((done + 1) / warm, 1.0) * cosine)


@dataclass
class Run:
    """An estimator and what came of it."""

    name: str
    seed: int
    task: Task
    estimator: Estimator
    texts: Texts
    decisions: list[Decision] = field(default_factory=list)
    vector: torch.Tensor | None = None
    """Last weights."""
    probes: int = 0
    """Steps of the run that were probes."""
    trials: int = 0
    """Steps of trials."""
    evaluations: int = 0
    given: np.ndarray = field(init=False)
    """Contexts of each group in the run (m,)."""

    def __post_init__(self) -> None:
        self.given = np.zeros(len(self.task.groups), np.int64)
        self._begun: set[str | None] = set()
        self.checks = np.concatenate([self.texts.check[name] for name in self.task.groups])

    def next_jobs(self) -> list["Job"]:
        """Trials that may begin now; the run itself once there is no trial left."""
        pending = list(dict.fromkeys(segment.trial for segment in self.estimator.plan(0) if segment.trial))
        fresh: list[str | None] = [trial for trial in pending if trial not in self._begun]
        if not pending and None not in self._begun:
            fresh = [None]
        self._begun.update(fresh)
        return [Job(self, trial) for trial in fresh]

    def tell(self, step: int, losses: Mapping[str, float], trial: str | None = None) -> None:
        """Give the estimator losses."""
        self.evaluations += 1
        decision = self.estimator.observe(step, losses, trial)
        if decision is not None:
            self.decisions.append(decision)


@dataclass
class Job:
    """A replica's way: a run, or a trial of one."""

    run: Run
    trial: str | None
    step: int = 0
    slot: int = -1
    segments: list[Segment] = field(default_factory=list)

    def __post_init__(self) -> None:
        task = self.run.task
        self.schedule = Schedule(task.contexts, task.batch, task.seed)
        self._plan()
        self.steps = task.steps if self.trial is None else _length(self.run.estimator, self.segments)

    def _plan(self) -> None:
        """The segments from here on, into the schedule."""
        found = [segment for segment in self.run.estimator.plan(self.step) if segment.trial == self.trial]
        self.segments = [segment for segment in found if segment.end > self.step]
        batch = self.run.task.batch
        for segment in self.segments:
            self.schedule.extend(Span(segment.begin * batch, segment.end * batch, segment.mixture))

    def windows(self) -> Windows:
        """The next step's (contexts, CONTEXT + 1)."""
        batch = self.run.task.batch
        places = [self.schedule.at(self.step * batch + number) for number in range(batch)]
        if self.trial is None:
            for place in places:
                self.run.given[self.schedule.groups.index(place.group)] += 1
            self.run.probes += self.segments[0].kind == "probe"
        else:
            self.run.trials += 1
        return np.stack([self.run.texts.train[place.group][place.context] for place in places])

    def stepped(self) -> None:
        """A step was taken."""
        self.step += 1
        if self.segments[0].end <= self.step:
            self.segments.pop(0)

    @property
    def wants(self) -> bool:
        """Whether its estimator wants the losses now."""
        return self.run.estimator.wants(self.step, self.trial)

    def done(self) -> bool:
        """Whether there is nothing left to train; plans on where segments are used up."""
        if not self.segments:
            self._plan()
        return not self.segments


def _length(estimator: Estimator, segments: list[Segment]) -> int:
    return int(getattr(estimator, "trial_steps", segments[-1].end))


@dataclass
class Bench:
    """Trains runs; counts the CPU seconds of a replica's step and of an evaluation."""

    setting: Setting
    train_s: float = 0.0
    steps: int = 0
    check_s: float = 0.0
    checks: int = 0

    def train(self, runs: Iterable[Run]) -> None:
        """All runs to their ends, as many jobs at once as the setting says."""
        waiting = [job for run in runs for job in self._first(run)]
        active: list[Job] = []
        replicas = Replicas(self.setting.shape, torch.zeros(0, self.setting.shape.parameters))
        while waiting or active:
            free = self.setting.at_once - len(active)
            if (free and waiting) or len(active) < len(replicas):
                fresh, waiting = waiting[:free], waiting[free:]
                replicas = self._seat(replicas, active, fresh)
                active += fresh
            self._step(replicas, active)
            self._tell(replicas, active)
            ended = [job for job in active if job.done()]
            active = [job for job in active if job not in ended]
            waiting = [*self._after(replicas, ended), *waiting]

    def _first(self, run: Run) -> list[Job]:
        """The jobs that an estimator begins with; it is told the losses of the first weights if it wants them."""
        if run.estimator.wants(0):
            vector = self.setting.shape.initial(run.seed)[None]
            run.tell(0, self._losses(Replicas(self.setting.shape, vector), [0], [run])[0])
        return run.next_jobs()

    def _seat(self, replicas: Replicas, active: list[Job], fresh: list[Job]) -> Replicas:
        """Replicas for just these jobs."""
        grown = replicas.keep([job.slot for job in active])
        if fresh:
            grown = grown.with_more(torch.stack([self.setting.shape.initial(job.run.seed) for job in fresh]))
        for slot, job in enumerate([*active, *fresh]):
            job.slot = slot
        return grown

    def _step(self, replicas: Replicas, active: list[Job]) -> None:
        begin = time.process_time()
        rates = np.array([self.setting.rates(job.step, job.steps) for job in active])
        replicas.step(np.stack([job.windows() for job in active]), rates)
        for job in active:
            job.stepped()
        self.train_s += time.process_time() - begin
        self.steps += len(active)

    def _tell(self, replicas: Replicas, active: list[Job]) -> None:
        asking = [job for job in active if job.wants]
        if asking:
            begin = time.process_time()
            found = self._losses(replicas, [job.slot for job in asking], [job.run for job in asking])
            self.check_s += time.process_time() - begin
            self.checks += len(asking)
            for job, losses in zip(asking, found, strict=True):
                job.run.tell(job.step, losses, job.trial)

    def _losses(self, replicas: Replicas, slots: list[int], runs: list[Run]) -> list[dict[str, float]]:
        losses = replicas.losses(slots, np.stack([run.checks for run in runs]))
        groups = runs[0].task.groups
        means = losses.reshape(len(slots), len(groups), -1).mean(2)
        return [dict(zip(groups, row.tolist(), strict=True)) for row in means]

    def _after(self, replicas: Replicas, ended: list[Job]) -> list[Job]:
        """What comes after these jobs: more trials, the run, nothing."""
        for job in ended:
            if job.trial is None:
                job.run.vector = replicas.flat[job.slot].clone()
        return [following for job in ended for following in job.run.next_jobs()]
