"""The final training order on disk: the log's order sample by sample, shares and caps, the same bytes always."""

import itertools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contexts import Contexts
from pipeline.data import Held, MixtureRun, MixtureStream, ParquetContexts, parquet_groups
from pipeline.data.loops import facts_of
from pipeline.engines.local import LocalEngine
from pipeline.mixed import mixed_notes, read_run_log, write_mixed
from pipeline.storage import Store
from stages.errors import ConfigError, InputError
from stages.mixture_aioli import Aioli
from stages.mixture_fixed import Fixed
from stages.mixture_log import LogWriter, MixtureLog, read_log, spans_of
from stages.mixture_task import Task
from stages.tokens import Tokens
from tests.packed import Packed, config, go
from tests.runs import documents, write_jsonl

FILE_MB = 0.02
STEPS, BATCH = 50, 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Contexts]:
    """Contexts of three groups of different sizes, in several files each."""
    folder = tmp_path_factory.mktemp("mixed")
    path = write_jsonl(folder / "a.jsonl", documents(60, 0, 6))
    finished = go(config([path], folder / "run"))
    assert finished.contexts is not None
    return Store(str(folder / "run")), finished.contexts


def task_of(contexts: Contexts, epochs: Any = 20.0, steps: int = STEPS) -> Task:
    sizes = {name: group.contexts for name, group in contexts.groups.items()}
    return Task(sizes, steps, batch=BATCH, seed=1, max_epochs=epochs)


def log_of(path: Path, contexts: Contexts, task: Task, shares: Sequence[float] | None = None) -> MixtureLog:
    """A log of a fixed mixture, or of one that changes."""
    checksums = {name: group.checksum for name, group in contexts.groups.items()}
    writer = LogWriter(path, facts_of(task, checksums, contexts.tokenizer, block=7))
    if shares:
        MixtureRun(Fixed(task, dict(zip(task.groups, shares, strict=True))), writer)
        return read_log(path)
    run = MixtureRun(Aioli(task, rounds=3, hold=0.0, lag=2, delta=0.4), writer)
    for step in range(STEPS + 1):
        run.tell(step, lambda at=step: {name: 5 - at / (20 + 9 * n) for n, name in enumerate(task.groups)})
    return read_log(path)


def by_one(name: str, tasks: Sequence[Any], finished: Callable[[Any], Any], function: Callable[[Any, Any], Any]) -> Any:
    """A phase in this process."""
    return [finished(task) or function(task, lambda *tick: None) for task in tasks]


def with_workers(workers: int) -> Callable[..., Any]:
    def phase(name: str, tasks: Sequence[Any], finished: Any, function: Any) -> Any:
        with LocalEngine(workers) as engine:
            found = dict(engine.map(function, tasks, lambda *tick: None))
        return [found[number] for number in range(len(tasks))]

    return phase


