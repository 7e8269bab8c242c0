"""Engines run tasks. A task is a picklable value; its function reads and writes files, so rows never pass here."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, TypeVar, cast

from stages.errors import ConfigError

Task = TypeVar("Task")
Result = TypeVar("Result")
Tick = Callable[[int, int], None]
"""Called by a task's function with (documents, bytes of text) worked on since the last call."""


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

    def map(
        self, function: Callable[[Task, Tick], Result], tasks: Sequence[Task], tick: Tick
    ) -> Iterator[tuple[int, Result]]:
        """Run `function(task, tick)` for every task; yield (index of the task, result) as they finish, in any order.

        A task whose worker dies is tried again. Raises what the function raised, or EngineError if workers keep dying.
        """
        ...

    def __enter__(self) -> "Engine": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


NAMES = ("local", "ray", "spark")


def make_engine(name: str, workers: int) -> Engine:
    """The engine of that name, its module imported on demand. Raises ConfigError if its packages are missing."""
    if name not in NAMES:
        raise ConfigError(f"--engine {name}: expected one of {', '.join(NAMES)}")
    module = importlib.import_module(f"pipeline.engines.{name}")
    return cast(Engine, getattr(module, f"{name.capitalize()}Engine")(workers))
