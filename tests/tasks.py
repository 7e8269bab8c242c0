"""Tasks for tests of engines, in a module that worker processes of every engine can import."""

import signal
from dataclasses import dataclass
from pathlib import Path

from stages.errors import InputError


@dataclass(frozen=True)
class Square:
    """A task of no consequence."""

    number: int
    folder: Path


def squared(task: Square, tick: object) -> int:
    """The task's function."""
    assert callable(tick)
    tick(1, task.number)
    return task.number**2


def refuses(task: Square, tick: object) -> int:
    """A function that fails for a reason of the user's."""
    raise InputError(f"task {task.number} cannot be read")


def dies_once(task: Square, tick: object) -> int:
    """A function whose first worker is killed."""
    mark = task.folder / f"died-{task.number}"
    if task.number == 2 and not mark.exists():
        mark.touch()
        signal.raise_signal(signal.SIGKILL)
    return task.number


def dies_always(task: Square, tick: object) -> int:
    """A function that no worker survives."""
    signal.raise_signal(signal.SIGKILL)
    return 0
