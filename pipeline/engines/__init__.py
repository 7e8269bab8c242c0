"""Engines run tasks. A task is a picklable value; its function reads and writes files, so rows never pass here."""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
Tick = Callable[[int, int], None]
"""Called by a task's function with (documents, bytes of text) worked on since the last call."""


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
