"""Whether two texts are about the same: by the runs of tokens that they share.

Source: "On the resemblance and containment of documents" (SEQUENCES 1997).
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
WIDTH = 5
RESEMBLANCE = 0.5
CONTAINMENT = 0.8
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
START = 0xD1B54A32D192ED03
"""Far from small numbers, so that no token undoes what the width put in."""


def shingles(tokens: npt.ArrayLike, width: int = WIDTH) -> Hashes:
    """The distinct hashes, sorted, of all runs of `width` tokens, given hashes of tokens; of all, if they are fewer.

    >>> len(shingles([1, 2, 3, 1, 2, 3, 1], 3)), len(shingles([1, 2], 3)), len(shingles([], 3))
    (3, 1, 0)
    """
    return np.unique(runs(tokens, width))


def runs(tokens: npt.ArrayLike, width: int = WIDTH) -> Hashes:
    """The same in the order of the text, with what comes again.

    >>> len(runs([1, 2, 3, 1, 2, 3, 1], 3)), len(runs([1, 2], 3)), len(runs([], 3))
    (5, 1, 0)
    """
    given = np.asarray(tokens, np.uint64)
    width = min(width, len(given))
    if not width:
        return given
    found = np.full(len(given) - width + 1, width * START % 2**64, np.uint64)
    for place in range(width):
        found = (found ^ given[place : place + len(found)]) * MULTIPLIER
        found ^= found >> np.uint64(29)
    return found


def resemblance(one: Hashes, other: Hashes) -> float:
    """What two sets share of all they hold; 1 for two empty ones.

    >>> resemblance(np.array([1, 2, 3], np.uint64), np.array([2, 3, 4], np.uint64))
    0.5
    """
    shared = len(np.intersect1d(one, other, assume_unique=True))
    everything = len(one) + len(other) - shared
    return shared / everything if everything else 1.0


def containment(one: Hashes, other: Hashes) -> float:
    """What two sets share of the smaller; 1 for two empty ones, 0 for one.

    >>> containment(np.array([1, 2, 3], np.uint64), np.array([2, 3], np.uint64))
    1.0
    """
    smaller = min(len(one), len(other))
    if not smaller:
        return float(len(one) == len(other))
    return len(np.intersect1d(one, other, assume_unique=True)) / smaller


def confirmation(
    sets: Sequence[Hashes], least_resemblance: float = RESEMBLANCE, least_containment: float = CONTAINMENT
) -> Callable[[npt.NDArray[np.int32], npt.NDArray[np.int32]], npt.NDArray[np.bool_]]:
    """The `confirm` of `near_duplicates`: shingles resemble each other, or the smaller set is mostly in the larger.

    >>> same = confirmation([shingles(range(20)), shingles(range(15)), shingles(range(50, 70))])
    >>> same(np.array([0, 0], np.int32), np.array([1, 2], np.int32)).tolist()
    [True, False]
    """

    def confirm(ones: npt.NDArray[np.int32], others: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        pairs = [(sets[one], sets[other]) for one, other in zip(ones, others, strict=True)]
        found = [resemblance(*two) >= least_resemblance or containment(*two) >= least_containment for two in pairs]
        return np.array(found, np.bool_)

    return confirm
