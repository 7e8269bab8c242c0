"""Tiny stages that follow the stage contract, to test what runs them."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from stages.contract import Annotate, Summary, setting


@dataclass(frozen=True)
class Length:
    """Counts characters; drops short texts."""

    name: ClassVar[str] = "length"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ("text",)

    unit: int = setting(1, "characters per count")
    least: int = setting(0, "drop documents with a smaller count", filter=True)
    model: str = setting("", "a file whose checksum enters the hash")

    @property
    def adds(self) -> pa.Schema:
        return pa.schema([pa.field("length", pa.int64())])

    def models(self) -> Mapping[str, Path]:
        return {"table": Path(self.model)} if self.model else {}

    def open(self) -> Annotate:
        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            counts = [len(text) // self.unit for text in batch.column("text").to_pylist()]
            return pa.RecordBatch.from_arrays([pa.array(counts, pa.int64())], schema=self.adds)

        return annotate

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        counts = annotations.column("length").to_pylist()
        return pa.array([None if count >= self.least else "short" for count in counts], pa.string())


@dataclass(frozen=True)
class Echo:
    """Repeats what `Length` said, with the id, to show that it got the right row; does what its settings say."""

    name: ClassVar[str] = "echo"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ("length", "text")

    fail_on: str = setting("", "texts that hold this raise an error")
    answer: str = setting("right", "right, or the way in which the contract is broken")

    @property
    def adds(self) -> pa.Schema:
        return pa.schema([pa.field("echo", pa.string()), pa.field("half", pa.float64())])

    def models(self) -> Mapping[str, Path]:
        return {}

    def open(self) -> Annotate:
        if self.answer == "will not open":
            raise OSError("the model is gone")

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            ids, texts, lengths = (batch.column(name).to_pylist() for name in ("id", "text", "length"))
            if self.fail_on and any(self.fail_on in text for text in texts):
                raise ValueError(f"cannot digest {texts}")
            rows = [
                {"echo": f"{id_}:{length}", "half": _half(text, length)}
                for id_, text, length in zip(ids, texts, lengths, strict=True)
            ]
            return self._broken(pa.RecordBatch.from_pylist(rows, schema=self.adds))

        return annotate

    def _broken(self, answer: pa.RecordBatch) -> pa.RecordBatch:
        if self.answer == "one row less":
            return answer.slice(1)
        if self.answer == "other name":
            return answer.rename_columns(["echo", "other"])
        if self.answer == "other type":
            return answer.set_column(1, pa.field("half", pa.float32()), answer.column("half").cast(pa.float32()))
        return answer

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        return pa.nulls(annotations.num_rows, pa.string())


def _half(text: str, length: int) -> float | None:
    return float("nan") if "nan" in text else None if "null" in text else length / 2


@dataclass(frozen=True)
class Twice(Length):
    """A stage of another name that adds a column which is there already."""

    name: ClassVar[str] = "twice"


@dataclass(frozen=True)
class Above:
    """A survey: how far each `length` lies above the mean of all, by the largest distance; drops those below."""

    name: ClassVar[str] = "above"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ("length", "text_bytes")

    rounds: int = setting(2, "rounds that it takes (more: never done)")

    @property
    def adds(self) -> pa.Schema:
        return pa.schema([pa.field("above", pa.float64())])

    def models(self) -> Mapping[str, Path]:
        return {}

    def begin(self, seed: int) -> dict[str, Any]:
        return {"seed": seed, "mean": None, "farthest": None}

    def survey(self, state: Mapping[str, Any], rows: pa.RecordBatch) -> list[int | float]:
        assert rows.schema.names == ["id", "length", "text_bytes"]
        lengths = rows.column("length").to_pylist()
        if state["mean"] is None:
            return [sum(lengths), len(lengths)]
        return [max((abs(length - state["mean"]) for length in lengths), default=0.0)]

    def merge(self, partials: Sequence[list[int | float]]) -> list[int | float]:
        return [sum(found) for found in zip(*partials, strict=True)] if len(partials[0]) == 2 else max(partials)

    def reduce(self, state: Mapping[str, Any], partial: list[int | float]) -> dict[str, Any]:
        if state["mean"] is None:
            return {**state, "mean": partial[0] / max(1, partial[1])}
        return {**state, "farthest": partial[0] or 1.0}

    def finished(self, state: Mapping[str, Any]) -> bool:
        return self.rounds == 2 and state["farthest"] is not None

    def open_with(self, state: Mapping[str, Any]) -> Annotate:
        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            scores = [(n - state["mean"]) / state["farthest"] for n in batch.column("length").to_pylist()]
            return pa.RecordBatch.from_arrays([pa.array(scores, pa.float64())], schema=self.adds)

        return annotate

    def summary(self, state: Mapping[str, Any]) -> Summary:
        return Summary((f"mean {state['mean']:.1f}",), ("what", "characters"), (("mean", state["mean"]),))

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        scores = annotations.column("above").to_pylist()
        return pa.array([None if score >= 0 else "below" for score in scores], pa.string())


@dataclass(frozen=True)
class Further(Above):
    """The same survey of those that `Above` kept, by its answers."""

    name: ClassVar[str] = "further"
    reads: ClassVar[tuple[str, ...]] = ("above", "length", "text_bytes")

    @property
    def adds(self) -> pa.Schema:
        return pa.schema([pa.field("further", pa.float64())])

    def survey(self, state: Mapping[str, Any], rows: pa.RecordBatch) -> list[int | float]:
        assert all(value >= 0 for value in rows.column("above").to_pylist())
        return super().survey(state, rows.select(["id", "length", "text_bytes"]))

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        scores = annotations.column("further").to_pylist()
        return pa.array([None if score >= 0 else "below" for score in scores], pa.string())


@dataclass(frozen=True)
class Ranks:
    """A group stage: the rank of each `length` among those of its part, which a hash of the id gives; drops the first.

    Odd lengths cannot be placed. `fail_on` and `answer` say how it breaks.
    """

    name: ClassVar[str] = "ranks"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ("length", "text_bytes")

    parts: int = setting(5, "parts")
    drop_first: bool = setting(True, "whether the first of each part is dropped", filter=True)
    fail_on: int = setting(-2, "the part that raises an error")
    answer: str = setting("right", "right, or the way in which the contract is broken")
    rounds: int = setting(0, "rounds of its survey")

    @property
    def adds(self) -> pa.Schema:
        return pa.schema([pa.field("rank", pa.int64()), pa.field("part_ids", pa.list_(pa.string()))])

    def models(self) -> Mapping[str, Path]:
        return {}

    def begin(self, seed: int) -> dict[str, Any]:
        return {"seed": seed, "rounds": 0, "rows": 0}

    def survey(self, state: Mapping[str, Any], rows: pa.RecordBatch) -> int:
        return int(rows.num_rows)

    def merge(self, partials: Sequence[int]) -> int:
        return sum(partials)

    def reduce(self, state: Mapping[str, Any], partial: int) -> dict[str, Any]:
        return {**state, "rounds": state["rounds"] + 1, "rows": partial}

    def finished(self, state: Mapping[str, Any]) -> bool:
        return bool(state["rounds"] == self.rounds)

    def summary(self, state: Mapping[str, Any]) -> Summary:
        return Summary((f"{state['rows']} rows",), (), ())

    def open_parts(self, state: Mapping[str, Any]) -> "RankParts":
        assert self.finished(state)
        return RankParts(self)

    def measure(self, part: int, rows: pa.RecordBatch, answer: pa.RecordBatch) -> dict[str, Any]:
        assert rows.schema.names == ["id", "length", "text_bytes"]
        assert rows.column("id").to_pylist() == sorted(rows.column("id").to_pylist())
        if self.answer == "not measured":
            raise ValueError(f"cannot digest {rows.to_pylist()}")
        ranks = answer.column("rank").to_pylist()
        longest = rows.column("length").to_pylist()[ranks.index(max(ranks))]
        return {"parts": [part], "rows": rows.num_rows, "longest": longest}

    def combine(self, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
        parts = sorted(part for one in found for part in one["parts"])
        rows, longest = sum(one["rows"] for one in found), max(one["longest"] for one in found)
        return {"parts": parts, "rows": rows, "longest": longest}

    def measured(self, found: dict[str, Any]) -> Summary:
        note = f"{found['rows']} rows in {len(found['parts'])} parts"
        return Summary((note,), ("what", "characters"), (("longest", found["longest"]),))

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        ranks = annotations.column("rank").to_pylist()
        return pa.array(["first" if self.drop_first and rank == 0 else None for rank in ranks], pa.string())


@dataclass(frozen=True)
class RankParts:
    """The parts of `Ranks`; a seen part must be sorted by id."""

    stage: Ranks

    def part(self, rows: pa.RecordBatch) -> np.ndarray:
        assert rows.schema.names == ["id", "length", "text_bytes"]
        pairs = zip(rows.column("id").to_pylist(), rows.column("length").to_pylist(), strict=True)
        found = np.array([part_of(id_, length, self.stage.parts) for id_, length in pairs], dtype=np.int32)
        broken = {"other type": found.astype(np.int64), "one part less": found[1:], "too small": found - 9}
        return broken.get(self.stage.answer, found)

    def solve(self, part: int, rows: pa.RecordBatch) -> pa.RecordBatch:
        if part == self.stage.fail_on:
            raise ValueError(f"cannot digest {rows.to_pylist()}")
        ids, lengths = rows.column("id").to_pylist(), rows.column("length").to_pylist()
        assert ids == sorted(ids)
        ranks = np.empty(len(ids), dtype=np.int64)
        ranks[np.lexsort((ids, lengths))] = np.arange(len(ids))
        columns = [pa.array(ranks), pa.array([[str(part), ids[0], ids[-1]]] * len(ids), pa.list_(pa.string()))]
        answer = pa.RecordBatch.from_arrays(columns, schema=self.stage.adds)
        return {"one row less": answer.slice(1), "other name": answer.rename_columns(["rank", "x"])}.get(
            self.stage.answer, answer
        )


def part_of(id_: str, length: int, parts: int) -> int:
    """What `Ranks` gives: the same in every process."""
    return -1 if length % 2 else zlib.crc32(id_.encode()) % parts
