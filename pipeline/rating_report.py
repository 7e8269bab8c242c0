"""The ratings section of a report: distributions by source, how the criteria hang together, examples, tokens."""

from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.aggregates import OTHER
from pipeline.rating_facts import SCORES, RatingFacts
from stages.rating import Rating
from stages.rating_protocol import CRITERIA

ONE_AXIS = 0.7
"""Share of variance on the first principal component above which fourteen scores say about as much as one."""
MOST_SOURCES = 30


def rating_section(facts: RatingFacts, stage: Rating) -> dict[str, Any]:
    """What the report shows of the ratings that a stage gave, as plain values."""
    matrix = correlations(facts)
    share = first_component(matrix)
    return {
        **_plain(facts),
        "notes": stage.notes,
        "cost": round((facts.prompt_tokens * stage.prompt_price + facts.answer_tokens * stage.answer_price) / 1e6, 4),
        "criteria": list(CRITERIA),
        "correlations": [[None if np.isnan(value) else round(float(value), 3) for value in row] for row in matrix],
        "first_component": None if share is None else round(share, 3),
        "one_axis": share is not None and share > ONE_AXIS,
        "rows": {name: _rows(facts, place) for place, name in enumerate(CRITERIA)},
    }


def _plain(facts: RatingFacts) -> dict[str, Any]:
    """The facts, with the counts of a source by criterion (14) and score (5), and with the texts of the examples."""
    plain = asdict(facts)
    del plain["documents"]
    by_source = {name: np.reshape(counts, (len(CRITERIA), -1)).tolist() for name, counts in facts.by_source.items()}
    return plain | {"by_source": by_source, "examples": facts.shown()}


def correlations(facts: RatingFacts) -> np.ndarray:
    """Pearson correlations of the criteria's scores, float64 (14, 14); NaN for a criterion that never varies."""
    count = max(facts.complete, 1)
    mean = np.array(facts.sums) / count
    covariance = np.array(facts.products) / count - np.outer(mean, mean)
    deviation = np.sqrt(np.clip(np.diag(covariance), 0, None))
    deviation[deviation < 1e-9] = np.nan
    return np.asarray(np.clip(covariance / np.outer(deviation, deviation), -1, 1))


def first_component(matrix: np.ndarray) -> float | None:
    """The share of variance on the first principal component of a correlation matrix (criteria that vary only).

    >>> first_component(np.array([[1.0, 1.0], [1.0, 1.0]]))
    1.0
    >>> first_component(np.full((2, 2), np.nan)) is None
    True
    """
    varies = ~np.isnan(np.diag(matrix))
    if varies.sum() < 2:
        return None
    values = np.linalg.eigvalsh(matrix[np.ix_(varies, varies)])
    return float(round(values[-1] / values.sum(), 12))


def _rows(facts: RatingFacts, place: int) -> list[dict[str, Any]]:
    """One row per source, largest first: documents, mean, and the share of each score in percent."""
    scores = slice(SCORES * place, SCORES * (place + 1))
    found = {source: np.array(counts[scores]) for source, counts in facts.by_source.items()}
    rated = {source: counts for source, counts in found.items() if counts.sum()}
    total = [("all sources", sum(rated.values()))] if len(rated) > 1 else []
    ordered = sorted(rated.items(), key=lambda item: (item[0] == OTHER, -int(item[1].sum()), item[0]))
    return [_row(name, np.asarray(counts)) for name, counts in [*total, *ordered[:MOST_SOURCES]]]


def _row(name: str, counts: np.ndarray) -> dict[str, Any]:
    documents = int(counts.sum())
    mean = float((counts * np.arange(1, len(counts) + 1)).sum() / documents)
    return {
        "name": name,
        "documents": documents,
        "mean": round(mean, 2),
        "counts": counts.tolist(),
        "percent": [round(100 * int(count) / documents, 2) for count in counts],
    }
