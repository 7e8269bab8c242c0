"""The order of training data, as arithmetic: which context has which place, and which place has which context.

A schedule is segments (ranges of sample indices, each with a mixture) cut into blocks. A block's counts are from
`mixture_apportion`, its order is a permutation from (seed, the block's first sample), and contexts of a group come in
their own order, over and over: the k-th drawn is context `k mod n` in epoch `k div n`. So cumulative counts say all,
and no process needs to see all rows. The table of blocks grows as far as it is asked about, one row of m counts a
block; a question costs a binary search in it and one block.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.mixture_apportion import Apportioner, Longs, units
from stages.splitmix import GOLDEN, mixed

Ints = npt.NDArray[np.int64]

_NEVER = 1 << 62


class Place(NamedTuple):
    """What is drawn at a sample index."""

    group: str
    drawn: int
    """k: how many contexts of the group were drawn before."""
    context: int
    """Which context of the group it is: k mod its size."""
    epoch: int


class Block(NamedTuple):
    """Consecutive samples: for each the group's number and k."""

    begin: int
    groups: Ints
    drawn: Ints


@dataclass(frozen=True)
class Span:
    """Samples from `begin` to before `end`, on one mixture."""

    begin: int
    end: int
    mixture: Mapping[str, float]
    kind: str = "train"


