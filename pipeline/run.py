"""Running a plan: read, stages (surveys in rounds, groups by an exchange), write; all resumable; manifest last."""

import dataclasses
import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from rich.console import Console

from pipeline.config import RunConfig
from pipeline.engines import Engine, Tick
from pipeline.engines.site import make_site
from pipeline.exchange import exchange
from pipeline.finishing import pack_contexts
from pipeline.ledger import REPEATED, check_budget, check_kept, check_read, check_written, ledger_of
from pipeline.listing import storage_errors
from pipeline.lock import locked
from pipeline.manifest import NAME as MANIFEST
from pipeline.manifest import Finished, check_output, reset_result, write_manifest
from pipeline.measures import load_measures, summaries
from pipeline.mixing_run import mix_contexts
from pipeline.needs import job_of
from pipeline.outcomes import Outcome, ShardTask, finished_outcome, process_shard
from pipeline.plan import Plan, Step, changed_inputs, make_plan
from pipeline.progress import StepProgress, step_progress
from pipeline.quarantine import merge_quarantine
from pipeline.reading import SplitRecord, finished_read, read_split
from pipeline.repeated import quarantine_repeated
from pipeline.report import write_report
from pipeline.splitting import MB, read_tasks
from pipeline.storage import Store
from pipeline.surveys import StepsTask, finished_steps, no_partial, round_tasks, run_steps, survey_shards, surveyed
from pipeline.totals import Folding, Totals
from pipeline.verdicts import Shard
from pipeline.writing import PartRecord, PartTask, finished_part, plan_parts, write_part
from stages.contract import Summary, has_survey, is_group
from stages.errors import InputError

Task = TypeVar("Task")
Result = TypeVar("Result")
_EARLY_RECORDS = 10_000
"""Records after which the error budget is checked while reading still goes on."""


def run(config: RunConfig, engine: Engine, console: Console) -> Finished:
    """Do everything that is not done yet and return what the run holds.

    Raises the errors of stages.errors; whatever was finished stays, and the same call goes on from there.
    """
    began = time.monotonic()
    plan = make_plan(config)
    store = Store(config.output)
    with storage_errors("use", config.output):
        check_output(store, plan)
    with locked(store):
        store.sweep()
        reset_result(store, plan)
        engine.settle(make_site(store, config.input.paths, plan.libraries))
        return _Run(plan, store, engine, console, began).go()


