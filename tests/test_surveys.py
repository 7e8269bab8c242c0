"""Surveys: what depends on all rows comes out the same however they lie in shards, and survives being cut short."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipeline.config import InputConfig, RunConfig, ShardsConfig
from pipeline.engines.local import LocalEngine
from pipeline.inspect import inspect_path
from pipeline.manifest import Finished
from pipeline.plan import make_plan
from pipeline.records import FileRecord
from pipeline.run import run
from pipeline.storage import Store
from pipeline.surveys import MOST_TASKS, round_tasks
from pipeline.verdicts import Shard
from stages.contract import Stage, is_survey
from stages.errors import ConfigError, EngineError
from tests.runs import documents, fingerprint, write_jsonl
from tests.tiny import Above, Echo, Further, Length

CHAIN = (Length(least=30), Above(), Further(), Echo())


@pytest.fixture
def paths(tmp_path: Path) -> tuple[str, ...]:
    """Three files, the last with an id of the first."""
    rows = [documents(count, seed=count) for count in (120, 40, 7)]
    rows[2][0]["id"] = rows[0][0]["id"]
    return tuple(str(write_jsonl(tmp_path / f"{n}.jsonl", found)) for n, found in enumerate(rows))


def config(paths: tuple[str, ...], output: Path, *stages: Stage, split_mb: float = 0.03, seed: int = 0) -> RunConfig:
    settings = InputConfig(paths=paths, split_mb=split_mb, max_bad_fraction=0.1)
    return RunConfig(settings, str(output), stages or CHAIN, ShardsConfig(text_mb=1), seed)


def go(made: RunConfig, workers: int = 1) -> Finished:
    with LocalEngine(workers) as engine:
        return run(made, engine, Console(quiet=True))


def rows_of(output: Path) -> dict[str, dict[str, Any]]:
    files = [*(output / "data").iterdir(), *(output / "dropped").iterdir()]
    return {row["id"]: row for file in files for row in pq.read_table(file).drop_columns("text").to_pylist()}


def test_each_row_is_measured_by_all_that_reach_the_stage(tmp_path: Path, paths: tuple[str, ...]) -> None:
    finished = go(config(paths, tmp_path / "run"))
    rows = rows_of(tmp_path / "run")
    lengths = {id_: row["length"] for id_, row in rows.items() if row["length"] >= 30}
    mean = sum(lengths.values()) / len(lengths)
    farthest = max(abs(length - mean) for length in lengths.values())
    assert {i: r["above"] for i, r in rows.items()} == {
        i: (r["length"] - mean) / farthest if i in lengths else None for i, r in rows.items()
    }
    kept = {id_: length for id_, length in lengths.items() if length >= mean}
    second = sum(kept.values()) / len(kept)
    assert {i for i, row in rows.items() if row.get("dropped_by") is None} == {i for i in kept if kept[i] >= second}
    assert finished.ledger.quarantined == {"repeated_id": 1}
    assert [(c.stage, set(c.dropped)) for c in finished.funnel][1:3] == [("above", {"below"}), ("further", {"below"})]
    assert all(row["echo"] == f"{i}:{row['length']}" for i, row in rows.items() if row.get("dropped_by") is None)


def test_shards_and_workers_do_not_matter(tmp_path: Path, paths: tuple[str, ...]) -> None:
    go(config(paths, tmp_path / "a"))
    go(config(paths, tmp_path / "b"), workers=2)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    finished = go(config(paths[::-1], tmp_path / "c", split_mb=100))
    assert len(finished.splits) == 3
    one, other = rows_of(tmp_path / "a"), rows_of(tmp_path / "c")
    moved = documents(120, seed=120)[0]["id"]
    assert {i: one[i] for i in one if i != moved}.keys() == {i: other[i] for i in other if i != moved}.keys()


def test_what_it_found_is_in_report_and_manifest(tmp_path: Path, paths: tuple[str, ...]) -> None:
    finished = go(config(paths, tmp_path / "run"))
    mean = finished.surveys["above"].rows[0][1]
    for name in ("manifest.json", "report.json"):
        found = json.loads((tmp_path / "run" / name).read_text())["surveys"]
        assert found["above"] == {
            "notes": [f"mean {mean:.1f}"], "columns": ["what", "characters"], "rows": [["mean", mean]]
        }  # fmt: skip
    again = go(config(paths, tmp_path / "run"))
    assert again.surveys == finished.surveys


@pytest.mark.parametrize("number", range(4))
def test_a_run_cut_short_in_any_round_goes_on_from_there(
    tmp_path: Path, paths: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    go(config(paths, tmp_path / "whole"))
    reduce, calls = Above.reduce, []

    def failing(stage: Above, state: Mapping[str, Any], partial: list[int | float]) -> dict[str, Any]:
        calls.append(stage.name)
        if len(calls) == number + 1:
            raise OSError("No space left on device")
        return reduce(stage, state, partial)

    monkeypatch.setattr(Above, "reduce", failing)
    with pytest.raises(OSError, match="No space left"):
        go(config(paths, tmp_path / "run"))
    lengths = Length.open
    monkeypatch.setattr(Length, "open", _never)
    go(config(paths, tmp_path / "run"))
    monkeypatch.setattr(Length, "open", lengths)
    assert len(calls) == 2 + 2 + 1
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "whole")


def _never(stage: object) -> object:
    raise AssertionError("an annotation was made again")


def test_a_damaged_state_is_found_anew_and_a_finished_run_does_nothing(tmp_path: Path, paths: tuple[str, ...]) -> None:
    go(config(paths, tmp_path / "run"))
    before = fingerprint(tmp_path / "run")
    (state,) = (tmp_path / "run").glob("steps/02-above-*/state.json")
    content = state.read_bytes()
    assert json.loads(content)["rounds"] == 2
    manifest = (tmp_path / "run/manifest.json").stat().st_mtime_ns
    go(config(paths, tmp_path / "run"))
    assert (tmp_path / "run/manifest.json").stat().st_mtime_ns == manifest
    state.write_bytes(content[:20])
    go(config(paths, tmp_path / "run"))
    assert state.read_bytes() == content
    assert fingerprint(tmp_path / "run") == before


def test_the_seed_and_what_is_upstream_are_part_of_its_hash(tmp_path: Path, paths: tuple[str, ...]) -> None:
    plans = [
        make_plan(config(paths, tmp_path / "run")),
        make_plan(config(paths, tmp_path / "run", seed=1)),
        make_plan(config(paths, tmp_path / "run", Length(least=31), *CHAIN[1:])),
    ]
    hashes = [[step.hash for step in plan.steps] for plan in plans]
    assert [a == b for a, b in zip(hashes[0], hashes[1], strict=True)] == [True, True, False, False, False, False]
    assert [a == b for a, b in zip(hashes[0], hashes[2], strict=True)] == [True, True, False, False, False, False]


def test_a_survey_that_does_not_converge_is_an_error(tmp_path: Path, paths: tuple[str, ...]) -> None:
    with pytest.raises(EngineError, match="stage 'above' is not done after 64 rounds"):
        go(config(paths, tmp_path / "run", Length(), Above(rounds=9), split_mb=100))


def test_a_survey_may_read_the_bytes_of_a_text_but_needs_its_columns(tmp_path: Path, paths: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"stages\[0\]\.above: needs the column 'length'"):
        make_plan(config(paths, tmp_path / "run", Above()))


def test_rounds_have_a_bounded_number_of_tasks_over_all_shards(tmp_path: Path, paths: tuple[str, ...]) -> None:
    steps = make_plan(config(paths, tmp_path / "run")).batch[:2]
    shards = [Shard(FileRecord(f"s{n}", 1, 1, 1, "")) for n in range(3 * MOST_TASKS + 1)]
    tasks = round_tasks(Store(str(tmp_path)), steps, shards)
    assert len(tasks) <= MOST_TASKS
    assert [shard for task in tasks for shard in task.shards] == shards
    assert len(round_tasks(Store(str(tmp_path)), steps, shards[:5])) == 5


def test_batch_stages_are_no_surveys() -> None:
    assert [is_survey(stage) for stage in CHAIN] == [False, True, True, False]


def test_people_see_what_it_found(tmp_path: Path, paths: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    go(config(paths, tmp_path / "run"))
    inspect_path(Console(width=200), str(tmp_path / "run"), rows=1, with_text=False, verify=True, as_json=False)
    shown = capsys.readouterr().out
    assert "above: mean" in shown
    assert "characters" in shown
    page = (tmp_path / "run/report.html").read_text()
    assert '<h2 id="survey-above">Above</h2>' in page
    assert "<li>mean " in page
