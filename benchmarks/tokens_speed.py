"""How fast the stage `tokens` counts on one core, and how many bytes a token of `default` holds.

    python benchmarks/tokens_speed.py [--megabytes 12] [--repeats 3] [--no-peer] [--json FILE]

Each round runs, in turns, on the same documents in batches of 1,024 with the same tokenizer: `encode_batch` of the
tokenizers library, its `encode_batch_fast`, the stage as a worker begins (nothing remembered), the stage as a worker
goes on (pieces of an earlier pass over other documents remembered), and datatrove's TokensCounter in an environment of
its own. CPU seconds, medians. Then bytes per token by source: `default`, wordllama's 32,000 tokens, bytes.
"""

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import zstandard
from corpus import data_directory, make_corpus
from peer_environments import DATATROVE
from peers import CACHE, ensure_peer, machine, measure

from stages.embed_static import wordllama_files
from stages.tokenizers import DEFAULT_FILE, open_tokenizer
from stages.tokens import Tokens

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parent / "data" / "sample"
ROWS = 1024
CHARACTERS = 600_000
"""Of each source, for bytes per token."""


def ways(texts: list[str], others: list[str]) -> dict[str, Callable[[], Callable[[], int]]]:
    """What is timed: each makes ready, and gives what then counts the tokens."""
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(DEFAULT_FILE))
    library.encode_special_tokens = True
    parts = _parts(texts)

    def plain(encode: Callable[[list[str]], list[Any]]) -> Callable[[], Callable[[], int]]:
        return lambda: lambda: sum(len(found) for part in parts for found in encode(part))

    def stage(before: list[str]) -> Callable[[], int]:
        annotate = Tokens(end="none").open()
        for part in _parts(before):
            annotate(_batch(part))
        return lambda: sum(pc.sum(annotate(_batch(part)).column("tokens")).as_py() for part in parts)

    return {
        "library, encode_batch": plain(library.encode_batch),
        "library, encode_batch_fast": plain(library.encode_batch_fast),
        "stage, first batches": lambda: stage([]),
        "stage, going on": lambda: stage(others),
    }


def _batch(texts: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"text": texts})


def _parts(texts: list[str]) -> list[list[str]]:
    return [texts[at : at + ROWS] for at in range(0, len(texts), ROWS)]


def speed(folder: Path, megabytes: float, repeats: int, peer: Path | None) -> dict[str, Any]:
    """The rounds, as a table and values."""
    whole = folder / "corpus.jsonl"
    make_corpus(data_directory(), whole, 2 * megabytes)
    lines = whole.read_bytes().splitlines(keepends=True)
    measured = folder / "measured.jsonl"
    measured.write_bytes(b"".join(lines[::2]))
    texts, others = ([json.loads(line)["text"] for line in lines[begin::2]] for begin in (0, 1))
    size, timed = sum(len(text.encode()) for text in texts) / 1e6, ways(texts, others)
    found: dict[str, list[float]] = {}
    counted = set()
    for _ in range(repeats):
        for name, ready in timed.items():
            way = ready()
            began = time.process_time()
            counted.add(way())
            found.setdefault(name, []).append(time.process_time() - began)
        if peer:
            command = [str(peer), str(HERE / "tokens_datatrove.py"), str(DEFAULT_FILE), str(measured)]
            cpu = max(os.sched_getaffinity(0))
            done = json.loads(measure(command, [cpu]).output.splitlines()[-1])
            found.setdefault("datatrove, TokensCounter", []).append(done["seconds"])
    assert len(counted) == 1, f"the ways count differently: {counted}"
    middle = {name: statistics.median(seconds) for name, seconds in found.items()}
    print("| way | MB / CPU s | documents / CPU s | to encode_batch |\n|---|---|---|---|")
    for name, seconds in middle.items():
        ratio = middle["library, encode_batch"] / seconds
        print(f"| {name} | {size / seconds:.2f} | {len(texts) / seconds:,.0f} | {ratio:.2f} |", flush=True)
    return {"megabytes": size, "documents": len(texts), "seconds": found}


def bytes_per_token() -> dict[str, dict[str, float]]:
    """By source: of the quickstart corpus, of which `default` was made in part, and of the data for benchmarks."""
    names = {"default": "default", "wordllama": str(wordllama_files()["tokenizer"]), "bytes": "bytes"}
    tokenizers = {name: open_tokenizer(path, "none") for name, path in names.items()}
    print(f"\n| source | {' | '.join(tokenizers)} |\n|---|{'---|' * len(tokenizers)}")
    rows = {}
    for path in [*sorted(SAMPLE.glob("*.jsonl.zst")), *sorted(data_directory().glob("*.jsonl.zst"))]:
        texts = list(_texts(path))
        size = sum(len(text.encode()) for text in texts)
        name = f"{path.parent.name} {path.name.partition('.')[0]}"
        rows[name] = {key: size / max(1, int(one.count(texts).sum())) for key, one in tokenizers.items()}
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in rows[name].values())} |", flush=True)
    return rows


def _texts(path: Path) -> Iterator[str]:
    held = 0
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        for line in io.TextIOWrapper(stream, "utf-8"):
            text = json.loads(line)["text"]
            held += len(text)
            yield text
            if held > CHARACTERS:
                return


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=CACHE, help="directory for the environments of other tools")
    parser.add_argument("--no-peer", action="store_true", help="leave datatrove out")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    peer = None if arguments.no_peer else ensure_peer(DATATROVE, arguments.peers)
    facts = machine()
    print(f"{facts['processor']}, {facts['cores']} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        found = speed(Path(folder), arguments.megabytes, arguments.repeats, peer)
    found |= {"machine": facts, "bytes_per_token": bytes_per_token()}
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
