"""Where the CPU time of the quickstart's chain goes, by stage: a table and a picture.

    tamis sample && python benchmarks/stage_shares.py [CONFIG] [--json FILE] [--svg FILE] [--flame FILE]

The run is made in one process by a child, whose records hold CPU seconds in place of seconds on the clock, so that a
busy machine changes little. `--flame` runs it once more under py-spy, in an environment of its own, for a sampled flame
graph.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from peers import CACHE, BenchmarkError, Peer, ensure_peer, machine
from stage_picture import picture

HERE = Path(__file__).resolve().parent
PY_SPY = Peer("py-spy", ("py-spy==0.4.3",))
READ, OTHER = "read", "rest: start, plan, records, report"


def main() -> int:
    """Run, print, and write; the exit code."""
    arguments = _arguments()
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = _measured(arguments.config, Path(folder))
        if arguments.flame:
            _flame(arguments)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    svg = arguments.svg or (arguments.json and arguments.json.with_suffix(".svg"))
    if svg:
        svg.write_text(picture(result["cpu_s"], result["total_cpu_s"]), encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, default=HERE.parent / "configs" / "quickstart.yaml")
    parser.add_argument("--json", type=Path, help="file for what was measured; the picture lies beside it")
    parser.add_argument("--svg", type=Path, help="file for the picture")
    parser.add_argument("--flame", type=Path, help="SVG file for a flame graph by py-spy")
    parser.add_argument("--peers", type=Path, default=CACHE, help="directory for py-spy's environment")
    return parser.parse_args()


def _measured(config: Path, folder: Path) -> dict[str, Any]:
    began = time.monotonic()
    done = subprocess.run(
        _command(config, folder / "run"), cwd=HERE.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"the run failed:\n{done.stderr[-2000:]}")
    total = float(done.stdout.splitlines()[-1])
    report = json.loads((folder / "run" / "report.json").read_text())
    cpu = shares(report, _read_seconds(folder / "run"), total)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "load": os.getloadavg()[0],
        "documents": report["ledger"]["read"],
        "megabytes": report["bytes_read"] / 1e6,
        "seconds": time.monotonic() - began,
        "total_cpu_s": total,
        "cpu_s": cpu,
    }


def _command(config: Path, output: Path) -> list[str]:
    return [sys.executable, str(HERE / "stage_clock.py"), "run", str(config), "--set", f"output={output}"]


def _read_seconds(run: Path) -> float:
    records = run.glob("steps/00-read-*/records/split-*.json")
    return sum(float(json.loads(path.read_text())["seconds"]) for path in records)


def shares(report: dict[str, Any], read: float, total: float) -> dict[str, float]:
    """CPU seconds by stage, in the order of the run; the last entry is what no stage accounts for.

    A stage's own work on the rows is in `stage_seconds`; what is done between shards for a stage (its rounds, its
    gathering and solving, writing its contexts, estimating its mixture) are steps of their own in `seconds`.

    >>> report = {"stage_seconds": {"order": 0.0, "language": 3.0}, "seconds": {"order solve": 2.0, "write": 1.0}}
    >>> shares({**report, "steps": [{"name": "read"}, {"name": "language"}, {"name": "order"}]}, 0.5, 7.0)
    {'read': 0.5, 'language': 3.0, 'order': 2.0, 'write': 1.0, 'rest: start, plan, records, report': 0.5}
    """
    order = [step["name"] for step in report["steps"]]
    stages = sorted(report["stage_seconds"].items(), key=lambda item: order.index(item[0]))
    found = {READ: read, **dict(stages)}
    owners = {"contexts": "pack", "mixed": "mixture", "mixture": "mixture", "write": "write"}
    for step, seconds in report["seconds"].items():
        first = step.partition(" ")[0]
        owner = owners.get(first) or (first if " " in step and first in found else None)
        if owner:
            found[owner] = found.get(owner, 0.0) + seconds
    return found | {OTHER: max(0.0, round(total - sum(found.values()), 3))}


def table(result: dict[str, Any]) -> str:
    """The shares in Markdown, the largest first."""
    total, documents = result["total_cpu_s"], result["documents"]
    lines = ["| stage | CPU s | share | documents / CPU s |", "|---|---|---|---|"]
    for name, seconds in sorted(result["cpu_s"].items(), key=lambda item: -item[1]):
        rate = f"{documents / seconds:,.0f}" if seconds else ""
        lines.append(f"| {name} | {seconds:.2f} | {seconds / total:.1%} | {rate} |")
    return "\n".join([*lines, f"| all | {total:.1f} | 100% | {documents / total:,.0f} |"])


def _flame(arguments: argparse.Namespace) -> None:
    """py-spy must be allowed to look at a child: it is, unless ptrace is switched off altogether."""
    program = ensure_peer(PY_SPY, arguments.peers).with_name("py-spy")
    with tempfile.TemporaryDirectory() as folder:
        command = [str(program), "record", "-r", "50", "-f", "flamegraph", "-o", str(arguments.flame), "--"]
        command += _command(arguments.config, Path(folder) / "run")
        done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    if not arguments.flame.exists():
        raise BenchmarkError(f"py-spy wrote no flame graph:\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
