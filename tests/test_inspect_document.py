"""`tamis inspect RUN --document ID`: where a document went, and why."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import stages
from pipeline.inspect import inspect_document
from pipeline.inspect_document import _way, document_facts
from stages.errors import InputError
from tests.looks import EVIL, HARMFUL_TEXT, Lengths, Perplexity, looked_at
from tests.runs import documents, go, tamis, write_config, write_jsonl


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(looked_at(tmp_path_factory.mktemp("looks")))


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    known, others = {"lengths": Lengths, "perplexity": Perplexity}, stages.stage_class
    monkeypatch.setattr(stages, "stage_class", lambda name: known.get(name) or others(name))


def way(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(stage["stage"], stage["fate"]) for stage in found["stages"]]


def test_a_kept_document_passed_every_stage(run: str) -> None:
    found = document_facts(run, "huge", False)
    assert (found["fate"], found["by"], found["reason"]) == ("kept", None, None)
    assert way(found) == [("lengths", "passed"), ("perplexity", "passed")]
    assert found["stages"][0]["found"]["length"] > 0
    assert found["stages"][0]["thresholds"] == {"least": 20}
    assert found["read"]["line"] == 64
    assert found["file"].endswith("data/part-00000.parquet")


def test_a_dropped_document_says_where_and_by_what(run: str) -> None:
    found = document_facts(run, "plain-00", False)
    assert (found["fate"], found["by"], found["reason"]) == ("dropped", "lengths", "short")
    assert way(found) == [("lengths", "dropped: short"), ("perplexity", "not reached")]
    assert found["stages"][0]["found"] == {"length": 5, "lang": "w"}
    assert found["stages"][1]["found"] == {}
    late = document_facts(run, "harmful", False)
    assert way(late) == [("lengths", "passed"), ("perplexity", "dropped: harmful")]
    assert late["stages"][1]["thresholds"] == {"threshold": 0.5}, "those of the stage that dropped it, set or not"


def test_a_score_is_told_with_the_limit_of_its_language() -> None:
    facts = {
        "stage_columns": [{"stage": "perplexity", "columns": ["harmful_ratio", "harmful_model"]}],
        "config": {"stages": [{"perplexity": {}}]},
        "scores": [{"column": "harmful_ratio", "limits": {"en": {"threshold": 1.5}, "de": {"threshold": 2.5}}}],
    }
    row = {"id": "a", "harmful_ratio": 0.25, "harmful_model": "de", "dropped_by": None}
    assert _way(facts, row)[0]["thresholds"] == {"threshold": 2.5}
    assert _way(facts, row | {"harmful_ratio": None})[0]["thresholds"] == {}
    assert _way(facts, row | {"harmful_model": "fr"})[0]["thresholds"] == {}


def test_its_text_is_shown_only_if_asked_for(run: str) -> None:
    assert HARMFUL_TEXT not in json.dumps(document_facts(run, "harmful", False))
    assert document_facts(run, "harmful", True)["text"] == HARMFUL_TEXT


def test_an_id_that_is_not_there_is_told_with_those_that_hold_it(run: str) -> None:
    with pytest.raises(
        InputError, match=r"found no document with the id 'lain-5'.*hold it: plain-50, plain-51, plain-52"
    ):
        document_facts(run, "lain-5", False)
    with pytest.raises(InputError, match=r"expected the id that its record gave, or a shard's column id$"):
        document_facts(run, "' OR 1=1 --", False)


def test_the_terminal_gets_words_that_fit_and_nothing_to_obey(run: str) -> None:
    out = io.StringIO()
    inspect_document(Console(file=out, width=80), run, f"<b>{EVIL}</b>", with_text=True, as_json=False)
    lines = out.getvalue().splitlines()
    assert lines[0] == f"<b>{EVIL}</b>: kept"
    assert lines[-1] == EVIL
    assert "\x1b" not in out.getvalue()
    assert max(len(line) for line in lines[3:-1]) <= 80


def test_records_in_quarantine_are_found_too(tmp_path: Path) -> None:
    rows = [*documents(30), {"id": "0-3", "text": "The same id once more, in plain English words."}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    go(write_config(tmp_path / "c.yaml", [path], tmp_path / "run", input={"max_bad_fraction": 0.5}))
    found = document_facts(str(tmp_path / "run"), "0-3", False)
    assert found["fate"] in ("kept", "dropped"), "the first with an id stays"
    assert [(bad["step"], bad["line"]) for bad in found["quarantined"]] == [("read", 31)]
    done = tamis("inspect", tmp_path / "run", "--document", "0-3", "--json")
    assert json.loads(done.stdout) == found
    missing = tamis("inspect", tmp_path / "run", "--document", "nowhere")
    assert (missing.returncode, "found no document" in missing.stderr) == (4, True)


def test_the_way_of_what_a_stage_failed_on_ends_there(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = ("in.jsonl", 1, 0, "perplexity", "stage_failed", "ValueError")
    monkeypatch.setattr("pipeline.inspect_document._quarantined", lambda *_: [bad])
    found = document_facts(run, "only in quarantine", False)
    assert (found["fate"], found["by"], found["file"]) == ("quarantined", "perplexity", None)
    assert way(found) == [("lengths", "passed"), ("perplexity", "quarantined: stage_failed")]


def test_a_failure_at_one_of_two_stages_of_a_name_is_not_pinned_on_either() -> None:
    chain = [{"stage": name, "columns": [f"{name}_{place}"]} for place, name in enumerate("lplpt")]
    facts = {"stage_columns": chain, "config": {"stages": [{name: {}} for name in "lplpt"]}, "scores": []}
    found = _way(facts, {"dropped_by": "p", "drop_reason": "stage_failed"})
    unsure = "not known (by a stage p, quarantined: stage_failed)"
    assert [stage["fate"] for stage in found] == ["passed", unsure, unsure, unsure, "not reached"]
    found = _way(facts, {"id": "a", "dropped_by": "p", "drop_reason": "worst", "l_0": 0, "p_1": 0})
    assert [stage["fate"] for stage in found] == ["passed", "dropped: worst", *["not reached"] * 3]


def test_a_run_without_steps_knows_no_place(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.storage.Store.exists", lambda self, name: not name.startswith("steps"))
    found = document_facts(run, "huge", False)
    assert (found["read"], found["fate"]) == (None, "kept")
