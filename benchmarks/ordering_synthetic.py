"""Ordering on synthetic sets: similarity along the order and inside contexts, and CPU seconds, of all modes; packing.

    python benchmarks/ordering_synthetic.py [--sets iso hier] [--rows 100000] [--json FILE]

`iso`: unit centres, normal noise of the same length, 62.5 documents a centre. `hier`: 20 unit topics, 50 parts of each,
20 parts of those, however many documents; squares of the lengths .20, .25, .33 and .22 of noise. Of 384 dimensions.
Contexts of 8 documents. The traversal of the public code, rewritten from its description in plain Python: 9 neighbours,
no reverse edges, restart at the lowest number, segments of 21 documents, and short segments merged into others.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from stages.ordering_graph import undirected
from stages.ordering_measures import consecutive, win, windows_of
from stages.ordering_modes import Windows, ordered
from stages.ordering_neighbours import Index, Neighbours, neighbours, recall
from stages.ordering_vectors import Floats, Units, units
from stages.packing_contexts import Spans, best_fit, concatenated, next_fit, refined
from stages.packing_measures import measured

DIMENSIONS, NEIGHBOURS, DOCUMENTS, SEGMENT, TOKENS = 384, 10, 8, 21, 8_192


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


def public(near: Neighbours) -> list[int]:
    """Plain: a set of the seen, a dictionary of places, rows of NumPy."""
    seen: set[int] = set()
    segments: list[list[int]] = []
    place: dict[int, int] = {}
    for start in range(len(near.ids)):
        row = start
        current: list[int] = []
        while row not in seen:
            if len(current) in (0, SEGMENT):
                current = []
                segments.append(current)
            seen.add(row)
            current.append(row)
            place[row] = len(segments) - 1
            row = next((other for other in near.ids[row][:9] if other not in seen and other >= 0), row)
    return _merged(near, segments, place)


def _merged(near: Neighbours, segments: list[list[int]], place: dict[int, int]) -> list[int]:
    """Documents of short segments go behind their best neighbour that is in a full one."""
    for number, segment in enumerate(segments):
        if len(segment) >= SEGMENT:
            continue
        for row in list(segment):
            homes = ((other, place[other]) for other in near.ids[row][:9] if other >= 0)
            best = next(
                ((other, home) for other, home in homes if home != number and len(segments[home]) >= SEGMENT), None
            )
            if best:
                segments[best[1]].insert(segments[best[1]].index(best[0]) + 1, row)
                segment.remove(row)
                place[row] = best[1]
    return [int(row) for segment in segments for row in segment]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def orders(vectors: Units, near: Neighbours, ties: Any) -> dict[str, Any]:
    """Each order's similarities and CPU seconds; compiled before."""
    count = len(vectors)
    one_each = Windows(np.ones(count, np.int64), DOCUMENTS)
    works: dict[str, Callable[[], Any]] = {
        "random": lambda: np.argsort(ties),
        "public": lambda: public(near),
        "fast": lambda: ordered(vectors, near, ties, "fast", one_each),
        "path": lambda: ordered(vectors, near, ties, "path", one_each),
        "context": lambda: ordered(vectors, near, ties, "context", one_each),
    }
    found: dict[str, Any] = {}
    for name, work in works.items():
        order, seconds = timed(work)
        order = np.asarray(order, np.int32)
        assert sorted(order.tolist()) == list(range(count)), name
        inside = win(vectors, np.arange(count), windows_of(order, DOCUMENTS))
        found[name] = {"consecutive": float(consecutive(vectors, order).mean()), "win": inside, "cpu": seconds}
        print(f"  {name:8} {found[name]['consecutive']:.3f} / {inside:.3f}  {seconds:8.2f} s", flush=True)
    return found


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
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    index: Index = given.index
    report: dict[str, Any] = {}
    for name in ["warm-up", *given.sets]:
        rows = 2_000 if name == "warm-up" else given.rows
        vectors = units({"iso": iso, "hier": hier}.get(name, hier)(rows))
        ties = np.random.default_rng(1).permutation(rows).astype(np.uint64)
        near, seconds = timed(lambda vectors=vectors, ties=ties: neighbours(vectors, NEIGHBOURS, ties, index=index))
        print(f"{name}, {rows:,} documents: neighbours {seconds:.1f} s, recall {recall(vectors, near, ties, 200):.3f}")
        report[name] = {"neighbours_cpu": seconds, "orders": orders(vectors, near, ties)}
        report[name]["packings"] = packings(vectors, near, ties)
    if given.json:
        given.json.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    sys.exit(main())
