"""A search in the texts of a run, a part at a time: each answer holds what was found until then, and how far that is.

Texts are nearly all of a run's bytes, so no search of millions of them is over within a second. A search goes over the
shards in their order, some row groups at a time, for a share of a second in each answer; the next answer goes on where
the last one stopped. A sorted list is that of what was found so far, and final when all documents were searched.
"""

import itertools
import threading
import time
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from pipeline.shard_sql import quoted
from pipeline.view_cursors import NOBODY, Ticket
from pipeline.view_query import PAGE, Documents
from pipeline.view_question import Question, condition

SECONDS = 0.6
"""Spent on the search by one answer."""
MOST_FOUND = 20_000
"""Documents that a search lists; then it ends."""
_PART_BYTES = 64_000_000
"""Of text that is searched at once."""
_MOST_SHARDS = 64
"""That are searched at once."""
_MOST_AT_ONCE = 2_000
"""Documents that are found in a part before it is left for the page to be shown."""
_MOST_SEARCHES = 4
"""That are remembered; the oldest is forgotten."""


class Found(NamedTuple):
    """The answer to one question."""

    rows: list[dict[str, Any]]
    """One page."""
    found: int
    """Documents found so far."""
    searched: int
    """Documents searched so far."""
    finished: bool
    """Whether nothing is left to search, or so many were found that the search ended."""


class _Part(NamedTuple):
    """What one query searches: row groups of a shard, or some small shards of one kind as a whole."""

    places: tuple[str, ...]
    begin: int
    """First row of the shard; 0 of several."""
    end: int
    """The row after the last; of several, all their rows."""


class Searches:
    """The searches of a viewer, each remembered while its pages are turned."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._guard = threading.Lock()
        self._known: dict[tuple[Any, ...], _Search] = {}

    def page(self, question: Question, ticket: Ticket = NOBODY) -> Found:
        """What is known after some more searching, unless the page is full already.

        Raises InputError, and Superseded if the asker took a newer ticket meanwhile.
        """
        asked = tuple(self._documents.asked(question))
        key = (question.filters, question.text, asked)
        with self._guard:
            search = self._known.pop(key, None) or _Search(self._documents, question, list(asked))
            self._known[key] = search
            while len(self._known) > _MOST_SEARCHES:
                del self._known[next(iter(self._known))]
        return search.page(question, ticket)


class _Search:
    def __init__(self, documents: Documents, question: Question, asked: list[str]) -> None:
        self._documents = documents
        self._asked = asked
        self._where, self._values = condition(documents.columns, question)
        self._rows = dict(zip(documents.places, documents.rows, strict=True))
        self._parts = _parts(documents)
        self._next = next(self._parts, None)
        self._found: list[dict[str, Any]] = []
        self._searched = 0
        self._guard = threading.Lock()

    def page(self, question: Question, ticket: Ticket) -> Found:
        """Search for a while, by one thread at a time, for whichever page; then a page of what was found."""
        end = PAGE * (max(0, question.page) + 1)
        with self._guard:
            until = time.monotonic() + SECONDS
            while self._next and (question.sort or len(self._found) <= end):
                self._go_on(ticket)
                if time.monotonic() >= until:
                    break
            rows = _sorted(self._found, question)
            return Found(rows[end - PAGE : end], len(self._found), self._searched, self._next is None)

    def _go_on(self, ticket: Ticket) -> None:
        """Search one part, or as much of it as holds all that may be found at once."""
        part = self._next
        assert part is not None
        most = min(_MOST_AT_ONCE, MOST_FOUND - len(self._found))
        query = f"SELECT {', '.join(map(quoted, self._asked))} FROM {self._documents.part(*part)}"
        rows = self._documents.ask(f"{query} {self._where} LIMIT {most}", self._values, ticket)
        self._found += [dict(zip(self._asked, row, strict=True)) for row in rows]
        rest = self._left(part, self._found[-1]) if len(rows) == most else []
        self._searched += part.end - part.begin - sum(left.end - left.begin for left in rest)
        self._parts = itertools.chain(rest, self._parts)
        self._next = next(self._parts, None) if len(self._found) < MOST_FOUND else None

    def _left(self, part: _Part, last: dict[str, Any]) -> list[_Part]:
        """What is left of a part after the last document that was found in it."""
        at, row = part.places.index(last["place"]), last["row"] + 1
        end = part.end if len(part.places) == 1 else self._rows[last["place"]]
        others = part.places[at + 1 :]
        left = [_Part((last["place"],), row, end), _Part(others, 0, sum(self._rows[place] for place in others))]
        return [one for one in left if one.begin < one.end]


def _parts(documents: Documents) -> Iterator[_Part]:
    """All documents in the order of the shards, cut so that a part holds about so much text."""
    several: list[str] = []
    held, rows = 0, dict(zip(documents.places, documents.rows, strict=True))
    for place in documents.places:
        sizes = _sizes(documents, place)
        size = sum(one for _, one in sizes)
        full = held + size > _PART_BYTES or len(several) == _MOST_SHARDS
        if several and (full or _kind(place) != _kind(several[0])):
            yield _Part(tuple(several), 0, sum(map(rows.__getitem__, several)))
            several, held = [], 0
        if size > _PART_BYTES:
            yield from _cut(place, sizes)
        elif rows[place]:
            several.append(place)
            held += size
    if several:
        yield _Part(tuple(several), 0, sum(map(rows.__getitem__, several)))


def _kind(place: str) -> str:
    return place.rpartition("/")[0]


def _sizes(documents: Documents, place: str) -> list[tuple[int, int]]:
    """Rows and bytes of text of each row group."""
    with documents.store.filesystem.open(place, "rb") as file:
        meta = pq.ParquetFile(file).metadata
    text = next(at for at in range(meta.num_columns) if meta.schema.column(at).path == "text")
    groups = map(meta.row_group, range(meta.num_row_groups))
    return [(group.num_rows, group.column(text).total_uncompressed_size) for group in groups]


def _cut(place: str, sizes: list[tuple[int, int]]) -> Iterator[_Part]:
    begin = end = held = 0
    for rows, size in sizes:
        if held and held + size > _PART_BYTES:
            yield _Part((place,), begin, end)
            begin, held = end, 0
        end, held = end + rows, held + size
    yield _Part((place,), begin, end)


def _sorted(rows: list[dict[str, Any]], question: Question) -> list[dict[str, Any]]:
    """Rows, which come in the order of the shards, in that of the question; what has no value comes last."""
    if not question.sort:
        return rows
    has = [row[question.sort] is not None and row[question.sort] == row[question.sort] for row in rows]
    there = [row for row, one in zip(rows, has, strict=True) if one]
    there.sort(key=itemgetter(question.sort), reverse=question.descending)
    return there + [row for row, one in zip(rows, has, strict=True) if not one]