class Schedule:
    """The data order of a run; `extend` appends to it, nothing that was answered ever changes.

    >>> schedule = Schedule({"a": 2, "b": 9}, block=4, seed=0)
    >>> schedule.extend(Span(0, 8, {"a": 0.5, "b": 0.5}))
    >>> [schedule.at(i).group for i in range(8)].count("a"), schedule.find("a", 3) < 8
    (4, True)
    """

    def __init__(
        self, contexts: Mapping[str, int], block: int, seed: int, allowances: Mapping[str, int | None] | None = None
    ) -> None:
        allowed = allowances or {}
        self.groups = tuple(sorted(contexts))
        self.sizes = np.array([contexts[name] for name in self.groups], np.int64)
        self._limits = np.array([_limit(allowed.get(name)) for name in self.groups], np.int64)
        self._number = {name: number for number, name in enumerate(self.groups)}
        self._block, self._seed = block, seed
        self._spans: list[Span] = []
        self._cut = 0
        self._apportion = Apportioner(self._limits)
        self._begins = np.zeros(16, np.int64)
        self._counts = np.zeros((16, len(self.groups)), np.int64)
        self._blocks = 0
        self._grown = 0
        self.run_out: int | None = None
        """The sample at which every group with a share had run out, once the table has got there."""

    @property
    def end(self) -> int:
        """The sample after the last span."""
        return self._spans[-1].end if self._spans else 0

    def extend(self, span: Span) -> None:
        """Append a span; it begins a new block."""
        assert span.begin == self.end and span.end > span.begin, (span, self.end)
        self._spans.append(span)

    def at(self, sample: int) -> Place:
        """What is drawn at a sample index. Raises IndexError outside of the schedule."""
        block = self.block(self._index(sample))
        place = sample - block.begin
        group, drawn = int(block.groups[place]), int(block.drawn[place])
        size = int(self.sizes[group])
        return Place(self.groups[group], drawn, drawn % size, drawn // size)

    def find(self, group: str, drawn: int) -> int:
        """The sample index at which a group's k-th context (over all epochs) is drawn.

        Raises IndexError if the schedule does not come to it.
        """
        number = self._number[group]
        while self._apportion.counted[number] <= drawn and self._grow():
            pass
        if not 0 <= drawn < self._apportion.counted[number]:
            raise IndexError(f"context {drawn} of group '{group}' is not in the schedule, which ends at {self.end}")
        before = self._counts[: self._blocks, number]
        index = int(np.searchsorted(before, drawn, side="right")) - 1
        block = self.block(index)
        return block.begin + int(np.flatnonzero((block.groups == number) & (block.drawn == drawn))[0])

    def counts(self, sample: int) -> Ints:
        """Contexts of each group (m,) in all samples before `sample`."""
        if sample <= 0:
            return np.zeros(len(self.groups), np.int64)
        index = self._index(sample - 1)
        block = self.block(index)
        inside = block.groups[: sample - block.begin]
        total: Ints = self._counts[index] + np.bincount(inside, minlength=len(self.groups))
        return total

    def caps(self, sample: int) -> dict[str, int]:
        """Groups that have run out before `sample`, with the last sample that each gave; none that may give none."""
        counted = self.counts(sample)
        limits = zip(self.groups, counted, self._limits, strict=True)
        done = [name for name, count, limit in limits if count >= limit > 0]
        return {name: self.find(name, int(self._limits[self._number[name]]) - 1) for name in done}

    def blocks(self, begin: int) -> Iterator[Block]:
        """The blocks from the one that holds sample `begin` to the end of what is known."""
        while begin < self.end:
            try:
                block = self.block(self._index(begin))
            except IndexError:
                return
            yield block
            begin = block.begin + len(block.groups)

    def block(self, index: int) -> Block:
        """A block of the table, in the order in which it is drawn."""
        begin = int(self._begins[index])
        last = index + 1 == self._blocks
        after = self._apportion.counted if last else self._counts[index + 1]
        counts = after - self._counts[index]
        groups = np.repeat(np.arange(len(counts)), counts)[permutation(self._seed, begin, int(counts.sum()))]
        drawn = np.empty(len(groups), np.int64)
        firsts = np.repeat(self._counts[index] - np.cumsum(counts) + counts, counts)
        drawn[np.argsort(groups, kind="stable")] = firsts + np.arange(len(groups))
        return Block(begin, groups, drawn)

    def _index(self, sample: int) -> int:
        """The number of the block that holds a sample."""
        while self._grown <= sample and self._grow():
            pass
        if not 0 <= sample < self._grown:
            raise IndexError(f"sample {sample} is not in the schedule, which ends at {self.run_out or self.end}")
        return int(np.searchsorted(self._begins[: self._blocks], sample, side="right")) - 1

    def _grow(self) -> bool:
        """Append a block to the table; False if there is none."""
        while self._cut < len(self._spans) and self._spans[self._cut].end <= self._grown:
            self._cut += 1
        if self._cut == len(self._spans) or self.run_out is not None:
            return False
        span = self._spans[self._cut]
        if self._grown == span.begin:
            self._apportion.mix(units(np.array([span.mixture[name] for name in self.groups])))
        before = self._apportion.counted
        size = min(self._block, span.end - self._grown)
        count = int(self._apportion.next(size).sum())
        if count < size:
            self.run_out = self._grown + count
        if count:
            self._append(self._grown, before)
            self._grown += count
        return count > 0

    def _append(self, begin: int, before: Longs) -> None:
        if self._blocks == len(self._begins):
            self._begins = np.concatenate([self._begins, np.zeros_like(self._begins)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._begins[self._blocks], self._counts[self._blocks] = begin, before
        self._blocks += 1


def permutation(seed: int, begin: int, size: int) -> Ints:
    """A permutation of `size` that depends on the seed and the block alone, on every machine and version of numpy.

    >>> sorted(permutation(1, 64, 5).tolist()), permutation(1, 64, 5).tolist() == permutation(1, 64, 5).tolist()
    ([0, 1, 2, 3, 4], True)
    """
    key = mixed(mixed(np.array([seed], np.int64).astype(np.uint64)) ^ np.array([begin], np.uint64))
    keys = mixed(key + np.arange(size, dtype=np.uint64) * np.uint64(GOLDEN))
    return np.argsort(keys, kind="stable").astype(np.int64)


def _limit(allowance: int | None) -> int:
    return _NEVER if allowance is None else allowance
