"""The finaliser of splitmix64: numbers to numbers that look random, the same on every machine and version of numpy."""

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
GOLDEN = 0x9E3779B97F4A7C15


def mixed(values: Keys) -> Keys:
    """Every bit of the answer depends on every bit of the value; different values give different answers.

    Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.

    >>> [f"{value:016x}" for value in mixed(np.array([GOLDEN, 2], np.uint64)).tolist()]
    ['e220a8397b1dcdaf', 'dbd238973a2b148a']
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
