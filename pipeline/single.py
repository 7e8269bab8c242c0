"""One stage alone on a sample file: every row comes back, with what the stage adds and what it would decide."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

import stages
from pipeline.config import InputConfig, stage_values
from pipeline.documents_of import MB, documents_of
from pipeline.formats import BadRecord
from pipeline.listing import list_inputs
from pipeline.measures import combined, summaries
from pipeline.parts import one_batch, placed, solved
from pipeline.plan import check_columns, remedy
from pipeline.reading import as_batch
from pipeline.sections import build
from pipeline.shards import ShardWriter
from pipeline.showing import short, start_of, table, visible
from pipeline.storage import Store
from pipeline.surveys import MOST_ROUNDS
from stages.contract import (
    Annotate,
    BatchStage,
    GroupStage,
    Stage,
    State,
    Summary,
    Surveying,
    SurveyStage,
    gathers,
    has_survey,
    is_context_stage,
    is_group,
)
from stages.contract_checks import checked, decided
from stages.errors import ConfigError, EngineError, InputError, NothingRead

_ROWS = 256
_PARTIALS = 64


@dataclass(frozen=True)
class StageRequest:
    """One stage, the files to run it on, and what to do with its answers."""

    name: str
    inputs: tuple[str, ...]
    output: str = ""
    """Parquet file to write, if any."""
    overrides: tuple[str, ...] = ()
    limit: int = 0
    """Documents to read at most (0: all)."""
    rows: int = 5
    """Rows to show."""
    with_text: bool = False
    """Whether to show the text of what the stage would drop."""


def run_stage(console: Console, request: StageRequest) -> None:
    """Run a stage on files, write its answers, and show the first rows before and after.

    Raises ConfigError, InputError (NothingRead) and ModelError.
    """
    stage = build(stages.stage_class(request.name), stage_values(request.name, request.overrides), request.name)
    if is_context_stage(stage):
        raise ConfigError(
            f"stage '{stage.name}' works on packed contexts, not on documents: chain it after `pack` in a run, or use "
            "jobs/estimate_mixture.py on the contexts of one"
        )
    _check_output(request)
    bad: list[BadRecord] = []
    annotate, summary = _opened(stage, request)
    batches = (answered(stage, annotate, batch) for batch in _batches(stage, list(request.inputs), request.limit, bad))
    first = next(batches, None)
    if first is None:
        raise NothingRead(f"no document in {', '.join(request.inputs)} ({len(bad):,} bad records)")
    count, kept = _consume(stage, request.output, chain([first], batches))
    if request.rows:
        _show(console, stage, first.slice(0, request.rows), request.with_text)
    console.print(f"{count:,} documents, {kept:,} of them kept, {len(bad):,} bad records", highlight=False)
    for note in summary.notes if summary else ():
        console.print(f"  {visible(note)}", markup=False, highlight=False)
    for record in bad[:10]:
        place = record.place
        console.print(
            f"  {place.url} line {place.line}: {record.reason}: {visible(record.detail)}", markup=False, highlight=False
        )


def _opened(stage: Stage, request: StageRequest) -> tuple[Annotate, Summary | None]:
    """The stage's function; a survey's after its rounds over the documents (seed 0), with what they found."""
    if not has_survey(stage):
        return cast(BatchStage, stage).open(), None
    check_columns(stage, stage.name)
    state, rounds = stage.begin(0), 0
    while not stage.finished(state):
        if rounds == MOST_ROUNDS:
            raise EngineError(f"stage '{stage.name}' is not done after {rounds} rounds: its survey must converge")
        state, rounds = stage.reduce(state, _partial(stage, state, request)), rounds + 1
    if not is_group(stage):
        return cast(SurveyStage, stage).open_with(state), stage.summary(state)
    annotate, measures = _by_parts(stage, state, request)
    return annotate, summaries(stage, state, measures)[stage.name]


def _by_parts(stage: GroupStage, state: State, request: StageRequest) -> tuple[Annotate, Any]:
    """What a group stage answers for all documents, all in memory, given out in their order; and what it measured."""
    batches = [batch.select(list(gathers(stage))) for batch in _batches(stage, list(request.inputs), request.limit, [])]
    if not batches:
        raise NothingRead(f"no document in {', '.join(request.inputs)}")
    schema = pa.unify_schemas([batch.schema for batch in batches], promote_options="permissive")
    rows = one_batch([batch.cast(schema) for batch in batches], schema)
    parts = stage.open_parts(state)
    measures: list[Any] = []
    answers = solved(stage, parts, placed(stage, parts, rows), rows, measures)
    begin = 0

    def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
        nonlocal begin
        begin += batch.num_rows
        return answers.slice(begin - batch.num_rows, batch.num_rows)

    return annotate, combined(stage, measures)


def _partial(stage: Surveying, state: State, request: StageRequest) -> Any:
    partials: list[Any] = []
    for batch in _batches(stage, list(request.inputs), request.limit, []):
        partials.append(stage.survey(state, batch))
        if len(partials) == _PARTIALS:
            partials = [stage.merge(partials)]
    if not partials:
        raise NothingRead(f"no document in {', '.join(request.inputs)}")
    return stage.merge(partials)


def _check_output(request: StageRequest) -> None:
    """Raise ConfigError for an output that is a directory, or one of the inputs."""
    if request.output.endswith("/"):
        raise ConfigError(f"--output: found '{request.output}', expected the name of a Parquet file")
    inputs = {os.path.realpath(item.file.url) for item in list_inputs(InputConfig(paths=request.inputs))}
    if request.output and os.path.realpath(request.output) in inputs:
        raise ConfigError(f"--output: {request.output} is an input, whose text would be lost: choose another name")


def answered(stage: Stage, annotate: Annotate, batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch of documents with the added columns, `keep` and `drop_reason` beside them."""
    answer = checked(stage, batch, annotate(batch))
    reasons = pa.array(decided(stage, answer), pa.string())
    columns = [
        batch.column("id"),
        batch.column("metadata"),
        batch.column("text"),
        *answer.columns,
        pc.is_null(reasons),
        reasons,
    ]
    names = ["id", "metadata", "text", *answer.schema.names, "keep", "drop_reason"]
    return pa.RecordBatch.from_arrays(columns, names=names)


