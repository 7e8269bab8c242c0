"""Tables on the terminal, and the same facts as JSON."""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import stages
from pipeline.config import as_plain
from pipeline.documents import RESERVED
from pipeline.plan import Plan, Step
from pipeline.reading import SplitRecord
from pipeline.records import read_record
from pipeline.report import readable_bytes
from pipeline.splitting import read_tasks
from pipeline.storage import Store
from stages.contract import settings_of

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

if TYPE_CHECKING:
    from pipeline.sample import SampleSource


def print_json(console: Console, value: object) -> None:
    """Print JSON as it is, without wrapping or colours."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str).decode()
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table whose cells are shown as they are; numbers are right-aligned with thousands separators."""
    from rich.text import Text

    style: dict[str, Any] = {"box": SIMPLE_HEAD, "show_edge": False, "pad_edge": False, "min_width": len(title)}
    shown = Table(title=title or None, title_justify="left", header_style="bold", **style)
    listed = [list(row) for row in rows]
    for position, name in enumerate(columns):
        numeric = bool(listed) and all(isinstance(row[position], int | float) for row in listed)
        shown.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        shown.add_row(*(Text(_cell(cell)) for cell in row))
    return shown


def _cell(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def show_stages(console: Console, *, as_json: bool) -> None:
    """Every stage with its settings, defaults and columns."""
    facts = [stage_facts(name) for name in stages.NAMES]
    if as_json:
        print_json(console, facts)
        return
    for found in facts:
        console.print(f"[bold]{found['name']}[/bold]  {found['summary']}", highlight=False)
        console.print(f"reads {', '.join(found['reads'])}; adds {_typed(found['adds'])}", highlight=False)
        rows = [
            (
                s["name"],
                s["type"],
                repr(s["default"]),
                _kind(s),
                s["help"],
            )
            for s in found["settings"]
        ]
        console.print(table("", ("setting", "type", "default", "", "meaning"), rows))


def _kind(setting: dict[str, Any]) -> str:
    return "threshold" if setting["filter"] else "operational" if setting["operational"] else ""


def stage_facts(name: str) -> dict[str, Any]:
    """One stage as plain values."""
    kind = stages.stage_class(name)
    return {
        "name": name,
        "summary": (kind.__doc__ or "").strip().splitlines()[0],
        "version": kind.version,
        "reads": list(kind().reads),
        "adds": {field.name: str(field.type) for field in kind().adds},
        "settings": [dataclasses.asdict(setting) for setting in settings_of(kind)],
    }


def show_plan(console: Console, plan: Plan, *, full: bool, as_json: bool) -> None:
    """Steps with columns, hashes and what is done; with `full` the whole configuration."""
    store = Store(plan.config.output)
    steps = [_step_facts(plan, step, store) for step in plan.steps]
    if as_json:
        print_json(console, {"config": as_plain(plan.config), "steps": steps, "inputs": len(plan.inputs)})
        return
    if full:
        console.print(yaml.safe_dump(as_plain(plan.config), sort_keys=False), markup=False, highlight=False)
    size = sum(item.file.size for item in plan.inputs)
    console.print(
        f"{len(plan.inputs):,} input files, {readable_bytes(size)}; run directory {plan.config.output}", highlight=False
    )
    rows = [(s["name"], ", ".join(s["reads"]), _typed(s["adds"]), s["hash"], s["done"]) for s in steps]
    console.print(table("", ("step", "reads", "adds", "hash", "done"), rows))


def show_sample(console: Console, sources: "list[SampleSource]", output: Path) -> None:
    """The sources of the quickstart corpus with their licences."""
    rows = [
        (s.name, s.documents, readable_bytes(s.bytes), len(s.languages), f"{s.package} {s.version}") for s in sources
    ]
    console.print(table("", ("source", "documents", "text", "languages", "package"), rows))
    for source in sources:
        console.print(f"{source.name}: {source.licence}", highlight=False, markup=False)
    documents, size = sum(s.documents for s in sources), sum(s.bytes for s in sources)
    languages = {language for s in sources for language in s.languages}
    console.print(
        f"{documents:,} documents, {readable_bytes(size)} of text, {len(sources)} sources, "
        f"{len(languages)} languages in {output}",
        highlight=False,
    )


def _step_facts(plan: Plan, step: Step, store: Store) -> dict[str, Any]:
    adds = step.stage.adds if step.stage else RESERVED if step is plan.read else []
    return {
        "name": step.name,
        "reads": list(step.stage.reads) if step.stage else [],
        "adds": {field.name: str(field.type) for field in adds},
        "hash": step.hash,
        "directory": step.directory,
        "done": _done(plan, step, store),
    }


def _done(plan: Plan, step: Step, store: Store) -> str:
    """How much of a step is there: finished records against the tasks it needs, where that is known."""
    names = store.names(f"{step.directory}/records")
    if step is plan.write:
        manifest = store.read_json("manifest.json") or {}
        return (
            "yes"
            if {"name": "write", "hash": step.hash, "directory": step.directory} in manifest.get("steps", [])
            else "no"
        )
    tasks = read_tasks(plan, store)
    if step is plan.read:
        return _share(len([n for n in names if n.startswith("split-")]), len(tasks), "splits")
    records = [read_record(store, task.record_name, SplitRecord) for task in tasks]
    shards = sum(len(record.shards) for record in records if record)
    return _share(len(names), shards, "shards") if all(records) else "no"


def _share(done: int, total: int, unit: str) -> str:
    return "no" if not done else "yes" if done >= total else f"{done:,} of {total:,} {unit}"


def _typed(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in columns.items()) or "-"


def start_of(text: str, characters: int = 60) -> str:
    """The first characters of a text on one line."""
    line = " ".join(visible(text[: 4 * characters]).split())
    return line if len(line) <= characters else line[: characters - 1] + "…"


def short(value: object) -> str:
    """A cell: floats with three significant digits, null as nothing."""
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else visible(str(value))


def visible(text: str) -> str:
    """Text without what a terminal would obey: control characters, escapes, and marks that turn the direction."""
    return _CONTROL.sub("\ufffd", text)


def show_agreement(console: Console, figures: dict[str, Any], *, as_json: bool) -> None:
    """Agreement of ratings with labels, a row for each criterion."""
    if as_json:
        print_json(console, figures)
        return
    columns = ("documents", "exact", "within_one", "always_the_commonest", "macro_f1", "spearman", "mean_error")
    rows = [(name, *(found[key] for key in columns)) for name, found in figures["criteria"].items()]
    if domain := figures["domain"]:
        rows.append(("domain", *(domain.get(key, "") for key in columns)))
    console.print(table("agreement", ("criterion", *columns), rows))
