"""The Spark engine: one partition per Tamis task, on the master of spark-submit or SPARK_MASTER, or on this machine.

Run directory and input must be reachable from every executor: a shared file system or an object store.
"""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.engines import ANY_JOB, Result, Task, Tick
from pipeline.engines.machine import cpu_count
from pipeline.engines.shipping import zip_packages
from pipeline.engines.site import Site, look, publish
from pipeline.engines.spark_cluster import check_java, profile_of, wait_for_executors
from pipeline.engines.spark_jobs import results
from pipeline.resources import Job
from stages.errors import ConfigError

_OWN_ATTEMPTS = 4
"""Times that Spark starts a task on this machine; on a cluster its `spark.task.maxFailures` says it."""


class SparkEngine:
    """Tasks on Spark, `workers` at once (0: as many as there are cores); what each needs comes with the job."""

    name = "spark"

    def __init__(self, workers: int) -> None:
        try:
            import pyspark
        except ImportError as error:
            raise ConfigError(
                "--engine spark needs PySpark: pip install -e '.[spark]' in the checkout of Tamis"
            ) from error
        check_java()
        self.workers = workers
        self._pyspark: Any = pyspark
        self._context: Any = None
        self._site: Site | None = None
        self._files = contextlib.ExitStack()

    def settle(self, site: Site) -> None:
        """See Engine.settle: more tasks than there are cores look at once; executors that come later look then."""
        publish(site)
        self._site = site
        looks = [site] * (2 * int(self._context.defaultParallelism))
        list(results(self._context, look, looks, None, Job("look around")))
        where = {
            "application": self._context.applicationId,
            "master": self._context.master,
            "interface": self._context.uiWebUrl or "",
            "on": "each executor: its working directory, or what the cluster's manager keeps",
        }
        site.store.write_json("logs/spark.json", where)

    def map(
        self, function: Callable[[Task, Tick], Result], tasks: Sequence[Task], tick: Tick, job: Job = ANY_JOB
    ) -> Iterator[tuple[int, Result]]:
        """See Engine.map. Documents are counted when their task is done."""
        if not tasks:
            return
        most, profile = profile_of(self._context, job.needs)
        for begin in range(0, len(tasks), most or len(tasks)):
            part = tasks[begin : begin + (most or len(tasks))]
            for index, done in results(self._context, function, part, self._site, job, profile):
                tick(done.documents, done.text_bytes)
                yield begin + index, done.result

    def __enter__(self) -> "SparkEngine":
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self._context = self._pyspark.SparkContext.getOrCreate(self._settings())
        self._context.setLogLevel("ERROR")
        with contextlib.suppress(ValueError):  # not in the main thread, where Spark sets none either
            for number, handler in handlers.items():
                signal.signal(number, handler)
        folder = Path(self._files.enter_context(tempfile.TemporaryDirectory()))
        for name, archive in zip_packages(folder).items():
            self._context.addArchive(f"{archive}#{name}")
        wait_for_executors(self._context)
        return self

    def _settings(self) -> Any:
        if "PYSPARK_GATEWAY_PORT" in os.environ:  # spark-submit: its settings are in the JVM that runs already
            self._pyspark.SparkContext._ensure_initialized()
        settings = self._pyspark.SparkConf()
        settings.setIfMissing("spark.app.name", "tamis")
        if not settings.contains("spark.master"):
            master = os.environ.get("SPARK_MASTER")
            settings.setMaster(master or f"local[{self.workers or cpu_count()},{_OWN_ATTEMPTS}]")
            if master is None:
                os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
                settings.set("spark.ui.enabled", "false")
            settings.set("spark.ui.showConsoleProgress", "false")
        if self.workers:
            settings.setIfMissing("spark.cores.max", str(self.workers))
        return settings

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):
            self._context.stop()
        self._files.close()