def rows_of(store: Store) -> list[dict[str, Any]]:
    paths = sorted(Path(store.path("mixed")).glob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def test_it_is_the_order_that_a_trainer_is_served(made: tuple[Store, Contexts], tmp_path: Path) -> None:
    store, contexts = made
    log = log_of(tmp_path / "mixture.jsonl", contexts, task_of(contexts))
    assert len(log.entries) > 2
    files = write_mixed(store, "steps/mixture", log, contexts, FILE_MB, by_one)
    assert len(files) > 5
    assert [file.name for file in files] == [f"mixed/{name}" for name in store.names("mixed")]
    sources = parquet_groups(store.path("contexts"), contexts.columns)
    served = list(MixtureStream(tmp_path / "mixture.jsonl", sources))
    rows = rows_of(store)
    assert len(rows) == len(served) == STEPS * BATCH
    for row, sample in zip(rows, served, strict=True):
        assert (row["sample"], row["group"], row["context"]) == (sample["sample"], sample["group"], sample["context"])
        for name in ("input_ids", "begins", "boundaries"):
            assert row[name] == sample[name].tolist()
        assert row["ids"] == sample["ids"]
    schedule = log.schedule()
    assert [row["epoch"] for row in rows] == [schedule.at(n).epoch for n in range(len(rows))]
    assert max(row["epoch"] for row in rows) >= 1
    first = store.path(files[0].name)
    assert pq.read_schema(first).names[:3] == ["sample", "group", "epoch"]
    assert pq.read_metadata(first).metadata[b"tamis.tokenizer"] == b"bytes"


def test_shares_are_as_asked_in_every_block(made: tuple[Store, Contexts], tmp_path: Path) -> None:
    store, contexts = made
    log = log_of(tmp_path / "mixture.jsonl", contexts, task_of(contexts))
    write_mixed(store, "steps/mixture", log, contexts, FILE_MB, by_one)
    groups = [row["group"] for row in rows_of(store)]
    for span in spans_of(log):
        for begin in range(span.begin, span.end, 7):
            block = groups[begin : min(begin + 7, span.end)]
            for name, share in span.mixture.items():
                assert abs(block.count(name) - share * len(block)) < 1


def test_the_same_bytes_with_any_workers(made: tuple[Store, Contexts], tmp_path: Path) -> None:
    store, contexts = made
    log = log_of(tmp_path / "mixture.jsonl", contexts, task_of(contexts))
    one = write_mixed(store, "steps/one", log, contexts, FILE_MB, with_workers(1))
    three = write_mixed(store, "steps/three", log, contexts, FILE_MB, with_workers(3))
    assert one == three
    table = pa.concat_tables(pq.read_table(store.path(file.name)) for file in one)
    (whole,) = write_mixed(store, "steps/whole", log, contexts, 100.0, by_one)
    assert pq.read_table(store.path(whole.name)) == table.combine_chunks()
    assert store.names("mixed") == ["part-00000.parquet"]


def test_a_finished_order_is_not_made_again_and_a_lost_file_is(made: tuple[Store, Contexts], tmp_path: Path) -> None:
    store, contexts = made
    log = log_of(tmp_path / "mixture.jsonl", contexts, task_of(contexts))
    calls: list[int] = []

    def counted(name: str, tasks: Sequence[Any], finished: Any, function: Any) -> Any:
        calls.append(sum(finished(task) is None for task in tasks))
        return by_one(name, tasks, finished, function)

    files = write_mixed(store, "steps/again", log, contexts, FILE_MB, counted)
    assert write_mixed(store, "steps/again", log, contexts, FILE_MB, counted) == files
    store.remove(files[2].name)
    assert write_mixed(store, "steps/again", log, contexts, FILE_MB, counted) == files
    assert calls == [len(files), 1]


def test_a_group_that_runs_out_is_told_of(made: tuple[Store, Contexts], tmp_path: Path) -> None:
    store, contexts = made
    task = task_of(contexts, {"source-0/ä": 1.0, "source-1/ä": 20.0, "source-2/ä": 20.0})
    log = log_of(tmp_path / "mixture.jsonl", contexts, task, [0.5, 0.25, 0.25])
    write_mixed(store, "steps/mixture", log, contexts, FILE_MB, by_one)
    rows = rows_of(store)
    assert len(rows) == STEPS * BATCH
    mine = [row for row in rows if row["group"] == "source-0/ä"]
    assert [row["context"] for row in mine] == list(range(contexts.groups["source-0/ä"].contexts))
    (note,) = mixed_notes(log)
    assert f"group 'source-0/ä' runs out at sample {mine[-1]['sample']:,} of 600: its {len(mine)} contexts" in note
    assert "served 1 times" in note and "Raise max_epochs" in note


def test_when_all_groups_run_out_the_order_ends_there_loudly(made: tuple[Store, Contexts], tmp_path: Path) -> None:
    store, contexts = made
    total = sum(group.contexts for group in contexts.groups.values())
    log = log_of(tmp_path / "mixture.jsonl", contexts, task_of(contexts, steps=STEPS * 2), [0.5, 0.25, 0.25])
    facts = replace(log.facts, allowances={name: group.contexts for name, group in contexts.groups.items()})
    files = write_mixed(store, "steps/mixture", replace(log, facts=facts), contexts, FILE_MB, by_one)
    assert sum(file.rows for file in files) == total < 1200
    notes = mixed_notes(replace(log, facts=facts))
    assert notes[-1].startswith(f"all groups with a share have run out at sample {total}, and 1,200")
    assert len(notes) == 4


def test_contexts_that_changed_since_the_log_are_refused(made: tuple[Store, Contexts], tmp_path: Path) -> None:
    store, contexts = made
    log = log_of(tmp_path / "mixture.jsonl", contexts, task_of(contexts))
    other = replace(log.facts, data={**log.facts.data, "source-1/ä": "0" * 32})
    with pytest.raises(InputError, match="group 'source-1/ä' has changed since the log was written"):
        write_mixed(store, "steps/mixture", replace(log, facts=other), contexts, FILE_MB, by_one)


def test_a_log_that_is_not_complete_is_refused(made: tuple[Store, Contexts], tmp_path: Path) -> None:
    store, contexts = made
    log = log_of(tmp_path / "mixture.jsonl", contexts, task_of(contexts))
    cut = replace(log, entries=log.entries[:1])
    with pytest.raises(InputError, match=r"decides on \d+ samples, expected 600: finish"):
        write_mixed(store, "steps/mixture", cut, contexts, FILE_MB, by_one)


def test_contexts_without_ids_can_be_mixed(made: tuple[Store, Contexts], tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(20, 0, 6))
    contexts = go(config([path], tmp_path / "run", Tokens("bytes"), Packed(input_ids=False))).contexts
    assert contexts is not None
    log = log_of(tmp_path / "mixture.jsonl", contexts, task_of(contexts))
    store = Store(str(tmp_path / "run"))
    write_mixed(store, "steps/mixture", log, contexts, FILE_MB, by_one)
    sources = parquet_groups(store.path("contexts"), contexts.columns)
    served = MixtureStream(tmp_path / "mixture.jsonl", sources)
    assert [(row["group"], row["context"], row["ids"]) for row in rows_of(store)] == [
        (sample["group"], sample["context"], sample["ids"]) for sample in served
    ]


def test_on_s3_it_is_the_same(made: tuple[Store, Contexts], tmp_path: Path, s3_url: str) -> None:
    here, contexts = made
    url = f"{s3_url}/{uuid.uuid4().hex}"
    there = Store(url)
    for file in (file for group in contexts.groups.values() for file in group.files):
        with here.open(file.name) as source, there.create(file.name) as sink:
            sink.write(source.read())
    log = log_of(tmp_path / "mixture.jsonl", contexts, task_of(contexts))
    for store in (there, here):
        with store.create("mixture.jsonl") as sink:
            sink.write((tmp_path / "mixture.jsonl").read_bytes())
        assert read_run_log(store) == log
    assert write_mixed(there, "steps/s3", log, contexts, FILE_MB, by_one) == write_mixed(
        here, "steps/s3", log, contexts, FILE_MB, by_one
    )


def test_a_range_of_contexts_is_a_source(made: tuple[Store, Contexts]) -> None:
    import pickle

    store, contexts = made
    source = parquet_groups(store.path("contexts"), contexts.columns)["source-1/ä"]
    assert isinstance(source, ParquetContexts)
    size, edges = len(source), np.linspace(0, len(source), 7, dtype=int).tolist()
    for begin, end in itertools.combinations(edges, 2):
        held = pickle.loads(pickle.dumps(Held(source, begin, end)))
        assert len(held) == end - begin
        assert [row["context"] for row in held.rows(0, end - begin)] == list(range(begin, end))
        assert held.table().column("context").to_pylist() == list(range(begin, end))
    assert len(pickle.dumps(Held(source, 0, 1))) < len(pickle.dumps(source))
    assert len(Held(source, 5, 5).rows(0, 0)) == 0
    assert Held(Held(source, 10, 30), 5, 9).rows(1, 2)[0]["context"] == 16
    assert Held(source, 0, 5).checksum == f"{source.checksum}[0:5]"
    with pytest.raises(ConfigError, match=f"found contexts 3 to {size + 1}, expected a range of the {size} there are"):
        Held(source, 3, size + 1)
