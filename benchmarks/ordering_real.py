"""Ordering of real text: whether threads and sections come together, and whether planted near-duplicates fall.

    python benchmarks/ordering_real.py [--sets threads forum everything] [--seeds 3] [--json FILE]

Documents are embedded by the default model and ordered in each mode, as one bucket, after near-duplicates are gone.
*Same section*: share of documents whose predecessor is from their thread (book, file, topic), among those that have a
companion. *Win*, *by tokens*: mean cosine inside contexts of 2,048 tokens (a quarter of the bytes), over contexts and
over tokens (where a document alone in a context counts 0): of contexts cut from the order wherever they are full, of
next-fit, and of the default of the stage `pack`. Means over seeds, which are those of chance and of ties.

*Planted*: into documents of the groups go exact copies, copies with other blanks and case, copies with 5% of the words
changed, and pages of templates with different facts, which must stay; near-duplicates are looked for by the defaults of
the stage `order`. What falls besides is checked on the whole texts.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from ordering_planted import planted
from ordering_public import compiled
from ordering_texts import Embedded, embedded, everything, forum, threads
from peers import BenchmarkError

from stages.order import Order
from stages.order_sketches import confirmation, sketch_hashes
from stages.ordering_duplicates import near_duplicates
from stages.ordering_graph import Ints, undirected
from stages.ordering_kmeans import centroids, nearest
from stages.ordering_modes import Windows, ordered
from stages.ordering_neighbours import Neighbours, neighbours
from stages.packing_contexts import concatenated, next_fit, refined
from stages.packing_measures import measured

CONTEXT, CLUSTER = 2048, 32
SETS = {"threads": threads, "forum": forum, "everything": everything}
DEFAULTS = Order()


def fallen(given: Embedded) -> Ints:
    """What each document is a near-duplicate of, by the defaults of the stage `order`; -1 for those that stay."""
    count = len(given.texts)
    near = neighbours(given.vectors, 2 * DEFAULTS.neighbours, np.arange(count, dtype=np.uint64))
    confirm = confirmation(given.sketches, DEFAULTS.resemblance)
    ranks, alike = np.arange(count, dtype=np.int32), sketch_hashes(given.sketches)
    return near_duplicates(given.vectors, near, ranks, DEFAULTS.duplicates, confirm, alike)


def without(given: Embedded, kept: Any) -> Embedded:
    rows = np.flatnonzero(kept)
    texts = [given.texts[row] for row in rows]
    return Embedded(texts, given.sections[rows], given.vectors[rows], given.tokens[rows], given.sketches.take(rows))


def orders(given: Embedded, near: Neighbours, seed: int) -> dict[str, Callable[[], Ints]]:
    """The orders that are compared; `seed` is that of the ties, of chance, and of k-means."""
    random = np.random.default_rng(seed)
    ties = random.permutation(len(given.texts)).astype(np.uint64)
    windows = Windows(given.tokens, CONTEXT)

    def by_cluster() -> Ints:
        found = centroids(given.vectors, ties, max(1, len(ties) // CLUSTER), 1.0, seed)
        return np.lexsort((ties, nearest(given.vectors, found, 1)[:, 0])).astype(np.int32)

    def public() -> Ints:
        rows = np.argsort(ties).astype(np.int32)
        numbers = np.argsort(rows).astype(np.int32)
        return rows[compiled(np.where(near.ids[rows] >= 0, numbers[near.ids[rows]], -1))]

    modes = {mode: lambda mode=mode: ordered(given.vectors, near, ties, mode, windows)
             for mode in ("fast", "path", "context")}  # fmt: skip
    return {"random": lambda: np.argsort(ties).astype(np.int32), "k-means": by_cluster, "public": public, **modes}


def quality(given: Embedded, near: Neighbours, order: Ints) -> dict[str, float]:
    """All figures of one order."""
    sections, tokens, vectors = given.sections[order], given.tokens[order], given.vectors[order]
    several = np.bincount(sections)[sections] > 1
    same = np.append(False, sections[1:] == sections[:-1])
    numbers = np.empty_like(order)
    numbers[order] = np.arange(len(order), dtype=np.int32)
    graph = undirected(np.where(near.ids[order] >= 0, numbers[near.ids[order]], -1), near.similarities[order])
    ways = {
        "cut": concatenated(tokens, CONTEXT),
        "next-fit": next_fit(tokens, CONTEXT),
        "packed": refined(tokens, CONTEXT, vectors, graph),
    }
    found = {"same section": float(same[several].mean())}
    for name, spans in ways.items():
        one = measured(spans, tokens, CONTEXT, vectors)
        values = {"win": one.win, "by tokens": one.token_win, "padding": one.padding, "needlessly cut": one.cut}
        found |= {f"{name}: {key}": value for key, value in values.items() if value or key in ("win", "by tokens")}
    return found


def one_set(name: str, seeds: int) -> dict[str, Any]:
    """Print and return the table of one set."""
    given = embedded(SETS[name]())
    kept = fallen(given) < 0
    print(f"{name}: {len(kept):,} documents, {(~kept).sum():,} near-duplicates")
    given = without(given, kept)
    near = neighbours(given.vectors, DEFAULTS.neighbours, np.arange(len(given.texts), dtype=np.uint64))
    turns = [
        {way: quality(given, near, make()) for way, make in orders(given, near, seed).items()} for seed in range(seeds)
    ]
    found = {
        way: {key: float(np.mean([turn[way][key] for turn in turns])) for key in turns[0][way]} for way in turns[0]
    }
    for way, row in found.items():
        print(f"| {way} | {' | '.join(f'{value:.3f}' for value in row.values())} |", flush=True)
    print("columns:", ", ".join(found["random"]))
    return {"documents": len(kept), "near-duplicates": int((~kept).sum()), "orders": found}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    report: dict[str, Any] = {}
    try:
        for name in arguments.sets:
            report[name] = one_set(name, arguments.seeds)
        report["planted"] = planted(everything(), lambda given: fallen(embedded(given)))
    except (BenchmarkError, FileNotFoundError) as error:
        sys.exit(f"skipped: {error}")
    if arguments.json:
        arguments.json.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
