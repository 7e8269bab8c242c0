"""What Spark runs on: Java, executors, and how needs become task resource profiles."""

import math
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.engines.machine import cpu_count, fitting, memory_bytes
from pipeline.resources import GB, Needs
from stages.errors import ConfigError, EngineError

JAVA = 17
"""What Spark 4 needs at least."""
PATIENCE_S = 120.0
"""How long to wait for the first executor."""


def check_java() -> None:
    """Raise ConfigError if there is no Java, or one that is too old. Under spark-submit one runs already."""
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        return
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java") or "java"
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        said = ""
    version = java_version(said)
    if version < JAVA:
        found = f"found Java {version} ({java})" if version else f"found none ({java})"
        raise ConfigError(
            f"--engine spark needs Java {JAVA} or newer, {found}: apt-get install "
            "openjdk-17-jre-headless, or set JAVA_HOME"
        )


def java_version(said: str) -> int:
    """The major version in what `java -version` says; 0 if there is none.

    >>> java_version('openjdk version "17.0.15" 2025-04-15'), java_version('java version "1.8.0_401"')
    (17, 8)
    """
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0


def wait_for_executors(context: Any) -> None:
    """Wait until a cluster has given an executor. Raises EngineError if none comes; Spark would wait for ever."""
    if _is_local(context) or context.getConf().get("spark.dynamicAllocation.enabled", "false") == "true":
        return
    end = time.monotonic() + PATIENCE_S
    while not _executors(context):
        if time.monotonic() > end:
            raise EngineError(
                f"{context.master} gave no executor within {PATIENCE_S:.0f} s: are its workers up, with as many free "
                "cores and as much memory as spark.executor.cores and spark.executor.memory ask for?"
            )
        time.sleep(0.2)


def profile_of(context: Any, needs: Needs) -> tuple[int, Any]:
    """How many tasks may be in flight (0: Spark decides), and the resource profile that they need, if any.

    Raises EngineError if no executor can run even one.
    """
    if needs == Needs():
        return 0, None
    if _is_local(context):
        return _waves(needs), None
    if needs.gpus and float(context.getConf().get("spark.executor.resource.gpu.amount", "0")) < needs.gpus:
        raise EngineError(
            f"a task needs {needs}, and executors have fewer: set spark.executor.resource.gpu.amount and what Spark "
            "needs to find them (spark.executor.resource.gpu.discoveryScript), or lower `resources`"
        )
    return 0, _profile(_cores(context, needs), needs)


def _cores(context: Any, needs: Needs) -> int:
    """The cores that a task must take, so that a host runs no more of them than it has cores and memory for."""
    memory = _memory_of_hosts(context) if needs.memory_gb else 0  # a job, which brings executors that come on demand
    executors = _executors(context)
    largest = max((cores for _, cores, _ in executors), default=needs.cpus)
    cores = cores_for(needs, _cores_of_host(executors), memory) if memory and executors else needs.cpus
    if cores > largest:
        raise EngineError(
            f"a task needs {needs}, which takes {cores} cores or their share of a host's memory, and the largest "
            f"executor has {largest} cores: raise spark.executor.cores, have fewer executors on a host, or lower "
            "`resources` in the configuration"
        )
    return cores


def cores_for(needs: Needs, cores: int, memory: int) -> int:
    """Cores of a task that needs memory: Spark counts cores alone, so it takes those whose memory it uses.

    `cores` are those that executors have on a host, `memory` the bytes of the host or container.

    >>> cores_for(Needs(memory_gb=3), 8, 16 * GB), cores_for(Needs(cpus=4, memory_gb=3), 8, 16 * GB)
    (2, 4)
    """
    return max(needs.cpus, math.ceil(needs.memory_gb * GB * cores / memory))


def _cores_of_host(executors: list[tuple[str, int, str]]) -> int:
    """The most cores that executors have on one host."""
    hosts: Counter[str] = Counter()
    for _, cores, host in executors:
        hosts[host] += cores
    return max(hosts.values())


def _memory_of_hosts(context: Any) -> int:
    """The bytes of the smallest host or container, as the workers there see it."""
    slots = 2 * int(context.defaultParallelism)
    found: list[int] = context.parallelize(range(slots), slots).map(lambda _: memory_bytes()).collect()
    return min(found)


def _waves(needs: Needs) -> int:
    """On this machine Spark gives every task one core, so those that need more go in waves that fit."""
    if needs.gpus:
        raise EngineError(f"a task needs {needs}, which Spark gives on a cluster alone: use --engine local or ray")
    cores, memory = cpu_count(), memory_bytes()
    if not (fit := fitting(needs, cores, memory)):
        raise EngineError(
            f"a task needs {needs}, and this machine has {cores} cores and {memory / GB:.1f} GB: lower `resources` in "
            "the configuration"
        )
    return fit


def _profile(cores: int, needs: Needs) -> Any:
    from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests

    requests = TaskResourceRequests().cpus(cores)
    if needs.gpus:
        requests = requests.resource("gpu", needs.gpus)
    return ResourceProfileBuilder().require(requests).build


def _is_local(context: Any) -> bool:
    master = str(context.master)
    return master == "local" or master.startswith("local[")


def _executors(context: Any) -> list[tuple[str, int, str]]:
    """Id, cores and host of each executor that is there; the driver is none."""
    listed = context._jsc.sc().statusStore().executorList(True)
    found = (listed.apply(index) for index in range(listed.size()))
    return [(e.id(), int(e.totalCores()), e.hostPort().rpartition(":")[0]) for e in found if e.id() != "driver"]
