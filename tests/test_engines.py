"""One suite over all engines: the same ids, order, values, counts and bytes."""

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipeline import exchange_tasks
from pipeline.config import InputConfig, RunConfig
from pipeline.engines import NAMES, Engine, make_engine
from pipeline.run import run
from stages.errors import ConfigError, EngineError, InputError, TooManyBadRecords
from tests import exchange_run, packed, select_run
from tests.runs import documents, fingerprint, go, go_with, write_config, write_jsonl
from tests.tasks import Named, Square, dies_always, dies_on_zero, dies_once, dies_twice, refuses, squared
from tests.tiny import Echo, Length

pytestmark = pytest.mark.filterwarnings("ignore")
"""Ray and Spark warn of their own affairs (sockets left open, deprecated calls), which these tests are not about."""

ENGINES = [("local", 1), ("local", 3), ("ray", 2), ("spark", 2)]


@pytest.fixture(params=ENGINES, ids=lambda pair: f"{pair[0]}-{pair[1]}", scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name, workers = request.param
    if name != "local":
        pytest.importorskip("pyspark" if name == "spark" else name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        with make_engine(name, workers) as made:
            yield made


def test_every_task_once(engine: Engine, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    results = dict(engine.map(squared, [Square(n, tmp_path) for n in range(20)], lambda *tick: seen.append(tick)))
    assert results == {n: n**2 for n in range(20)}
    assert tuple(map(sum, zip(*seen, strict=True))) == (20, sum(range(20)))
    assert list(engine.map(squared, [], lambda *tick: None)) == []


def test_an_error_of_the_user_comes_as_it_is(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="task 0 cannot be read"):
        list(engine.map(refuses, [Square(0, tmp_path)], lambda *tick: None))


def test_the_same_bytes_as_one_local_process(engine: Engine, tmp_path: Path) -> None:
    paths = [write_jsonl(tmp_path / f"{n}.jsonl", documents(150, seed=n)) for n in range(3)]
    (tmp_path / "bad.jsonl").write_text("broken\n")
    sizes = {"input": {"split_mb": 0.05, "max_bad_fraction": 0.1}, "shards": {"text_mb": 0.1}}
    inputs = [*paths, tmp_path / "bad.jsonl"]
    reference = write_config(tmp_path / "a.yaml", inputs, tmp_path / "reference", **sizes)
    go(reference)
    finished = go_with(engine, write_config(tmp_path / "b.yaml", inputs, tmp_path / "run", **sizes))
    assert finished.engine == engine.name
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "reference")


def test_a_survey_finds_the_same_on_every_engine(engine: Engine, tmp_path: Path) -> None:
    paths = [write_jsonl(tmp_path / f"{n}.jsonl", documents(150, seed=n)) for n in range(3)]
    select_run.go(select_run.config(paths, tmp_path / "reference"))
    finished = select_run.go(select_run.config(paths, tmp_path / "run"), engine)
    assert finished.funnel[1].dropped["not_selected"] > 0
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "reference")


def test_a_group_stage_answers_the_same_on_every_engine(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_jsonl(tmp_path / f"{n}.jsonl", documents(150, seed=n)) for n in range(3)]
    exchange_run.go(exchange_run.config(paths, tmp_path / "reference"))
    monkeypatch.setattr(exchange_tasks, "TASK_BYTES", exchange_run.TASK_BYTES)
    finished = exchange_run.go(exchange_run.config(paths, tmp_path / "run"), engine)
    assert finished.funnel[1].dropped["first"] > 0
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "reference")


def test_contexts_are_the_same_on_every_engine(engine: Engine, tmp_path: Path) -> None:
    paths = [write_jsonl(tmp_path / f"{n}.jsonl", documents(20, seed=n, sentences=4)) for n in range(2)]
    packed.go(packed.config(paths, tmp_path / "reference"))
    finished = packed.go(packed.config(paths, tmp_path / "run"), engine)
    assert finished.contexts is not None
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "reference")


