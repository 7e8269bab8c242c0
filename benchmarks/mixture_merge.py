"""`merge` against training: averages of models of single groups, and models really trained on the same mixtures.

    python benchmarks/mixture_merge.py [--mixtures 10] [--json FILE]

About one CPU minute. A seed model is trained on the stratified mixture. From it, one model is trained on each group
alone, and one on each candidate mixture, all for as long. Each candidate's averaged model and its trained model are
scored on the same test windows; what matters is whether the averages rank the candidates as training does.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.corpus import data_directory
from benchmarks.mixture_real_data import SETS, Library, Texts
from benchmarks.mixture_real_model import Replicas, losses_of
from benchmarks.mixture_real_run import Setting
from stages.mixture_merge import merged
from stages.mixture_schedule import Schedule, Span
from stages.mixture_simplex import Floats, uniform
from stages.mixture_survey import dirichlet

SEED_STEPS, STEPS = 500, 300
RATE = 1e-3
"""Highest learning rate after the seed model, a quarter of that before: averages need models that are not far apart."""


def trained(start: Any, mixtures: Floats, texts: Texts, steps: int, setting: Setting) -> Any:
    """Weights (mixtures, parameters) after training from one start on each mixture, side by side."""
    replicas = Replicas(setting.shape, start[None].repeat(len(mixtures), 1))
    schedules = [_schedule(texts, mixture, steps * setting.batch) for mixture in mixtures]
    for step in range(steps):
        places = [[s.at(step * setting.batch + n) for n in range(setting.batch)] for s in schedules]
        batch = np.array([[texts.train[place.group][place.context] for place in row] for row in places])
        replicas.step(batch, np.full(len(mixtures), setting.rates(step, steps)))
    return replicas.flat


def _schedule(texts: Texts, mixture: Floats, contexts: int) -> Schedule:
    groups = sorted(texts.train)
    schedule = Schedule(texts.contexts(), 16, seed=0)
    schedule.extend(Span(0, contexts, dict(zip(groups, mixture.tolist(), strict=True))))
    return schedule


def scores(vectors: Any, texts: Texts) -> Floats:
    """Mean test loss over groups (nats a byte) of each model."""
    tests = np.concatenate([texts.test[name] for name in sorted(texts.test)])[None]
    return np.array([losses_of(Setting().shape, vector[None], tests).mean() for vector in vectors])


def averages(singles: Any, groups: list[str], mixtures: Floats) -> Any:
    import torch

    models = {name: {"weights": vector.numpy()} for name, vector in zip(groups, singles, strict=True)}
    named = [dict(zip(groups, mixture.tolist(), strict=True)) for mixture in mixtures]
    return torch.stack([torch.from_numpy(merged(models, mixture)["weights"]) for mixture in named])


def correlations(ours: Floats, theirs: Floats) -> tuple[float, float]:
    """Pearson's and Spearman's (no ties)."""
    ranks = [np.argsort(np.argsort(values)) for values in (ours, theirs)]
    return float(np.corrcoef(ours, theirs)[0, 1]), float(np.corrcoef(*ranks)[0, 1])


def compare(seed: int, count: int, library: Library) -> dict[str, Any]:
    groups = SETS[0].groups
    begin = time.process_time()
    texts = library.texts(SETS[0], 12_000, seed)
    mixtures = np.vstack([uniform(len(groups)), dirichlet(len(groups), count - 1, seed)])
    start = trained(Setting().shape.initial(seed), mixtures[:1], texts, SEED_STEPS, Setting())[0]
    vectors = trained(start, np.vstack([np.eye(len(groups)), mixtures]), texts, STEPS, Setting(rate=RATE))
    guessed = scores(averages(vectors[: len(groups)], list(groups), mixtures), texts)
    real = scores(vectors[len(groups) :], texts)
    pearson, spearman = correlations(guessed, real)
    best = int(guessed.argmin())
    return {
        "seed": seed,
        "pearson": pearson,
        "spearman": spearman,
        "same_best": best == int(real.argmin()),
        "regret_percent": float(100 * np.expm1(real[best] - real.min())),
        "best_over_stratified_percent": float(100 * np.expm1(real.min() - real[0])),
        "averaged": np.exp(guessed).tolist(),
        "trained": np.exp(real).tolist(),
        "mixtures": mixtures.tolist(),
        "cpu_s": time.process_time() - begin,
    }


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixtures", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="grad and param do not obey")
    library = Library(data_directory())
    found = []
    print("| seed | Pearson | Spearman | same best | its loss over the best | best over stratified | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for seed in range(arguments.seeds):
        one = compare(seed, arguments.mixtures, library)
        found.append(one)
        print(
            f"| {seed} | {one['pearson']:.2f} | {one['spearman']:.2f} | {'yes' if one['same_best'] else 'no'} "
            f"| {one['regret_percent']:.1f}% | {one['best_over_stratified_percent']:+.1f}% | {one['cpu_s']:.0f} |",
            flush=True,
        )
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
