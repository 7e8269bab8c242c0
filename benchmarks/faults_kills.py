"""Kills for faults_peers.py: a worker, or the driver, at a random moment; then the same command again."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from cluster_nodes import comes, descendants
from faults_tools import Output, Tool, end, output_of, run, start
from peers import BenchmarkError

VICTIMS = ("worker", "driver")
GRACE_S = 25.0
"""A run that has not ended so long after an undisturbed one would have is taken as hanging."""


@dataclass(frozen=True)
class Calm:
    """A run that nobody disturbed."""

    output: Output
    first_s: float
    """Seconds until its first Parquet file was begun."""
    seconds: float


def series(tool: Tool, corpus: Path, work: Path, kills: int, victims: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each kind of victim."""
    calm = undisturbed(tool, corpus, work / f"{tool.name}-calm")
    rows = []
    for victim in victims:
        rounds = [hit(tool, corpus, work / f"{tool.name}-{victim}-{n}", victim, calm) for n in range(kills)]
        print(rounds, file=sys.stderr)
        rows.append({"tool": tool.name, "victim": victim, "seconds_undisturbed": calm.seconds, **_summed(rounds)})
    return rows


def undisturbed(tool: Tool, corpus: Path, output: Path) -> Calm:
    """What a run that nobody disturbs leaves, and when. Raises BenchmarkError if it fails."""
    began, first = time.monotonic(), 0.0
    process = start(tool, tool.command(corpus, output, False))
    while process.poll() is None:
        time.sleep(0.02)
        if not first and next(output.rglob("*.parquet"), None):
            first = time.monotonic() - began
    if process.returncode:
        raise BenchmarkError(f"{tool.name} fails undisturbed with exit code {process.returncode}")
    return Calm(output_of(output), first, time.monotonic() - began)


def hit(tool: Tool, corpus: Path, output: Path, victim: str, calm: Calm) -> dict[str, bool | int]:
    """A kill; one that came too late, since runs differ in length, is drawn again, from a shorter time each time."""
    for attempt in range(5):
        span = 0.95 * (calm.seconds - calm.first_s) * 0.7**attempt
        found = killed(tool, corpus, output.with_name(f"{output.name}-{attempt}"), victim, calm, span)
        if found["hit"]:
            break
    return found


def killed(tool: Tool, corpus: Path, output: Path, victim: str, calm: Calm, span: float) -> dict[str, bool | int]:
    """One kill at most `span` seconds after the first file, what the run did, and what the same command then left."""
    expected, seconds = calm.output, calm.seconds
    command = tool.command(corpus, output, False)
    process = start(tool, command)
    comes(lambda: process.poll() is not None or next(output.rglob("*.parquet"), None), seconds + GRACE_S)
    time.sleep(random.Random(output.name).uniform(0.0, span))
    family = _family(process.pid)
    struck = _kill(tool, process, victim)
    code = _wait(process, seconds + GRACE_S)
    first = output_of(output)
    if code is None:
        end([process.pid, *descendants(process.pid)])
        process.wait()
    again, _ = run(tool, command, seconds + 2 * GRACE_S)
    left = [one.pid for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    end(left)
    found = output_of(output)
    shutil.rmtree(output, ignore_errors=True)
    return {
        "hit": struck,
        "hung": code is None,
        "went_on": code == 0,
        "claimed_but_incomplete": code == 0 and first.rows != expected.rows,
        "again_failed": again != 0,
        "left_running": bool(left),
        "lost": len(expected.documents - found.documents),
        "doubled": sum(n - 1 for n in found.documents.values() if n > 1),
        "unreadable": found.unreadable,
        "equal": found.rows == expected.rows,
    }


def _kill(tool: Tool, process: "subprocess.Popen[str]", victim: str) -> bool:
    """Whether there was a process to kill: a worker, which is waited for while the run lasts, or the driver itself."""
    while process.poll() is None:
        workers = sorted(pid for pid in descendants(process.pid) if tool.is_worker(pid))
        if victim == "driver" or workers:
            os.kill(process.pid if victim == "driver" else random.Random(0).choice(workers), signal.SIGKILL)
            return True
        time.sleep(0.02)
    return False


def _family(pid: int) -> list[psutil.Process]:
    """The processes that a run started; unlike their numbers, they are not mistaken for later ones."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _wait(process: "subprocess.Popen[str]", seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _summed(rounds: list[dict[str, bool | int]]) -> dict[str, int]:
    return {"kills": len(rounds), **{key: sum(int(one[key]) for one in rounds) for key in rounds[0]}}
