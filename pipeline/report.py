"""The report of a run: `report.json` with the facts and `report.html`, one file that needs no network, to look at."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from pipeline.aggregates import apart
from pipeline.manifest import Finished, manifest_of, read_manifest
from pipeline.perplexity_facts import limits_of, step_of
from pipeline.quarantine import SCHEMA as QUARANTINE_SCHEMA
from pipeline.rating_report import rating_section
from pipeline.report_page import MISSING, readable_bytes, render
from pipeline.report_pages import pages_of
from pipeline.shards import read_table
from pipeline.splitting import MB
from pipeline.storage import Store
from pipeline.verdicts import Shard
from pipeline.writing import plan_parts
from stages.errors import InputError
from stages.perplexity import Perplexity
from stages.rating import Rating

__all__ = ["read_facts", "readable_bytes", "render", "report_facts", "rewrite_html", "write_report"]

_QUARANTINE_ROWS = 50


def write_report(store: Store, finished: Finished) -> None:
    """Make both files from the records of the run; no document is read."""
    facts = report_facts(store, finished)
    store.write_json("report.json", facts)
    with store.create("report.html") as file:
        file.write(render(facts | {"pages": pages_of(store)}).encode())


def rewrite_html(store: Store) -> str:
    """Make `report.html` again from `report.json` and return its path. Raises InputError if the run is not finished."""
    facts = read_facts(store)
    with store.create("report.html") as file:
        file.write(render(facts | {"pages": pages_of(store)}).encode())
    return store.path("report.html")


def read_facts(store: Store) -> dict[str, Any]:
    """The facts of a finished run; what an older version did not write is empty.

    Raises InputError if it is not finished, or they are damaged.
    """
    manifest = read_manifest(store)
    facts = store.read_json("report.json")
    if not isinstance(facts, dict) or "ledger" not in facts:
        raise InputError(
            f"{store.path('report.json')} is missing or damaged: remove {store.path('manifest.json')} and run the same "
            "`tamis run` again, which makes both anew"
        )
    return MISSING | facts | manifest


def report_facts(store: Store, finished: Finished) -> dict[str, Any]:
    """Everything that the report shows, as plain values."""
    found = finished.totals.facts
    columns = {name: found.column(name) for name in finished.plan.schema.names if name in found.columns}
    return {
        **manifest_of(finished),
        "documents_kept_bytes": found.kept_bytes,
        "bytes_read": sum(shard.text_bytes for split in finished.splits for shard in split.shards),
        "tokens": dict(zip(("counted", "kept"), found.tokens, strict=True)) if found.tokens else None,
        "stage_seconds": _stage_seconds(finished),
        "sources": found.sources(),
        "columns_all": {name: column.all for name, column in columns.items()},
        "columns_kept": {name: column.kept for name, column in columns.items()},
        "stage_columns": [
            {"stage": step.name, "columns": step.stage.adds.names} for step in finished.plan.batch if step.stage
        ],
        "scores": _scores(finished),
        "mixture": finished.mixed.report() if finished.mixed else None,
        "rating": _rating(finished),
        "rating_columns": [name for name in columns if name.startswith("rating_") and name != "rating_status"],
        "context_examples": _context_examples(finished),
        "quarantine_places": _quarantine_places(store),
        "part_facts": _part_facts(finished),
        "shards": [dataclasses.asdict(shard) for split in finished.splits for shard in split.shards],
    }


def _context_examples(finished: Finished) -> list[dict[str, Any]]:
    return [dataclasses.asdict(example) for example in finished.contexts.examples] if finished.contexts else []


def _stage_seconds(finished: Finished) -> dict[str, float]:
    """What each stage took over all shards, on all workers together."""
    found = finished.totals.facts.milliseconds
    return {step.name: found.get(step.name, 0) / 1000 for step in finished.plan.batch}


def _scores(finished: Finished) -> list[dict[str, Any]]:
    """The distributions of perplexities and what they are compared with, by column and language of the model."""
    stages = {s.score_column: s for s in finished.plan.config.stages if isinstance(s, Perplexity)}
    return [
        {
            "column": column,
            "all": {language: apart(rows).all for language, rows in sorted(languages.items())},
            "kept": {language: apart(rows).kept for language, rows in sorted(languages.items())},
            "step": step_of(column),
            "log": column != "harmful_ratio",
            "limits": {language: limits_of(stages[column], language) for language in sorted(languages)},
        }
        for column, languages in sorted(finished.totals.facts.scores.items())
    ]


def _rating(finished: Finished) -> dict[str, Any] | None:
    found = finished.totals.facts.rating
    if found is None:
        return None
    stage = next(stage for stage in finished.plan.config.stages if isinstance(stage, Rating))
    return rating_section(found, stage)


def _part_facts(finished: Finished) -> list[dict[str, Any]]:
    """What the records of the parts do not say: tokens, documents dropped, seconds of writing."""
    files = [Shard(shard) for split in finished.splits for shard in split.shards]
    rows = finished.totals.rows
    groups = plan_parts(files, [row.kept_bytes for row in rows], int(finished.plan.config.shards.text_mb * MB))
    tokens = iter([row.tokens for row in rows])
    return [
        {
            "tokens": _kept_tokens([next(tokens) for _ in group]),
            "dropped": part.dropped.rows,
            "seconds": part.seconds,
        }
        for part, group in zip(finished.parts, groups, strict=True)
    ]


def _kept_tokens(found: Sequence[int | None]) -> int | None:
    return None if None in found else sum(one for one in found if one is not None)


def _quarantine_places(store: Store) -> list[dict[str, Any]]:
    table = read_table(store, "quarantine/part-00000.parquet", QUARANTINE_SCHEMA.names)
    return list(table.slice(0, _QUARANTINE_ROWS).to_pylist())
