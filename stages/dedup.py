"""Exact duplicates: of documents whose texts are the same, byte by byte, one stays.

Put first, it saves every later stage the work on copies; near-duplicates are the business of `order`. Texts meet by a
hash of 128 bits, which the reader records: no text travels, and no process sees all rows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.contract import State, Summary, setting
from stages.errors import ConfigError

_SCHEMA = pa.schema([pa.field("exact_duplicate_of", pa.string())])
_HASH, _BYTES = "text_hash", "text_bytes"
_REASON = "exact_duplicate"


@dataclass(frozen=True)
class Dedup:
    """The id of the document that stands for each copy; drops copies.

    Column: `exact_duplicate_of` (null for a document that stays). Of equal documents the one with the smallest id
    stays, or the one that is preferred: so the answer depends on neither the order of files nor workers nor engine.
    """

    name: ClassVar[str] = "dedup"
    version: ClassVar[str] = "1"

    prefer: str = setting("", "number column: of equal texts the one with the largest stays; empty: smallest id")
    drop: bool = setting(True, "drop copies; false: they are marked alone", filter=True)
    part: int = setting(1_000_000, "documents that are compared in one process, about", operational=True)

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        if self.part < 1:
            raise ConfigError(f"dedup.part: found {self.part}, expected 1 or more")

    @property
    def libraries(self) -> tuple[str, ...]:
        """That of the hash."""
        return ("xxhash",)

    @property
    def reads(self) -> tuple[str, ...]:
        """The hash of the text, its size, and what is preferred."""
        return tuple(dict.fromkeys([_HASH, _BYTES, *([self.prefer] if self.prefer else [])]))

    @property
    def adds(self) -> pa.Schema:
        """See the class."""
        return _SCHEMA

    def models(self) -> Mapping[str, Path]:
        """None."""
        return {}

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        """`exact_duplicate` for a copy."""
        copies = pc.is_valid(annotations.column("exact_duplicate_of"))
        dropped = pc.and_(copies, pa.scalar(self.drop))
        return pc.if_else(dropped, pa.scalar(_REASON), pa.scalar(None, pa.string()))

    def begin(self, seed: int) -> State:
        """Nothing is known."""
        return {}

    def survey(self, state: State, rows: pa.RecordBatch) -> int:
        """How many rows there are: parts are made for so many."""
        return int(rows.num_rows)

    def merge(self, partials: Sequence[int]) -> int:
        """The sum."""
        return sum(partials)

    def reduce(self, state: State, partial: int) -> State:
        """How many documents there are, and the parts they are compared in: a run that goes on keeps these."""
        return {"documents": partial, "parts": max(1, -(-partial // self.part))}

    def finished(self, state: State) -> bool:
        """After one round."""
        return "parts" in state

    def summary(self, state: State) -> Summary:
        """How many documents are compared."""
        return Summary((f"{state['documents']:,} documents compared by their texts",), (), ())

    def open_parts(self, state: State) -> "DedupParts":
        """Parts of about `part` documents each."""
        return DedupParts(self, state["parts"])

    def measure(self, part: int, rows: pa.RecordBatch, answer: pa.RecordBatch) -> dict[str, Any]:
        """Copies, their bytes, and how many texts have how many of them."""
        stands_for = answer.column("exact_duplicate_of")
        copies = pc.is_valid(stands_for)
        sizes = Counter(Counter(stands_for.drop_null().to_pylist()).values())
        size = pc.sum(rows.column(_BYTES).filter(copies)).as_py() or 0
        return {"copies": pc.sum(copies).as_py(), "bytes": size, "sizes": {str(n): sizes[n] for n in sorted(sizes)}}

    def combine(self, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The sums."""
        sizes = sum((Counter(one["sizes"]) for one in found), Counter[str]())
        kept = {number: sizes[number] for number in sorted(sizes, key=int)}
        return {**{what: sum(one[what] for one in found) for what in ("copies", "bytes")}, "sizes": kept}

    def measured(self, found: Mapping[str, Any]) -> Summary:
        """Copies, and how often texts were repeated."""
        note = f"{found['copies']:,} exact copies, {found['bytes']:,} bytes of text"
        rows = tuple(sorted((int(copies), texts) for copies, texts in found["sizes"].items()))
        return Summary((note,), ("copies of a text", "texts"), rows)


@dataclass(frozen=True)
class DedupParts:
    """Documents by their texts' hashes: equal ones are always in the same part."""

    settings: Dedup
    parts: int

    def part(self, rows: pa.RecordBatch) -> npt.NDArray[np.int32]:
        """By the first half of the hash. Raises ConfigError if what is preferred is no number."""
        self._check_numbers(rows)
        found: npt.NDArray[np.int32] = (_halves(rows.column(_HASH))[:, 0] % np.uint64(self.parts)).astype(np.int32)
        return found

    def solve(self, part: int, rows: pa.RecordBatch) -> pa.RecordBatch:
        """For each row the id of the one that stands for it, or null if it stays."""
        halves = _halves(rows.column(_HASH))
        keys = [np.arange(rows.num_rows), *self._preferred(rows), halves[:, 1], halves[:, 0]]
        order = np.lexsort(keys)
        fresh = np.ones(len(order), np.bool_)
        fresh[1:] = (halves[order[1:]] != halves[order[:-1]]).any(axis=1)
        stays = np.empty(len(order), np.int64)
        stays[order] = order[np.flatnonzero(fresh)[np.cumsum(fresh) - 1]]
        alone = stays == np.arange(len(order))
        return pa.RecordBatch.from_arrays([rows.column("id").take(pa.array(stays, mask=alone))], schema=_SCHEMA)

    def _check_numbers(self, rows: pa.RecordBatch) -> None:
        name = self.settings.prefer
        kind = rows.column(name).type if name else pa.float64()
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise ConfigError(f"dedup.prefer: found the column '{name}' of type {kind}, expected one of numbers")

    def _preferred(self, rows: pa.RecordBatch) -> list[npt.NDArray[np.float64]]:
        """A key that is smaller for what is preferred; rows without a value come last."""
        if not self.settings.prefer:
            return []
        values = pc.fill_null(rows.column(self.settings.prefer).cast(pa.float64()), np.nan)
        return [-values.to_numpy(zero_copy_only=False)]


def _halves(hashes: pa.BinaryArray) -> npt.NDArray[np.uint64]:
    """Hashes of 16 bytes each as numbers (n, 2)."""
    width = pa.binary(16)
    fixed = hashes if hashes.type == width else hashes.cast(width)
    begin = fixed.offset * 16
    data = fixed.buffers()[1]
    if not len(fixed) or data is None:
        return np.empty((0, 2), np.uint64)
    return np.frombuffer(data, np.uint8)[begin : begin + 16 * len(fixed)].view(">u8").astype(np.uint64).reshape(-1, 2)
