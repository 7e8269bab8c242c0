"""Aioli: the mixture is learned on the run itself, from probes that are ordinary training steps.

Source: "Aioli: A Unified Optimization Framework for Language Model Data Mixing". Losses follow a linear dynamic law,
L_i(t+1) = L_i(t) - sum_j A_ij p_j; each round measures A and moves `p_j` by `exp(eta sum_i Abar_ij)`.

What is ours: sweeps are balanced (`sweep_orders`); p is held where A is degenerate or no column sum differs from the
mean by `hold` standard errors; rounds that are not clear alone are pooled (`memory`); columns that do not stand out
count as the mean (`shrink`); p is drawn to uniform (`pull`, `fade`); groups that the objective leaves out do not count;
`floor` and `max_epochs`.
`Aioli(task, eta=1.0, **PAPER)` is the paper's rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from stages.errors import ConfigError
from stages.mixture_base import Base, checked, numbers
from stages.mixture_estimator import Decision, Probe, Rounds, Segment, State, as_rows
from stages.mixture_evidence import Evidence
from stages.mixture_probes import Ints, drops_of, matrix_error, normalised_matrix, solved, sweep_orders
from stages.mixture_simplex import Floats, moved, probe_mixtures, uniform, with_floor

PAPER = {"hold": 0.0, "memory": 0.0, "shrink": False, "pull": 0.0, "fade": 0.0, "floor": 0.0}
"""Settings of `Aioli` that leave out what is ours."""


@dataclass
class Aioli(Base):
    """A round is `sweeps` times every group's probe, a decision, and training on what it says."""

    rounds: int = 20
    sweeps: int = 2
    delta: float = 0.25
    """Share of a round's steps that probes may take; a probe has as many steps as fit."""
    own: float | None = None
    """Share of a probe's own group, the others share the rest alike; None: two thirds of the way from 1/m to 1."""
    eta: float | None = None
    """None: three quarters of the number of groups, since Abar's column sums are 1/m in the mean."""
    hold: float = 1.0
    """Standard errors by which a column of A must differ from the mean of all for p to move by it; 0 always moves.

    Of 100 rounds of nothing but noise p moved in 26 at 1, in none at 2; but at 2 a useless group keeps its share long.
    """
    memory: float = 0.9
    shrink: bool = True
    pull: float = 0.3
    """How far p is drawn to uniform before each move. The rule is greedy: what a group has taught does not leave its p
    by itself, and p overshoots; with a pull it forgets."""
    fade: float = 0.3
    """How far p is drawn to uniform in a round whose evidence is not clear, but against p; 0 holds p all the same."""
    floor: float = 0.02
    lag: int = 0
    """Steps from a decision to the first step on it, for trainers that fetch batches ahead."""
    ema: float | None = None
    """The public code's rule: p is uniform times exp(eta times this moving average of Abar's column sums)."""
    diagonal: bool = False
    """Use the diagonal of A alone."""
    static: bool = False
    """Learn A in the first round only."""
    prior: Mapping[str, float] | None = None
    """A mixture for the first `warm_steps`; p then starts from uniform all the same."""
    warm_steps: int = 0
    _p: Floats = field(init=False, repr=False)
    _mean: Floats = field(init=False, repr=False)
    _round: int = field(init=False, repr=False, default=0)
    _seen: dict[str, dict[str, float]] = field(init=False, repr=False, default_factory=dict)
    _evidence: Evidence = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Decision 0 and the probes of the first round. Raises ConfigError if rounds are too short for their probes."""
        groups = len(self.task.groups)
        self._own = 1 / groups + (1 - 1 / groups) * 2 / 3 if self.own is None else self.own
        self._eta = 0.75 * groups if self.eta is None else self.eta
        self._rounds = Rounds(self.task.steps, self.rounds, self.warm_steps)
        self._check()
        shortest = (self.task.steps - self.warm_steps) // self.rounds
        self._probe_steps = int(self.delta * shortest) // (self.sweeps * groups) if groups > 1 else 0
        self._check_probes(shortest)
        self._p, self._mean = uniform(groups), np.zeros(groups)
        self._evidence = Evidence(self.memory, self.hold)
        self._start(self._p, "start: uniform")
        warm = self.task.by_name(self.task.mixture(self.prior, "the prior")) if self.prior else {}
        self._segments = [Segment(0, self.warm_steps, warm)] if self.warm_steps else []
        self._segments += self._to_decision()

    @property
    def probe_steps(self) -> int:
        """Steps of one probe."""
        return self._probe_steps

    def wants(self, step: int, trial: str | None = None) -> bool:
        """Around every probe."""
        return trial is None and step in self._grid()

    def observe(self, step: int, losses: Mapping[str, float], trial: str | None = None) -> Decision | None:
        """Take the losses around a probe; the last one of a round decides."""
        grid = self._grid()
        if trial is not None or step not in grid:
            return None
        self._seen[str(step)] = checked(self.task, losses, step)[0]
        if step != grid[-1]:
            return None
        missing = [at for at in grid if str(at) not in self._seen]
        if missing:
            raise ConfigError(f"the losses after step {missing[0]} were never given: evaluate wherever `wants` says so")
        return self._finish_round(step, grid)

    def _grid(self) -> list[int]:
        """Steps at which the round's losses are taken."""
        if self._round >= self.rounds or not self._probe_steps:
            return []
        begin = self._rounds.begin(self._round)
        if self.static and self._round:
            return [begin]
        return [begin + self._probe_steps * place for place in range(self.sweeps * len(self.task.groups) + 1)]

    def _finish_round(self, step: int, grid: list[int]) -> Decision:
        table = np.array([[self._seen[str(at)][name] for name in self.task.groups] for at in grid])
        facts = {"losses": self._seen[str(step)], "probes": self._probes(grid)}
        if not np.isfinite(table).all():
            place, column = np.argwhere(~np.isfinite(table))[0]
            name = self.task.groups[column]
            reason, measured = f"held: the loss of '{name}' is not finite after step {grid[place]}", None
        elif len(grid) > 1:
            measured = self._measure(table)
            reason = self._move()
        else:
            reason, measured = self._move(), None
        if measured is not None:
            matrix, error = measured
            facts |= {"matrix": as_rows(matrix), "error": as_rows(error) if np.isfinite(error).all() else ()}
        lands = min(step + self.lag, self.task.steps)
        decision = self._decide(step, lands, with_floor(self._p, self.floor), reason, **facts)
        self._round, self._seen = self._round + 1, {}
        self._segments = self._train(lands, self._rounds.begin(self._round)) + self._to_decision()
        return decision

    def _measure(self, losses: Floats) -> tuple[Floats, Floats]:
        """A of the round and its standard error (m, m); the evidence takes both."""
        orders = self._orders()
        drops = drops_of(losses, orders)
        matrix, error = solved(drops, self._own), matrix_error(drops, orders, self._own)
        self._evidence.add(matrix, drops, orders, self._own, self.task.weights)
        return matrix, error

    def _move(self) -> str:
        """Move p by the evidence, or hold it; says which and why."""
        evidence = self._evidence
        matrix = evidence.matrix(shrink=self.shrink)
        if self.diagonal:
            matrix = np.diag(np.diag(matrix))
        shares = normalised_matrix(matrix, self.task.weights)
        if shares is None:
            return "held: A is degenerate"
        told = f"a column of A is {evidence.farthest:.3g} nats from the mean, standard error {evidence.error:.3g}"
        if self.hold and evidence.farthest <= evidence.threshold:
            return f"{self._let_go()}: {told}, needed {evidence.threshold:.3g}"
        gains = shares.sum(axis=0)
        if self.ema is None:
            self._p = moved(with_floor(self._p, self.pull), gains, self._eta)
        else:
            self._mean = gains if not self._mean.any() else self.ema * self._mean + (1 - self.ema) * gains
            self._p = moved(uniform(len(gains)), self._mean, self._eta)
        return f"moved: {told}"

    def _let_go(self) -> str:
        """Draw p to uniform where the pooled A, clear or not, is against what p differs from uniform by."""
        columns = self.task.weights @ self._evidence.matrix(shrink=False)
        if not self.fade or float((self._p - self._p.mean()) @ columns) >= 0:
            return "held"
        self._p = with_floor(self._p, self.fade)
        return "drawn to uniform"

    def _to_decision(self) -> list[Segment]:
        """The round's probes, and steps on the present mixture until its decision lands."""
        grid = self._grid()
        if not grid:
            return self._train(self.warm_steps, self.task.steps) if len(self.task.groups) == 1 else []
        mixtures = probe_mixtures(len(self.task.groups), self._own)
        own = [self.task.by_name(mixtures[group]) for group in self._orders().ravel()]
        probes = [Segment(at, self._probe_steps, p, "probe") for at, p in zip(grid, own, strict=False) if at < grid[-1]]
        return probes + self._train(grid[-1], min(grid[-1] + self.lag, self.task.steps))

    def _probes(self, grid: list[int]) -> tuple[Probe, ...]:
        names = [self.task.groups[group] for group in self._orders().ravel()]
        return tuple(
            Probe(name, begin, end, self._seen[str(begin)], self._seen[str(end)])
            for name, begin, end in zip(names, grid, grid[1:], strict=False)
        )

    def _orders(self) -> Ints:
        return sweep_orders(len(self.task.groups), self.sweeps, (self.task.seed, self._round))

    def _memory(self) -> State:
        return {
            "p": self._p.tolist(),
            "mean": self._mean.tolist(),
            "round": self._round,
            "seen": {at: dict(losses) for at, losses in self._seen.items()},
            "evidence": self._evidence.state(),
        }

    def _remember(self, state: State) -> None:
        self._p, self._mean = np.array(state["p"]), np.array(state["mean"])
        self._round, self._seen = state["round"], {at: numbers(losses) for at, losses in state["seen"].items()}
        self._evidence.load(state["evidence"])

    def _check(self) -> None:
        groups = len(self.task.groups)
        if groups > 1 and not 1 / groups < self._own <= 1:
            raise ConfigError(f"own = {self.own} gives probes no group of their own: more than 1/{groups}, at most 1")
        if self.hold and self.sweeps < 2:
            raise ConfigError("one sweep tells no error of A: take two or more, or set hold to 0 and trust every A")
        if self.warm_steps and self.prior is None:
            raise ConfigError("warm_steps need a prior, the mixture to train them on")

    def _check_probes(self, shortest: int) -> None:
        groups = len(self.task.groups)
        probing = self._probe_steps * self.sweeps * groups
        if groups > 1 and (self._probe_steps < 1 or probing + self.lag > shortest):
            raise ConfigError(
                f"a round of {shortest} steps, {self.delta:g} of them probes, has no room for {self.sweeps} x {groups} "
                f"probes and a lag of {self.lag}: fewer rounds, fewer sweeps, a larger delta, or more steps"
            )
        if groups > 1 and self.rounds > 1 and probing == shortest:
            raise ConfigError(f"delta = {self.delta:g} leaves a round no step to train on what it decides: lower it")
