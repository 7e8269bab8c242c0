"""Engines run tasks. A task is a picklable value; its function reads and writes files, so rows never pass here."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from pipeline.resources import Job
from stages.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.engines.site import Site

Task = TypeVar("Task")
Result = TypeVar("Result")
Tick = Callable[[int, int], None]
"""Called by a task's function with (documents, bytes of text) worked on since the last call."""
ANY_JOB = Job()


@dataclass
class Counter:
    """A tick that adds up, for engines that report a task's work when it is done."""

    documents: int = 0
    text_bytes: int = 0

    def __call__(self, documents: int, text_bytes: int) -> None:
        """Count documents and bytes of text."""
        self.documents += documents
        self.text_bytes += text_bytes


class Engine(Protocol):
    """Where tasks run. A context manager: workers live from the first `map` to the end of the block."""

    name: str

    def settle(self, site: "Site") -> None:
        """Take note of where a run works, so that every worker looks whether it sees the same before its first task.

        Raises EngineError if a node that is there already does not.
        """
        ...

    def map(
        self, function: Callable[[Task, Tick], Result], tasks: Sequence[Task], tick: Tick, job: Job = ANY_JOB
    ) -> Iterator[tuple[int, Result]]:
        """Run `function(task, tick)` for every task; yield (index of the task, result) as they finish, in any order.

        A task whose worker dies is tried again. Raises what the function raised, or EngineError if workers keep dying,
        or if no node has what a task of the job needs. When the caller stops iterating, work in flight is ended.
        """
        ...

    def __enter__(self) -> "Engine": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


NAMES = ("local", "ray", "spark")


def make_engine(name: str, workers: int) -> Engine:
    """The engine of that name, its module imported on demand; `workers` 0: one per core of this machine or cluster.

    Raises ConfigError if its packages are missing.
    """
    if name not in NAMES:
        raise ConfigError(f"--engine {name}: expected one of {', '.join(NAMES)}")
    module = importlib.import_module(f"pipeline.engines.{name}")
    return cast(Engine, getattr(module, f"{name.capitalize()}Engine")(workers))


def name_of(task: object) -> str:
    """What tells a user which task it is: its record in the run directory and the file it reads, if it has these."""
    file = getattr(getattr(task, "split", None), "file", None)
    known = (getattr(task, "record_name", ""), getattr(file, "url", "") or getattr(task, "url", ""))
    return ", ".join(str(name) for name in known if name) or type(task).__name__
