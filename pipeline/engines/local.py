"""The local engine: a pool of processes on this machine, and the reference for all other engines."""

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import connection
from types import TracebackType
from typing import Any

from pipeline.engines import ANY_JOB, Result, Task, Tick, name_of
from pipeline.engines.machine import cpu_count, fitting, memory_bytes
from pipeline.engines.site import Site
from pipeline.lean import spare_pandas
from pipeline.resources import Job, Needs
from stages.errors import EngineError

ATTEMPTS = 3
"""Times that a task is started alone before the run gives up, when its worker dies."""
_POLL_S = 0.2
_MOST_PER_CORE = 4
"""Worker processes per core, at most: more take memory and do nothing."""
_LOG = logging.getLogger("tamis.engines")
_counters: Any = None
"""In a worker: shared memory, two numbers (documents, bytes) per task in flight. No lock, so a kill cannot block it."""


def _sensible(workers: int) -> int:
    most = _MOST_PER_CORE * max(cpu_count(), 4)
    if workers > most:
        _LOG.warning("--workers: found %d for %d cores, using %d", workers, cpu_count(), most)
    return min(workers, most)


class LocalEngine:
    """Tasks in `workers` processes; with one worker in this very process, which saves the start of another."""

    name = "local"

    def __init__(self, workers: int) -> None:
        if workers < 0:
            raise EngineError(f"--workers: found {workers}, expected at least 1, or 0: one per core")
        self.workers = _sensible(workers or cpu_count())
        self._slots = 2 * self.workers
        self._context = multiprocessing.get_context("spawn")
        self._pool: ProcessPoolExecutor | None = None
        self._shared: Any = None

    def settle(self, site: Site) -> None:
        """See Engine.settle: all workers are on this machine."""

    def map(
        self, function: Callable[[Task, Tick], Result], tasks: Sequence[Task], tick: Tick, job: Job = ANY_JOB
    ) -> Iterator[tuple[int, Result]]:
        """See Engine.map. Of what tasks need, CPUs and memory limit how many run at once; GPUs are not looked at."""
        if self.workers == 1:
            for index, task in enumerate(tasks):
                yield index, function(task, tick)
        else:
            yield from self._map(function, tasks, tick, job)

    def _map(
        self, function: Callable[[Task, Tick], Result], tasks: Sequence[Task], tick: Tick, job: Job
    ) -> Iterator[tuple[int, Result]]:
        work = _Work(len(tasks), self._most(job.needs))
        seen = _Seen(tick, self._slots)
        while work.left:
            done = self._step(function, tasks, work)
            if self._shared is not None:
                seen.update(self._shared)
            lost = []
            for future in done:
                flight = work.land(future)
                seen.reset(self._shared, flight.slot)
                if _is_lost(future):
                    lost.append(flight)
                else:
                    yield flight.index, future.result()
            work.suspect(lost, tasks)

    def _most(self, needs: Needs) -> int:
        """Tasks in flight: one more per worker than run, so that none waits, or as many as there is room for."""
        if needs.cpus == 1 and not needs.memory_gb:
            return self._slots
        return max(1, min(self.workers, fitting(needs, cpu_count(), memory_bytes())))

    def _step(
        self, function: Callable[[Task, Tick], Result], tasks: Sequence[Task], work: "_Work"
    ) -> "Iterable[Future[Any]]":
        """Start what may start and wait a moment; returns what is over. A broken pool is retired with all it ran."""
        try:
            while (flight := work.ready()) is not None:
                work.running[self._ready().submit(_call, function, tasks[flight.index], flight.slot)] = flight
        except BrokenProcessPool:
            work.put_back(flight)
            broken, done = True, set()
        else:
            done = wait(work.running, _POLL_S, FIRST_COMPLETED).done
            broken = any(_is_lost(future) for future in done)
        if not broken:
            return done
        self._retire_broken()
        return list(work.running)

    def _ready(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._shared = self._shared or self._context.RawArray("q", 2 * self._slots)
            self._pool = ProcessPoolExecutor(self.workers, self._context, _start_worker, (self._shared,))
        return self._pool

    def _retire(self) -> None:
        """Give up the pool; the next task starts a new one."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _retire_broken(self) -> None:
        """Give up a broken pool. A worker that was just being started when it broke is one that the pool forgets to end
        and then waits for without end (CPython 3.11), so all workers are ended here."""
        for child in multiprocessing.active_children():
            child.kill()
        self._retire()

    def __enter__(self) -> "LocalEngine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._retire_broken()
        else:
            self._retire()


@dataclass(frozen=True)
class _Flight:
    """A task in flight: its index, its place in shared memory, and whether it flies alone, with the deaths so far."""

    index: int
    slot: int = -1
    deaths: int = 0
    alone: bool = False


class _Work:
    """The tasks of one `map`. Those in flight when the pool broke are suspects, which then fly one at a time.

    A broken pool does not tell which worker died; a suspect that is alone when the pool breaks again is the reason.
    """

    def __init__(self, tasks: int, slots: int) -> None:
        self.running: dict[Future[Any], _Flight] = {}
        self._waiting = deque(_Flight(index) for index in range(tasks))
        self._suspects: deque[_Flight] = deque()
        self._free = list(range(slots))

    @property
    def left(self) -> bool:
        """Whether any task is not finished."""
        return bool(self.running or self._waiting or self._suspects)

    def ready(self) -> _Flight | None:
        """The next task that may start now, with a slot; None if none may."""
        if any(flight.alone for flight in self.running.values()) or (self._suspects and self.running):
            return None
        queue = self._suspects or self._waiting
        return replace(queue.popleft(), slot=self._free.pop()) if queue and self._free else None

    def put_back(self, flight: _Flight | None) -> None:
        """A task that could not be started."""
        if flight is not None:
            self._free.append(flight.slot)
            (self._suspects if flight.alone else self._waiting).appendleft(flight)

    def land(self, future: "Future[Any]") -> _Flight:
        """A task that is over, one way or another; its slot is free again."""
        flight = self.running.pop(future)
        self._free.append(flight.slot)
        return flight

    def suspect(self, lost: list[_Flight], tasks: Sequence[object]) -> None:
        """Tasks that were in flight when the pool broke. Raises EngineError if it is one that breaks every pool."""
        for flight in lost:
            deaths = flight.deaths + (len(lost) == 1)
            if deaths >= ATTEMPTS:
                raise _keeps_dying(deaths, tasks[flight.index])
            self._suspects.append(replace(flight, deaths=deaths, alone=True))


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


def _is_lost(future: "Future[Any]") -> bool:
    """Whether the pool broke before the task was over."""
    return not future.done() or future.cancelled() or isinstance(future.exception(), BrokenProcessPool)


def _keeps_dying(deaths: int, task: object) -> EngineError:
    return EngineError(
        f"the worker died {deaths} times on the same task ({name_of(task)}), which ran alone: killed for memory? Use "
        "a smaller input.split_mb or more memory. Finished shards are kept; the same command goes on from here"
    )


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
