"""The processes of a run on any engine, from outside: who they are, what memory they share fairly, what they wrote."""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from cluster_nodes import descendants
from peers import BenchmarkError

MEMORY_S = 1.0
"""Seconds between looks at memory, which cost the kernel milliseconds for each process."""


@dataclass
class Usage:
    """What a run with all its processes took."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    """Of the processes that were still there at the last look, and of those that they waited for."""
    peak_mb: float = 0.0
    """The highest sum over all processes of their proportional set sizes: shared pages count once."""
    driver_mb: float = 0.0
    """The highest of the run's own process (VmHWM)."""
    written_mb: float = 0.0
    """Given to storage by all processes (write_bytes), as far as they were still there at the last look."""


def run_measured(command: Sequence[str], environment: Mapping[str, str]) -> Usage:
    """Run a command to its end and measure it and all that it starts. Raises BenchmarkError if it fails."""
    usage, began, over = Usage(), time.monotonic(), threading.Event()
    process = subprocess.Popen(
        list(command), env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    watch = threading.Thread(target=_watch, args=(process.pid, usage, over))
    watch.start()
    output, _ = process.communicate()
    over.set()
    watch.join()
    usage.seconds = time.monotonic() - began
    if process.returncode:
        raise BenchmarkError(f"exit code {process.returncode}: {' '.join(command)}\n{output[-2000:]}")
    return usage


def _watch(pid: int, usage: Usage, over: threading.Event) -> None:
    seconds: dict[int, float] = {}
    written: dict[int, int] = {}
    weighed = 0.0
    while not over.wait(0.2):
        pids = [pid, *descendants(pid)]
        if time.monotonic() > weighed + MEMORY_S:
            usage.peak_mb = max(usage.peak_mb, sum(_kilobytes(each, "smaps_rollup", "Pss:") for each in pids) / 1000)
            weighed = time.monotonic()
        usage.driver_mb = max(usage.driver_mb, _kilobytes(pid, "status", "VmHWM:") / 1000)
        seconds |= {each: spent for each in pids if (spent := _cpu(each))}
        usage.cpu_s = sum(seconds.values())
        written |= {each: count for each in pids if (count := _written(each))}
        usage.written_mb = sum(written.values()) / 1e6


def _kilobytes(pid: int, file: str, key: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
    return 0


def _written(pid: int) -> int:
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).io_counters().write_bytes)
    return 0


def _cpu(pid: int) -> float:
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0
