"""Queries of a page, each on a cursor of its own: what the page asks later ends what it asked before, as time does.

Which is later is told by tickets, taken when a request arrives: one request can be many queries, with reading between.
"""

import contextlib
import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.refusals import unreadable
from pipeline.storage import Store
from stages.errors import InputError

MOST_SECONDS = 30.0
"""After which a question is given up."""
_ANOTHER = "view: another question was asked"
_AGAIN = 0.01
"""Seconds between interrupts: one that comes before DuckDB has begun is lost."""
_MOST_ASKERS = 1_000
"""Whose last tickets are remembered; the one that asked the longest ago is forgotten."""


class Superseded(InputError):
    """The same page asked something else before the answer was there."""


class Ticket(NamedTuple):
    """A request's place among all that the viewer was asked."""

    asker: str
    """The page; of an empty name no request ends another."""
    number: int
    """The larger, the later."""


NOBODY = Ticket("", 0)


@dataclass
class _Query:
    cursor: Any
    ticket: Ticket
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
        self._numbers = itertools.count(1)
        self._latest: dict[str, int] = {}

    def ticket(self, asker: str) -> Ticket:
        """The next ticket, to be taken once, when the request arrives."""
        with self._guard:
            ticket = Ticket(asker, next(self._numbers))
            self._latest.pop(asker, None)
            self._latest[asker] = ticket.number
            while len(self._latest) > _MOST_ASKERS:
                del self._latest[next(iter(self._latest))]
        return ticket

    def ask(self, query: str, values: Sequence[Any], ticket: Ticket = NOBODY) -> list[tuple[Any, ...]]:
        """Rows. Ends an older query of the same asker.

        Raises Superseded if the asker took a newer ticket before this is over and InputError if the shards cannot be
        read, or not in time.
        """
        with told(self._url), self._query(ticket) as running:
            return list(running.cursor.execute(query, list(values)).fetchall())

    def close(self) -> None:
        """End all queries."""
        for running in list(self._queries.values()):
            running.end()

    @contextlib.contextmanager
    def _query(self, ticket: Ticket) -> Iterator[_Query]:
        import duckdb

        with self._connection.cursor() as cursor:
            running = _Query(cursor, ticket)
            key = ticket.asker or f"nobody {id(running)}"
            timer = threading.Timer(MOST_SECONDS, running.give_up)
            timer.daemon = True
            timer.start()
            try:
                self._take_over(key, running)
                yield running
            except duckdb.InterruptException:
                if running.late:
                    raise InputError(
                        f"view: no answer within {MOST_SECONDS:.0f} s: ask for less, such as by a filter"
                    ) from None
                raise
            finally:
                running.over.set()
                timer.cancel()
                with self._guard:
                    if self._queries.get(key) is running:
                        del self._queries[key]

    def _take_over(self, key: str, running: _Query) -> None:
        """Take the place of the asker's query before, which is older, and end it; Superseded if this one is."""
        with self._guard:
            if running.ticket.number < self._latest.get(key, 0):
                raise Superseded(_ANOTHER)
            before = self._queries.get(key)
            self._queries[key] = running
        if before:
            before.end()


@contextlib.contextmanager
def told(url: str) -> Iterator[None]:
    """DuckDB's errors by their kind alone, since they quote values of documents."""
    import duckdb

    try:
        yield
    except duckdb.InterruptException:
        raise Superseded(_ANOTHER) from None
    except duckdb.Error as error:
        raise unreadable((Store(url),), type(error).__name__) from error
