"""Time, memory and size of a report, by number of shard records; and the time to an answer of `tamis view`.

The records are made up, each like that of a real shard with columns of the stages language, perplexity and rating. In
a process of its own, records are read and summed up one after the other, as if a run that goes on had lost its
sums; then the sums are read again, as when a run is resumed; and the report is made of them. Run:

    python benchmarks/report_scale.py [--records 100 1000 10000] [--rows 1000000] [--json FILE]
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from report_records import ROWS_OF_A_SHARD, columns_of, outcome_of

SHARDS_OF_A_RUN = 8
DIFFERENT = 6
"""Records that are made; the others repeat them under other names."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="*", default=[100, 1_000, 10_000])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one-report", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_report:
        print(json.dumps(one_report(arguments.one_report)))
        return
    found: dict[str, Any] = {"python": platform.python_version(), "load": os.getloadavg(), "report": [], "view": []}
    print(f"python {found['python']}, load {found['load'][0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        for count in arguments.records:
            found["report"].append(report(Path(name) / str(count), count))
            print(found["report"][-1], flush=True)
        if arguments.rows:
            found["view"] = view(Path(name) / "view", arguments.rows, arguments.repeats)
            for row in found["view"]:
                print(row, flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def report(folder: Path, count: int) -> dict[str, Any]:
    """Make `count` records, then the report of them in another process."""
    (folder / "records").mkdir(parents=True)
    outcomes = [outcome_of(seed) for seed in range(min(count, DIFFERENT))]
    for number in range(count):
        record = outcomes[number % len(outcomes)] | {"shard": f"steps/00-read/shard-{number:07d}-00000.parquet"}
        (folder / f"records/outcome-shard-{number:07d}-00000.json").write_bytes(orjson.dumps(record))
    command = [sys.executable, __file__, "--one-report", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size = sum(path.stat().st_size for path in (folder / "records").iterdir())
    return {"records": count, "records_mb": round(size / 1e6, 1), **json.loads(done.stdout)}


def one_report(folder: Path) -> dict[str, Any]:
    """Read and sum up the records of a folder, read the sums again, and write the report, as a run does."""
    from pipeline.config import build_config
    from pipeline.ledger import Ledger
    from pipeline.manifest import Finished
    from pipeline.outcomes import Outcome
    from pipeline.plan import Plan, Step
    from pipeline.quarantine import SCHEMA
    from pipeline.reading import SplitRecord
    from pipeline.records import FileRecord, read_record
    from pipeline.report import write_report
    from pipeline.shards import write_table
    from pipeline.storage import Store
    from pipeline.totals import Folding
    from pipeline.verdicts import Shard
    from pipeline.writing import PartRecord, plan_parts

    store = Store(str(folder))
    chain = [{"language": {"min_score": 0.5}}, "perplexity", "rating"]
    config = build_config({"input": {"paths": ["x"]}, "output": str(folder), "stages": chain})
    steps = tuple(Step(place, stage.name, "0" * 12, stage) for place, stage in enumerate(config.stages, 1))
    plan = Plan(config, (), Step(0, "read", "0" * 12), steps, Step(len(steps) + 1, "write", "0" * 12))
    write_table(store, "quarantine/part-00000.parquet", SCHEMA.empty_table())
    names = store.names("records")
    began = _now()
    folding = Folding(store, ".", [f"steps/00-read/{name[8:-5]}.parquet" for name in names])
    for place in folding.left:
        outcome = read_record(store, f"records/{names[place]}", Outcome)
        assert outcome is not None
        folding.take(place, outcome)
    folding.totals()
    summed = _now()
    totals = Folding(store, ".", [f"steps/00-read/{name[8:-5]}.parquet" for name in names]).totals()
    again = _now()
    shards = [
        FileRecord(f"steps/00-read/{name[8:-5]}.parquet", ROWS_OF_A_SHARD, 60_000_000, 20_000_000, "0" * 32)
        for name in names
    ]
    groups = plan_parts([Shard(shard) for shard in shards], [row.kept_bytes for row in totals.rows], 256_000_000)
    file = FileRecord("data/part.parquet", ROWS_OF_A_SHARD, 200_000_000, 60_000_000, "0" * 32)
    parts = [PartRecord(file, file, 1.0) for _ in groups]
    total, kept = len(names) * ROWS_OF_A_SHARD, totals.facts.kept
    splits = [SplitRecord("x", ROWS_OF_A_SHARD, {}, False, (shard,), "", 1.0) for shard in shards]
    ledger = Ledger(total, kept, {"language": {"low_score": total - kept}}, {})
    write_report(store, Finished(plan, "local", ledger, splits, totals, parts, {"total": 1.0}))
    finished = _now()
    return {
        **_spent("records", began, summed),
        **_spent("sums", summed, again),
        **_spent("report", again, finished),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        "sums_mb": round(sum(path.stat().st_size for path in (folder / "sums").iterdir()) / 1e6, 1),
        "html_kb": round((folder / "report.html").stat().st_size / 1e3),
        "json_kb": round((folder / "report.json").stat().st_size / 1e3),
    }


def _now() -> tuple[float, float]:
    """Wall clock and CPU seconds."""
    return time.perf_counter(), time.process_time()


def _spent(what: str, begin: tuple[float, float], end: tuple[float, float]) -> dict[str, float]:
    return {f"{what}_s": round(end[0] - begin[0], 2), f"{what}_cpu_s": round(end[1] - begin[1], 2)}


def view(folder: Path, rows: int, repeats: int) -> list[dict[str, Any]]:
    """Seconds and CPU seconds to the first page of answers over `rows` documents: the first time, and the median."""
    from pipeline.storage import Store
    from pipeline.view_query import Documents
    from pipeline.view_question import Filter, Question

    _write_run(folder, rows)
    began = _now()
    documents = Documents(Store(str(folder)))
    found: list[dict[str, Any]] = [{"question": "open", **_spent("first", began, _now()), "documents": rows}]
    questions = {
        "everything": Question(),
        "sort by harmful_ratio": Question(sort="harmful_ratio", descending=True),
        "sort by id": Question(sort="id"),
        "lang is de, rating at least 4": Question(
            (Filter("lang", "is", "de"), Filter("rating_overall_score_mean", "at least", "4")), sort="lang_score"
        ),
        "id contains 77777": Question((Filter("id", "contains", "77777"),)),
        "page 10,000": Question(page=10_000),
        "page 10,000 of those sorted by harmful_ratio": Question(sort="harmful_ratio", page=10_000),
        "text contains a common word": Question(text="common"),
        "text contains a rare word": Question(text="needle"),
        "text contains a rare word, all searched": Question(text="needle", sort="id"),
    }
    for name, question in questions.items():
        asked = [_asked(documents, question) for _ in range(repeats)]
        medians = {f"median{key[5:]}": round(statistics.median(one[key] for one in asked), 2) for key in asked[0]}
        found.append({"question": name, **asked[0], **medians})
    documents.close()
    return found


def _asked(documents: Any, question: Any) -> dict[str, float]:
    """To the first answer; of a search whose answers are sorted, to the last."""
    from pipeline.view_search import Searches

    began = _now()
    if question.text:
        searches = Searches(documents)
        while not searches.page(question).finished and question.sort:
            pass
    else:
        documents.page(question)
        documents.count(question)
    return _spent("first", began, _now())


def _write_run(folder: Path, rows: int) -> None:
    """Shards of kept and dropped documents of about a kilobyte of text each."""
    chance = np.random.default_rng(0)
    words = [" ".join(chance.choice(["sieve", "grain", "common", "field"], 150)) for _ in range(500)]
    each = rows // SHARDS_OF_A_RUN
    for number in range(SHARDS_OF_A_RUN):
        dropped = number % 4 == 3
        kind = "dropped" if dropped else "data"
        (folder / kind).mkdir(parents=True, exist_ok=True)
        texts = [f"{words[row % 500]} {row}" for row in range(each)]
        texts[each // 2] += " needle" if number == SHARDS_OF_A_RUN // 2 else ""
        table = pa.table(
            {
                "id": pa.array([f"document-{number}-{row:07d}" for row in range(each)]),
                "text": pa.array(texts),
                "source": pa.array(chance.choice(["web", "books", "code"], each)),
                **({name: pa.array([value] * each) for name, value in _REASON.items()} if dropped else {}),
            }
        )
        for name, column in zip(columns_of(1, 0).column_names, columns_of(each, number).columns, strict=True):
            table = table.append_column(name, column)
        name = folder / kind / f"part-{number:05d}.parquet"
        pq.write_table(table, name, compression="zstd", row_group_size=each // 4)


_REASON = {"dropped_by": "rating", "drop_reason": "low_overall_score"}

if __name__ == "__main__":
    main()
