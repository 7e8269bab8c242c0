"""Kills at random moments on every engine: a worker, a node or executor, the driver. The data must come out the same.

    python benchmarks/cluster_faults.py --rounds 10 --json cluster_faults.json

The input is made up. Each round starts a run in a process of its own, kills one of its processes at a moment drawn
between the first record and the length of an undisturbed run, gives the same command again, and compares the bytes of
every Parquet file with those of an undisturbed local run.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from cluster_processes import command_of, descendants
from peers import BenchmarkError, machine

from pipeline.config import load_config

VICTIMS = {
    "local": {"worker": "spawn_main", "driver": ""},
    "ray": {"worker": "ray::", "raylet": "raylet/raylet", "driver": ""},
    "spark": {"worker": "pyspark.daemon", "executor": "CoarseGrainedExecutorBackend", "driver": ""},
}
"""What the command line of each kind of process holds; the driver is the run's own process."""
MASTER = {"SPARK_MASTER": "local-cluster[2,1,1024]", "SPARK_LOCAL_IP": "127.0.0.1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="kills of each kind")
    parser.add_argument("--engines", nargs="+", default=list(VICTIMS), choices=list(VICTIMS))
    parser.add_argument("--documents", type=int, default=6000)
    parser.add_argument("--work", type=Path, default=Path("/tmp/tamis-cluster-faults"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    config = _config(given.work, given.documents)
    expected = _run(given.work, config, "local", "undisturbed")[0]
    rows = [
        _row(given.work, config, engine, victim, given.rounds, expected)
        for engine in given.engines
        for victim in VICTIMS[engine]
    ]
    for row in rows:
        print("| {engine} | {victim} | {rounds} | {hit} | {went_on} | {equal} |".format(**row))
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    if any(row["equal"] != row["rounds"] for row in rows):
        raise BenchmarkError("some runs ended in other data: see the table")


def _config(work: Path, documents: int) -> Path:
    chance = random.Random(0)
    words = [f"word{number}" for number in range(2000)]
    work.mkdir(parents=True, exist_ok=True)
    with (work / "input.jsonl").open("w") as file:
        for number in range(documents):
            text = " ".join(chance.choices(words, k=chance.randint(50, 400)))
            file.write(json.dumps({"id": f"d{number}", "text": text, "source": f"s{number % 3}"}) + "\n")
    path = work / "config.yaml"
    path.write_text(
        f"input: {{paths: ['{work}/input.jsonl'], split_mb: 0.5}}\noutput: {work}/run\n"
        "stages:\n  - language: {min_score: 0}\n  - embed: {}\n  - order: {by: [source], bucket: 300}\n"
        "shards: {text_mb: 2}\n"
    )
    load_config(path)
    return path


def _row(
    work: Path, config: Path, engine: str, victim: str, rounds: int, expected: dict[str, str]
) -> dict[str, str | int]:
    seconds = _run(work, config, engine, f"{engine}-calm")[1]
    row: dict[str, str | int] = {
        "engine": engine,
        "victim": victim,
        "rounds": rounds,
        "hit": 0,
        "went_on": 0,
        "equal": 0,
    }
    for number in range(rounds):
        name = f"{engine}-{victim}-{number}"
        hit, went_on = _killed(work, config, engine, victim, name, seconds)
        found = _run(work, config, engine, name)[0]
        row["hit"] = int(row["hit"]) + hit
        row["went_on"] = int(row["went_on"]) + went_on
        row["equal"] = int(row["equal"]) + (found == expected)
        print(f"{name}: hit {hit}, went on {went_on}, equal {found == expected}", file=sys.stderr)
    return row


def _killed(work: Path, config: Path, engine: str, victim: str, name: str, seconds: float) -> tuple[bool, bool]:
    """Whether there was a process to kill, and whether the run went on without it."""
    run = subprocess.Popen(
        _command(work, config, engine, name), env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    began, moment = time.monotonic(), random.Random(name).uniform(0.1, 0.95) * seconds
    while run.poll() is None and not any((work / name).glob("steps/*/records/*.json")):
        time.sleep(0.02)
    time.sleep(max(0.0, moment - (time.monotonic() - began)))
    mark = VICTIMS[engine][victim]
    found = [pid for pid in descendants(run.pid) if mark in command_of(pid)] if mark else [run.pid]
    alive = run.poll() is None
    said = ""
    if found and alive:
        chosen = random.Random(name).choice(sorted(found))
        said = command_of(chosen)[:80]
        os.kill(chosen, signal.SIGKILL)
    errors = run.communicate()[1].decode(errors="replace")
    if mark and run.returncode:
        print(f"{name}: {said} killed, exit code {run.returncode}: {errors[-600:]}", file=sys.stderr)
    return bool(said), run.returncode == 0


def _run(work: Path, config: Path, engine: str, name: str) -> tuple[dict[str, str], float]:
    began = time.monotonic()
    command = _command(work, config, engine, name)
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return _fingerprint(work / name), time.monotonic() - began


def _command(work: Path, config: Path, engine: str, name: str) -> list[str]:
    tamis = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--engine", engine, "--workers", "2"]
    return [*tamis, "--set", f"output={work / name}"]


def _environment() -> dict[str, str]:
    return {**os.environ, **MASTER, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def _fingerprint(run: Path) -> dict[str, str]:
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.rglob("*.parquet"))
    }


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"error: {error}")
