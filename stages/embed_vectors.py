"""From vectors to columns: windows to documents, length 1, half precision, and the vectors that must not be stored."""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int32]

OK, EMPTY, INVALID = "ok", "empty", "invalid"
"""What the status column says."""

SCHEMA = pa.schema(
    [
        pa.field("embedding", pa.list_(pa.float32())),
        pa.field("embedding_tokens", pa.int32()),
        pa.field("embedding_model", pa.string()),
        pa.field("embedding_status", pa.string()),
        pa.field("embedding_shingles", pa.list_(pa.int32())),
    ]
)
"""Values of half precision in lists of single precision: Spark 4 reads no float16, neither from Parquet nor from Arrow,
and compressed files are hardly larger, since the lower bytes are zeros."""


class Embedded(NamedTuple):
    """Vectors of documents, shape (documents, dimensions), and the tokens that each was made of, 0 for none."""

    vectors: Floats
    tokens: Counts


class Model(Protocol):
    """An open embedding model."""

    name: str
    dimensions: int

    def embed(self, texts: list[str]) -> Embedded:
        """Raw vectors of documents; what one gets does not depend on the others."""
        ...


def weighted_mean(vectors: Floats, weights: Counts, documents: npt.NDArray[np.int64], count: int) -> Embedded:
    """The mean of each document's windows, weighted by tokens; `documents[i]` is the document of window i.

    >>> weighted_mean(np.array([[1, 0], [0, 1]], np.float32), np.array([3, 1], np.int32), np.array([0, 0]), 1).vectors
    array([[0.75, 0.25]], dtype=float32)
    """
    sums = np.zeros((count, vectors.shape[1]), np.float64)
    np.add.at(sums, documents, vectors * weights[:, None].astype(np.float64))
    tokens = np.bincount(documents, weights, count)
    return Embedded((sums / np.maximum(tokens, 1)[:, None]).astype(np.float32), tokens.astype(np.int32))


def finished(found: Embedded, dimensions: int, normalise: bool) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Vectors cut to the first `dimensions`, of length 1 if asked for, rounded to half precision; and which are usable.

    A vector with a value that is not finite, before or after rounding, or with zeros alone, is not.

    >>> vectors, usable = finished(Embedded(np.array([[3, 4, 9], [0, 0, 9]], np.float32), np.array([1, 1])), 2, True)
    >>> vectors[0].round(2).tolist(), usable.tolist()
    ([0.6000000238418579, 0.800000011920929], [True, False])
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        vectors = found.vectors[:, :dimensions].astype(np.float64)
        if normalise:
            vectors /= np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
        rounded = vectors.astype(np.float32).astype(np.float16).astype(np.float32)
        usable: npt.NDArray[np.bool_] = np.isfinite(rounded).all(axis=1) & (rounded != 0).any(axis=1)
        return rounded, usable


def as_batch(found: Embedded, sketches: pa.ListArray, model: Model, dimensions: int, normalise: bool) -> pa.RecordBatch:
    """The added columns: a vector that must not be stored is null, and its status says why."""
    vectors, usable = finished(found, dimensions, normalise)
    usable &= found.tokens > 0
    ends = np.cumsum(usable, dtype=np.int64) * dimensions
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32), pa.int32())
    missing = pa.array(~usable, pa.bool_())
    lists = pa.ListArray.from_arrays(offsets, pa.array(vectors[usable].ravel()), mask=missing)
    status = np.where(usable, OK, np.where(found.tokens > 0, INVALID, EMPTY))
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(usable), np.int8)), [model.name]).cast(pa.string())
    columns = [lists, pa.array(found.tokens, pa.int32()), names, pa.array(status.tolist(), pa.string()), sketches]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
