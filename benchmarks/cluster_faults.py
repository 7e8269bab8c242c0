"""Kills at random moments on every engine: a worker, a node or executor, the driver. The data must come out the same.

    python benchmarks/cluster_faults.py --rounds 4 --json cluster_faults.json

The input is made up. Ray is a cluster of two nodes, Spark a `local-cluster` of two executors. Each round starts a run,
kills one of its processes at a moment drawn between the first record and the end of an undisturbed run, gives the same
command again, and compares the bytes of every Parquet file with those of an undisturbed local run. A round in which all
was over before the moment came is drawn again.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cluster_nodes import comes, command_of
from cluster_victims import VICTIMS, Site, site
from peers import BenchmarkError, machine

from pipeline.config import load_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="kills of each kind")
    parser.add_argument("--engines", nargs="+", default=list(VICTIMS), choices=list(VICTIMS))
    parser.add_argument("--documents", type=int, default=6000)
    parser.add_argument("--work", type=Path, default=Path("/tmp/tamis-cluster-faults"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    config = _config(given.work, given.documents)
    with site("local") as local:
        expected = _undisturbed(given.work, config, local)[0]
    rows = [row for engine in given.engines for row in _rows(given.work, config, engine, given.rounds, expected)]
    print("| engine | killed | rounds | hit | went on by itself | the same data in the end |\n|" + "---|" * 6)
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


def _rows(work: Path, config: Path, engine: str, rounds: int, expected: dict[str, str]) -> list[dict[str, Any]]:
    with site(engine) as place:
        span = _undisturbed(work, config, place)[1]
        return [_row(work, config, place, victim, rounds, (span, expected)) for victim in VICTIMS[engine]]


def _row(
    work: Path, config: Path, place: Site, victim: str, rounds: int, calm: tuple[float, dict[str, str]]
) -> dict[str, Any]:
    row = {"engine": place.engine, "victim": victim, "rounds": rounds, "hit": 0, "went_on": 0, "equal": 0}
    for number in range(rounds):
        name = f"{place.engine}-{victim}-{number}"
        for attempt in range(3):
            killed, went_on = _killed(work, config, place, victim, name, calm[0], attempt)
            if killed:
                break
        place.mend()
        equal = _run(work, config, place, name)[0] == calm[1]
        for key, value in (("hit", bool(killed)), ("went_on", went_on), ("equal", equal)):
            row[key] += value
        print(f"{name}: killed {killed or 'nothing'}, went on {went_on}, equal {equal}", file=sys.stderr, flush=True)
    return row


def _killed(
    work: Path, config: Path, place: Site, victim: str, name: str, span: float, attempt: int
) -> tuple[str, bool]:
    """What was killed, or nothing if the run was over before; and whether the run went on without it."""
    shutil.rmtree(work / name, ignore_errors=True)
    chance = random.Random(f"{name} {attempt}")
    run = subprocess.Popen(
        _command(work, config, place, name), env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    comes(lambda: run.poll() is not None or _begun(work / name), 600)
    time.sleep(chance.uniform(0.0, 0.95) * span)
    comes(lambda: run.poll() is not None or place.candidates(run.pid, victim), 600)
    found = place.candidates(run.pid, victim) if run.poll() is None else []
    said = ""
    if found:
        chosen = chance.choice(found)
        said = command_of(chosen)[:40]
        os.kill(chosen, signal.SIGKILL)
    errors = run.communicate()[1].decode(errors="replace")
    if victim != "driver" and run.returncode:
        print(f"{name}: {said} killed, exit code {run.returncode}: {errors[-600:]}", file=sys.stderr)
    return said, run.returncode == 0


def _undisturbed(work: Path, config: Path, place: Site) -> tuple[dict[str, str], float]:
    name = f"{place.engine}-undisturbed"
    shutil.rmtree(work / name, ignore_errors=True)
    return _run(work, config, place, name)


def _begun(run: Path) -> bool:
    return any(run.glob("steps/*/records/*.json"))


def _run(work: Path, config: Path, place: Site, name: str) -> tuple[dict[str, str], float]:
    """The data of a run that ends well, and the seconds from its first record to its end."""
    command = _command(work, config, place, name)
    run = subprocess.Popen(command, env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    comes(lambda: run.poll() is not None or _begun(work / name), 600)
    began = time.monotonic()
    errors = run.communicate()[1].decode(errors="replace")
    if run.returncode:
        raise BenchmarkError(f"{' '.join(command)}: exit code {run.returncode}\n{errors[-2000:]}")
    return _fingerprint(work / name), time.monotonic() - began


def _command(work: Path, config: Path, place: Site, name: str) -> list[str]:
    tamis = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--engine", place.engine, "--workers", "2"]
    return [*tamis, "--set", f"output={work / name}"]


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
