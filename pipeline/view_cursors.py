"""Queries of a page, each on a cursor of its own: a later one of the same page ends the one before, as time does."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.errors import InputError

MOST_SECONDS = 30.0
"""After which a question is given up."""
_AGAIN = 0.01
"""Seconds between interrupts: one that comes before DuckDB has begun is lost."""


class Superseded(InputError):
    """The same page asked something else before the answer was there."""


@dataclass
class _Query:
    cursor: Any
    over: threading.Event = field(default_factory=threading.Event)
    late: bool = False

    def end(self) -> None:
        """Interrupt it until it is over."""
        import duckdb

        while not self.over.wait(_AGAIN):
            with contextlib.suppress(duckdb.Error):
                self.cursor.interrupt()

    def give_up(self) -> None:
        self.late = True
        self.end()


class Cursors:
    """The cursors of one DuckDB connection, for any number of threads."""

    def __init__(self, connection: Any, url: str) -> None:
        self._connection = connection
        self._url = url
        self._guard = threading.Lock()
        self._queries: dict[str, _Query] = {}

    def ask(self, query: str, values: Sequence[Any], asker: str = "") -> list[tuple[Any, ...]]:
        """Rows. A query of the same asker ends the one before it, which raises Superseded.

        Raises InputError if the shards cannot be read, or not in time.
        """
        with told(self._url), self._query(asker) as running:
            return list(running.cursor.execute(query, list(values)).fetchall())

    def close(self) -> None:
        """End all queries."""
        for running in list(self._queries.values()):
            running.end()

    @contextlib.contextmanager
    def _query(self, asker: str) -> Iterator[_Query]:
        with self._connection.cursor() as cursor:
            running = _Query(cursor)
            asker = asker or f"nobody {id(running)}"
            timer = threading.Timer(MOST_SECONDS, running.give_up)
            timer.daemon = True
            timer.start()
            try:
                self._take_over(asker, running)
                yield running
            except Exception:
                if running.late:
                    raise InputError(
                        f"view: no answer within {MOST_SECONDS:.0f} s: ask for less, such as by a filter"
                    ) from None
                raise
            finally:
                running.over.set()
                timer.cancel()
                with self._guard:
                    if self._queries.get(asker) is running:
                        del self._queries[asker]

    def _take_over(self, asker: str, running: _Query) -> None:
        """Take the place of the asker's query before, and end it."""
        with self._guard:
            before = self._queries.get(asker)
            self._queries[asker] = running
        if before:
            before.end()


@contextlib.contextmanager
def told(url: str) -> Iterator[None]:
    """DuckDB's errors by their kind alone, since they quote values of documents."""
    import duckdb

    try:
        yield
    except duckdb.InterruptException:
        raise Superseded("view: another question was asked") from None
    except duckdb.Error as error:
        raise InputError(f"{url}: the shards cannot be read: {type(error).__name__}") from error
