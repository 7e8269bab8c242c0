"""Where one document of a run went: where it was read, what each stage found, and which dropped it and why."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

import stages
from pipeline.compare_documents import shards
from pipeline.credentials import without_credentials
from pipeline.dropped_at import dropped_at, telling_columns
from pipeline.refusals import reading_shards
from pipeline.report import read_facts
from pipeline.shard_sql import connect, patterns
from pipeline.showing import short, start_of, table, visible
from pipeline.storage import Store
from pipeline.view_cursors import told
from pipeline.view_document import row_of
from stages.contract import settings_of
from stages.errors import ConfigError, InputError

_FILES = "read_parquet(?, hive_partitioning = false, union_by_name = true, filename = true, file_row_number = true)"
_FIND = f"SELECT filename, file_row_number FROM {_FILES} WHERE id = ?"
_NEAR = f"SELECT id FROM {_FILES} WHERE contains(id, ?) ORDER BY length(id), id LIMIT 3"
_PLACE = ("url", "line", "offset")
_ORIGIN = (
    f'SELECT url, line, "offset", text_bytes FROM {_FILES} WHERE id = ? ORDER BY filename, file_row_number LIMIT 1'
)
_BAD = f'SELECT url, line, "offset", step, reason, detail FROM {_FILES} WHERE id = ? ORDER BY file_row_number'
_Facts = dict[str, Any]


def document_facts(path: str, id_: str, with_text: bool) -> _Facts:
    """The way of a document through a finished run, as plain values; with its text and metadata if asked for.

    Raises InputError if the run is not finished, or no document of it has the id.
    """
    store = Store(path)
    facts = read_facts(store)
    files = [file for kind in ("data", "dropped") for file in shards(store, kind)]
    found = _ask(store, _FIND, files, id_)
    bad = [dict(zip((*_PLACE, "step", "reason", "detail"), row, strict=True)) for row in _quarantined(store, id_)]
    if not found and not bad:
        near = ", ".join(visible(name) for (name,) in _ask(store, _NEAR, files, id_))
        raise InputError(
            f"{path}: found no document with the id '{visible(id_[:80])}' in data/, dropped/ or quarantine/, expected "
            f"the id that its record gave, or a shard's column id{f'; ids that hold it: {near}' if near else ''}"
        )
    row = _row(store, *found[0]) if found else {"dropped_by": bad[0]["step"], "drop_reason": bad[0]["reason"]}
    stopped = row.get("dropped_by")
    return {
        "path": without_credentials(path),
        "id": id_,
        "fate": ("dropped" if stopped else "kept") if found else "quarantined",
        "by": stopped,
        "reason": row.get("drop_reason"),
        "source": row.get("source"),
        "read": _origin(store, facts, id_),
        "file": found[0][0] if found else None,
        "row": found[0][1] if found else None,
        "stages": _way(facts, row),
        "quarantined": bad,
        **({"text": row.get("text"), "metadata": row.get("metadata")} if with_text else {}),
    }


def show_document(console: Console, found: _Facts) -> None:
    """The same on the terminal."""
    for line in _lines(found):
        console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
    rows = [
        (stage["stage"], stage["fate"], _pairs(stage["found"]), _pairs(stage["thresholds"]))
        for stage in found["stages"]
    ]
    console.print(table("", ("stage", "fate", "found", "thresholds"), rows))
    if "text" in found:
        text = found["text"] if found["text"] is not None else "(its text was not kept)"
        console.print(visible(text), markup=False, highlight=False, soft_wrap=True)


def _lines(found: _Facts) -> list[str]:
    lines = [f"{found['id']}: {found['fate']}" + (f" by {found['by']}: {found['reason']}" if found["by"] else "")]
    if read := found["read"]:
        lines.append(f"read from {_place(read)}: {read['text_bytes']:,} bytes of text")
    if found["file"]:
        lines.append(f"source {found['source']}, in {found['file']}, row {found['row']:,}")
    return lines + [
        f"in quarantine by {bad['step']}: {bad['reason']}, {bad['detail']}, at {_place(bad)}"
        for bad in found["quarantined"]
    ]


def _place(read: _Facts) -> str:
    place = f"line {read['line']:,}" if read["line"] is not None else f"byte {read['offset'] or 0:,}"
    return f"{read['url']}, {place}"


def _pairs(values: _Facts) -> str:
    return ", ".join(f"{name} {start_of(short(value), 40)}" for name, value in values.items()) or "-"


def _way(facts: _Facts, row: _Facts) -> list[_Facts]:
    """Stage by stage: what it found, and whether the document passed, ended there, or never came so far."""
    first, last = _ends(facts, row)
    settings = [given for entry in facts["config"]["stages"] for given in entry.values()]
    return [
        {
            "stage": found["stage"],
            "fate": "passed" if place < first else "not reached" if place > last else _ended(row, first < last),
            "found": {name: row[name] for name in found["columns"] if place <= last and row.get(name) is not None},
            "thresholds": _thresholds(found["stage"], settings[place] or {}, every=first <= place <= last)
            | _limits(facts, found["columns"], row),
        }
        for place, found in enumerate(facts["stage_columns"])
    ]


def _ends(facts: _Facts, row: _Facts) -> tuple[int, int]:
    """The first and the last place where the document may have ended; its quarantine tells a stage by name alone."""
    chain, stopped = [(found["stage"], found["columns"]) for found in facts["stage_columns"]], row.get("dropped_by")
    if not stopped:
        return len(chain), len(chain)
    if "id" in row:
        columns = {name: pa.array([row.get(name) is not None or None]) for name in telling_columns(chain)}
        (place,) = dropped_at(chain, [stopped], columns).tolist()
        return place, place
    places = [place for place, (name, _) in enumerate(chain) if name == stopped] or [-1]
    return places[0], places[-1]


def _ended(row: _Facts, unsure: bool) -> str:
    fate = f"{'dropped' if 'id' in row else 'quarantined'}: {row['drop_reason']}"
    return f"not known (by a stage {row['dropped_by']}, {fate})" if unsure else fate


def _thresholds(name: str, given: _Facts, *, every: bool) -> _Facts:
    """The thresholds of a stage that were set, or every one."""
    try:
        known = [setting for setting in settings_of(stages.stage_class(name)) if setting.filter]
    except ConfigError:  # a stage that this version does not know
        return {}
    found = {one.name: (given.get(one.name, one.default), one.default) for one in known}
    return {key: value for key, (value, default) in found.items() if every or _plain(value) != _plain(default)}


def _limits(facts: _Facts, columns: Sequence[str], row: _Facts) -> _Facts:
    """What a model's card says for the document's language, where a stage compared its score with that."""
    for scores in facts["scores"]:
        if (name := scores["column"]) in columns and row.get(name) is not None:
            language = row.get("quality_model" if name.startswith("quality_") else "harmful_model")
            return dict(scores["limits"].get(language, {}))
    return {}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _origin(store: Store, facts: _Facts, id_: str) -> _Facts | None:
    """Where the read step found it; None if the steps of the run were removed."""
    names = [shard["name"] for shard in facts.get("shards", [])]
    if not names or not all(map(store.exists, (names[0], names[-1]))):
        return None
    rows = _ask(store, _ORIGIN, list(map(store.path, names)), id_)
    return dict(zip((*_PLACE, "text_bytes"), rows[0], strict=True)) if rows else None


def _quarantined(store: Store, id_: str) -> list[tuple[Any, ...]]:
    name = "quarantine/part-00000.parquet"
    return _ask(store, _BAD, [store.path(name)], id_) if store.exists(name) else []


def _row(store: Store, file: str, row: int) -> _Facts:
    with reading_shards(store), store.filesystem.open(file, "rb") as opened:
        return row_of(pq.ParquetFile(opened), row)


def _ask(store: Store, query: str, files: Sequence[str], id_: str) -> list[tuple[Any, ...]]:
    with told(store.url), connect(store) as connection:
        return list(connection.execute(query, [patterns(files), id_]).fetchall())
