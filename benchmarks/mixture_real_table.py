"""The table of `mixture_real.py`: perplexity relative to a stratified mixture of the same seed, with 95% intervals."""

from typing import Any

import numpy as np

from benchmarks.mixture_real_data import GroupSet

PLAIN = "stratified"
Records = list[dict[str, Any]]

_STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}
"""Student's t of a two-sided 95% interval, by the number of seeds."""


def show(groups: GroupSet, records: Records) -> None:
    """Print the table of one set of groups."""
    ours = [one for one in records if one["set"] == groups.name]
    plain = {one["seed"]: one for one in ours if one["estimator"] == PLAIN}
    if not plain:
        return print(f"\n{groups.name}: no run of '{PLAIN}' to compare with yet")
    perplexity = np.exp([_loss(one) for one in plain.values()])
    print(f"\n## {groups.name}: {', '.join(groups.groups)}\n")
    print(f"{PLAIN}: perplexity {perplexity.mean():.2f} a byte, standard deviation over seeds {perplexity.std():.2f}\n")
    columns = [f"{name}, %" for name in groups.counted]
    head = ["estimator", "seeds", "mean, %", *columns, "p in training", "moved", "probes", "trials, runs", "CPU s"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for name in dict.fromkeys(one["estimator"] for one in ours):
        print(_row(groups, [one for one in ours if one["estimator"] == name and one["seed"] in plain], plain))
    return None


def _row(groups: GroupSet, runs: Records, plain: dict[int, Any]) -> str:
    changes = np.array([_loss(one) - _loss(plain[one["seed"]]) for one in runs])
    cells = [runs[0]["estimator"], str(len(runs)), interval(changes)]
    cells += [
        _percent(np.mean([one["losses"][name] - plain[one["seed"]]["losses"][name] for one in runs]))
        for name in groups.counted
    ]
    cells.append(" ".join(f"{np.mean([one['given'][name] for one in runs]):.2f}".lstrip("0") for name in groups.groups))
    cells += [f"{np.mean([one[key] for one in runs]):.0%}" for key in ("moved", "probes")]
    cells += [f"{np.mean([one['trials'] for one in runs]):.1f}", f"{np.mean([one['cpu_s'] for one in runs]):.1f}"]
    return f"| {' | '.join(cells)} |"


def interval(changes: np.ndarray) -> str:
    """Mean of changes of a loss (nats) as per cent of perplexity, with its 95% interval."""
    ratios = 100 * np.expm1(changes)
    if len(ratios) < 2 or not ratios.any():
        return f"{ratios.mean():+.1f}"
    half = _STUDENT.get(len(ratios), 2.3) * ratios.std(ddof=1) / np.sqrt(len(ratios))
    return f"{ratios.mean():+.1f} +- {half:.1f}"


def _percent(change: float) -> str:
    return f"{100 * np.expm1(change):+.1f}"


def _loss(one: dict[str, Any]) -> float:
    return float(np.mean(list(one["losses"].values())))
