"""Parts: the rows of a group stage, placed and solved in memory, with the checks that hold the stage to its word."""

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.contract import GroupStage, Parts, is_measuring
from stages.contract_checks import checked
from stages.errors import ContractError, EngineError, TamisError


def placed(stage: GroupStage, parts: Parts, rows: pa.RecordBatch) -> np.ndarray:
    """The part of each row. Raises ContractError if the stage breaks its word, EngineError if it fails."""
    with _explained(stage, f"place {rows.num_rows:,} rows"):
        found = parts.part(rows)
    if not isinstance(found, np.ndarray) or found.dtype != np.int32 or found.shape != (rows.num_rows,):
        raise ContractError(
            f"stage '{stage.name}' gave parts of {_described(found)} for {rows.num_rows} rows, "
            "expected an int32 array with one number per row: mend the stage"
        )
    if len(found) and found.min() < -1:
        raise ContractError(f"stage '{stage.name}' gave part {found.min()}, expected -1 or more: mend the stage")
    return found


def solved(
    stage: GroupStage, parts: Parts, numbers: np.ndarray, rows: pa.RecordBatch, measures: list[Any] | None = None
) -> pa.RecordBatch:
    """What the stage adds to rows whose parts are `numbers`, in their order.

    It sees each part whole and sorted by id: of ids b a d c in parts 7 7 0 7, first d, then a b c. What it measures of
    each part is added to `measures`.
    """
    if not rows.num_rows:
        return one_batch([], stage.adds)
    keys = pa.table({"part": numbers, "id": rows.column("id")})
    order = pc.sort_indices(keys, sort_keys=[("part", "ascending"), ("id", "ascending")]).to_numpy()
    found, begins = np.unique(numbers[order], return_index=True)
    answers = []
    for part, chosen in zip(found.tolist(), np.split(order, begins[1:]), strict=True):
        batch = rows.take(pa.array(chosen))
        with _explained(stage, f"solve part {part} of {batch.num_rows:,} rows"):
            answers.append(checked(stage, batch, parts.solve(part, batch)))
        if measures is not None and is_measuring(stage):
            with _explained(stage, f"measure part {part} of {batch.num_rows:,} rows"):
                measures.append(stage.measure(part, batch, answers[-1]))
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return one_batch(answers, stage.adds).take(pa.array(back))


def one_batch(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """All rows as one batch. Raises EngineError if a column holds more than a batch can address."""
    if not batches:
        return pa.RecordBatch.from_pylist([], schema=schema)
    try:
        return pa.concat_batches(batches)
    except pa.ArrowInvalid:
        rows = sum(batch.num_rows for batch in batches)
        raise EngineError(
            f"{rows:,} rows that belong together hold more than 2 GiB in one column: let the stage make smaller parts"
        ) from None


@contextlib.contextmanager
def _explained(stage: GroupStage, what: str) -> Iterator[None]:
    """Whatever the stage raises as an error that says where, without the message, which may hold text."""
    try:
        yield
    except (TamisError, MemoryError):
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name} line {last.lineno}"
        raise EngineError(
            f"stage '{stage.name}' failed to {what}: {type(error).__name__} in {place}. What is finished is kept; mend "
            "the stage, then run again"
        ) from None


def _described(found: object) -> str:
    return f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
