"""The tasks of an exchange: what each reads and writes, and how parts are shared out. See pipeline/exchange.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.pieces import Piece
from pipeline.plan import Step
from pipeline.records import FileRecord
from pipeline.sidecars import base_of, record_name
from pipeline.storage import Store
from pipeline.verdicts import Shard

TASK_BYTES = 128_000_000
"""Of pieces that one task of `solve` reads, unless a single part is larger."""


@dataclass(frozen=True)
class PiecesRecord:
    """A file of pieces."""

    file: FileRecord
    keys: tuple[int, ...]
    """What each piece is of, ascending: the part, or the number of the shard."""
    ends: tuple[int, ...]
    """Byte at which each ends."""
    measures: Any = None
    """What the stage measured of the parts that it solved."""


@dataclass(frozen=True)
class ScatterTask:
    """One shard to scatter."""

    store: Store
    steps: tuple[Step, ...]
    """Those before the stage, and the stage itself."""
    shard: Shard

    @property
    def record_name(self) -> str:
        """Where its record lies."""
        return f"{exchange_directory(self.steps[-1])}/scatter/{base_of(self.shard.file.name)}.json"


@dataclass(frozen=True)
class SolveTask:
    """Parts to solve, from `first` to `last`."""

    store: Store
    steps: tuple[Step, ...]
    first: int
    last: int
    shards: tuple[int, ...]
    """Numbers of the shards that have rows of these parts, ascending."""
    pieces: tuple[Piece, ...]
    """One of each of them."""

    @property
    def record_name(self) -> str:
        """Where its record lies."""
        return f"{exchange_directory(self.steps[-1])}/solved/parts-{self.first}-to-{self.last}.json"


@dataclass(frozen=True)
class GatherTask:
    """One shard whose sidecar is to be put together."""

    store: Store
    step: Step
    shard: Shard
    rows: int
    """That were scattered."""
    pieces: tuple[Piece, ...]

    @property
    def record_name(self) -> str:
        """Where the record of the sidecar lies."""
        return record_name(self.step, self.shard.file.name)


def solve_tasks(store: Store, steps: tuple[Step, ...], scattered: Sequence[PiecesRecord]) -> list[SolveTask]:
    """Tasks for all parts in order of their numbers, each with as many as TASK_BYTES hold, or one."""
    ranges = _ranges(scattered)
    firsts, lasts = (np.array([pair[side] for pair in ranges], dtype=np.int64) for side in (0, 1))
    shards: list[list[int]] = [[] for _ in ranges]
    pieces: list[list[Piece]] = [[] for _ in ranges]
    for number, record in enumerate(scattered):
        keys, bytes_ = np.asarray(record.keys, dtype=np.int64), np.array([0, *record.ends])
        begins = bytes_[np.searchsorted(keys, firsts)].tolist()
        ends = bytes_[np.searchsorted(keys, lasts, side="right")].tolist()
        for index, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            if begin < end:
                shards[index].append(number)
                pieces[index].append(Piece(record.file.name, begin, end))
    return [
        SolveTask(store, steps, *pair, tuple(its_shards), tuple(its_pieces))
        for pair, its_shards, its_pieces in zip(ranges, shards, pieces, strict=True)
    ]


def gather_tasks(
    store: Store, step: Step, shards: Sequence[Shard], scattered: Sequence[PiecesRecord], done: Sequence[PiecesRecord]
) -> list[GatherTask]:
    """One task per shard."""
    pieces: list[list[Piece]] = [[] for _ in shards]
    for record in done:
        for number, begin, end in zip(record.keys, (0, *record.ends[:-1]), record.ends, strict=True):
            pieces[number].append(Piece(record.file.name, begin, end))
    return [
        GatherTask(store, step, shard, found.file.rows, tuple(its_pieces))
        for shard, found, its_pieces in zip(shards, scattered, pieces, strict=True)
    ]


def _ranges(scattered: Sequence[PiecesRecord]) -> list[tuple[int, int]]:
    """First and last part of each task."""
    keys = np.concatenate([np.zeros(0, dtype=np.int64), *(np.asarray(r.keys, dtype=np.int64) for r in scattered)])
    sizes = np.concatenate([np.zeros(0), *(np.diff([0, *record.ends]) for record in scattered)])
    parts, positions = np.unique(keys, return_inverse=True)
    ranges: list[tuple[int, int]] = []
    held = 0.0
    for part, size in zip(parts.tolist(), np.bincount(positions, sizes, len(parts)).tolist(), strict=True):
        if ranges and held + size <= TASK_BYTES:
            ranges[-1], held = (ranges[-1][0], part), held + size
        else:
            ranges.append((part, part))
            held = size
    return ranges


def exchange_directory(step: Step) -> str:
    """Where the files of an exchange lie until it is over."""
    return f"{step.directory}/exchange"
