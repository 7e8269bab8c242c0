"""The report of a run: `report.json` with the facts and `report.html`, one file that needs no network, to look at."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from pipeline.aggregates import MOST_VALUES, merge
from pipeline.manifest import Finished, manifest_of, read_manifest
from pipeline.outcomes import bounded_sources
from pipeline.perplexity_facts import limits_of, merged_scores, step_of
from pipeline.quarantine import SCHEMA as QUARANTINE_SCHEMA
from pipeline.rating_facts import merged
from pipeline.rating_report import rating_section
from pipeline.report_page import readable_bytes, render
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
    """The facts of a finished run. Raises InputError if it is not finished, or they are damaged."""
    read_manifest(store)
    facts = store.read_json("report.json")
    if not isinstance(facts, dict):
        raise InputError(
            f"{store.path('report.json')} is missing or damaged: remove {store.path('manifest.json')} and run again"
        )
    return facts


def report_facts(store: Store, finished: Finished) -> dict[str, Any]:
    """Everything that the report shows, as plain values."""
    outcomes = finished.outcomes
    names = [name for name in finished.plan.schema.names if any(name in outcome.columns for outcome in outcomes)]
    return {
        **manifest_of(finished),
        "documents_kept_bytes": sum(outcome.kept_bytes for outcome in outcomes),
        "bytes_read": sum(shard.text_bytes for split in finished.splits for shard in split.shards),
        "tokens": _tokens(finished),
        "stage_seconds": _stage_seconds(finished),
        "sources": _sources(finished),
        "columns_all": {name: merge(o.columns[name].all for o in outcomes if name in o.columns) for name in names},
        "columns_kept": {name: merge(o.columns[name].kept for o in outcomes if name in o.columns) for name in names},
        "stage_columns": [
            {"stage": step.name, "columns": step.stage.adds.names} for step in finished.plan.batch if step.stage
        ],
        "scores": _scores(finished),
        "mixture": finished.mixed.report() if finished.mixed else None,
        "rating": _rating(finished),
        "rating_columns": [name for name in names if name.startswith("rating_") and name != "rating_status"],
        "context_examples": _context_examples(finished),
        "quarantine_places": _quarantine_places(store),
        "part_facts": _part_facts(finished),
        "shards": [dataclasses.asdict(shard) for split in finished.splits for shard in split.shards],
    }


def _sources(finished: Finished) -> dict[str, dict[str, int]]:
    """In one pass over the shards; the largest alone are kept whenever there are many."""
    total: dict[str, dict[str, int]] = {}
    for outcome in finished.outcomes:
        for source, row in outcome.by_source.items():
            known = total.setdefault(source, dict.fromkeys(row, 0))
            for what, count in row.items():
                known[what] += count
        if len(total) > 20 * MOST_VALUES:
            total = bounded_sources(total)
    return bounded_sources(dict(sorted(total.items())))


def _context_examples(finished: Finished) -> list[dict[str, Any]]:
    return [dataclasses.asdict(example) for example in finished.contexts.examples] if finished.contexts else []


def _tokens(finished: Finished) -> dict[str, int] | None:
    counts = [outcome.tokens for outcome in finished.outcomes if outcome.tokens is not None]
    return {"counted": sum(all_ for all_, _ in counts), "kept": sum(kept for _, kept in counts)} if counts else None


def _stage_seconds(finished: Finished) -> dict[str, float]:
    """What each stage took over all shards, on all workers together."""
    names = [step.name for step in finished.plan.batch]
    return {name: round(sum(o.stage_seconds.get(name, 0.0) for o in finished.outcomes), 3) for name in names}


def _scores(finished: Finished) -> list[dict[str, Any]]:
    """The distributions of perplexities and what they are compared with, by column and language of the model."""
    stages = {s.score_column: s for s in finished.plan.config.stages if isinstance(s, Perplexity)}
    return [
        {
            **dataclasses.asdict(found),
            "step": step_of(found.column),
            "log": found.column != "harmful_ratio",
            "limits": {language: limits_of(stages[found.column], language) for language in found.all},
        }
        for found in merged_scores(part for outcome in finished.outcomes for part in outcome.scores)
    ]


def _rating(finished: Finished) -> dict[str, Any] | None:
    parts = [outcome.rating for outcome in finished.outcomes if outcome.rating is not None]
    if not parts:
        return None
    stage = next(stage for stage in finished.plan.config.stages if isinstance(stage, Rating))
    return rating_section(merged(parts), stage)


def _part_facts(finished: Finished) -> list[dict[str, Any]]:
    """What the records of the parts do not say: tokens, documents dropped, seconds of writing."""
    files = [Shard(shard) for split in finished.splits for shard in split.shards]
    sizes = [outcome.kept_bytes for outcome in finished.outcomes]
    groups = plan_parts(files, sizes, int(finished.plan.config.shards.text_mb * MB))
    tokens = {outcome.shard: outcome.tokens for outcome in finished.outcomes}
    return [
        {
            "tokens": _kept_tokens([tokens[shard.file.name] for shard in group]),
            "dropped": part.dropped.rows,
            "seconds": part.seconds,
        }
        for part, group in zip(finished.parts, groups, strict=True)
    ]


def _kept_tokens(found: Sequence[tuple[int, int] | None]) -> int | None:
    return None if any(one is None for one in found) else sum(one[1] for one in found if one)


def _quarantine_places(store: Store) -> list[dict[str, Any]]:
    table = read_table(store, "quarantine/part-00000.parquet", QUARANTINE_SCHEMA.names)
    return list(table.slice(0, _QUARANTINE_ROWS).to_pylist())
