"""One part: its near-duplicates, and the order of the others."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.contract import State
from stages.order_groups import Group, first_parts, groups_in, placed_rows
from stages.order_rows import rows_of, tokens_of
from stages.order_sketches import confirmation, sketch_hashes
from stages.ordering_duplicates import Confirm, compact, near_duplicates
from stages.ordering_graph import Ints
from stages.ordering_measures import consecutive
from stages.ordering_modes import Mode, Windows, ordered
from stages.ordering_neighbours import Neighbours, Ties, neighbours, recall
from stages.ordering_vectors import Units

if TYPE_CHECKING:
    from stages.order import Order

PLACED, DUPLICATE, NO_VECTOR = "placed", "duplicate", "no_vector"
HEADROOM = 2
"""Times as many neighbours are searched as are wanted, since duplicates leave gaps in the lists."""
SHORT = 0.05
"""Share of rows whose lists may have gaps all the same, before they are searched again."""
RECALLED = 100
"""Rows of each part whose neighbours are compared with the true ones."""


@dataclass(frozen=True)
class Solved:
    """What is found of the rows of a part; arrays (n,)."""

    sequence: Ints
    """The rows in their order: those that are placed, and then the duplicates."""
    fell_to: Ints
    """The row that each is a duplicate of, or -1."""
    recall: float
    """Of the neighbour lists, on a sample."""
    near: Ints
    """(placed rows, k): the neighbours of those that are placed, most similar first, as places among them; -1: none."""


@dataclass(frozen=True)
class OrderParts:
    """The parts of ordering with a finished state."""

    settings: "Order"
    seed: int
    groups: Mapping[str, Group]

    @classmethod
    def of(cls, settings: "Order", state: State) -> "OrderParts":
        """With FAISS on as many threads as the settings say."""
        import faiss

        faiss.omp_set_num_threads(settings.threads)
        return cls(settings, state["seed"], groups_in(state))

    def part(self, rows: pa.RecordBatch) -> np.ndarray:
        """The bucket of each row, or its slice, counted over all groups; see `order_groups`."""
        return placed_rows(self.groups, rows_of(self.settings, rows, self.seed))

    def solve(self, part: int, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The added columns of the rows of a part, which come sorted by id."""
        known = rows_of(self.settings, rows, self.seed)
        first, group = self._group(part)
        assert len(known.names) == 1, "a part belongs to one group"
        assert group.sizes[part - first] == rows.num_rows, "a part holds what was counted"
        begin = int(group.begins[part - first])
        if not known.usable.all():
            return _without_vector(self.settings, rows.num_rows, begin)
        solved = solve(self.settings, rows, known.vectors, _ties(known.hashes))
        return _answer(self.settings, part, begin, rows.column("id"), known.vectors, solved)

    def _group(self, part: int) -> tuple[int, Group]:
        """The group of a part, and the number of its first one."""
        firsts = list(self._firsts.values())
        at = bisect_right(firsts, part) - 1
        return firsts[at], self.groups[list(self._firsts)[at]]

    @cached_property
    def _firsts(self) -> dict[str, int]:
        return first_parts(self.groups)


def solve(settings: "Order", rows: pa.RecordBatch, vectors: Units, ties: Ties) -> Solved:
    """Duplicates and order of the rows (n, dimensions) of a bucket; `ties` (n,) are hashes of the ids."""
    count = len(vectors)
    wide = neighbours(vectors, settings.neighbours * HEADROOM, ties, threads=settings.threads)
    fell_to = np.full(count, -1, np.int32)
    if settings.duplicates:
        confirm: Confirm = _confirm_all
        alike = None
        if settings.confirm == "shingles":
            sketches = rows.column("embedding_shingles")
            confirm, alike = confirmation(sketches, settings.resemblance), sketch_hashes(sketches)
        fell_to = near_duplicates(vectors, wide, _ranks(settings, rows), settings.duplicates, confirm, alike)
    kept = fell_to < 0
    near = _lists(settings, vectors, wide, kept, ties)
    windows = Windows(tokens_of(settings, rows)[kept], settings.context)
    places = ordered(vectors[kept], near, ties[kept], cast(Mode, settings.mode), windows)
    sequence = np.concatenate([np.flatnonzero(kept)[places], np.flatnonzero(~kept)]).astype(np.int32)
    return Solved(sequence, fell_to, recall(vectors, wide, ties, RECALLED), _by_place(near.ids, places))


