"""Documents whose id was seen before, over all shards. Everything after the read step relies on ids being unique."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.formats import BadRecord, Place
from pipeline.ledger import REPEATED
from pipeline.quarantine import Quarantine
from pipeline.records import FileRecord, read_record
from pipeline.shard_sql import connect, patterns
from pipeline.storage import Store

_SPILL = "steps/spill"
_COUNT = "SELECT count(*) - count(DISTINCT id) FROM read_parquet(?, hive_partitioning = false)"
_QUERY = """
    WITH ids AS (
        SELECT id, url, line, "offset", parse_filename(filename) AS shard, file_row_number AS row
        FROM read_parquet(?, filename = true, file_row_number = true, hive_partitioning = false)
    ), repeated AS (SELECT id FROM ids GROUP BY id HAVING count(*) > 1)
    SELECT shard, row, id, url, line, "offset" FROM ids SEMI JOIN repeated USING (id)
    QUALIFY row_number() OVER (PARTITION BY id ORDER BY shard, row) > 1
    ORDER BY shard, row
"""


@dataclass(frozen=True)
class Repeated:
    """The rows of the read step that repeat an id."""

    rows: dict[str, tuple[int, ...]]
    """Shard (path relative to the run directory) -> rows."""
    quarantine: str
    """File that names their places, or an empty string."""

    @property
    def count(self) -> int:
        """All such rows."""
        return sum(map(len, self.rows.values()))


def quarantine_repeated(
    store: Store, directory: str, shards: Sequence[FileRecord], check: Callable[[int], None]
) -> Repeated:
    """Find the rows that repeat an id, or the record of them; the first with an id in input order is not one of them.

    `check` is called with their number before they are collected, so that the error budget can stop a field that is no
    id at all. Needs memory for ids alone, and bounded.
    """
    record_name = f"{directory}/records/repeated.json"
    record = read_record(store, record_name, Repeated)
    if record is None:
        check(_count(store, shards))
        record = _find(store, directory, shards)
        store.remove(_SPILL)
        store.write_json(record_name, record)
    return record


def _count(store: Store, shards: Sequence[FileRecord]) -> int:
    row = _connected(store).execute(_COUNT, [_files(store, shards)]).fetchone()
    return int(row[0])


def _connected(store: Store) -> Any:
    return connect(store, spill=store.path(_SPILL) if store.is_local else "")


def _find(store: Store, directory: str, shards: Sequence[FileRecord]) -> Repeated:
    name = f"{directory}/quarantine-repeated.parquet"
    rows: dict[str, list[int]] = defaultdict(list)
    with Quarantine(store, name, "read") as quarantine:
        found = _connected(store).execute(_QUERY, [_files(store, shards)])
        while batch := found.fetchmany(1024):
            for shard, row, id_, url, line, offset in batch:
                rows[f"{directory}/{shard}"].append(row)
                bad = BadRecord(Place(url, line, offset), REPEATED, "a document before it has the same id")
                quarantine.add(bad, id_)
    return Repeated({shard: tuple(found) for shard, found in rows.items()}, name if rows else "")


def _files(store: Store, shards: Sequence[FileRecord]) -> list[str]:
    return patterns(store.path(shard.name) for shard in shards)
