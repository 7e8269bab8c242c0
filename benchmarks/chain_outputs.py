"""What a tool kept and said, read from its output in any of the tools' formats, and what two tools agree on."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq

Found = dict[str, tuple[str, float | None]]
"""Id of a document that was kept -> its language, and its perplexity where the chain has one."""
Row = dict[str, Any]


def from_parquet(id_: str, said: Callable[[Row], tuple[str, float | None]]) -> Callable[[Path], Found]:
    """A reader of a directory of Parquet files; everything but the text is looked at."""

    def read(directory: Path) -> Found:
        found: Found = {}
        for path in sorted(directory.rglob("*.parquet")):
            file = pq.ParquetFile(path)
            columns = [name for name in file.schema_arrow.names if name != "text"]
            rows = file.read(columns=columns).to_pylist()
            found |= {row[id_]: said(row) for row in rows}
        return found

    return read


def from_json_lines(pattern: str, said: Callable[[Row], tuple[str, float | None]]) -> Callable[[Path], Found]:
    """A reader of a directory of JSON Lines files, with or without gzip."""

    def read(directory: Path) -> Found:
        found: Found = {}
        for path in sorted(directory.rglob(pattern)):
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            found |= {row["id"]: said(row) for row in map(orjson.loads, data.split(b"\n")[:-1])}
        return found

    return read


def one_score(attributes: Row, name: str) -> float | None:
    """The score of the one span of a tag of Dolma's, if it is there.

    >>> one_score({"a": [[0, 5, 0.25]]}, "a"), one_score({}, "a")
    (0.25, None)
    """
    return attributes[name][0][2] if name in attributes else None


def stats_of(row: Row) -> tuple[str, float | None]:
    """What Data-Juicer's filters noted."""
    stats = row["__dj__stats__"]
    return stats["lang"], stats.get("perplexity")


def agreement(one: Found, other: Found) -> dict[str, float | None]:
    """Documents kept, those kept by one alone, and the rank correlation of perplexities of those that both kept.

    >>> agreement({"a": ("en", 1.0), "b": ("en", 2.0)}, {"a": ("en", 5.0), "b": ("en", 9.0), "c": ("en", 1.0)})
    {'kept': 3, 'missing': 0, 'more': 1, 'equal_labels': 1.0, 'rank_correlation': 1.0}
    """
    both = sorted(one.keys() & other.keys())
    scores = [(one[id_][1], other[id_][1]) for id_ in both]
    pairs = [(mine, theirs) for mine, theirs in scores if mine is not None and theirs is not None]
    return {
        "kept": len(other),
        "missing": len(one.keys() - other.keys()),
        "more": len(other.keys() - one.keys()),
        "equal_labels": sum(one[id_][0] == other[id_][0] for id_ in both) / max(1, len(both)),
        "rank_correlation": rank_correlation(*zip(*pairs, strict=True)) if len(pairs) > 1 else None,
    }


def rank_correlation(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Spearman's, ties in the order they come.

    >>> rank_correlation((1.0, 2.0, 3.0), (3.0, 2.0, 1.0))
    -1.0
    """
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (one, other)]
    return round(float(np.corrcoef(*ranks)[0, 1]), 4)
