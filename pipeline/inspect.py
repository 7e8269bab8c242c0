"""Looking into a run, a directory of shards, or one shard: schema, counts, statistics, a few rows."""

from typing import Any

import fsspec
import pyarrow.parquet as pq
from rich.console import Console

from pipeline.credentials import without_credentials
from pipeline.inspect_document import document_facts, show_document
from pipeline.inspect_facts import print_table, show_ends, show_facts, show_first
from pipeline.manifest import NAME, read_manifest
from pipeline.records import FileRecord, is_intact
from pipeline.refusals import no_directory
from pipeline.report import read_facts, readable_bytes
from pipeline.report_page import in_order
from pipeline.shard_sql import connect, patterns, quoted
from pipeline.showing import print_json, short, start_of, table, visible
from pipeline.storage import Store
from stages.errors import EngineError, InputError

_STATISTICS = ("column_name", "column_type", "min", "max", "approx_unique", "avg", "null_percentage")
_ROWS = 50
_NAMES = 8
_LONG = ("text", "metadata")
_OPTIONS = "hive_partitioning = false, union_by_name = true"


def inspect_path(console: Console, path: str, *, rows: int, with_text: bool, verify: bool, as_json: bool) -> None:
    """Show a run, a directory of shards, or a shard. Raises InputError if it is none of these."""
    facts = _facts(Store(path), path, rows, with_text)
    if verify:
        facts["verified"] = _verify(path)
    if as_json:
        print_json(console, facts)
    elif "ledger" in facts:
        _show_run(console, facts)
    elif "unfinished" in facts:
        rows_of = [(step["name"], step["finished_tasks"]) for step in facts["steps"]]
        told = f"{facts['path']} is not finished: the same `tamis run` goes on from here"
        console.print(told, markup=False, highlight=False)
        console.print(table("steps", ("step", "finished tasks"), rows_of))
    else:
        _show_shards(console, facts)


def inspect_document(console: Console, path: str, id_: str, *, with_text: bool, as_json: bool) -> None:
    """Show where one document of a run went. Raises InputError if the run is not finished, or has no such document."""
    found = document_facts(path, id_, with_text)
    if as_json:
        print_json(console, found)
    else:
        show_document(console, found)


def _facts(store: Store, path: str, rows: int, with_text: bool) -> dict[str, Any]:
    if store.exists(NAME):
        return run_facts(store)
    if not store.exists("steps"):
        return shard_facts(path, rows, with_text)
    steps = [name for name in store.names("steps") if store.exists(f"steps/{name}/records")]
    counts = [{"name": name, "finished_tasks": len(store.names(f"steps/{name}/records"))} for name in steps]
    return {"path": without_credentials(path), "unfinished": True, "steps": counts}


def run_facts(store: Store) -> dict[str, Any]:
    """The facts of a finished run, step by step; `incomplete` says why there are only those of the manifest."""
    manifest = read_manifest(store)
    try:
        return in_order(read_facts(store))
    except InputError as error:
        return in_order({**manifest, "incomplete": without_credentials(str(error))})


def shard_facts(path: str, rows: int, with_text: bool) -> dict[str, Any]:
    """Schema, counts, statistics and the first rows of one Parquet file, or of all in a directory."""
    files = _parquet_files(path)
    schema, counts = _schema_and_counts(path, files)
    hidden = [] if with_text or "dropped_by" not in schema else ["text"]
    return {
        "path": without_credentials(path),
        "files": len(files),
        "rows": sum(row["rows"] for row in counts),
        "bytes": sum(row["bytes"] for row in counts),
        "schema": schema,
        "row_groups": sum(row["row_groups"] for row in counts),
        "statistics": _query(
            path, f"SUMMARIZE SELECT {_without(schema, _LONG)} FROM read_parquet(?, {_OPTIONS})", files
        )
        if counts
        else [],
        "first_rows": _query(
            path, f"SELECT {_without(schema, hidden)} FROM read_parquet(?, {_OPTIONS}) LIMIT {int(rows)}", files
        ),
    }


def _parquet_files(path: str) -> list[str]:
    store = Store(path)
    if path.endswith(".parquet") and store.filesystem.isfile(path):
        return [path]
    names = [name for name in store.names("") if name.endswith(".parquet") and not name.startswith("quarantine-")]
    if names:
        return [store.path(name) for name in names]
    raise no_directory(store) or InputError(
        f"{path} is neither a run (no {NAME}, no steps/), nor a directory with Parquet shards, nor a shard "
        f"(found: {', '.join(store.names('')[:_NAMES]) or 'nothing'}): check the path, or name one of these"
    )


def _schema_and_counts(path: str, files: list[str]) -> tuple[dict[str, str], list[dict[str, int]]]:
    counts = []
    schema: dict[str, str] = {}
    for url in files:
        with fsspec.open(url, "rb") as file:
            try:
                parquet = pq.ParquetFile(file)
            except (OSError, ValueError) as error:
                raise InputError(f"{url} is no readable Parquet file: {error}") from error
            schema = schema or {field.name: str(field.type) for field in parquet.schema_arrow}
            meta = parquet.metadata
            counts.append(
                {
                    "rows": meta.num_rows,
                    "row_groups": meta.num_row_groups,
                    "bytes": file.size if hasattr(file, "size") else file.seek(0, 2),
                }
            )
    return schema, counts


