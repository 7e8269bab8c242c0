"""The rounds of ordering: rows are counted, a sample of large groups makes their buckets, and buckets are counted.

    count    rows of each group; a group that fits into one bucket needs no more
    sample   vectors of the rows with the smallest hashes, as many as the buckets need: centroids, chained by similarity
    size     rows of each part, twice if a bucket is too large

A sample is all rows below a hash, so what is held does not grow with the shards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.contract import State
from stages.errors import ConfigError
from stages.order_groups import Group, Groups, as_state, by_group, first_parts, groups_in, placed_rows
from stages.order_rows import Rows, check_sizes
from stages.ordering_kmeans import centroids
from stages.ordering_modes import Windows, ordered
from stages.ordering_neighbours import neighbours
from stages.ordering_vectors import Units

if TYPE_CHECKING:
    from stages.order import Order

MOST_GROUPS = 10_000
SAMPLE_OF_BUCKET = 256
"""Rows of the sample for each bucket that is wanted."""
MOST_SAMPLE = 262_144
"""Rows of all samples; 134 MB of 256 numbers."""
MARGIN = 0.8
"""Of the largest part: what the sample may show, since it is a sample."""
CHAINED_BY = 10
"""Neighbours of a centroid that the chain may follow."""


@dataclass(frozen=True)
class Partial:
    """What is known of some rows after a round; of each group what the round asks for."""

    sizes: tuple[int, ...] = ()
    """count: lengths of vectors that occur."""
    counts: Mapping[str, npt.NDArray[np.int64]] | None = None
    """count: rows with and without a vector. size: rows of each part."""
    samples: Mapping[str, tuple[npt.NDArray[np.uint64], Units]] | None = None
    """sample: hashes (m,), and vectors (m, dimensions)."""


def surveyed(state: State, rows: Rows) -> Partial:
    """What some rows say in a round."""
    if state["phase"] == "count":
        both = {name: rows.usable[rows.group == number] for number, name in enumerate(rows.names)}
        counts = {name: np.array([found.sum(), (~found).sum()]) for name, found in both.items()}
        return Partial((rows.dimensions,) if rows.dimensions else (), counts)
    groups = groups_in(state)
    if state["phase"] == "size":
        return Partial(counts=_part_counts(groups, rows))
    found = {}
    for name, members, vectors in by_group(rows):
        hashes = rows.hashes[members[rows.usable[members]], 0]
        chosen = hashes >> np.uint64(32) < groups[name].bar
        if chosen.any():
            found[name] = (hashes[chosen], vectors[chosen])
    return Partial(samples=found)


def merged(partials: Sequence[Partial]) -> Partial:
    """One partial for the rows of several of a round. Raises ConfigError for several lengths, or too many groups."""
    sizes = sorted({size for partial in partials for size in partial.sizes})
    check_sizes(sizes)
    counts: dict[str, npt.NDArray[np.int64]] = {}
    samples: dict[str, list[tuple[npt.NDArray[np.uint64], Units]]] = {}
    for partial in partials:
        for name, count in (partial.counts or {}).items():
            counts[name] = counts[name] + count if name in counts else count
        for name, sample in (partial.samples or {}).items():
            samples.setdefault(name, []).append(sample)
    if len(counts) > MOST_GROUPS:
        raise ConfigError(f"order.by: found over {MOST_GROUPS:,} groups: order by a column of fewer values")
    joined = {name: (np.concatenate([s[0] for s in given]), np.concatenate([s[1] for s in given]))
              for name, given in samples.items()}  # fmt: skip
    return Partial(tuple(sizes), counts, joined)


def reduced(settings: "Order", state: State, partial: Partial) -> State:
    """The state after a round."""
    if state["phase"] == "count":
        counts = {name: (int(count[0]), int(count[1])) for name, count in (partial.counts or {}).items()}
        groups = _planned(settings, counts)
        phase = "sample" if any(group.bar for group in groups.values()) else "size"
    elif state["phase"] == "sample":
        groups, phase = _bucketed(settings, state, partial), "size"
    else:
        given = {name: tuple(count.tolist()) for name, count in (partial.counts or {}).items()}
        sized = {name: replace(group, sizes=given[name]) for name, group in groups_in(state).items()}
        groups = {name: _sliced(group, settings.largest) for name, group in sized.items()}
        phase = "done" if groups == sized else "size"
    if phase == "size" and all(_is_whole(group, settings.largest) for group in groups.values()):
        groups = {name: replace(group, sizes=(group.usable, group.without)) for name, group in groups.items()}
        phase = "done"
    return {**state, "phase": phase, "groups": as_state(groups)}


def _planned(settings: "Order", counts: Mapping[str, tuple[int, int]]) -> dict[str, Group]:
    """Groups that are to be divided have a bar for the sample, and too many rows without a vector are sliced."""
    wanted = {name: -(-usable // settings.bucket) for name, (usable, _) in counts.items()}
    total = SAMPLE_OF_BUCKET * sum(number for number in wanted.values() if number > 1)
    share = min(1.0, MOST_SAMPLE / max(total, 1))
    found = {}
    for name, (usable, without) in counts.items():
        rate = min(1.0, SAMPLE_OF_BUCKET * wanted[name] * share / max(usable, 1))
        bar = int(rate * 2**32) if wanted[name] > 1 else 0
        found[name] = Group(usable, without, bar, slices=(1, _slices(without, settings.largest)))
    return found


def _bucketed(settings: "Order", state: State, partial: Partial) -> dict[str, Group]:
    """The groups with the centroids that their samples give."""
    groups = groups_in(state)
    for name, (hashes, sample) in (partial.samples or {}).items():
        group = groups[name]
        ties = np.argsort(np.argsort(hashes, kind="stable")).astype(np.uint64)
        wanted, largest = -(-group.usable // settings.bucket), MARGIN * settings.largest / group.usable
        found = centroids(sample, ties, wanted, largest, state["seed"])
        groups[name] = group.with_centroids(_chained(found))
    return groups


def _chained(found: Units) -> Units:
    """Centroids in an order in which neighbours are similar."""
    ties = np.arange(len(found), dtype=np.uint64)
    near = neighbours(found, CHAINED_BY, ties)
    return found[ordered(found, near, ties, "path", Windows(np.ones(len(found), np.int64), 1))]


def _part_counts(groups: Groups, rows: Rows) -> dict[str, npt.NDArray[np.int64]]:
    counts = np.bincount(placed_rows(groups, rows), minlength=sum(group.parts for group in groups.values()))
    first = first_parts(groups)
    return {name: counts[first[name] : first[name] + group.parts] for name, group in groups.items()}


def _is_whole(group: Group, largest: int) -> bool:
    """Whether the group is one bucket, of a size that is known and not too large."""
    return group.slices == (1, 1) and max(group.usable, group.without) <= largest


def _sliced(group: Group, largest: int) -> Group:
    """Buckets that hold too many rows cut into slices; what is cut already stays."""
    slices, first = [], 0
    for number in group.slices:
        size = group.sizes[first]
        slices.append(_slices(size, largest) if number == 1 else number)
        first += number
    return replace(group, slices=tuple(slices))


def _slices(size: int, largest: int) -> int:
    return 1 if size <= largest else -(-size // max(1, int(MARGIN * largest)))
