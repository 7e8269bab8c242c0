"""The mixture section of a report: what was asked of each group and what it got, why, and what it cost to find out."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.mixing_inputs import Estimated
from pipeline.mixture_charts import chart, shade
from stages.mixture_estimator import Decision
from stages.mixture_log import MixtureLog, spans_of

MOST_GROUPS = 40
"""Groups whose lines and cells are shown; report.json has all."""
CAUTION = (
    "A lower loss is not yet a better model: in the paper that describes Aioli, lower perplexity went with worse "
    "downstream scores (r = 0.53). Judge a mixture by what the model is for."
)


def mixture_facts(log: MixtureLog, found: Estimated) -> dict[str, Any]:
    """What the report shows of a run's mixture log and of how it was estimated, as plain values for JSON."""
    names = sorted(log.facts.contexts)
    return {
        "estimator": found.estimator,
        "replay": found.replay,
        "tokenizer": log.facts.tokenizer,
        "samples": log.facts.samples,
        "block": log.facts.block or log.facts.batch,
        "caution": CAUTION if found.proxy else "",
        "notes": [*found.notes, *found.run_out],
        "groups": _groups(log, found),
        "decisions": [_decision(entry.decision, names) for entry in log.entries],
        "shares": _shares(log, names),
        "losses": _losses(found, names),
        "proxy": found.proxy | {"spent": _spent(found.proxy.get("spent", {}))} if found.proxy else None,
    }


def _groups(log: MixtureLog, found: Estimated) -> list[dict[str, Any]]:
    """Of each group what was asked and what it gets, largest first."""
    facts, schedule = log.facts, log.schedule()
    end = min(schedule.end, facts.samples or schedule.end)
    counts = dict(zip(schedule.groups, schedule.counts(end).tolist(), strict=True)) if end else {}
    caps = schedule.caps(end) if end else {}
    history = found.proxy.get("losses", [])
    rows = [
        {
            "name": name,
            "contexts": facts.contexts[name],
            "asked": _asked(log, name),
            "samples": counts.get(name, 0),
            "realised": counts.get(name, 0) / max(end, 1),
            "repetitions": counts.get(name, 0) / facts.contexts[name],
            "runs_out": caps.get(name),
            "first_loss": history[0][1].get(name) if history else None,
            "last_loss": history[-1][1].get(name) if history else None,
        }
        for name in facts.contexts
    ]
    return sorted(rows, key=lambda row: (-row["realised"], row["name"]))


def _asked(log: MixtureLog, name: str) -> float:
    """The share that the segments ask for, over all samples."""
    total = sum(span.end - span.begin for span in spans_of(log))
    return sum((span.end - span.begin) * span.mixture[name] for span in spans_of(log)) / max(total, 1)


def _decision(decision: Decision, names: list[str]) -> dict[str, Any]:
    """A decision, with A as rows of cells to shade: the group whose loss falls, by the group that was trained on."""
    error = np.array(decision.error) if decision.error else None
    largest = float(np.abs(decision.matrix).max()) if decision.matrix else 0.0
    rows = [
        {
            "name": name,
            "cells": [
                {
                    "value": value,
                    "error": None if error is None else float(error[row, column]),
                    "shade": shade(value, largest),
                }
                for column, value in enumerate(values)
            ],
        }
        for row, (name, values) in enumerate(zip(names, decision.matrix, strict=False))
    ]
    told = {key: value for key, value in asdict(decision).items() if key in ("version", "step", "moved", "reason")}
    return {**told, "caps": list(decision.caps), "mixture": dict(decision.mixture), "columns": names, "matrix": rows}


def _shares(log: MixtureLog, names: list[str]) -> dict[str, Any]:
    """p over samples."""
    spans = list(spans_of(log))
    lines: Mapping[str, list[tuple[float, float]]] = {
        name: [(at, span.mixture[name]) for span in spans for at in (span.begin, span.end)] for name in names
    }
    return chart(dict(list(lines.items())[:MOST_GROUPS]), "share of the group", "context", zero=True)


def _losses(found: Estimated, names: list[str]) -> dict[str, Any] | None:
    """Validation losses over the proxy's steps."""
    history = found.proxy.get("losses", [])
    lines: Mapping[str, list[tuple[float, float]]] = {
        name: [(step, losses[name]) for step, losses in history if losses[name] is not None]
        for name in names[:MOST_GROUPS]
    }
    return chart(lines, "validation loss (nats per token)", "step of the proxy", zero=False) if history else None


def _spent(spent: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Tokens by what they were spent on, and their share of all."""
    total = max(sum(spent.values()), 1)
    return {kind: {"tokens": tokens, "share": tokens / total} for kind, tokens in spent.items()}
