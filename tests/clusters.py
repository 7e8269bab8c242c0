"""Real clusters on loopback for tests: a Ray of two raylets, and a Spark master with two workers, ended by process id.

Their processes find no Tamis on PYTHONPATH, so what runs there was sent there.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
START_S = 240.0
_RAY = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_agent_register_timeout_ms": "300000"}
_PORTS = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port", "metrics-export-port")


@dataclass(frozen=True)
class Cluster:
    """A cluster, and the processes that a test may kill."""

    address: str
    nodes: tuple["subprocess.Popen[bytes]", ...]
    jobs: str = ""
    """Where Ray takes jobs."""


def free_port() -> int:
    """A port on loopback that nobody uses at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bare_environment(**settings: str) -> dict[str, str]:
    """This environment without what leads to the checkout."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "RAY_ADDRESS", "SPARK_MASTER")}
    return {**kept, "no_proxy": "*", "NO_PROXY": "*", **_RAY, **settings}


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that must come."""
    if not _comes(condition, 600):
        pytest.fail(f"{what} did not come within 600 s")


def until_started(condition: Callable[[], object], what: str) -> None:
    """Wait for a part of a cluster. What tests a cluster says nothing where the machine starts none."""
    if not _comes(condition, START_S):
        pytest.skip(f"this machine did not start {what} within {START_S:.0f} s")


def _comes(condition: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    with contextlib.suppress(psutil.Error):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


def command_of(pid: int) -> str:
    """The command line of a process, or nothing."""
    with contextlib.suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline())
    return ""


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process with all that it started."""
    pids = [process.pid, *descendants(process.pid)]
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(20)


def start_raylet(address: str, *more: str) -> "subprocess.Popen[bytes]":
    """A node of a Ray cluster with one CPU; a head if `more` says so."""
    ports = [f"--{name}={free_port()}" for name in _PORTS]
    options = ["--block", "--num-cpus=1", "--object-store-memory=80000000", *ports, *more]
    where = [] if "--head" in more else [f"--address={address}"]
    command = [str(Path(sys.executable).parent / "ray"), "start", *options, *where]
    return subprocess.Popen(
        command,
        cwd="/",
        env=bare_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Cluster]:
    """Two raylets of one CPU, the first with two GPUs that exist by name alone, and a dashboard that takes jobs."""
    if "TAMIS_CLUSTERS" not in os.environ:
        pytest.skip("set TAMIS_CLUSTERS: raylets on one machine need an idle one, and minutes")
    pytest.importorskip("ray")
    from ray.util import get_node_ip_address

    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(3):
            port, board = free_port(), free_port()
            address, jobs = f"{get_node_ip_address()}:{port}", f"http://127.0.0.1:{board}"
            boards = ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={board}"]
            client = f"--ray-client-server-port={free_port()}"
            head = start_raylet(address, "--head", f"--port={port}", client, "--num-gpus=2", *boards)
            started = [head]
            until_started(lambda head=head, jobs=jobs: head.poll() is not None or _alive(jobs) == 1, "the head of Ray")
            if head.poll() is None:
                break  # else: Ray gives its dashboard 20 seconds to start, which a loaded machine may need twice
        started.append(start_raylet(address))
        until_started(lambda: _alive(jobs) == 2, "two nodes of Ray")
        yield Cluster(address, tuple(started), jobs)
    finally:
        for process in reversed(started):
            end(process)


def _alive(board: str) -> int:
    """Nodes that the dashboard knows to be alive."""
    with (
        contextlib.suppress(OSError, ValueError),
        urllib.request.urlopen(f"{board}/nodes?view=summary", timeout=5) as page,
    ):
        return sum(node["raylet"].get("state") == "ALIVE" for node in json.load(page)["data"]["summary"])
    return 0


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with closing(socket.socket()) as probe:
        return probe.connect_ex((host, int(port))) == 0


def spark_class(name: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """A daemon of Spark's standalone mode, from the Python package."""
    import pyspark

    home = Path(pyspark.__file__).parent
    environment = bare_environment(
        SPARK_LOCAL_IP="127.0.0.1", SPARK_DAEMON_MEMORY="256m", PYSPARK_PYTHON=sys.executable
    )
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *arguments]
    return subprocess.Popen(
        command,
        cwd="/tmp",
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture(scope="session")
def spark_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A standalone master and two workers of one core each."""
    if "TAMIS_CLUSTERS" not in os.environ:
        pytest.skip("set TAMIS_CLUSTERS: a cluster on one machine needs an idle one, and minutes")
    pytest.importorskip("pyspark")
    port, folder = free_port(), tmp_path_factory.mktemp("spark")
    address = f"spark://127.0.0.1:{port}"
    started = [
        spark_class("master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(free_port()))
    ]
    try:
        until_started(lambda: _listens(f"127.0.0.1:{port}"), "the master of Spark")
        for number in range(2):
            place = ["--work-dir", str(folder / str(number)), "--webui-port", str(free_port())]
            started.append(
                spark_class(
                    "worker.Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", "1200m", *place, address
                )
            )
        yield Cluster(address, tuple(started))
    finally:
        for process in reversed(started):
            end(process)
