"""The mixing group of each document: values of columns, or an SQL expression over them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ConfigError

if TYPE_CHECKING:
    from stages.pack import Pack

NONE = "none"
"""The name for a null, or an empty text."""
ALL = "all"
"""The only group if there is no column."""
_ROW = "__row"


def groups_of(settings: "Pack", rows: pa.RecordBatch) -> pa.StringArray:
    """The group's name (n,) of each row, never null or empty.

    Raises ConfigError if the expression fails, or for columns that are no names.

    >>> from types import SimpleNamespace
    >>> rows = pa.RecordBatch.from_pydict({"source": ["web", None], "lang": ["de", "en"]})
    >>> groups_of(SimpleNamespace(by=("source", "lang"), group=""), rows).to_pylist()
    ['web/de', 'none/en']
    """
    if settings.group:
        return _named(_evaluated(settings.group, settings.by, rows))
    if not settings.by:
        return pa.array([ALL] * rows.num_rows, pa.string())
    columns = [_named(_as_text(name, rows.column(name))) for name in settings.by]
    return pc.binary_join_element_wise(*columns, "/")


def check_groups(settings: "Pack", rows: pa.RecordBatch) -> None:
    """Raise ConfigError if groups cannot be named, or an expression names them otherwise when it is asked again."""
    found = groups_of(settings, rows)
    if settings.group and not found.equals(groups_of(settings, rows)):
        raise _refused(settings.group, "other values each time; it must depend on the columns alone", settings.by)


def check_expression(expression: str) -> None:
    """Raise ConfigError if an expression is not one of SQL, as far as that is known without the columns."""
    import duckdb

    try:
        found = duckdb.extract_statements(_query(expression))
    except duckdb.Error as error:
        raise _refused(expression, _said(error)) from None
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        raise _refused(expression, "no single expression")


def _as_text(name: str, column: pa.Array) -> pa.StringArray:
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type) or pa.types.is_fixed_size_binary(column.type):
        raise ConfigError(f"pack.by: found the column '{name}' of type {column.type}, expected one of text or numbers")
    return column.cast(pa.string())


def _named(column: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(pc.fill_null(column, ""), ""), NONE, column)


def _query(expression: str) -> str:
    return f"SELECT ({expression}\n) AS name FROM documents ORDER BY {_ROW}"


def _evaluated(expression: str, by: Sequence[str], rows: pa.RecordBatch) -> pa.StringArray:
    import duckdb

    columns = [rows.column(name) for name in by]
    table = pa.table([*columns, pa.array(range(rows.num_rows), pa.int64())], names=[*by, _ROW])
    with duckdb.connect(":memory:", config=_LOCKED) as connection:
        connection.register("documents", table)
        try:
            kind = ", ".join(kind for _, kind, *_ in connection.execute(f"DESCRIBE {_query(expression)}").fetchall())
            found = connection.execute(_query(expression)).fetchall() if kind == "VARCHAR" else []
        except duckdb.Error as error:
            raise _refused(expression, _said(error), by) from None
    if kind != "VARCHAR":
        raise _refused(expression, f"values of type {kind}; text is needed, such as by CAST(... AS VARCHAR)", by)
    if len(found) != rows.num_rows:
        raise _refused(expression, f"{len(found)} values for {rows.num_rows} documents", by)
    return pa.array([name for (name,) in found], pa.string())


_LOCKED: dict[str, Any] = {"threads": 1, "enable_external_access": False, "lock_configuration": True}
"""The expression sees the columns alone: no file, no network."""


def _refused(expression: str, what: str, by: Sequence[str] = ()) -> ConfigError:
    columns = f" over the columns {', '.join(by) or '(none)'}" if by else " over the columns of `by`"
    return ConfigError(f"pack.group: the SQL expression {expression!r}{columns} gave: {what}")


def _said(error: Exception) -> str:
    """What DuckDB says of the expression; of other errors the kind alone, since they quote values of documents."""
    import duckdb

    known = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
    return str(error).splitlines()[0] if isinstance(error, known) else f"a {type(error).__name__}"
