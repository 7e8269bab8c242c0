"""Estimators of mixtures on real text: small models, trained in full, against a stratified mixture from the same seeds.

    python benchmarks/mixture_real.py --quick                     # about 2 CPU minutes
    python benchmarks/mixture_real.py --json real.json            # about 25 CPU minutes, in parts if you like:
    python benchmarks/mixture_real.py --sets noise --only Aioli --json real.json

The file keeps what was measured; every call adds to it and prints the table of all that it holds.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.corpus import data_directory
from benchmarks.mixture_real_data import SETS, GroupSet, Library
from benchmarks.mixture_real_model import losses_of
from benchmarks.mixture_real_run import Bench, Run, Setting
from benchmarks.mixture_real_table import PLAIN, show
from stages.mixture_aioli import PAPER, Aioli
from stages.mixture_doremi import DoReMi
from stages.mixture_estimator import Estimator
from stages.mixture_fixed import Fixed, proportional, stratified, temperature, unimax_of
from stages.mixture_skillit import SkillIt
from stages.mixture_survey import MixingLaws, RegMix
from stages.mixture_task import Task

STEPS, DATA = 800, 1.5
"""Steps of a run, and how many times its contexts the groups hold together."""
Maker = Callable[[Task], Estimator]


def estimators(groups: GroupSet) -> dict[str, Maker]:
    """All, by the names of the table's rows; trials are an eighth of a run long."""
    known: dict[str, Maker] = {"the known mixture": lambda task: Fixed(task, groups.oracle)} if groups.oracle else {}
    return known | {
        PLAIN: stratified,
        "proportional": proportional,
        "temperature 2": temperature,
        "unimax, 1 epoch": lambda task: unimax_of(task, epochs=1.0),
        "Aioli (ours)": Aioli,
        "Aioli (published), eta 0.2": lambda task: Aioli(task, eta=0.2, **PAPER),
        "Aioli (published), eta 2": lambda task: Aioli(task, rounds=8, eta=2.0, own=0.5, **PAPER),
        "Skill-It": lambda task: SkillIt(task, trial_steps=_trial(task)),
        "DoReMi": lambda task: DoReMi(task, trial_steps=_trial(task)),
        "mixing laws": lambda task: MixingLaws(task, trials=10, trial_steps=_trial(task), starts=4),
        "RegMix": lambda task: RegMix(task, trials=16, trial_steps=_trial(task), samples=20_000),
    }


def _trial(task: Task) -> int:
    return max(task.steps // 8, 10)


def measured(groups: GroupSet, names: list[str], seeds: list[int], steps: int, library: Library) -> Iterator[Any]:
    """A record of each estimator and seed; all train side by side."""
    setting = Setting()
    total = round(steps * setting.batch * DATA)
    makers, runs = estimators(groups), []
    for seed in seeds:
        texts = library.texts(groups, total, seed)
        task = Task(texts.contexts(), steps, setting.batch, seed, groups.objective)
        runs += [Run(name, seed, task, makers[name](task), texts) for name in names]
    bench = Bench(setting)
    bench.train(runs)
    for run in runs:
        yield record(groups, run, bench)


def record(groups: GroupSet, run: Run, bench: Bench) -> dict[str, Any]:
    assert run.vector is not None
    tests = np.concatenate([run.texts.test[name] for name in groups.counted])
    losses = losses_of(bench.setting.shape, run.vector[None], tests[None])[0].reshape(len(groups.counted), -1).mean(1)
    train_s, check_s = bench.train_s / bench.steps, bench.check_s / max(bench.checks, 1)
    return {
        "set": groups.name,
        "estimator": run.name,
        "seed": run.seed,
        "steps": run.task.steps,
        "losses": dict(zip(groups.counted, losses.tolist(), strict=True)),
        "given": dict(zip(run.task.groups, (run.given / run.given.sum()).tolist(), strict=True)),
        "last": dict(run.estimator.decision.mixture),
        "moved": float(np.mean([decision.moved for decision in run.decisions] or [False])),
        "probes": run.probes / run.task.steps,
        "trials": run.trials / run.task.steps,
        "cpu_s": (run.task.steps + run.trials) * train_s + run.evaluations * check_s,
    }


def quick(names: list[str]) -> list[str]:
    """What the quick tier runs: what needs no trials."""
    kept = ("the known mixture", PLAIN, "proportional", "Aioli (ours)", "Aioli (published), eta 2")
    return [name for name in names if name in kept]


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the set with noise alone, two seeds, few estimators")
    parser.add_argument("--sets", nargs="+", default=[], help="words that names of sets begin with")
    parser.add_argument("--only", nargs="+", default=[], help="words that names of estimators begin with")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="grad and param do not obey")
    seeds = list(range(2 if arguments.quick else arguments.seeds))
    found: list[Any] = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else []
    library = Library(data_directory())
    for groups in SETS:
        if not groups.name.startswith(tuple(arguments.sets or (["noise"] if arguments.quick else [""]))):
            continue
        names = [name for name in estimators(groups) if name.startswith(tuple(arguments.only or [""]))]
        names = quick(names) if arguments.quick else names
        fresh = list(measured(groups, names, seeds, arguments.steps, library))
        made = {(one["set"], one["estimator"], one["seed"]) for one in fresh}
        found = [one for one in found if (one["set"], one["estimator"], one["seed"]) not in made] + fresh
        show(groups, found)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
