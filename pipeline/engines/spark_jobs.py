"""One Spark job per `map`, whose results come as its tasks end, and which ends when they are wanted no longer.

Spark's actions answer when all is done. So each task adds its result to an accumulator, whose updates Spark sends when
a task ends, once for each even if it was tried again, and the job runs in a thread of its own.
"""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from pipeline.engines.site import Site
from pipeline.engines.work import Done, work
from pipeline.resources import Job
from stages.errors import EngineError, TamisError

_POLL_S = 0.05
_Answer = tuple[int, Done | Exception]


def results(
    context: Any, function: Callable[..., Any], tasks: Sequence[Any], site: Site | None, job: Job, profile: Any = None
) -> Iterator[tuple[int, Done]]:
    """(Index, answer) of each task as it ends. Raises what a task raised, and EngineError if Spark gives up."""
    items = context.parallelize(list(enumerate(tasks)), len(tasks))
    running = _Running(context, job.name or function.__name__, len(tasks))
    running.start(partial(answered, function, site), items if profile is None else items.withResources(profile))
    try:
        for index, answer in running.arrived():
            if isinstance(answer, Exception):
                raise answer
            yield index, answer
    finally:
        running.end()


class _Running:
    """A job in a thread, and what has arrived of it."""

    def __init__(self, context: Any, name: str, expected: int) -> None:
        self._context = context
        self._group = f"tamis-{uuid.uuid4().hex}"
        self._name = name
        self._expected = expected
        self._answers = context.accumulator([], _answers_param())
        self._error: Exception | None = None
        self._seen = 0

    def start(self, call: Callable[[tuple[int, Any]], _Answer], items: Any) -> None:
        """Call a function for every item of an RDD in the workers; what it answers arrives."""
        from pyspark import InheritableThread

        answers = self._answers
        self._items, self._each = items, lambda item: answers.add([call(item)])
        self._thread = InheritableThread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._context.setJobGroup(self._group, self._name, interruptOnCancel=True)
            self._items.foreach(self._each)
        except Exception as error:
            self._error = error

    def arrived(self) -> Iterator[_Answer]:
        """What arrives, until all is there or the job failed."""
        while self._seen < self._expected:
            alive = self._thread.is_alive()
            found = self._take()
            yield from found
            if not found and not alive:
                raise self._failure(self._seen)
            if not found:
                time.sleep(_POLL_S)

    def _take(self) -> list[_Answer]:
        """What came since the last time; it is held here no longer, and others may come meanwhile."""
        held: list[_Answer] = self._answers.value
        found = held[:]
        del held[: len(found)]
        self._seen += len(found)
        return found

    def end(self) -> None:
        """Stop what still runs and wait for the thread."""
        self._take()
        if self._thread.is_alive() and self._seen < self._expected:
            self._context.cancelJobGroup(self._group)
        self._thread.join()
        self._take()

    def _failure(self, seen: int) -> EngineError:
        why = _short(self._error) if self._error else f"{seen} of {self._expected} results came"
        return EngineError(
            f"Spark gave up on a task of '{self._name}' ({why}): killed for memory, or do executors lack what "
            "Tamis depends on? Spark's logs of the executor say more. Finished shards are kept; the same command goes "
            "on from here"
        )


def answered(function: Callable[..., Any], site: Site | None, item: tuple[int, Any]) -> _Answer:
    """An error that we can explain is an answer: Spark must not try it again, nor wrap it beyond recognition."""
    index, task = item
    _choose_gpus()
    try:
        return index, work(function, task, site)
    except (TamisError, OSError) as error:
        return index, error


def _choose_gpus() -> None:
    """Show this process the GPUs that Spark gave to its task, if it has none yet: a model that is open stays there."""
    from pyspark import TaskContext

    context: Any = TaskContext.get()
    if found := context.resources().get("gpu"):
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", ",".join(found.addresses))


def _answers_param() -> Any:
    from pyspark.accumulators import AccumulatorParam

    class Answers(AccumulatorParam[list[_Answer]]):
        def zero(self, value: list[_Answer]) -> list[_Answer]:
            return []

        def addInPlace(self, value1: list[_Answer], value2: list[_Answer]) -> list[_Answer]:
            value1 += value2
            return value1

    return Answers()


def _short(error: Exception) -> str:
    """The reason that Spark names, without traces, which are long, and hold what a library said."""
    lines = str(getattr(error, "java_exception", error)).splitlines()
    telling = [line.strip() for line in lines if "ModuleNotFoundError" in line or "PYTHON_VERSION_MISMATCH" in line]
    return (telling or lines or [type(error).__name__])[0][:300]
