"""The stream: the log's order for any ranks and workers, resumed anywhere; torch's loaders; Parquet; a growing log."""

import itertools
import json
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pipeline.data.stream as stream_module
from pipeline.data import ContextSource, MixtureRun, MixtureStream, ParquetContexts, parquet_groups
from pipeline.data.loops import facts_of
from pipeline.data.trainer import STATE, callback, saved_state
from stages.errors import ConfigError, InputError
from stages.mixture_aioli import Aioli
from stages.mixture_fixed import Fixed
from stages.mixture_log import LogWriter, read_log
from stages.mixture_survey import MixingLaws
from stages.mixture_task import Task

SIZES = {"code": 30, "prose": 50, "rare": 7}
STEPS, BATCH = 40, 6
TASK = Task(SIZES, STEPS, batch=BATCH, seed=1, max_epochs=6)
MIXTURE = {"code": 0.5, "prose": 0.4, "rare": 0.1}


class Listed:
    """A source that makes its contexts up."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size

    def __len__(self) -> int:
        return self.size

    def rows(self, begin: int, end: int) -> Sequence[Mapping[str, Any]]:
        return [{"text": f"{self.name}{number}"} for number in range(begin, end)]


def _sources() -> dict[str, ContextSource]:
    return {name: Listed(name, size) for name, size in SIZES.items()}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished log with several mixtures, and blocks that are no multiple of anything."""
    path = tmp_path_factory.mktemp("log") / "mixture.jsonl"
    writer = LogWriter(path, facts_of(TASK, {}, "bytes", block=7))
    run = MixtureRun(Aioli(TASK, rounds=2, hold=0.0, lag=2, delta=0.4), writer)
    for step in range(STEPS + 1):
        run.tell(step, lambda at=step: {"code": 5 - at / 20, "prose": 5 - at / 30, "rare": 5 - at / 50})
    assert read_log(path).complete
    return path


def _expected(log: Path) -> list[tuple[int, str, str]]:
    schedule = read_log(log).schedule()
    places = [schedule.at(sample) for sample in range(STEPS * BATCH)]
    return [(sample, place.group, f"{place.group}{place.context}") for sample, place in enumerate(places)]


