"""How many token ids the contexts use, from the statistics of their files: a model needs at least so many."""

from collections.abc import Iterable
from typing import Any

import fsspec
import pyarrow.parquet as pq

from pipeline.data.contexts import INPUT_IDS
from stages.errors import InputError


def vocabulary_of(paths: Iterable[str]) -> int:
    """One more than the largest token id in Parquet files of contexts; reads footers alone where they tell.

    Raises InputError if an id is negative or a file has no `input_ids`.
    """
    ranges = [found for path in paths for found in _ranges(path)]
    low, high = min((low for low, _ in ranges), default=0), max((high for _, high in ranges), default=-1)
    if low < 0:
        raise InputError(f"the contexts hold the token id {low}: ids are not negative; make the contexts anew")
    return high + 1


def _ranges(path: str) -> Iterable[tuple[int, int]]:
    """The least and the largest id of each row group that has any."""
    with fsspec.open(path, "rb") as file, pq.ParquetFile(file) as parquet:
        metadata = parquet.metadata
        for group in range(metadata.num_row_groups):
            column = _column(metadata.row_group(group), path)
            statistics = column.statistics
            if statistics is not None and statistics.has_min_max:
                yield int(statistics.min), int(statistics.max)
            elif column.num_values:
                ids = parquet.read_row_group(group, [INPUT_IDS]).column(0).combine_chunks().flatten().to_numpy()
                yield from [(int(ids.min()), int(ids.max()))] if len(ids) else []


def _column(group: Any, path: str) -> Any:
    names = [group.column(number).path_in_schema for number in range(group.num_columns)]
    found = [number for number, name in enumerate(names) if name.split(".")[0] == INPUT_IDS]
    if not found:
        raise InputError(f"{path} has no column '{INPUT_IDS}': set pack.input_ids to true, and run again")
    return group.column(found[0])
