"""Mergeable facts of perplexity scores, made with each shard: for each model's language how the deciding score lies.

Scores are counted in bins of fixed width, so counts of any number of shards merge exactly, in any order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.aggregates import Counts, merge
from stages.contract import Stage
from stages.errors import TamisError
from stages.perplexity import CALIBRATED, Perplexity
from stages.perplexity_models import language_card, model_directory

RATIO_STEP = 0.05
"""Width of a bin of `harmful_ratio`."""
LOG_STEP = 0.05
"""Width of a bin of log10 perplexity."""
_MOST = 400
"""Scores beyond this many bins from zero are counted in the last one."""


@dataclass
class ScoreFacts:
    """One deciding column: documents by bin, by language of the model, before and after the drops of the run."""

    column: str
    all: dict[str, Counts] = field(default_factory=dict)
    """Language -> number of the bin -> documents."""
    kept: dict[str, Counts] = field(default_factory=dict)


def step_of(column: str) -> float:
    """The width of the column's bins; perplexities are counted by their log10."""
    return RATIO_STEP if column == "harmful_ratio" else LOG_STEP


def perplexity_facts(columns: pa.Table, stages: Sequence[Stage | None], alive: np.ndarray) -> list[ScoreFacts]:
    """The facts of one shard, one entry for each stage `perplexity`; `alive` is a boolean mask of the kept rows."""
    return [_facts(columns, stage, alive) for stage in stages if isinstance(stage, Perplexity)]


def merged_scores(parts: Iterable[ScoreFacts]) -> list[ScoreFacts]:
    """The facts of several shards, one entry for each column."""
    by_column: dict[str, list[ScoreFacts]] = {}
    for part in parts:
        by_column.setdefault(part.column, []).append(part)
    return [
        ScoreFacts(column, _merged([one.all for one in found]), _merged([one.kept for one in found]))
        for column, found in sorted(by_column.items())
    ]


def limits_of(stage: Perplexity, language: str) -> dict[str, float]:
    """What the stage compares the score with, by name (`threshold`, or `head` and `middle`); empty if unknown."""
    if not isinstance(stage.threshold, str):
        return {"threshold": float(stage.threshold)}
    kind = "harmful" if stage.side == "above" else "clean"
    try:
        card = language_card(model_directory(stage.model), language, kind)
    except TamisError:  # the models were there when the run was made, and need not be when its report is
        return {}
    if stage.side == "below":
        return dict(card.percentiles or {})
    return {"threshold": card.calibration.threshold} if stage.threshold == CALIBRATED and card.calibration else {}


def _facts(columns: pa.Table, stage: Perplexity, alive: np.ndarray) -> ScoreFacts:
    column = stage.score_column
    models = columns.column("harmful_model" if stage.side == "above" else "quality_model")
    scores = np.asarray(columns.column(column).cast(pa.float64()).fill_null(np.nan))
    values = scores if column == "harmful_ratio" else np.log10(np.where(scores > 0, scores, np.nan))
    scored = np.isfinite(values)
    bins = np.clip(np.floor(np.where(scored, values, 0) / step_of(column)), -_MOST, _MOST).astype(np.int64)
    facts = ScoreFacts(column)
    for language in sorted(set(pc.unique(models).to_pylist()) - {None}):
        rows = np.asarray(pc.fill_null(pc.equal(models, language), False)) & scored
        if rows.any():
            facts.all[language] = _counted(bins[rows])
            facts.kept[language] = _counted(bins[rows & alive])
    return facts


def _counted(bins: np.ndarray) -> Counts:
    numbers, counts = np.unique(bins, return_counts=True)
    return {str(number): int(count) for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)}


def _merged(parts: Sequence[dict[str, Counts]]) -> dict[str, Counts]:
    languages = sorted({language for part in parts for language in part})
    return {language: merge(part[language] for part in parts if language in part) for language in languages}
