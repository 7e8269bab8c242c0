"""Surveys: rounds over all shards that find what a stage must know of all rows, on any engine, by its verb `map` alone.

A round is one task per few shards. A task lets the stage see the rows that reach it, narrowed to `id` and what the
stage reads, and answers with a small partial; this process merges the partials, and records the stage's next state.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pyarrow as pa

from pipeline.plan import Step
from pipeline.shards import read_table
from pipeline.sidecars import Tick, finished_sidecar, record_name
from pipeline.storage import Store
from pipeline.survey_state import Survey, load_survey, save_survey
from pipeline.verdicts import Shard, judge
from stages.contract import Surveying, gathers
from stages.errors import EngineError

MOST_TASKS = 256
"""Of one round: what they answer is held by this process."""
MOST_ROUNDS = 64
"""A survey that needs more does not converge."""


@dataclass(frozen=True)
class StepsTask:
    """The steps before a survey on one shard."""

    store: Store
    steps: tuple[Step, ...]
    shard: Shard

    @property
    def record_name(self) -> str:
        """The record of the last step, which the earlier ones precede."""
        return record_name(self.steps[-1], self.shard.file.name)


def finished_steps(task: StepsTask) -> bool | None:
    """True if there is nothing to do for a shard."""
    if not task.steps:
        return True
    return True if finished_sidecar(task.store, task.steps[-1], task.shard.file.name) else None


def run_steps(task: StepsTask, tick: Tick) -> bool:
    """Make the sidecars of a shard."""
    judge(task.store, task.steps, task.shard, tick)
    return True


@dataclass(frozen=True)
class RoundTask:
    """One round of a survey on some shards."""

    store: Store
    steps: tuple[Step, ...]
    """Those before the survey, and the survey itself."""
    shards: tuple[Shard, ...]
    record_name: str


def no_partial(task: RoundTask) -> None:
    """What is there of a round: nothing. A round is cheap beside the steps before it, whose work is kept."""


def survey_shards(task: RoundTask, tick: Tick) -> Any:
    """What the stage finds in the rows of some shards that reach it."""
    step = task.steps[-1]
    stage = cast(Surveying, step.stage)
    survey = load_survey(task.store, step)
    if survey is None:
        raise EngineError(f"{task.record_name}: a round has no state to start from, which is a fault of Tamis")
    partials = []
    for shard in task.shards:
        partials.append(stage.survey(survey.state, reaching_rows(task.store, task.steps, shard)))
        tick(shard.file.rows, shard.file.text_bytes)
    return stage.merge(partials)


def reaching_rows(store: Store, steps: tuple[Step, ...], shard: Shard, also: Sequence[str] = ()) -> pa.RecordBatch:
    """The rows of a shard that reach the last of `steps`: columns `also`, `id`, and those that its stage reads.

    `row` is the row of the shard.
    """
    *before, step = steps
    verdict = judge(store, tuple(before), shard, lambda documents, size: None)
    known = set(verdict.columns.column_names)
    names = [*also, *gathers(cast(Surveying, step.stage))]
    table = read_table(store, shard.file.name, [name for name in names if name not in known])
    for name in names:
        if name in known:
            table = table.append_column(name, verdict.columns.column(name))
    rows = table.select(names).filter(pa.array(verdict.alive)).combine_chunks().to_batches()
    return rows[0] if rows else pa.RecordBatch.from_pylist([], schema=table.select(names).schema)


def round_tasks(store: Store, steps: tuple[Step, ...], shards: Sequence[Shard]) -> list[RoundTask]:
    """Neighbouring shards by turns, at most MOST_TASKS tasks. What a round finds does not depend on the cut."""
    size = -(-len(shards) // MOST_TASKS) or 1
    groups = [tuple(shards[begin : begin + size]) for begin in range(0, len(shards), size)]
    return [RoundTask(store, steps, group, steps[-1].directory) for group in groups]


def surveyed(
    store: Store, steps: tuple[Step, ...], seed: int, prepare: Callable[[], object], run: Callable[[int], list[Any]]
) -> Survey:
    """The finished survey of the last of `steps`, as recorded, or found in rounds from where it was left.

    `prepare()` brings all shards through the steps before it; `run(number)` does a round on all shards and returns the
    partials. Raises EngineError if the stage does not converge.
    """
    step = steps[-1]
    stage = cast(Surveying, step.stage)
    survey = load_survey(store, step)
    if survey and stage.finished(survey.state):
        return survey
    prepare()
    if survey is None:
        survey = Survey(0, stage.begin(seed))
        save_survey(store, step, survey)
    while not stage.finished(survey.state):
        if survey.rounds == MOST_ROUNDS:
            raise EngineError(f"stage '{stage.name}' is not done after {MOST_ROUNDS} rounds: its survey must converge")
        partials = run(survey.rounds + 1)
        state = stage.reduce(survey.state, stage.merge(partials))
        survey = replace(survey, rounds=survey.rounds + 1, state=state)
        save_survey(store, step, survey)
    return survey
