"""Ordering on synthetic sets: similarity along the order and inside contexts, and CPU seconds, of all modes; packing.

    python benchmarks/ordering_synthetic.py [--sets iso hier] [--rows 100000] [--repeats 5] [--packings] [--json FILE]

`iso`: unit centres, normal noise of the same length, 62.5 documents a centre. `hier`: 20 unit topics, 50 parts of each,
20 parts of those, however many documents; squares of the lengths .20, .25, .33 and .22 of noise. Of 384 dimensions.
Contexts of 8 documents. The chain: neighbours, near-duplicates, order. `ordering_public` is what modes are compared
with: in plain Python with lists in a memory-mapped file, as published; the same with lists in memory; and compiled.
What takes less than a second or two is repeated, in turns, and medians are given; the rest runs once.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from ordering_public import as_published, compiled

from stages.ordering_duplicates import near_duplicates
from stages.ordering_graph import undirected
from stages.ordering_measures import consecutive, win, windows_of
from stages.ordering_modes import Windows, ordered
from stages.ordering_neighbours import Neighbours, neighbours, recall
from stages.ordering_vectors import Floats, Units, units
from stages.packing_contexts import Spans, best_fit, concatenated, next_fit, refined
from stages.packing_measures import measured

DIMENSIONS, NEIGHBOURS, DOCUMENTS, TOKENS = 384, 10, 8, 8_192


def _directions(random: np.random.Generator, count: int) -> Floats:
    found = random.standard_normal((count, DIMENSIONS), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def iso(rows: int, seed: int = 0) -> Floats:
    random = np.random.default_rng(seed)
    centres = _directions(random, max(1, rows * 2 // 125))
    found = random.standard_normal((rows, DIMENSIONS), dtype=np.float32) * np.float32(DIMENSIONS**-0.5)
    found += centres[random.integers(0, len(centres), rows)]
    return found


def hier(rows: int, seed: int = 0) -> Floats:
    random = np.random.default_rng(seed)
    leaf = random.integers(0, 20 * 50 * 20, rows)
    found = random.standard_normal((rows, DIMENSIONS), dtype=np.float32) * np.float32((0.22 / DIMENSIONS) ** 0.5)
    for square, size in ((0.20, 50 * 20), (0.25, 20), (0.33, 1)):
        found += np.float32(square**0.5) * _directions(random, 20 * 50 * 20 // size)[leaf // size]
    return found


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def orders(vectors: Units, near: Neighbours, ties: Any, repeats: int) -> dict[str, Any]:
    """Each order's similarities and CPU seconds; compiled before."""
    count = len(vectors)
    one_each = Windows(np.ones(count, np.int64), DOCUMENTS)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/lists.npy", near.ids.astype(np.int64))
        mapped = np.load(f"{folder}/lists.npy", mmap_mode="r")
        quick: dict[str, Callable[[], Any]] = {
            "random": lambda: np.argsort(ties),
            "public, plain": lambda: as_published(mapped),
            "public, plain, in memory": lambda: as_published(near.ids),
            "public, compiled": lambda: compiled(near.ids),
            "fast": lambda: ordered(vectors, near, ties, "fast", one_each),
        }
        rounds = [{name: timed(work) for name, work in quick.items()} for _ in range(repeats)]
    found = {name: (rounds[0][name][0], statistics.median(one[name][1] for one in rounds)) for name in quick}
    for mode in ("path", "context"):
        found[mode] = timed(lambda mode=mode: ordered(vectors, near, ties, mode, one_each))  # type: ignore[misc]
    return {name: _quality(vectors, name, *one) for name, one in found.items()}


def _quality(vectors: Units, name: str, order: Any, seconds: float) -> dict[str, float]:
    order = np.asarray(order, np.int32)
    assert (np.sort(order) == np.arange(len(order))).all(), name
    inside = win(vectors, np.arange(len(order)), windows_of(order, DOCUMENTS))
    along = float(consecutive(vectors, order).mean())
    print(f"  {name:24} {along:.3f} / {inside:.3f}  {seconds:8.3f} s", flush=True)
    return {"consecutive": along, "win": inside, "cpu": seconds}


def duplicates(vectors: Units, near: Neighbours, ties: Any) -> int:
    """How many fall at the stage's threshold, if the texts say what the cosines do."""
    ranks = ties.astype(np.int32)
    fell = near_duplicates(vectors, near, ranks, 0.9, lambda one, other: np.ones(len(one), np.bool_))
    return int((fell >= 0).sum())


def packings(vectors: Units, near: Neighbours, ties: Any) -> dict[str, Any]:
    """Documents of log-normal lengths, in the order of `context`, packed into contexts of 8,192 tokens."""
    tokens = np.random.default_rng(7).lognormal(6.6, 0.95, len(vectors)).astype(np.int64) + 1
    order = ordered(vectors, near, ties, "context", Windows(tokens, TOKENS))
    tokens, vectors = tokens[order], vectors[order]
    numbers = np.empty_like(order)
    numbers[order] = np.arange(len(order), dtype=np.int32)
    graph = undirected(np.where(near.ids[order] >= 0, numbers[near.ids[order]], -1), near.similarities[order])
    works: dict[str, Callable[[], Spans]] = {
        "concat": lambda: concatenated(tokens, TOKENS),
        "next-fit": lambda: next_fit(tokens, TOKENS),
        "best-fit": lambda: best_fit(tokens, TOKENS),
        **{f"refined, {n} open": lambda n=n: refined(tokens, TOKENS, vectors, graph, n) for n in (2, 4, 8)},  # type: ignore[misc]
    }
    found = {}
    for name, work in works.items():
        spans, seconds = timed(work)
        one = measured(spans, tokens, TOKENS, vectors)
        found[name] = one._asdict() | {"cpu": seconds}
        shares = f"padded {one.padding:.1%} cut {one.cut:.1%} win {one.win:.3f} by tokens {one.token_win:.3f}"
        print(f"  {name:16} {shares} {seconds:6.2f} s", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=["iso", "hier"], choices=["iso", "hier"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--index", default="auto", choices=["auto", "flat", "ivf", "descent"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--packings", action="store_true", help="pack too")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    report: dict[str, Any] = {}
    for name in ["warm-up", *given.sets]:
        rows = 2_000 if name == "warm-up" else given.rows
        report[name] = chain(name, rows, given)
    if given.json:
        given.json.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))


def chain(name: str, rows: int, given: argparse.Namespace) -> dict[str, Any]:
    """The whole chain on one set."""
    vectors = units({"iso": iso, "hier": hier}.get(name, hier)(rows))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = peak()
    ties = np.random.default_rng(1).permutation(rows).astype(np.uint64)
    near, seconds = timed(lambda: neighbours(vectors, NEIGHBOURS, ties, index=given.index))
    fell, more = timed(lambda: duplicates(vectors, near, ties))
    print(f"{name}, {rows:,} documents: neighbours {seconds:.1f} s, recall {recall(vectors, near, ties, 200):.3f}")
    print(f"  duplicates {more:.2f} s, {fell} found", flush=True)
    found = {"neighbours_cpu": seconds, "duplicates_cpu": more, "orders": orders(vectors, near, ties, given.repeats)}
    found["mebibytes"] = {"before": before, "peak": peak()}
    print(f"  memory {before:,} MiB with the vectors made, {peak():,} at most", flush=True)
    return found | ({"packings": packings(vectors, near, ties)} if given.packings else {})


def peak() -> int:
    """MiB of memory that this process held at most since that was last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    sys.exit(main())
