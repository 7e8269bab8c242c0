"""Packing: documents, in their order, into contexts of a number of tokens, as a trainer reads them.

A context holds documents of one group and one bucket of `order`. Documents that are longer are cut into whole contexts
and a rest; no other is cut, unless by `concat`. What is in which context is written as columns of the documents; the
run makes the contexts of it.
Source: "Fewer Truncations Improve Language Modeling" (ICML 2024) for best-fit, here bounded, so that the order stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from stages.contract import State, Summary, setting
from stages.errors import ConfigError
from stages.pack_groups import check_expression
from stages.pack_measures import Found, combined, part_found, summary_of_found
from stages.pack_parts import PackParts

STRATEGIES = ("best-fit", "next-fit", "concat")
MOST_COPIES = 100
_SCHEMA = pa.schema(
    [
        pa.field("group", pa.string()),
        pa.field("context", pa.list_(pa.int64())),
        pa.field("context_place", pa.list_(pa.int32())),
        pa.field("context_begin", pa.list_(pa.int64())),
        pa.field("context_end", pa.list_(pa.int64())),
        pa.field("pack_status", pa.string()),
    ]
)


@dataclass(frozen=True)
class Pack:
    """The contexts of each document; drops nothing.

    Columns: `group` (the name of its mixing group), and one entry for each part of the document that is in a context:
    `context` (its number: bucket * 2**32, and a count from 0 in the bucket), `context_place` (of the part's first token
    in the context), `context_begin` and `context_end` (the first token of the document that is in the part, and one
    past the last); `pack_status` (packed, no_tokens). Documents without a vector are packed as a bucket of their own.
    """

    name: ClassVar[str] = "pack"
    version: ClassVar[str] = "1"
    remedies: ClassVar[Mapping[str, str]] = {
        "tokens": "put the stage `tokens` before it",
        "bucket": "put the stages `embed` and `order` before it",
        "position": "put the stages `embed` and `order` before it",
        "order_neighbours": "put the stages `embed` and `order` before it",
        "embedding": "put the stage `embed` before it",
    }

    by: tuple[str, ...] = setting(("source",), "columns whose values, joined by '/', are the mixing groups")
    group: str = setting("", "an SQL expression over these columns that gives the group's name; empty: their values")
    context: int = setting(2048, "tokens of a context")
    strategy: str = setting("best-fit", "best-fit: no document is cut; next-fit: nor the order; concat: no padding")
    open: int = setting(4, "contexts that best-fit holds open: more pad less, and are less similar within")
    refine: bool = setting(True, "move and swap documents between the contexts of best-fit to be with similar ones")
    upsample: float = setting(0.0, "repeat long documents: (tokens / quarter of a context) to this power; 0: none")
    most_copies: int = setting(4, "of one document")
    shuffle: bool = setting(True, "contexts of a group in the order of a seeded hash; false: similar ones follow")
    input_ids: bool = setting(True, "write the tokens of the contexts, beside the ids of their documents")
    file_mb: float = setting(256.0, "of a file of contexts, about")

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        for name, fits, expected in (
            ("by", len(set(self.by)) == len(self.by), "different columns, such as [source]"),
            ("context", 1 <= self.context <= 2**30, f"1 to {2**30}"),
            ("strategy", self.strategy in STRATEGIES, f"one of {', '.join(STRATEGIES)}"),
            ("open", 1 <= self.open <= 1_000, "1 to 1000"),
            ("upsample", 0 <= self.upsample <= 4, "0 to 4, such as 0.5"),
            ("most_copies", 1 <= self.most_copies <= MOST_COPIES, f"1 to {MOST_COPIES}"),
            ("file_mb", 0.001 <= self.file_mb <= 100_000, "0.001 to 100000"),
        ):
            if not fits:
                raise ConfigError(f"pack.{name}: found {getattr(self, name)!r}, expected {expected}")
        if self.group:
            check_expression(self.group)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Numba compiles the kernels. Raises ConfigError if it is not installed."""
        if find_spec("numba") is None:
            raise ConfigError("pack needs numba, and it is not installed; run: pip install 'tamis[order]'")
        return ("numba", "xxhash", *(["duckdb"] if self.group else []))

    @property
    def reads(self) -> tuple[str, ...]:
        """The order, the tokens, what similarity is computed from, and the columns of the groups."""
        ours = ("bucket", "position", "tokens", "embedding", "order_neighbours")
        return tuple(dict.fromkeys([*ours, *self.by]))

    @property
    def adds(self) -> pa.Schema:
        """The same columns for every setting."""
        return _SCHEMA

    def models(self) -> Mapping[str, Path]:
        """None."""
        return {}

    def begin(self, seed: int) -> State:
        """No rounds are needed: nothing is known but the seed (modulo 2**64)."""
        return {"seed": seed % 2**64}

    def survey(self, state: State, rows: pa.RecordBatch) -> None:
        """Never called."""

    def merge(self, partials: Sequence[None]) -> None:
        """Never called."""

    def reduce(self, state: State, partial: None) -> State:
        """Never called."""
        return state

    def finished(self, state: State) -> bool:
        """From the beginning."""
        return True

    def summary(self, state: State) -> Summary:
        """Nothing; see `measured`."""
        return Summary((), (), ())

    def open_parts(self, state: State) -> PackParts:
        """The buckets of `order`."""
        return PackParts(self, state["seed"])

    def measure(self, part: int, rows: pa.RecordBatch, answer: pa.RecordBatch) -> Found:
        """Of a bucket: what its contexts hold, and what those of the other strategies would."""
        return part_found(self, rows, answer)

    def combine(self, found: Sequence[Found]) -> Found:
        """Of several buckets. Raises ConfigError for too many groups."""
        return combined(found)

    def measured(self, found: Found) -> Summary:
        """Padding and similarity of all strategies, tokens by length, and groups."""
        return summary_of_found(self, found)

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        """Null for all."""
        return pa.nulls(annotations.num_rows, pa.string())
