"""Parquet: one row, one record. A damaged row group costs its rows from the damaged batch on; the next one is read."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow.parquet as pq

from pipeline.formats import BadRecord, FieldNames, InputFile, Place, Record, Split
from pipeline.formats.columns import batch_rows, rows
from pipeline.formats.sources import ARROW_DAMAGE, damage_detail, open_random

_BUFFER_BYTES = 1 << 20
"""Read from each column at once, so that a column of a row group is never held whole."""


def splits(file: InputFile, split_bytes: int) -> list[Split]:
    """Runs of row groups of about `split_bytes` (uncompressed). A file that is no Parquet is one split, for `records`.

    Raises OSError if the storage fails.
    """
    try:
        with _open(file.url) as parquet:
            meta = parquet.metadata
            sizes = [meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)]
    except ARROW_DAMAGE as error:
        damage_detail(error)
        return [Split(file, 0, 1)]
    cuts = _cuts(sizes, split_bytes)
    return [Split(file, start, stop) for start, stop in itertools.pairwise(cuts)] or [Split(file, 0, 0)]


def _cuts(sizes: list[int], split_bytes: int) -> list[int]:
    """Where to cut a row of sizes: before the piece that would take a split over `split_bytes`.

    >>> _cuts([4, 4, 4, 20, 1], 10)
    [0, 2, 3, 4, 5]
    """
    cuts, held = [0], 0
    for index, size in enumerate(sizes):
        if held and held + size > split_bytes:
            cuts.append(index)
            held = 0
        held += size
    return [*cuts, len(sizes)] if sizes else cuts


def records(split: Split, names: FieldNames, max_bytes: int) -> Iterator[Record | BadRecord]:
    """The rows of the split's row groups; place.line is the 1-based row number in the file.

    Raises OSError if the storage fails.
    """
    url = split.file.url
    try:
        with _open(url) as parquet:
            for index in range(split.start, min(split.stop, parquet.metadata.num_row_groups)):
                yield from _group(parquet, index, url, names, max_bytes)
    except ARROW_DAMAGE as error:
        yield BadRecord(Place(url, None, None), "damaged_file", damage_detail(error))


@contextmanager
def _open(url: str) -> Iterator[Any]:
    with open_random(url) as file:
        yield pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)


def _group(parquet: Any, index: int, url: str, names: FieldNames, max_bytes: int) -> Iterator[Record | BadRecord]:
    meta = parquet.metadata
    group = meta.row_group(index)
    first = 1 + sum(meta.row_group(i).num_rows for i in range(index))
    size = batch_rows(group.total_byte_size, group.num_rows)
    done, detail = 0, "it holds fewer rows than the footer says"
    try:
        for batch in parquet.iter_batches(size, row_groups=[index], use_threads=False):
            yield from rows(batch, Place(url, first + done, None), names, max_bytes)
            done += batch.num_rows
    except ARROW_DAMAGE as error:
        detail = damage_detail(error)
    if done < group.num_rows:
        where = f"row group {index}: {detail}"
        yield BadRecord(Place(url, first + done, None), "damaged_row_group", where, group.num_rows - done)
