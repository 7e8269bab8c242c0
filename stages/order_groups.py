"""The buckets of each group: how the rows of a group are divided into parts, and where each part begins in the order.

A part is a bucket, or a slice of one: a bucket that holds more rows than one process may, since their vectors are all
the same or the sample missed them, is cut by a hash of the id. The rows without a vector are the last bucket.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.contract import State
from stages.order_rows import Rows
from stages.ordering_graph import Ints, Longs
from stages.ordering_kmeans import nearest
from stages.ordering_vectors import Units

ROWS_AT_ONCE = 2_048


@dataclass(frozen=True)
class Group:
    """One group; a value for JSON."""

    usable: int
    """Rows with a vector."""
    without: int
    """Rows without."""
    bar: int = 0
    """Rows are in the sample if the upper 32 bits of their hash are smaller; 0: no sample is needed."""
    dimensions: int = 0
    centres: str = ""
    """Centroids (buckets, dimensions) in the order of their chain, int16 in base64; empty for one bucket."""
    slices: tuple[int, ...] = (1, 1)
    """Parts of each bucket; the last is that of the rows without a vector."""
    sizes: tuple[int, ...] = ()
    """Rows of each part; empty until they are known."""

    @cached_property
    def centroids(self) -> Units:
        """(buckets, dimensions); none for one bucket."""
        return np.frombuffer(base64.b64decode(self.centres), "<i2").reshape(-1, max(1, self.dimensions))

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return sum(self.slices)

    @property
    def begins(self) -> Longs:
        """The first place of each part in the order of the group."""
        found: Longs = np.cumsum([0, *self.sizes])[:-1]
        return found

    def with_centroids(self, found: Units) -> "Group":
        """The same with these buckets, one slice each."""
        text = base64.b64encode(np.ascontiguousarray(found, "<i2").tobytes()).decode()
        slices = (*[1] * len(found), self.slices[-1])
        return replace(self, centres=text, dimensions=found.shape[1], slices=slices)

    def placed(self, vectors: Units, usable: npt.NDArray[np.bool_], hashes: npt.NDArray[np.uint64]) -> Ints:
        """The part of each row (n,), counted from 0; `vectors` are those of the usable rows, `hashes` (n,)."""
        bucket = np.full(len(usable), len(self.slices) - 1, np.int64)
        bucket[usable] = self._homes(vectors)
        slices = np.array(self.slices)
        first = np.cumsum(slices) - slices
        within = (hashes % slices[bucket].astype(np.uint64)).astype(np.int64)
        found: Ints = (first[bucket] + within).astype(np.int32)
        return found

    def _homes(self, vectors: Units) -> Ints:
        found = np.zeros(len(vectors), np.int32)
        if len(self.centroids) > 1:
            for begin in range(0, len(vectors), ROWS_AT_ONCE):
                part = slice(begin, begin + ROWS_AT_ONCE)
                found[part] = nearest(vectors[part], self.centroids, 1)[:, 0]
        return found


Groups = Mapping[str, Group]


def groups_in(state: State) -> dict[str, Group]:
    """The groups of a state, sorted by name."""
    return {name: _group(value) for name, value in sorted(state["groups"].items())}


def as_state(groups: Groups) -> dict[str, Any]:
    """The same as values for JSON."""
    return {name: asdict(group) for name, group in sorted(groups.items())}


def first_parts(groups: Groups) -> dict[str, int]:
    """The number of the first part of each group: parts are counted over all groups.

    >>> first_parts({"a": Group(9, 0), "b": Group(9, 0)})
    {'a': 0, 'b': 2}
    """
    parts = [group.parts for group in groups.values()]
    return dict(zip(groups, (np.cumsum([0, *parts])[:-1]).tolist(), strict=True))


def by_group(rows: Rows) -> Iterator[tuple[str, Longs, Units]]:
    """The name of each group, the indices of its rows, and the vectors of those that have one."""
    vector = np.cumsum(rows.usable) - 1
    for number, name in enumerate(rows.names):
        members = np.flatnonzero(rows.group == number)
        yield name, members, rows.vectors[vector[members[rows.usable[members]]]]


def placed_rows(groups: Groups, rows: Rows) -> Ints:
    """The part of each row (n,), counted over all groups."""
    found, first = np.empty(len(rows.group), np.int32), first_parts(groups)
    for name, members, vectors in by_group(rows):
        part = groups[name].placed(vectors, rows.usable[members], rows.hashes[members, 1])
        found[members] = first[name] + part
    return found


def _group(value: Mapping[str, Any]) -> Group:
    return Group(**{**value, "slices": tuple(value["slices"]), "sizes": tuple(value["sizes"])})
