"""One suite over all engines: the same ids, order, values, counts and bytes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.engines import NAMES, Engine, make_engine
from stages.errors import EngineError, InputError
from tests.runs import documents, fingerprint, go, go_with, write_config, write_jsonl
from tests.tasks import Square, dies_always, dies_once, refuses, squared

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


def test_every_engine_is_tested() -> None:
    assert {name for name, _ in ENGINES} == set(NAMES)
