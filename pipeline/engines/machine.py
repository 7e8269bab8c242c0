"""What this machine, or the container that it pretends to be, lets a process use; and how much work fits there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.resources import GB, Needs

_GROUPS = Path("/proc/self/cgroup")
"""The control groups that Linux put this process into."""
_LIMITS = {"": ("/sys/fs/cgroup", "memory.max"), "memory": ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")}
"""By the controllers that a line of it names, those of version 2 and of version 1: where limits are, and their file."""


def cpu_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """Bytes of memory that this process may use: the machine's, or fewer if its container is held to fewer."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([whole, *_limits()])


def _limits() -> Iterator[int]:
    """What the control groups of this process, and those around them, are held to."""
    with contextlib.suppress(OSError):
        for line in _GROUPS.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers in _LIMITS:
                root, name = _LIMITS[controllers]
                yield from _read(Path(root), Path(group.lstrip("/")), name)


def _read(root: Path, group: Path, name: str) -> Iterator[int]:
    for folder in (group, *group.parents):
        with contextlib.suppress(OSError, ValueError):  # no such file, or the word "max"
            yield int((root / folder / name).read_text())


def fitting(needs: Needs, cores: int, memory: int) -> int:
    """How many tasks of such needs fit into cores and bytes of memory at once.

    >>> fitting(Needs(cpus=2), 8, 16 * GB), fitting(Needs(memory_gb=6), 8, 16 * GB), fitting(Needs(cpus=9), 8, 0)
    (4, 2, 0)
    """
    by_cores = cores // needs.cpus
    return min(by_cores, int(memory // (needs.memory_gb * GB))) if needs.memory_gb else by_cores
