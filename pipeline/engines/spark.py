"""The Spark engine: one partition per Tamis task, on the master of spark-submit or SPARK_MASTER, or on this machine.

Run directory and input must be reachable from every executor: a shared file system or an object store.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

from pipeline.engines import Counter, Result, Task, Tick
from stages.errors import ConfigError, EngineError, TamisError


class SparkEngine:
    """Tasks on Spark, `workers` at once on this machine, or as many as the cluster has cores."""

    name = "spark"

    def __init__(self, workers: int) -> None:
        if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
            raise ConfigError("--engine spark needs Java 17 or newer: apt-get install default-jre-headless")
        try:
            import pyspark
        except ImportError as error:
            raise ConfigError(
                "--engine spark needs PySpark: pip install -e '.[spark]' in the checkout of Tamis"
            ) from error
        self.workers = workers
        self._pyspark: Any = pyspark
        self._context: Any = None

    def map(
        self, function: Callable[[Task, Tick], Result], tasks: Sequence[Task], tick: Tick
    ) -> Iterator[tuple[int, Result]]:
        """See Engine.map. Results come when all tasks are done."""
        if not tasks:
            return
        self._context.setJobDescription(function.__name__)
        work = self._context.parallelize(list(enumerate(tasks)), len(tasks)).map(lambda item: _call(function, *item))
        for index, result, error, documents, size in self._collect(work):
            if error is not None:
                raise error
            tick(documents, size)
            yield index, result

    def _collect(self, work: Any) -> list[tuple[int, Any, Exception | None, int, int]]:
        from py4j.protocol import Py4JJavaError

        try:
            return list(work.collect())
        except Py4JJavaError as error:
            raise EngineError(f"a Spark task failed: {str(error.java_exception)[:500]}") from error

    def __enter__(self) -> "SparkEngine":
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
        settings = self._pyspark.SparkConf().setAppName("tamis")
        if not settings.contains("spark.master"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            settings.setMaster(os.environ.get("SPARK_MASTER", f"local[{self.workers},3]"))
            settings.set("spark.ui.enabled", "false").set("spark.ui.showConsoleProgress", "false")
        self._context = self._pyspark.SparkContext.getOrCreate(settings)
        self._context.setLogLevel("ERROR")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.stop()


def _call(
    function: Callable[[Task, Tick], Result], index: int, task: Task
) -> tuple[int, Result | None, Exception | None, int, int]:
    """An error of the user's kind is a result: Spark must not try it again, nor wrap it beyond recognition."""
    counter = Counter()
    try:
        return index, function(task, counter), None, counter.documents, counter.text_bytes
    except (TamisError, OSError) as error:
        return index, None, error, counter.documents, counter.text_bytes
