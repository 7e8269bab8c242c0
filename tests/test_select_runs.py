"""Selection in whole runs: cut in any way, killed at any moment, on one file alone, in the report."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipeline.config import as_plain
from pipeline.plan import make_plan
from pipeline.single import StageRequest, run_stage
from pipeline.storage import Store
from pipeline.survey_state import load_survey
from stages import select_search
from stages.errors import NothingKept
from stages.select import Select
from tests.rated import some_rows
from tests.runs import documents, fingerprint, write_jsonl
from tests.select_run import config, go

ROUNDS = int(os.environ.get("TAMIS_FAULT_ROUNDS", "4"))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three files of unequal size."""
    folder = tmp_path_factory.mktemp("corpus")
    return [write_jsonl(folder / f"{n}.jsonl", documents(count, seed=n)) for n, count in enumerate((600, 300, 20))]


def answers(run: Path) -> dict[str, tuple[Any, ...]]:
    files = [*(run / "data").iterdir(), *(run / "dropped").iterdir()]
    names = ["id", *Select().adds.names]
    rows = [row for file in files for row in pq.read_table(file, columns=names).to_pylist()]
    return {row["id"]: tuple(row.values()) for row in rows}


def test_the_result_by_id_does_not_depend_on_shards(tmp_path: Path, paths: list[Path]) -> None:
    finished = go(config(paths, tmp_path / "a"))
    go(config(paths[::-1], tmp_path / "b", split_mb=100))
    assert len(list((tmp_path / "a").glob("steps/00-read-*/*.parquet"))) > 5
    assert len(list((tmp_path / "b").glob("steps/00-read-*/*.parquet"))) < 5
    one, other = answers(tmp_path / "a"), answers(tmp_path / "b")
    assert one == other
    assert len(one) == 920
    states = [next(iter((tmp_path / name).glob("steps/02-select-*/state.json"))).read_bytes() for name in "ab"]
    assert states[0] == states[1]
    kept = [row for row in one.values() if row[-1] == "selected"]
    assert len(kept) == finished.ledger.kept
    assert set(finished.ledger.dropped["select"]) == {"min_overall_score", "not_selected", "unrated"}


def test_many_rounds_give_the_same(tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    go(config(paths, tmp_path / "a"))
    monkeypatch.setattr(select_search, "SAMPLE", 40)
    made = config(paths, tmp_path / "b")
    go(made)
    survey = load_survey(Store(made.output), make_plan(made).batch[1])
    assert survey is not None
    assert survey.rounds > 3
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")


def test_seed_and_settings_make_another_selection(tmp_path: Path, paths: list[Path]) -> None:
    found = []
    for number, changes in enumerate(({}, {"seed": 4}, {"stage": Select(tokens=4000, method="top_k")})):
        go(config(paths, tmp_path / f"{number}", **changes))  # type: ignore[arg-type]
        found.append({id_ for id_, row in answers(tmp_path / f"{number}").items() if row[-1] == "selected"})
    assert found[0] != found[1] != found[2]


def test_facts_are_in_the_report(tmp_path: Path, paths: list[Path]) -> None:
    finished = go(config(paths, tmp_path / "run"))
    facts = json.loads((tmp_path / "run/report.json").read_text())
    table = facts["surveys"]["select"]
    assert table["columns"][:5] == ["stratum", "documents", "tokens", "share", "asked"]
    assert sum(row[4] for row in table["rows"]) == 40_000
    assert sum(row[5] for row in table["rows"]) == finished.ledger.kept
    assert 38_000 < sum(row[6] for row in table["rows"]) <= 40_000
    assert facts["config"]["stages"][1]["select"] == as_plain(config(paths, tmp_path))["stages"][1]["select"]
    assert '<h2 id="survey-select">' in (tmp_path / "run/report.html").read_text()
    assert facts["statuses"]["select_status"]["selected"] == finished.ledger.kept


def test_a_budget_too_small_for_any_document_keeps_nothing_and_says_why(tmp_path: Path, paths: list[Path]) -> None:
    with pytest.raises(NothingKept, match="select: not_selected"):
        go(config(paths, tmp_path / "run", stage=Select(tokens=1, strata=())))


COMMAND = [sys.executable, "-m", "tests.select_run"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, paths: list[Path]) -> tuple[dict[str, str], float]:
    """The fingerprint of a run in a process of its own, and its seconds."""
    output = tmp_path_factory.mktemp("undisturbed") / "run"
    began = time.monotonic()
    subprocess.run([*COMMAND, output, "1", *paths], check=True)
    return fingerprint(output), time.monotonic() - began


@pytest.mark.parametrize("number", range(ROUNDS))
def test_sigkill_at_a_random_moment(
    tmp_path: Path, paths: list[Path], undisturbed: tuple[dict[str, str], float], number: int
) -> None:
    expected, seconds = undisturbed
    process = subprocess.Popen([*COMMAND, tmp_path / "run", "1", *paths])
    time.sleep(random.Random(number).uniform(0.3, 0.98) * seconds)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    subprocess.run([*COMMAND, tmp_path / "run", "2", *paths], check=True)
    assert fingerprint(tmp_path / "run") == expected


def test_a_finished_run_does_nothing_again(tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = go(config(paths, tmp_path / "run"))
    monkeypatch.delattr(Select, "survey")
    monkeypatch.setattr(Select, "open_with", None)
    assert go(config(paths, tmp_path / "run")).surveys == first.surveys


def test_one_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = some_rows(700)
    for row in rows:
        row["text"] = "x" * row["count"]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    settings = ("tokens=5000", "select.method=top_k", "tokens_from=count", "weights.accuracy=1")
    run_stage(Console(width=250), StageRequest("select", (str(path),), str(tmp_path / "out.parquet"), settings))
    out = pq.read_table(tmp_path / "out.parquet").to_pylist()
    kept = {row["id"] for row in out if row["keep"]}
    assert 4700 < sum(row["count"] for row in rows if row["id"] in kept) <= 5000
    assert {row["drop_reason"] for row in out} == {None, "not_selected"}
    assert "tokens of 5,000 asked" in capsys.readouterr().out
