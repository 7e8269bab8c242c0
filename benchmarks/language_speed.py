"""How fast Tamis identifies languages, against the bare fastText loop and datatrove, and how much memory it takes.

    python benchmarks/language_speed.py [--repeats 5] [--json FILE]

JSON Lines in, labels, Parquet out, everyone with the same model file on the same documents, one core each, in turns.
benchmarks/README.md says what is compared, and the last figures.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from corpus import data_directory, make_corpus
from language_labels import compare, datatrove_labels, tamis_labels
from language_tables import show
from peer_environments import DATATROVE
from peers import CACHE, BenchmarkError, Measured, ensure_peer, machine, measure, package_version

HERE = Path(__file__).resolve().parent
PREFIX = 1000
SMALL = 100
"""Documents of the run whose cost is all start-up."""
TAMIS_FULL, TAMIS_PREFIX, TAMIS_DEFAULT = "Tamis, full text", f"Tamis, prefix {PREFIX}", "Tamis, default settings"
PEER_FULL, PEER_PREFIX = "datatrove, full text", f"datatrove, prefix {PREFIX}"
SETTINGS: dict[str, dict[str, Any]] = {
    TAMIS_FULL: {"members": ["fasttext"], "prefix": 0, "mix": False},
    TAMIS_PREFIX: {"members": ["fasttext"], "prefix": PREFIX, "mix": False},
    TAMIS_DEFAULT: {},
}
PREFIXES = {PEER_FULL: 0, PEER_PREFIX: PREFIX}


@dataclass
class Bench:
    """Where everything is, and what was measured so far."""

    python: Path
    """datatrove's."""
    model: Path
    work: Path
    cpu: int
    corpora: dict[str, Path]
    bare: dict[str, list[dict[str, float]]] = field(default_factory=lambda: {"Tamis": [], "datatrove": []})
    runs: dict[str, list[Measured]] = field(default_factory=dict)

    def output(self, way: str) -> Path:
        """The directory that a way writes into."""
        return self.work / "runs" / "".join(c if c.isalnum() else "-" for c in way)

    def run_bare(self) -> None:
        """The loop with the fastText builds of both environments."""
        for owner, python in (("Tamis", Path(sys.executable)), ("datatrove", self.python)):
            command = [python, HERE / "language_bare.py", self.model, self.corpora["all"], "--prefix", PREFIX]
            done = measure([str(part) for part in command], [self.cpu], _environment())
            self.bare[owner].append(json.loads(done.output.splitlines()[-1]))
            print(f"  bare loop, {owner}'s fastText: {self.bare[owner][-1]}", file=sys.stderr)

    def run_tamis(self, way: str, corpus: str = "all", workers: int = 1, note: str = "") -> None:
        """`tamis run` into an empty directory."""
        output = self._emptied(way)
        config = {
            "input": {"paths": [str(self.corpora[corpus])]},
            "output": str(output),
            "stages": [{"language": {**SETTINGS[way], "no_language": "keep"}}],
        }
        path = output.with_suffix(".yaml")
        path.write_text(json.dumps(config))
        command = [sys.executable, "-m", "pipeline.cli", "run", str(path), "--workers", str(workers)]
        cpus = [self.cpu] if workers == 1 else sorted(os.sched_getaffinity(0))
        self._keep(way + note, measure(command, cpus, _environment()))

    def run_peer(self, way: str, corpus: str = "all", note: str = "") -> None:
        """datatrove's pipeline into an empty directory."""
        parts = [self.model, self.corpora[corpus], self._emptied(way), "--prefix", PREFIXES[way]]
        command = [str(part) for part in (self.python, HERE / "language_datatrove.py", *parts)]
        self._keep(way + note, measure(command, [self.cpu], {**_environment(), "HF_ASSETS_CACHE": str(self.work)}))

    def _emptied(self, way: str) -> Path:
        output = self.output(way)
        shutil.rmtree(output, ignore_errors=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        return output

    def _keep(self, name: str, done: Measured) -> None:
        self.runs.setdefault(name, []).append(done)
        print(f"  {name}: {done.cpu_s:.2f} CPU s, {done.wall_s:.2f} s", file=sys.stderr)


def _environment() -> dict[str, str]:
    """Children run this checkout, and may keep compiled modules, which not all installers make."""
    return {"PYTHONPATH": str(HERE.parent), "PYTHONDONTWRITEBYTECODE": ""}


def main() -> int:
    """Run everything; the exit code."""
    arguments = _arguments()
    try:
        bench = _prepare(arguments)
        _warm_up(bench)
        _repeat(bench, arguments.repeats)
        result = _result(bench)
        if arguments.copies > 1:
            result["large"] = _large(bench, arguments)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(bench.work / "runs", ignore_errors=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="times that everything is run; medians are shown")
    parser.add_argument("--megabytes", type=float, default=75.0, help="text in the input (MB of UTF-8)")
    parser.add_argument("--copies", type=int, default=10, help="size of the input for the look at memory; 1: none")
    parser.add_argument("--peers", type=Path, default=CACHE, help="directory for the environments of other tools")
    parser.add_argument("--work", type=Path, default=CACHE / "language", help="directory for inputs and runs")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the core for single runs")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    return parser.parse_args()


def _prepare(arguments: argparse.Namespace) -> Bench:
    sys.path.insert(0, str(HERE.parent))
    from stages.errors import ModelError
    from stages.model_files import LID_176, published_model

    groups = data_directory()
    try:
        model = published_model(LID_176)
    except ModelError as error:
        raise BenchmarkError(str(error)) from error
    python = ensure_peer(DATATROVE, arguments.peers)
    corpora = {name: arguments.work / "corpora" / name / "corpus.jsonl" for name in ("all", "small", "large")}
    make_corpus(groups, corpora["all"], arguments.megabytes)
    corpora["small"].parent.mkdir(parents=True, exist_ok=True)
    with corpora["all"].open("rb") as file:
        corpora["small"].write_bytes(b"".join(next(file) for _ in range(SMALL)))
    return Bench(python, model, arguments.work, arguments.cpu, corpora)


def _warm_up(bench: Bench) -> None:
    """Once unmeasured: modules get compiled, files get into the page cache."""
    bench.run_tamis(TAMIS_FULL, "small")
    bench.run_peer(PEER_FULL, "small")
    bench.runs.clear()


def _repeat(bench: Bench, repeats: int) -> None:
    for number in range(repeats):
        print(f"round {number + 1} of {repeats}", file=sys.stderr)
        bench.run_tamis(TAMIS_FULL, "small", note=f", {SMALL} documents")
        bench.run_peer(PEER_FULL, "small", note=f", {SMALL} documents")
        bench.run_bare()
        for way in SETTINGS:
            bench.run_tamis(way)
        for way in PREFIXES:
            bench.run_peer(way)


def _result(bench: Bench) -> dict[str, Any]:
    with bench.corpora["all"].open("rb") as file:
        documents = sum(1 for _ in file)
    bare = {
        f"bare loop, {text}, {owner}'s fastText": [rate[key] for rate in rates]
        for owner, rates in bench.bare.items()
        for key, text in (("full", "full text"), ("prefix", f"prefix {PREFIX}"))
    }
    labels = {way: tamis_labels(bench.output(way)) for way in SETTINGS}
    labels |= {way: datatrove_labels(bench.output(way)) for way in PREFIXES}
    tamis, peer = Path(sys.executable), bench.python
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": {
            "tamis": package_version(tamis, "tamis"),
            "fasttext-community": package_version(tamis, "fasttext-community"),
            "pyarrow": package_version(tamis, "pyarrow"),
            "datatrove": package_version(peer, "datatrove"),
            "fasttext-numpy2-wheel (datatrove)": package_version(peer, "fasttext-numpy2-wheel"),
            "pyarrow (datatrove)": package_version(peer, "pyarrow"),
        },
        "input": {"documents": documents, "megabytes": bench.corpora["all"].stat().st_size / 1e6},
        "bare": bare,
        "runs": {name: _summary(runs) for name, runs in bench.runs.items()},
        "labels": {
            "same documents": len({frozenset(found) for found in labels.values()}) == 1,
            "documents": {way: len(found) for way, found in labels.items()},
            "agree": {
                "Tamis and datatrove, full text": compare(labels[TAMIS_FULL], labels[PEER_FULL]),
                f"Tamis and datatrove, prefix {PREFIX}": compare(labels[TAMIS_PREFIX], labels[PEER_PREFIX]),
                f"Tamis, prefix {PREFIX} and full text": compare(labels[TAMIS_PREFIX], labels[TAMIS_FULL]),
                "Tamis, default settings and full text": compare(labels[TAMIS_DEFAULT], labels[TAMIS_FULL]),
            },
        },
    }


def _summary(runs: list[Measured]) -> dict[str, Any]:
    return {
        "cpu_s": statistics.median(run.cpu_s for run in runs),
        "wall_s": statistics.median(run.wall_s for run in runs),
        "peak_mb": statistics.median(max(run.peaks_mb) for run in runs),
        "all": [{**asdict(run), "output": None} for run in runs],
    }


def _large(bench: Bench, arguments: argparse.Namespace) -> dict[str, Any]:
    """Peak memory (MB) of each process on a larger input, with one worker and with two."""
    corpus, way = bench.corpora["large"], TAMIS_PREFIX
    make_corpus(data_directory(), corpus, arguments.megabytes, arguments.copies)
    before = set(bench.runs)
    bench.run_tamis(way, "large", note=f", {arguments.copies} times the input")
    bench.run_tamis(way, "large", workers=2, note=f", {arguments.copies} times the input, 2 workers")
    corpus.unlink()
    return {name: _summary(runs) for name, runs in bench.runs.items() if name not in before}


if __name__ == "__main__":
    sys.exit(main())
