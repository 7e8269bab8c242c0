"""The report of a run: `report.json` with the facts and `report.html`, one file that needs no network, to look at."""

import dataclasses
from typing import Any

import orjson

from pipeline.aggregates import OTHER, merge
from pipeline.manifest import Finished, manifest_of
from pipeline.outcomes import bounded_sources
from pipeline.quarantine import SCHEMA as QUARANTINE_SCHEMA
from pipeline.rating_facts import merged
from pipeline.rating_report import rating_section
from pipeline.shards import read_table
from pipeline.storage import Store
from stages.errors import InputError
from stages.rating import Rating

_QUARANTINE_ROWS = 50


def write_report(store: Store, finished: Finished) -> None:
    """Make both files from the records of the run; no document is read."""
    facts = report_facts(store, finished)
    store.write_json("report.json", facts)
    with store.create("report.html") as file:
        file.write(render(facts).encode())


def rewrite_html(store: Store) -> str:
    """Make `report.html` again from `report.json` and return its path. Raises InputError if the run is not finished."""
    from pipeline.manifest import read_manifest

    read_manifest(store)
    facts = store.read_json("report.json")
    if not isinstance(facts, dict):
        raise InputError(
            f"{store.path('report.json')} is missing or damaged: remove {store.path('manifest.json')} and run again"
        )
    with store.create("report.html") as file:
        file.write(render(facts).encode())
    return store.path("report.html")


def report_facts(store: Store, finished: Finished) -> dict[str, Any]:
    """Everything that the report shows, as plain values."""
    outcomes = finished.outcomes
    names = [name for name in finished.plan.schema.names if any(name in outcome.columns for outcome in outcomes)]
    return {
        **manifest_of(finished),
        "documents_kept_bytes": sum(outcome.kept_bytes for outcome in outcomes),
        "sources": _sources(finished),
        "columns_all": {name: merge(o.columns[name].all for o in outcomes if name in o.columns) for name in names},
        "columns_kept": {name: merge(o.columns[name].kept for o in outcomes if name in o.columns) for name in names},
        "rating": _rating(finished),
        "rating_columns": [name for name in names if name.startswith("rating_") and name != "rating_status"],
        "quarantine_places": _quarantine_places(store),
        "shards": [dataclasses.asdict(shard) for split in finished.splits for shard in split.shards],
    }


def render(facts: dict[str, Any]) -> str:
    """The page. Every value is escaped by the template engine."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["thousands"] = lambda value: f"{value:,}"
    environment.filters["bytes"] = readable_bytes
    environment.filters["number"] = lambda value: f"{value:.4g}" if isinstance(value, float) else value
    environment.filters["percent"] = lambda value: f"{value:.1%}"
    environment.globals["bars"] = bars
    environment.globals["histogram"] = histogram
    return environment.get_template("report.html").render(facts=facts, settings=_pretty(facts["config"]))


def readable_bytes(size: float) -> str:
    """Bytes with a decimal unit.

    >>> readable_bytes(12_345_678)
    '12.3 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def bars(counts: dict[str, int], kept: dict[str, int], most: int = 30) -> list[dict[str, Any]]:
    """The largest counts as rows of a bar chart: name, count, kept, and both as percent of the largest."""
    ordered = sorted((item for item in counts.items() if item[0] != OTHER), key=lambda item: (-item[1], item[0]))
    largest = max((count for _, count in ordered), default=1)
    return [
        {
            "name": name,
            "count": count,
            "kept": kept.get(name, 0),
            "width": 100 * count / largest,
            "kept_width": 100 * kept.get(name, 0) / largest,
        }
        for name, count in ordered[:most]
    ]


def histogram(counts: dict[str, int], kept: dict[str, int], bins: int = 20) -> list[dict[str, Any]]:
    """Counts by number as at most `bins` equal bins, in order, in the form that `bars` gives."""
    values = {float(name): count for name, count in counts.items() if name != OTHER}
    if not values:
        return []
    low, high = min(values), max(values)
    width = (high - low) / bins or 1.0
    rows: dict[str, int] = {}
    rows_kept: dict[str, int] = {}
    for value in sorted(values):
        begin = low + width * min(bins - 1, int((value - low) / width))
        name = f"{begin:.3g} to {begin + width:.3g}"
        rows[name] = rows.get(name, 0) + values[value]
        rows_kept[name] = rows_kept.get(name, 0) + kept.get(f"{value:.2g}", 0)
    shown = {row["name"]: row for row in bars(rows, rows_kept, bins)}
    return [shown[name] for name in rows]


def _sources(finished: Finished) -> dict[str, dict[str, int]]:
    sources = sorted({source for outcome in finished.outcomes for source in outcome.by_source})
    return bounded_sources({s: merge(o.by_source[s] for o in finished.outcomes if s in o.by_source) for s in sources})


def _rating(finished: Finished) -> dict[str, Any] | None:
    parts = [outcome.rating for outcome in finished.outcomes if outcome.rating is not None]
    if not parts:
        return None
    stage = next(stage for stage in finished.plan.config.stages if isinstance(stage, Rating))
    return rating_section(merged(parts), stage)


def _quarantine_places(store: Store) -> list[dict[str, Any]]:
    table = read_table(store, "quarantine/part-00000.parquet", QUARANTINE_SCHEMA.names)
    return list(table.slice(0, _QUARANTINE_ROWS).to_pylist())


def _pretty(config: dict[str, Any]) -> str:
    return orjson.dumps(config, option=orjson.OPT_INDENT_2).decode()
