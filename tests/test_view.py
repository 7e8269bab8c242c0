"""The server of `tamis view` and its questions: right answers, no way in for strangers, no text becomes a query."""

import contextlib
import http.client
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.storage import Store
from pipeline.view import Viewer, question_of
from pipeline.view_document import document
from pipeline.view_query import PAGE, Documents
from pipeline.view_question import Filter, Question
from pipeline.view_search import Searches
from stages.errors import InputError
from tests.looks import EVIL, HARMFUL_TEXT, HUGE, looked_at, rows, served


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_at(tmp_path_factory.mktemp("looks"))


@pytest.fixture(scope="module")
def documents(run: Path) -> Iterator[Documents]:
    with contextlib.closing(Documents(Store(str(run)))) as found:
        yield found


@pytest.fixture(scope="module")
def viewer(run: Path) -> Iterator[Viewer]:
    with served(run) as server:
        yield server


def ids(documents: Documents, *filters: Filter, **others: Any) -> set[str]:
    return {row["id"] for row in documents.page(Question(filters, **others))}


def test_all_documents_are_there_in_pages(documents: Documents) -> None:
    pages = [documents.page(Question(page=number)) for number in range(3)]
    assert [len(page) for page in pages] == [PAGE, 65 - PAGE, 0]
    assert {row["id"] for page in pages for row in page} == {row["id"] for row in rows()}
    assert documents.count(Question()) == 65


def test_a_run_whose_urls_duckdb_tells_otherwise(run: Path, documents: Documents) -> None:
    store, local = Store("memory://viewed/run"), Store(str(run))
    for name in ("manifest.json", *(f"{kind}/{name}" for kind in ("data", "dropped") for name in local.names(kind))):
        with local.open(name) as file, store.create(name) as copy:
            copy.write(file.read())
    with contextlib.closing(Documents(store)) as remote:
        found = remote.page(Question())
        assert [row["id"] for row in found] == [row["id"] for row in documents.page(Question())]
        assert found[0]["place"] in remote.places and remote.count(Question((Filter("id", "is", "emoji"),))) == 1
        assert document(store, found[0]["place"], found[0]["row"], False)["columns"]["id"] == found[0]["id"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Filter("id", "is", "emoji"), {"emoji"}),
        (Filter("id", "contains", "EMOJ"), {"emoji"}),
        (Filter("length", "at least", "300"), {"plain-59", "huge"}),
        (Filter("length", "at most", "5"), {"plain-00"}),
        (Filter("outcome", "is", "perplexity: harmful"), {"harmful"}),
        (Filter("harmful_ratio", "is", "1"), {"harmful"}),
        (Filter("source", "is", EVIL), {f"<b>{EVIL}</b>", "right-to-left", "emoji", "huge", "harmful"}),
    ],
)
def test_filters_find_what_they_say(documents: Documents, asked: Filter, found: set[str]) -> None:
    assert ids(documents, asked) == found
    assert documents.count(Question((asked,))) == len(found)


def test_filters_hold_together_and_sort_both_ways(documents: Documents) -> None:
    both = (Filter("length", "at least", "10"), Filter("length", "at most", "20"))
    assert ids(documents, *both) == {row["id"] for row in rows() if 10 <= len(row["text"]) <= 20}
    for descending in (False, True):
        found = [row["length"] for row in documents.page(Question(sort="length", descending=descending))]
        assert found == sorted(found, reverse=descending)


def test_texts_are_searched_but_never_harmful_ones(documents: Documents) -> None:
    for text, expected in (("MANY words", {"huge"}), ("unspeakable", set()), ("(", set()), ("ΜΑΝΥ", set())):
        found = Searches(documents).page(Question(text=text))
        assert {row["id"] for row in found.rows} == ids(documents, text=text) == expected
        assert (found.found, found.searched, found.finished) == (len(expected), 65, True)


@pytest.mark.parametrize(
    "question",
    [
        Question((Filter('id" OR 1=1 --', "is", "x"),)),
        Question((Filter("text", "contains", "x"),)),
        Question((Filter("id", "= '' OR 1=1 --", "x"),)),
        Question((Filter("length", "at least", "1 OR 1=1"),)),
        Question(sort="id; DROP VIEW documents"),
        Question(sort="text"),
        Question((Filter("id", "matches", "a("),)),
        Question((Filter("id", "matches", "a" * 2000),)),
    ],
)
def test_what_is_no_column_comparison_or_number_is_refused(documents: Documents, question: Question) -> None:
    with pytest.raises(InputError, match="view: "):
        documents.page(question)


@settings(max_examples=30, deadline=None)
@given(value=st.text(max_size=20).filter(lambda text: "\x00" not in text))
def test_no_value_becomes_part_of_a_query(documents: Documents, value: str) -> None:
    found = ids(documents, Filter("id", "is", value))
    assert found == {row["id"] for row in rows() if row["id"] == value}


