"""Which packed context comes when, and in which file: the trainer's order as numbers, cut into ranges.

A context has a key of 64 bits: a seeded hash of its number, or the number itself. A group's contexts come in order of
their keys, and a file of a group holds a range of keys. So each task of a shard finds the file of every part by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import xxhash

from pipeline.documents import some_names
from stages.errors import ConfigError
from stages.splitmix import GOLDEN, Keys, mixed

Longs = npt.NDArray[np.int64]

BUCKET_BITS = 32
"""A context's number is that of its bucket, and below it that in the bucket."""
TOKEN_BYTES = 4
"""Of one id in a file, before compression."""
PART_BYTES = 48
"""Of what else a file holds of one part, about."""
CANDIDATES = 1000
"""Contexts, about, from which the examples are chosen."""
MOST_GROUPS = 10_000
MOST_NAME = 200
"""Bytes of a group's name in a path."""
_KEYS = 1 << 64


@dataclass(frozen=True)
class Cell:
    """What was counted of a group, in one bucket or (where their order does not matter) in all."""

    group: str
    bucket: int
    documents: int
    contexts: int
    parts: int
    tokens: int
    first: int
    """The smallest number of a context in the bucket."""
    last: int
    """The largest."""


@dataclass(frozen=True)
class GroupLayout:
    """The files of a group."""

    name: str
    first: int
    """The number of its first file, over all groups."""
    cuts: tuple[int, ...]
    """The smallest key of each file but the first."""


@dataclass(frozen=True)
class Layout:
    """The files of all groups, and what every task is to know beside."""

    groups: tuple[GroupLayout, ...]
    seed: int
    shuffle: bool
    tokenizer: str
    wide: bool
    """Whether ids need more than 16 bits."""
    candidates: int
    """Contexts with a hash of at most this may become examples."""

    def keys(self, group: str, contexts: Longs) -> Keys:
        """The key of each context (n,): a group's contexts come in the order of their keys."""
        return hashed(contexts, f"{self.seed}:{group}") if self.shuffle else ordered(contexts)

    def luck(self, group: str, contexts: Longs) -> Keys:
        """A hash of each context (n,) by which examples are chosen."""
        return hashed(contexts, f"{self.seed}:{group}:example")

    def is_candidate(self, group: str, contexts: Longs) -> npt.NDArray[np.bool_]:
        """Whether each context (n,) may become an example."""
        return self.luck(group, contexts) <= np.uint64(self.candidates)

    def files(self, group: str, contexts: Longs) -> Longs:
        """The number of the file, over all groups, of each context (n,)."""
        its = self._by_name[group]
        cuts = np.array(its.cuts, np.uint64)
        return its.first + np.searchsorted(cuts, self.keys(group, contexts), side="right").astype(np.int64)

    @cached_property
    def _by_name(self) -> dict[str, GroupLayout]:
        return {group.name: group for group in self.groups}


def merged(cells: Iterable[Cell]) -> list[Cell]:
    """One cell for each group and bucket, in their order. Raises ConfigError if there are too many groups."""
    found: dict[tuple[str, int], Cell] = {}
    for cell in cells:
        before = found.get((cell.group, cell.bucket))
        found[cell.group, cell.bucket] = _sum(before, cell) if before else cell
    groups = {group for group, _ in found}
    if len(groups) > MOST_GROUPS:
        raise ConfigError(
            f"pack: found {len(groups):,} groups ({some_names(groups, 3)}), expected at most {MOST_GROUPS:,}: choose "
            "columns for `by` with fewer values"
        )
    return [found[key] for key in sorted(found)]


def cuts_of(cells: Sequence[Cell], file_bytes: float, *, input_ids: bool, shuffle: bool) -> tuple[int, ...]:
    """Where a group, of which `cells` are all in order, is cut into files of about `file_bytes` each.

    >>> cell = Cell("a", bucket=0, documents=1, contexts=4, parts=4, tokens=0, first=0, last=3)
    >>> [f"{cut:x}" for cut in cuts_of([cell], 2 * PART_BYTES, input_ids=True, shuffle=False)]
    ['8000000000000002']
    >>> [f"{cut:x}" for cut in cuts_of([cell], 2 * PART_BYTES, input_ids=True, shuffle=True)]
    ['8000000000000000']
    """
    weights = [cell.tokens * TOKEN_BYTES * input_ids + cell.parts * PART_BYTES for cell in cells]
    total = sum(weights)
    files = max(1, int(-(-total // max(1, file_bytes))))
    if shuffle:
        return tuple(_KEYS * number // files for number in range(1, files))
    return tuple(dict.fromkeys(_cut(cells, weights, total * number, files) for number in range(1, files)))


def folder_of(group: str) -> str:
    """The directory of a group. Raises ConfigError if its name is too long for one.

    >>> folder_of("web/de")
    'contexts/group=web%2Fde'
    """
    name = quote(group, safe="", errors="surrogatepass")
    if len(name) > MOST_NAME:
        raise ConfigError(
            f"pack: the group {some_names([group], 1)} has a name of {len(name):,} bytes in a path, expected at most "
            f"{MOST_NAME}: choose columns for `by` with shorter values, or shorten them by the setting `group`"
        )
    return f"contexts/group={name}"


def most_luck(contexts: int) -> int:
    """The hash that about CANDIDATES of so many contexts do not exceed."""
    return min(_KEYS, _KEYS * CANDIDATES // max(1, contexts)) - 1


def layout_groups(cuts: Mapping[str, tuple[int, ...]]) -> tuple[GroupLayout, ...]:
    """The files of groups, numbered in the order of names."""
    groups, first = [], 0
    for name in sorted(cuts):
        groups.append(GroupLayout(name, first, cuts[name]))
        first += len(cuts[name]) + 1
    return tuple(groups)


def hashed(contexts: Longs, seed: str) -> Keys:
    """A seeded hash of each number (n,); different numbers have different ones."""
    start = np.uint64(xxhash.xxh3_64_intdigest(seed.encode("utf-8", "surrogatepass")))
    return mixed(mixed(contexts.astype(np.uint64) * np.uint64(GOLDEN)) ^ start)


def ordered(contexts: Longs) -> Keys:
    """Keys (n,) in the order of the numbers, which may be negative."""
    return contexts.astype(np.uint64) ^ np.uint64(1 << 63)


def _cut(cells: Sequence[Cell], weights: Sequence[int], target: int, files: int) -> int:
    """The key before which `target / files` of the weight lies, contexts of a bucket taken as equal."""
    for cell, weight in zip(cells, weights, strict=True):
        if target < weight * files:
            number = cell.first + target * (cell.last - cell.first + 1) // (weight * files)
            return (cell.bucket << BUCKET_BITS) + number + (1 << 63)
        target -= weight * files
    raise AssertionError("a cut lies behind the last bucket")


def _sum(one: Cell, other: Cell) -> Cell:
    return replace(
        one,
        documents=one.documents + other.documents,
        contexts=one.contexts + other.contexts,
        parts=one.parts + other.parts,
        tokens=one.tokens + other.tokens,
        first=min(one.first, other.first),
        last=max(one.last, other.last),
    )
