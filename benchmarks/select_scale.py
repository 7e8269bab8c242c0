"""Selection under a token budget: rounds over shards, against one sort of all rows in DuckDB and in polars.

    python benchmarks/select_scale.py [--rows 1000000 10000000] [--repeats 3] [--json FILE]

Synthetic narrow rows (id, source, text_bytes, scores) in Parquet shards; each way in a process of its own, one thread.
benchmarks/README.md says what is compared, and the last figures.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
WORK = Path("~/.cache/tamis-benchmarks/select").expanduser()
SHARD = 20_000
"""Rows of a shard: what 64 MB of text come to."""
SOURCES = 20
BYTES_PER_TOKEN = 4.0
SHARE = 10
"""One token in so many is asked for."""
_SORTED = """
    WITH ranked AS (
        SELECT id, source, tokens, sum(tokens) OVER (
            PARTITION BY source ORDER BY key DESC, hash(id) DESC ROWS UNBOUNDED PRECEDING) AS upto
        FROM (SELECT id, source, ceil(text_bytes / 4.0)::BIGINT AS tokens, rating_overall_score_mean::DOUBLE AS key
              FROM read_parquet('{files}'))
    ), budgets AS (SELECT source, sum(tokens) // {share} AS budget FROM ranked GROUP BY source)
    SELECT count(*), sum(tokens) FROM ranked JOIN budgets USING (source) WHERE upto <= budget
"""


def make_rows(folder: Path, rows: int) -> None:
    """Shards of `rows` documents in all; the same for the same number."""
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    names = np.array([f"source-{number}" for number in range(SOURCES)])
    for number, begin in enumerate(range(0, rows, SHARD)):
        size = min(SHARD, rows - begin)
        means = chance.normal(3.5, 0.6, size).clip(1, 5).astype(np.float32)
        table = pa.table(
            {
                "id": [f"{begin + row:012d}" for row in range(size)],
                "source": names[(chance.random(size) ** 2 * SOURCES).astype(int)],
                "text_bytes": chance.lognormal(7.5, 1.2, size).astype(np.int64) + 20,
                "rating_overall_score": np.round(means).astype(np.int8),
                "rating_overall_score_mean": means,
            }
        )
        pq.write_table(table, folder / f"{number:05d}.parquet", compression="zstd")
    (folder / "done").touch()


def batches(folder: Path) -> Iterator[pa.RecordBatch]:
    for path in sorted(folder.glob("*.parquet")):
        yield pq.read_table(path, use_threads=False).combine_chunks().to_batches()[0]


def total_tokens(folder: Path) -> int:
    bytes_ = (batch.column("text_bytes").to_numpy() for batch in batches(folder))
    return int(sum(np.ceil(found / BYTES_PER_TOKEN).sum() for found in bytes_))


def tamis(folder: Path, method: str) -> dict[str, Any]:
    """Rounds as a run does them, one shard after the other, and then the answer for each row."""
    sys.path.insert(0, str(ROOT))
    from stages.select import Select

    stage = Select(tokens=total_tokens(folder) // SHARE, method=method, bytes_per_token=BYTES_PER_TOKEN)
    began, state, rounds = time.monotonic(), stage.begin(0), []
    while not stage.finished(state):
        begin, partials = time.monotonic(), []
        for rows in batches(folder):
            partials.append(stage.survey(state, rows))
            partials = [stage.merge(partials)] if len(partials) == 16 else partials
        state = stage.reduce(state, stage.merge(partials))
        rounds.append(round(time.monotonic() - begin, 2))
    annotate, documents, tokens = stage.open_with(state), 0, 0
    begin = time.monotonic()
    for rows in batches(folder):
        chosen = annotate(rows).column("select_copies").to_numpy() > 0
        documents += int(chosen.sum())
        tokens += int(np.ceil(rows.column("text_bytes").to_numpy()[chosen] / BYTES_PER_TOKEN).sum())
    return {
        "seconds": time.monotonic() - began,
        "rounds": rounds,
        "answer": round(time.monotonic() - begin, 2),
        "documents": documents,
        "tokens": tokens,
    }


def duck(folder: Path) -> dict[str, Any]:
    import duckdb

    began = time.monotonic()
    connection = duckdb.connect(config={"threads": 1})
    query = _SORTED.format(files=folder / "*.parquet", share=SHARE)
    documents, tokens = connection.execute(query).fetchone()  # type: ignore[misc]
    return {"seconds": time.monotonic() - began, "documents": documents, "tokens": int(tokens)}


def polar(folder: Path) -> dict[str, Any]:
    import polars as pl

    began = time.monotonic()
    rows = pl.read_parquet(folder / "*.parquet").with_columns(
        tokens=(pl.col("text_bytes") / BYTES_PER_TOKEN).ceil().cast(pl.Int64), tie=pl.col("id").hash(0)
    )
    rows = rows.sort(["source", "rating_overall_score_mean", "tie"], descending=[False, True, True])
    upto, budget = pl.col("tokens").cum_sum().over("source"), pl.col("tokens").sum().over("source") // SHARE
    kept = rows.filter(upto <= budget)
    return {"seconds": time.monotonic() - began, "documents": kept.height, "tokens": int(kept["tokens"].sum())}


WAYS = {
    "Tamis, top_k": lambda folder: tamis(folder, "top_k"),
    "Tamis, sample": lambda folder: tamis(folder, "sample"),
    "DuckDB, window over one sort": duck,
    "polars, one sort": polar,
}


def measured(way: str, folder: Path) -> dict[str, Any]:
    """One way in a process of its own, with one thread."""
    command = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
    environment = os.environ | {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.way:
        result = WAYS[given.way](given.folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(json.dumps(result | {"peak_mb": round(peak), "cpu": time.process_time()}))
        return
    found: dict[str, Any] = {}
    for rows in given.rows:
        make_rows(WORK / str(rows), rows)
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(given.repeats):
            for way in WAYS:
                runs[way].append(measured(way, WORK / str(rows)))
        for way, results in runs.items():
            cpu = statistics.median(result["cpu"] for result in results)
            last = results[-1]
            print(f"{rows:>11,}  {way:<30} {cpu:7.1f} CPU s  {last['peak_mb']:6,} MB  {last['documents']:,} documents, "
                  f"{last['tokens']:,} tokens  {last.get('rounds', '')} {last.get('answer', '')}")  # fmt: skip
        found[str(rows)] = runs
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
