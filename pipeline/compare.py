"""Two runs side by side: what other settings or models moved, from their reports and their shards."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console

from pipeline.compare_documents import moved_documents, moved_scores
from pipeline.credentials import without_credentials
from pipeline.report import read_facts
from pipeline.report_page import page
from pipeline.report_warnings import warnings_of
from pipeline.showing import print_json, short, table, visible
from pipeline.storage import Store

_SHOWN = 40
_Rows = list[dict[str, Any]]


def compare_runs(first: str, second: str) -> dict[str, Any]:
    """What differs between two finished runs, as plain values. Raises InputError if one is not finished.

    The documents of both are joined by id, on disk where they do not fit into memory.
    """
    stores = Store(first), Store(second)
    a, b = (read_facts(store) for store in stores)
    return {
        "runs": [without_credentials(path) for path in (first, second)],
        "summary": _summary(a, b),
        "settings": settings_that_differ(a["config"], b["config"]),
        "funnel": _funnel(a, b),
        "warnings": _warnings(a, b),
        "sources": _counts({k: v["kept"] for k, v in a["sources"].items()}, _kept(b["sources"])),
        "values": {name: _counts(*both) for name, both in _columns(a, b) if _is_text(a, name)},
        "numbers": dict(both for both in _columns(a, b) if not _is_text(a, both[0])),
        "mixture": _mixture(a, b),
        "documents": moved_documents(*stores),
        "scores": moved_scores(*stores, _annotated_anew(a, b)),
    }


def compare_page(found: dict[str, Any]) -> str:
    """The comparison as a page that needs no network."""
    return page("compare.html", found=found)


def settings_that_differ(a: dict[str, Any], b: dict[str, Any]) -> _Rows:
    """Settings by name with both values; None where one run has no such setting.

    >>> settings_that_differ({"seed": 0, "stages": [{"language": {"keep": []}}]}, {"seed": 1, "stages": []})
    [{'name': 'language.keep', 'a': [], 'b': None}, {'name': 'seed', 'a': 0, 'b': 1}]
    """
    flat_a, flat_b = (dict(_flat(config)) for config in (a, b))
    names = sorted({*flat_a, *flat_b} - {"output"})
    rows = [{"name": name, "a": flat_a.get(name), "b": flat_b.get(name)} for name in names]
    return [row for row in rows if row["a"] != row["b"]]


def numbered(names: Iterable[str]) -> list[str]:
    """Names of stages with a number from the second of a name on, since a chain may hold one twice.

    >>> numbered(["language", "perplexity", "perplexity"])
    ['language', 'perplexity', 'perplexity 2']
    """
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return found


def show_comparison(console: Console, found: dict[str, Any], *, as_json: bool) -> None:
    """The comparison on the terminal."""
    if as_json:
        print_json(console, found)
        return
    for letter, name in zip("AB", found["runs"], strict=True):
        console.print(f"{letter}: {name}", markup=False, highlight=False, soft_wrap=True)
    _table(console, "", ("", "A", "B", "B - A"), ([r["name"], r["a"], r["b"], r["change"]] for r in found["summary"]))
    _table(console, "settings", ("setting", "A", "B"), ([r["name"], r["a"], r["b"]] for r in found["settings"]))
    funnel = ([r["stage"], r["reason"], r["a"], r["b"], r["change"]] for r in found["funnel"])
    _table(console, "funnel", ("stage", "what", "A", "B", "B - A"), funnel)
    moved = ([r["a"], r["b"], r["documents"], ", ".join(r["ids"])] for r in found["documents"]["moved"])
    _table(console, "documents that changed sides", ("in A", "in B", "documents", "such as"), moved)
    shares = ([r["name"], *(_points(r[key]) for key in ("a", "b", "change"))] for r in found["mixture"])
    _table(console, "mixture, share of contexts", ("group", "A", "B", "B - A, points"), shares)
    for row in found["warnings"]:
        told = f"only in {row['run']}: {row['title']}. {row['detail']}"
        console.print(visible(told), markup=False, highlight=False, soft_wrap=True)
    scores = ([r["column"], r["documents"], r["changed"], r["mean_change"]] for r in found["scores"])
    _table(console, "scores of documents in both", ("column", "documents", "changed", "mean change"), scores)


def _table(console: Console, title: str, columns: tuple[str, ...], rows: Iterator[list[Any]]) -> None:
    cells = [[cell if isinstance(cell, int) else visible(short(cell)) for cell in row] for row in rows]
    if cells:
        console.print(table(title, columns, cells[:_SHOWN]))


def _points(share: float | None) -> str:
    return "" if share is None else f"{round(100 * share, 1) + 0.0:.1f}"


def _summary(a: dict[str, Any], b: dict[str, Any]) -> _Rows:
    rows = [
        ("documents read", *(run["ledger"]["read"] for run in (a, b))),
        ("documents kept", *(run["ledger"]["kept"] for run in (a, b))),
        ("documents quarantined", *(sum(run["ledger"]["quarantined"].values()) for run in (a, b))),
        ("bytes of text kept", *(run["documents_kept_bytes"] for run in (a, b))),
        ("tokens kept", *((run.get("tokens") or {}).get("kept") for run in (a, b))),
        ("shards", *(len(run["parts"]) for run in (a, b))),
        ("seconds of the last call", *(run["seconds"]["total"] for run in (a, b))),
    ]
    return [_row(*row) for row in rows if row[1:] != (None, None)]


def _row(name: str, a: Any, b: Any) -> dict[str, Any]:
    return {"name": name, "a": a, "b": b, "change": None if a is None or b is None else b - a}


def _funnel(a: dict[str, Any], b: dict[str, Any]) -> _Rows:
    """A row for what entered each stage, what it kept, and each reason."""
    sides = [dict(zip(numbered(row["stage"] for row in run["funnel"]), run["funnel"], strict=True)) for run in (a, b)]
    rows = []
    for stage in dict.fromkeys(name for side in sides for name in side):
        told = [_told(side.get(stage)) for side in sides]
        for what in dict.fromkeys(name for one in told for name in one):
            found = _row(what, *(one.get(what, 0 if one else None) for one in told))
            rows.append({"stage": stage, "reason": what, **{key: found[key] for key in ("a", "b", "change")}})
    return rows


def _told(row: dict[str, Any] | None) -> dict[str, int]:
    return {"entered": row["entered"], "kept": row["kept"], **row["dropped"]} if row else {}


def _warnings(a: dict[str, Any], b: dict[str, Any]) -> _Rows:
    """What one report asks to look at first and the other does not."""
    first, second = ({warned.title: warned.detail for warned in warnings_of(run)} for run in (a, b))
    both = (("A", first, second), ("B", second, first))
    return [
        {"run": letter, "title": title, "detail": detail}
        for letter, found, other in both
        for title, detail in found.items()
        if title not in other
    ]


def _mixture(a: dict[str, Any], b: dict[str, Any]) -> _Rows:
    """The share of each group in the contexts of the training order; None where a run has no such group."""
    sides = [{group["name"]: group["realised"] for group in (run["mixture"] or {}).get("groups", [])} for run in (a, b)]
    return [_row(name, *(side.get(name) for side in sides)) for name in dict.fromkeys([*sides[0], *sides[1]])]


def _kept(sources: dict[str, dict[str, int]]) -> dict[str, int]:
    return {name: row["kept"] for name, row in sources.items()}


def _columns(a: dict[str, Any], b: dict[str, Any]) -> Iterator[tuple[str, tuple[dict[str, int], dict[str, int]]]]:
    """The kept documents of both runs by value, of the columns that both have."""
    for name, counts in a["columns_kept"].items():
        if name in b["columns_kept"] and a["columns"].get(name) == b["columns"].get(name):
            yield name, (counts, b["columns_kept"][name])


def _is_text(facts: dict[str, Any], name: str) -> bool:
    return bool(facts["columns"].get(name) == "string")


def _counts(a: dict[str, int], b: dict[str, int]) -> _Rows:
    """The values whose counts are largest in either run."""
    names = sorted({*a, *b}, key=lambda name: (-max(a.get(name, 0), b.get(name, 0)), name))
    return [_row(name, a.get(name, 0), b.get(name, 0)) for name in names[:_SHOWN]]


def _annotated_anew(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Number columns of the stages whose annotations may differ: those whose steps have another hash."""
    steps = [zip(numbered(step["name"] for step in run["steps"]), run["steps"], strict=True) for run in (a, b)]
    hashes = [{name: step["hash"] for name, step in run} for run in steps]
    anew = {name for name in hashes[0] if hashes[0][name] != hashes[1].get(name)}
    added = b.get("stage_columns", [])
    names = numbered(found["stage"] for found in added)
    columns = [column for name, found in zip(names, added, strict=True) if name in anew for column in found["columns"]]
    numbers = ("float", "double", "int8", "int16", "int32", "int64")
    kinds = [run["columns"] for run in (a, b)]
    return [name for name in columns if all(kind.get(name) in numbers for kind in kinds)]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if name == "stages":
        stages = [stage for entry in value for stage in entry.items()]
        for stage, (_, settings) in zip(numbered(stage for stage, _ in stages), stages, strict=True):
            yield from _flat(settings, stage)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value
