"""What the page of `tamis view` may ask, and the SQL of it.

A question is structured: columns are looked up in the schema, comparisons in a table, and values are parameters, so
that no text of the page ever becomes part of a query. In the order of numbers NaN is as good as nothing: it is neither
more nor less than a number, and comes last however a list is sorted.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.hiding import HARM_FILTER, HARMFUL
from pipeline.shard_sql import quoted
from stages.errors import InputError

LONG = ("text", "metadata")
"""Columns that a filter cannot name: a search reads texts."""
MOST_PATTERN = 1_000
_WHOLE = frozenset(f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE"))
_REAL = frozenset(("FLOAT", "DOUBLE"))
_FLOAT_MOST = 3.4028234663852886e38
_COMPARISONS = {
    "is": "{0} = {1}",
    "is not": "{0} IS DISTINCT FROM {1}",
    "at least": "{0} >= {1}",
    "at most": "{0} <= {1}",
    "contains": "regexp_matches({0}, {1}, 'il')",
    "matches": "regexp_matches({0}, {1})",
    "is empty": "{0} IS NULL",
    "is there": "{0} IS NOT NULL",
}
COMPARISONS = tuple(_COMPARISONS)
_FOUND = "regexp_matches(text, ?, 'il')"
"""A literal in any case: three times as fast as `contains(lower(text), lower(?))`."""
_UNARY = ("is empty", "is there")
_OF_TEXT = ("contains", "matches")


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
    """To be contained in the text, in any case."""
    sort: str = ""
    descending: bool = False
    page: int = 0


def is_number(kind: str) -> bool:
    """Whether a type of DuckDB is one of numbers.

    >>> [is_number(kind) for kind in ("FLOAT", "UBIGINT", "DECIMAL(4,1)", "VARCHAR", "FLOAT[]", "BOOLEAN")]
    [True, True, True, False, False, False]
    """
    return kind in _WHOLE | _REAL | {"INTEGER", "UINTEGER"} or (kind.startswith("DECIMAL(") and kind.endswith(")"))


def is_plain(kind: str) -> bool:
    """Whether values of a type have an order that means something, and words: no lists, structs or bytes.

    >>> [is_plain(kind) for kind in ("VARCHAR", "BOOLEAN", "FLOAT[]", "FLOAT[4]", "STRUCT(a INTEGER)", "BLOB")]
    [True, True, False, False, False, False]
    """
    return not kind.endswith("]") and not kind.startswith(("STRUCT", "MAP", "UNION", "VARIANT")) and kind != "BLOB"


def condition(columns: Mapping[str, str], question: Question) -> tuple[str, list[Any]]:
    """The condition of a question on documents with these columns (name -> type), and its parameters.

    Raises InputError for what is no column, comparison or number.

    >>> condition({"lang": "VARCHAR", "tokens": "INTEGER"}, Question((Filter("tokens", "at least", "9"),)))
    ('WHERE "tokens" >= ?', [9])
    """
    parts, values = [], []
    for asked in question.filters:
        parts.append(_comparison(_kind(columns, asked), asked))
        if asked.comparison not in _UNARY:
            values.append(_value(columns[asked.column], asked))
    if question.text:
        parts.append(f"{_FOUND} AND NOT coalesce(dropped_by = ? AND drop_reason = ?, false)")
        values += [question.text, HARM_FILTER, HARMFUL]
    return (f"WHERE {' AND '.join(parts)}" if parts else ""), values


def order(columns: Mapping[str, str], question: Question) -> str:
    """The order of a question's documents. Raises InputError for what is no column or has no order.

    >>> order({"score": "FLOAT"}, Question(sort="score", descending=True))
    'ORDER BY nullif("score", \\'nan\\'::FLOAT) DESC NULLS LAST, place, row'
    """
    if not question.sort:
        return ""
    kind = _kind(columns, Filter(question.sort, "at least"))
    column = quoted(question.sort)
    key = f"nullif({column}, 'nan'::{kind})" if kind in _REAL else column
    return f"ORDER BY {key} {'DESC' if question.descending else 'ASC'} NULLS LAST, place, row"


def _kind(columns: Mapping[str, str], asked: Filter) -> str:
    if asked.column not in columns or asked.column in LONG:
        raise InputError(f"view: found no column '{asked.column[:80]}'")
    if asked.comparison not in _COMPARISONS:
        raise InputError(f"view: found no comparison '{asked.comparison[:40]}', expected {', '.join(_COMPARISONS)}")
    kind = columns[asked.column]
    if not is_plain(kind) and asked.comparison not in _UNARY:
        raise InputError(
            f"view: {asked.column} holds {kind.lower()[:40]}, which has no order: expected {' or '.join(_UNARY)}"
        )
    return kind


def _comparison(kind: str, asked: Filter) -> str:
    column, form = quoted(asked.column), _COMPARISONS[asked.comparison]
    if asked.comparison in _UNARY:
        return form.format(column)
    if not _by_number(kind, asked):
        return form.format(f"{column}::VARCHAR", "?")
    if kind not in _REAL:
        return form.format(column, "?")
    compared = form.format(column, f"?::{kind}")
    return f"({compared} AND NOT isnan({column}))" if asked.comparison == "at least" else compared


def _by_number(kind: str, asked: Filter) -> bool:
    return is_number(kind) and asked.comparison not in _OF_TEXT


def _value(kind: str, asked: Filter) -> Any:
    if not _by_number(kind, asked):
        return _pattern(asked) if asked.comparison == "matches" else asked.value
    if kind not in _REAL and re.fullmatch(r"\s*[-+]?[0-9]{1,30}\s*", asked.value):
        return int(asked.value)
    try:
        value = float(asked.value)
    except ValueError:
        raise InputError(f"view: {asked.column} holds numbers, found '{asked.value[:40]}'") from None
    return math.copysign(math.inf, value) if kind == "FLOAT" and abs(value) > _FLOAT_MOST else value


def _pattern(asked: Filter) -> str:
    """A regular expression that DuckDB takes. Its expressions are RE2's: their time is linear in the text."""
    import duckdb

    if len(asked.value) > MOST_PATTERN:
        raise InputError(f"view: the regular expression has {len(asked.value):,} characters, expected {MOST_PATTERN:,}")
    try:
        with duckdb.connect() as connection:
            connection.execute("SELECT regexp_matches('', ?)", [asked.value])
    except duckdb.Error as error:
        why = str(error).splitlines()[0].rpartition("Error: ")[2]
        raise InputError(f"view: '{asked.value[:80]}' is no regular expression: {why[:200]}") from None
    return asked.value