def test_harmful_text_comes_only_if_asked_for(documents: Documents) -> None:
    (row,) = documents.page(Question((Filter("id", "is", "harmful"),)))
    covered = document(documents.store, row["place"], row["row"], False)
    assert covered["hidden"]
    assert HARMFUL_TEXT not in json.dumps(covered)
    assert document(documents.store, row["place"], row["row"], True)["text"] == HARMFUL_TEXT


def test_a_huge_text_is_cut_and_says_so(documents: Documents) -> None:
    (row,) = documents.page(Question((Filter("id", "is", "huge"),)))
    found = document(documents.store, row["place"], row["row"], False)
    assert len(found["text"]) + found["left_out"] == len(HUGE)


def test_other_files_are_no_documents(documents: Documents, viewer: Viewer, run: Path) -> None:
    other = run / "quarantine/part-00000.parquet"
    assert pq.ParquetFile(other).metadata.num_rows == 0
    for place, row, message in (
        (str(other), 0, "no shard of this run"),
        ("/etc/passwd", 0, "no shard of this run"),
        (documents.places[0], 1000, "no row 1000"),
        (documents.places[0], -1, "no row -1"),
    ):
        status, body, _ = ask(viewer, f"/{viewer.token}/document?{urlencode({'place': place, 'row': row})}")
        assert (status, message in json.loads(body)["error"]) == (400, True)


def ask(viewer: Viewer, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.server_port)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    found = response.status, response.read().decode(), dict(response.getheaders())
    connection.close()
    return found


def test_strangers_get_nothing(viewer: Viewer) -> None:
    page = f"/{viewer.token}/"
    assert viewer.server_address[0] == "127.0.0.1"
    assert ask(viewer, page)[0] == 200
    assert ask(viewer, "/")[0] == 403
    assert ask(viewer, f"/{viewer.token[:-1]}x/")[0] == 403
    assert ask(viewer, page, Host="evil.example")[0] == 403
    assert ask(viewer, page, Host=f"evil.example:{viewer.server_port}")[0] == 403
    assert ask(viewer, page, **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert ask(viewer, page, Host=f"localhost:{viewer.server_port}", **{"Sec-Fetch-Site": "same-origin"})[0] == 200


def test_every_answer_forbids_what_it_does_not_need(viewer: Viewer) -> None:
    for name in ("", "view.js", "documents", "nowhere", "documents?filters=1"):
        _, _, headers = ask(viewer, f"/{viewer.token}/{name}")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_answers_are_json_and_errors_are_told(viewer: Viewer) -> None:
    filters = json.dumps([{"column": "id", "comparison": "is", "value": "emoji"}])
    status, body, _ = ask(viewer, f"/{viewer.token}/documents?{urlencode({'filters': filters})}")
    assert (status, json.loads(body)["count"]) == (200, 1)
    for asked in ({"filters": "["}, {"filters": '[{"column": "id"}]'}, {"filters": "[3]"}, {"page": "x"}):
        status, body, _ = ask(viewer, f"/{viewer.token}/documents?{urlencode(asked)}")
        assert (status, set(json.loads(body))) == (400, {"error"})
    assert ask(viewer, f"/{viewer.token}/document")[0] == 400
    assert ask(viewer, f"/{viewer.token}/../manifest.json")[0] == 404


def test_numbers_that_json_has_not_reach_the_page_by_name(tmp_path: Path) -> None:
    run = looked_at(tmp_path)
    path = run / "data/part-00000.parquet"
    table = pq.read_table(path)
    ratios = [math.nan, math.inf, -math.inf, *([1.0] * (table.num_rows - 3))]
    place = table.schema.get_field_index("harmful_ratio")
    pq.write_table(table.set_column(place, "harmful_ratio", pa.array(ratios, pa.float32())), path)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    with Viewer(str(run)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        listed = json.loads(ask(server, f"/{server.token}/documents")[1], parse_constant=refuse)["rows"]
        asked = urlencode({"place": listed[0]["place"], "row": listed[0]["row"]})
        one = json.loads(ask(server, f"/{server.token}/document?{asked}")[1], parse_constant=refuse)
        server.shutdown()
        thread.join()
    assert [row["harmful_ratio"] for row in listed[:4]] == ["nan", "inf", "-inf", 1.0]
    assert one["columns"]["harmful_ratio"] == "nan"


def test_errors_hold_no_credentials(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise InputError("s3://me:secret@bucket/run: the shards cannot be read")

    monkeypatch.setattr(viewer.documents, "page", refuse)
    status, body, _ = ask(viewer, f"/{viewer.token}/documents")
    assert (status, json.loads(body)["error"]) == (400, "s3://...@bucket/run: the shards cannot be read")


def test_too_many_filters_are_refused() -> None:
    one = {"column": "id", "comparison": "is", "value": "x"}
    with pytest.raises(InputError, match="at most 20"):
        question_of({"filters": json.dumps([one] * 21)})
