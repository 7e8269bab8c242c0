"""A small finished run to look at, with documents that mean ill to pages, and one that a harm filter dropped."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from pipeline.config import InputConfig, RunConfig, ShardsConfig
from pipeline.engines.local import LocalEngine
from pipeline.run import run
from pipeline.view import Viewer
from stages.contract import Annotate, setting
from tests.runs import write_jsonl

EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">'\"&amp;"
RIGHT_TO_LEFT = "\u202eمرحبا بالعالم\u202c שלום"
EMOJI = "👩‍👩‍👧‍👦 🏳️‍🌈"
HUGE = "many words " * 95_000
HARMFUL_TEXT = "an unspeakable sentence"


@dataclass(frozen=True)
class Lengths:
    """Adds the number of characters and what a letter says; drops short texts."""

    name: ClassVar[str] = "lengths"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ("text",)
    adds: ClassVar[pa.Schema] = pa.schema([pa.field("length", pa.int32()), pa.field("lang", pa.string())])

    least: int = setting(0, "characters below which a text is dropped", filter=True)
    scale: int = setting(1, "no threshold")

    def models(self) -> dict[str, Path]:
        return {}

    def open(self) -> Annotate:
        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            lengths = pc.utf8_length(batch.column("text")).cast(pa.int32())
            return pa.RecordBatch.from_arrays(
                [lengths, pc.utf8_slice_codeunits(batch.column("text"), 0, 1)], schema=self.adds
            )

        return annotate

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        short = pc.less(annotations.column("length"), self.least)
        return pc.if_else(short, "short", pa.scalar(None, pa.string()))


@dataclass(frozen=True)
class Perplexity:
    """Stands for the harm filter: what says `unspeakable` is harmful."""

    name: ClassVar[str] = "perplexity"
    version: ClassVar[str] = "test"
    libraries: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ("text",)
    adds: ClassVar[pa.Schema] = pa.schema([pa.field("harmful_ratio", pa.float32())])

    threshold: float = setting(0.5, "above it a text is harmful", filter=True)

    def models(self) -> dict[str, Path]:
        return {}

    def open(self) -> Annotate:
        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            found = pc.match_substring(batch.column("text"), "unspeakable")
            return pa.RecordBatch.from_arrays([pc.if_else(found, 1.0, -1.0).cast(pa.float32())], schema=self.adds)

        return annotate

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        harmful = pc.greater(annotations.column("harmful_ratio"), self.threshold)
        return pc.if_else(harmful, "harmful", pa.scalar(None, pa.string()))


def rows() -> list[dict[str, Any]]:
    """Sixty-five documents, five of them out of the ordinary."""
    plain = [{"id": f"plain-{n:02d}", "text": "word " * (n + 1), "source": f"source-{n % 3}"} for n in range(60)]
    odd = [EVIL, RIGHT_TO_LEFT, EMOJI, HUGE, HARMFUL_TEXT]
    names = [f"<b>{EVIL}</b>", "right-to-left", "emoji", "huge", "harmful"]
    return [*plain, *({"id": id_, "text": text, "source": EVIL} for id_, text in zip(names, odd, strict=True))]


def looked_at(folder: Path, least: int = 20, name: str = "run") -> Path:
    """The directory of a run over them."""
    path = write_jsonl(folder / "in.jsonl", rows())
    chain = (Lengths(least=least), Perplexity())
    config = RunConfig(InputConfig(paths=(str(path),)), str(folder / name), chain, ShardsConfig())
    with LocalEngine(1) as engine:
        run(config, engine, Console(quiet=True))
    return folder / name


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Viewer]:
    """The viewer of a run, answering."""
    with Viewer(str(folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
