"""A whole run on one machine: the same bytes however it is run, nothing done twice, nothing stale."""

import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from pipeline import run as run_module
from pipeline.config import RunConfig
from pipeline.plan import Plan
from stages.errors import ConfigError, InputError, NothingKept
from tests.runs import documents, fingerprint, go, tamis, write_config, write_jsonl

KEEP = [{"language": {"keep": ["en", "de", "fr"]}}]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three files of unequal size, the first larger than several splits."""
    folder = tmp_path_factory.mktemp("corpus")
    return [
        write_jsonl(folder / "large.jsonl", documents(1500, seed=1)),
        write_jsonl(folder / "small.jsonl", documents(40, seed=2)),
        write_jsonl(folder / "tiny.jsonl", documents(3, seed=3)),
    ]


def _config(folder: Path, corpus: list[Path], name: str = "run") -> Path:
    sizes = {"input": {"split_mb": 0.2}, "shards": {"text_mb": 0.3, "row_group_mb": 0.1}}
    return write_config(folder / f"{name}.yaml", corpus, folder / name, stages=KEEP, **sizes)


def test_the_result_holds_what_the_ledger_says(tmp_path: Path, corpus: list[Path]) -> None:
    finished = go(_config(tmp_path, corpus))
    run = tmp_path / "run"
    kept = duckdb.sql(f"SELECT id, text, lang FROM '{run}/data/*.parquet'").fetchall()
    dropped = duckdb.sql(f"SELECT id, dropped_by, drop_reason FROM '{run}/dropped/*.parquet'").fetchall()
    given = {row["id"]: row for path in corpus for row in map(json.loads, path.read_text().splitlines())}
    assert finished.ledger.read == len(given) == 1543
    assert (len(kept), len(dropped)) == (finished.ledger.kept, finished.ledger.dropped_total)
    assert sorted(id_ for id_, *_ in [*kept, *dropped]) == sorted(given)
    assert all(given[id_]["text"] == text for id_, text, _ in kept)
    assert {lang for *_, lang in kept} == {"en", "de", "fr"}
    assert {(stage, reason) for _, stage, reason in dropped} >= {("language", "not_kept")}
    assert all(given[id_]["made_in"] not in ("en", "de", "fr") for id_, _, reason in dropped if reason == "not_kept")


def test_kept_documents_stand_in_input_order(tmp_path: Path, corpus: list[Path]) -> None:
    go(_config(tmp_path, corpus))
    ids = [
        i for part in sorted((tmp_path / "run/data").iterdir()) for i in pq.read_table(part).column("id").to_pylist()
    ]
    order = {
        row["id"]: n for n, row in enumerate(r for s in (1, 2, 3) for r in documents((1500, 40, 3)[s - 1], seed=s))
    }
    assert ids == sorted(ids, key=order.__getitem__)


def test_sizes_of_shards_and_row_groups(tmp_path: Path, corpus: list[Path]) -> None:
    go(_config(tmp_path, corpus))
    parts = sorted((tmp_path / "run/data").iterdir())
    assert len(parts) > 1
    for part in parts:
        file = pq.ParquetFile(part)
        groups = [file.read_row_group(i, ["text"]).column("text") for i in range(file.num_row_groups)]
        sizes = [sum(len(text.encode()) for text in group.to_pylist()) for group in groups]
        assert max(sizes) <= 100_000
        assert sum(sizes) <= 300_000


def test_the_same_bytes_with_any_number_of_workers(tmp_path: Path, corpus: list[Path]) -> None:
    found = []
    for workers in (1, 2, 4):
        go(_config(tmp_path, corpus, f"w{workers}"), workers=workers)
        found.append(fingerprint(tmp_path / f"w{workers}"))
    assert found[0] == found[1] == found[2]


def test_a_look_with_limit_leaves_the_run_as_it_is(tmp_path: Path, corpus: list[Path]) -> None:
    undisturbed = _config(tmp_path, corpus, "a")
    go(undisturbed)
    looked = _config(tmp_path, corpus, "b")
    peek = go(looked, limit=10)
    assert peek.ledger.read == 10
    assert not (tmp_path / "b").exists()
    go(looked)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")


def test_a_finished_run_does_nothing_again(tmp_path: Path, corpus: list[Path]) -> None:
    config = _config(tmp_path, corpus)
    first = go(config)
    times = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.parquet") if "quarantine" not in str(path)
    }
    again = go(config)
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert again.ledger == first.ledger


def test_a_changed_threshold_runs_no_model_and_the_way_back_gives_the_same_bytes(
    tmp_path: Path, corpus: list[Path]
) -> None:
    config = _config(tmp_path, corpus)
    go(config)
    before = fingerprint(tmp_path / "run")
    sidecars = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("steps/01-language-*/*.parquet")}
    changed = go(config, "language.keep=[ru]")
    assert 0 < changed.ledger.kept < changed.ledger.read
    assert {
        lang for (lang,) in duckdb.sql(f"SELECT DISTINCT lang FROM '{tmp_path}/run/data/*.parquet'").fetchall()
    } == {"ru"}
    assert sidecars
    assert sidecars == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("steps/01-language-*/*.parquet")
    }
    go(config)
    assert fingerprint(tmp_path / "run") == before


def test_a_changed_input_file_is_read_again(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(20))
    config = write_config(tmp_path / "c.yaml", [path], tmp_path / "run", stages=[])
    assert go(config).ledger.read == 20
    write_jsonl(path, documents(25))
    assert go(config).ledger.read == 25


def test_nothing_kept_explains_itself_and_leaves_samples(tmp_path: Path, corpus: list[Path]) -> None:
    with pytest.raises(NothingKept, match=r"of 1,543 read\. Dropped: .*language: not_kept"):
        go(_config(tmp_path, corpus), "language.keep=[ja]")
    rows = [row for part in (tmp_path / "run/dropped").iterdir() for row in pq.read_table(part).to_pylist()]
    assert len(rows) == 1543
    assert 0 < sum(row["text"] is not None for row in rows) < 400


def test_a_run_without_stages_only_reads_and_writes(tmp_path: Path, corpus: list[Path]) -> None:
    finished = go(write_config(tmp_path / "c.yaml", corpus, tmp_path / "run", stages=[]))
    assert finished.ledger.kept == 1543
    assert pq.read_schema(tmp_path / "run/data/part-00000.parquet").names == ["id", "text", "source", "metadata"]


def test_from_s3_to_s3_gives_the_bytes_of_a_local_run(tmp_path: Path, corpus: list[Path], s3_url: str) -> None:
    import s3fs

    store = s3fs.S3FileSystem()
    for path in corpus:
        store.put(str(path), f"{s3_url}/in/{path.name}")
    config = write_config(tmp_path / "c.yaml", [f"{s3_url}/in/*.jsonl"], f"{s3_url}/run", stages=KEEP)
    remote = go(config, workers=2)
    local = go(write_config(tmp_path / "l.yaml", [f"{s3_url}/in/*.jsonl"], tmp_path / "run", stages=KEEP))
    assert remote.ledger == local.ledger
    assert [part.data for part in remote.parts] == [part.data for part in local.parts]
    again = go(config)
    assert again.ledger == remote.ledger


def test_the_command_prints_the_ledger(tmp_path: Path, corpus: list[Path]) -> None:
    done = tamis("run", _config(tmp_path, corpus), "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("read 1,543 = kept ")
    assert "  language: " in done.stdout


def test_a_directory_of_others_is_never_written_to(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "project/data/mine.jsonl", documents(5))
    notes = tmp_path / "project/records/notes.txt"
    notes.parent.mkdir()
    notes.touch()
    with pytest.raises(ConfigError, match="no run directory of Tamis"):
        go(write_config(tmp_path / "c.yaml", [path], tmp_path / "project"))
    assert path.exists()
    assert notes.exists()
    assert sorted(entry.name for entry in (tmp_path / "project").iterdir()) == ["data", "records"]


def test_a_run_is_never_its_own_input(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(5))
    go(write_config(tmp_path / "c.yaml", [path], tmp_path / "run"))
    part = tmp_path / "run/data/part-00000.parquet"
    with pytest.raises(ConfigError, match="holds the input"):
        go(write_config(tmp_path / "d.yaml", [part], tmp_path / "run"))
    assert part.exists()


def test_an_input_that_changes_while_it_is_read_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(20))
    config = write_config(tmp_path / "c.yaml", [path], tmp_path / "run", stages=[])
    make = run_module.make_plan

    def changed_after_listing(config: RunConfig) -> Plan:
        plan = make(config)
        write_jsonl(path, documents(3))
        return plan

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "make_plan", changed_after_listing)
        with pytest.raises(InputError, match="changed while it was read"):
            go(config)
    assert go(config).ledger.read == 3


def test_names_like_partitions_in_the_output_mean_nothing(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(20))
    finished = go(write_config(tmp_path / "c.yaml", [path], tmp_path / "id=5" / "lang=de"))
    assert finished.ledger.quarantined == {}
    assert finished.ledger.read == 20


def test_large_metadata_and_many_sources_stay_bounded(tmp_path: Path) -> None:
    rows = [{"text": f"Text number {n}.", "source": f"site-{n}", "html": "x" * 40_000} for n in range(1500)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    finished = go(write_config(tmp_path / "c.yaml", [path], tmp_path / "run", stages=[], shards={"row_group_mb": 4}))
    assert finished.ledger.kept == 1500
    assert len(finished.totals.facts.by_source) == 1001
    assert pq.ParquetFile(tmp_path / "run/data/part-00000.parquet").num_row_groups >= 15
    assert (tmp_path / "run/report.html").stat().st_size < 100_000


def test_where_little_is_kept_parts_do_not_grow_with_the_corpus(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "a.jsonl",
        [*documents(3000), {"id": "ja", "text": "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3067\u3059\u3002"}],
    )
    sizes = {"input": {"split_mb": 0.05}, "shards": {"text_mb": 0.05}}
    finished = go(write_config(tmp_path / "c.yaml", [path], tmp_path / "run", **sizes), "language.keep=[ja]")
    assert finished.ledger.kept == 1
    assert len(finished.parts) > 2
