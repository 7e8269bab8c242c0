"""Tasks for tests of engines, in a module that worker processes of every engine can import."""

import signal
import time
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


def dies_on_zero(task: Square, tick: object) -> int:
    """A function that no worker survives for one task; the others take long enough to be in flight beside it."""
    with (task.folder / f"started-{task.number}").open("a") as file:
        file.write("x")
    if task.number == 0:
        signal.raise_signal(signal.SIGKILL)
    time.sleep(0.05)
    return task.number


@dataclass(frozen=True)
class Named(Square):
    """A task that has a record in the run directory."""

    record_name: str = "steps/00-read/records/split-00000.json"
    text: str = "unsayable"


def dies_twice(task: Square, tick: object) -> int:
    """A function whose task 1 kills the first two workers that start it, however many others are in flight."""
    mark = task.folder / f"deaths-{task.number}"
    deaths = len(mark.read_text()) if mark.exists() else 0
    if task.number == 1 and deaths < 2:
        mark.write_text("x" * (deaths + 1))
        signal.raise_signal(signal.SIGKILL)
    return task.number


def dies_always(task: Square, tick: object) -> int:
    """A function that no worker survives."""
    signal.raise_signal(signal.SIGKILL)
    return 0
