"""How fast the perplexity stage scores, as a ratio to KenLM's own `query` on the same normalised text, and its memory.

    python benchmarks/perplexity_speed.py [--model FILE.klm] [--repeats 5] [--json FILE]

Each round runs, in turns: `query -v summary` on a file of normalised lines; `line_scores` on the same lines in memory;
normalising and scoring; and the whole stage (harmful and background model, windows) on documents. CPU seconds, medians.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from corpus import data_directory, make_corpus

from pipeline.lean import spare_pandas
from pipeline.training.kenlm_tools import find_program
from stages.ngram_models import OpenModel, line_scores, open_model, scores_of
from stages.perplexity import Perplexity
from stages.perplexity_models import DEFAULT

ROWS = 1024


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process and of the children that it waited for."""
    began = _cpu()
    work()
    return _cpu() - began


def _cpu() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def query(model: Path, lines: Path) -> None:
    """KenLM's own program."""
    with lines.open("rb") as source:
        command = [str(find_program("query")), "-v", "summary", str(model)]
        subprocess.run(command, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def stage_on(texts: list[str]) -> Callable[[], None]:
    """The whole default stage, models open."""
    annotate = Perplexity(threshold=0.0).open()
    batches = [
        pa.RecordBatch.from_pydict({"text": part, "lang": ["en"] * len(part)})
        for part in (texts[begin : begin + ROWS] for begin in range(0, len(texts), ROWS))
    ]
    return lambda: [annotate(batch) for batch in batches] and None


def measure(model: OpenModel, texts: list[str], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each way, once per round."""
    lines = [line for text in texts for line in model.normaliser(text)]
    stage = stage_on(texts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.txt"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        ways: dict[str, Callable[[], object]] = {
            "query": lambda: query(model.path, path),
            "line_scores": lambda: line_scores(model, lines),
            "normalise and score": lambda: [scores_of(model, model.normaliser.pieces(text).lines) for text in texts],
            "stage, two models and windows": stage,
        }
        for way in ways.values():
            way()
        rounds = [{name: cpu_seconds(way) for name, way in ways.items()} for _ in range(repeats)]
    return {name: [found[name] for found in rounds] for name in ways}


def memory(model: Path, processes: int) -> list[float]:
    """Proportional set size (MB) of processes that all hold the model mapped and have scored a line."""
    code = (
        f"import sys; from pathlib import Path; from stages.ngram_models import open_model, line_scores\n"
        f"m = open_model(Path({str(model)!r})); line_scores(m, ['a line'] * 1000)\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout
        process.stdout.readline()
    sizes = [_model_pages(process.pid, model) for process in started]
    for process in started:
        process.communicate()
    return sizes


def _model_pages(pid: int, model: Path) -> float:
    """MB of the mapped model that count for this process (Pss)."""
    held = 0
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            inside = line.endswith(model.name)
        elif inside and line.startswith("Pss:"):
            held += int(line.split()[1])
    return held / 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=DEFAULT / "en.harmful.klm")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    spare_pandas()
    model = open_model(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        make_corpus(data_directory(), Path(folder) / "corpus.jsonl", arguments.megabytes)
        texts = [orjson.loads(line)["text"] for line in (Path(folder) / "corpus.jsonl").read_bytes().splitlines()]
    found = report(model, texts, measure(model, texts, arguments.repeats))
    if arguments.json:
        arguments.json.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))


def report(model: OpenModel, texts: list[str], seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Print the table and return it."""
    _, counts = line_scores(model, [line for text in texts for line in model.normaliser(text)])
    tokens, reference = int(counts.sum()), statistics.median(seconds["query"])
    rows = {
        name: {
            "documents_per_cpu_s": len(texts) / statistics.median(values),
            "tokens_per_cpu_s": tokens / statistics.median(values),
            "to_query": reference / statistics.median(values),
        }
        for name, values in seconds.items()
    }
    print(f"{len(texts):,} documents, {tokens:,} tokens, {time.strftime('%Y-%m-%d')}, load {os.getloadavg()[0]:.1f}")
    for name, row in rows.items():
        rates = f"{row['documents_per_cpu_s']:12,.0f} documents/CPU s{row['tokens_per_cpu_s']:14,.0f} tokens/CPU s"
        print(f"{name:32}{rates}{row['to_query']:8.2f} of query")
    shared = {processes: memory(model.path, processes) for processes in (1, 4)}
    print(f"model pages, MB per process: one {shared[1][0]:.1f}, four {', '.join(f'{mb:.1f}' for mb in shared[4])}")
    return {"ways": rows, "model_mb_per_process": shared, "seconds": seconds}


if __name__ == "__main__":
    main()
