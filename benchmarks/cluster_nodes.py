"""Processes that make a cluster on one machine: Ray's nodes, Spark's daemons, what they started, and how they end.

They find no Tamis on PYTHONPATH, so what runs there was sent there. They are ended by process id.
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
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil

_RAY = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_agent_register_timeout_ms": "300000"}
_PORTS = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port", "metrics-export-port")


def free_port() -> int:
    """A port on loopback that nobody uses at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bare_environment(**settings: str) -> dict[str, str]:
    """This environment without what leads to the checkout."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "RAY_ADDRESS", "SPARK_MASTER")}
    return {**kept, "no_proxy": "*", "NO_PROXY": "*", **_RAY, **settings}


def comes(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for a condition; whether it came in time."""
    end_of_wait = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_of_wait:
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
    return _start([str(Path(sys.executable).parent / "ray"), "start", *options, *where], "/", bare_environment())


def start_ray_head(*more: str) -> tuple["subprocess.Popen[bytes]", str, str]:
    """The first node of a Ray cluster, the cluster's address, and where it takes jobs."""
    from ray.util import get_node_ip_address

    port, board = free_port(), free_port()
    address = f"{get_node_ip_address()}:{port}"
    boards = ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={board}"]
    client = f"--ray-client-server-port={free_port()}"
    head = start_raylet(address, "--head", f"--port={port}", client, *boards, *more)
    return head, address, f"http://127.0.0.1:{board}"


def ray_nodes_alive(board: str) -> int:
    """Nodes that a Ray dashboard knows to be alive."""
    with (
        contextlib.suppress(OSError, ValueError),
        urllib.request.urlopen(f"{board}/nodes?view=summary", timeout=5) as page,
    ):
        return sum(node["raylet"].get("state") == "ALIVE" for node in json.load(page)["data"]["summary"])
    return 0


def start_spark_daemon(name: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """A daemon of Spark's standalone mode, from the Python package."""
    import pyspark

    home = Path(pyspark.__file__).parent
    environment = bare_environment(
        SPARK_LOCAL_IP="127.0.0.1", SPARK_DAEMON_MEMORY="256m", PYSPARK_PYTHON=sys.executable
    )
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *arguments]
    return _start(command, "/tmp", environment)


def _start(command: list[str], folder: str, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
