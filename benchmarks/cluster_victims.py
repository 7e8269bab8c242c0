"""What is killed in `cluster_faults.py`: where an engine's processes are, and what stands ready for the next run."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from cluster_nodes import comes, command_of, descendants, end, ray_nodes_alive, start_ray_head, start_raylet
from peers import BenchmarkError

VICTIMS = {
    "local": {"worker": r"spawn_main", "driver": ""},
    "ray": {"worker": r"ray::(?!IDLE|.*Agent)", "raylet": r"raylet/raylet ", "driver": ""},
    "spark": {"worker": r"pyspark[./]daemon", "executor": r"CoarseGrainedExecutorBackend", "driver": ""},
}
"""The command line of each kind of process; the driver is the run's own process."""
_START_S = 240.0


@dataclass
class Site:
    """Where an engine's runs find their workers."""

    engine: str
    environment: dict[str, str] = field(default_factory=dict)
    nodes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    """Of Ray: the head and one more; other engines start what they need with the run."""
    board: str = ""
    address: str = ""

    def candidates(self, run: int, victim: str) -> list[int]:
        """Processes of a run that may be killed now. The raylet of Ray's head is spared: with it a cluster ends."""
        mark = VICTIMS[self.engine][victim]
        if not mark:
            return [run]
        roots = [run] if not self.nodes else [node.pid for node in self.nodes[victim == "raylet" :]]
        return sorted(pid for root in roots for pid in descendants(root) if re.search(mark, command_of(pid)))

    def mend(self) -> None:
        """Start a node for one that was killed, and wait until the cluster has two."""
        if not self.nodes:
            return
        if self.nodes[1].poll() is not None:
            end(self.nodes[1])
            self.nodes[1] = start_raylet(self.address)
        if not comes(lambda: ray_nodes_alive(self.board) == 2, _START_S):
            raise BenchmarkError("Ray did not start two nodes: is the machine loaded?")


@contextmanager
def site(engine: str) -> Iterator[Site]:
    """What an engine needs beside a run: a Ray of two nodes; the name of Spark's local cluster; nothing."""
    base = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    if engine != "ray":
        master = {"SPARK_MASTER": "local-cluster[2,1,1024]"} if engine == "spark" else {}
        yield Site(engine, {**base, **master})
        return
    with ExitStack() as stack:
        head, address, board = start_ray_head()
        found = Site(engine, {**base, "RAY_ADDRESS": address}, [head], board, address)
        stack.callback(lambda: [end(node) for node in reversed(found.nodes)])
        if not comes(lambda: ray_nodes_alive(board) == 1, _START_S):
            raise BenchmarkError("Ray's head did not start: is the machine loaded?")
        found.nodes.append(start_raylet(address))
        found.mend()
        yield found
