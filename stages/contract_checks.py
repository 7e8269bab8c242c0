"""The checks that hold a stage to the contract of `stages/contract.py`."""

from typing import TYPE_CHECKING, cast

import pyarrow as pa

from stages.errors import ContractError

if TYPE_CHECKING:
    from stages.contract import Stage


def checked(stage: "Stage", batch: pa.RecordBatch, answer: pa.RecordBatch) -> pa.RecordBatch:
    """Return `answer` if it keeps the contract for `batch`; raise ContractError otherwise."""
    if not answer.schema.equals(stage.adds):
        raise ContractError(
            f"stage '{stage.name}' answered with columns {_columns(answer.schema)}, "
            f"but declares {_columns(stage.adds)}: mend the stage or its `adds`"
        )
    if answer.num_rows != batch.num_rows:
        raise ContractError(
            f"stage '{stage.name}' answered {answer.num_rows} rows for {batch.num_rows}: "
            "a batch stage gives one row per row, in the same order"
        )
    return answer


def decided(stage: "Stage", annotations: pa.RecordBatch) -> list[str | None]:
    """The stage's reasons, one per row (null: kept); ContractError if they are no strings or too few or many."""
    reasons = stage.decide(annotations)
    if len(reasons) != annotations.num_rows or not (pa.types.is_string(reasons.type) or pa.types.is_null(reasons.type)):
        raise ContractError(
            f"stage '{stage.name}' decided {len(reasons)} rows of type {reasons.type} for {annotations.num_rows}: "
            "`decide` gives a string or null per row"
        )
    return cast(list[str | None], reasons.to_pylist())


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema) or "(none)"
