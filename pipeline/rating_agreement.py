"""How well the ratings of a run, or of a file, agree with labels that others gave the same documents."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.compare_documents import shards
from pipeline.shard_sql import literal, pattern, patterns
from pipeline.storage import Store
from pipeline.training.agreement import criterion_figures, domain_figures
from stages.errors import InputError
from stages.rating_protocol import CRITERIA, DOMAINS

_READERS = {".parquet": "read_parquet", ".jsonl": "read_json_auto", ".json": "read_json_auto", ".csv": "read_csv_auto"}
_COMPRESSED = (".gz", ".zst")


def agreement(ratings: str, labels: str) -> dict[str, Any]:
    """Figures by criterion, and of domains, of the documents that both sides hold, joined by `id`.

    `ratings` is a run directory or a Parquet file with the columns of the stage `rating`; `labels` a Parquet, JSON
    Lines or CSV file with `id` and any of `rating_<criterion>` (1 to 5) and `domain`. Raises InputError if nothing can
    be compared.
    """
    import duckdb

    connection = duckdb.connect()
    try:
        rated, given = (connection.sql(f"FROM {source}") for source in (_rated(ratings), _source(labels)))
        names = [name for name in (*(f"rating_{c}" for c in CRITERIA), "domain") if name in given.columns]
        _check(ratings, labels, rated.columns, given.columns, names)
        means = [f"{name}_mean" for name in names if name != "domain"]
        chosen = ", ".join(
            [*(f"r.{name}, l.{name} AS label_{name}" for name in names), *(f"r.{name}" for name in means)]
        )
        rows = connection.sql(f"SELECT {chosen} FROM rated r JOIN given l ON r.id = l.id::VARCHAR").fetchnumpy()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"{ratings} and {labels} could not be joined by their ids: {reason}") from None
    return _figures(rows, names, ratings, labels)


def _figures(rows: dict[str, Any], names: list[str], ratings: str, labels: str) -> dict[str, Any]:
    criteria, domain = {}, None
    for name in names:
        found, given = _values(rows[name]), _values(rows[f"label_{name}"])
        known = ~(np.ma.getmaskarray(found) | np.ma.getmaskarray(given))
        one, other = found.data[known], given.data[known]
        if name == "domain":
            domain = _domain(other, one)
        elif len(one):
            expected = np.ma.filled(_values(rows[f"{name}_mean"]).astype(float), np.nan)[known]
            expected = np.where(np.isfinite(expected), expected, one)
            criterion = name.removeprefix("rating_")
            criteria[criterion] = criterion_figures(_whole(other, name, labels), one.astype(np.int64), expected)
    if not criteria and domain is None:
        raise InputError(
            f"{ratings} and {labels} share no document that both rate: expected the same ids on both sides"
        )
    return {"ratings": ratings, "labels": labels, "criteria": criteria, "domain": domain}


def _values(column: Any) -> "np.ma.MaskedArray[Any, Any]":
    return np.ma.masked_array(column)


def _domain(labels: np.ndarray, found: np.ndarray) -> dict[str, Any] | None:
    places = {name: place for place, name in enumerate(DOMAINS)}
    known = [(places[label], places[one]) for label, one in zip(labels, found, strict=True) if label in places]
    if not known:
        return None
    given, rated = np.array(known, np.int64).T
    return domain_figures(given, rated, DOMAINS)


def _whole(labels: np.ndarray, name: str, file: str) -> np.ndarray:
    values = labels.astype(float)
    if not np.isin(values, (1, 2, 3, 4, 5)).all():
        raise InputError(f"{file}: column {name} holds other values than the whole numbers 1 to 5: map them first")
    return np.asarray(values)


def _rated(path: str) -> str:
    """The rows of a run, kept and dropped, or of a file, as DuckDB reads them."""
    if not Path(path).is_dir():
        return _source(path)
    store = Store(path)
    if not store.exists("data"):
        raise InputError(f"{path}: found no data/, expected a finished run, or a Parquet file with ratings")
    files = [file for kind in ("data", "dropped") for file in shards(store, kind)]
    listed = ", ".join(map(literal, patterns(files)))
    return f"read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"


def _source(path: str) -> str:
    bare = Path(path).with_suffix("") if Path(path).suffix in _COMPRESSED else Path(path)
    if bare.suffix not in _READERS or not Path(path).is_file():
        raise InputError(f"{path}: expected a file that ends in {', '.join(_READERS)} (.gz and .zst too), or a run")
    return f"{_READERS[bare.suffix]}({literal(pattern(path))})"


def _check(ratings: str, labels: str, rated: list[str], given: list[str], names: list[str]) -> None:
    if "id" not in rated or "rating_status" not in rated:
        raise InputError(f"{ratings}: found no columns id and rating_status, expected what the stage rating writes")
    if "id" not in given or not names:
        raise InputError(
            f"{labels}: expected the columns id and one of rating_<criterion> or domain, found {given[:8]}"
        )
