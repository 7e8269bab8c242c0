"""Estimators of mixtures in worlds whose best mixture is known: how well A is measured, and who comes how near.

    python benchmarks/mixture_estimators.py [--laws 20]

About four CPU minutes. Nothing is trained: a model is the steps that it was given of each group (`mixture_worlds`).
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.mixture_worlds import Drive, LawWorld, LinearWorld, objective, random_law, task_of
from pipeline.data import MixtureRun, MixtureStream
from pipeline.data.loops import facts_of
from stages.mixture_aioli import PAPER, Aioli
from stages.mixture_doremi import DoReMi
from stages.mixture_estimator import Estimator
from stages.mixture_fixed import Fixed, stratified
from stages.mixture_log import LogWriter, read_log
from stages.mixture_probes import normalised_matrix
from stages.mixture_simplex import moved, uniform
from stages.mixture_skillit import SkillIt
from stages.mixture_survey import MixingLaws, RegMix
from stages.mixture_task import Task

STEPS = 2_000
NOISES = (0.0, 0.001, 0.003, 0.01)
"""Standard deviation of a seen loss (nats). The first losses fall by about .003 a step, the last by a tenth of that."""

Maker = Callable[[Task], Estimator]


def published(task: Task, eta: float = 1.0, **settings: Any) -> Aioli:
    """The paper's rule, with mild probes: a third of the way from 1/m to 1."""
    groups = len(task.groups)
    return Aioli(task, own=1 / groups + (1 - 1 / groups) / 3, eta=eta, **{**PAPER, **settings})


def estimators() -> dict[str, Maker]:
    trial = STEPS // 4
    return {
        "stratified": stratified,
        "Aioli (ours)": Aioli,
        "Aioli, half of eta": lambda task: Aioli(task, eta=0.375 * len(task.groups)),
        "Aioli, hold 2": lambda task: Aioli(task, hold=2.0),
        "Aioli, one round alone (memory 0)": lambda task: Aioli(task, memory=0.0),
        "Aioli, no pull": lambda task: Aioli(task, pull=0.0),
        "Aioli, no fade": lambda task: Aioli(task, fade=0.0),
        "Aioli, never holds, pools or shrinks": lambda task: Aioli(task, hold=0.0, memory=0.0, shrink=False),
        "Aioli (paper), eta 1": published,
        "Aioli (paper), eta 0.2": lambda task: published(task, eta=0.2),
        "Aioli (paper), diagonal": lambda task: published(task, diagonal=True),
        "Aioli (paper), static": lambda task: published(task, static=True),
        "Aioli (public code's EMA), eta 1": lambda task: published(task, ema=0.5),
        "Skill-It": SkillIt,
        "DoReMi": lambda task: DoReMi(task, trial_steps=trial, every=10),
        "mixing laws": lambda task: MixingLaws(task, trials=2 * len(task.groups) + 4, trial_steps=trial, starts=4),
        "RegMix": lambda task: RegMix(task, trials=8 * len(task.groups), trial_steps=trial, samples=5_000),
    }


def recovery() -> None:
    """Relative error of A (Frobenius) in one round, median of 20 linear worlds, by sweeps."""
    print("\n| groups | noise | 1 sweep | 2 | 4 | 8 | said by us, 8 sweeps |\n|---|---|---|---|---|---|---|")
    for groups in (2, 4, 7, 10):
        for noise in (0.0, 0.003):
            errors = [_recovered(groups, noise, sweeps) for sweeps in (1, 2, 4, 8)]
            cells = " | ".join(f"{error:.2g}" for error, _ in errors)
            print(f"| {groups} | {noise:g} | {cells} | {errors[-1][1]:.2g} |")


def _recovered(groups: int, noise: float, sweeps: int) -> tuple[float, float]:
    """Median relative error, and what the standard errors say it is; a probe has 10 steps."""
    found, said = [], []
    for seed in range(20):
        slope = np.random.default_rng(seed).uniform(0.0, 1.0, (groups, groups)) * 2e-3
        world = LinearWorld(tuple(f"g{number}" for number in range(groups)), slope, noise)
        steps = 10 * sweeps * groups
        aioli = published(task_of(world, steps, seed), rounds=1, sweeps=sweeps, delta=1.0)
        decision = Drive(world, seed).run(aioli, steps).decisions[0]
        size = float(np.linalg.norm(slope * 10))
        found.append(float(np.linalg.norm(np.array(decision.matrix) - slope * 10)) / size)
        said.append(float(np.linalg.norm(decision.error)) / size if decision.error else 0.0)
    return float(np.median(found)), float(np.median(said))


