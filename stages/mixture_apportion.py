"""From shares to whole contexts: largest remainder, block by block, with what is owed carried to the next block.

All arithmetic is on integers (a share is a multiple of 2 ** -32), so every machine counts the same. In each block a
group gets its exact share rounded down or up; who is rounded up is who is owed most. Groups of share 0 get nothing.
"""

import numpy as np
import numpy.typing as npt

from stages.mixture_simplex import Floats

Longs = npt.NDArray[np.int64]
UNIT = 1 << 32
"""What a share of 1 is."""


def units(mixture: Floats) -> Longs:
    """Shares (m,) as integers that sum to UNIT, by largest remainder; ties go to the first.

    >>> (units(np.array([0.5, 0.25, 0.25])) / UNIT).tolist()
    [0.5, 0.25, 0.25]
    """
    exact = mixture * UNIT
    whole = np.floor(exact).astype(np.int64)
    missing = UNIT - int(whole.sum())
    most = np.argsort(-(exact - whole), kind="stable")[: max(missing, 0)]
    whole[most] += 1
    if missing < 0 or whole.sum() != UNIT:
        whole[int(whole.argmax())] += UNIT - int(whole.sum())
    return whole


class Apportioner:
    """Counts of consecutive blocks for m groups, none beyond its allowance."""

    def __init__(self, allowances: Longs) -> None:
        self.counted = np.zeros(len(allowances), np.int64)
        """Contexts of each group in all blocks so far."""
        self._allowances = allowances
        self._owed = np.zeros(len(allowances), np.int64)
        self._mixture = np.zeros(len(allowances), np.int64)
        self._shape = (0, 0)

    def mix(self, mixture: Longs) -> None:
        """The mixture (in units) of the blocks to come; what is owed is carried over."""
        self._mixture, self._shape = mixture, (0, 0)

    def next(self, size: int) -> Longs:
        """Counts (m,) of a block of `size` contexts; they sum to less where all groups with a share have run out.

        >>> of = Apportioner(np.array([9, 9]))
        >>> of.mix(units(np.array([0.25, 0.75])))
        >>> [of.next(2).tolist() for _ in range(4)]
        [[1, 1], [0, 2], [1, 1], [0, 2]]
        """
        done = (self.counted >= self._allowances) & (self._mixture > 0)
        if done.any():
            self.mix(_spread(UNIT, np.where(done, 0, self._mixture)))
        if not self._mixture.any():
            return np.zeros_like(self.counted)
        if self._shape[0] != size:
            exact = size * self._mixture
            self._whole, self._part = exact >> 32, exact & (UNIT - 1)
            self._shape = size, size - int(self._whole.sum())
        row = self._rounded(self._shape[1])
        if (self.counted + row > self._allowances).any():
            row = self._within(row, size)
        self.counted = self.counted + row
        return row

    def _rounded(self, ups: int) -> Longs:
        """Every share rounded down, but up for the `ups` groups that are owed most."""
        self._owed = self._owed + self._part
        owed = np.where(self._part > 0, self._owed, -(1 << 62))
        up = np.argsort(-owed, kind="stable")[:ups]
        row = self._whole.copy()
        row[up] += 1
        self._owed[up] -= UNIT
        return row

    def _within(self, row: Longs, size: int) -> Longs:
        """The block with nothing beyond the allowances: what is cut goes to the others by their shares."""
        left = self._allowances - self.counted
        shares = self._mixture.copy()
        while (over := row > left).any():
            row = np.minimum(row, left)
            shares[over | (row == left)] = 0
            row = row + _spread(size - int(row.sum()), shares)
        self._owed[row == left] = 0
        return row


def _spread(count: int, shares: Longs) -> Longs:
    """`count` contexts by shares, which need not sum to UNIT; none if all are zero."""
    total = int(shares.sum())
    if not total:
        return np.zeros_like(shares)
    exact = [count * int(share) for share in shares]
    row = np.array([value // total for value in exact], np.int64)
    rest = np.array([value % total for value in exact], np.int64)
    row[np.argsort(-rest, kind="stable")[: count - int(row.sum())]] += 1
    return row
