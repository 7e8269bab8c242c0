"""Searches in texts, a part at a time, and lists of columns of every type: against plain Python."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.view_cursors
import pipeline.view_search
from pipeline.hiding import HARM_FILTER, HARMFUL
from pipeline.storage import Store
from pipeline.view_cursors import Superseded, Ticket
from pipeline.view_query import PAGE, Documents
from pipeline.view_question import COMPARISONS, Filter, Question
from pipeline.view_search import Found, Searches
from stages.errors import InputError

T = TypeVar("T")
ROWS = 400
SCORES = [math.nan, None, math.inf, -math.inf, -0.0, 0.7, 3.5, 3.5]
SCHEMA = pa.schema(
    {
        "id": pa.string(), "text": pa.string(), "lang": pa.string(), "score": pa.float32(), "count": pa.int64(),
        "good": pa.bool_(), "embedding": pa.list_(pa.float32()), "parts": pa.list_(pa.struct({"n": pa.int8()})),
        "day": pa.date32(), "raw": pa.binary(), "dropped_by": pa.string(), "drop_reason": pa.string(),
    }
)  # fmt: skip
HUGE_COUNT = (1 << 53) + 1


def made(row: int) -> dict[str, Any]:
    return {
        "id": f"d{row:03d}",
        "text": None if row % 50 == 49 else f"Straße {row % 7} of {row}\nZWEI",
        "lang": None if row % 9 == 0 else ["en", "de", "日本"][row % 3],
        "score": SCORES[row % len(SCORES)],
        "count": HUGE_COUNT if row == 5 else row % 40,
        "good": row % 2 == 0,
        "embedding": [0.5] * 3 if row % 2 else None,
        "parts": [{"n": 1}],
        "raw": b"\xff",
    }


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documents]:
    """Four shards of row groups of ten rows; one is empty, and one holds what was dropped."""
    folder = tmp_path_factory.mktemp("search")
    cuts = {"data/part-00000": (0, 150), "data/part-00001": (150, 150), "data/part-00002": (150, 300)}
    for name, (begin, end) in (cuts | {"dropped/part-00000": (300, ROWS)}).items():
        rows = [made(row) for row in range(begin, end)]
        if name.startswith("dropped"):
            rows = [
                row | {"dropped_by": HARM_FILTER, "drop_reason": HARMFUL if n % 4 else "x"}
                for n, row in enumerate(rows)
            ]
        schema = SCHEMA if name.startswith("dropped") else pa.schema(list(SCHEMA)[:-2])
        path = folder / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=10)
    with contextlib.closing(Documents(Store(str(folder)))) as found:
        yield found


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def expected(keep: Callable[[dict[str, Any]], bool]) -> list[str]:
    return [row["id"] for row in map(made, range(ROWS)) if keep(row)]


def all_pages(documents: Documents, question: Question) -> list[str]:
    found: list[str] = []
    for number in range(ROWS):
        page = ids(documents.page(replace(question, page=number)))
        found += page
        if len(page) < PAGE:
            break
    return found


def searched(row: dict[str, Any]) -> bool:
    return row["text"] is not None and (int(row["id"][1:]) < 300 or int(row["id"][1:]) % 4 == 0)


@pytest.fixture(params=[300, 64_000_000])
def _small(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """One part for each answer: some row groups, or all shards of a kind, of which a few documents are taken."""
    monkeypatch.setattr(pipeline.view_search, "SECONDS", 0.0)
    monkeypatch.setattr(pipeline.view_search, "_PART_BYTES", request.param)
    monkeypatch.setattr(pipeline.view_search, "_MOST_AT_ONCE", 7)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(("sort", "descending"), [("", False), ("score", False), ("score", True), ("lang", True)])
@pytest.mark.parametrize("text", ["STRASSE", "straße 3", "\nZwei", "%"])
def test_a_search_finds_what_is_there_however_it_is_cut(
    documents: Documents, text: str, sort: str, descending: bool
) -> None:
    searches, reached = Searches(documents), -1
    question = Question(text=text, sort=sort, descending=descending)
    while not (answer := searches.page(replace(question, page=8))).finished:
        assert answer.searched > reached, "each answer goes on"
        reached = answer.searched
    pages = [searches.page(replace(question, page=number)) for number in range(9)]
    names = [id_ for page in pages for id_ in ids(page.rows)]
    there = expected(lambda row: searched(row) and text.lower() in row["text"].lower())
    assert sorted(names) == there
    assert names == all_pages(documents, question)
    assert (pages[0].found, pages[0].searched) == (len(there), ROWS)


@pytest.mark.usefixtures("_small")
def test_a_search_ends_when_too_many_are_found(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.view_search, "MOST_FOUND", 20)
    searches, question = Searches(documents), Question(text="zwei", sort="id")
    while not (answer := searches.page(question)).finished:
        pass
    assert (answer.found, len(answer.rows)) == (20, 20)
    assert answer.searched < ROWS


def test_filters_hold_for_a_search(documents: Documents) -> None:
    found = Searches(documents).page(Question((Filter("lang", "is", "de"),), text="straße 3"))
    assert ids(found.rows) == expected(lambda row: searched(row) and row["lang"] == "de" and "ße 3" in row["text"])


@pytest.mark.parametrize("number", [0, 1, 2, 5, 7, 8, 10_000])
def test_a_page_is_found_without_those_before_it(documents: Documents, number: int) -> None:
    every = expected(lambda row: True)
    assert ids(documents.page(Question(page=number))) == every[PAGE * number : PAGE * (number + 1)]
    assert documents.count(Question(page=number)) == ROWS


@pytest.mark.parametrize(
    ("asked", "keep"),
    [
        (("score", "at least", "0.7"), lambda row: row["score"] is not None and row["score"] >= 0.7),
        (("score", "at most", "1e999"), lambda row: row["score"] is not None and row["score"] == row["score"]),
        (("score", "at most", "1e300"), lambda row: row["score"] is not None and row["score"] == row["score"]),
        (("score", "is", "nan"), lambda row: row["score"] is not None and row["score"] != row["score"]),
        (("score", "is", "0.7"), lambda row: row["score"] == 0.7),
        (("score", "is empty", ""), lambda row: row["score"] is None),
        (("count", "is", str(HUGE_COUNT)), lambda row: row["count"] == HUGE_COUNT),
        (("count", "is", str(HUGE_COUNT - 1)), lambda row: False),
        (("count", "at most", "9" * 30), lambda row: True),
        (("count", "at least", "38.5"), lambda row: row["count"] >= 38.5),
        (("count", "contains", "9"), lambda row: "9" in str(row["count"])),
        (("lang", "is not", "de"), lambda row: row["lang"] != "de"),
        (("lang", "is there", ""), lambda row: row["lang"] is not None),
        (("lang", "matches", "^(d|日)"), lambda row: row["lang"] in ("de", "日本")),
        (("good", "is", "true"), lambda row: row["good"]),
        (("embedding", "is empty", ""), lambda row: row["embedding"] is None),
        (("day", "is there", ""), lambda row: False),
        (("outcome", "is", "kept"), lambda row: int(row["id"][1:]) < 300),
    ],
)  # fmt: skip
def test_filters_on_values_of_every_kind(
    documents: Documents, asked: tuple[str, str, str], keep: Callable[[dict[str, Any]], bool]
) -> None:
    question = Question((Filter(*asked),))
    assert sorted(all_pages(documents, question)) == expected(keep)
    assert documents.count(question) == len(expected(keep))


@pytest.mark.parametrize("column", ["embedding", "parts", "raw"])
def test_what_has_no_order_is_told(documents: Documents, column: str) -> None:
    assert column not in [one["name"] for one in documents.described()]
    for question in (Question(sort=column), Question((Filter(column, "is", "x"),))):
        with pytest.raises(InputError, match=f"{column} holds .* which has no order"):
            documents.page(question)


@pytest.mark.parametrize("descending", [False, True])
def test_nothing_and_nan_come_last_both_ways(documents: Documents, descending: bool) -> None:
    every = all_pages(documents, Question(sort="score", descending=descending))
    scores = [made(int(id_[1:]))["score"] for id_ in every]
    there = [score for score in scores if score is not None and not math.isnan(score)]
    assert scores[: len(there)] == sorted(there, reverse=descending)


@pytest.mark.parametrize(
    ("pattern", "why"), [("a(", "missing \\)"), ("[", "missing"), ("*", "repetition"), ("\\", "trailing")]
)
def test_a_bad_expression_is_explained(documents: Documents, pattern: str, why: str) -> None:
    with pytest.raises(InputError, match=f"is no regular expression: .*{why}"):
        documents.page(Question((Filter("id", "matches", pattern),)))


@settings(max_examples=60, deadline=None)
@given(
    column=st.sampled_from([*SCHEMA.names, "outcome", "place", "x"]),
    comparison=st.sampled_from([*COMPARISONS, "", "= ''"]),
    value=st.text(max_size=8),
)
def test_a_question_is_answered_or_refused(documents: Documents, column: str, comparison: str, value: str) -> None:
    question = Question((Filter(column, comparison, value),))
    try:
        found = documents.page(question)
    except InputError as error:
        assert str(error).startswith("view: ")
    else:
        assert len(found) == min(PAGE, documents.count(question))


FOREVER = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range + b.range = -1"


def test_a_question_ends_the_one_before_it(documents: Documents) -> None:
    with asked_forever(documents, "page") as ended:
        assert documents.ask("SELECT 1", [], documents.ticket("another page")) == [(1,)]
        assert not ended
        assert documents.ask("SELECT 1", [], documents.ticket("page")) == [(1,)]
    assert [type(error) for error in ended] == [Superseded]


def test_an_older_request_does_not_end_a_newer_one(documents: Documents) -> None:
    older = documents.ticket("page")
    with asked_forever(documents, "page") as ended:
        with pytest.raises(Superseded):
            documents.ask("SELECT 1", [], older)
        assert not ended
        documents.ask("SELECT 1", [], documents.ticket("page"))
    assert [type(error) for error in ended] == [Superseded]


@contextlib.contextmanager
def asked_forever(documents: Documents, asker: str) -> Iterator[list[BaseException]]:
    """A query that is running and has no end; how it ended is in the list when this is left."""
    ended: list[BaseException] = []

    def ask(ticket: Ticket) -> None:
        try:
            documents.ask(FOREVER, [], ticket)
        except InputError as error:
            ended.append(error)

    thread = threading.Thread(target=ask, args=[documents.ticket(asker)])
    thread.start()
    while asker not in documents._cursors._queries and not ended:
        time.sleep(0.001)
    yield ended
    thread.join()


@pytest.mark.usefixtures("_small")
def test_a_search_ends_between_its_parts_when_its_page_asks_anew(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.view_search, "SECONDS", 60.0)
    newer = meanwhile(documents, monkeypatch, lambda: documents.ticket("page"))
    with pytest.raises(Superseded):
        Searches(documents).page(Question(text="zwei", sort="id"), documents.ticket("page"))
    assert documents.ask("SELECT 1", [], newer[0]) == [(1,)]


@pytest.mark.usefixtures("_small")
def test_two_pages_share_a_search_and_end_neither(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.view_search, "SECONDS", 60.0)
    searches, question = Searches(documents), Question(text="zwei", sort="id")
    with ThreadPoolExecutor(1) as pool:

        def other() -> "Future[Found]":
            answer = pool.submit(searches.page, question, documents.ticket("another page"))
            time.sleep(0.05)  # it waits for its turn by then
            return answer

        others = meanwhile(documents, monkeypatch, other)
        found = searches.page(question, documents.ticket("page"))
        assert found.finished
        assert others[0].result() == found


def meanwhile(documents: Documents, monkeypatch: pytest.MonkeyPatch, act: Callable[[], T]) -> list[T]:
    """Have something happen after the first query from here on; what came of it will be in the list."""
    happened: list[T] = []
    ask = documents.ask

    def then(query: str, values: Sequence[Any], ticket: Ticket) -> list[tuple[Any, ...]]:
        rows = ask(query, values, ticket)
        if not happened:
            happened.append(act())
        return rows

    monkeypatch.setattr(documents, "ask", then)
    return happened


def test_a_question_that_takes_too_long_is_given_up(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.view_cursors, "MOST_SECONDS", 0.2)
    with pytest.raises(InputError, match="no answer within"):
        documents.ask(FOREVER, [])
    assert documents.ask("SELECT 1", []) == [(1,)]


def test_a_damaged_shard_is_told_without_its_values(tmp_path: Path) -> None:
    for name in ("data", "dropped"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"id": ["secret"], "text": ["secret"]}), tmp_path / name / "part-00000.parquet")
    (tmp_path / "data/part-00001.parquet").write_bytes(b"PAR1 no parquet PAR1")
    with pytest.raises(InputError, match="the shards cannot be read") as error:
        Documents(Store(str(tmp_path)))
    assert "secret" not in str(error.value)
