"""The mixture of contexts: train a proxy if the estimator needs one, and write the mixture log of the run.

The log of the proxy is of its own windows and steps. `mixture.jsonl` is its decisions replayed onto all contexts and
the budget of the run: with it and the contexts alone, `MixtureDataset` serves the run's data.
"""

import dataclasses
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from pipeline.data.contexts import parquet_groups
from pipeline.data.loops import facts_of
from pipeline.engines import Tick
from pipeline.exchange import Phase
from pipeline.mixed import mixed_notes
from pipeline.mixing_inputs import Contexts, Estimated, Place, config_of, task_of
from pipeline.plan import Step, digest
from pipeline.proxy.checkpoint import Folder
from pipeline.proxy.watch import Lines
from pipeline.records import FileRecord, file_record, is_there, read_record
from pipeline.storage import Store
from stages.errors import ConfigError, InputError
from stages.mixture import Mixture
from stages.mixture_choice import estimator_of
from stages.mixture_fixed import stratified
from stages.mixture_log import Facts, LogWriter, MixtureLog, read_log
from stages.mixture_replay import Planned, replayed
from stages.mixture_task import Task

NAME = "mixture.jsonl"
CONTEXTS = "contexts"
_LOG = logging.getLogger("tamis.mixture")


@dataclasses.dataclass(frozen=True)
class MixingTask:
    """The mixture of a run's contexts."""

    store: Store
    step: Step
    tokenizer: str
    length: int
    """Tokens of a context."""
    seed: int

    @property
    def record_name(self) -> str:
        """Where its record lies."""
        return f"{self.step.directory}/mixing.json"


@dataclasses.dataclass(frozen=True)
class MixingRecord:
    """A finished mixture."""

    log: FileRecord
    contexts: str
    """Checksum of the contexts that it is of."""
    found: Estimated


def estimate(store: Store, step: Step, tokenizer: str, length: int, seed: int, phase: Phase) -> MixingRecord:
    """See that the run has its `mixture.jsonl`: one task of the engine, which goes on where it was killed."""
    task = MixingTask(store, step, tokenizer, length, seed)
    record = phase(step.name, [task], finished_mixing, estimate_mixture)[0]
    for note in record.found.notes:
        _LOG.warning("%s", note)
    return record


def finished_mixing(task: MixingTask) -> MixingRecord | None:
    """The record of a mixture that is there, of the contexts as they are."""
    record = read_record(task.store, task.record_name, MixingRecord)
    fits = record is not None and is_there(task.store, record.log) and record.contexts == _checksum(_contexts(task))
    return record if fits else None


def estimate_mixture(task: MixingTask, tick: Tick) -> MixingRecord:
    """Estimate the mixture and publish its log; the proxy's log and weights stay in the directory of the step."""
    contexts = _contexts(task)
    with _folder(task) as folder:
        found = mix(cast(Mixture, task.step.stage), contexts, Place(folder, Lines(tick)))
        log = (folder.local / NAME).read_bytes()
    with task.store.create(NAME) as file:
        file.write(log)
    record = MixingRecord(file_record(NAME, file, log.count(b"\n"), 0), _checksum(contexts), found)
    task.store.write_json(task.record_name, record)
    return record


def mix(settings: Mixture, contexts: Contexts, place: Place) -> Estimated:
    """Write `mixture.jsonl` into the folder, and the proxy's log and weights if one is trained.

    Raises ConfigError or InputError, naming the group, for contexts that no mixture can be made of.
    """
    task = task_of(settings, contexts)
    facts = facts_of(task, contexts.checksums, contexts.tokenizer, config_of(settings, contexts), settings.block)
    found = Estimated(settings.estimator, notes=_notes_of(settings, task))
    planned = _planned(settings, contexts, task, place, found)
    if place.ranks.writes:
        _write(place.folder.local / NAME, facts, planned)
        found.run_out = mixed_notes(read_log(place.folder.local / NAME))
    return found


def check_log(log: MixtureLog, contexts: Contexts, path: str) -> None:
    """Raise ConfigError or InputError if a log is not of these contexts."""
    if log.facts.tokenizer != contexts.tokenizer:
        raise ConfigError(
            f"mixture.log: the shares of {path} are of tokens of {log.facts.tokenizer or 'an unknown tokenizer'}, the "
            f"contexts have tokens of {contexts.tokenizer}: estimate anew"
        )
    for name, checksum in contexts.checksums.items():
        if log.facts.data.get(name, checksum) != checksum:
            raise InputError(
                f"mixture.log: group '{name}' has changed since {path} was written: use those contexts, or give the "
                "shares that it came to (estimator: given)"
            )


def _planned(settings: Mixture, contexts: Contexts, task: Task, place: Place, found: Estimated) -> list[Planned]:
    """The decisions of the run's log."""
    if len(task.groups) == 1 and not settings.log:
        alone = stratified(task)
        return [(alone.decision, alone.plan(0))]
    if not settings.log and not settings.trains:
        known = estimator_of(settings, task)
        return [(known.decision, known.plan(0))]
    if settings.log:
        log = read_log(Path(settings.log))
        check_log(log, contexts, settings.log)
    else:
        from pipeline.mixing_proxy import trained

        log = trained(settings, contexts, place, found)
    found.replay = settings.replay
    return list(replayed(log, task, settings.replay))


def _write(path: Path, facts: Facts, planned: list[Planned]) -> None:
    """A log anew."""
    path.unlink(missing_ok=True)
    writer = LogWriter(path, facts)
    for decision, segments in planned:
        writer.append(decision, segments)


def _notes_of(settings: Mixture, task: Task) -> list[str]:
    """What a user should know of the groups before anything is trained."""
    if len(task.groups) == 1:
        return [f"one group, '{task.groups[0]}': its share is 1, and nothing is estimated"]
    small = [f"{name} ({task.contexts[name]:,})" for name in task.groups if task.contexts[name] < settings.block]
    told = f"groups with fewer contexts than a block of {settings.block} may come again within one: {', '.join(small)}"
    return [told] if small else []


def _contexts(task: MixingTask) -> Contexts:
    return Contexts(parquet_groups(task.store.path(CONTEXTS)), task.tokenizer, task.length, task.seed)


def _checksum(contexts: Contexts) -> str:
    return digest(contexts.checksums)


@contextmanager
def _folder(task: MixingTask) -> Iterator[Folder]:
    """The directory of the step, or, for a remote run, one of this machine with a copy there."""
    url = task.store.path(task.step.directory)
    if task.store.is_local:
        Path(url).mkdir(parents=True, exist_ok=True)
        yield Folder(Path(url))
        return
    with tempfile.TemporaryDirectory() as local:
        yield Folder(Path(local), Store(url))
