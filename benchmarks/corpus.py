"""The input of benchmarks: real documents from the data for benchmarks, in one JSON Lines file, the same each time."""

import io
import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import zstandard
from peers import BenchmarkError


def data_directory() -> Path:
    """The folder `groups` of the data for benchmarks: in $TAMIS_DATA, or beside the repository."""
    named = os.environ.get("TAMIS_DATA")
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    groups = (Path(named) if named else beside) / "groups"
    if not any(groups.glob("*.jsonl.zst")):
        raise BenchmarkError(
            f"no benchmark data in {groups}: set TAMIS_DATA to the directory that holds groups/*.jsonl.zst"
        )
    return groups


def make_corpus(groups: Path, path: Path, megabytes: float, copies: int = 1) -> None:
    """Write about `megabytes` of text as plain JSON Lines with id, text and source, shuffled with a fixed seed.

    A corpus larger than the data repeats documents; `copies` repeats the whole of it. Ids stay unique.
    """
    documents = sorted(_documents(groups))
    random.Random(0).shuffle(documents)
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("wb") as file:
        for copy in range(copies):
            file.writelines(_lines(documents, megabytes * 1e6, f"-{copy}"))
    partial.replace(path)


def _lines(documents: list[tuple[str, str, str]], size: float, suffix: str) -> Iterator[bytes]:
    written = 0
    for turn in itertools.count():
        for id_, text, source in documents:
            if written >= size:
                return
            written += len(text.encode())
            value = {"id": f"{id_}{suffix}-{turn}", "text": text, "source": source}
            yield json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _documents(groups: Path) -> Iterator[tuple[str, str, str]]:
    for path in sorted(groups.glob("*.jsonl.zst")):
        with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
            for line in io.TextIOWrapper(stream, "utf-8"):
                record = json.loads(line)
                yield record["id"], record["text"], path.name.removesuffix(".jsonl.zst")
