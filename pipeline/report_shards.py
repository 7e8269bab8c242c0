"""The table of shards in a report: its first rows as HTML, and all of them as data that a script turns over."""

from typing import Any

import numpy as np
import orjson

FIRST = 200
"""Rows that are HTML, and rows of a page that the script shows."""
MOST = 20_000
"""Rows in the data, about 110 bytes each: of more shards, the first, the last, and some between at equal distances."""

Row = list[str | int | float | None]


def shard_rows(facts: dict[str, Any]) -> list[Row]:
    """Of at most MOST shards, in order: file, documents, tokens, bytes of text, bytes on disk, documents that were
    dropped beside, seconds of writing, hash."""
    parts, more = facts["parts"], facts["part_facts"]
    return [_row(parts[place], more[place] if more else {}) for place in chosen_places(len(parts), MOST)]


def _row(part: dict[str, Any], more: dict[str, Any]) -> Row:
    name, rows, text_bytes, size, xxh3 = (part[key] for key in ("name", "rows", "text_bytes", "size", "xxh3"))
    return [name, rows, more.get("tokens"), text_bytes, size, more.get("dropped"), more.get("seconds"), xxh3]


def shard_data(rows: list[Row], pages: list[str]) -> str:
    """The rows, and which shards have pages, as JSON that can stand in a script element: nothing in it ends one.

    >>> shard_data([["</script>", 1]], [])
    '{"pages":[],"rows":[["\\\\u003c/script>",1]]}'
    """
    found = {"pages": pages, "rows": rows}
    return orjson.dumps(found).decode().replace("<", "\\u003c")


def chosen_places(count: int, most: int) -> list[int]:
    """At most `most` of `count` places, the first and the last among them.

    >>> chosen_places(10, 4)
    [0, 3, 6, 9]
    """
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())) if count else []
