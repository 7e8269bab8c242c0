"""What each part of the way to an order costs: documents per CPU second, growth, and memory.

    python benchmarks/ordering_stages.py [--rows 10000 30000 100000] [--characters 700] [--json FILE]

Passages of real documents, `--characters` each at most, so that there are enough: embedded by the default model, then
as the stage `order` does it in one bucket: 20 neighbours, near-duplicates, lists of 10, and the order of each mode; and
packing. CPU seconds of one thread; memory is the peak of each size above what was held before it, without the texts.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from ordering_real import CONTEXT, DEFAULTS
from ordering_synthetic import peak
from ordering_texts import Embedded, Texts, embedded, everything
from peers import BenchmarkError

from stages.order_sketches import confirmation
from stages.ordering_duplicates import compact, near_duplicates
from stages.ordering_graph import undirected
from stages.ordering_kmeans import centroids, nearest
from stages.ordering_modes import Windows, ordered
from stages.ordering_neighbours import neighbours
from stages.packing_contexts import refined

SAMPLE, BUCKETS = 20_000, 16


def passages(given: Texts, characters: int) -> Iterator[str]:
    """Pieces of all documents, in a seeded random order."""
    pieces = [text[at : at + characters] for text in given.texts for at in range(0, len(text), characters)]
    for row in np.random.default_rng(0).permutation(len(pieces)):
        yield pieces[row]


def costs(given: Embedded) -> dict[str, float]:
    """CPU seconds of each part."""
    count, spent, began = len(given.texts), {}, [time.process_time()]
    ties = np.arange(count, dtype=np.uint64)
    windows = Windows(given.tokens, CONTEXT)

    def done(name: str) -> None:
        spent[name] = time.process_time() - began[0]
        began[0] = time.process_time()

    wide = neighbours(given.vectors, 2 * DEFAULTS.neighbours, ties)
    done("neighbours")
    confirm = confirmation(given.sketches, DEFAULTS.resemblance)
    fell = near_duplicates(given.vectors, wide, np.arange(count, dtype=np.int32), DEFAULTS.duplicates, confirm)
    done("duplicates")
    near = compact(wide, fell < 0, DEFAULTS.neighbours)
    vectors, ties = given.vectors[fell < 0], ties[fell < 0]
    windows = Windows(given.tokens[fell < 0], CONTEXT)
    began[0] = time.process_time()
    for mode in ("fast", "path", "context"):
        order = ordered(vectors, near, ties, mode, windows)  # type: ignore[arg-type]
        done(mode)
    numbers = np.argsort(order).astype(np.int32)
    graph = undirected(np.where(near.ids[order] >= 0, numbers[near.ids[order]], -1), near.similarities[order])
    refined(windows.tokens[order], CONTEXT, vectors[order], graph)
    done("pack")
    centres = centroids(given.vectors[:SAMPLE], np.arange(min(SAMPLE, count), dtype=np.uint64), BUCKETS, 2 / BUCKETS)
    done("centroids of a sample")
    nearest(given.vectors, centres, 1)
    done(f"the nearest of {len(centres)} buckets")
    return spent


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 30_000, 100_000])
    parser.add_argument("--characters", type=int, default=700)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    try:
        texts = list(passages(everything(), arguments.characters))
    except (BenchmarkError, FileNotFoundError) as error:
        sys.exit(f"skipped: {error}")
    report = {}
    costs(embedded(Texts(texts[:2_000], ["" for _ in texts[:2_000]])))  # kernels are loaded
    for rows in arguments.rows:
        part = texts[:rows]
        given, seconds = timed(lambda part=part: embedded(Texts(part, ["" for _ in part])))
        Path("/proc/self/clear_refs").write_text("5")
        before = peak()
        found = {"embed": seconds} | costs(given)
        held = (peak() - before) / len(part) * 1e6 / 1024
        report[len(part)] = found | {"GiB a million": held}
        for name, value in found.items():
            print(f"| {len(part):,} | {name} | {value:.2f} s | {len(part) / max(value, 1e-6):,.0f} / s |", flush=True)
        print(f"| {len(part):,} | memory | {held:.1f} GiB a million documents, vectors of {given.vectors.shape[1]} |")
    if arguments.json:
        arguments.json.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


if __name__ == "__main__":
    main()
