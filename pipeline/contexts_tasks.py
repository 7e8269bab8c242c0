"""The tasks that make packed contexts: what each reads and writes, and what it records. See pipeline/contexts.py."""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from pipeline.contexts_layout import Cell, Layout, folder_of
from pipeline.pieces import Piece
from pipeline.plan import PACK, Step, digest
from pipeline.records import FileRecord, read_record
from pipeline.sidecars import base_of
from pipeline.storage import Store
from pipeline.verdicts import Shard
from stages.errors import ConfigError, EngineError

TOKENS = "tokens"
"""The stage that knows the tokenizer."""
VERSION = "1"
"""Changed whenever the same packing would give other bytes."""
MOST_TASKS = 256
"""That count: what they answer is held by one process."""


class Tokenizer(Protocol):
    """Text to token ids."""

    @property
    def size(self) -> int:
        """Ids are less than this."""
        ...

    def encode(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """The ids of each text."""
        ...


class TokenStage(Protocol):
    """What is needed of the stage `tokens`."""

    @property
    def tokenizer_id(self) -> str:
        """The name of the tokenizer and of its content."""
        ...

    def open_tokenizer(self) -> Tokenizer:
        """The tokenizer, loaded."""
        ...


class PackStage(Protocol):
    """What is needed of the stage `pack`: its settings."""

    context: int
    shuffle: bool
    input_ids: bool
    file_mb: float


@dataclass(frozen=True)
class Making:
    """Contexts to be made: what all tasks know."""

    store: Store
    steps: tuple[Step, ...]
    """Those of documents; the last is `pack`."""
    seed: int

    @property
    def settings(self) -> PackStage:
        """The settings of `pack`."""
        return cast(PackStage, self.steps[-1].stage)

    @cached_property
    def tokens(self) -> Step:
        """The step that counted the tokens. Raises ConfigError if there is none."""
        found = next((step for step in self.steps if step.name == TOKENS), None)
        if found is None:
            raise ConfigError(f"stages: {PACK} needs the tokenizer of the stage {TOKENS}: put {TOKENS} before it")
        return found

    @cached_property
    def directory(self) -> str:
        """Where the records lie; its hash covers everything that the bytes of the contexts depend on."""
        names = ("context", "shuffle", "input_ids", "file_mb")
        facts = {
            "version": VERSION,
            "pyarrow": importlib.metadata.version("pyarrow"),
            "pack": self.steps[-1].hash,
            "settings": {name: getattr(self.settings, name) for name in names},
            "seed": self.seed,
        }
        return f"{self.steps[-1].directory}/contexts-{digest(facts)}"

    @property
    def scratch(self) -> str:
        """Where files lie until all contexts are there."""
        return f"{self.directory}/scratch"


@dataclass(frozen=True)
class CountTask:
    """Some shards whose parts are counted."""

    making: Making
    number: int
    shards: tuple[Shard, ...]

    @property
    def record_name(self) -> str:
        """Where its record lies."""
        return f"{self.making.scratch}/counted/{self.number:05d}.json"


@dataclass(frozen=True)
class CountRecord:
    """What shards hold."""

    cells: tuple[Cell, ...]
    without: int
    """Documents that no context holds, since they have no token."""


@dataclass(frozen=True)
class ScatterTask:
    """One shard whose documents are cut into their parts."""

    making: Making
    shard: Shard

    @property
    def record_name(self) -> str:
        """Where its record lies."""
        return f"{self.making.scratch}/scattered/{base_of(self.shard.file.name)}.json"


@dataclass(frozen=True)
class ScatterRecord:
    """Parts of one shard, one piece for each file that they go to."""

    file: FileRecord
    keys: tuple[int, ...]
    """Numbers of the files, ascending."""
    ends: tuple[int, ...]
    """Byte at which each piece ends."""
    contexts: tuple[int, ...]
    """How many contexts begin in each piece."""


@dataclass(frozen=True)
class FileTask:
    """One file of contexts to put together."""

    making: Making
    group: str
    number: int
    """Over all groups."""
    name: str
    first: int
    """The number in its group of the file's first context."""
    contexts: int
    pieces: tuple[Piece, ...]

    @property
    def record_name(self) -> str:
        """Where its record lies."""
        return f"{self.making.scratch}/written/{self.number:05d}.json"


@dataclass(frozen=True)
class ExampleDocument:
    """A document of an example."""

    id: str
    begin: int
    """The first of its tokens that is in the context."""
    start: str | None
    """The first characters of its text; None if no text was read."""


@dataclass(frozen=True)
class Example:
    """A context to look at."""

    group: str
    context: int
    """Its number in the group."""
    luck: int
    documents: tuple[ExampleDocument, ...]


@dataclass(frozen=True)
class WrittenRecord:
    """A file of contexts."""

    file: FileRecord
    tokens: int
    footer: str
    """Hash of the file's footer, as `pipeline.data` takes it."""
    examples: tuple[Example, ...]


def count_tasks(making: Making, shards: Sequence[Shard]) -> list[CountTask]:
    """Neighbouring shards by turns, at most MOST_TASKS tasks."""
    size = -(-len(shards) // MOST_TASKS) or 1
    begins = range(0, len(shards), size)
    return [CountTask(making, number, tuple(shards[at : at + size])) for number, at in enumerate(begins)]


def file_tasks(making: Making, layout: Layout, scattered: Sequence[ScatterRecord]) -> list[FileTask]:
    """One task for each file that is to hold a context, in order."""
    pieces: dict[int, list[Piece]] = {}
    contexts: dict[int, int] = {}
    for record in scattered:
        begin = 0
        for key, end, count in zip(record.keys, record.ends, record.contexts, strict=True):
            pieces.setdefault(key, []).append(Piece(record.file.name, begin, end))
            contexts[key], begin = contexts.get(key, 0) + count, end
    tasks: list[FileTask] = []
    for group in layout.groups:
        folder, first, part = folder_of(group.name), 0, 0
        for number in range(group.first, group.first + len(group.cuts) + 1):
            if number in pieces:
                name = f"{folder}/part-{part:05d}.parquet"
                found = tuple(pieces[number])
                tasks.append(FileTask(making, group.name, number, name, first, contexts[number], found))
                first, part = first + contexts[number], part + 1
    return tasks


def save_layout(making: Making, layout: Layout) -> None:
    """Record the layout, from which every task of a shard starts."""
    making.store.write_json(_layout(making), layout)


@lru_cache(maxsize=4)
def layout_of(making: Making) -> Layout:
    """The layout, read once per process. Raises EngineError if there is none, which would be a fault of Tamis."""
    found = read_record(making.store, _layout(making), Layout)
    if found is None:
        raise EngineError(f"{making.store.path(_layout(making))} is missing, which is a fault of Tamis: run again")
    return found


def _layout(making: Making) -> str:
    return f"{making.scratch}/layout.json"