def trajectory(laws: int) -> None:
    """How far p, from measured A, is from p moved by the exact A at each round's middle of probes; without noise."""
    worst = 0.0
    for seed in range(laws):
        world = random_law(2 + seed % 9, STEPS, seed)
        task = task_of(world, STEPS, seed)
        aioli = published(task)
        exact, given, done = uniform(len(world.groups)), np.zeros(len(world.groups)), 0
        for decision in Drive(world, seed).run(aioli, STEPS).decisions:
            probing = aioli.probe_steps * 2 * len(world.groups)
            shares = normalised_matrix(world.matrix(given + probing / 2 / len(world.groups)), task.weights)
            assert shares is not None
            exact = moved(exact, shares.sum(axis=0), 1.0)
            p = np.array([decision.mixture[name] for name in world.groups])
            worst = max(worst, float(np.abs(p - exact).max()))
            given, done = given + probing / len(world.groups) + (STEPS // 20 - probing) * p, done + 1
    print(f"\nLargest distance of a share from the trajectory of the exact A, {laws} laws of 20 rounds: {worst:.1g}")


def rivals(laws: int, only: tuple[str, ...]) -> None:
    makers = {name: maker for name, maker in estimators().items() if name.startswith(("stratified", *only))}
    for noise in NOISES:
        print(f"\nNoise {noise:g}\n\n| estimator | regret | worse than stratified | by at most | rounds that moved p |")
        print("|---|---|---|---|---|")
        rows = {name: [_regret(maker, seed, noise) for seed in range(laws)] for name, maker in makers.items()}
        plain = np.array([regret for regret, _, _ in rows["stratified"]])
        for name, found in rows.items():
            regrets = np.array([regret for regret, _, _ in found])
            worse = (regrets - plain) / plain.mean()
            moves = np.mean([share for _, share, _ in found])
            extra = f" (+{np.mean([spent for _, _, spent in found]) / STEPS:.1f} runs of trials)" if found[0][2] else ""
            row = (
                f"| {name}{extra} | {regrets.mean():.4f} | {(worse > 1e-6).sum()} of {laws} | {max(worse.max(), 0):.0%}"
            )
            print(f"{row} | {moves:.0%} |", flush=True)


def _regret(maker: Maker, seed: int, noise: float) -> tuple[float, float, int]:
    """Nats above the best mixture's mean loss at the end, the share of decisions that moved, steps spent on trials."""
    world: LawWorld = random_law(2 + seed % 9, STEPS, seed, noise)
    drive = Drive(world, seed).run(maker(task_of(world, STEPS, seed)), STEPS)
    best = world.optimum(STEPS, np.ones(len(world.groups))) * STEPS
    moves = [decision.moved for decision in drive.decisions]
    return objective(world, drive.given) - objective(world, best), float(np.mean(moves or [False])), drive.spent


class _Made:
    """A source without files."""

    def __len__(self) -> int:
        return 1_000_000

    def rows(self, begin: int, end: int) -> list[Mapping[str, Any]]:
        """Contexts from `begin` to before `end`."""
        return [{"context": number} for number in range(begin, end)]


def speed() -> None:
    """The schedule and the stream alone, without files."""
    groups = {f"g{number}": 1_000_000 for number in range(7)}
    task = Task(groups, steps=20_000, batch=256)
    mixture = {name: (number + 1) / 28 for number, name in enumerate(groups)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mixture.jsonl"
        MixtureRun(Fixed(task, mixture), LogWriter(path, facts_of(task, {}, "none")))
        schedule = read_log(path).schedule()
        blocks = 20_000 / _cpu(lambda: schedule.counts(task.steps * task.batch))
        at = 2_000 / _cpu(lambda: [schedule.at(number * 2_500) for number in range(2_000)])
        find = 2_000 / _cpu(lambda: [schedule.find("g3", number * 300) for number in range(2_000)])
        stream = MixtureStream(path, {name: _Made() for name in groups})
        served = 200_000 / _cpu(lambda: [next(samples) for samples in [iter(stream)] for _ in range(200_000)])
    print(f"\nBlocks of 256 from 7 groups: {blocks:,.0f} blocks/s into the table; {at:,.0f} at/s; {find:,.0f} find/s; ")
    print(f"the stream: {served:,.0f} samples/s (CPU time, one core)")


def _cpu(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laws", type=int, default=20)
    parser.add_argument("--only", nargs="+", default=[""], help="words that names of estimators begin with")
    arguments = parser.parse_args()
    recovery()
    trajectory(arguments.laws)
    speed()
    rivals(arguments.laws, tuple(arguments.only))


if __name__ == "__main__":
    main()
