"""Questions of `tamis view` to the shards of a run: which documents, in which order, by DuckDB.

A question is structured: columns are looked up in the schema, comparisons in a table, and values are parameters, so
that no text of the page ever becomes part of a query.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.compare_documents import quoted, shards
from pipeline.hiding import HARM_FILTER, HARMFUL, is_hidden
from pipeline.repeated import connect
from pipeline.storage import Store
from stages.errors import InputError

PAGE = 50
MOST_CHARACTERS = 100_000
"""Of a text that is shown; the rest is left out, with a word."""
_DEFAULTS = ("id", "source", "outcome", "lang", "harmful_ratio", "quality_ppl", "rating_overall_score_mean", "domain",
             "tokens", "order_similarity")  # fmt: skip
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "UTINYINT", "USMALLINT", "UINTEGER")
_LONG = ("text", "metadata")
_OUTCOME = "coalesce(dropped_by || ': ' || drop_reason, 'kept')"
_COMPARISONS = {
    "is": "{} = ?",
    "is not": "{} IS DISTINCT FROM ?",
    "at least": "{} >= ?",
    "at most": "{} <= ?",
    "contains": "contains(lower({}), lower(?))",
    "is empty": "{} IS NULL",
    "is there": "{} IS NOT NULL",
}
_UNARY = ("is empty", "is there")


@dataclass(frozen=True)
class Filter:
    """One condition; all of a question hold together."""

    column: str
    comparison: str
    value: str = ""


@dataclass(frozen=True)
class Question:
    """Which documents to list."""

    filters: tuple[Filter, ...] = ()
    text: str = ""
    """To be contained in the text, in any case; reads the text of all documents until a page is full."""
    sort: str = ""
    descending: bool = False
    page: int = 0


class Documents:
    """The documents of a run, kept and dropped."""

    def __init__(self, store: Store) -> None:
        """Raises InputError if the directory holds no shards."""
        self._store = store
        self._files = {kind: shards(store, kind) for kind in ("data", "dropped")}
        self._lock = threading.Lock()
        self._connection = connect(store)
        self._connection.execute("SET preserve_insertion_order = true")
        self._connection.execute(f"CREATE VIEW documents AS {self._union()}")
        told = self._connection.execute("DESCRIBE documents").fetchall()
        self.columns = {name: kind for name, kind, *_ in told if name not in ("place", "row")}

    def _union(self) -> str:
        parts = [
            f"SELECT * EXCLUDE (filename, file_row_number), filename AS place, file_row_number AS row FROM "
            f"read_parquet([{', '.join(map(_literal, files))}], union_by_name = true, hive_partitioning = false, "
            "filename = true, file_row_number = true)"
            for files in self._files.values()
        ]
        return f"SELECT *, {_OUTCOME} AS outcome FROM (({parts[0]}) UNION ALL BY NAME ({parts[1]}))"

    @property
    def shown(self) -> list[str]:
        """Columns that a list shows."""
        return [name for name in _DEFAULTS if name in self.columns]

    def described(self) -> list[dict[str, Any]]:
        """Columns that can be asked about, with whether they are numbers."""
        return [
            {"name": name, "number": kind in _NUMBERS}
            for name, kind in self.columns.items()
            if name not in _LONG and (kind in _NUMBERS or kind == "VARCHAR")
        ]

    def count(self, question: Question) -> int | None:
        """How many documents answer; None if their texts would have to be read for that."""
        if question.text:
            return None
        where, values = self._where(question)
        (row,) = self._ask(f"SELECT count(*) FROM documents {where}", values)
        return int(row[0])

    def page(self, question: Question) -> list[dict[str, Any]]:
        """One page of documents, without their texts: columns that are shown, and `place` and `row`."""
        where, values = self._where(question)
        asked = [*dict.fromkeys([*self.shown, *([question.sort] if question.sort else [])]), "place", "row"]
        query = (
            f"SELECT {', '.join(map(quoted, asked))} FROM documents {where} {self._order(question)} LIMIT ? OFFSET ?"
        )
        rows = self._ask(query, [*values, PAGE, PAGE * max(0, question.page)])
        return [dict(zip(asked, row, strict=True)) for row in rows]

    def document(self, place: str, row: int, uncovered: bool) -> dict[str, Any]:
        """All that is known of one document. Text that a filter took for harmful is left out unless `uncovered`.

        Raises InputError if there is no such document in the run.
        """
        if not any(place in files for files in self._files.values()):
            raise InputError("view: the place is no shard of this run")
        with self._store.filesystem.open(place, "rb") as file:
            found = _row_of(pq.ParquetFile(file), row)
        text = found.pop("text")
        hidden = is_hidden(found.get("dropped_by"), found.get("drop_reason"))
        shown = text if text is not None and (uncovered or not hidden) else None
        return {
            "columns": {name: value for name, value in found.items() if value is not None},
            "text": None if shown is None else shown[:MOST_CHARACTERS],
            "left_out": max(0, len(shown or "") - MOST_CHARACTERS),
            "hidden": hidden and text is not None and not uncovered,
        }

    def _where(self, question: Question) -> tuple[str, list[Any]]:
        """The condition, and its parameters. Raises InputError for what is no column, comparison or number."""
        parts, values = [], []
        for asked in question.filters:
            kind = self._kind(asked.column)
            if asked.comparison not in _COMPARISONS:
                raise InputError(
                    f"view: found no comparison '{asked.comparison[:40]}', expected {', '.join(_COMPARISONS)}"
                )
            number = kind in _NUMBERS and asked.comparison != "contains"
            column = quoted(asked.column)
            condition = _COMPARISONS[asked.comparison].format(column if number else f"{column}::VARCHAR")
            parts.append(condition.replace("?", "?::FLOAT") if kind == "FLOAT" and number else condition)
            if asked.comparison not in _UNARY:
                values.append(_number(asked) if number else asked.value)
        if question.text:
            harmless = "NOT coalesce(dropped_by = ? AND drop_reason = ?, false)"
            parts.append(f"contains(lower(text), lower(?)) AND {harmless}")
            values += [question.text, HARM_FILTER, HARMFUL]
        return (f"WHERE {' AND '.join(parts)}" if parts else ""), values

    def _order(self, question: Question) -> str:
        if not question.sort:
            return ""
        self._kind(question.sort)
        way = "DESC" if question.descending else "ASC"
        return f"ORDER BY {quoted(question.sort)} {way} NULLS LAST, place, row"

    def _kind(self, column: str) -> str:
        if column not in self.columns or column in _LONG:
            raise InputError(f"view: found no column '{column[:80]}'")
        return str(self.columns[column])

    def _ask(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        import duckdb

        with self._lock:
            try:
                return list(self._connection.execute(query, list(values)).fetchall())
            except duckdb.Error as error:
                raise InputError(f"{self._store.url}: the shards cannot be read: {type(error).__name__}") from error


def _literal(path: str) -> str:
    """A path in SQL; a view takes no parameters."""
    return "'{}'".format(path.replace("'", "''"))


def _number(asked: Filter) -> float:
    try:
        return float(asked.value)
    except ValueError:
        raise InputError(f"view: {asked.column} holds numbers, found '{asked.value[:40]}'") from None


def _row_of(parquet: pq.ParquetFile, row: int) -> dict[str, Any]:
    """One row, read with its row group alone; lists are told by their length."""
    begin = 0
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if begin <= row < begin + rows:
            table = parquet.read_row_group(group, use_threads=True).slice(row - begin, 1)
            return {field.name: _plain(table.column(field.name), field.type) for field in table.schema}
        begin += rows
    raise InputError(f"view: found no row {row} in the shard, which has {begin}")


def _plain(column: pa.ChunkedArray, kind: pa.DataType) -> Any:
    if pa.types.is_list(kind) and not pa.types.is_struct(kind.value_type):
        length = pc.list_value_length(column)[0].as_py()
        return None if length is None else f"{length} values"
    return column[0].as_py()
