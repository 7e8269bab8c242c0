"""Where Ray runs the tasks of one `map`: as Ray tasks, or on actors that keep their GPU."""

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from pipeline.engines.ray_cluster import asked
from pipeline.engines.site import Site
from pipeline.engines.work import Done, work
from pipeline.resources import Job

ATTEMPTS = 3
"""Times that Ray starts a task again when its worker or node dies."""


class Workers(Protocol):
    """Ray's side of one `map`."""

    def start(self, function: Callable[..., Any], task: object, site: Site | None) -> Any:
        """Start a task; returns the reference of its answer, a Done."""
        ...

    def over(self, reference: Any) -> None:
        """Take note that a task is over."""
        ...

    def end(self, running: list[Any]) -> None:
        """End what still runs."""
        ...


class Tasks:
    """Ray tasks: any free worker process of any node takes the next."""

    def __init__(self, ray: Any, job: Job) -> None:
        self._ray = ray
        options = {"max_retries": ATTEMPTS, "retry_exceptions": False, **asked(job.needs)}
        self._remote = ray.remote(**options)(work).options(name=job.name or "tamis")

    def start(self, function: Callable[..., Any], task: object, site: Site | None) -> Any:
        """See Workers.start."""
        return self._remote.remote(function, task, site)

    def over(self, reference: Any) -> None:
        """See Workers.over."""

    def end(self, running: list[Any]) -> None:
        """See Workers.end."""
        for reference in running:
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)


class Actors:
    """As many actors as fit, one task at a time on each; Ray starts one that dies again, with its task."""

    def __init__(self, ray: Any, job: Job, most: int) -> None:
        self._ray = ray
        self._name = job.name or "tamis"
        kind = ray.remote(max_restarts=ATTEMPTS, max_task_retries=ATTEMPTS, **asked(job.needs))(_Actor)
        self._all = [kind.remote() for _ in range(most)]
        self._idle = list(self._all)
        self._busy: dict[Any, Any] = {}

    def start(self, function: Callable[..., Any], task: object, site: Site | None) -> Any:
        """See Workers.start."""
        actor = self._idle.pop()
        reference = actor.work.options(name=self._name).remote(function, task, site)
        self._busy[reference] = actor
        return reference

    def over(self, reference: Any) -> None:
        """See Workers.over."""
        self._idle.append(self._busy.pop(reference))

    def end(self, running: list[Any]) -> None:
        """See Workers.end."""
        for actor in self._all:
            with contextlib.suppress(Exception):
                self._ray.kill(actor)


class _Actor:
    def work(self, function: Callable[..., Any], task: object, site: Site | None) -> Done:
        return work(function, task, site)