def _by_place(ids: Ints, places: Ints) -> Ints:
    """Neighbour lists (n, k) in the order `places` (n,), as places in it; -1 stays.

    >>> _by_place(np.array([[1, 2], [2, -1], [0, 1]], np.int32), np.array([2, 0, 1], np.int32)).tolist()
    [[1, 2], [2, 0], [0, -1]]
    """
    numbers = np.empty(len(places) + 1, np.int32)
    numbers[places], numbers[-1] = np.arange(len(places), dtype=np.int32), -1
    found: Ints = numbers[ids[places]]
    return found


def _lists(settings: "Order", vectors: Units, wide: Neighbours, kept: npt.NDArray[np.bool_], ties: Ties) -> Neighbours:
    """The neighbour lists of those that stay, searched again if too many have gaps."""
    near = compact(wide, kept, settings.neighbours)
    most = min(settings.neighbours, int(kept.sum()) - 1)
    if most > 0 and (near.ids.shape[1] < most or (near.ids[:, most - 1] < 0).mean() > SHORT):
        return neighbours(vectors[kept], settings.neighbours, ties[kept], threads=settings.threads)
    return near


def _confirm_all(ones: Ints, others: Ints) -> npt.NDArray[np.bool_]:
    return np.ones(len(ones), np.bool_)


def _ties(hashes: npt.NDArray[np.uint64]) -> Ties:
    """All different, in the order of the hashes (n, 2)."""
    found = np.empty(len(hashes), np.uint64)
    found[np.lexsort((hashes[:, 1], hashes[:, 0]))] = np.arange(len(hashes), dtype=np.uint64)
    return found


def _ranks(settings: "Order", rows: pa.RecordBatch) -> Ints:
    """All different: the most preferred first, those without a value last, ties to the smaller id."""
    ranks = np.arange(rows.num_rows, dtype=np.int32)
    if settings.prefer:
        values = pc.fill_null(rows.column(settings.prefer).cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
        ranks[np.argsort(-values, kind="stable")] = np.arange(rows.num_rows, dtype=np.int32)
    return ranks


def _answer(
    settings: "Order", part: int, begin: int, ids: pa.StringArray, vectors: Units, solved: Solved
) -> pa.RecordBatch:
    count, placed = len(vectors), solved.fell_to < 0
    position = np.empty(count, np.int64)
    position[solved.sequence] = begin + np.arange(count)
    stays = pa.array(placed)
    columns = [
        pa.array(np.full(count, part, np.int32)),
        pa.array(position),
        ids.take(pa.array(solved.fell_to, mask=placed)),
        pc.if_else(stays, PLACED, DUPLICATE),
        _similarities(vectors, solved.sequence[: placed.sum()]),
        _similarities(vectors, np.flatnonzero(placed).astype(np.int32)),
        pa.array(np.full(count, solved.recall, np.float32)),
        _neighbours(solved.near, solved.sequence, count),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=settings.adds)


def _neighbours(near: Ints, sequence: Ints, count: int) -> pa.Array:
    """Of each of `count` rows its neighbours, by how far their places are from its own; null if it has no place."""
    there = near >= 0
    away = (near - np.arange(len(near), dtype=np.int32)[:, None])[there]
    ends = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(ends), pa.array(away, pa.int32()))
    places = np.full(count, -1, np.int64)
    places[sequence[: len(near)]] = np.arange(len(near))
    return lists.take(pa.array(places, mask=places < 0))


def _similarities(vectors: Units, order: Ints) -> pa.Array:
    """Of each row (n,) to the one before it; null for the first, and those that are not in the order."""
    found = np.zeros(len(vectors), np.float32)
    missing = np.ones(len(vectors), np.bool_)
    found[order[1:]] = consecutive(vectors, order)
    missing[order[1:]] = False
    return pa.array(found, mask=missing)


def _without_vector(settings: "Order", count: int, begin: int) -> pa.RecordBatch:
    """By id, at the end of the group."""
    given = {"position": pa.array(begin + np.arange(count)), "order_status": pa.array([NO_VECTOR] * count)}
    columns = [given.get(field.name, pa.nulls(count, field.type)) for field in settings.adds]
    return pa.RecordBatch.from_arrays(columns, schema=settings.adds)
