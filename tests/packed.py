"""A stage that packs as simply as can be, under the name and with the columns of `pack`; and runs that end with it.

`python -m tests.packed OUTPUT WORKERS FILE...` does one in a process of its own.
"""

import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from rich.console import Console

from pipeline.config import InputConfig, RunConfig, ShardsConfig
from pipeline.engines import Engine
from pipeline.engines.local import LocalEngine
from pipeline.manifest import Finished
from pipeline.run import run
from stages.contract import Summary, setting
from stages.tokens import Tokens


@dataclass(frozen=True)
class Packed:
    """Documents one after the other in contexts, a new one where a context is full; `copies` times all over again."""

    name: ClassVar[str] = "pack"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ("tokens", "source")

    context: int = setting(64, "tokens")
    shuffle: bool = setting(True, "whether contexts come in the order of a hash")
    input_ids: bool = setting(True, "whether contexts hold token ids")
    file_mb: float = setting(0.015, "of a file")
    copies: int = setting(1, "of each document")
    buckets: int = setting(3, "of documents; the first is -1")
    least: int = setting(0, "documents with fewer tokens are in no context")
    fault: str = setting("", "what is wrong with the answer")

    @property
    def adds(self) -> pa.Schema:
        lists = (
            ("context", pa.int64()),
            ("context_place", pa.int32()),
            ("context_begin", pa.int64()),
            ("context_end", pa.int64()),
        )
        fields = [pa.field("group", pa.string()), *(pa.field(name, pa.list_(kind)) for name, kind in lists)]
        return pa.schema([*fields, pa.field("pack_status", pa.string())])

    def models(self) -> Mapping[str, Path]:
        return {}

    def begin(self, seed: int) -> dict[str, Any]:
        return {}

    def survey(self, state: Mapping[str, Any], rows: pa.RecordBatch) -> None: ...

    def merge(self, partials: Sequence[Any]) -> None: ...

    def reduce(self, state: Mapping[str, Any], partial: Any) -> dict[str, Any]:
        return {}

    def finished(self, state: Mapping[str, Any]) -> bool:
        return True

    def summary(self, state: Mapping[str, Any]) -> Summary:
        return Summary((), (), ())

    def open_parts(self, state: Mapping[str, Any]) -> "PackedParts":
        return PackedParts(self)

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        return pa.nulls(annotations.num_rows, pa.string())


@dataclass(frozen=True)
class PackedParts:
    stage: Packed

    def part(self, rows: pa.RecordBatch) -> np.ndarray:
        ids = rows.column("id").to_pylist()
        return np.array([zlib.crc32(id_.encode()) % self.stage.buckets - 1 for id_ in ids], np.int32)

    def solve(self, part: int, rows: pa.RecordBatch) -> pa.RecordBatch:
        columns = (rows.column(name).to_pylist() for name in ("tokens", "source"))
        documents = list(enumerate(zip(*columns, strict=True)))
        found: list[list[tuple[int, int, int, int]]] = [[] for _ in documents]
        filled: dict[str, tuple[int, int]] = {}
        made = 0
        for _ in range(self.stage.copies):
            for number, (tokens, group) in documents:
                begin = 0
                while begin < tokens >= self.stage.least:
                    context, place = filled.get(group, (-1, self.stage.context))
                    if place == self.stage.context:
                        context, place, made = made, 0, made + 1
                    end = min(tokens, begin + self.stage.context - place)
                    found[number].append(((part << 32) + context, place, begin, end))
                    filled[group] = context, place + end - begin
                    begin = end
        self._spoil(found)
        answer: list[Any] = [pa.array([f"{group}/ä" for _, (_, group) in documents])]
        for place, kind in enumerate((pa.int64(), pa.int32(), pa.int64(), pa.int64())):
            answer.append(pa.array([[span[place] for span in spans] or None for spans in found], pa.list_(kind)))
        answer.append(pa.array(["packed" if spans else "no_tokens" for spans in found]))
        return pa.RecordBatch.from_arrays(answer, schema=self.stage.adds)

    def _spoil(self, found: list[list[tuple[int, int, int, int]]]) -> None:
        spoilt = next((spans for spans in found if len(spans) > 1), None)
        if spoilt is None:
            return
        context, place, begin, end = spoilt[0]
        if self.stage.fault == "lost":
            spoilt.pop()
        elif self.stage.fault == "gap":
            spoilt[0] = context, place + 1, begin, end
        elif self.stage.fault == "twice":
            spoilt[1] = spoilt[0]
        elif self.stage.fault == "long":
            spoilt[0] = context, place, begin, end + 1
            spoilt[1] = *spoilt[1][:2], end + 1, spoilt[1][3]


def config(paths: Sequence[Path | str], output: Path | str, *chain: Any, **options: Any) -> RunConfig:
    """Tokens by bytes, contexts of 64, files of some hundred; `seed` and `split_mb` may be given."""
    settings = InputConfig(tuple(str(path) for path in paths), split_mb=options.get("split_mb", 0.05))
    stages = chain or (Tokens("bytes"), Packed())
    return RunConfig(settings, str(output), stages, ShardsConfig(text_mb=0.3), options.get("seed", 3))


def go(made: RunConfig, engine: Engine | None = None) -> Finished:
    """The finished run, on a local engine of one worker by default."""
    return run(made, engine or LocalEngine(1), Console(quiet=True))


if __name__ == "__main__":
    with LocalEngine(int(sys.argv[2])) as pool:
        go(config(sys.argv[3:], sys.argv[1]), pool)
