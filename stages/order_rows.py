"""What ordering knows of each document: its group, a hash of its id, and its vector, if it has a usable one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ConfigError
from stages.ordering_graph import Longs
from stages.ordering_vectors import Mask, Units, units, usable
from stages.select_rows import id_hashes, strata_of

if TYPE_CHECKING:
    from stages.order import Order


@dataclass(frozen=True)
class Rows:
    """Some documents; arrays of one entry per row, but for `vectors`."""

    names: list[str]
    """Their groups, sorted."""
    group: npt.NDArray[np.int64]
    """Index into `names`."""
    hashes: npt.NDArray[np.uint64]
    """(rows, 2): the seeded hash of the id."""
    usable: Mask
    """Which have a vector that is finite and not zero."""
    vectors: Units
    """(usable rows, dimensions)."""

    @property
    def dimensions(self) -> int:
        """0 if no row is usable."""
        return self.vectors.shape[1] if len(self.vectors) else 0


def rows_of(settings: "Order", batch: pa.RecordBatch, seed: int) -> Rows:
    """What ordering knows of a batch. Raises ConfigError for vectors of several lengths."""
    names, group = strata_of(batch, settings.by)
    found, vectors = vectors_of(batch.column("embedding"))
    return Rows(names, group, id_hashes(batch.column("id").to_pylist(), seed), found, vectors)


def vectors_of(column: pa.ListArray) -> tuple[Mask, Units]:
    """Which rows (n,) of a list column are usable, and their vectors (usable rows, dimensions).

    >>> found, vectors = vectors_of(pa.array([[3.0, 4.0], None, [0.0, 0.0], []], pa.list_(pa.float32())))
    >>> found.tolist(), vectors.tolist()
    ([True, False, False, False], [[9830, 13107]])
    """
    if not len(column):
        return np.empty(0, np.bool_), np.empty((0, 0), np.int16)
    lengths = np.diff(column.offsets.to_numpy()) * np.asarray(column.is_valid())
    sizes = np.unique(lengths[lengths > 0]).tolist()
    check_sizes(sizes)
    found = lengths > 0
    if not sizes:
        return found, np.empty((0, 0), np.int16)
    numbers = column.filter(pa.array(found)).flatten().to_numpy(zero_copy_only=False).reshape(-1, sizes[0])
    good = usable(numbers)
    found[found] = good
    return found, units(numbers[good])


def tokens_of(settings: "Order", rows: pa.RecordBatch) -> Longs:
    """How many each row (n,) has, or is thought to have; at least 1."""
    given = pc.fill_null(rows.column(settings.tokens_from if settings.tokens_from != "bytes" else "text_bytes"), 0)
    counts = given.cast(pa.float64()).to_numpy(zero_copy_only=False)
    per_token = settings.bytes_per_token if settings.tokens_from == "bytes" else 1.0
    found: Longs = np.maximum(np.ceil(counts / per_token), 1).astype(np.int64)
    return found


def check_sizes(sizes: list[int]) -> None:
    """Raise ConfigError for vectors of several lengths: no cosine is defined between them."""
    if len(sizes) > 1:
        raise ConfigError(
            f"order: found vectors of {' and '.join(map(str, sizes[:5]))} numbers in the column 'embedding', expected "
            "all of one length: embed all documents with one model"
        )
