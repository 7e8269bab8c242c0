"""Kills for faults_peers.py: a worker, or the driver, at a random moment; then the same command again."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster_processes import descendants
from faults_tools import Output, Tool, end, output_of, run, start

VICTIMS = ("worker", "driver")
GRACE_S = 25.0
"""A run that has not ended so long after an undisturbed one would have is taken as hanging."""


def series(tool: Tool, corpus: Path, work: Path, kills: int, victims: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each kind of victim."""
    calm, seconds = undisturbed(tool, corpus, work / f"{tool.name}-calm")
    rows = []
    for victim in victims:
        rounds = [
            killed(tool, corpus, work / f"{tool.name}-{victim}-{n}", victim, (calm, seconds)) for n in range(kills)
        ]
        print(rounds, file=sys.stderr)
        rows.append({"tool": tool.name, "victim": victim, "seconds_undisturbed": seconds, **_summed(rounds)})
    return rows


def undisturbed(tool: Tool, corpus: Path, output: Path) -> tuple[Output, float]:
    """What a run that nobody disturbs leaves, and its seconds."""
    began = time.monotonic()
    code, printed = run(tool, tool.command(corpus, output, False), 600)
    assert code == 0, f"{tool.name} fails undisturbed, exit code {code}:\n{printed[-2000:]}"
    return output_of(output), time.monotonic() - began


def killed(tool: Tool, corpus: Path, output: Path, victim: str, calm: tuple[Output, float]) -> dict[str, bool | int]:
    """One kill, what the run did, and what was there after the same command was given again."""
    expected, seconds = calm
    command = tool.command(corpus, output, False)
    process = start(tool, command)
    hit = _kill(tool, process, victim, random.Random(output.name).uniform(0.1, 0.95) * seconds)
    family = descendants(process.pid) if victim == "worker" else []
    code = _wait(process, seconds + GRACE_S)
    first = output_of(output)
    if code is None:
        end([process.pid, *family, *descendants(process.pid)])
        process.wait()
    again, _ = run(tool, command, seconds + 2 * GRACE_S)
    found = output_of(output)
    shutil.rmtree(output, ignore_errors=True)
    return {
        "hit": hit,
        "hung": code is None,
        "went_on": code == 0,
        "claimed_but_incomplete": code == 0 and first.rows != expected.rows,
        "unreadable_before": first.unreadable,
        "again_failed": again != 0,
        "lost": len(expected.documents - found.documents),
        "doubled": sum(n - 1 for n in found.documents.values() if n > 1),
        "unreadable": found.unreadable,
        "equal": found.rows == expected.rows,
    }


def _kill(tool: Tool, process: "subprocess.Popen[str]", victim: str, moment: float) -> bool:
    """Whether there was a process to kill: a worker that is waited for a moment, or the driver itself."""
    began = time.monotonic()
    time.sleep(moment)
    while victim == "worker" and process.poll() is None and time.monotonic() - began < moment + GRACE_S:
        workers = [pid for pid in descendants(process.pid) if tool.is_worker(pid)]
        if workers:
            os.kill(random.Random(moment).choice(sorted(workers)), signal.SIGKILL)
            return True
        time.sleep(0.02)
    if victim == "driver" and process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
        return True
    return False


def _wait(process: "subprocess.Popen[str]", seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _summed(rounds: list[dict[str, bool | int]]) -> dict[str, int]:
    return {"kills": len(rounds), **{key: sum(int(one[key]) for one in rounds) for key in rounds[0]}}