def _query(path: str, query: str, files: list[str]) -> list[dict[str, Any]]:
    import duckdb

    try:
        with connect(Store(path)) as connection:
            cursor = connection.execute(query, [patterns(files)])
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except duckdb.Error as error:  # what it says may quote values of documents
        kind = type(error).__name__
        raise InputError(
            f"{path}: the shards do not go together, or are damaged ({kind}): look at them one by one, or at their run "
            "with --verify"
        ) from error


def _without(schema: dict[str, str], hidden: tuple[str, ...] | list[str]) -> str:
    return ", ".join(quoted(name) for name in schema if name not in hidden) or "1"


def _verify(path: str) -> int:
    """The number of files of a result, all with their recorded hash. Raises EngineError if one is not as recorded."""
    store = Store(path)
    records = _recorded(read_manifest(store))
    damaged = [record.name for record in records if not is_intact(store, record)]
    if damaged:
        raise EngineError(
            f"{len(damaged)} shards are missing or differ from their recorded hash, the first is "
            f"{store.path(damaged[0])}: remove them and run the same `tamis run` again, which makes them anew"
        )
    return len(records)


def _recorded(manifest: dict[str, Any]) -> list[FileRecord]:
    """Documents, contexts, and the mixture: all that a trainer may read, and what was dropped."""
    packed = [file for group in manifest.get("contexts", {}).get("groups", {}).values() for file in group["files"]]
    mixed = manifest.get("mixed", {})
    found = (*manifest["parts"], *manifest["dropped"], *packed, *mixed.get("files", []))
    return [FileRecord(**record) for record in (*found, *([mixed["log"]] if "log" in mixed else []))]


def _show_run(console: Console, facts: dict[str, Any]) -> None:
    ledger = facts["ledger"]
    quarantined = sum(ledger["quarantined"].values())
    dropped = sum(sum(reasons.values()) for reasons in ledger["dropped"].values())
    console.print(
        f"read {ledger['read']:,} = kept {ledger['kept']:,} + dropped {dropped:,} + quarantined {quarantined:,}",
        highlight=False,
    )
    console.print(f"finished {facts['finished']} by tamis {facts['tamis']}, engine {facts['engine']}", highlight=False)
    if told := facts.get("incomplete"):
        console.print(f"warning: only a part is shown: {told}", markup=False, highlight=False, soft_wrap=True)
    if "verified" in facts:
        console.print(f"verified: {facts['verified']:,} files have their recorded hash", highlight=False)
    show_first(console, facts)
    funnel = [
        (c["stage"], c["entered"], c["kept"], _reasons(c["dropped"]), _reasons(c["quarantined"]))
        for c in facts["funnel"]
    ]
    print_table(console, table("funnel", ("stage", "entered", "kept", "dropped", "quarantined"), funnel))
    if statuses := facts.get("statuses"):
        rows = [(column, value, count) for column, found in statuses.items() for value, count in found.items()]
        print_table(console, table("what the stages did", ("column", "status", "documents"), rows))
    for name, found in facts.get("surveys", {}).items():
        console.print()
        for note in found["notes"]:
            console.print(f"{name}: {visible(note)}", markup=False, highlight=False, soft_wrap=True)
        cells = [[visible(cell) if isinstance(cell, str) else cell for cell in row] for row in found["rows"]]
        if cells:
            print_table(console, table(name, found["columns"], cells[:_ROWS]), len(cells) - _ROWS)
    show_facts(console, facts)
    if contexts := facts.get("contexts"):
        _show_contexts(console, contexts)
    show_ends(console, facts)
    print_table(console, table("columns", ("name", "type"), facts["columns"].items()))


def _show_contexts(console: Console, contexts: dict[str, Any]) -> None:
    title = f"contexts of at most {contexts['context']:,} tokens ({visible(contexts['tokenizer'])})"
    columns = ("group", "contexts", "tokens", "documents", "files", "checksum")
    rows = [
        (visible(name), g["contexts"], g["tokens"], g["documents"], len(g["files"]), g["checksum"])
        for name, g in contexts["groups"].items()
    ]
    print_table(console, table(title, columns, rows[:_ROWS]), len(rows) - _ROWS)


def _show_shards(console: Console, facts: dict[str, Any]) -> None:
    console.print(
        f"{facts['path']}: {facts['files']:,} files, {facts['rows']:,} rows, {facts['row_groups']:,} row groups, "
        f"{readable_bytes(facts['bytes'])}",
        highlight=False,
    )
    if facts["statistics"]:
        rows = [[start_of(short(row[name])) for name in _STATISTICS] for row in facts["statistics"]]
        console.print(table("columns", ("name", "type", "min", "max", "distinct, about", "mean", "null %"), rows))
    if facts["first_rows"]:
        names = list(facts["first_rows"][0])
        console.print(
            table("first rows", names, [[start_of(short(row[name])) for name in names] for row in facts["first_rows"]])
        )


def _reasons(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.items()) or "none"
