"""Which stages are at work in a phase of a run, and so what its tasks need."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.exchange import scatter, solve
from pipeline.mixing import estimate_mixture
from pipeline.outcomes import process_shard
from pipeline.plan import Step
from pipeline.reading import read_split
from pipeline.resources import Job, Needs, together
from pipeline.surveys import run_steps, survey_shards
from pipeline.writing import write_part
from stages.contract import has_survey

_NAMED = {read_split: "read", write_part: "write"}


def job_of(name: str, function: Callable[..., Any], tasks: Sequence[Any], resources: Mapping[str, Needs]) -> Job:
    """What an engine is told of a phase: its name, and the needs of the stages that are at work in its tasks."""
    found = at_work(function, tasks[0]) if tasks and resources else ()
    return Job(name, together(resources.get(stage, Needs()) for stage in found))


def at_work(function: Callable[..., Any], task: Any) -> tuple[str, ...]:
    """The names of the stages that a task opens.

    Those before a survey or a group stage are done on all shards before its rounds begin, so of a chain of steps only
    the last of such stages and what follows it are at work; of a round or an exchange, the last stage alone.
    """
    if function in _NAMED:
        return (_NAMED[function],)
    if function is estimate_mixture:
        return (task.step.name,)
    steps: tuple[Step, ...] = getattr(task, "steps", ())
    if function in (run_steps, process_shard):
        surveys = [index for index, step in enumerate(steps) if has_survey(step.stage)]
        return tuple(step.name for step in steps[surveys[-1] if surveys else 0 :])
    return (steps[-1].name,) if function in (survey_shards, scatter, solve) else ()