def _seen(samples: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [(sample["sample"], sample["group"], sample["text"]) for sample in samples]


def test_it_is_the_order_of_the_log(log: Path) -> None:
    assert _seen(list(MixtureStream(log, _sources()))) == _expected(log)


def _loaded(log: Path, states: list[Any], batch: int, ranks: int, workers: int) -> Any:
    """What a loader with workers gives on each rank, emulated: batches from each worker in turn; and the streams."""
    streams = []
    for rank in range(ranks):
        for worker in range(workers):
            stream = MixtureStream(log, _sources(), batch, rank, ranks)
            stream.load_state_dict(states[rank * workers + worker])
            streams.append((stream, worker))
    return streams


def _batches(streams: Any, batch: int, workers: int, monkeypatch: pytest.MonkeyPatch, first: int = 0) -> list[Any]:
    iterators = []
    for stream, worker in streams:
        with monkeypatch.context() as patch:
            patch.setattr(stream_module, "_worker", lambda worker=worker: (worker, workers))
            iterators.append(iter(stream))
            head = next(iterators[-1], None)
            iterators[-1] = itertools.chain([head] if head else [], iterators[-1])
    served = []
    for number in itertools.count(first):
        step = []
        for rank in range(len(streams) // workers):
            step += list(itertools.islice(iterators[rank * workers + number % workers], batch))
        if not step:
            return served
        served.append(sorted(_seen(step)))
    return served


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.integers(1, 5), ranks=st.integers(1, 4), workers=st.integers(1, 3), data=st.data())
def test_any_ranks_and_workers_train_on_the_same_and_go_on_with_any_others(
    log: Path, batch: int, ranks: int, workers: int, data: st.DataObject
) -> None:
    monkeypatch = pytest.MonkeyPatch()
    expected = _expected(log)
    start = data.draw(st.integers(0, len(expected)))
    streams = _loaded(log, [{"sample": start}] * ranks * workers, batch, ranks, workers)
    served = _batches(streams, batch, workers, monkeypatch)
    size = batch * ranks
    assert served == [expected[begin : begin + size] for begin in range(start, len(expected), size)]


def test_it_resumes_at_every_sample(log: Path) -> None:
    expected, stream = _expected(log), MixtureStream(log, _sources())
    states = [json.dumps(stream.state_dict())] + [json.dumps(stream.state_dict()) for _ in stream]
    assert len(states) == len(expected) + 1
    for cut, state in enumerate(states):
        assert len(state) < 1000
        again = MixtureStream(log, _sources())
        again.load_state_dict(json.loads(state))
        assert _seen(list(itertools.islice(again, 20))) == expected[cut : cut + 20]


def test_a_workers_state_is_for_as_many_workers(log: Path) -> None:
    stream = MixtureStream(log, _sources())
    stream.load_state_dict({"sample": 0, "taken": 3, "worker": 0, "workers": 2})
    with pytest.raises(ConfigError, match="as many workers as before"):
        next(iter(stream))


def test_bad_sources_are_refused(log: Path) -> None:
    with pytest.raises(InputError, match="is of groups code, prose, rare, found code"):
        MixtureStream(log, {"code": Listed("code", 30)})
    with pytest.raises(InputError, match="'rare' has changed since the log was written: 8 contexts"):
        MixtureStream(log, {**_sources(), "rare": Listed("rare", 8)})
    with pytest.raises(ConfigError, match="rank 2 of 2"):
        MixtureStream(log, _sources(), 1, 2, 2)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_torchs_loader_gives_the_order_with_any_workers(log: Path, workers: int) -> None:
    from torch.utils.data import DataLoader, IterableDataset

    from pipeline.data import MixtureDataset

    dataset = MixtureDataset(log, _sources(), batch_size=4)
    assert isinstance(dataset, IterableDataset)
    dataset.seek(100)
    samples = [
        seen
        for batch in DataLoader(dataset, batch_size=4, num_workers=workers)
        for seen in zip(batch["sample"].tolist(), batch["group"], batch["text"], strict=True)
    ]
    assert samples == _expected(log)[100:]
    assert isinstance(pickle.loads(pickle.dumps(dataset)), MixtureDataset)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize("workers", [0, 2])
def test_the_stateful_loader_resumes(log: Path, workers: int) -> None:
    loaders = pytest.importorskip("torchdata.stateful_dataloader")
    from pipeline.data import MixtureDataset

    def loader() -> Any:
        return loaders.StatefulDataLoader(MixtureDataset(log, _sources(), batch_size=4), 4, num_workers=workers)

    first = loader()
    for _ in itertools.islice(first, 7):
        state = first.state_dict()
    again = loader()
    again.load_state_dict(state)
    assert [n for batch in again for n in batch["sample"].tolist()] == list(range(28, STEPS * BATCH))


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, pipeline.data; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_it_waits_for_decisions_and_each_lands_where_it_says(tmp_path: Path) -> None:
    path = tmp_path / "mixture.jsonl"
    run = MixtureRun(Aioli(TASK, rounds=2, hold=0.0, delta=0.4), LogWriter(path, facts_of(TASK, {}, "bytes")))
    served: list[int] = []
    stream = MixtureStream(path, _sources(), wait_s=20)
    thread = threading.Thread(target=lambda: served.extend(sample["sample"] for sample in stream))
    thread.start()
    for step in range(STEPS + 1):
        if run.estimator.wants(step) and step not in (0, 20):
            time.sleep(0.05)
            known = read_log(path).schedule().end
            assert len(served) <= known
        run.tell(step, lambda at=step: {"code": 5 - at / 20, "prose": 5 - at / 30, "rare": 5 - at / 50})
    thread.join(timeout=30)
    assert served == list(range(STEPS * BATCH))


def test_without_decisions_or_data_it_says_why(tmp_path: Path) -> None:
    path = tmp_path / "mixture.jsonl"
    MixtureRun(Aioli(TASK, rounds=2, delta=0.4), LogWriter(path, facts_of(TASK, {}, "bytes")))
    with pytest.raises(InputError, match="no decision on sample"):
        list(MixtureStream(path, _sources(), wait_s=0.1))
    small = Task({"a": 5, "b": 100}, steps=50, max_epochs={"a": 2.0, "b": 1.0})
    facts = facts_of(small, {}, "bytes")
    alone = Fixed(Task({"a": 5, "b": 100}, steps=50), {"a": 1.0, "b": 0.0})
    MixtureRun(alone, LogWriter(tmp_path / "short.jsonl", facts))
    stream = MixtureStream(tmp_path / "short.jsonl", {"a": Listed("a", 5), "b": Listed("b", 100)})
    with pytest.raises(InputError, match="run out at sample 10"):
        list(stream)


def _write(folder: Path, sizes: Mapping[str, list[int]], length: int = 8) -> None:
    for name, parts in sizes.items():
        first = 0
        for number, rows in enumerate(parts):
            path = folder / f"group={name}" / f"part-{number:05}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            ids = np.arange(first * length, (first + rows) * length, dtype=np.int32).reshape(rows, length)
            table = pa.table(
                {
                    "context": pa.array(range(first, first + rows), pa.int64()),
                    "input_ids": pa.array(list(ids), pa.list_(pa.int32())),
                    "title": [f"{name} {row}" for row in range(rows)],
                }
            )
            pq.write_table(table, path, row_group_size=4)
            first += rows


def test_parquet_contexts_are_read_from_any_row(tmp_path: Path) -> None:
    _write(tmp_path, {"a": [5, 0, 9], "b": [3]})
    groups = parquet_groups(tmp_path, columns=("context", "input_ids", "title"))
    assert {name: len(source) for name, source in groups.items()} == {"a": 14, "b": 3}
    for begin, end in itertools.combinations((0, 3, 4, 5, 9, 13, 14), 2):
        rows = groups["a"].rows(begin, end)
        assert [row["context"] for row in rows] == list(range(begin, end))
        assert all(row["input_ids"].tolist() == list(range(row["context"] * 8, row["context"] * 8 + 8)) for row in rows)
    assert groups["a"].rows(5, 6)[0]["title"] == "a 0"
    again = pickle.loads(pickle.dumps(groups["a"]))
    assert again.rows(13, 14)[0]["context"] == 13
    assert again.checksum == groups["a"].checksum


def test_parquet_that_cannot_be_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, {"a": [5]})
    before = parquet_groups(tmp_path)["a"]
    with pytest.raises(InputError, match="has no column 'spans': it has context, input_ids, title"):
        parquet_groups(tmp_path, columns=("spans",))
    with pytest.raises(ConfigError, match="expected group="):
        parquet_groups(tmp_path / "none")
    with pytest.raises(InputError, match="no Parquet file"):
        ParquetContexts([])
    _write(tmp_path, {"a": [6]})
    assert parquet_groups(tmp_path)["a"].checksum != before.checksum
    (tmp_path / "group=a" / "part-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        parquet_groups(tmp_path)


def test_a_run_may_lie_in_a_directory_with_brackets(tmp_path: Path) -> None:
    for run in ("run[1]", "run1", "*"):
        folder = tmp_path / run / "group=a%5B%2A"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"input_ids": [[1], [2]]}), folder / "part-00000.parquet")
        (folder / ".tmp-0").write_bytes(b"")
        (folder.parent / "group=empty").mkdir()
        assert {name: len(source) for name, source in parquet_groups(tmp_path / run).items()} == {"a[*": 2}


