"""Mergeable aggregates of the columns that stages add, made with each shard, so that a report reads no document.

Strings are counted by value. Numbers are counted by value rounded to two significant digits, which keeps at most 180
different keys per power of ten and an error below 5%.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import add

import numpy as np
import pyarrow as pa

Counts = dict[str, int]
Rows = dict[str, list[int]]
"""Value -> several counts of it: what records hold, each value named once."""
MOST_VALUES = 1000
OTHER = "(other values)"


@dataclass
class Aggregate:
    """Counts of documents by value of one column, before and after the drops."""

    all: Counts = field(default_factory=dict)
    kept: Counts = field(default_factory=dict)


def paired(found: Aggregate) -> Rows:
    """Both counts of each value, as records hold them; 0 where a value was not counted.

    >>> paired(Aggregate({"de": 1, "en": 3}, {"en": 2}))
    {'de': [1, 0], 'en': [3, 2]}
    """
    values = sorted(found.all.keys() | found.kept.keys())
    return {value: [found.all.get(value, 0), found.kept.get(value, 0)] for value in values}


def apart(rows: Mapping[str, list[int]]) -> Aggregate:
    """The inverse of `paired`, in order of the values."""
    ordered = sorted(rows.items())
    counted = [{value: counts[kind] for value, counts in ordered if counts[kind]} for kind in (0, 1)]
    return Aggregate(*counted)


def add_rows(total: Rows, part: Rows) -> None:
    """Add the counts of a part to a total.

    >>> total = {"en": [2, 1]}
    >>> add_rows(total, {"de": [4, 0], "en": [1, 1]})
    >>> total
    {'en': [3, 2], 'de': [4, 0]}
    """
    for value, counts in part.items():
        known = total.get(value)
        total[value] = counts if known is None else list(map(add, known, counts))


def bounded(rows: Rows, most: int = MOST_VALUES, size: Callable[[list[int]], int] = lambda counts: counts[0]) -> Rows:
    """The `most` largest rows, ties by value, and the rest as one, so that a value per document does no harm.

    >>> bounded({"a": [1], "b": [5], "c": [2]}, most=1)
    {'b': [5], '(other values)': [3]}
    """
    if len(rows) - (OTHER in rows) <= most:
        return rows
    ordered = sorted(rows, key=lambda value: (value == OTHER, -size(rows[value]), value))
    rest = [sum(kind) for kind in zip(*(rows[value] for value in ordered[most:]), strict=True)]
    return {value: rows[value] for value in ordered[:most]} | {OTHER: rest}


def aggregate(table: pa.Table, alive: np.ndarray) -> dict[str, Aggregate]:
    """Aggregates of the string and number columns of a shard; `alive` is a boolean mask of the kept rows."""
    found: dict[str, Aggregate] = {}
    for column in table.schema:
        keys = _keys(table.column(column.name), column.type)
        if keys is not None:
            kept = [key for key, alive_row in zip(keys, alive, strict=True) if alive_row]
            found[column.name] = _counted(Counter(keys), Counter(kept))
    return found


def merge(parts: Iterable[Counts]) -> Counts:
    """The sum of several counts.

    >>> merge([{"en": 2}, {"de": 1, "en": 1}])
    {'de': 1, 'en': 3}
    """
    total: Counts = {}
    for part in parts:
        for key, count in part.items():
            total[key] = total.get(key, 0) + count
    return dict(sorted(total.items()))


def rounded(values: np.ndarray) -> np.ndarray:
    """Numbers rounded to two significant digits; zero has no sign.

    >>> rounded(np.array([-0.0, 0.1234, -1250.0])).tolist()
    [0.0, 0.12, -1200.0]
    """
    magnitude = np.zeros_like(values)
    np.log10(np.abs(values), out=magnitude, where=values != 0)
    scale = 10.0 ** (np.floor(magnitude) - 1)
    return np.asarray(np.round(values / scale) * scale + 0.0)


def _keys(column: pa.ChunkedArray, kind: pa.DataType) -> list[str | None] | None:
    if pa.types.is_string(kind):
        return list(column.to_pylist())
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    valid = np.asarray(column.is_valid())
    values = np.asarray(column.cast(pa.float64(), safe=False).fill_null(0.0))
    finite = np.isfinite(values)
    short = [f"{value:.2g}" for value in rounded(np.where(finite, values, 0.0))]
    return [key if ok else None for key, ok in zip(short, valid & finite, strict=True)]


def _counted(every: Counter[str | None], kept: Counter[str | None]) -> Aggregate:
    """The most frequent values of all rows, and the counts of the same ones among the kept rows."""
    common = [key for key, _ in every.most_common(MOST_VALUES + 1) if key is not None][:MOST_VALUES]
    return Aggregate(_among(common, every), _among(common, kept))


def _among(values: Iterable[str], counts: Counter[str | None]) -> Counts:
    """The counts of some values in order, and those of all others as one."""
    found = {value: counts[value] for value in sorted(values) if counts[value]}
    rest = counts.total() - counts[None] - sum(found.values())
    return found | ({OTHER: rest} if rest else {})
