"""DuckDB over the shards of runs: its connections, the names of files and columns in queries, and what it may reach."""

import tempfile
from collections.abc import Iterable
from typing import Any

import fsspec

from pipeline.storage import Store

MEMORY = "1GB"
"""What DuckDB may use; beyond it, it spills into the run directory or the system's temporary directory."""
_MAGIC = frozenset("*?[")
_LOCAL_ONLY = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
"""Remote files are read by fsspec: nothing is ever fetched to read them."""


def connect(*stores: Store, spill: str = "") -> Any:
    """A DuckDB connection that reads the files of stores and spills into the directory `spill` (or the system's)."""
    import duckdb

    connection = duckdb.connect(config={"memory_limit": MEMORY, "preserve_insertion_order": False, **_LOCAL_ONLY})
    connection.execute("SET temp_directory = ?", [spill or tempfile.gettempdir()])
    known: set[Any] = set()
    for store in stores:
        if not store.is_local and store.filesystem.protocol not in known:
            known.add(store.filesystem.protocol)
            connection.register_filesystem(store.filesystem)
    return connection


def lock(connection: Any, directories: Iterable[str]) -> None:
    """Let a connection, and all cursors of it, read below these directories alone, load nothing, and stay so."""
    bare = [f"{directory.rstrip('/')}/" for directory in directories]
    allowed = ", ".join(map(literal, [*bare, *patterns(bare)]))  # DuckDB asks for the pattern, and for what it finds
    connection.execute(f"SET allowed_directories = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def pattern(path: str) -> str:
    """The pattern that DuckDB, which takes every path for one, matches with this file alone.

    >>> pattern("runs/a[1]/what?.parquet")
    'runs/a[[]1]/what[?].parquet'
    """
    return "".join(f"[{letter}]" if letter in _MAGIC else letter for letter in path)


def patterns(paths: Iterable[str]) -> list[str]:
    """Those of several files, as a parameter of `read_parquet(?)`."""
    return [pattern(path) for path in paths]


def as_told(store: Store, path: str) -> str:
    """The path of a store's file as DuckDB tells it: of a URL without its host, where the protocol drops that."""
    return path if store.is_local else str(store.filesystem.unstrip_protocol(fsspec.core.url_to_fs(path)[1]))


def literal(text: str) -> str:
    """A text in SQL, where no parameter can be.

    >>> print(literal("it's"))
    'it''s'
    """
    return "'{}'".format(text.replace("'", "''"))


def quoted(column: str) -> str:
    """A column's name in SQL.

    >>> print(quoted('a"b'))
    "a""b"
    """
    return '"{}"'.format(column.replace('"', '""'))
