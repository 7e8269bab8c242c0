"""The Ray engine: one Ray task per Tamis task, on a cluster (RAY_ADDRESS) or on this machine.

Stages that need GPUs run on actors, so that each holds its model on its GPU from one task to the next; for all others
Ray uses its worker processes again, which keep what they opened. Run directory and input must be reachable from every
node: a shared file system or an object store.
"""

import contextlib
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.engines import ANY_JOB, Result, Task, Tick
from pipeline.engines.machine import cpu_count
from pipeline.engines.ray_cluster import most_at_once, nodes
from pipeline.engines.ray_work import Actors, Tasks, Workers
from pipeline.engines.shipping import copy_packages
from pipeline.engines.site import Site, look, publish
from pipeline.resources import Job
from stages.errors import ConfigError, EngineError, TamisError

STARTS = 3
"""Times that Ray is started or joined before the run gives up: on a loaded machine its agents may be late."""
_SANE = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_agent_register_timeout_ms": "300000"}
"""No word home; and a raylet whose agent is late waits, instead of dying with `Timed out waiting for file`."""
_COPY = "working_dir_files"
_LOG = logging.getLogger("tamis.engines")


class RayEngine:
    """Tasks on Ray, at most `workers` at once (0: as many as fit); what each needs comes with the job."""

    name = "ray"

    def __init__(self, workers: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError("--engine ray needs Ray: pip install -e '.[ray]' in the checkout of Tamis") from error
        self.workers = workers
        self._ray: Any = ray
        self._site: Site | None = None
        self._files = contextlib.ExitStack()

    def settle(self, site: Site) -> None:
        """See Engine.settle: a task on every node looks at once."""
        if _COPY in site.directory and site.relative and site.relative[0] == site.store.url:
            raise ConfigError(
                f"output: {site.store.url} starts in Ray's copy of the working directory, which Ray removes: give an "
                "absolute path of shared storage or a URL, such as --set output=/shared/run"
            )
        publish(site)
        self._site = site
        self._on_each_node(look, site)
        self._say_where()

    def map(
        self, function: Callable[[Task, Tick], Result], tasks: Sequence[Task], tick: Tick, job: Job = ANY_JOB
    ) -> Iterator[tuple[int, Result]]:
        """See Engine.map. Documents are counted when their task is done."""
        if not tasks:
            return
        most, workers = self._workers(job, len(tasks))
        waiting = iter(enumerate(tasks))
        running: dict[Any, int] = {}
        try:
            while True:
                while len(running) < most and (item := next(waiting, None)) is not None:
                    running[workers.start(function, item[1], self._site)] = item[0]
                if not running:
                    return
                for reference in self._over(list(running)):
                    index = running.pop(reference)
                    with self._explained():
                        done = self._ray.get(reference)
                    workers.over(reference)
                    tick(done.documents, done.text_bytes)
                    yield index, done.result
        finally:
            workers.end(list(running))

    def _over(self, running: list[Any]) -> list[Any]:
        """Wait until a task is over. Ray wraps what a signal's handler raises, if the wait ends at that moment."""
        try:
            over: list[Any] = self._ray.wait(running)[0]
        except SystemError as error:
            raise error.__cause__ or error from None
        return over

    def _on_each_node(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in a worker of every node that is there, and wait for all."""
        probe = self._ray.remote(num_cpus=0, max_retries=1)(function).options
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        places = [strategy(node["NodeID"], soft=False) for node in nodes(self._ray)]
        calls = [probe(name="look around", scheduling_strategy=place).remote(*arguments) for place in places]
        with self._explained():
            self._ray.get(calls)

    def _workers(self, job: Job, tasks: int) -> tuple[int, Workers]:
        """How many tasks to have in flight, and on what; some may wait for nodes that a cluster adds when they do."""
        fit = most_at_once(self._ray, job.needs)
        if job.needs.gpus:
            most = min(tasks, fit, self.workers or fit)
            return most, Actors(self._ray, job, most)
        return min(tasks, self.workers or 2 * fit), Tasks(self._ray, job)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, TamisError | OSError):
                raise cause from None
            raise EngineError(
                f"a Ray task could not start: {type(cause).__name__}: do all nodes have what Tamis depends on, in the "
                "versions of this one? Ray's logs of the worker say more"
            ) from error
        except self._ray.exceptions.LocalRayletDiedError as error:
            raise EngineError(
                "the Ray node on which this run was started has ended, and the run with it: its raylet, or an agent "
                "without which Ray ends it, was killed (for memory? logs/ray.json names the folder of Ray's logs). "
                "Finished shards are kept; the same command goes on from here"
            ) from error
        except self._ray.exceptions.RayError as error:
            raise EngineError(
                f"Ray gave up on a task, whose worker or node died again and again ({type(error).__name__}): killed "
                "for memory? Set resources.<stage>.memory_gb, or a smaller input.split_mb. Finished shards are kept; "
                "the same command goes on from here"
            ) from error

    def __enter__(self) -> "RayEngine":
        if not self._ray.is_initialized():
            handler = signal.getsignal(signal.SIGTERM)
            with contextlib.ExitStack() as undo:
                undo.callback(self.__exit__, None, None, None)
                with contextlib.ExitStack() as back:
                    back.callback(os.chdir, Path.cwd())
                    self._start()
                    self._unpack()
                undo.pop_all()
            with contextlib.suppress(ValueError):  # not in the main thread, where Ray sets none either
                signal.signal(signal.SIGTERM, handler)
        return self

    def _unpack(self) -> None:
        """Have every node of a cluster unpack what it is sent, before anything is read here. The working directory of a
        submitted job is Ray's copy, which each node, once, removes and unpacks anew: two on one machine share it."""
        if "RAY_ADDRESS" in os.environ:
            self._on_each_node(cpu_count)

    def _start(self) -> None:
        settings = self._settings()
        for attempt in range(1, STARTS + 1):
            try:
                self._ray.init(log_to_driver=False, logging_level="ERROR", **settings)
            except Exception as error:
                self._ray.shutdown()
                if attempt == STARTS:
                    raise EngineError(f"Ray did not start, {STARTS} times: {type(error).__name__}: {error}") from error
                _LOG.warning("Ray did not start (%s), trying again", type(error).__name__)
            else:
                return

    def _settings(self) -> dict[str, Any]:
        """The cluster that RAY_ADDRESS names, with what it needs; or "local", which never joins one that runs here."""
        for name, value in _SANE.items():
            os.environ.setdefault(name, value)
        if "RAY_ADDRESS" not in os.environ:
            return {"address": "local", "num_cpus": self.workers or cpu_count(), "include_dashboard": False}
        folder = Path(self._files.enter_context(tempfile.TemporaryDirectory()))
        modules = [str(path) for path in copy_packages(folder)]
        (folder / "empty").mkdir()
        os.chdir(
            folder / "empty"
        )  # Ray's workers look where the driver started before they look into what they are sent
        return {"address": os.environ["RAY_ADDRESS"], "runtime_env": {"py_modules": modules}}

    def _say_where(self) -> None:
        """Where Ray keeps its own logs, in the run directory."""
        context = self._ray.get_runtime_context()
        node = self._ray._private.worker._global_node
        where = {"job": context.get_job_id(), "session": node.get_session_dir_path() if node else "", "on": "each node"}
        if self._site is not None:
            self._site.store.write_json("logs/ray.json", where)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):
            self._ray.shutdown()
        self._files.close()
