"""The batch stages of a run on one shard, and the record of what came out."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.aggregates import Rows, aggregate, bounded, paired
from pipeline.facts import Facts
from pipeline.perplexity_facts import perplexity_facts
from pipeline.plan import Step
from pipeline.rating_facts import EXAMPLE_CHARACTERS, rating_facts
from pipeline.records import read_record, write_record
from pipeline.shards import masked_rows, read_table
from pipeline.sidecars import Tick
from pipeline.storage import Store
from pipeline.verdicts import Shard, Verdict, judge

Format = Literal[2]
FORMAT: Format = 2
"""Of the record. One of another format is as if it were not there: the shard is judged again, from its sidecars."""


@dataclass(frozen=True)
class ShardTask:
    """What one task of the batch stages needs."""

    store: Store
    steps: tuple[Step, ...]
    directory: str
    """Of the write step: its hash covers all thresholds, so outcomes of other settings are never met."""
    shard: Shard

    @property
    def record_name(self) -> str:
        """Where the outcome lies, relative to the run directory."""
        return (
            f"{self.directory}/records/outcome-{self.shard.file.name.rsplit('/', 1)[-1].removesuffix('.parquet')}.json"
        )


@dataclass(frozen=True)
class Outcome:
    """What the stages did with one shard."""

    shard: str
    facts: Facts
    quarantines: tuple[str, ...]
    """Files with rows on which a stage failed."""
    seconds: float
    format: Format


def finished_outcome(task: ShardTask) -> Outcome | None:
    """The outcome of a shard that is done already."""
    return read_record(task.store, task.record_name, Outcome)


def process_shard(task: ShardTask, tick: Tick) -> Outcome:
    """Run all batch stages on one shard and publish its outcome."""
    began = time.monotonic()
    verdict = judge(task.store, task.steps, task.shard, tick)
    facts = read_table(task.store, task.shard.file.name, ["id", "source", "text_bytes"])
    sources = facts.column("source").to_pylist()
    text_bytes = facts.column("text_bytes").to_numpy()
    found = Facts(
        repeated=len(task.shard.repeated),
        kept=int(verdict.alive.sum()),
        kept_bytes=int(text_bytes[verdict.alive].sum()),
        stages=verdict.counts,
        by_source=_by_source(sources, text_bytes, verdict.alive),
        columns=_columns(verdict),
        scores=perplexity_facts(verdict.columns, [step.stage for step in task.steps], verdict.alive),
        rating=rating_facts(
            verdict.columns, sources, facts.column("id").to_pylist(), verdict.alive, partial(_beginnings, task)
        ),
        tokens=_tokens(verdict.columns, verdict.alive),
        milliseconds={stage: round(1000 * seconds) for stage, seconds in verdict.seconds.items()},
    )
    seconds = round(time.monotonic() - began, 3)
    outcome = Outcome(task.shard.file.name, found, tuple(verdict.quarantines), seconds, FORMAT)
    write_record(task.store, task.record_name, outcome)
    return outcome


def _columns(verdict: Verdict) -> dict[str, Rows]:
    found = aggregate(verdict.columns.drop_columns(["row"]), verdict.alive)
    return {name: paired(column) for name, column in found.items()}


def _beginnings(task: ShardTask, rows: np.ndarray) -> list[tuple[str, str]]:
    """Id and beginning of the text of some rows."""
    mask = np.zeros(task.shard.file.rows, dtype=bool)
    mask[rows] = True
    found: list[tuple[str, str]] = []
    for batch in masked_rows(task.store, task.shard.file.name, mask, pa.table({}), ["id", "text"]):
        texts = pc.utf8_slice_codeunits(batch.column("text"), 0, EXAMPLE_CHARACTERS)
        found += zip(batch.column("id").to_pylist(), texts.to_pylist(), strict=True)
    return found


def _tokens(columns: pa.Table, alive: np.ndarray) -> list[int] | None:
    if "tokens" not in columns.column_names:
        return None
    counts = np.asarray(pc.fill_null(columns.column("tokens"), 0)).astype(np.int64)
    return [int(counts.sum()), int(counts[alive].sum())]


def _by_source(sources: list[str], text_bytes: np.ndarray, alive: np.ndarray) -> Rows:
    found: Rows = {}
    for source, size, kept in zip(sources, text_bytes.tolist(), alive.tolist(), strict=True):
        row = found.setdefault(source, [0, 0, 0])
        row[0] += 1
        row[1] += kept
        row[2] += size * kept
    return bounded(found)
