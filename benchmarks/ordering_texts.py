"""Real documents for the benchmarks of ordering: texts with the thread or section that each is from, and embedded."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import zstandard
from corpus import data_directory

from stages.embed import Embed
from stages.ordering_graph import Longs
from stages.ordering_vectors import Units, units, usable

ROWS = 1024


class Texts(NamedTuple):
    """Documents in the order of the files."""

    texts: list[str]
    sections: list[str]
    """Of each the thread, book, file or topic that it is from."""


class Embedded(NamedTuple):
    """The same with what the stage `embed` makes of them; those without a usable vector are left out."""

    texts: list[str]
    sections: Longs
    """(n,) numbers."""
    vectors: Units
    tokens: Longs
    """(n,) as the stage `order` estimates them: a quarter of the bytes, 1 at least."""
    sketches: pa.ListArray


def threads() -> Texts:
    """Usenet threads of 4 to 40 messages."""
    rows = list(_rows(data_directory().parent / "related" / "20ng_threads.jsonl.zst"))
    return Texts([row["text"] for row in rows], [row["group"] for row in rows])


def forum() -> Texts:
    """Usenet messages of 20 newsgroups, most of threads of few or one; without the subject, which names the thread."""
    rows = list(_rows(data_directory() / "forum_20ng.jsonl.zst"))
    texts = [row["text"].partition("\n")[2].strip() for row in rows]
    return Texts(texts, [row["group"] or f"alone {row['id']}" for row in rows])


def everything() -> Texts:
    """All groups: threads, chapters by book, mathematics by file, news and abstracts by topic, and others."""
    texts, sections = forum()
    for path in sorted(data_directory().glob("*.jsonl.zst")):
        for row in _rows(path) if not path.name.startswith("forum") else ():
            texts.append(row["text"])
            sections.append(f"{path.name} {row.get('group') or row.get('topic') or _file(row)}")
    return Texts(texts, sections)


def embedded(given: Texts, **settings: Any) -> Embedded:
    """By the stage with its default settings, or these."""
    annotate = Embed(**settings).open()
    parts = [given.texts[at : at + ROWS] for at in range(0, len(given.texts), ROWS)]
    answers = [annotate(pa.RecordBatch.from_pydict({"text": pa.array(part, pa.string())})) for part in parts]
    found = pa.Table.from_batches(answers).combine_chunks()
    width = max(len(one) for one in found["embedding"].to_pylist() if one)
    rows = np.array([one or [0.0] * width for one in found["embedding"].to_pylist()], np.float32)
    good = np.flatnonzero(usable(rows))
    texts = [given.texts[row] for row in good]
    numbers = np.unique(given.sections, return_inverse=True)[1][good].astype(np.int64)
    tokens = np.array([max(1, -(-len(text.encode()) // 4)) for text in texts], np.int64)
    sketches = found["embedding_shingles"].combine_chunks().take(pa.array(good))
    return Embedded(texts, numbers, units(rows[good]), tokens, sketches)


def _file(row: dict[str, Any]) -> str:
    return str(row["path"]).partition("#")[0] if "#" in str(row.get("path")) else str(row["label"])


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as raw:
        text = zstandard.ZstdDecompressor().stream_reader(raw).read().decode()
    return map(json.loads, text.splitlines())
