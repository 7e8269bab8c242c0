"""Small measures of arrays that the student rater's statistics are made of; quick on short arrays."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = dict[str, float]
"""Statistics by name, in a fixed order."""


def spread(values: npt.ArrayLike) -> tuple[float, float]:
    """Mean and standard deviation, zeros for nothing.

    >>> spread([1, 3])
    (2.0, 1.0)
    """
    array = np.asarray(values, np.float64)
    if not array.size:
        return 0.0, 0.0
    mean = np.add.reduce(array) / array.size
    off = array - mean
    return float(mean), float(np.add.reduce(off * off) / array.size) ** 0.5


def lengths_of(starts: npt.NDArray[np.int64], end: int) -> npt.NDArray[np.int64]:
    """How long the parts are that start there.

    >>> lengths_of(np.array([0, 3]), 5).tolist()
    [3, 2]
    """
    lengths = np.empty(len(starts), np.int64)
    lengths[:-1] = starts[1:] - starts[:-1]
    lengths[-1] = end - starts[-1]
    return lengths


def share(mask: npt.NDArray[np.bool_]) -> float:
    """Share of True, 0 for nothing."""
    return np.count_nonzero(mask) / max(1, mask.size)
