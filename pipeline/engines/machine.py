"""What this machine, or the container that it pretends to be, lets a process use; and how much work fits there."""

import os
from pathlib import Path

from pipeline.resources import GB, Needs

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says what a container may use: control groups of version 2, and of version 1."""


def cpu_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """Bytes of memory that this process may use: the machine's, or fewer if its container is held to fewer."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([whole, *(limit for path in _LIMITS if (limit := _limit(Path(path))))])


def _limit(path: Path) -> int:
    """A limit in bytes, or 0 if there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or the word "max"
        return 0


def fitting(needs: Needs, cores: int, memory: int) -> int:
    """How many tasks of such needs fit into cores and bytes of memory at once.

    >>> fitting(Needs(cpus=2), 8, 16 * GB), fitting(Needs(memory_gb=6), 8, 16 * GB), fitting(Needs(cpus=9), 8, 0)
    (4, 2, 0)
    """
    by_cores = cores // needs.cpus
    return min(by_cores, int(memory // (needs.memory_gb * GB))) if needs.memory_gb else by_cores
