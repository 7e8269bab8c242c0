"""The local engine: a pool of processes on this machine, and the reference for all other engines."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from types import TracebackType
from typing import Any

from pipeline.engines import Result, Task, Tick
from pipeline.lean import spare_pandas
from stages.errors import EngineError

ATTEMPTS = 3
"""Times that a task is started before the run gives up, when its worker dies."""
_POLL_S = 0.2
_counters: Any = None
"""In a worker: shared memory, two numbers (documents, bytes) per task in flight. No lock, so a kill cannot block it."""


def cpu_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


class LocalEngine:
    """Tasks in `workers` processes; with one worker in this very process, which saves the start of another."""

    name = "local"

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise EngineError(f"--workers: found {workers}, expected at least 1")
        self.workers = workers
        self._slots = 2 * workers
        self._context = multiprocessing.get_context("spawn")
        self._pool: ProcessPoolExecutor | None = None
        self._shared: Any = None

    def map(
        self, function: Callable[[Task, Tick], Result], tasks: Sequence[Task], tick: Tick
    ) -> Iterator[tuple[int, Result]]:
        """See Engine.map."""
        if self.workers == 1:
            for index, task in enumerate(tasks):
                yield index, function(task, tick)
        else:
            yield from self._map(function, tasks, tick)

    def _map(
        self, function: Callable[[Task, Tick], Result], tasks: Sequence[Task], tick: Tick
    ) -> Iterator[tuple[int, Result]]:
        waiting = deque((index, 1) for index in range(len(tasks)))
        running: dict[Future[Result], tuple[int, int, int]] = {}
        free = list(range(self._slots))
        seen = _Seen(tick, self._slots)
        while waiting or running:
            while waiting and free:
                index, attempt = waiting.popleft()
                slot = free.pop()
                future = self._submit(function, tasks[index], slot)
                running[future] = (index, attempt, slot)
            done = wait(running, _POLL_S, FIRST_COMPLETED).done
            seen.update(self._shared)
            for future in done:
                index, attempt, slot = running.pop(future)
                seen.reset(self._shared, slot)
                free.append(slot)
                if isinstance(future.exception(), BrokenProcessPool):
                    self._retire()
                    waiting.append((index, _next_attempt(attempt, tasks[index])))
                else:
                    yield index, future.result()

    def _submit(self, function: Callable[[Task, Tick], Result], task: Task, slot: int) -> "Future[Result]":
        try:
            return self._ready().submit(_call, function, task, slot)
        except BrokenProcessPool:
            self._retire()
            return self._ready().submit(_call, function, task, slot)

    def _ready(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._shared = self._shared or self._context.RawArray("q", 2 * self._slots)
            self._pool = ProcessPoolExecutor(self.workers, self._context, _start_worker, (self._shared,))
        return self._pool

    def _retire(self) -> None:
        """Give up a broken pool; the next task starts a new one."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "LocalEngine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for child in multiprocessing.active_children():
                child.kill()
        self._retire()


class _Seen:
    """Turns the growing counters of the tasks in flight into ticks."""

    def __init__(self, tick: Tick, slots: int) -> None:
        self._tick = tick
        self._last = [0] * (2 * slots)

    def update(self, shared: Any) -> None:
        now = list(shared)
        documents = sum(now[::2]) - sum(self._last[::2])
        size = sum(now[1::2]) - sum(self._last[1::2])
        self._last = now
        self._tick(documents, size)

    def reset(self, shared: Any, slot: int) -> None:
        for place in (2 * slot, 2 * slot + 1):
            shared[place] = self._last[place] = 0


def _next_attempt(attempt: int, task: object) -> int:
    if attempt >= ATTEMPTS:
        raise EngineError(
            f"the worker died {attempt} times on the same task ({type(task).__name__}): killed for memory? Use fewer "
            "--workers or a smaller input.split_mb. Finished shards are kept; the same command goes on from here"
        )
    return attempt + 1


def _start_worker(shared: Any) -> None:
    global _counters  # noqa: PLW0603 - set once per worker process
    _counters = shared
    spare_pandas()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _call(function: Callable[[Task, Tick], Result], task: Task, slot: int) -> Result:
    def tick(documents: int, size: int) -> None:
        _counters[2 * slot] += documents
        _counters[2 * slot + 1] += size

    return function(task, tick)
