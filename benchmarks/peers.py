"""What benchmarks against other tools share: an environment per peer, and child processes measured from outside."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tamis-benchmarks"
"""Where environments and inputs are kept unless the command line says otherwise."""

_POLL_S = 0.02
_TAIL_CHARACTERS = 3000


class BenchmarkError(Exception):
    """A benchmark cannot run or its results do not hold; the message says what to do."""


@dataclass(frozen=True)
class Peer:
    """Another tool in a virtual environment of its own."""

    name: str
    requirements: tuple[str, ...]
    """Pinned, as pip takes them."""


@dataclass(frozen=True)
class Measured:
    """A child process that ended well, with all processes that it started."""

    wall_s: float
    cpu_s: float
    """User and system time of the process and of those it waited for."""
    peaks_mb: tuple[float, ...]
    """Highest resident memory (MB) of each process, the child itself first."""
    output: str


def ensure_peer(peer: Peer, directory: Path) -> Path:
    """The Python of the peer's environment below `directory`, made at first use (needs a package index then)."""
    home = directory / peer.name
    python, mark = home / "bin" / "python", home / "requirements.txt"
    wanted = "".join(f"{line}\n" for line in peer.requirements)
    if python.exists() and mark.exists() and mark.read_text() == wanted:
        return python
    print(f"making the environment of {peer.name} in {home}", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    _must([sys.executable, "-m", "venv", str(home)], peer)
    uv = shutil.which("uv", path=f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")
    installer = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install"]
    _must([*installer, *peer.requirements], peer)
    mark.write_text(wanted)
    return python


def _must(command: list[str], peer: Peer) -> None:
    links = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")
    done = subprocess.run(
        command,
        env={**os.environ, "UV_FIND_LINKS": links},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(
            f"cannot make the environment of {peer.name}: {' '.join(command)}\n{done.stdout[-_TAIL_CHARACTERS:]}\n"
            "It needs a package index once; --peers names a directory that holds it already"
        )


def measure(command: Sequence[str], cpus: Sequence[int], env: Mapping[str, str] | None = None) -> Measured:
    """Run a command on the given CPUs and wait for it. Raises BenchmarkError with its last output if it fails."""
    peaks: dict[int, float] = {}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        began = time.perf_counter()
        with _on(cpus):
            child = subprocess.Popen(
                list(command),
                env={**os.environ, **(env or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        ended, status, cpu = 0, 0, 0.0
        try:
            while not ended:
                time.sleep(_POLL_S)
                _sample(child.pid, peaks)
                ended, status, used = os.wait4(child.pid, os.WNOHANG)
                cpu = used.ru_utime + used.ru_stime
        except BaseException:
            child.kill()
            raise
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if child.returncode:
        raise BenchmarkError(f"exit code {child.returncode}: {' '.join(command)}\n{text[-_TAIL_CHARACTERS:]}")
    return Measured(wall, cpu, tuple(peaks.values()), text)


@contextlib.contextmanager
def _on(cpus: Sequence[int]) -> Iterator[None]:
    """Children started in this block inherit the CPUs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _sample(pid: int, peaks: dict[int, float]) -> None:
    """Note the highest resident memory so far of a process and its descendants.

    Not `ru_maxrss`: that of a child starts with the memory of the process that started it.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peaks[pid] = max(peaks.get(pid, 0.0), int(line.split()[1]) * 1024 / 1e6)
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                _sample(int(child), peaks)


def package_version(python: Path, package: str) -> str:
    """The version of an installed package in some environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{package} is not installed beside {python}")
    return done.stdout.strip()


def machine() -> dict[str, str]:
    """The processor, its number of usable cores, the kernel's kind and Python: what a figure depends on."""
    model = "unknown"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    cores = len(os.sched_getaffinity(0))
    return {"processor": model, "cores": str(cores), "system": os.uname().sysname, "python": sys.version.split()[0]}
