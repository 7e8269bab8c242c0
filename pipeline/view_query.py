"""Questions of `tamis view` to the shards of a run: which documents, in which order, by DuckDB."""

import itertools
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.compare_documents import shards
from pipeline.shard_sql import as_told, connect, literal, lock, patterns, quoted
from pipeline.storage import Store
from pipeline.view_cursors import NOBODY, Cursors, Ticket, told
from pipeline.view_question import LONG, Filter, Question, condition, is_number, is_plain, order

__all__ = ["PAGE", "Documents", "Filter", "Question"]

PAGE = 50
_DEFAULTS = ("id", "source", "outcome", "lang", "harmful_ratio", "quality_ppl", "rating_overall_score_mean", "domain",
             "tokens", "order_similarity")  # fmt: skip
_OUTCOME = "coalesce(dropped_by || ': ' || drop_reason, 'kept') AS outcome"
_ROWS = (
    "SELECT * EXCLUDE (filename, file_row_number), filename AS place, file_row_number AS row FROM read_parquet([{}], "
    "hive_partitioning = false, filename = true, file_row_number = true)"
)
_Row = dict[str, Any]


class Documents:
    """The documents of a run, kept and dropped."""

    def __init__(self, store: Store) -> None:
        """Raises InputError if the directory holds no shards, or they cannot be read."""
        self.store = store
        self._files = {kind: [as_told(store, file) for file in shards(store, kind)] for kind in ("data", "dropped")}
        self._spill = tempfile.TemporaryDirectory(prefix="tamis-view-")
        self._connection = connect(store, spill=self._spill.name)
        self._cursors = Cursors(self._connection, store.url)
        try:
            with told(store.url):
                self._open()
                lock(self._connection, (as_told(store, store.path(kind)) for kind in self._files))
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        run = self._connection.execute
        run("SET preserve_insertion_order = true")
        run("SET parquet_metadata_cache = true")
        both = [_ROWS.format(", ".join(map(literal, patterns(files)))) for files in self._files.values()]
        run(f"CREATE VIEW documents AS SELECT *, {_OUTCOME} FROM (({both[0]}) UNION ALL BY NAME ({both[1]}))")
        run("CREATE TABLE no_documents AS SELECT * EXCLUDE (outcome) FROM documents LIMIT 0")
        known = run("DESCRIBE documents").fetchall()
        self.columns = {name: kind for name, kind, *_ in known if name not in ("place", "row")}
        rows = run("SELECT file_name, num_rows FROM parquet_file_metadata(?)", [patterns(self.places)]).fetchall()
        counts = dict(rows)
        self.rows = [int(counts[place]) for place in self.places]
        """Documents of each shard, in the order of `places`."""

    @property
    def places(self) -> list[str]:
        """The shards, those of kept documents first."""
        return [place for files in self._files.values() for place in files]

    @property
    def shown(self) -> list[str]:
        """Columns that a list shows."""
        return [name for name in _DEFAULTS if name in self.columns]

    def described(self) -> list[_Row]:
        """Columns that can be compared, with whether they are numbers."""
        plain = ((name, kind) for name, kind in self.columns.items() if name not in LONG and is_plain(kind))
        return [{"name": name, "number": is_number(kind)} for name, kind in plain]

    def count(self, question: Question, ticket: Ticket = NOBODY) -> int:
        """How many documents answer; texts are not searched for that."""
        if not question.filters:
            return sum(self.rows)
        where, values = condition(self.columns, Question(question.filters))
        ((count,),) = self.ask(f"SELECT count(*) FROM documents {where}", values, ticket)
        return int(count)

    def page(self, question: Question, ticket: Ticket = NOBODY) -> list[_Row]:
        """One page of documents, without their texts: columns that are shown, and `place` and `row`.

        Without filter and order, only the rows of the page are read, wherever it is.
        """
        asked = self.asked(question)
        where, values = condition(self.columns, question)
        begin = PAGE * max(0, question.page)
        if not where and not question.sort:
            return [row for one in self._spans(begin) for row in self._span(asked, *one, ticket)]
        chosen = f"SELECT {', '.join(map(quoted, asked))} FROM documents {where} {order(self.columns, question)}"
        return _named(asked, self.ask(f"{chosen} LIMIT ? OFFSET ?", [*values, PAGE, begin], ticket))

    def asked(self, question: Question) -> list[str]:
        """The columns of an answer."""
        order(self.columns, question)
        return [*dict.fromkeys([*self.shown, *([question.sort] if question.sort else [])]), "place", "row"]

    def part(self, places: Sequence[str], begin: int, end: int) -> str:
        """Some shards of one kind as a relation, in order; of one, the rows `begin` to `end` (excluded) alone."""
        some = _ROWS.format(", ".join(map(literal, patterns(places))))
        if len(places) == 1:  # no other row group is read
            some += f" WHERE file_row_number BETWEEN {int(begin)} AND {int(end) - 1}"
        return f"(SELECT *, {_OUTCOME} FROM ((FROM no_documents) UNION ALL BY NAME ({some})))"

    def ticket(self, asker: str) -> Ticket:
        """To be taken when a request arrives; see Cursors.ticket."""
        return self._cursors.ticket(asker)

    def ask(self, query: str, values: Sequence[Any], ticket: Ticket = NOBODY) -> list[tuple[Any, ...]]:
        """Rows of a query; see Cursors.ask."""
        return self._cursors.ask(query, values, ticket)

    def close(self) -> None:
        """End all questions and remove what was spilled."""
        self._cursors.close()
        self._connection.close()
        self._spill.cleanup()

    def _spans(self, begin: int) -> Iterator[tuple[str, int, int]]:
        """The shard and rows of a page that begins with the document `begin`."""
        ends = list(itertools.accumulate(self.rows))
        end = min(begin + PAGE, ends[-1])
        while begin < end:
            at = bisect_right(ends, begin)
            first = begin - (ends[at] - self.rows[at])
            last = min(self.rows[at], first + end - begin)
            yield self.places[at], first, last
            begin += last - first

    def _span(self, asked: list[str], place: str, begin: int, end: int, ticket: Ticket) -> list[_Row]:
        query = f"SELECT {', '.join(map(quoted, asked))} FROM {self.part([place], begin, end)} ORDER BY row"
        return _named(asked, self.ask(query, [], ticket))


def _named(names: list[str], rows: list[tuple[Any, ...]]) -> list[_Row]:
    return [dict(zip(names, row, strict=True)) for row in rows]