def _consume(stage: Stage, output: str, batches: Iterable[pa.RecordBatch]) -> tuple[int, int]:
    """Write all batches without their text; returns (documents, kept)."""
    fields = [pa.field("id", pa.string()), pa.field("metadata", pa.string()), *stage.adds]
    schema = pa.schema([*fields, pa.field("keep", pa.bool_()), pa.field("drop_reason", pa.string())])
    count = kept = 0

    def narrow() -> Iterator[pa.RecordBatch]:
        nonlocal count, kept
        for batch in batches:
            count += batch.num_rows
            kept += pc.sum(batch.column("keep")).as_py() or 0
            yield batch.select(schema.names).cast(schema)

    if not output:
        for _ in narrow():
            pass
        return count, kept
    folder, slash, name = output.rpartition("/")
    with Store(folder or slash or ".").create(name) as sink, ShardWriter(sink, schema, 64 * MB) as writer:
        for batch in narrow():
            writer.write(batch, batch.nbytes)
    return count, kept


def _batches(stage: Stage, paths: list[str], limit: int, bad: list[BadRecord]) -> Iterator[pa.RecordBatch]:
    config = InputConfig(paths=tuple(paths))
    documents = islice(documents_of(config, bad.append), limit or None)
    while held := list(islice(documents, _ROWS)):
        yield _with_read_columns(stage, as_batch([document for document, _ in held]), [fields for _, fields in held])


def _with_read_columns(stage: Stage, batch: pa.RecordBatch, fields: list[dict[str, object]]) -> pa.RecordBatch:
    """Columns of earlier stages that this one reads come from the input file itself."""
    for name in stage.reads:
        if name not in batch.schema.names:
            if not any(name in row for row in fields):
                raise ConfigError(
                    f"stage '{stage.name}' reads the column '{name}', which the input lacks: {remedy(stage, name)}"
                )
            batch = batch.append_column(name, _column(name, [row.get(name) for row in fields]))
    return batch


def _column(name: str, values: list[object]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        kinds = ", ".join(sorted({type(value).__name__ for value in values if value is not None}))
        raise InputError(
            f"the field '{name}' holds values that make no column ({kinds}), expected one type in all documents, and "
            "whole numbers of 64 bits: mend the input"
        ) from None


def _start(row: dict[str, Any], with_text: bool) -> str:
    """The text of what the stage would drop may be harmful, so it is shown only if asked for."""
    return start_of(row["text"]) if row["keep"] or with_text else "(would be dropped; --text shows it)"


def _show(console: Console, stage: Stage, batch: pa.RecordBatch, with_text: bool) -> None:
    before = [(row["id"], len(row["text"]), _start(row, with_text)) for row in batch.to_pylist()]
    console.print(table("before", ("id", "characters", "text"), before))
    names = [*stage.adds.names, "keep", "drop_reason"]
    after = [[row["id"], *(short(row[name]) for name in names)] for row in batch.to_pylist()]
    console.print(table("after", ("id", *names), after))