def test_data_that_changed_since_the_log_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, {"a": [5], "b": [5]})
    groups = parquet_groups(tmp_path)
    task = Task({name: len(source) for name, source in groups.items()}, steps=4)
    facts = facts_of(task, {name: source.checksum for name, source in groups.items()}, "bytes")
    MixtureRun(Fixed(task, {"a": 0.5, "b": 0.5}), LogWriter(tmp_path / "mixture.jsonl", facts))
    assert len(list(MixtureStream(tmp_path / "mixture.jsonl", groups))) == 4
    _write(tmp_path, {"b": [5]}, length=9)
    with pytest.raises(InputError, match="group 'b' has changed since the log was written"):
        MixtureStream(tmp_path / "mixture.jsonl", parquet_groups(tmp_path))


def test_the_trainers_callback_decides_saves_and_seeks(tmp_path: Path) -> None:
    path, facts = tmp_path / "mixture.jsonl", facts_of(TASK, {}, "bytes")
    estimator = Aioli(TASK, rounds=2, lag=2, hold=0.0, delta=0.4)
    run = MixtureRun(estimator, LogWriter(path, facts))
    stream = MixtureStream(path, _sources())
    told = callback(run, stream, lambda model: {"code": model, "prose": 2 * model, "rare": 3.0})
    args, state = SimpleNamespace(output_dir=str(tmp_path), ignore_data_skip=True), SimpleNamespace(global_step=0)
    told.on_train_begin(args, state, None, model=1.0)
    for state.global_step in range(1, 26):
        told.on_step_end(args, state, None, model=1 / state.global_step)
    assert estimator.decision.version == 1
    (tmp_path / "checkpoint-25").mkdir()
    told.on_save(args, state, None)
    assert (tmp_path / "checkpoint-25" / STATE).stat().st_size < 20_000
    again = Aioli(TASK, rounds=2, lag=2, hold=0.0, delta=0.4)
    resumed = MixtureRun(again, LogWriter(path, facts), saved_state(tmp_path / "checkpoint-25"))
    assert again.state_dict() == estimator.state_dict()
    callback(resumed, stream, lambda model: dict.fromkeys(SIZES, model)).on_train_begin(args, state, None, model=1.0)
    assert stream.state_dict() == {"sample": 25 * BATCH}
    with pytest.raises(ConfigError, match="lag of 2"):
        callback(MixtureRun(Aioli(TASK, rounds=2, delta=0.4), LogWriter(tmp_path / "b", facts)), stream, dict)
    with pytest.raises(ConfigError, match="plain loop"):
        callback(MixtureRun(MixingLaws(TASK, trials=5), LogWriter(tmp_path / "c", facts)), stream, dict)
