"""How the read step is cut into tasks: by the input and the configuration alone, never by the number of workers."""

from pipeline.formats import load
from pipeline.plan import Plan
from pipeline.reading import ReadTask
from pipeline.storage import Store

MB = 1_000_000


def read_tasks(plan: Plan, store: Store) -> list[ReadTask]:
    """The tasks of the read step, in input order."""
    config = plan.config
    split_bytes = int(min(config.input.split_mb, config.shards.text_mb) * MB)
    files = [item.file for item in plan.inputs]
    quotas = spread(config.limit, len(files)) if config.limit else None
    cut = [
        (number, split) for number, file in enumerate(files) for split in load(file.format).splits(file, split_bytes)
    ]
    if quotas is not None:
        firsts = dict(reversed(cut))
        cut = [(number, split) for number, split in sorted(firsts.items()) if quotas[number]]
    return [
        ReadTask(
            store=store,
            directory=plan.read.directory,
            index=index,
            split=split,
            names=config.input.names,
            max_document_bytes=int(config.input.max_document_mb * MB),
            shard_bytes=split_bytes,
            limit=None if quotas is None else quotas[number],
        )
        for index, (number, split) in enumerate(cut)
    ]


def spread(total: int, parts: int) -> list[int]:
    """Divide a number evenly.

    >>> spread(7, 3)
    [3, 2, 2]
    """
    return [total // parts + (index < total % parts) for index in range(parts)]
