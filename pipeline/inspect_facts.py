"""The facts of a report on the terminal: warnings, sources, languages, perplexities, ratings, work by stage."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console

from pipeline.report_page import duration, percent, readable_bytes
from pipeline.report_warnings import warnings_of
from pipeline.showing import table, visible

_MOST = 12


def show_facts(console: Console, facts: dict[str, Any]) -> None:
    """What the sections of a report say, the largest rows of each."""
    for found in warnings_of(facts):
        console.print(f"warning: {visible(found.title)}. {visible(found.detail)}", markup=False, highlight=False)
    if tokens := facts.get("tokens"):
        console.print(f"tokens: {tokens['kept']:,} kept of {tokens['counted']:,} counted", highlight=False)
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
        console.print(table(title, columns, listed))
