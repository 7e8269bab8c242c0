"""Ordering for contexts: documents about the same things stand beside each other, and near-duplicates fall.

A trainer packs documents into contexts one after the other, so what stands beside each other is read together. The
documents of a group are divided into buckets of similar ones; within a bucket neighbours are found, near-duplicates
dropped, and the rest is put in order; buckets are chained by their centroids.
Source: "In-Context Pretraining: Language Modeling Beyond Document Boundaries" (ICLR 2024).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from stages.contract import State, Summary, setting
from stages.errors import ConfigError
from stages.order_groups import groups_in
from stages.order_measures import Found, bucket_found, combined, summary_of_found
from stages.order_parts import DUPLICATE, OrderParts
from stages.order_rows import rows_of
from stages.order_summary import summary_of
from stages.order_survey import Partial, merged, reduced, surveyed

MODES = ("context", "path", "fast")
CONFIRMS = ("shingles", "none")
MOST_ROWS = 500_000
_NEEDED = {"faiss": "faiss-cpu", "numba": "numba", "pynndescent": "pynndescent"}
_SCHEMA = pa.schema(
    [
        pa.field("bucket", pa.int32()),
        pa.field("position", pa.int64()),
        pa.field("duplicate_of", pa.string()),
        pa.field("order_status", pa.string()),
        pa.field("order_similarity", pa.float32()),
        pa.field("order_similarity_by_id", pa.float32()),
        pa.field("order_recall", pa.float32()),
        pa.field("order_neighbours", pa.list_(pa.int32())),
    ]
)


@dataclass(frozen=True)
class Order:
    """A place in the order of its group for each document; drops near-duplicates.

    Columns: `bucket` (counted over all groups), `position` (0, 1, ... in each group), `duplicate_of` (the id of the
    document that stays), `order_status` (placed, duplicate, no_vector), `order_similarity` (cosine to the document
    before it in the bucket), `order_similarity_by_id` (the same if they stood by id), `order_recall` (of the neighbour
    lists of its bucket, on a sample), `order_neighbours` (places of the nearest that are placed, relative to its own,
    the most similar first). Duplicates come last in their bucket, documents without a vector in their group.
    """

    name: ClassVar[str] = "order"
    version: ClassVar[str] = "3"

    by: tuple[str, ...] = setting(("source",), "columns (two at most) whose values are groups, each with its own order")
    mode: str = setting("context", "context: similar within contexts; path: along the order; fast: so, with less work")
    neighbours: int = setting(10, "similar documents that each may stand beside")
    context: int = setting(2048, "tokens of the contexts that mode context fills")
    tokens_from: str = setting("bytes", "bytes (UTF-8 bytes / bytes_per_token), or an integer column")
    bytes_per_token: float = setting(4.0, "of the estimate from bytes")
    duplicates: float = setting(0.9, "cosine above which documents may be near-duplicates (0: none are looked for)")
    confirm: str = setting("shingles", "shingles: texts must share runs of five words; none: the cosine is enough")
    resemblance: float = setting(0.5, "share of their runs of words that two near-duplicates have in common")
    prefer: str = setting("", "number column: of near-duplicates the one with the largest stays; empty: smallest id")
    drop_duplicates: bool = setting(True, "drop near-duplicates; false: they are marked alone", filter=True)
    bucket: int = setting(100_000, "documents of a bucket, about")
    largest: int = setting(MOST_ROWS, "documents that one process takes at most; a larger bucket is cut, by a hash")
    threads: int = setting(1, "threads of the search for neighbours", operational=True)

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        for name, known in (("mode", MODES), ("confirm", CONFIRMS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"order.{name}: found '{getattr(self, name)}', expected one of {', '.join(known)}")
        for name, fits, expected in (
            ("by", len(set(self.by)) == len(self.by) <= 2, "at most two different columns, such as [source]"),
            ("neighbours", 1 <= self.neighbours <= 100, "1 to 100"),
            ("context", 1 <= self.context <= 2**30, "1 or more"),
            ("bytes_per_token", 0.01 <= self.bytes_per_token <= 1e6, "0.01 to 1000000"),
            ("duplicates", 0 <= self.duplicates < 1, "0 or more, and less than 1"),
            ("resemblance", 0 < self.resemblance <= 1, "more than 0, and 1 at most"),
            ("largest", 1 <= self.largest <= MOST_ROWS, f"1 to {MOST_ROWS}"),
            ("bucket", 1 <= self.bucket <= self.largest, "1 or more, and order.largest at most"),
            ("threads", self.threads >= 1, "1 or more"),
        ):
            if not fits:
                raise ConfigError(f"order.{name}: found {getattr(self, name)}, expected {expected}")

    @property
    def libraries(self) -> tuple[str, ...]:
        """Those that find neighbours. Raises ConfigError if one is not installed."""
        if missing := [name for module, name in _NEEDED.items() if find_spec(module) is None]:
            raise ConfigError(f"order needs {missing[0]}, and it is not installed; run: pip install 'tamis[order]'")
        return (*_NEEDED.values(), "xxhash")

    @property
    def reads(self) -> tuple[str, ...]:
        """Vectors, columns of the groups, what tokens are counted by, and what tells near-duplicates."""
        tokens = "text_bytes" if self.tokens_from == "bytes" else self.tokens_from
        sketch = ["embedding_shingles"] if self.duplicates and self.confirm == "shingles" else []
        return tuple(dict.fromkeys(["embedding", *sketch, *self.by, tokens, *([self.prefer] if self.prefer else [])]))

    @property
    def adds(self) -> pa.Schema:
        """The same columns for every setting."""
        return _SCHEMA

    def models(self) -> Mapping[str, Path]:
        """None."""
        return {}

    def begin(self, seed: int) -> State:
        """Nothing is known but the seed (modulo 2**64)."""
        return {"seed": seed % 2**64, "phase": "count", "groups": {}}

    def survey(self, state: State, rows: pa.RecordBatch) -> Partial:
        """Counts of groups, vectors of a sample, or counts of buckets. Raises ConfigError for vectors that differ."""
        return surveyed(state, rows_of(self, rows, state["seed"]))

    def merge(self, partials: Sequence[Partial]) -> Partial:
        """One partial for the rows of several. Raises ConfigError for too many groups."""
        return merged(partials)

    def reduce(self, state: State, partial: Partial) -> State:
        """The groups first, then their buckets, then what these hold."""
        return reduced(self, state, partial)

    def finished(self, state: State) -> bool:
        """Whether the place of every bucket is known."""
        return bool(state["phase"] == "done")

    def summary(self, state: State) -> Summary:
        """Of each group its documents and buckets."""
        return summary_of(groups_in(state))

    def open_parts(self, state: State) -> OrderParts:
        """The buckets."""
        return OrderParts.of(self, state)

    def measure(self, part: int, rows: pa.RecordBatch, answer: pa.RecordBatch) -> Found:
        """Similarities before and after, recall, duplicates and size of a bucket; see `order_measures`."""
        return bucket_found(self, rows, answer)

    def combine(self, found: Sequence[Found]) -> Found:
        """Of several buckets."""
        return combined(found)

    def measured(self, found: Found) -> Summary:
        """Similarities and duplicates of all buckets."""
        return summary_of_found(found)

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        """`duplicate` for those that fell; null to keep."""
        status = annotations.column("order_status")
        fell = pc.and_(pc.equal(status, DUPLICATE), self.drop_duplicates)
        return pc.if_else(fell, DUPLICATE, pa.scalar(None, pa.string()))
