"""What is lost at the borders of buckets, and what searching in the next nearest buckets would give back.

    python benchmarks/ordering_borders.py [--sets real hier] [--buckets 4 16] [--rows 100000] [--json FILE]

Documents are divided by spherical k-means as the stage `order` does, and neighbours are those of the row's own bucket,
or of the own and the next one or two nearest as well. *Recall*: share of the 10 true neighbours that these hold. *Win*:
mean cosine inside contexts of the order made from these lists, which with the own bucket alone is that of `order` but
for the joints; `hier` in contexts of 8 documents, real text by next-fit in contexts of 2,048 tokens; modes `path` and
`context`. *Pairs apart*: share of pairs of near-duplicates (cosine above .9, confirmed by sketches) that never meet.
Lists are the first 10 of the 40 exact neighbours that are allowed, so recall is a lower bound by very little.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from ordering_planted import twins
from ordering_synthetic import hier
from ordering_texts import embedded, everything
from peers import BenchmarkError

from stages.order_sketches import confirmation
from stages.ordering_graph import Ints, Longs
from stages.ordering_kmeans import centroids, nearest
from stages.ordering_measures import win, windows_of
from stages.ordering_modes import Windows, ordered
from stages.ordering_neighbours import Neighbours, neighbours
from stages.ordering_vectors import SCALE, Units, units
from stages.packing_contexts import next_fit
from stages.packing_measures import measured

NEIGHBOURS, WIDE, SAMPLE = 10, 40, 20_000
Pairs = tuple[Ints, Ints]


def limited(near: Neighbours, homes: Ints, visited: Ints) -> Neighbours:
    """The first of the lists' rows that live in one of the buckets (n, some) that each row visits."""
    listed = np.where(near.ids >= 0, homes[near.ids], -1)
    allowed = (near.ids >= 0) & (listed[:, :, None] == visited[:, None, :]).any(axis=2)
    first = np.argsort(~allowed, axis=1, kind="stable")[:, :NEIGHBOURS]
    ids = np.where(np.take_along_axis(allowed, first, 1), np.take_along_axis(near.ids, first, 1), -1)
    similarities = np.where(ids >= 0, np.take_along_axis(near.similarities, first, 1), -SCALE)
    return Neighbours(ids.astype(np.int32), similarities.astype(np.int32))


def shares(near: Neighbours, homes: Ints, visited: Ints, pairs: Pairs) -> dict[str, float]:
    """Recall of the first neighbours, and pairs that do not meet: neither visits the other's home."""
    met = (homes[near.ids[:, :NEIGHBOURS]][:, :, None] == visited[:, None, :]).any(axis=2)
    found = {"recall": float(met.mean())}
    if len(pairs[0]):
        one, other = pairs
        there = (visited[one] == homes[other][:, None]).any(axis=1)
        back = (visited[other] == homes[one][:, None]).any(axis=1)
        found["pairs apart"] = float((~there & ~back).mean())
    return found


def close_pairs(near: Neighbours, sketches: pa.ListArray | None) -> Pairs:
    """Near-duplicates of the lists."""
    ones, others = np.arange(len(near.ids), dtype=np.int32).repeat(WIDE), near.ids.ravel()
    close = (near.similarities.ravel() > 0.9 * SCALE) & (others > ones)
    if sketches is None:
        return ones[:0], others[:0]
    same = confirmation(sketches, 0.5)(ones[close], others[close])
    return ones[close][same], others[close][same]


def wins(vectors: Units, near: Neighbours, tokens: Longs | None) -> dict[str, float]:
    """Inside contexts of the orders of two modes."""
    ties, found = np.random.default_rng(2).permutation(len(vectors)).astype(np.uint64), {}
    windows = Windows(np.ones(len(vectors), np.int64), 8) if tokens is None else Windows(tokens, 2048)
    for mode in ("path", "context"):
        order = ordered(vectors, near, ties, mode, windows)  # type: ignore[arg-type]
        if tokens is None:
            found[mode] = win(vectors, np.arange(len(order)), windows_of(order, 8))
        else:
            found[mode] = measured(next_fit(tokens[order], 2048), tokens[order], 2048, vectors[order]).win
    return found


def one_set(name: str, rows: int, counts: list[int]) -> dict[str, Any]:
    """Print and return the rows of one set."""
    tokens, sketches = None, None
    if name == "hier":
        vectors = units(hier(rows))
    else:
        given = embedded(twins(everything()))
        vectors, tokens, sketches = given.vectors, given.tokens, given.sketches
    ties = np.random.default_rng(1).permutation(len(vectors)).astype(np.uint64)
    near = neighbours(vectors, WIDE, ties)
    pairs = close_pairs(near, sketches)
    print(f"{name}: {len(vectors):,} documents, {len(pairs[0]):,} pairs of near-duplicates")
    found = {}
    for count in [1, *counts]:
        sample = vectors[np.argsort(ties)[:SAMPLE]]
        centres = centroids(sample, np.arange(len(sample), dtype=np.uint64), count, 2 / count)
        order = nearest(vectors, centres, 3)
        for visits in range(1, 1 + min(3, len(centres))):
            began, visited = time.process_time(), order[:, :visits]
            one = shares(near, order[:, 0], visited, pairs)
            one |= wins(vectors, limited(near, order[:, 0], visited), tokens)
            found[f"{len(centres)} buckets, {visits} searched"] = one
            cells = " | ".join(f"{value:.3f}" for value in one.values())
            print(f"| {len(centres)} | {visits} | {cells} | {time.process_time() - began:.0f} s", flush=True)
    print("columns: buckets, searched,", ", ".join(one))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["real", "hier"], choices=["real", "hier"])
    parser.add_argument("--buckets", nargs="+", type=int, default=[4, 16])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    try:
        report = {name: one_set(name, arguments.rows, arguments.buckets) for name in arguments.sets}
    except (BenchmarkError, FileNotFoundError) as error:
        sys.exit(f"skipped: {error}")
    if arguments.json:
        arguments.json.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