def test_a_document_on_which_a_stage_fails_is_quarantined_and_the_budget_applies(
    engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = documents(60, sentences=2)
    rows[7]["text"] = rows[31]["text"] = "This one is unsayable."
    path = write_jsonl(tmp_path / "a.jsonl", rows)

    def config(most: float) -> RunConfig:
        settings = InputConfig((str(path),), max_bad_fraction=most, split_mb=0.004)
        return RunConfig(settings, str(tmp_path / "run"), (Length(), Echo(fail_on="unsayable")))

    with pytest.raises(TooManyBadRecords, match="stage_error"):
        run(config(0.01), engine, Console(quiet=True))
    finished = run(config(0.05), engine, Console(quiet=True))
    assert finished.ledger.quarantined == {"stage_error": 2}
    assert finished.ledger.kept == 58
    found = pq.read_table(tmp_path / "run/quarantine/part-00000.parquet")
    assert sorted(found.column("id").to_pylist()) == sorted([rows[7]["id"], rows[31]["id"]])
    assert set(found.column("detail").to_pylist()) == {"echo: ValueError"}
    said = "".join(log.read_text() for log in (tmp_path / "run").glob("logs/*.log")) + "".join(capfd.readouterr())
    assert "unsayable" not in said


@pytest.mark.parametrize("name", ["local", "ray"])
def test_a_killed_worker_costs_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    with make_engine(name, 2) as engine:
        results = dict(engine.map(dies_once, [Square(n, tmp_path) for n in range(6)], lambda *tick: None))
    assert results == {n: n for n in range(6)}
    assert (tmp_path / "died-2").exists()


def test_workers_that_keep_dying_end_the_run(tmp_path: Path) -> None:
    with make_engine("local", 2) as engine, pytest.raises(EngineError, match=r"died 3 times.*goes on from here"):
        list(engine.map(dies_always, [Square(1, tmp_path)], lambda *tick: None))


def test_a_death_is_charged_to_the_guilty_task_alone(tmp_path: Path) -> None:
    tasks = [Square(n, tmp_path) for n in (*range(1, 6), 0, *range(6, 30))]
    done: dict[int, int] = {}
    with make_engine("local", 3) as engine, pytest.raises(EngineError, match=r"died 3 times on the same task"):
        done.update(engine.map(dies_on_zero, tasks, lambda *tick: None))
    starts = {n: len((tmp_path / f"started-{n}").read_text()) for n in range(8) if (tmp_path / f"started-{n}").exists()}
    assert starts.pop(0) in {3, 4}
    assert max(starts.values()) <= 2


def test_tasks_beside_a_dying_one_finish_and_the_pool_is_used_again(tmp_path: Path) -> None:
    with make_engine("local", 3) as engine:
        for folder in (tmp_path / "a", tmp_path / "b"):
            folder.mkdir()
            ticks: list[tuple[int, int]] = []
            tasks = [Square(n, folder) for n in range(12)]
            results = dict(engine.map(dies_twice, tasks, lambda *tick: ticks.append(tick)))  # noqa: B023
            assert results == {n: n for n in range(12)}


def test_a_pool_that_broke_while_nothing_ran_is_replaced(tmp_path: Path) -> None:
    with make_engine("local", 2) as engine:
        tasks = [Square(n, tmp_path) for n in range(4)]
        for _ in range(2):
            assert dict(engine.map(squared, tasks, lambda *tick: None)) == {n: n**2 for n in range(4)}
            for child in multiprocessing.active_children():
                child.kill()


def test_the_task_that_kills_workers_is_named_without_its_text(tmp_path: Path) -> None:
    with make_engine("local", 2) as engine, pytest.raises(EngineError) as error:
        list(engine.map(dies_always, [Named(1, tmp_path)], lambda *tick: None))
    assert "split-00000.json" in str(error.value)
    assert "unsayable" not in str(error.value)


def test_too_many_workers_are_capped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with make_engine("local", 10**9) as engine:
        assert dict(engine.map(squared, [Square(2, tmp_path)], lambda *tick: None)) == {0: 4}
    assert "--workers: found 1000000000" in caplog.text


def test_every_engine_is_tested() -> None:
    assert {name for name, _ in ENGINES} == set(NAMES)


@pytest.mark.parametrize(("name", "module"), [("ray", "ray"), ("spark", "pyspark")])
def test_a_missing_package_is_named_with_its_remedy(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setenv("JAVA_HOME", "/somewhere")
    with pytest.raises(ConfigError, match=rf"pip install -e '\.\[{name}\]' in the checkout"):
        make_engine(name, 2)
