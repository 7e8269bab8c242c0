"""The facts of a report on the terminal: warnings, sources, languages, perplexities, ratings, work by stage."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.report_page import duration, percent, readable_bytes
from pipeline.report_warnings import warnings_of
from pipeline.showing import short, table, visible

_MOST = 12
_PLACES = 5
_MOST_SHARDS = 20


def show_first(console: Console, facts: dict[str, Any]) -> None:
    """What to look at first: tokens, and everything that is unusual."""
    if tokens := facts.get("tokens"):
        console.print(f"tokens: {tokens['kept']:,} kept of {tokens['counted']:,} counted", highlight=False)
    for found in warnings_of(facts):
        told = f"warning: {visible(found.title)}. {visible(found.detail)}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)


def print_table(console: Console, shown: Table, left: int = 0) -> None:
    """A table with space before it, and a word on `left` rows that it does not show."""
    console.print()
    console.print(shown)
    if left > 0:
        console.print(f"and {left:,} more: --json has them all", highlight=False)


def show_facts(console: Console, facts: dict[str, Any]) -> None:
    """What the sections of a report say, the largest rows of each."""
    sources = facts.get("sources", {})
    _show(
        console,
        "sources",
        ("source", "read", "kept", "share", "text kept"),
        (
            (visible(name), row["read"], row["kept"], percent(row["kept"] / (row["read"] or 1)),
             readable_bytes(row["kept_bytes"])) for name, row in _largest(sources, lambda row: row["read"])
        ),
    )  # fmt: skip
    for name in ("lang", "domain"):
        counts, kept = facts.get("columns_all", {}).get(name, {}), facts.get("columns_kept", {}).get(name, {})
        rows = ((visible(value), count, kept.get(value, 0)) for value, count in _largest(counts, lambda count: count))
        _show(console, name, (name, "entered", "kept"), rows)
    _show_scores(console, facts)
    _show_work(console, facts)


def show_ends(console: Console, facts: dict[str, Any]) -> None:
    """What comes at the end of a report: the mixture, records in quarantine, shards, the slowest first."""
    groups = (facts.get("mixture") or {}).get("groups", [])
    keys = ("name", "contexts", "asked", "realised", "repetitions", "runs_out")
    rows = (tuple(_cell(group.get(key)) for key in keys) for group in groups)
    _show(console, "mixture", ("group", "contexts", "asked", "realised", "repetitions", "runs out after"), rows)
    places = facts.get("quarantine_places", [])
    found = ((bad["reason"], bad["step"], bad["count"], visible(f"{bad['url']}:{bad['line'] or bad['offset'] or 0}"))
             for bad in places[:_PLACES])  # fmt: skip
    _show(console, "quarantine, such as", ("reason", "step", "records", "place"), found)
    _show_parts(console, facts)


def _show_parts(console: Console, facts: dict[str, Any]) -> None:
    more = facts.get("part_facts") or [{}] * len(facts["parts"])
    both = sorted(zip(facts["parts"], more, strict=True), key=lambda pair: -pair[1].get("seconds", 0.0))
    rows = [
        (part["name"], part["rows"], fact.get("dropped"), fact.get("tokens"), readable_bytes(part["text_bytes"]),
         readable_bytes(part["size"]), duration(fact.get("seconds", 0.0)), part["xxh3"]) for part, fact in both
    ]  # fmt: skip
    columns = ("file", "kept", "dropped", "tokens", "text", "size", "time", "xxh3")
    print_table(console, table("shards, the slowest first", columns, rows[:_MOST_SHARDS]), len(rows) - _MOST_SHARDS)


def _cell(value: Any) -> Any:
    return short(value) if isinstance(value, float | str) else value


def _show_scores(console: Console, facts: dict[str, Any]) -> None:
    for found in facts.get("scores", []):
        rows = (
            (language, sum(counts.values()), sum(found["kept"][language].values()), _limits(found["limits"][language]))
            for language, counts in found["all"].items()
        )
        _show(console, found["column"], ("model", "scored", "kept", "limits"), rows)
    rating = facts.get("rating")
    if rating:
        rows = ((name, row["documents"], row["mean"], *row["counts"])
                for name in rating["criteria"] for row in rating["rows"][name][:1])  # fmt: skip
        _show(console, "ratings", ("criterion", "documents", "mean", "1", "2", "3", "4", "5"), rows)


def _show_work(console: Console, facts: dict[str, Any]) -> None:
    spent = {name: seconds for name, seconds in facts.get("stage_seconds", {}).items() if seconds}
    total = sum(spent.values())
    rows = ((name, duration(seconds), percent(seconds / total)) for name, seconds in spent.items())
    _show(console, "work by stage, on all workers together", ("stage", "time", "share"), rows)
    calls = ((name, duration(seconds)) for name, seconds in facts.get("seconds", {}).items())
    _show(console, "time of the last call", ("step", "time"), calls)


def _limits(limits: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in limits.items())


def _largest(rows: dict[str, Any], size: Any) -> list[tuple[str, Any]]:
    return sorted(rows.items(), key=lambda item: (-size(item[1]), item[0]))[:_MOST]


def _show(console: Console, title: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """A table, if there is a row."""
    if listed := list(rows):
        print_table(console, table(title, columns, listed))
