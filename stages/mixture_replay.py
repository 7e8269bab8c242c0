"""From the decisions of a small run to the schedule of a large one.

A decision that landed after a fraction of the small run's samples lands after the same fraction of the large one's; or
all of it is trained on the mean of the mixtures, or on the last. Probes are not replayed: they measured, and are done.
Repetition caps are those of the large run, counted anew.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stages.errors import ConfigError
from stages.mixture_estimator import Decision, Segment, served
from stages.mixture_log import Entry, MixtureLog
from stages.mixture_task import Task

Planned = tuple[Decision, list[Segment]]
"""A decision, and what is trained on it: what a log's line holds."""


def replayed(log: MixtureLog, task: Task, how: str = "trajectory") -> Iterator[Planned]:
    """The decisions of a finished log as those of `task`, a run of the same groups, with what each is trained for.

    What the log says of a decision (losses, A and its error, why) stays; its probes' steps are those of the small run.
    One that would be in force for no sample is left out.
    Raises ConfigError if the log is not finished, or of other groups.
    """
    check_replay(log, task)
    total = log.facts.samples
    used = np.zeros(len(task.groups))
    entries = _chosen(log, how)
    begins = [round(task.steps * entry.sample / total) for entry in entries]
    spans = [span for span in zip(entries, begins, [*begins[1:], task.steps], strict=True) if span[1] < span[2]]
    for version, (entry, begin, end) in enumerate(spans):
        shares, caps = task.within_caps(task.mixture(entry.decision.mixture), used, begin)
        named = task.by_name(shares)
        segments = [Segment(begin, end - begin, named)]
        used = served(task, used, segments)
        decision = replace(entry.decision, version=version, step=begin, lands=begin, mixture=named, caps=caps)
        yield replace(decision, reason=_reason(entry.decision, caps, log)), segments


def check_replay(log: MixtureLog, task: Task) -> None:
    """Raise ConfigError if a log cannot be replayed on a task."""
    if set(log.facts.contexts) != set(task.groups):
        raise ConfigError(
            f"the log is of groups {', '.join(sorted(log.facts.contexts))}, found {', '.join(task.groups)}: "
            "estimate the mixture of these groups anew"
        )
    if not log.complete:
        raise ConfigError(
            f"the log ends before sample {log.facts.samples:,} of its run: finish that run (the same command goes on)"
        )


def mean_mixture(log: MixtureLog) -> dict[str, float]:
    """The mean of a finished log's mixtures, each weighted by the samples to where the next one landed."""
    begins = [entry.sample for entry in log.entries]
    lengths = np.diff([*begins, log.facts.samples])
    return {
        name: float(sum(n * e.decision.mixture[name] for n, e in zip(lengths, log.entries, strict=True)) / sum(lengths))
        for name in sorted(log.facts.contexts)
    }


def _chosen(log: MixtureLog, how: str) -> list[Entry]:
    """The entries to replay, from sample 0 on."""
    if how == "trajectory":
        return list(log.entries)
    last = log.entries[-1]
    mixture = mean_mixture(log) if how == "average" else last.decision.mixture
    return [replace(last, sample=0, decision=replace(last.decision, mixture=mixture))]


def _reason(decision: Decision, caps: tuple[str, ...], log: MixtureLog) -> str:
    reason = decision.reason.split("; max_epochs cuts")[0]
    told = f"{reason} (after step {decision.step} of {log.facts.samples // log.facts.batch} of the proxy)"
    return f"{told}; max_epochs cuts {', '.join(caps)}" if caps else told
