"""How fast the mixture stream serves contexts from Parquet, against MosaicML Streaming and litdata.

    python benchmarks/mixture_sampler.py [--repeats 3] [--json FILE]

Four groups of contexts of 2,048 tokens (int32), on local disk; each tool reads the same contexts in its own format, in
the same shares, in an environment and a process of its own, in turns on one core. benchmarks/README.md has the figures.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.mixture_sampler_reader import BATCH, LENGTH, SHARES
from benchmarks.peers import CACHE, Peer, ensure_peer, machine, measure

READER = Path(__file__).with_name("mixture_sampler_reader.py")
PEERS = {
    "streaming": Peer("mosaicml-streaming", ("mosaicml-streaming==0.13.0", "torch==2.13.0", "pyarrow")),
    "litdata": Peer("litdata", ("litdata==0.2.76", "torch==2.13.0", "pyarrow")),
}
FORMATS = {"tamis": "parquet", "streaming": "mds", "litdata": "litdata"}


def write_parquet(folder: Path, contexts: int, rows: int = 512) -> None:
    """Contexts of made-up tokens, as rare as those of text, two files a group; zstd as a run writes them."""
    random = np.random.default_rng(0)
    for name in SHARES:
        target = folder / f"group={name}"
        target.mkdir(parents=True)
        for number in range(2):
            tokens = (random.zipf(1.2, contexts // 2 * LENGTH) % 50_000).astype(np.int32)
            offsets = np.arange(0, len(tokens) + 1, LENGTH, dtype=np.int32)
            table = pa.table({"input_ids": pa.ListArray.from_arrays(pa.array(offsets), pa.array(tokens))})
            path = target / f"part-{number}.parquet"
            pq.write_table(table, path, row_group_size=rows, compression="zstd", compression_level=3)


def prepare(folder: Path, pythons: Mapping[str, Path], contexts: int) -> dict[str, float]:
    """All formats; MB of each on disk."""
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        write_parquet(folder / "parquet", contexts)
        for tool in PEERS:
            measure([str(pythons[tool]), str(READER), tool, "write", str(folder)], [0, 1])
        (folder / "ready").touch()
    sizes = {tool: sum(f.stat().st_size for f in (folder / kind).rglob("*")) for tool, kind in FORMATS.items()}
    return {tool: size / 1e6 for tool, size in sizes.items()}


def read(python: Path, tool: str, folder: Path, count: int, workers: int) -> dict[str, Any]:
    command = [str(python), str(READER), tool, "read", str(folder), str(count), str(workers)]
    found: dict[str, Any] = json.loads(measure(command, [0]).output.splitlines()[-1])
    return found


def row(tool: str, found: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the repeats; the ratio is ours to theirs, turn by turn."""
    rates = [one["contexts"] / one["cpu_s"] for one in found]
    ratios = [rate / (one["contexts"] / one["cpu_s"]) for rate, one in zip(rates, ours, strict=True)]
    rate = statistics.median(rates)
    total = sum(found[0]["groups"].values())
    return {
        "tool": tool,
        "contexts_per_cpu_s": rate,
        "mb_per_cpu_s": rate * LENGTH * 4 / 1e6,
        "contexts_per_s": statistics.median(one["contexts"] / one["wall_s"] for one in found),
        "ours_is_times": 1 / statistics.median(ratios),
        "off_by_contexts": max(abs(found[0]["groups"].get(name, 0) - share * total) for name, share in SHARES.items()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contexts", type=int, default=6_000, help="of each group")
    parser.add_argument("--count", type=int, default=12_288, help="contexts that are served")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=CACHE, help="directory for the environments of other tools")
    parser.add_argument("--work", type=Path, default=CACHE / "mixture-sampler")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pythons = {"tamis": Path(sys.executable)}
    pythons |= {tool: ensure_peer(peer, arguments.peers) for tool, peer in PEERS.items()}
    sizes = prepare(arguments.work, pythons, arguments.contexts)
    rows: dict[int, list[dict[str, Any]]] = {}
    for workers in (0, 1):
        found: dict[str, list[dict[str, Any]]] = {tool: [] for tool in FORMATS}
        for _ in range(arguments.repeats):
            for tool in FORMATS:
                found[tool].append(read(pythons[tool], tool, arguments.work, arguments.count, workers))
        rows[workers] = [row(tool, found[tool], found["tamis"]) for tool in FORMATS]
        show(workers, rows[workers], sizes)
    if arguments.json:
        told = {"machine": machine(), "megabytes": sizes, "one_process": rows[0], "one_worker": rows[1]}
        arguments.json.write_text(json.dumps(told, indent=1))


def show(workers: int, rows: list[dict[str, Any]], sizes: Mapping[str, float]) -> None:
    print(f"\n{'DataLoader, one worker' if workers else 'one process'}, batches of {BATCH}\n")
    print("| | contexts/s of CPU | MB/s of CPU | contexts/s of wall time | Tamis is | off the shares by | on disk |")
    print("|---|---|---|---|---|---|---|")
    for line in rows:
        print(
            f"| {line['tool']} | {line['contexts_per_cpu_s']:,.0f} | {line['mb_per_cpu_s']:,.0f} "
            f"| {line['contexts_per_s']:,.0f} | {line['ours_is_times']:.2f} x | {line['off_by_contexts']:.0f} "
            f"| {sizes[line['tool']]:,.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
