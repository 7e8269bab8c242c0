"""Vectors of whole numbers: what is usable, what a similarity is worth; and kernels: compiled as they are written."""

import numpy as np
import pytest

from stages.ordering_compiled import kernel
from stages.ordering_vectors import SCALE, cosine, floats, list_similarities, pair_similarities, units, usable
from tests.ordering_sets import clusters, products


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_rows_that_are_zero_or_not_finite_are_not_usable(kind: type) -> None:
    rows = np.array([[1, 2], [0, 0], [np.nan, 1], [np.inf, 0], [0, -np.inf], [-1, 0]], kind)
    assert usable(rows).tolist() == [True, False, False, False, False, True]
    with pytest.raises(ValueError, match="zero or not finite"):
        units(rows)
    with pytest.raises(ValueError, match="rows, dimensions"):
        units(rows[0])


def test_no_rows() -> None:
    assert usable(np.empty((0, 3), np.float16)).shape == (0,)
    assert units(np.empty((0, 3), np.float16)).shape == (0, 3)


@pytest.mark.parametrize("scale", [1e-7, 1.0, 6e4])
def test_similarities_are_cosines_whatever_the_length(scale: float) -> None:
    rows = np.random.default_rng(0).standard_normal((50, 384))
    rows *= scale / np.abs(rows).max()
    given = rows.astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    ones, others = np.arange(49, dtype=np.int32), np.arange(1, 50, dtype=np.int32)
    found = cosine(pair_similarities(units(given), ones, others))
    np.testing.assert_allclose(found, (unit[:-1] * unit[1:]).sum(axis=1), atol=3e-4)


def test_similarities_are_exact() -> None:
    vectors = clusters(30, dimensions=400)
    ids = np.array([[other, -1] for other in np.roll(np.arange(30), 1)], np.int32)
    found = list_similarities(vectors, ids)
    assert found[:, 0].tolist() == products(vectors)[np.arange(30), ids[:, 0]].tolist()
    assert set(found[:, 1].tolist()) == {-SCALE}
    assert floats(vectors).dtype == np.float32


@kernel
def _half(value: int) -> int:
    return value // 2


@kernel
def _quarter(value: int, less: int = 1) -> int:
    return _half(_half(value)) - less


def test_a_kernel_calls_others_and_keeps_its_defaults() -> None:
    assert _quarter(40) == _quarter.plain(40) == 9
    assert _quarter(40, 2) == 8
    assert _quarter.__name__ == "_quarter"
