"""Mergeable aggregates of the columns that stages add, made with each shard, so that a report reads no document.

Strings are counted by value. Numbers are counted by value rounded to two significant digits, which keeps at most 180
different keys per power of ten and an error below 5%.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

Counts = dict[str, int]
MOST_VALUES = 1000
OTHER = "(other values)"


@dataclass
class Aggregate:
    """Counts of documents by value of one column, before and after the drops."""

    all: Counts = field(default_factory=dict)
    kept: Counts = field(default_factory=dict)


def aggregate(table: pa.Table, alive: np.ndarray) -> dict[str, Aggregate]:
    """Aggregates of the string and number columns of a shard; `alive` is a boolean mask of the kept rows."""
    found: dict[str, Aggregate] = {}
    for column in table.schema:
        keys = _keys(table.column(column.name), column.type)
        if keys is not None:
            kept = [key for key, alive_row in zip(keys, alive, strict=True) if alive_row]
            found[column.name] = Aggregate(_counts(keys), _counts(kept))
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
    """Numbers rounded to two significant digits.

    >>> rounded(np.array([0.0, 0.1234, -1250.0])).tolist()
    [0.0, 0.12, -1200.0]
    """
    magnitude = np.zeros_like(values)
    np.log10(np.abs(values), out=magnitude, where=values != 0)
    scale = 10.0 ** (np.floor(magnitude) - 1)
    return np.asarray(np.round(values / scale) * scale)


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


def _counts(keys: Iterable[str | None]) -> Counts:
    counter = Counter(key for key in keys if key is not None)
    common = counter.most_common(MOST_VALUES)
    rest = counter.total() - sum(count for _, count in common)
    return dict(sorted(common)) | ({OTHER: rest} if rest else {})
