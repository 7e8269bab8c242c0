"""The traversal of the public code of In-Context Pretraining, for comparison: as it is published, and compiled.

What it does: walk from a document to the first of its 9 nearest that was not seen, along listed edges only; after 21
documents (22 in the first), or where all were seen, begin a new segment at the lowest unseen document. Then, segment
by segment, each document of a shorter one goes before the first of its 9 nearest that lies in another segment,
whatever its length. Where the public code stops with an error (all 9 lie in the document's own), the document stays.
Source: `sort/sort.py` of its repository, whose behaviour this follows and whose text it does not.
"""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from stages.ordering_compiled import kernel
from stages.ordering_graph import Ints

USED, SEGMENT = 9, 21


class Chains(NamedTuple):
    """The rows of each segment, one after the other; -1 where there is none."""

    home: Ints
    """(n,) the segment of each row."""
    after: Ints
    before: Ints
    heads: Ints
    """(segments,)"""


def as_published(ids: Ints) -> list[int]:
    """Lists (n, k) into an order, in the containers of the public code: sets, dictionaries of lists, NumPy's scalars.

    >>> as_published(np.array([[2], [2], [0], [1]], np.int32))
    [0, 3, 1, 2]
    """
    unseen, seen = set(range(len(ids))), set[int]()
    members, home = defaultdict[int, list[int]](list), dict[int, int]()
    segment, length, row = 0, -1, unseen.pop()
    while True:
        members[segment].append(row)
        home[row] = segment
        seen.add(row)
        length += 1
        if not unseen:
            break
        following = next((other for other in ids[row, :USED] if other >= 0 and other not in seen), None)
        if following is None or length >= SEGMENT:
            row, segment, length = unseen.pop(), segment + 1, 0
        else:
            row = following
            unseen.remove(row)
    _merge(ids, members, home)
    return [int(row) for rows in members.values() for row in rows]


def _merge(ids: Ints, members: dict[int, list[int]], home: dict[int, int]) -> None:
    for segment, rows in members.items():
        for row in list(rows) if len(rows) < SEGMENT else ():
            target = next((other for other in ids[row, :USED] if other >= 0 and home[other] != segment), None)
            if target is not None:
                others = members[home[target]]
                others.insert(others.index(target), row)
                home[row] = home[target]
                rows.remove(row)


def compiled(ids: Ints) -> Ints:
    """The same order from the same lists, by kernels: arrays instead of sets, linked lists instead of insertion.

    >>> compiled(np.array([[2], [2], [0], [1]], np.int32)).tolist()
    [0, 3, 1, 2]
    """
    near = np.ascontiguousarray(ids[:, :USED])
    order, home = np.empty(len(near), np.int32), np.full(len(near), -1, np.int32)
    sizes = _segments(near, order, home)
    chains = Chains(home, np.empty_like(home), np.empty_like(home), np.full(len(sizes), -1, np.int32))
    _link(order, chains)
    _move_short(near, sizes, chains)
    _follow(chains, order)
    return order


@kernel
def _segments(ids: Ints, order: Ints, home: Ints) -> Ints:
    """Fill in the order of the walk (n,) and the segment (n,) of each row; the rows of each segment."""
    sizes = np.zeros(len(ids), np.int32)
    segment, lowest, row = -1, 0, -1
    for step in range(len(ids)):
        if row < 0:
            while home[lowest] >= 0:
                lowest += 1
            row, segment = lowest, segment + 1
        order[step], home[row] = row, segment
        sizes[segment] += 1
        own, row = row, -1
        if sizes[segment] < SEGMENT + (segment == 0):
            for other in ids[own]:
                if other >= 0 and home[other] < 0:
                    row = other
                    break
    return sizes[: segment + 1]


@kernel
def _link(order: Ints, chains: Chains) -> None:
    last = -1
    for row in order:
        same = last >= 0 and chains.home[last] == chains.home[row]
        chains.before[row], chains.after[row] = last if same else -1, -1
        if same:
            chains.after[last] = row
        else:
            chains.heads[chains.home[row]] = row
        last = row


@kernel
def _move_short(ids: Ints, sizes: Ints, chains: Chains) -> None:
    """A segment's length is that of its turn; sizes change as rows come and go."""
    waiting = np.empty(len(ids), np.int32)
    for segment in range(len(sizes)):
        held, row = 0, chains.heads[segment] if sizes[segment] < SEGMENT else -1
        while row >= 0:
            waiting[held] = row
            held += 1
            row = chains.after[row]
        for row in waiting[:held]:
            for other in ids[row]:
                if other >= 0 and chains.home[other] != segment:
                    _move(row, other, sizes, chains)
                    break


@kernel
def _move(row: int, target: int, sizes: Ints, chains: Chains) -> None:
    """Take a row out of its segment and put it before another, in that one's."""
    home, after, before, heads = chains
    last, onward = before[row], after[row]
    if last >= 0:
        after[last] = onward
    else:
        heads[home[row]] = onward
    if onward >= 0:
        before[onward] = last
    sizes[home[row]] -= 1
    ahead = before[target]
    if ahead >= 0:
        after[ahead] = row
    else:
        heads[home[target]] = row
    before[row], after[row], before[target] = ahead, target, row
    home[row] = home[target]
    sizes[home[target]] += 1


@kernel
def _follow(chains: Chains, order: Ints) -> None:
    at = 0
    for head in chains.heads:
        row = head
        while row >= 0:
            order[at] = row
            at += 1
            row = chains.after[row]
