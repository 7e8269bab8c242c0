"""The first screen of a report: what became of the documents, and how good those are that stayed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.aggregates import Counts

_SHOWN = 5
_OVERALL = "rating_overall_score"


class Lost(NamedTuple):
    """Documents that one stage dropped for one reason."""

    stage: str
    reason: str
    """Empty for the rest, which has several."""
    documents: int


class Quality(NamedTuple):
    """The overall scores of some documents."""

    what: str
    documents: int
    mean: float
    percent: list[float]
    """Of the scores 1 to 5."""


def losses(funnel: Iterable[Mapping[str, Any]], most: int = _SHOWN) -> list[Lost]:
    """Why documents were dropped, the most frequent reason first; what is beyond `most` comes as one.

    >>> losses([{"stage": "language", "dropped": {"low_score": 3, "mixed": 1}}, {"stage": "rating", "dropped": {}}])
    [Lost(stage='language', reason='low_score', documents=3), Lost(stage='language', reason='mixed', documents=1)]
    >>> losses([{"stage": "a", "dropped": {"x": 3, "y": 2, "z": 1}}], most=1)
    [Lost(stage='a', reason='x', documents=3), Lost(stage='2 more reasons', reason='', documents=3)]
    """
    found = [
        Lost(step["stage"], reason, count) for step in funnel for reason, count in step["dropped"].items() if count
    ]
    found.sort(key=lambda lost: -lost.documents)
    rest = found[most:]
    if len(rest) > 1:
        return [*found[:most], Lost(f"{len(rest)} more reasons", "", sum(lost.documents for lost in rest))]
    return found


def qualities(first: Mapping[str, Counts], second: Mapping[str, Counts], names: Sequence[str]) -> list[Quality]:
    """The overall scores of two sets of documents, by columns of each; a set without ratings is left out.

    >>> columns = {"rating_overall_score": {"2": 1, "4": 1}}
    >>> [(found.what, found.mean) for found in qualities(columns, {}, ("read", "kept"))]
    [('read', 3.0)]
    """
    found = zip(names, (side.get(_OVERALL, {}) for side in (first, second)), strict=True)
    return [_quality(what, counts) for what, counts in found if sum(counts.values())]


def _quality(what: str, counts: Counts) -> Quality:
    scores = {score: counts.get(str(score), 0) for score in range(1, 6)}
    total = sum(scores.values()) or 1
    mean = sum(score * count for score, count in scores.items()) / total
    return Quality(what, total, mean, [round(100 * count / total, 2) for count in scores.values()])
