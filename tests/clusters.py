"""Real clusters on loopback for tests: a Ray of two raylets, and a Spark master with two workers."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.cluster_nodes import (
    comes,
    end,
    free_port,
    ray_nodes_alive,
    start_ray_head,
    start_raylet,
    start_spark_daemon,
)

ROOT = Path(__file__).parents[1]
START_S = 240.0


@dataclass(frozen=True)
class Cluster:
    """A cluster, and the processes that a test may kill."""

    address: str
    nodes: tuple["subprocess.Popen[bytes]", ...]
    jobs: str = ""
    """Where Ray takes jobs."""


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that must come."""
    if not comes(condition, 600):
        pytest.fail(f"{what} did not come within 600 s")


def until_started(condition: Callable[[], object], what: str) -> None:
    """Wait for a part of a cluster. What tests a cluster says nothing where the machine starts none."""
    if not comes(condition, START_S):
        pytest.skip(f"this machine did not start {what} within {START_S:.0f} s")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Cluster]:
    """Two raylets of one CPU, the first with two GPUs that exist by name alone, and a dashboard that takes jobs."""
    if "TAMIS_CLUSTERS" not in os.environ:
        pytest.skip("set TAMIS_CLUSTERS: raylets on one machine need an idle one, and minutes")
    pytest.importorskip("ray")

    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(3):
            head, address, jobs = start_ray_head("--num-gpus=2")
            started = [head]
            until_started(
                lambda head=head, jobs=jobs: head.poll() is not None or ray_nodes_alive(jobs) == 1, "the head of Ray"
            )
            if head.poll() is None:
                break  # else: Ray gives its dashboard 20 seconds to start, which a loaded machine may need twice
        started.append(start_raylet(address))
        until_started(lambda: ray_nodes_alive(jobs) == 2, "two nodes of Ray")
        yield Cluster(address, tuple(started), jobs)
    finally:
        for process in reversed(started):
            end(process)


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with closing(socket.socket()) as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.fixture(scope="session")
def spark_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A standalone master and two workers of one core each."""
    if "TAMIS_CLUSTERS" not in os.environ:
        pytest.skip("set TAMIS_CLUSTERS: a cluster on one machine needs an idle one, and minutes")
    pytest.importorskip("pyspark")
    port, folder = free_port(), tmp_path_factory.mktemp("spark")
    address = f"spark://127.0.0.1:{port}"
    here = ["--host", "127.0.0.1", "--webui-port"]
    started = [start_spark_daemon("master.Master", *here, str(free_port()), "--port", str(port))]
    try:
        until_started(lambda: _listens(f"127.0.0.1:{port}"), "the master of Spark")
        for number in range(2):
            place = [*here, str(free_port()), "--work-dir", str(folder / str(number)), address]
            started.append(start_spark_daemon("worker.Worker", "--cores", "1", "--memory", "1200m", *place))
        yield Cluster(address, tuple(started))
    finally:
        for process in reversed(started):
            end(process)
