"""Runs whose paths hold what patterns, SQL or URLs take for their own, and runs on S3: every look at them works."""

import contextlib
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.compare import compare_runs
from pipeline.inspect import shard_facts
from pipeline.inspect_document import document_facts
from pipeline.records import FileRecord
from pipeline.repeated import quarantine_repeated
from pipeline.storage import Store
from pipeline.view_document import document
from pipeline.view_query import Documents
from pipeline.view_question import Question
from pipeline.view_search import Searches
from pipeline.whatif import what_if
from tests.looks import Lengths, Perplexity, looked_at
from tests.test_repeated import write

ODD = ["a[1]", "a*", "what?", "**", "[]", "[!x]", "{a,b}", "it's \"so\"", "two words", "ünïcode 日本", "a%20b#c;d",
       "back\\slash", "lang=de", "$HOME"]  # fmt: skip
KNOWN = {"lengths": Lengths, "perplexity": Perplexity}

_PLACES = ("data", "dropped", "data/part-00000.parquet")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_at(tmp_path_factory.mktemp("looks"))


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.config.stages.stage_class", KNOWN.__getitem__)


@cache
def expected_of(plain: Path) -> tuple[int, list[dict[str, Any]]]:
    kept = what_if(str(plain), ["lengths.least=100"])["kept"]
    return kept, [{**shard_facts(f"{plain}/{name}", 100, False), "path": ""} for name in _PLACES]


def all_looks_agree(url: str, plain: Path) -> None:
    """Every look at the copy of a run says what it says of the run."""
    assert compare_runs(url, str(plain))["documents"]["moved"] == []
    kept, facts = expected_of(plain)
    assert what_if(url, ["lengths.least=100"])["kept"] == kept
    assert [{**shard_facts(f"{url}/{name}", 100, False), "path": ""} for name in _PLACES] == facts
    way = document_facts(url, "plain-00", False)
    assert (way["by"], way["reason"], way["read"]["line"]) == ("lengths", "short", 1)
    with contextlib.closing(Documents(Store(url))) as documents:
        (row,) = Searches(documents).page(Question(text="many words")).rows
        assert (row["id"], row["place"] in documents.places) == ("huge", True)
        assert document(documents.store, row["place"], row["row"], False)["columns"]["id"] == "huge"
        assert len(documents.page(Question(sort="length"))) == len(documents.page(Question())) == 50


@pytest.mark.parametrize("name", ODD)
def test_names_are_no_patterns(name: str, plain: Path, tmp_path: Path) -> None:
    others = (tmp_path / "a1", tmp_path / "b", tmp_path / "whatX")
    for other in others:  # what a pattern would find instead
        (other / "data").mkdir(parents=True)
        (other / "data/part-00000.parquet").write_bytes(b"no shard")
    shutil.copytree(plain, tmp_path / name)
    all_looks_agree(str(tmp_path / name), plain)


def test_paths_may_be_relative(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(plain.parent)
    for path in (plain.name, f"./{plain.name}/", f"../{plain.parent.name}/{plain.name}"):
        all_looks_agree(path, plain)


@pytest.mark.parametrize("name", ODD)
def test_repeated_ids_are_found_there(name: str, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    store = Store(str(tmp_path / name))
    shards: list[FileRecord] = write(store, "steps/00-read", [["a", "b"], ["b", "c"]])
    assert quarantine_repeated(store, "steps/00-read", shards, lambda count: None).rows == {shards[1].name: (0,)}


def test_looks_at_a_run_on_s3(s3_url: str, plain: Path) -> None:
    for name in ("looks/run", "looks/a[1] *"):
        url = f"{s3_url}/{name}"
        filesystem = fsspec.core.url_to_fs(url)[0]
        for path in plain.rglob("*.*"):
            if path.is_file():
                filesystem.pipe_file(f"{url}/{path.relative_to(plain)}", path.read_bytes())
        all_looks_agree(url, plain)
