"""Bringing rows together by part: the file exchange by `map` against the engines' own shuffles, on the same rows.

    python benchmarks/cluster_exchange.py --rows 200000 --json cluster_exchange.json

Rows as `order` gathers them (part, row, id, a vector of 256 floats) in Parquet files. Each way brings the rows of a
part together, sorts them by id, and writes two numbers per part (its rows, the letters of its ids). They must agree.

- files: pieces written by a task per shard, read by a task per part, as in pipeline/exchange.py, on a pool of processes
- ray: Ray Data, `groupby(part).map_groups`
- spark: `repartition(part)` and `groupBy(part).applyInArrow`
"""

import argparse
import json
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from cluster_processes import Usage, run_measured
from peers import BenchmarkError, machine

from pipeline.pieces import Piece, read_pieces, write_pieces
from pipeline.storage import Store

WAYS = ("files", "ray", "spark")
SCHEMA = pa.schema(
    [("part", pa.int32()), ("row", pa.int32()), ("id", pa.string()), ("embedding", pa.list_(pa.float32()))]
)
ANSWER = pa.schema([("part", pa.int32()), ("rows", pa.int64()), ("letters", pa.int64())])
_ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "SPARK_LOCAL_IP": "127.0.0.1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--parts", type=int, default=50)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--work", type=Path, default=Path("/tmp/tamis-cluster-exchange"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        globals()[f"by_{given.one}"](given.work, given.shards, given.parts)
        return
    _make(given)
    rows = [_measured(given, way) for way in given.ways]
    for index, row in enumerate(rows):
        if not index:
            print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
        print("| " + " | ".join(f"{v:,.1f}" if isinstance(v, float) else str(v) for v in row.values()) + " |")
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


def _make(given: argparse.Namespace) -> None:
    """Parts of different sizes: a tenth of them hold half of the rows."""
    shutil.rmtree(given.work, ignore_errors=True)
    (given.work / "in").mkdir(parents=True)
    chance = np.random.default_rng(0)
    weights = np.where(np.arange(given.parts) < given.parts // 10, 9.0, 1.0)
    for shard in range(given.shards):
        count = given.rows // given.shards
        parts = chance.choice(given.parts, size=count, p=weights / weights.sum()).astype(np.int32)
        vectors = pa.array(chance.standard_normal(count * 256, dtype=np.float32))
        offsets = pa.array(np.arange(0, count * 256 + 1, 256, dtype=np.int32))
        columns = [parts, np.arange(count, dtype=np.int32), [f"{shard}-{row}" for row in range(count)]]
        table = pa.table([*columns, pa.ListArray.from_arrays(offsets, vectors)], schema=SCHEMA)
        pq.write_table(table, given.work / "in" / f"{shard:05d}.parquet")


def _measured(given: argparse.Namespace, way: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", way, "--work", str(given.work)]
    usage = run_measured([*command, "--shards", str(given.shards), "--parts", str(given.parts)], _ENVIRONMENT)
    answer = sorted(json.loads((given.work / f"{way}.json").read_text()))
    if answer != sorted(json.loads((given.work / f"{given.ways[0]}.json").read_text())):
        raise BenchmarkError(f"{way} answers otherwise than {given.ways[0]}")
    return {"way": way, "rows": given.rows, "seconds": usage.seconds, **_sums(usage)}


def _sums(usage: Usage) -> dict[str, float]:
    return {"cpu_s": usage.cpu_s, "peak_mb": usage.peak_mb, "written_mb": usage.written_mb}


def solved(table: pa.Table) -> pa.Table:
    """The answer for the rows of one part."""
    table = table.sort_by("id")
    letters = pc.sum(pc.utf8_length(table.column("id"))).as_py()
    return pa.table([[table.column("part")[0].as_py()], [table.num_rows], [letters]], schema=ANSWER)


def scatter(work: Path, shard: int) -> list[tuple[int, Piece]]:
    """The pieces of a shard, one per part."""
    table = pq.read_table(work / "in" / f"{shard:05d}.parquet").sort_by("part")
    keys, begins = np.unique(table.column("part").to_numpy(), return_index=True)
    ends = [*begins[1:].tolist(), table.num_rows]
    batches = [
        table.slice(begin, end - begin).combine_chunks().to_batches()[0]
        for begin, end in zip(begins.tolist(), ends, strict=True)
    ]
    name = f"{shard:05d}.pieces"
    _, stops = write_pieces(Store(str(work / "exchange")), name, batches)
    places = zip([0, *stops[:-1]], stops, strict=True)
    return [(int(key), Piece(name, begin, end)) for key, (begin, end) in zip(keys, places, strict=True)]


def solve(work: Path, pieces: list[Piece]) -> list[Any]:
    """The answer for a part whose rows are in these pieces."""
    found = read_pieces(Store(str(work / "exchange")), pieces, SCHEMA)
    return [list(row.values()) for row in solved(pa.Table.from_batches([b for bs in found for b in bs])).to_pylist()]


def by_files(work: Path, shards: int, parts: int) -> None:
    with ProcessPoolExecutor(2) as pool:
        scattered = list(pool.map(partial(scatter, work), range(shards)))
        pieces = [[piece for found in scattered for key, piece in found if key == part] for part in range(parts)]
        answers = [row for rows in pool.map(partial(solve, work), [found for found in pieces if found]) for row in rows]
    (work / "files.json").write_text(json.dumps(answers))


def by_ray(work: Path, shards: int, parts: int) -> None:
    import ray
    import ray.data

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    data = ray.data.read_parquet(str(work / "in")).groupby("part").map_groups(solved, batch_format="pyarrow")
    (work / "ray.json").write_text(json.dumps([[int(v) for v in row.values()] for row in data.take_all()]))


def by_spark(work: Path, shards: int, parts: int) -> None:
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    rows = session.read.parquet(str(work / "in")).repartition(parts, "part")
    answers = rows.groupBy("part").applyInArrow(solved, "part int, rows long, letters long").collect()
    (work / "spark.json").write_text(json.dumps([list(row) for row in answers]))


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"error: {error}")
