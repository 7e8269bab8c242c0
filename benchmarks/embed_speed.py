"""How fast the stage `embed` is on one core, by part, against wordllama's own `embed` on the same text.

    python benchmarks/embed_speed.py [--megabytes 12] [--repeats 3] [--model DIR] [--documents 200] [--json FILE]

Each round runs, in turns, on the first 4,000 characters (`--characters`) of the same documents in batches of 1,024: the
tokenizers library; the same tokens by remembered pieces, with an empty memory and with a full one; the sums; the Arrow
columns; the whole stage; wordllama's `embed`. `--model` adds, on fewer documents, the stage with an encoder, and
transformers alone: first windows, sorted by length, 32 at a time, padded to the longest. CPU seconds, medians.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from corpus import data_directory, make_corpus

from stages.embed import Embed, shown
from stages.embed_shingles import Sketcher
from stages.embed_static import Static, Words, wordllama_files
from stages.embed_vectors import as_batch

ROWS, TOKENS = 1024, 2048
Ways = dict[str, Callable[[], object]]


def parts(texts: list[str]) -> Ways:
    """The parts of the default model, and wordllama's way."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer
    from wordllama.inference import WordLlamaInference

    files = wordllama_files()
    read = [[shown(text, TOKENS) for text in part] for part in _parts(texts)]
    whole = Tokenizer.from_file(str(files["tokenizer"]))
    words, stage = Words(whole), Embed().open()
    ids = [words(part) for part in read]
    table = load_file(files["embedding"])["embedding.weight"].astype(np.float32)
    sums = Static("default", table, _given, TOKENS, unit=False)
    found = [sums.embed(part) for part in ids]  # type: ignore[arg-type]
    sketcher = Sketcher()
    sketches = [sketcher.column(part) for part in _parts(texts)]
    batches = [pa.RecordBatch.from_pydict({"text": part}) for part in _parts(texts)]
    theirs = WordLlamaInference(table, Tokenizer.from_file(str(files["tokenizer"])))
    return {
        "tokenizers library": lambda: [whole.encode_batch_fast(part, add_special_tokens=False) for part in read],
        "pieces, nothing remembered": lambda: [(fresh := Words(whole)), [fresh(part) for part in read]],
        "pieces, remembered": lambda: [words(part) for part in read],
        "sums": lambda: [sums.embed(part) for part in ids],  # type: ignore[arg-type]
        "sketches": lambda: [sketcher.column(part) for part in _parts(texts)],
        "columns": lambda: [as_batch(*part, sums, 256, True) for part in zip(found, sketches, strict=True)],
        "stage": lambda: [stage(batch) for batch in batches],
        "wordllama": lambda: [theirs.embed(part, norm=True) for part in read],
    }


def encoder(texts: list[str], path: str) -> Ways:
    """The stage with an encoder, and transformers alone."""
    import torch
    from transformers import AutoModel, PreTrainedTokenizerFast

    stage, first = Embed(model=path).open(), Embed(model=path, windows=1).open()
    network = AutoModel.from_pretrained(path, local_files_only=True, use_safetensors=True).eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{path}/tokenizer.json", pad_token="[PAD]")

    def alone() -> None:
        ids = sorted(tokenizer(texts, truncation=True, max_length=256)["input_ids"], key=len)
        for at in range(0, len(ids), 32):
            inputs = tokenizer.pad({"input_ids": ids[at : at + 32]}, return_tensors="pt")
            with torch.inference_mode():
                hidden = network(**inputs).last_hidden_state
                (hidden * inputs["attention_mask"][:, :, None]).sum(1)

    batch = pa.RecordBatch.from_pydict({"text": texts})
    return {
        "stage, encoder, 1 window": lambda: first(batch),
        "stage, encoder, 4 windows": lambda: stage(batch),
        "transformers alone, 256 tokens": alone,
    }


def cpu_seconds(way: Callable[[], object]) -> float:
    """CPU seconds of this process, all threads."""
    began = time.process_time()
    way()
    return time.process_time() - began


def report(ways: Ways, texts: list[str], repeats: int) -> dict[str, dict[str, float]]:
    """Run the rounds, print a table and return it."""
    rounds = [{name: cpu_seconds(way) for name, way in ways.items()} for _ in range(repeats)]
    size, rows = sum(map(len, texts)) / 1e6, {}
    for name in ways:
        seconds = statistics.median(found[name] for found in rounds)
        rows[name] = {"documents / CPU s": len(texts) / seconds, "million characters / CPU s": size / seconds}
        print(f"| {name} | {len(texts) / seconds:,.0f} | {size / seconds:,.2f} |", flush=True)
    return rows


def _given(ids: list[Any]) -> list[Any]:
    return ids


def _parts(texts: list[str]) -> list[list[str]]:
    return [texts[at : at + ROWS] for at in range(0, len(texts), ROWS)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", help="a directory of an embedding model")
    parser.add_argument("--documents", type=int, default=200, help="documents for the encoder")
    parser.add_argument("--characters", type=int, default=4000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        make_corpus(data_directory(), Path(folder) / "corpus.jsonl", arguments.megabytes)
        texts = [orjson.loads(line)["text"] for line in (Path(folder) / "corpus.jsonl").read_bytes().splitlines()]
    texts = [text[: arguments.characters] for text in texts]
    size = sum(map(len, texts)) / 1e6
    print(f"{len(texts):,} documents, {size:.1f} million characters, load {os.getloadavg()[0]:.1f}")
    found = report(parts(texts), texts, arguments.repeats)
    if arguments.model:
        few = texts[: arguments.documents]
        found |= report(encoder(few, arguments.model), few, 1)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
