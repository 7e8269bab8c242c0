"""Tamis beside datatrove, Dolma, Data-Juicer and NeMo Curator: read -> language -> write, and with perplexity between.

    python benchmarks/chain_peers.py [--megabytes 50] [--rounds 3] [--json FILE]

The same documents, the same fastText model, two workers, all start-up included, in turns. A tool that cannot be
installed or fails is left out, and the reason is shown. benchmarks/README.md says what is compared.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from chain_models import piece_models
from chain_outputs import Found, agreement
from chain_ways import WAYS, Setting, Way
from cluster_processes import Usage, run_measured
from corpus import data_directory, make_corpus
from peer_environments import DATA_JUICER, DATATROVE, DOLMA, NEMO_CURATOR
from peers import CACHE, BenchmarkError, ensure_peer, machine, package_version

PEERS = (DATATROVE, DOLMA, DATA_JUICER, NEMO_CURATOR)
FILES = 2
HEADER = (
    "documents / CPU s",
    "CPU s",
    "range",
    "seconds",
    "peak MB",
    "CPU s to Tamis",
    "kept",
    "missing, more",
    "equal labels",
    "rank correlation",
)


def main() -> int:
    """Run everything; the exit code."""
    arguments = _arguments()
    try:
        setting, failures = _prepare(arguments)
        result = _measured(setting, arguments, failures)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for chain in result["chains"]:
        print(table(chain, result), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(setting.work / "runs", ignore_errors=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=50.0, help="text in the input (MB of UTF-8)")
    parser.add_argument("--rounds", type=int, default=3, help="times that everything is run; medians are shown")
    parser.add_argument("--chains", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument(
        "--tools", nargs="+", default=[peer.name for peer in PEERS], help="environments to compare with"
    )
    parser.add_argument("--peers", type=Path, default=CACHE, help="directory for the environments of other tools")
    parser.add_argument("--work", type=Path, default=CACHE / "chains", help="directory for inputs, models and runs")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    return parser.parse_args()


def _prepare(arguments: argparse.Namespace) -> tuple[Setting, dict[str, str]]:
    """The input, the models and the environments; and why a tool is left out."""
    from stages.errors import ModelError
    from stages.model_files import LID_176, published_model

    try:
        model = published_model(LID_176)
    except ModelError as error:
        raise BenchmarkError(str(error)) from error
    pythons, failures = {}, {}
    for peer in PEERS:
        if peer.name in arguments.tools:
            try:
                pythons[peer.name] = ensure_peer(peer, arguments.peers)
            except BenchmarkError as error:
                failures[peer.name] = str(error)
    if DATATROVE.name not in pythons:
        raise BenchmarkError(f"sentencepiece is in the environment of {DATATROVE.name}, which is needed: {failures}")
    pieces = piece_models(pythons[DATATROVE.name], arguments.work / "pieces")
    corpus = arguments.work / "documents"
    _split(arguments.megabytes, corpus)
    return Setting(arguments.work, corpus, model, pieces, pythons), failures


def _split(megabytes: float, corpus: Path) -> None:
    """The input in FILES files, since most tools share out work by files."""
    whole = corpus.with_suffix(".jsonl")
    make_corpus(data_directory(), whole, megabytes)
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    lines = whole.read_bytes().splitlines(keepends=True)
    for number in range(FILES):
        (corpus / f"part-{number}.jsonl").write_bytes(b"".join(lines[number::FILES]))
    whole.unlink()


def _measured(setting: Setting, arguments: argparse.Namespace, failures: dict[str, str]) -> dict[str, Any]:
    documents = sum(path.read_bytes().count(b"\n") for path in setting.corpus.iterdir())
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "load": os.getloadavg()[0],
        "versions": {peer.name: _version(setting, peer.name) for peer in PEERS if peer.name in setting.pythons},
        "input": {"documents": documents, "megabytes": arguments.megabytes, "files": FILES},
        "failures": failures,
        "chains": {},
    }
    for chain in arguments.chains:
        result["chains"][chain] = Rounds(setting, chain, failures).run(arguments.rounds)
    return result


def _version(setting: Setting, name: str) -> str:
    package = {"data-juicer": "py-data-juicer"}.get(name, name)
    return package_version(setting.pythons[name], package)


class Rounds:
    """One chain: every tool in turns, and what was measured and found."""

    def __init__(self, setting: Setting, chain: str, failures: dict[str, str]) -> None:
        self.setting, self.chain, self.failures = setting, chain, failures
        self.usages: dict[str, list[Usage]] = {}
        self.found: dict[str, Found] = {}

    def run(self, rounds: int) -> dict[str, Any]:
        """Medians are what counts: in the first round modules get compiled and files get into the page cache."""
        names = [name for name in WAYS[self.chain] if name == "Tamis" or _tool(name) in self.setting.pythons]
        for number in range(rounds):
            print(f"{self.chain}: round {number + 1} of {rounds}", file=sys.stderr)
            for name in names:
                if f"{name}, {self.chain}" not in self.failures:
                    self._once(name)
        first = self.found["Tamis"]
        return {
            name: {
                "cpu_s": [usage.cpu_s for usage in usages],
                "seconds": [usage.seconds for usage in usages],
                "peak_mb": [usage.peak_mb for usage in usages],
                "agreement": agreement(first, self.found[name]),
            }
            for name, usages in self.usages.items()
        }

    def _once(self, name: str) -> None:
        way: Way = WAYS[self.chain][name](self.setting, self.chain, f"{name} {self.chain}")
        try:
            usage = run_measured(way.command, way.environment)
            self.found[name] = self.found.get(name) or way.read(way.output)
        except (BenchmarkError, OSError, KeyError, ValueError) as error:
            self.failures[f"{name}, {self.chain}"] = f"{type(error).__name__}: {error}"
            self.usages.pop(name, None)
            print(f"  {name} failed: {error}", file=sys.stderr)
            return
        print(f"  {name}: {usage.cpu_s:.1f} CPU s, {usage.seconds:.1f} s, {usage.peak_mb:.0f} MB", file=sys.stderr)
        self.usages.setdefault(name, []).append(usage)


def _tool(name: str) -> str:
    return name.partition(",")[0].lower().replace(" ", "-")


def table(chain: str, result: dict[str, Any]) -> str:
    """The chain's table, in Markdown."""
    documents, rows = result["input"]["documents"], result["chains"][chain]
    base = statistics.median(rows["Tamis"]["cpu_s"])
    lines = [f"| {chain} | {' | '.join(HEADER)} |", "|---" * (len(HEADER) + 1) + "|"]
    for name, row in rows.items():
        cpu, agreed = statistics.median(row["cpu_s"]), row["agreement"]
        cells = [name, f"{documents / cpu:,.0f}", f"{cpu:.1f}", f"{min(row['cpu_s']):.1f} to {max(row['cpu_s']):.1f}"]
        cells += [f"{statistics.median(row[key]):.{digits}f}" for key, digits in (("seconds", 1), ("peak_mb", 0))]
        cells += [f"{cpu / base:.2f}", f"{agreed['kept']:,}", f"{agreed['missing']}, {agreed['more']}"]
        rank = agreed["rank_correlation"]
        cells += [f"{agreed['equal_labels']:.2%}", "" if rank is None else f"{rank:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
