"""Documents of two runs, joined by id: which changed sides, and whose scores moved."""

from collections.abc import Sequence
from typing import Any

from pipeline.refusals import reading_shards, recorded, unreadable
from pipeline.shard_sql import connect, patterns, quoted
from pipeline.storage import Store

_EXAMPLES = 5
_MOST_ROWS = 200
_KEPT = "kept"
_ABSENT = "not in this run"
_OPTIONS = "hive_partitioning = false, union_by_name = true"
_SIDES = f"""
    SELECT id, '{_KEPT}' AS side FROM read_parquet(?, {_OPTIONS})
    UNION ALL SELECT id, dropped_by || ': ' || drop_reason FROM read_parquet(?, {_OPTIONS})
"""
_MOVED = f"""
    SELECT coalesce(a.side, '{_ABSENT}') AS a, coalesce(b.side, '{_ABSENT}') AS b, count(*) AS documents,
           min(id, {_EXAMPLES}) AS ids
    FROM ({_SIDES}) a FULL JOIN ({_SIDES}) b USING (id)
    WHERE a.side IS DISTINCT FROM b.side
    GROUP BY ALL ORDER BY documents DESC, a, b
"""


def moved_documents(first: Store, second: Store) -> dict[str, Any]:
    """Documents that are kept in one run and not in the other, or dropped for another reason: counts and some ids."""
    rows = _query(first, second, _MOVED, _files(first, second))
    moved = [dict(zip(("a", "b", "documents", "ids"), row, strict=True)) for row in rows]
    return {
        "gained": sum(row["documents"] for row in moved if row["b"] == _KEPT),
        "lost": sum(row["documents"] for row in moved if row["a"] == _KEPT),
        "moved": moved[:_MOST_ROWS],
        "left_out": max(0, len(moved) - _MOST_ROWS),
    }


def moved_scores(first: Store, second: Store, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Of number columns that both runs have: documents with a value in both, those whose value differs, mean change."""
    if not columns:
        return []
    names = [quoted(column) for column in columns]
    told = ", ".join(
        f"count(a.{n} + b.{n}), count(*) FILTER (a.{n} <> b.{n}), avg(b.{n}::DOUBLE - a.{n}::DOUBLE)" for n in names
    )
    chosen = f"SELECT id, {', '.join(names)} FROM read_parquet(?, {_OPTIONS})"
    sides = [f"({chosen} UNION ALL {chosen}) {letter}" for letter in "ab"]
    query = f"SELECT {told} FROM {sides[0]} JOIN {sides[1]} USING (id)"
    (row,) = _query(first, second, query, _files(first, second))
    found = [row[3 * place : 3 * place + 3] for place in range(len(columns))]
    keys = ("documents", "changed", "mean_change")
    return [{"column": name, **dict(zip(keys, one, strict=True))} for name, one in zip(columns, found, strict=True)]


_BOTH = ("data", "dropped")


def shards(store: Store, kind: str) -> list[str]:
    """Paths of the shards in a directory of a run: those that its manifest names. Raises InputError if one is gone."""
    there = [f"{kind}/{name}" for name in store.names(kind) if name.endswith(".parquet")]
    named = recorded(store, {"data": "parts", "dropped": "dropped"}[kind])
    if not there or not {record["name"] for record in named} <= set(there):
        raise unreadable((store,), f"found {len(there):,} in {kind}/")
    return [store.path(name) for name in ([record["name"] for record in named] or there)]


def _files(*stores: Store) -> list[list[str]]:
    return [patterns(shards(store, kind)) for store in stores for kind in _BOTH]


def _query(first: Store, second: Store, query: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with reading_shards(first, second), connect(first, second) as connection:
        return list(connection.execute(query, parameters).fetchall())
