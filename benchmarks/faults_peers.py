"""The same bad inputs and the same kills for Tamis and datatrove: what is lost, doubled or dropped, and who says so.

    python benchmarks/faults_peers.py [--kills 10] [--json FILE]

Bad inputs: made-up text, one fault at a time amid 400 good documents, with another file of 400. Kills: SIGKILL to a
worker or to the driver at random moments, then the same command again; what is there in the end is compared with what
an undisturbed run leaves. benchmarks/README.md has the settings of both and the last figures.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from faults_inputs import CASES, POISON, Case, lines, make_case
from faults_kills import VICTIMS, series
from faults_tools import TASKS, Tool, datatrove, output_of, run, tamis
from peer_environments import DATATROVE
from peers import CACHE, BenchmarkError, ensure_peer, machine, package_version

LIMIT_S = 240.0
TOOLS = ("Tamis", "datatrove")


def main() -> int:
    """Run everything; the exit code."""
    arguments = _arguments()
    try:
        tools = _tools(arguments)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    work = arguments.work
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "load": os.getloadavg()[0],
        "versions": {"datatrove": package_version(ensure_peer(DATATROVE, arguments.peers), "datatrove")},
        "inputs": [_fed(tool, case, work) for case in CASES for tool in tools] if not arguments.no_inputs else [],
        "kills": [],
    }
    if result["inputs"]:
        print(inputs_table(result["inputs"]), flush=True)
    if arguments.kills:
        corpus = _corpus(work, arguments.documents)
        result["kills"] = [
            row for tool in tools for row in series(tool, corpus, work, arguments.kills, arguments.victims)
        ]
        print(kills_table(result["kills"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(work, ignore_errors=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="kills of each kind for each tool; 0: none")
    parser.add_argument("--victims", nargs="+", default=list(VICTIMS), choices=VICTIMS, help="who is killed")
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=TOOLS)
    parser.add_argument("--no-inputs", action="store_true", help="leave the bad inputs out")
    parser.add_argument("--documents", type=int, default=8000, help="documents of the runs that are killed")
    parser.add_argument("--peers", type=Path, default=CACHE, help="directory for the environments of other tools")
    parser.add_argument("--work", type=Path, default=CACHE / "faults", help="directory for inputs and runs; emptied")
    parser.add_argument("--json", type=Path, help="file for everything that was found")
    return parser.parse_args()


def _tools(arguments: argparse.Namespace) -> list[Tool]:
    from stages.errors import ModelError
    from stages.model_files import LID_176, published_model

    try:
        model = published_model(LID_176)
    except ModelError as error:
        raise BenchmarkError(str(error)) from error
    shutil.rmtree(arguments.work, ignore_errors=True)
    arguments.work.mkdir(parents=True)
    both = tamis(arguments.work), datatrove(arguments.work, ensure_peer(DATATROVE, arguments.peers), model)
    return [tool for tool in both if tool.name in arguments.tools]


def _corpus(work: Path, documents: int) -> Path:
    corpus = work / "corpus"
    corpus.mkdir()
    for number in range(TASKS):
        (corpus / f"part-{number}.jsonl").write_bytes(b"".join(lines(f"part{number}", documents // TASKS)))
    return corpus


def _fed(tool: Tool, case: Case, work: Path) -> dict[str, Any]:
    """One case given to one tool."""
    corpus, output = work / "case", work / f"{tool.name}-case"
    for directory in (corpus, output):
        shutil.rmtree(directory, ignore_errors=True)
    good = make_case(case, corpus)
    raises = any(POISON.encode() in path.read_bytes() for path in corpus.glob("*.jsonl"))
    command = tool.command(corpus, output, raises)
    code, printed = run(tool, command, LIMIT_S)
    again = run(tool, command, LIMIT_S)[0] if code else code
    found = output_of(output).documents
    row = {
        "case": case.name,
        "tool": tool.name,
        "exit_code": code,
        "again": again,
        "good": len(good),
        "good_lost": len(good - found.keys()),
        "bad_in_output": sum(n for id_, n in found.items() if id_ not in good),
        "doubled": sum(n - 1 for n in found.values() if n > 1),
        "told": tool.told(output, printed),
    }
    print(row, file=sys.stderr)
    return row


def inputs_table(rows: list[dict[str, Any]]) -> str:
    """The bad inputs in Markdown."""
    cells = ("case", "tool", "exit_code", "again", "good_lost", "bad_in_output", "doubled", "told")
    names = "input | tool | exit code | given again | good lost | bad in the output | ids doubled | the user is told"
    return "\n".join([f"| {names} |", "|---" * len(cells) + "|", *(_line(row, cells) for row in rows)]) + "\n"


def kills_table(rows: list[dict[str, Any]]) -> str:
    """The kills in Markdown."""
    cells = ("tool", "victim", "kills", "hit", "went_on", "hung", "claimed_but_incomplete", "left_running")
    cells += ("again_failed", "lost", "doubled", "unreadable", "equal")
    names = (cell.replace("_", " ") for cell in cells)
    return "\n".join([f"| {' | '.join(names)} |", "|---" * len(cells) + "|", *(_line(row, cells) for row in rows)])


def _line(row: dict[str, Any], cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(str(row[cell]) for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
