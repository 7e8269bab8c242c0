"""The final training order as Parquet: every sample of a mixture log, context by context, files in order.

The schedule is arithmetic, so each task, a range of samples, is told which contexts it needs: of each group one range,
which goes on with the group's first where the group is repeated. It reads these from the run's contexts, puts them in
order, and writes its file; nothing is exchanged. It reads whole row groups, of some MB, of every group that it needs:
with hundreds of groups, let files be large.
"""

import dataclasses
import importlib.metadata
import tempfile
from pathlib import Path

from pipeline.contexts import Contexts
from pipeline.contexts_layout import PART_BYTES, TOKEN_BYTES
from pipeline.data.contexts import ParquetContexts
from pipeline.data.held import Held
from pipeline.data.stream import check_sources
from pipeline.exchange import Phase
from pipeline.mixed_files import FOLDER, Draws, MixedTask, Order, finished_mixed, schedule_of, write_mixed_file
from pipeline.plan import digest
from pipeline.records import FileRecord, is_there, read_record
from pipeline.splitting import MB
from pipeline.storage import Store
from stages.errors import InputError
from stages.mixture_log import MixtureLog, read_log, spans_of
from stages.mixture_schedule import Schedule

VERSION = "1"
"""Changed whenever the same log and contexts would give other bytes."""
LOG = "mixture.jsonl"


@dataclasses.dataclass(frozen=True)
class _Record:
    files: tuple[FileRecord, ...]


def write_mixed(
    store: Store, directory: str, log: MixtureLog, contexts: Contexts, file_mb: float, phase: Phase
) -> tuple[FileRecord, ...]:
    """See that `mixed/` holds the samples of a log, in files of at most about `file_mb` MB of ids (4 bytes each).

    Records lie under `directory`. Raises InputError if the log is of other contexts
    than these, or has no more samples than decisions.
    """
    _check_complete(log)
    order = _order(log, contexts)
    facts = {"order": order.checksum, "file_mb": file_mb, "version": VERSION}
    directory = f"{directory}/mixed-{digest(facts | {'pyarrow': importlib.metadata.version('pyarrow')})}"
    done = f"{directory}/mixed.json"
    found = read_record(store, done, _Record)
    if found is None or not all(is_there(store, file) for file in found.files):
        tasks = _tasks(store, directory, order, contexts, file_mb)
        found = _Record(tuple(phase("mixed", tasks, finished_mixed, write_mixed_file)))
        for name in {f"{FOLDER}/{name}" for name in store.names(FOLDER)} - {file.name for file in found.files}:
            store.remove(name)
        store.write_json(done, found)
    return found.files


def read_run_log(store: Store) -> MixtureLog:
    """The mixture log of a run, wherever the run lies. Raises InputError if it is none."""
    if store.is_local:
        return read_log(Path(store.path(LOG)))
    with tempfile.TemporaryDirectory() as folder, store.open(LOG) as file:
        path = Path(folder) / LOG
        path.write_bytes(file.read())
        return read_log(path)


def mixed_notes(log: MixtureLog) -> list[str]:
    """Where groups run out, which, and what to do about it."""
    schedule, notes = log.schedule(), []
    end, asked = known_end(schedule), log.facts.samples or schedule.end
    counts = dict(zip(schedule.groups, schedule.counts(end).tolist(), strict=True))
    for name, allowed in sorted(log.facts.allowances.items()):
        if allowed and counts[name] >= allowed:
            size = log.facts.contexts[name]
            notes.append(
                f"group '{name}' runs out at sample {schedule.find(name, allowed - 1):,} of {asked:,}: its {size:,} "
                f"contexts may be served {allowed / size:g} times, and the other groups take its share from there. "
                "Raise max_epochs, add data, or lower the budget"
            )
    if end < asked:
        notes.append(
            f"all groups with a share have run out at sample {end:,}, and {asked:,} were asked for: raise max_epochs, "
            "add data, or lower the budget"
        )
    return notes


def known_end(schedule: Schedule) -> int:
    """The sample after the last that a schedule can serve: where its spans end, or all groups have run out."""
    try:
        schedule.counts(schedule.end)
    except IndexError:
        return schedule.run_out or 0
    return schedule.end


def _check_complete(log: MixtureLog) -> None:
    end = log.entries[-1].segments[-1].end if log.entries and log.entries[-1].segments else 0
    if end < max(1, log.facts.samples):
        raise InputError(
            f"the mixture log decides on {end:,} samples, expected {log.facts.samples or 'some'}: finish the run that "
            "writes it, then run again"
        )


def _order(log: MixtureLog, contexts: Contexts) -> Order:
    spans = tuple(spans_of(log))
    facts = {
        "run": dataclasses.asdict(log.facts),
        "spans": [dataclasses.asdict(span) for span in spans],
        "contexts": {name: group.checksum for name, group in contexts.groups.items()},
    }
    return Order(digest(facts), log.facts, spans)


def _tasks(store: Store, directory: str, order: Order, contexts: Contexts, file_mb: float) -> list[MixedTask]:
    sources = {
        name: ParquetContexts([store.path(file.name) for file in group.files], contexts.columns)
        for name, group in contexts.groups.items()
    }
    check_sources(order.facts, sources)
    schedule = schedule_of(order)
    end, size = known_end(schedule), max(1, int(file_mb * MB / (contexts.context * TOKEN_BYTES + PART_BYTES)))
    tasks, before = [], schedule.counts(0)
    for number, begin in enumerate(range(0, end, size)):
        stop = min(end, begin + size)
        after = schedule.counts(stop)
        needed = zip(schedule.groups, before.tolist(), after.tolist(), strict=True)
        draws = {name: _draws(sources[name], first, last) for name, first, last in needed if first < last}
        tasks.append(MixedTask(store, directory, order, number, begin, stop, draws))
        before = after
    return tasks


def _draws(source: ParquetContexts, first: int, last: int) -> Draws:
    """The contexts of a group's draws from `first` to before `last`, each once."""
    size, begin = len(source), first % len(source)
    if last - first >= size:
        return Draws(size, 0, (Held(source, 0, size),))
    end = begin + last - first
    held = [Held(source, begin, min(end, size))]
    return Draws(size, begin, (*held, Held(source, 0, end - size)) if end > size else tuple(held))
