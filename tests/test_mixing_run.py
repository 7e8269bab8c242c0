"""A run to its end: documents, contexts, their mixture, and the final training order."""

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from pipeline.data import MixtureStream, parquet_groups
from pipeline.inspect import inspect_path
from pipeline.mixing import NAME
from stages.errors import ConfigError, EngineError
from tests.runs import documents, fingerprint, go, tamis, write_config, write_jsonl

CHAIN: list[dict[str, Any]] = [
    {"tokens": {}},
    {"embed": {}},
    {"order": {"mode": "fast", "tokens_from": "tokens"}},
    {"pack": {"context": 64, "refine": False}},
]
SHARES = {"source-0": 0.6, "source-1": 0.2, "source-2": 0.2}
PROXY = {
    "steps": 24,
    "delta": 0.5,
    "batch": 4,
    "window": 16,
    "held": 2,
    "evaluate": 2,
    "rounds": 1,
    "sweeps": 2,
    "block": 8,
}


def _config(tmp_path: Path, name: str, **mixture: Any) -> Path:
    path = tmp_path / "a.jsonl"
    if not path.exists():
        write_jsonl(path, documents(60))
    chain = [*CHAIN, {"mixture": mixture}]
    return write_config(tmp_path / f"{name}.yaml", [path], tmp_path / name, stages=chain, input={"split_mb": 0.01})


def _order(run: Path) -> list[tuple[int, str, list[int]]]:
    return pl.read_parquet(run / "mixed" / "*.parquet").select("sample", "group", "input_ids").rows()


def test_the_order_on_disk_is_the_order_of_the_sampler(tmp_path: Path) -> None:
    finished = go(_config(tmp_path, "run", estimator="temperature", max_epochs=2, block=8))
    run = tmp_path / "run"
    stream = MixtureStream(run / NAME, parquet_groups(run / "contexts"))
    assert _order(run) == [(row["sample"], row["group"], row["input_ids"].tolist()) for row in stream]
    manifest = json.loads((run / "manifest.json").read_text())
    assert sum(file["rows"] for file in manifest["mixed"]["files"]) == len(_order(run))
    assert finished.mixed is not None
    page = (run / "report.html").read_text()
    assert 'id="mixture"' in page
    assert "temperature" in page


def test_workers_do_not_matter_and_a_second_call_does_nothing(tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        go(_config(tmp_path, name, **PROXY), workers=workers)
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")
    assert (tmp_path / "one" / NAME).read_bytes() == (tmp_path / "two" / NAME).read_bytes()
    kept = [p for part in ("data", "contexts", "mixed", "steps") for p in (tmp_path / "one" / part).rglob("*.*")]
    before = {path: path.stat().st_mtime_ns for path in kept if path.is_file()}
    go(_config(tmp_path, "one", **PROXY))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_mixture_leaves_the_contexts(tmp_path: Path) -> None:
    go(_config(tmp_path, "run", estimator="stratified", block=8))
    run = tmp_path / "run"
    before, mixed = {p: p.stat().st_mtime_ns for p in run.glob("contexts/*/*.parquet")}, _order(run)
    go(_config(tmp_path, "run", estimator="given", shares=SHARES, block=8))
    assert {p: p.stat().st_mtime_ns for p in run.glob("contexts/*/*.parquet")} == before
    assert _order(run) != mixed


def test_contexts_of_no_ids_cannot_be_mixed(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(3))
    chain = [*CHAIN[:3], {"pack": {"input_ids": False}}, {"mixture": {}}]
    config = write_config(tmp_path / "c.yaml", [path], tmp_path / "run", stages=chain)
    with pytest.raises(ConfigError, match=r"mixture: needs the tokens of the contexts: set pack.input_ids to true"):
        go(config)


def test_the_stage_alone_is_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(3))
    done = tamis("stage", "mixture", "--input", path)
    assert done.returncode == ConfigError.exit_code
    assert "works on packed contexts" in done.stderr


def test_verify_looks_at_all_that_a_trainer_reads(tmp_path: Path) -> None:
    config, run = _config(tmp_path, "run", estimator="temperature"), tmp_path / "run"
    go(config)
    out = io.StringIO()
    inspect_path(Console(file=out), str(run), rows=1, with_text=False, verify=True, as_json=False)
    files = [path for place in ("data", "dropped", "contexts", "mixed") for path in (run / place).rglob("*.parquet")]
    assert f"verified: {len(files) + 1} files have their recorded hash" in out.getvalue(), "and mixture.jsonl"
    for path in (next((run / "mixed").iterdir()), run / NAME):
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        with pytest.raises(EngineError, match=f"1 shards are missing or differ.*{path.name}: remove them"):
            inspect_path(Console(file=out), str(run), rows=1, with_text=False, verify=True, as_json=False)
        path.write_bytes(whole)
