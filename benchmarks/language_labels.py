"""The labels that Tamis and datatrove gave to the same documents, in one convention of codes."""

from pathlib import Path

import pyarrow.parquet as pq
from peers import BenchmarkError

Labels = dict[str, str]
"""Document id -> base language code."""


def tamis_labels(run: Path) -> Labels:
    """The labels of a finished run that dropped nothing."""
    labels: Labels = {}
    for path in sorted((run / "data").glob("*.parquet")):
        table = pq.ParquetFile(path).read(columns=["id", "lang"])
        labels.update(zip(table["id"].to_pylist(), map(_base, table["lang"].to_pylist()), strict=True))
    return labels


def datatrove_labels(output: Path) -> Labels:
    """The labels in datatrove's metadata."""
    from stages.language_codes import standard_code

    labels: Labels = {}
    for path in sorted((output / "data").glob("*.parquet")):
        table = pq.ParquetFile(path).read(columns=["id", "metadata"])
        codes = [standard_code(metadata["language"]) for metadata in table["metadata"].to_pylist()]
        labels.update(zip(table["id"].to_pylist(), map(_base, codes), strict=True))
    return labels


def compare(one: Labels, other: Labels) -> float:
    """The share of documents with equal labels. Raises BenchmarkError if the documents are not the same."""
    if one.keys() != other.keys() or not one:
        raise BenchmarkError(f"not the same documents: {len(one)} and {len(other)}, {len(one.keys() & other)} in both")
    return sum(label == other[id_] for id_, label in one.items()) / len(one)


def _base(code: str) -> str:
    return code.partition("-")[0]
