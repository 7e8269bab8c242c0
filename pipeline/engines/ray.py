"""The Ray engine: one Ray task per Tamis task, on a cluster (RAY_ADDRESS) or on this machine.

Run directory and input must be reachable from every node: a shared file system or an object store.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

from pipeline.engines import Result, Task, Tick
from stages.errors import ConfigError, EngineError, TamisError

ATTEMPTS = 3
"""Times that Ray starts a task again when its worker or node dies."""


class RayEngine:
    """Tasks on Ray, at most `workers` at once; each needs one CPU."""

    name = "ray"

    def __init__(self, workers: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError("--engine ray needs Ray: pip install -e '.[ray]' in the checkout of Tamis") from error
        self.workers = workers
        self._ray: Any = ray

    def map(
        self, function: Callable[[Task, Tick], Result], tasks: Sequence[Task], tick: Tick
    ) -> Iterator[tuple[int, Result]]:
        """See Engine.map. Documents are counted when their task is done."""
        remote = self._ray.remote(num_cpus=1, max_retries=ATTEMPTS, retry_exceptions=False)(_call)
        waiting = iter(enumerate(tasks))
        running: dict[Any, int] = {}
        while True:
            while len(running) < self.workers and (item := next(waiting, None)) is not None:
                running[remote.options(name=function.__name__).remote(function, item[1])] = item[0]
            if not running:
                return
            done, _ = self._ray.wait(list(running))
            for reference in done:
                index = running.pop(reference)
                result, documents, size = self._result(reference)
                tick(documents, size)
                yield index, result

    def _result(self, reference: Any) -> tuple[Any, int, int]:
        try:
            result, documents, size = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise (
                cause if isinstance(cause, TamisError | OSError) else EngineError(f"a Ray task failed: {cause!r}")
            ) from error
        except self._ray.exceptions.RayError as error:
            raise EngineError(f"a Ray worker died {ATTEMPTS + 1} times on the same task: {error}") from error
        return result, documents, size

    def __enter__(self) -> "RayEngine":
        if not self._ray.is_initialized():
            settings = {"address": os.environ["RAY_ADDRESS"]} if "RAY_ADDRESS" in os.environ else self._local()
            self._ray.init(log_to_driver=False, logging_level="ERROR", **settings)
        return self

    def _local(self) -> dict[str, Any]:
        """A Ray of our own: `address="local"` never joins a cluster that happens to run here."""
        return {"address": "local", "num_cpus": self.workers, "include_dashboard": False}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):
            self._ray.shutdown()


def _call(function: Callable[[Task, Tick], Result], task: Task) -> tuple[Result, int, int]:
    from pipeline.engines import Counter

    counter = Counter()
    return function(task, counter), counter.documents, counter.text_bytes
