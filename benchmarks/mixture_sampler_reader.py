"""One tool that reads mixed contexts, in a process and an environment of its own; started by `mixture_sampler.py`.

    python mixture_sampler_reader.py TOOL write FOLDER         # contexts from FOLDER/parquet into the tool's own format
    python mixture_sampler_reader.py TOOL read FOLDER COUNT WORKERS

`read` prints a line of JSON: contexts served, seconds, CPU seconds of the process and its worker, contexts by group.
"""

import json
import os
import sys
import time
import types
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

LENGTH, BATCH, SEED = 2048, 16, 7
SHARES = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}
_WARM = 32
"""Batches before the clock starts: files are open and the worker is there."""


def tamis(folder: Path, count: int) -> Any:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from pipeline.data import MixtureDataset, MixtureRun, parquet_groups
    from pipeline.data.loops import facts_of
    from stages.mixture_fixed import Fixed
    from stages.mixture_log import LogWriter
    from stages.mixture_task import Task

    sources = parquet_groups(folder / "parquet")
    task = Task({name: len(source) for name, source in sources.items()}, count // 256, 256, SEED)
    log = folder / f"mixture-{count}.jsonl"
    MixtureRun(Fixed(task, SHARES), LogWriter(log, facts_of(task, {}, "numbers")))
    return MixtureDataset(log, sources, batch_size=BATCH)


def streaming(folder: Path, count: int) -> Any:
    library = _streaming()
    library.base.util.clean_stale_shared_memory()
    streams = [library.Stream(local=str(folder / "mds" / name), proportion=share) for name, share in SHARES.items()]
    return library.StreamingDataset(
        streams=streams, epoch_size=count, shuffle=True, shuffle_seed=SEED, batch_size=BATCH, num_canonical_nodes=1
    )


def litdata(folder: Path, count: int) -> Any:
    import litdata as library

    parts = [library.StreamingDataset(str(folder / "litdata" / name)) for name in SHARES]
    return library.CombinedStreamingDataset(parts, seed=SEED, weights=list(SHARES.values()), iterate_over_all=False)


def write_streaming(folder: Path) -> None:
    library = _streaming()
    for name in SHARES:
        columns = {"input_ids": f"ndarray:int32:{LENGTH}", "group": "str"}
        with library.MDSWriter(out=str(folder / "mds" / name), columns=columns) as writer:
            for tokens in _contexts(folder, name):
                writer.write({"input_ids": tokens, "group": name})


def write_litdata(folder: Path) -> None:
    from litdata.streaming.writer import BinaryWriter

    for name in SHARES:
        target = folder / "litdata" / name
        target.mkdir(parents=True)
        writer = BinaryWriter(str(target), chunk_bytes="64MB")
        for number, tokens in enumerate(_contexts(folder, name)):
            writer.add_item(number, {"input_ids": tokens, "group": name})
        writer.done()
        writer.merge()


READ = {"tamis": tamis, "streaming": streaming, "litdata": litdata}
WRITE = {"streaming": write_streaming, "litdata": write_litdata}


def read(tool: str, folder: Path, count: int, workers: int) -> dict[str, Any]:
    dataset = READ[tool](folder, count + _WARM * BATCH)
    batches = iter(_batches(tool, dataset, workers))
    for _ in range(_WARM):
        next(batches)
    seen: Counter[str] = Counter()
    begin, cpu, served, total = time.perf_counter(), _cpu(), 0, 0
    while served < count:
        batch = next(batches)
        served += len(batch["group"])
        seen.update(batch["group"])
        total += int(np.asarray(batch["input_ids"])[:, 0].sum())
    return {
        "contexts": served,
        "wall_s": time.perf_counter() - begin,
        "cpu_s": _cpu() - cpu,
        "groups": dict(sorted(seen.items())),
        "sum": total,
    }


def _batches(tool: str, dataset: Any, workers: int) -> Iterable[dict[str, Any]]:
    """Batches of arrays: without a loader, as a plain loop makes them; with one, as its worker does."""
    if not workers:
        return _plain(iter(dataset))
    from torch.utils.data import DataLoader

    if tool == "litdata":
        import litdata as library

        return library.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=workers)
    return DataLoader(dataset, batch_size=BATCH, num_workers=workers)


def _plain(samples: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    while True:
        rows = [next(samples) for _ in range(BATCH)]
        yield {"input_ids": np.stack([row["input_ids"] for row in rows]), "group": [row["group"] for row in rows]}


def _cpu() -> float:
    """CPU seconds of this process and of the workers that it has now."""
    ticks = 0
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _contexts(folder: Path, name: str) -> Iterator[np.ndarray]:
    import pyarrow.parquet as pq

    for path in sorted((folder / "parquet" / f"group={name}").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(512):
            yield from batch.column(0).values.to_numpy().reshape(-1, LENGTH)


def _streaming() -> Any:
    """The library without torchvision, which it imports for data sets of images; that of the index needs CUDA."""
    import transformers.feature_extraction_utils

    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchvision.datasets"].VisionDataset = object  # type: ignore[attr-defined]
    sys.modules["torchvision.transforms.functional"].to_tensor = None  # type: ignore[attr-defined]
    import streaming as library

    assert transformers
    return library


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    tool, action, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if action == "write":
        WRITE[tool](folder)
    else:
        print(json.dumps(read(tool, folder, int(sys.argv[4]), int(sys.argv[5]))))
