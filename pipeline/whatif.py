"""The funnel under other thresholds, from the scores that a run stored: no model is opened, no document is read.

A document that a stage dropped was never seen by the stages after it. If other thresholds let it pass, these stages
have no score of it: it is counted as unknown there, never guessed.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.credentials import without_credentials
from pipeline.dropped_at import dropped_at, telling_columns
from pipeline.manifest import read_manifest
from pipeline.refusals import reading_shards
from pipeline.shards import read_table
from pipeline.storage import Store
from pipeline.whatif_settings import Changed, changed_settings
from stages.contract import Stage, has_survey
from stages.contract_checks import decided
from stages.errors import InputError


@dataclasses.dataclass
class StageTally:
    """What becomes of the documents at one stage, under the thresholds of the run (`was`) and the others."""

    stage: str
    entered: int = 0
    kept: int = 0
    dropped: Counter[str] = dataclasses.field(default_factory=Counter)
    unknown: int = 0
    """Documents that would reach the stage and have no score of it."""
    missing: int = 0
    """Documents that reached it in the run and would not."""
    was_entered: int = 0
    was_kept: int = 0
    was_dropped: Counter[str] = dataclasses.field(default_factory=Counter)
    changed: bool = False
    """Whether its thresholds are others."""
    note: str = ""


def what_if(path: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The funnel of a finished run under other thresholds, such as `rating.min_overall_score=4`.

    Raises InputError if the run is not finished, ConfigError for a setting that is unknown or no threshold.
    """
    store = Store(path)
    manifest = read_manifest(store)
    changes = changed_settings(manifest["config"], overrides)
    tallies = [StageTally(stage.name, changed=place in changes.settings) for place, stage in enumerate(changes.stages)]
    totals = Counter[str]()
    for kept, dropped in zip(manifest["parts"], manifest["dropped"], strict=True):
        for name in (kept["name"], dropped["name"]):
            with reading_shards(store):
                rows = _part(store, name, changes)
            _tally(changes, tallies, totals, rows)
    for stage, tally in zip(changes.stages, tallies, strict=True):
        tally.note = _note(stage, tally)
    return {
        "path": without_credentials(path),
        "settings": [{"name": name, "was": was, "is": now} for name, (was, now) in changes.named.items()],
        "was_kept": totals["was_kept"],
        "kept": totals["kept"],
        "unknown": sum(tally.unknown for tally in tallies),
        "gained": totals["gained"],
        "lost": totals["lost"],
        "as_before": [one.name for one, tally in zip(changes.stages, tallies, strict=True) if _is_stale(one, tally)],
        "stages": [
            {**dataclasses.asdict(t), "dropped": dict(sorted(t.dropped.items())),
             "was_dropped": dict(sorted(t.was_dropped.items()))} for t in tallies
        ],
    }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The rows of one shard of a result."""

    reached: np.ndarray
    """int, one per row: the place of the last stage that saw it, which dropped it; or the number of stages."""
    reasons: np.ndarray
    """Object array: why it was dropped, or None."""
    columns: pa.Table
    """What stages with other thresholds added."""


def _part(store: Store, name: str, changes: Changed) -> _Rows:
    with store.open(name) as file:
        known = pq.ParquetFile(file).schema_arrow.names
    wanted = [column for place in changes.settings for column in changes.stages[place].adds.names]
    if missing := [column for column in wanted if column not in known]:
        raise InputError(f"{store.path(name)} has no column '{missing[0]}': another version wrote it; run again")
    said = [column for column in ("dropped_by", "drop_reason") if column in known]
    chain = [(stage.name, stage.adds.names) for stage in changes.stages]
    telling = [column for column in telling_columns(chain) if said and column in known]
    table = read_table(store, name, list(dict.fromkeys([*said, *wanted, *telling])) or ["id"])
    if not said:
        rows = table.num_rows
        return _Rows(np.full(rows, len(chain)), np.full(rows, None, dtype=object), table.select(wanted))
    columns = {column: table.column(column) for column in telling}
    reached = dropped_at(chain, table.column("dropped_by").to_pylist(), columns)
    reasons = np.array([*table.column("drop_reason").to_pylist(), None], dtype=object)[:-1]
    return _Rows(reached, reasons, table.select(wanted))


def _tally(changes: Changed, tallies: list[StageTally], totals: Counter[str], rows: _Rows) -> None:
    """Take the rows of one shard through the chain, once as it was and once as it would be."""
    alive = np.ones(len(rows.reached), dtype=bool)
    for place, (stage, tally) in enumerate(zip(changes.stages, tallies, strict=True)):
        seen, fell = rows.reached >= place, rows.reached == place
        tally.was_entered += int(seen.sum())
        tally.was_kept += int((seen & ~fell).sum())
        tally.was_dropped.update(rows.reasons[fell].tolist())
        tally.unknown += int((alive & ~seen).sum())
        tally.missing += int((seen & ~alive).sum())
        alive &= seen
        tally.entered += int(alive.sum())
        reasons = _reasons(stage, tally, rows, alive, fell)
        dropped = np.array([reason is not None for reason in reasons], dtype=bool)
        tally.dropped.update(reasons[dropped].tolist())
        alive &= ~dropped
        tally.kept += int(alive.sum())
    kept = rows.reached == len(changes.stages)
    totals.update(
        was_kept=int(kept.sum()),
        kept=int(alive.sum()),
        gained=int((alive & ~kept).sum()),
        lost=int((kept & ~alive).sum()),
    )


def _reasons(stage: Stage, tally: StageTally, rows: _Rows, alive: np.ndarray, fell: np.ndarray) -> np.ndarray:
    """Why each row that reaches the stage would be dropped, or None; a stage with the same thresholds says the same."""
    found = np.full(len(alive), None, dtype=object)
    if not tally.changed:
        there = fell & alive
        found[there] = rows.reasons[there]
        return found
    here = np.flatnonzero(alive)
    for begin, batch in _batches(rows.columns.select(stage.adds.names).take(pa.array(here)).cast(stage.adds)):
        found[here[begin : begin + batch.num_rows]] = decided(stage, batch)
    return found


def _batches(table: pa.Table) -> Iterator[tuple[int, pa.RecordBatch]]:
    begin = 0
    for batch in table.combine_chunks().to_batches():
        yield begin, batch
        begin += batch.num_rows


def _is_stale(stage: Stage, tally: StageTally) -> bool:
    """Whether a stage would answer anew: it depends on all documents that reach it, and others would."""
    return has_survey(stage) and bool(tally.unknown or tally.missing)


def _note(stage: Stage, tally: StageTally) -> str:
    """What the figures of a stage cannot say."""
    if _is_stale(stage, tally):
        return (
            f"what {stage.name} answers depends on all documents that reach it, and {tally.unknown:,} more and "
            f"{tally.missing:,} fewer would: its answers are those of the run, and only a run can tell the new ones"
        )
    if tally.unknown:
        return f"{tally.unknown:,} documents would reach {stage.name} that it never saw: only a run can tell"
    return ""
