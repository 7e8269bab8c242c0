"""What a proxy's run tells while it goes on: a bar with live losses on a terminal, lines in the log elsewhere."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stages.mixture_estimator import Decision

LOG = logging.getLogger("tamis.mixture")
_SHOWN = 8
"""Groups whose losses are shown."""


class Watch(Protocol):
    """Told by the trainer, on the rank that writes."""

    def stepped(self, step: int, steps: int, windows: int, tokens: int, trial: str | None) -> None:
        """A step of the run, or of a trial, was taken."""
        ...

    def evaluated(self, step: int, losses: Mapping[str, float], trial: str | None) -> None:
        """Losses of the groups after a step."""
        ...

    def decided(self, decision: Decision) -> None:
        """A mixture was decided on."""
        ...


@dataclass
class Lines:
    """Decisions as lines of the log `tamis.mixture`; steps as ticks of an engine."""

    tick: Any = None
    """Called with (windows, 0) after each step, if given."""

    def stepped(self, step: int, steps: int, windows: int, tokens: int, trial: str | None) -> None:
        """Count."""
        if self.tick is not None:
            self.tick(windows, 0)

    def evaluated(self, step: int, losses: Mapping[str, float], trial: str | None) -> None:
        """Nothing: there are many."""

    def decided(self, decision: Decision) -> None:
        """One line."""
        LOG.info("step %d: %s; %s", decision.step, decision.reason, shown(decision.mixture))


@dataclass
class Bar(Lines):
    """A bar with the rate, the time left, and the losses of groups as they are measured."""

    bar: Progress = field(default_factory=Progress)
    began: float = field(default_factory=time.monotonic)
    tokens: int = 0
    losses: str = ""
    _tasks: dict[str | None, Any] = field(default_factory=dict)

    def stepped(self, step: int, steps: int, windows: int, tokens: int, trial: str | None) -> None:
        """Move the bar."""
        self.tokens += tokens
        if trial not in self._tasks:
            self._tasks[trial] = self.bar.add_task(trial or "proxy", total=steps, info="")
        rate = self.tokens / max(time.monotonic() - self.began, 1e-9)
        self.bar.update(self._tasks[trial], completed=step, info=f"{rate:,.0f} tokens/s  {self.losses}")
        if trial is not None and step >= steps:
            self.bar.remove_task(self._tasks.pop(trial))

    def evaluated(self, step: int, losses: Mapping[str, float], trial: str | None) -> None:
        """Show the losses."""
        self.losses = shown(losses)

    def decided(self, decision: Decision) -> None:
        """One line above the bar."""
        self.bar.console.print(
            f"step {decision.step}: {decision.reason}; {shown(decision.mixture)}", highlight=False, markup=False
        )


def shown(values: Mapping[str, float]) -> str:
    """Numbers by group, short.

    >>> shown({"a": 1.23456, "b": 2.0})
    'a 1.235, b 2.000'
    """
    told = [f"{name} {value:.3f}" for name, value in list(values.items())[:_SHOWN]]
    return ", ".join([*told, *([f"and {len(values) - _SHOWN} more"] if len(values) > _SHOWN else [])])


@contextmanager
def watching(console: Console) -> Iterator[Lines]:
    """A bar on a terminal, and lines of the log elsewhere."""
    if not console.is_terminal:
        yield Lines()
        return
    info = TextColumn("{task.fields[info]}", markup=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, info, console=console, transient=True) as bar:
        yield Bar(bar=bar)
