"""Mergeable facts of perplexity scores, made with each shard: for each model's language how the deciding score lies.

Scores are counted in bins of fixed width, so counts of any number of shards merge exactly, in any order.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.aggregates import Aggregate, Counts, Rows, add_rows, paired
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


Scores = dict[str, dict[str, Rows]]
"""Deciding column -> language of the model -> number of the bin -> documents before and after the drops of the run."""


def step_of(column: str) -> float:
    """The width of the column's bins; perplexities are counted by their log10."""
    return RATIO_STEP if column == "harmful_ratio" else LOG_STEP


def perplexity_facts(columns: pa.Table, stages: Sequence[Stage | None], alive: np.ndarray) -> Scores:
    """The facts of one shard for its stages `perplexity`; `alive` is a boolean mask of the kept rows."""
    found: Scores = {}
    for stage in stages:
        if isinstance(stage, Perplexity):
            add_scores(found, {stage.score_column: _facts(columns, stage, alive)})
    return found


def add_scores(total: Scores, part: Scores) -> None:
    """Add the facts of a shard to those of others."""
    for column, languages in part.items():
        known = total.setdefault(column, {})
        for language, rows in languages.items():
            add_rows(known.setdefault(language, {}), rows)


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


def _facts(columns: pa.Table, stage: Perplexity, alive: np.ndarray) -> dict[str, Rows]:
    column = stage.score_column
    models = columns.column("harmful_model" if stage.side == "above" else "quality_model")
    scores = np.asarray(columns.column(column).cast(pa.float64()).fill_null(np.nan))
    values = scores if column == "harmful_ratio" else np.log10(np.where(scores > 0, scores, np.nan))
    scored = np.isfinite(values)
    bins = np.clip(np.floor(np.where(scored, values, 0) / step_of(column)), -_MOST, _MOST).astype(np.int64)
    found: dict[str, Rows] = {}
    for language in sorted(set(pc.unique(models).to_pylist()) - {None}):
        rows = np.asarray(pc.fill_null(pc.equal(models, language), False)) & scored
        if rows.any():
            found[language] = paired(Aggregate(_counted(bins[rows]), _counted(bins[rows & alive])))
    return found


def _counted(bins: np.ndarray) -> Counts:
    numbers, counts = np.unique(bins, return_counts=True)
    return {str(number): int(count) for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)}
