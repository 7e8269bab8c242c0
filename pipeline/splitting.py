"""How the read step is cut into tasks: by the input and the configuration alone, never by the number of workers."""

import itertools
import sys
from collections.abc import Callable
from functools import partial

from pipeline.formats import InputFile, Split, load, whole
from pipeline.listing import evenly, storage_errors
from pipeline.plan import Plan
from pipeline.reading import ReadTask
from pipeline.storage import Store

MB = 1_000_000


def read_tasks(plan: Plan, store: Store) -> list[ReadTask]:
    """The tasks of the read step, in input order. Raises InputError if a file cannot be looked into."""
    config = plan.config
    split_bytes = int(min(config.input.split_mb, config.shards.text_mb) * MB)
    return [
        ReadTask(
            store=store,
            directory=plan.read.directory,
            index=index,
            split=split,
            names=config.input.names,
            max_document_bytes=int(config.input.max_document_mb * MB),
            shard_bytes=split_bytes,
            limit=limit,
        )
        for index, (split, limit) in enumerate(_cut(plan, split_bytes))
    ]


def _cut(plan: Plan, split_bytes: int) -> list[tuple[Split, int | None]]:
    """Every split of every file; with a limit, the files that have a share in it, whole, and their shares."""
    files = [item.file for item in plan.inputs]
    if not plan.config.limit:
        return [(split, None) for file in files for split in _splits(file, split_bytes)]
    holds = partial(_holds, plan, files)
    quotas = shares(min(plan.config.limit, sys.maxsize), len(files), holds)
    return [(whole(file), quota) for file, quota in zip(files, quotas, strict=True) if quota]


def _splits(file: InputFile, split_bytes: int) -> list[Split]:
    with storage_errors("read", file.url):
        return load(file.format).splits(file, split_bytes)


def _holds(plan: Plan, files: list[InputFile], number: int, most: int) -> int:
    """How many records, good or bad, a file holds; counted up to `most`."""
    file, config = files[number], plan.config.input
    with storage_errors("read", file.url):
        records = load(file.format).records(whole(file), config.names, int(2 * config.max_document_mb * MB))
        return sum(1 for _ in itertools.islice(records, most))


def shares(total: int, parts: int, holds: Callable[[int, int], int]) -> list[int]:
    """Divide a number over parts as evenly as what each holds allows; `holds(part, most)` counts that up to `most`.

    Fewer than there are parts fall on parts all over the row. What the last part that is left gets is not counted.

    >>> shares(7, 3, lambda part, most: min(most, [1, 9, 9][part]))
    [1, 3, 3]
    """
    given = [0] * parts
    first = evenly(parts, total)
    left = first + sorted(set(range(parts)) - set(first))
    while total and left:
        if len(left) == 1:
            given[left[0]] += total
            break
        total, left = _round(total, left, given, holds)
    return given


def _round(total: int, left: list[int], given: list[int], holds: Callable[[int, int], int]) -> tuple[int, list[int]]:
    """Give each part that may hold more its even share; return what is still to give, and the parts that remain."""
    even, remaining = max(1, total // len(left)), []
    for part in left:
        wanted = given[part] + min(even, total)
        found = holds(part, wanted) if wanted > given[part] else wanted
        total -= found - given[part]
        given[part] = found
        if found == wanted:
            remaining.append(part)
    return total, remaining
