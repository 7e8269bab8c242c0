"""Pages of shards: what one part of the result holds, and some of its documents, kept and dropped, with their scores.

Which documents are shown depends on their ids alone. What a filter of harmful text dropped is not in the page as
text: it lies there encoded, and comes at a click.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from pipeline.aggregates import aggregate
from pipeline.documents import RESERVED
from pipeline.hiding import covered, is_hidden
from pipeline.refusals import reading_shards
from pipeline.report_page import page
from pipeline.report_shards import chosen_places
from pipeline.shards import masked_rows, read_table
from pipeline.storage import Store

DIRECTORY = "shards"
MOST_PAGES = 32
"""Pages of a run with many shards: the first, the last, and some between at equal distances."""
KEPT = 12
DROPPED = 4
"""Dropped documents of each reason."""
MOST_REASONS = 24
CHARACTERS = 2000
STATISTICS = ("source", "lang", "lang_score", "harmful_ratio", "quality_ppl", "rating_overall_score_mean", "domain",
              "tokens", "order_similarity")  # fmt: skip
"""Columns whose distributions a page shows."""
_MAIN = ("lang", "harmful_ratio", "quality_ppl", "rating_overall_score_mean", "domain", "tokens", "order_similarity")
_NOT_KNOWN = {"tokens": None, "seconds": None}
"""Of a part, in the facts of an older version."""
_REASON = ("dropped_by", "drop_reason")


def pages_of(store: Store) -> list[str]:
    """Names of the pages that are there."""
    return sorted(name for name in store.names(DIRECTORY) if name.endswith(".html"))


def write_pages(store: Store, facts: dict[str, Any], most: int = MOST_PAGES) -> list[str]:
    """Make the pages of at most `most` shards of a finished run, and remove those that were there; their names."""
    store.remove(DIRECTORY)
    places = chosen_places(len(facts["parts"]), most)
    for place in places:
        with reading_shards(store):
            made = shard_page(store, facts, place)
        with store.create(f"{DIRECTORY}/{page_name(facts['parts'][place]['name'])}") as file:
            file.write(made.encode())
    return pages_of(store)


def page_name(part: str) -> str:
    """The name of a part's page.

    >>> page_name("data/part-00003.parquet")
    'part-00003.html'
    """
    return part.rsplit("/", 1)[-1].removesuffix(".parquet") + ".html"


def shard_page(store: Store, facts: dict[str, Any], place: int) -> str:
    """The page of the part at one place."""
    part, dropped = facts["parts"][place], facts["dropped"][place]
    columns = _statistics(store, part["name"], dropped["name"])
    neighbours = [page_name(facts["parts"][other]["name"]) for other in range(len(facts["parts"]))]
    return page(
        "shard.html",
        facts=facts,
        part=part,
        dropped=dropped,
        more=dict(facts["part_facts"][place] if facts["part_facts"] else _NOT_KNOWN),
        columns=columns,
        before=neighbours[place - 1] if place else None,
        after=neighbours[place + 1] if place + 1 < len(neighbours) else None,
        kept_documents=list(_sampled(store, part["name"], KEPT)),
        dropped_documents=list(_sampled(store, dropped["name"], DROPPED)),
    )


def _statistics(store: Store, data: str, dropped: str) -> dict[str, Any]:
    """Distributions of the columns that matter, over kept and dropped rows together; with their types."""
    tables = []
    for name in (data, dropped):
        with store.open(name) as file:
            known = pq.ParquetFile(file).schema_arrow.names
        tables.append(read_table(store, name, [column for column in STATISTICS if column in known]))
    both = pa.concat_tables(tables)
    alive = np.arange(both.num_rows) < tables[0].num_rows
    kinds = {field.name: pa.types.is_string(field.type) for field in both.schema}
    found = aggregate(both, alive)
    return {name: {"text": kinds[name], "all": one.all, "kept": one.kept} for name, one in found.items()}


def _sampled(store: Store, name: str, each: int) -> Iterator[dict[str, Any]]:
    """Documents with the smallest hashes of their ids: `each` of every reason, of those with text."""
    with store.open(name) as file:
        schema = pq.ParquetFile(file).schema_arrow
    reasons = [column for column in _REASON if column in schema.names]
    rows = _chosen(read_table(store, name, ["id", *reasons]), each, _with_text(store, name) if reasons else None)
    mask = np.zeros(_rows_of(store, name), dtype=bool)
    mask[rows] = True
    shown = [f.name for f in schema if f.name == "text" or (f.name != "metadata" and not pa.types.is_nested(f.type))]
    found = [row for batch in masked_rows(store, name, mask, pa.table({}), shown) for row in _cut(batch)]
    yield from sorted((_document(row) for row in found), key=lambda one: (one["dropped_by"] or "", one["reason"] or ""))


def _rows_of(store: Store, name: str) -> int:
    with store.open(name) as file:
        return int(pq.ParquetFile(file).metadata.num_rows)


def _with_text(store: Store, name: str) -> np.ndarray:
    return np.asarray(read_table(store, name, ["text"]).column("text").is_valid())


def _chosen(table: pa.Table, each: int, usable: np.ndarray | None) -> list[int]:
    """Row numbers, in order."""
    by_reason: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    keys = zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)
    for row, (id_, *reason) in enumerate(keys):
        if usable is None or usable[row]:
            by_reason.setdefault(tuple(reason), []).append((xxhash.xxh3_64_intdigest(id_.encode()), row))
    shown = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))[:MOST_REASONS]
    return sorted(row for _, found in shown for _, row in heapq.nsmallest(each, found))


def _cut(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    place = batch.schema.get_field_index("text")
    long = pc.greater(pc.utf8_length(batch.column("text")), CHARACTERS)
    short = batch.set_column(place, "text", pc.utf8_slice_codeunits(batch.column("text"), 0, CHARACTERS))
    rows = short.append_column("_cut", pc.fill_null(long, False)).to_pylist()
    return list(rows)


def _document(row: dict[str, Any]) -> dict[str, Any]:
    dropped_by, reason, text = row.get("dropped_by"), row.get("drop_reason"), row["text"]
    hidden = is_hidden(dropped_by, reason)
    others = [name for name in row if name not in (*RESERVED.names, *_REASON, *_MAIN, "_cut")]
    return {
        "id": row["id"],
        "source": row["source"],
        "dropped_by": dropped_by,
        "reason": reason,
        "scores": _scores(row, _MAIN),
        "others": _scores(row, others),
        "text": None if hidden else text,
        "covered": covered(text) if hidden and text is not None else None,
        "cut": row["_cut"],
    }


def _scores(row: dict[str, Any], names: Sequence[str]) -> list[tuple[str, Any]]:
    return [(name, row[name]) for name in names if row.get(name) is not None]
