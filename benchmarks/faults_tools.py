"""Tamis and datatrove as faults_peers.py runs them: commands, processes, what came out, and what the user is told."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from cluster_nodes import command_of, descendants
from faults_inputs import POISON

HERE = Path(__file__).resolve().parent
WORKERS = 2
TASKS = 8
"""Tasks of datatrove in the series of kills, and files of its input."""
_LEVELS = ("WARNING", "ERROR")
_KINDS = ("unexpected", "JSONDecodeError", "UnicodeDecodeError", "EOFError", "AttributeError", "TypeError")
_KINDS += ("RuntimeError", "without text")


@dataclass(frozen=True)
class Tool:
    """One of the two."""

    name: str
    command: Callable[[Path, Path, bool], list[str]]
    """Of the input, the output, and whether a stage raises at the marked text."""
    environment: dict[str, str]
    is_worker: Callable[[int], bool]
    told: Callable[[Path, str], str]
    """What the user can see, from the output directory and what was printed."""


@dataclass
class Output:
    """What a run left behind."""

    documents: Counter[str] = field(default_factory=Counter)
    """Id -> how often."""
    rows: str = ""
    """A hash of all rows that hold a document, whatever their order and files: id, text, language."""
    unreadable: int = 0
    """Parquet files that cannot be read."""


def tamis(work: Path) -> Tool:
    """`tamis run` with its defaults but for small splits, so that there is more than one task a file."""

    def command(corpus: Path, output: Path, raises: bool) -> list[str]:
        config = {
            "input": {"paths": [f"{corpus}/*.jsonl*"], "split_mb": 1},
            "output": str(output),
            "stages": [{"language": {"members": ["fasttext"], "prefix": 0, "min_score": 0.0, "no_language": "keep"}}],
        }
        path = work / f"{output.name}.yaml"
        path.write_text(json.dumps(config))
        program = [str(HERE / "faults_tamis.py"), POISON] if raises else ["-m", "pipeline.cli"]
        return [sys.executable, *program, "run", str(path), "--workers", str(1 if raises else WORKERS)]

    return Tool("Tamis", command, {"PYTHONPATH": str(HERE.parent)}, _spawned, _told_by_tamis)


def datatrove(work: Path, python: Path, model: Path) -> Tool:
    """datatrove's local executor with its defaults: skip_completed, completions in the logging directory."""

    def command(corpus: Path, output: Path, raises: bool) -> list[str]:
        tasks = min(TASKS, sum(1 for _ in corpus.glob("*.jsonl*")))
        parts = [python, HERE / "chain_datatrove.py", model, corpus, output, "--label-only", "--tasks", tasks]
        return [str(part) for part in (*parts, "--workers", WORKERS, *(["--fail-at", POISON] if raises else []))]

    return Tool("datatrove", command, {"HF_ASSETS_CACHE": str(work / "assets")}, _forked, _told_by_datatrove)


def run(tool: Tool, command: Sequence[str], seconds: float) -> tuple[int | None, str]:
    """The exit code (None: it had not ended after so many seconds, and was killed) and what it printed."""
    process = start(tool, command, subprocess.PIPE)
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        end([process.pid, *descendants(process.pid)])
        printed, _ = process.communicate()
        return None, printed
    return process.returncode, printed


def start(tool: Tool, command: Sequence[str], output: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
    """The tool in a process of its own."""
    environment = {**os.environ, **tool.environment}
    return subprocess.Popen(list(command), env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)


def end(pids: Sequence[int]) -> None:
    """Kill processes, those that are gone already left out."""
    for pid in pids:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue


def output_of(directory: Path) -> Output:
    """The documents in a tool's Parquet files."""
    found, rows = Output(), []
    for path in sorted((directory / "data").rglob("*.parquet")):
        try:
            table = pq.ParquetFile(path).read()
        except (pa.ArrowInvalid, OSError):
            found.unreadable += 1
            continue
        rows += [_row(row) for row in table.to_pylist()]
    found.documents.update(id_ for id_, _, _ in rows)
    found.rows = hashlib.sha256(repr(sorted(rows)).encode()).hexdigest()
    return found


def _row(row: dict[str, object]) -> tuple[str, str, str]:
    metadata = row.get("metadata")
    language = metadata["language"] if isinstance(metadata, dict) else row["lang"]
    return str(row["id"]), str(row["text"]), str(language)


def _spawned(pid: int) -> bool:
    return "spawn_main" in command_of(pid)


def _forked(pid: int) -> bool:
    """Workers are children of the fork server, which has the same command line."""
    mark = "multiprocess.forkserver"
    try:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return False
    return mark in command_of(pid) and mark in command_of(parent)


def _told_by_tamis(output: Path, printed: str) -> str:
    """The counts of the quarantine, which the terminal and the report show too."""
    manifest = output / "manifest.json"
    if not manifest.exists():
        return "error: " + next((line for line in printed.splitlines() if "error" in line.lower()), "none")[:160]
    counts = json.loads(manifest.read_text())["ledger"]["quarantined"]
    places = sum(len(pq.ParquetFile(path).read()) for path in (output / "quarantine").rglob("*.parquet"))
    return ", ".join(f"{reason} {n}" for reason, n in counts.items()) + (f" (places of {places})" if counts else "")


def _told_by_datatrove(output: Path, printed: str) -> str:
    """Warnings and errors that it printed, and those in the log files of its tasks."""
    logs = "\n".join(path.read_text() for path in sorted((output / "logs" / "logs").glob("*.log")))
    return f"printed: {_complaints(printed)}; in log files: {_complaints(logs)}"


def _complaints(text: str) -> str:
    """How many of each level, and what kinds of error are named."""
    found = Counter(level for line in text.splitlines() for level in _LEVELS if f"| {level}" in line)
    kinds = [name for name in _KINDS if name in text]
    return ", ".join([f"{level.lower()} {count}" for level, count in found.items()] + kinds) or "nothing"
