"""Packed contexts on disk: what a trainer reads, made of documents and of what the stage `pack` said of their parts.

    count      per few shards: contexts and tokens of each group, from sidecars alone; so files can be laid out
    scatter    per shard: documents tokenised and cut into their parts; one piece per file of contexts
    write      per file: its pieces of all shards, sorted into whole contexts, in the order of training

Every file is written once, by one task, and recorded, so a killed run goes on where it was, and the bytes depend on
neither the shards' order nor workers nor engine. A task holds the documents of a shard, or the contexts of a file. On
disk, all token ids lie once beside the contexts, two bytes each where the vocabulary allows, until all are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from pipeline.contexts_files import EXAMPLES, finished_file, write_file
from pipeline.contexts_layout import Cell, Layout, cuts_of, folder_of, layout_groups, merged, most_luck
from pipeline.contexts_parquet import context_schema
from pipeline.contexts_parts import count, finished_count
from pipeline.contexts_scatter import finished_scatter, scatter
from pipeline.contexts_tasks import (
    Example,
    Making,
    ScatterTask,
    TokenStage,
    WrittenRecord,
    count_tasks,
    file_tasks,
    save_layout,
)
from pipeline.data.contexts import checksum_of
from pipeline.exchange import Phase
from pipeline.plan import PACK, Plan
from pipeline.records import FileRecord, is_there, read_record
from pipeline.splitting import MB
from pipeline.storage import Store
from pipeline.verdicts import Shard
from stages.errors import EngineError

FOLDER = "contexts"
_WIDE = 1 << 16


@dataclass(frozen=True)
class GroupContexts:
    """The contexts of one mixing group."""

    files: tuple[FileRecord, ...]
    contexts: int
    tokens: int
    """Of all contexts; documents that `pack` repeats count as often."""
    documents: int
    """Different ones."""
    checksum: str
    """As `ParquetContexts` has it: it changes with any byte."""


@dataclass(frozen=True)
class Contexts:
    """All packed contexts of a run."""

    groups: dict[str, GroupContexts]
    without: int
    """Documents that were kept and are in no context, since they have no token."""
    tokenizer: str
    context: int
    """Most tokens of a context."""
    columns: tuple[str, ...]
    examples: tuple[Example, ...]

    @property
    def documents(self) -> int:
        """Documents that are in contexts."""
        return sum(group.documents for group in self.groups.values())


def packs(plan: Plan) -> bool:
    """Whether a plan makes contexts."""
    return bool(plan.batch) and plan.batch[-1].name == PACK


def write_contexts(store: Store, plan: Plan, shards: Sequence[Shard], phase: Phase) -> Contexts:
    """See that all contexts of a plan whose last stage of documents is `pack` are there; with what they are.

    Raises ConfigError if the groups cannot be directories, EngineError if parts do not make whole contexts.
    """
    making = Making(store, plan.batch, plan.config.seed)
    done = f"{making.directory}/contexts.json"
    found = read_record(store, done, Contexts)
    if found is None or not all(is_there(store, file) for group in found.groups.values() for file in group.files):
        found = _made(making, shards, phase)
        _remove_others(store, found)
        store.write_json(done, found)
    store.remove(making.scratch)
    return found


def _made(making: Making, shards: Sequence[Shard], phase: Phase) -> Contexts:
    counted = phase("contexts count", count_tasks(making, shards), finished_count, count)
    cells = merged(cell for record in counted for cell in record.cells)
    layout = _layout(making, cells)
    save_layout(making, layout)
    tasks = [ScatterTask(making, shard) for shard in shards]
    scattered = phase("contexts scatter", tasks, finished_scatter, scatter)
    files = file_tasks(making, layout, scattered)
    written = phase("contexts write", files, finished_file, write_file)
    records: dict[str, list[WrittenRecord]] = {}
    for task, record in zip(files, written, strict=True):
        records.setdefault(task.group, []).append(record)
    groups = {name: _group(its, records.get(name, [])) for name, its in _by_group(cells).items()}
    examples = sorted((e for record in written for e in record.examples), key=lambda e: (e.luck, e.group, e.context))
    without = sum(record.without for record in counted)
    columns = tuple(context_schema(input_ids=making.settings.input_ids).names)
    settings = making.settings
    return Contexts(groups, without, layout.tokenizer, settings.context, columns, tuple(examples[:EXAMPLES]))


def _by_group(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.group, []).append(cell)
    return found


def _layout(making: Making, cells: Sequence[Cell]) -> Layout:
    """The files of all groups. Raises ConfigError if a group's name is too long for a directory."""
    settings, tokens = making.settings, cast(TokenStage, making.tokens.stage)
    cuts = {}
    for name, its in _by_group(cells).items():
        folder_of(name)
        cuts[name] = cuts_of(its, settings.file_mb * MB, input_ids=settings.input_ids, shuffle=settings.shuffle)
    wide = settings.input_ids and tokens.open_tokenizer().size > _WIDE
    candidates = most_luck(sum(cell.contexts for cell in cells))
    return Layout(layout_groups(cuts), making.seed, settings.shuffle, tokens.tokenizer_id, wide, candidates)


def _group(cells: Sequence[Cell], records: Sequence[WrittenRecord]) -> GroupContexts:
    """What a group holds. Raises EngineError if it is not what was counted before the text was read."""
    asked = sum(cell.contexts for cell in cells), sum(cell.tokens for cell in cells)
    found = sum(record.file.rows for record in records), sum(record.tokens for record in records)
    if asked != found:
        raise EngineError(
            f"{folder_of(cells[0].group)}: wrote {found[0]:,} contexts of {found[1]:,} tokens, expected {asked[0]:,} "
            f"of {asked[1]:,}, which is a fault of Tamis"
        )
    files, footers = tuple(record.file for record in records), [record.footer for record in records]
    return GroupContexts(files, *found, sum(cell.documents for cell in cells), checksum_of(footers))


def _remove_others(store: Store, found: Contexts) -> None:
    """Remove what other settings, or a run cut short, have left among the contexts."""
    ours = {file.name for group in found.groups.values() for file in group.files}
    folders = {name.rsplit("/", 1)[0] for name in ours}
    for folder in (f"{FOLDER}/{name}" for name in store.names(FOLDER)):
        if folder not in folders:
            store.remove(folder)
        else:
            for name in (f"{folder}/{name}" for name in store.names(folder)):
                if name not in ours:
                    store.remove(name)