@dataclasses.dataclass
class _Run:
    plan: Plan
    store: Store
    engine: Engine
    console: Console
    began: float
    quarantines: list[str] = dataclasses.field(default_factory=list)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    worked: bool = False
    """Whether any task was left to do."""

    def go(self) -> Finished:
        try:
            splits = self._read()
            shards = self._shards(splits)
            surveys = self._survey(shards)
            totals = self._process(shards)
            ledger = ledger_of(splits, totals.facts)
            self._check_budget(ledger.quarantined, ledger.read)
            parts = self._write(shards, totals)
            check_written(ledger, parts)
            contexts = pack_contexts(self.store, self.plan, shards, ledger, self._map) if ledger.kept else None
            mixed = mix_contexts(self.store, self.plan, contexts, self._map)
        except InputError:
            merge_quarantine(self.store, self.quarantines)
            raise
        merge_quarantine(self.store, self.quarantines)
        self.seconds["total"] = round(time.monotonic() - self.began, 3)
        finished = Finished(
            self.plan, self.engine.name, ledger, splits, totals, parts, self.seconds, surveys, contexts, mixed
        )
        if self.worked or not self.store.exists(MANIFEST):
            write_report(self.store, finished)
            write_manifest(self.store, finished)
        check_kept(ledger)
        return finished

    def _read(self) -> list[SplitRecord]:
        bad: Counter[str] = Counter()
        read = 0

        def take(record: SplitRecord, progress: StepProgress) -> None:
            nonlocal read
            self.quarantines += [record.quarantine] if record.quarantine else []
            bad.update(record.quarantined)
            read += record.read
            progress.note = _noted("quarantined", bad.total())
            if read >= _EARLY_RECORDS:
                self._check_budget(bad, read)

        tasks = read_tasks(self.plan, self.store)
        splits = self._map("read", tasks, finished_read, read_split, take)
        check_read(bad, read)
        self._check_budget(bad, read)
        self._check_inputs()
        return splits

    def _check_inputs(self) -> None:
        """Raise InputError if an input file is not the one that was listed: its shards may hold both or neither."""
        if self.worked and (changed := changed_inputs(self.plan)):
            self.store.remove(f"{self.plan.read.directory}/records")
            raise InputError(
                f"{changed[0]} changed while it was read ({len(changed)} files did): wait until the input is complete, "
                "then run again"
            )

    def _shards(self, splits: Sequence[SplitRecord]) -> list[Shard]:
        """All shards of the read step, with the rows that repeat an id marked."""
        files = [shard for split in splits for shard in split.shards]
        if not any(split.own_ids for split in splits):
            return [Shard(file) for file in files]
        read = sum(split.read for split in splits)
        repeated = quarantine_repeated(
            self.store, self.plan.read.directory, files, lambda count: self._check_budget({REPEATED: count}, read)
        )
        self._check_budget({REPEATED: repeated.count}, read)
        self.quarantines += [repeated.quarantine] if repeated.quarantine else []
        return [Shard(file, repeated.rows.get(file.name, ())) for file in files]

    def _survey(self, shards: Sequence[Shard]) -> dict[str, Summary]:
        """What the stages found that must know all rows before they can annotate one, and measured, by name."""
        found: dict[str, Summary] = {}
        for number, step in enumerate(self.plan.batch):
            if has_survey(step.stage):
                steps = self.plan.batch[: number + 1]
                prepare = functools.partial(self._prepare, steps[:-1], shards)
                survey = surveyed(
                    self.store, steps, self.plan.config.seed, prepare, functools.partial(self._round, steps, shards)
                )
                if is_group(step.stage):
                    exchange(self.store, steps, shards, self._map)
                found |= summaries(step.stage, survey.state, load_measures(self.store, step))
        return found

    def _prepare(self, steps: tuple[Step, ...], shards: Sequence[Shard]) -> None:
        if not steps:
            return
        tasks = [StepsTask(self.store, steps, shard) for shard in shards]
        name = "+".join(step.name for step in steps)
        self._map(name, tasks, finished_steps, run_steps)

    def _round(self, steps: tuple[Step, ...], shards: Sequence[Shard], number: int) -> list[Any]:
        tasks = round_tasks(self.store, steps, shards)
        return self._map(f"{steps[-1].name} round {number}", tasks, no_partial, survey_shards)

    def _process(self, shards: Sequence[Shard]) -> Totals:
        """What came out of all shards: outcomes are summed up as they arrive, and none is kept."""
        steps, directory = self.plan.batch, self.plan.write.directory
        folding = Folding(self.store, directory, [shard.file.name for shard in shards])
        self.quarantines += folding.quarantines
        left = folding.left

        def take(index: int, outcome: Outcome, progress: StepProgress) -> None:
            folding.take(left[index], outcome)
            self.quarantines += outcome.quarantines
            progress.note = _noted("dropped", folding.dropped)

        tasks = [ShardTask(self.store, steps, directory, shards[place]) for place in left]
        name = "+".join(step.name for step in steps) or "count"
        self._each(name, tasks, finished_outcome, process_shard, take)
        return folding.totals()

    def _write(self, shards: Sequence[Shard], totals: Totals) -> list[PartRecord]:
        sizes = self.plan.config.shards
        groups = plan_parts(shards, [row.kept_bytes for row in totals.rows], int(sizes.text_mb * MB))
        row_group_bytes = int(sizes.row_group_mb * MB)
        tasks = [
            PartTask(
                self.store, self.plan.batch, self.plan.write.directory, index, group, self.plan.schema, row_group_bytes
            )
            for index, group in enumerate(groups)
        ]
        return self._map("write", tasks, finished_part, write_part)

    def _map(
        self,
        name: str,
        tasks: Sequence[Task],
        finished: Callable[[Task], Result | None],
        function: Callable[[Task, Tick], Result],
        take: Callable[[Result, StepProgress], None] = lambda result, progress: None,
    ) -> list[Result]:
        """Results of all tasks in their order: those found finished, and the rest run by the engine."""
        results: dict[int, Result] = {}

        def keep(index: int, result: Result, progress: StepProgress) -> None:
            results[index] = result
            take(result, progress)

        self._each(name, tasks, finished, function, keep)
        return [results[index] for index in range(len(tasks))]

    def _each(
        self,
        name: str,
        tasks: Sequence[Task],
        finished: Callable[[Task], Result | None],
        function: Callable[[Task, Tick], Result],
        take: Callable[[int, Result, StepProgress], None],
    ) -> None:
        """Hand over each result with the place of its task, as it comes: first those found finished, one by one."""
        left = []
        with step_progress(self.console, name, len(tasks)) as progress:

            def hand_over(index: int, result: Result) -> None:
                take(index, result, progress)
                progress.finished()

            for index, task in enumerate(tasks):
                if (result := finished(task)) is None:
                    left.append(index)
                else:
                    hand_over(index, result)
            self.worked = self.worked or bool(left)
            job = job_of(name, function, tasks, self.plan.config.resources)
            for position, done in self.engine.map(function, [tasks[index] for index in left], progress.tick, job):
                hand_over(left[position], done)
        self.seconds[name] = round(progress.seconds, 3)

    def _check_budget(self, bad: Mapping[str, int], read: int) -> None:
        check_budget(bad, read, self.plan.config.input.max_bad_fraction)


def _noted(what: str, count: int) -> str:
    return f"{count:,} {what}" if count else ""
