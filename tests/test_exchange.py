"""Group stages: rows of one part meet however they lie in shards, and an exchange cut short goes on."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

import stages
from pipeline import exchange_tasks, parts
from pipeline.config import InputConfig, RunConfig, ShardsConfig
from pipeline.engines.local import LocalEngine
from pipeline.exchange_tasks import PiecesRecord, gather_tasks, solve_tasks
from pipeline.manifest import Finished
from pipeline.pieces import read_pieces, write_pieces
from pipeline.plan import make_plan
from pipeline.records import FileRecord
from pipeline.run import run
from pipeline.single import StageRequest, run_stage
from pipeline.storage import Store
from pipeline.verdicts import Shard
from stages.contract import Stage, gathers, has_survey, is_group, is_survey
from stages.errors import ConfigError, ContractError, EngineError, NothingRead
from tests import exchange_run
from tests.runs import documents, fingerprint, write_jsonl
from tests.tiny import Above, Echo, Length, RankParts, Ranks, part_of

ROUNDS = int(os.environ.get("TAMIS_FAULT_ROUNDS", "4"))
COMMAND = [sys.executable, "-m", "tests.exchange_run"]
CHAIN = (Length(least=30), Ranks(), Above(), Echo())


@pytest.fixture
def paths(tmp_path: Path) -> tuple[str, ...]:
    """Three files, the last with an id of the first."""
    rows = [documents(count, seed=count) for count in (120, 40, 7)]
    rows[2][0]["id"] = rows[0][0]["id"]
    return tuple(str(write_jsonl(tmp_path / f"{n}.jsonl", found)) for n, found in enumerate(rows))


def config(paths: tuple[str, ...], output: Path, *chain: Stage, split_mb: float = 0.03) -> RunConfig:
    input_ = InputConfig(paths=paths, split_mb=split_mb, max_bad_fraction=0.1)
    return RunConfig(input_, str(output), chain or CHAIN, ShardsConfig(text_mb=1), 0)


def go(made: RunConfig, workers: int = 1) -> Finished:
    with LocalEngine(workers) as engine:
        return run(made, engine, Console(quiet=True))


def rows_of(output: Path) -> dict[str, dict[str, Any]]:
    files = [*(output / "data").iterdir(), *(output / "dropped").iterdir()]
    return {row["id"]: row for file in files for row in pq.read_table(file).drop_columns("text").to_pylist()}


def measures_of(output: Path) -> Any:
    """What was measured, as it is kept."""
    (file,) = output.glob("steps/02-ranks-*/measured.json")
    return json.loads(file.read_bytes())


def oracle(lengths: dict[str, int], count: int) -> dict[str, tuple[int, list[str]]]:
    """Rank and part by a plain loop."""
    members: dict[int, list[str]] = {}
    for id_, length in lengths.items():
        members.setdefault(part_of(id_, length, count), []).append(id_)
    return {
        id_: (rank, [str(part), min(ids), max(ids)])
        for part, ids in members.items()
        for rank, id_ in enumerate(sorted(ids, key=lambda id_: (lengths[id_], id_)))
    }


def test_each_row_is_ranked_in_its_part(tmp_path: Path, paths: tuple[str, ...]) -> None:
    finished = go(config(paths, tmp_path / "run"))
    assert len(list((tmp_path / "run").glob("steps/00-read-*/*.parquet"))) > 5
    rows = rows_of(tmp_path / "run")
    expected = oracle({id_: row["length"] for id_, row in rows.items() if row["length"] >= 30}, Ranks().parts)
    assert {i: (r["rank"], r["part_ids"]) for i, r in rows.items() if r["rank"] is not None} == expected
    assert {part for _, (part, *_) in expected.values()} == {"-1", *map(str, range(5))}
    firsts = {id_ for id_, (rank, _) in expected.items() if rank == 0}
    assert {i for i, row in rows.items() if row.get("dropped_by") == "ranks"} == firsts
    counts = finished.funnel[1]
    assert (counts.stage, counts.entered, counts.dropped) == ("ranks", len(expected), {"first": len(firsts)})
    assert all(row["above"] is None for i, row in rows.items() if i in firsts)
    assert finished.ledger.quarantined == {"repeated_id": 1}
    assert finished.surveys["ranks"].notes == ("0 rows", f"{len(expected)} rows in 6 parts")
    longest = max(row["length"] for id_, row in rows.items() if id_ in expected)
    assert finished.surveys["ranks result"].rows == (("longest", longest),)
    assert not list((tmp_path / "run").rglob("exchange"))
    assert {"ranks scatter", "ranks solve", "ranks gather"} <= finished.seconds.keys()


def test_workers_and_files_do_not_matter(
    tmp_path: Path, paths: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    go(config(paths, tmp_path / "a"))
    go(config(paths, tmp_path / "b"), workers=2)
    monkeypatch.setattr(exchange_tasks, "TASK_BYTES", 0)
    go(config(paths, tmp_path / "c"))
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b") == fingerprint(tmp_path / "c")
    go(config(paths[:2], tmp_path / "d"))
    go(config(paths[1::-1], tmp_path / "e", split_mb=100))
    assert rows_of(tmp_path / "d") == rows_of(tmp_path / "e")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    count=st.sampled_from([1, 2, 7, 2**31 - 1]),
    task_bytes=st.sampled_from([0, 1000, 10**9]),
)
def test_any_cut_and_any_number_of_parts(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[int],
    count: int,
    task_bytes: int,
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    monkeypatch.setattr(exchange_tasks, "TASK_BYTES", task_bytes)
    numbers = itertools.count()
    files = [[{"id": f"d{n}", "text": "x" * (n % 9 + 1)} for n in itertools.islice(numbers, size)] for size in sizes]
    files.append([{"id": "last", "text": "kept always"}, {"id": "other", "text": "kept always!"}])
    paths = tuple(str(write_jsonl(folder / f"{n}.jsonl", rows)) for n, rows in enumerate(files))
    go(config(paths, folder / "run", Length(), Ranks(parts=count, drop_first=False), split_mb=0.0002))
    rows = rows_of(folder / "run")
    assert len(rows) == sum(map(len, files))
    expected = oracle({id_: row["length"] for id_, row in rows.items()}, count)
    assert {id_: (row["rank"], row["part_ids"]) for id_, row in rows.items()} == expected


def test_shards_without_rows_and_no_rows_at_all(tmp_path: Path, paths: tuple[str, ...]) -> None:
    short = write_jsonl(tmp_path / "short.jsonl", [{"id": f"s{n}", "text": "x"} for n in range(9)])
    go(config((str(short), *paths), tmp_path / "some"))
    rows = rows_of(tmp_path / "some")
    assert all(rows[f"s{n}"]["rank"] is None for n in range(9))
    with pytest.raises(Exception, match="dropped"):
        go(config((str(short),), tmp_path / "none"))
    (sidecar,) = (tmp_path / "none").glob("steps/02-ranks-*/*.parquet")
    assert pq.read_table(sidecar).num_rows == 0
    assert pq.read_schema(sidecar).names == ["row", "id", *Ranks().adds.names]
    assert measures_of(tmp_path / "none") is None


def test_thousands_of_parts_share_tasks(tmp_path: Path) -> None:
    file = FileRecord("a.pieces", 1, 1, 1, "")
    records = [PiecesRecord(file, tuple(range(n, 9000, 2)), tuple(range(1000, 9_000_000, 2000))) for n in (0, 1)]
    steps = make_plan(config((str(write_jsonl(tmp_path / "a.jsonl", documents(2))),), tmp_path / "run")).batch[:2]
    tasks = solve_tasks(Store(str(tmp_path)), steps, records)
    assert [(task.first, task.last) for task in tasks] == [(0, 8999)]
    assert [(piece.begin, piece.end) for piece in tasks[0].pieces] == [(0, record.ends[-1]) for record in records]
    assert solve_tasks(Store(str(tmp_path)), steps, [PiecesRecord(file, (), ())]) == []


def test_a_large_part_is_a_task_of_its_own(
    tmp_path: Path, paths: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_tasks, "TASK_BYTES", 100)
    file = FileRecord("a.pieces", 1, 1, 1, "")
    records = [PiecesRecord(file, (-1, 3, 4, 9), (40, 80, 500, 520)), PiecesRecord(file, (3, 9), (20, 30))]
    steps = make_plan(config(paths, tmp_path / "run")).batch[:2]
    tasks = solve_tasks(Store(str(tmp_path)), steps, records)
    assert [(task.first, task.last, task.shards) for task in tasks] == [
        (-1, 3, (0, 1)), (4, 4, (0,)), (9, 9, (0, 1))
    ]  # fmt: skip
    done = [PiecesRecord(file, task.shards, tuple(range(5, 5 + len(task.shards)))) for task in tasks]
    shards = [Shard(FileRecord(f"s{n}", 1, 1, 1, "")) for n in range(2)]
    gathered = gather_tasks(Store(str(tmp_path)), steps[-1], shards, records, done)
    assert [[(piece.begin, piece.end) for piece in task.pieces] for task in gathered] == [
        [(0, 5), (0, 5), (0, 5)], [(5, 6), (5, 6)]
    ]  # fmt: skip


@pytest.mark.parametrize("point", range(0, 35, 5))
def test_a_run_cut_short_at_any_write_goes_on(
    tmp_path: Path, paths: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    monkeypatch.setattr(exchange_tasks, "TASK_BYTES", 3000)
    chain = (Length(least=30), Ranks(rounds=1))
    go(config(paths, tmp_path / "whole", *chain))
    count = itertools.count(-point)
    create = Store.create

    def failing(store: Store, name: str) -> Any:
        if ("ranks" in name or "/exchange/" in name) and next(count) >= 0:
            raise OSError("No space left on device")
        return create(store, name)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(Store, "create", failing)
        go(config(paths, tmp_path / "run", *chain))
    before = {path: path.stat().st_mtime_ns for path in _records(tmp_path / "run")}
    with monkeypatch.context() as patch:
        patch.setattr(Length, "open", _never)
        solved = _counted(patch, RankParts, "solve")
        go(config(paths, tmp_path / "run", *chain))
    assert len(solved) <= 6
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "whole")
    assert measures_of(tmp_path / "run") == measures_of(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == when for path, when in before.items() if path.exists())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], dict[str, str], float]:
    """Input, and the fingerprint of a run in a process of its own, and its seconds."""
    folder = tmp_path_factory.mktemp("undisturbed")
    paths = [write_jsonl(folder / f"{n}.jsonl", documents(count, seed=n)) for n, count in enumerate((600, 300, 20))]
    began = time.monotonic()
    subprocess.run([*COMMAND, folder / "run", "1", *paths], check=True)
    return paths, fingerprint(folder / "run"), time.monotonic() - began


@pytest.mark.parametrize("number", range(ROUNDS))
def test_sigkill_at_a_random_moment(
    tmp_path: Path, undisturbed: tuple[list[Path], dict[str, str], float], number: int
) -> None:
    paths, expected, seconds = undisturbed
    process = subprocess.Popen([*COMMAND, tmp_path / "run", "1", *paths])
    time.sleep(random.Random(number).uniform(0.3, 0.98) * seconds)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    subprocess.run([*COMMAND, tmp_path / "run", "2", *paths], check=True)
    assert fingerprint(tmp_path / "run") == expected
    assert measures_of(tmp_path / "run") == measures_of(paths[0].parent / "run")


def test_on_s3_it_is_the_same(tmp_path: Path, paths: tuple[str, ...], s3_url: str) -> None:
    files = [Path(path) for path in paths[:2]]
    short = write_jsonl(tmp_path / "short.jsonl", [{"id": "s", "text": "x"}])
    exchange_run.go(exchange_run.config([*files, short], tmp_path / "run"))
    url = f"{s3_url}/{uuid.uuid4().hex}"
    exchange_run.go(exchange_run.config([*files, short], url))
    there, here = Store(url), Store(str(tmp_path / "run"))
    assert there.names("data") == here.names("data")
    for name in there.names("data"):
        with there.open(f"data/{name}") as one, here.open(f"data/{name}") as other:
            assert one.read() == other.read()
    (step,) = (name for name in there.names("steps") if "ranks" in name)
    assert "exchange" not in there.names(f"steps/{step}")


def _records(output: Path) -> Iterator[Path]:
    return output.glob("steps/02-ranks-*/**/*.json")


def _never(stage: object) -> object:
    raise AssertionError("an annotation was made again")


def _counted(patch: pytest.MonkeyPatch, kind: type, name: str) -> list[str]:
    calls: list[str] = []
    method = getattr(kind, name)

    def counting(*given: Any) -> Any:
        calls.append(name)
        return method(*given)

    patch.setattr(kind, name, counting)
    return calls


def test_what_is_gathered_is_not_made_again(
    tmp_path: Path, paths: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = go(config(paths, tmp_path / "run"))
    before = fingerprint(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Ranks, "open_parts", _never)
        assert go(config(paths, tmp_path / "run")).surveys == first.surveys
        again = go(config(paths, tmp_path / "run", CHAIN[0], Ranks(drop_first=False), *CHAIN[2:]))
    assert again.funnel[1].dropped == {}
    assert "ranks solve" not in again.seconds
    assert again.surveys["ranks result"] == first.surveys["ranks result"]
    (sidecar, *_) = sorted((tmp_path / "run").glob("steps/02-ranks-*/*.parquet"))
    content, measures = sidecar.read_bytes(), measures_of(tmp_path / "run")
    sidecar.unlink()
    go(config(paths, tmp_path / "run"))
    assert sidecar.read_bytes() == content
    assert measures_of(tmp_path / "run") == measures
    assert {name: value for name, value in fingerprint(tmp_path / "run").items() if name in before} == before


def test_a_removal_cut_short_is_finished(tmp_path: Path, paths: tuple[str, ...]) -> None:
    go(config(paths, tmp_path / "run"))
    (step,) = (tmp_path / "run").glob("steps/02-ranks-*")
    (step / "exchange/solved").mkdir(parents=True)
    go(config(paths, tmp_path / "run"))
    assert not (step / "exchange").exists()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("one row less", r"answered \d+ rows for \d+"),
        ("other name", "answered with columns rank: int64, x"),
        ("other type", r"gave parts of int64 \(\d+,\) for \d+ rows, expected an int32 array"),
        ("one part less", r"gave parts of int32 \(\d+,\) for"),
        ("too small", r"gave part -10, expected -1 or more"),
    ],
)
def test_a_broken_contract_is_named(tmp_path: Path, paths: tuple[str, ...], answer: str, message: str) -> None:
    with pytest.raises(ContractError, match=f"stage 'ranks' {message}"):
        go(config(paths, tmp_path / "run", Length(), Ranks(answer=answer)))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_part_that_fails_is_named_without_its_text(tmp_path: Path, paths: tuple[str, ...], workers: int) -> None:
    with pytest.raises(EngineError) as error:
        go(config(paths, tmp_path / "run", Length(), Ranks(fail_on=3)), workers)
    assert "stage 'ranks' failed to solve part 3 of" in str(error.value)
    assert "ValueError in tiny.py line" in str(error.value)
    assert "digest" not in str(error.value)
    assert error.value.__suppress_context__


def test_a_part_that_cannot_be_measured_is_named_without_its_text(tmp_path: Path, paths: tuple[str, ...]) -> None:
    with pytest.raises(EngineError, match=r"failed to measure part -1 of .* ValueError in tiny\.py") as error:
        go(config(paths, tmp_path / "run", Length(), Ranks(answer="not measured")))
    assert "digest" not in str(error.value)


@pytest.mark.parametrize("cut", [0, 3000, 10**9])
def test_measures_do_not_depend_on_how_parts_share_tasks(
    tmp_path: Path, paths: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    monkeypatch.setattr(exchange_tasks, "TASK_BYTES", cut)
    finished = go(config(paths, tmp_path / "run", Length(least=30), Ranks()))
    entered = finished.funnel[1].entered
    assert {**measures_of(tmp_path / "run"), "longest": 0} == {"parts": [*range(-1, 5)], "rows": entered, "longest": 0}


def test_an_error_that_explains_itself_comes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(self: object, rows: pa.RecordBatch) -> None:
        raise ConfigError("too few rows")

    monkeypatch.setattr(RankParts, "part", refusing)
    with pytest.raises(ConfigError, match="too few rows"):
        parts.placed(Ranks(), RankParts(Ranks()), _batch(["a"]))


def test_rows_that_no_batch_can_hold_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflowing(batches: object) -> None:
        raise pa.ArrowInvalid("offset overflow while concatenating arrays")

    monkeypatch.setattr(pa, "concat_batches", overflowing)
    with pytest.raises(EngineError, match="2 rows that belong together hold more than 2 GiB in one column"):
        parts.one_batch([_batch(["a", "b"])], _batch([]).schema)


def _batch(ids: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"id": id_, "length": 2, "text_bytes": 2} for id_ in ids],
        schema=pa.schema([("id", pa.string()), ("length", pa.int64()), ("text_bytes", pa.int64())]),
    )


def test_text_is_not_gathered(tmp_path: Path, paths: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranks, "reads", ("text", "length"))
    with pytest.raises(ConfigError, match=r"stages\[1\]\.ranks: a group stage cannot read 'text'"):
        make_plan(config(paths, tmp_path / "run"))


def test_what_kind_a_stage_is() -> None:
    assert [is_group(stage) for stage in CHAIN] == [False, True, False, False]
    assert [is_survey(stage) for stage in CHAIN] == [False, False, True, False]
    assert [has_survey(stage) for stage in CHAIN] == [False, True, True, False]
    assert gathers(Ranks()) == ("id", "length", "text_bytes")


@pytest.mark.parametrize("open_store", [str, lambda path: f"file://{path}"], ids=["disk", "fsspec"])
def test_pieces_come_back_by_their_bytes(tmp_path: Path, open_store: Callable[[Path], str]) -> None:
    store, chance = Store(open_store(tmp_path)), random.Random(3)
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), ("v", pa.list_(pa.float32())), ("n", pa.int8())])
    rows = [{"id": f"é{n}", "v": chance.choice([None, [], [float(n), 2.0]]), "n": n % 9 or None} for n in range(50)]
    whole = pa.RecordBatch.from_pylist(rows, schema=schema)
    batches = [whole.slice(begin, end - begin) for begin, end in itertools.pairwise([0, 7, 7, 30, 50])]
    record, ends = write_pieces(store, "a/b.pieces", batches)
    assert (record.rows, record.size) == (50, ends[-1])
    begins = (0, *ends[:-1])
    pieces = [exchange_tasks.Piece("a/b.pieces", *pair) for pair in zip(begins, ends, strict=True)]
    assert read_pieces(store, pieces, schema) == [[batch] for batch in batches]
    (several,) = read_pieces(store, [exchange_tasks.Piece("a/b.pieces", ends[0], ends[3])], schema)
    assert pa.Table.from_batches(several) == pa.Table.from_batches(batches[1:])


def test_one_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(stages, "stage_class", lambda name: Ranks)
    rows = [{"id": f"d{n}", "text": "x", "length": n * 7 % 50} for n in range(600)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    request = StageRequest("ranks", (str(path),), str(tmp_path / "out.parquet"), ("rounds=1",), limit=590)
    run_stage(Console(width=200), request)
    out = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["id"] for row in out] == [f"d{n}" for n in range(590)]
    expected = oracle({row["id"]: row["length"] for row in rows[:590]}, 5)  # type: ignore[misc]
    assert {row["id"]: (row["rank"], row["part_ids"]) for row in out} == expected
    assert [row["drop_reason"] for row in out] == ["first" if row["rank"] == 0 else None for row in out]
    said = capsys.readouterr().out
    assert "590 rows\n" in said
    assert "590 rows in 6 parts\n" in said
    (tmp_path / "bad.jsonl").write_text("broken\n")
    with pytest.raises(NothingRead, match="no document in"):
        run_stage(Console(width=200), StageRequest("ranks", (str(tmp_path / "bad.jsonl"),)))


def test_solved_rows_keep_their_order() -> None:
    rows = _batch([f"d{n * 7 % 40}" for n in range(40)])
    stage = Ranks()
    numbers = parts.placed(stage, RankParts(stage), rows)
    answer = parts.solved(stage, RankParts(stage), numbers, rows)
    expected = oracle(dict.fromkeys(rows.column("id").to_pylist(), 2), 5)
    found = zip(*(answer.column(name).to_pylist() for name in answer.schema.names), strict=True)
    assert dict(zip(rows.column("id").to_pylist(), found, strict=True)) == expected
    assert parts.solved(stage, RankParts(stage), np.zeros(0, np.int32), rows.slice(40)).num_rows == 0
