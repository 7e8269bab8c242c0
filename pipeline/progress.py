"""Progress of a run: a bar with rates on a terminal, one log line per step elsewhere."""

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LOG = logging.getLogger("tamis")


@dataclass
class StepProgress:
    """The work of one step so far."""

    name: str
    total: int
    bar: Progress
    task: TaskID
    began: float = field(default_factory=time.monotonic)
    documents: int = 0
    text_bytes: int = 0
    note: str = ""

    def tick(self, documents: int, text_bytes: int) -> None:
        """Count documents and bytes of text that a task worked on."""
        self.documents += documents
        self.text_bytes += text_bytes
        self.bar.update(self.task, info=self.rates)

    def finished(self, tasks: int = 1) -> None:
        """Count finished tasks."""
        self.bar.advance(self.task, tasks)

    @property
    def seconds(self) -> float:
        """Since the step began."""
        return time.monotonic() - self.began

    @property
    def rates(self) -> str:
        """Documents/s and MB/s of text so far."""
        seconds = max(self.seconds, 1e-9)
        speed = f"{self.documents / seconds:,.0f}/s, {self.text_bytes / seconds / 1e6:,.1f} MB/s"
        rate = f"{self.documents:,} documents, {speed}"
        return f"{rate}  {self.note}" if self.note else rate


@contextlib.contextmanager
def step_progress(console: Console, name: str, total: int) -> Iterator[StepProgress]:
    """Show the progress of one step of `total` tasks while the block runs."""
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[info]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        step = StepProgress(name, total, bar, bar.add_task(name, total=total, info=""))
        yield step
    LOG.info("%s: %s, %.1f s", name, step.rates, step.seconds)
