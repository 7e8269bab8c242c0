"""Kills at random moments on every engine: a worker, a node or executor, the driver. The data must come out the same.

    python benchmarks/cluster_faults.py --rounds 4 --json cluster_faults.json

The input is made up. Ray is a cluster of two nodes, Spark a `local-cluster` of two executors. Each round starts a run,
kills one of its processes when a number of records is there that was drawn, and a moment later, gives the same command
again, and compares the bytes of every Parquet file with those of an undisturbed local run. A round in which all was
over before the moment came is drawn again.
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
    parser.add_argument("--victims", nargs="+", choices=sorted({each for all_ in VICTIMS.values() for each in all_}))
    parser.add_argument("--documents", type=int, default=6000)
    parser.add_argument("--work", type=Path, default=Path("/tmp/tamis-cluster-faults"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    config = _config(given.work, given.documents)
    shutil.rmtree(given.work / "undisturbed", ignore_errors=True)
    with site("local") as local:
        expected = _run(given.work, config, local, "undisturbed")
    rows = [row for engine in given.engines for row in _rows(given, config, engine, expected)]
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


def _rows(
    given: argparse.Namespace, config: Path, engine: str, expected: tuple[dict[str, str], int]
) -> list[dict[str, Any]]:
    victims = [victim for victim in VICTIMS[engine] if not given.victims or victim in given.victims]
    with site(engine) as place:
        return [_row(given.work, config, place, victim, given.rounds, expected) for victim in victims]


def _row(
    work: Path, config: Path, place: Site, victim: str, rounds: int, expected: tuple[dict[str, str], int]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "engine": place.engine,
        "victim": victim,
        "rounds": rounds,
        "hit": 0,
        "went_on": 0,
        "equal": 0,
    }
    for number in range(rounds):
        name = f"{place.engine}-{victim}-{number}"
        for attempt in range(3):
            killed, went_on = _killed(work, config, place, victim, name, expected[1], attempt)
            if killed:
                break
        place.mend()
        equal = _run(work, config, place, name)[0] == expected[0]
        for key, value in (("hit", bool(killed)), ("went_on", went_on), ("equal", equal)):
            row[key] += value
        print(f"{name}: killed {killed or 'nothing'}, went on {went_on}, equal {equal}", file=sys.stderr, flush=True)
    return row


def _killed(
    work: Path, config: Path, place: Site, victim: str, name: str, records: int, attempt: int
) -> tuple[str, bool]:
    """What was killed, or nothing if the run was over before; and whether the run went on without it."""
    shutil.rmtree(work / name, ignore_errors=True)
    chance = random.Random(f"{name} {attempt}")
    errors = work / f"{name}.log"
    with errors.open("wb") as log:
        run = subprocess.Popen(_command(work, config, place, name), env=place.environment, stdout=log, stderr=log)
    enough = chance.randrange(1, records)
    comes(lambda: run.poll() is not None or _records(work / name) >= enough, 600)
    time.sleep(chance.random())
    comes(lambda: run.poll() is not None or place.candidates(run.pid, victim), 600)
    found = place.candidates(run.pid, victim) if run.poll() is None else []
    said = ""
    if found:
        chosen = chance.choice(found)
        said = command_of(chosen)[:40]
        os.kill(chosen, signal.SIGKILL)
    run.wait()
    if victim != "driver" and run.returncode:
        print(f"{name}: {said} killed, exit code {run.returncode}: {errors.read_text()[-600:]}", file=sys.stderr)
    return said, run.returncode == 0


def _records(run: Path) -> int:
    return sum(1 for _ in run.glob("steps/*/records/*.json"))


def _run(work: Path, config: Path, place: Site, name: str) -> tuple[dict[str, str], int]:
    """The data of a run that ends well, and the number of its records."""
    command = _command(work, config, place, name)
    done = subprocess.run(command, env=place.environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return _fingerprint(work / name), _records(work / name)


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
