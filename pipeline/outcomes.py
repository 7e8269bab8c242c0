"""The batch stages of a run on one shard, and the record of what came out."""

import time
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.aggregates import MOST_VALUES, OTHER, Aggregate, aggregate, merge
from pipeline.perplexity_facts import ScoreFacts, perplexity_facts
from pipeline.plan import Step
from pipeline.rating_facts import EXAMPLE_CHARACTERS, RatingFacts, rating_facts
from pipeline.records import read_record
from pipeline.shards import masked_rows, read_table
from pipeline.sidecars import Tick
from pipeline.storage import Store
from pipeline.verdicts import Shard, StageCounts, judge


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
    repeated: int
    """Rows whose id was seen before: quarantined."""
    stages: tuple[StageCounts, ...]
    kept: int
    kept_bytes: int
    """UTF-8 bytes of text of the kept documents."""
    by_source: dict[str, dict[str, int]]
    """Source -> documents read, documents kept, bytes of text kept."""
    columns: dict[str, Aggregate]
    quarantines: tuple[str, ...]
    seconds: float
    rating: RatingFacts | None = None
    """None if no stage rated the documents."""
    scores: tuple[ScoreFacts, ...] = ()
    """Of the stages `perplexity`."""
    tokens: tuple[int, int] | None = None
    """Of all documents that were counted, and of those kept; None if no stage counted them."""
    stage_seconds: dict[str, float] = field(default_factory=dict)
    """Stage -> what it took to annotate the rows, opening models included."""


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
    outcome = Outcome(
        shard=task.shard.file.name,
        repeated=len(task.shard.repeated),
        stages=tuple(verdict.counts),
        kept=int(verdict.alive.sum()),
        kept_bytes=int(text_bytes[verdict.alive].sum()),
        by_source=_by_source(sources, text_bytes, verdict.alive),
        columns=aggregate(verdict.columns.drop_columns(["row"]), verdict.alive),
        quarantines=tuple(verdict.quarantines),
        seconds=round(time.monotonic() - began, 3),
        rating=rating_facts(
            verdict.columns, sources, facts.column("id").to_pylist(), verdict.alive, partial(_beginnings, task)
        ),
        scores=tuple(perplexity_facts(verdict.columns, [step.stage for step in task.steps], verdict.alive)),
        tokens=_tokens(verdict.columns, verdict.alive),
        stage_seconds=verdict.seconds,
    )
    task.store.write_json(task.record_name, outcome)
    return outcome


def _beginnings(task: ShardTask, rows: np.ndarray) -> list[tuple[str, str]]:
    """Id and beginning of the text of some rows."""
    mask = np.zeros(task.shard.file.rows, dtype=bool)
    mask[rows] = True
    found: list[tuple[str, str]] = []
    for batch in masked_rows(task.store, task.shard.file.name, mask, pa.table({}), ["id", "text"]):
        texts = pc.utf8_slice_codeunits(batch.column("text"), 0, EXAMPLE_CHARACTERS)
        found += zip(batch.column("id").to_pylist(), texts.to_pylist(), strict=True)
    return found


def _tokens(columns: pa.Table, alive: np.ndarray) -> tuple[int, int] | None:
    if "tokens" not in columns.column_names:
        return None
    counts = np.asarray(pc.fill_null(columns.column("tokens"), 0)).astype(np.int64)
    return int(counts.sum()), int(counts[alive].sum())


def _by_source(sources: list[str], text_bytes: np.ndarray, alive: np.ndarray) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for source, size, kept in zip(sources, text_bytes.tolist(), alive.tolist(), strict=True):
        row = found.setdefault(source, {"read": 0, "kept": 0, "kept_bytes": 0})
        row["read"] += 1
        row["kept"] += kept
        row["kept_bytes"] += size * kept
    return bounded_sources(found)


def bounded_sources(found: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The largest sources and the rest as one, so that a field with a value per document does no harm."""
    if len(found) <= MOST_VALUES:
        return found
    ordered = sorted(found, key=lambda source: (-found[source]["read"], source))
    rest = merge(found[source] for source in ordered[MOST_VALUES:])
    return {source: found[source] for source in ordered[:MOST_VALUES]} | {OTHER: rest}
