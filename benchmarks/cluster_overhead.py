"""The same work on local, Ray and Spark with two workers; and how it grows with the number of shards.

    python benchmarks/cluster_overhead.py --chains language --megabytes 120 --rounds 1 --json cluster_overhead.json
    python benchmarks/cluster_overhead.py --chains all --megabytes 40 --rounds 1 --shards

Overhead: the same chain on the same documents. A run of a few documents is the start-up; the rest of a run's seconds is
the steady state, whose documents/s are compared with those of local; an input of seconds gives no such rate. Memory is
the sum over all processes, shared pages counted once. Scaling: one shard's documents as 1, 10 and 100 shards; work per
document, memory of the driver and bytes written (run directory, exchange, and what an engine spills) should stay as
they are.
"""

import argparse
import json
import random
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from cluster_processes import Usage, run_measured
from corpus import data_directory, make_corpus
from peers import BenchmarkError, machine

ENGINES = ("local", "ray", "spark")
CHAINS = {
    "language": "  - language: {min_score: 0}\n",
    "all": "  - dedup: {}\n  - language: {min_score: 0}\n  - perplexity: {}\n  - rating: {}\n  - tokens: {}\n"
    "  - embed: {}\n  - order: {by: [source], bucket: 2000, tokens_from: tokens}\n  - pack: {by: [source]}\n",
    "order": "  - language: {min_score: 0}\n  - embed: {}\n  - order: {by: [source], bucket: 2000}\n",
}
"""The overhead is measured of the first two, the scaling of the last."""
SPLITS = 16
"""Of the overhead's input, and so tasks of a phase: what a task costs by itself is the matter of the scaling."""
_ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "SPARK_LOCAL_IP": "127.0.0.1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=20.0, help="text of the overhead's input")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shard-documents", type=int, default=100, help="of the scaling's shards")
    parser.add_argument("--shards", type=int, nargs="*", default=[1, 10, 100])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--chains", nargs="*", default=["language", "all"], choices=CHAINS, help="of the overhead")
    parser.add_argument("--work", type=Path, default=Path("/tmp/tamis-cluster-overhead"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"machine": machine()}
    found["overhead"] = [row for chain in given.chains for row in _overhead(given, chain)]
    found["scaling"] = [_scaled(given, engine, shards) for shards in given.shards for engine in given.engines]
    _show(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


def _overhead(given: argparse.Namespace, chain: str) -> list[dict[str, Any]]:
    large, small = given.work / "large.jsonl", given.work / "small.jsonl"
    make_corpus(data_directory(), large, given.megabytes)
    lines = large.read_bytes().splitlines(keepends=True)
    small.write_bytes(b"".join(lines[:20]))
    split = given.megabytes / SPLITS
    runs: dict[str, list[tuple[Usage, Usage]]] = {engine: [] for engine in given.engines}
    for number in range(given.rounds):
        for engine in given.engines:
            pair = [
                _measured(given, engine, source, f"{chain}-{source.stem}-{engine}-{number}", CHAINS[chain], split)
                for source in (small, large)
            ]
            runs[engine].append((pair[0], pair[1]))
    rows = [{"chain": chain, **_summed(engine, pairs, len(lines))} for engine, pairs in runs.items()]
    local = next((row["steady_documents_s"] for row in rows if row["engine"] == "local"), None)
    return [{**row, "to_local": row["steady_documents_s"] / local if local else None} for row in rows]


def _summed(engine: str, pairs: list[tuple[Usage, Usage]], documents: int) -> dict[str, Any]:
    median = statistics.median
    return {
        "engine": engine,
        "documents": documents,
        "start_s": median(start.seconds for start, _ in pairs),
        "whole_s": median(whole.seconds for _, whole in pairs),
        "steady_documents_s": median((documents - 20) / (whole.seconds - start.seconds) for start, whole in pairs),
        "cpu_s": median(whole.cpu_s for _, whole in pairs),
        "steady_cpu_ms_per_document": 1000
        * median((whole.cpu_s - start.cpu_s) / (documents - 20) for start, whole in pairs),
        "peak_mb": median(whole.peak_mb for _, whole in pairs),
    }


def _scaled(given: argparse.Namespace, engine: str, shards: int) -> dict[str, Any]:
    """Made-up text: one input file per shard, so that there are as many read tasks as shards."""
    folder = given.work / f"shards-{shards}"
    folder.mkdir(exist_ok=True)
    chance, words = random.Random(0), [f"word{number}" for number in range(2000)]
    for shard in range(shards):
        rows = (
            {"id": f"{shard}-{n}", "text": " ".join(chance.choices(words, k=200)), "source": f"s{n % 3}"}
            for n in range(given.shard_documents)
        )
        (folder / f"{shard:05d}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    name = f"{engine}-shards-{shards}"
    usage = _measured(given, engine, folder, name, CHAINS["order"], 1000.0)
    documents = shards * given.shard_documents
    return {
        "engine": engine,
        "shards": shards,
        "documents": documents,
        "cpu_ms_per_document": 1000 * usage.cpu_s / documents,
        "seconds": usage.seconds,
        "driver_mb": usage.driver_mb,
        "written_kb_per_document": 1000 * usage.written_mb / documents,
    }


def _measured(given: argparse.Namespace, engine: str, source: Path, name: str, chain: str, split_mb: float) -> Usage:
    shutil.rmtree(given.work / name, ignore_errors=True)
    config = given.work / f"{name}.yaml"
    config.write_text(
        f"input: {{paths: ['{source}'], split_mb: {split_mb}}}\noutput: {given.work / name}\nstages:\n"
        f"{chain}shards: {{text_mb: 64}}\n"
    )
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--engine", engine, "--workers", "2"]
    return run_measured(command, _ENVIRONMENT)


def _show(found: dict[str, Any]) -> None:
    for table in ("overhead", "scaling"):
        rows = found.get(table) or []
        for index, row in enumerate(rows):
            if not index:
                print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
            print("| " + " | ".join(f"{v:,.2f}" if isinstance(v, float) else str(v) for v in row.values()) + " |")


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"error: {error}")
