"""The models of chain_peers.py: Tamis's model of clean English, and its like over pieces of SentencePiece.

datatrove and Data-Juicer score pieces of SentencePiece, and have no other way. No model of Tamis is of pieces, so
theirs is made here of the same text, in the same order, pruning and quantisation.
"""

import io
import json
import subprocess
import tempfile
from pathlib import Path

import zstandard
from peers import BenchmarkError

from pipeline.training.kenlm_tools import build_binary, estimating
from stages.perplexity_models import DEFAULT

HERE = Path(__file__).resolve().parent
WORDS = DEFAULT / "en.clean.klm"
"""Tamis's model: lower-cased words."""
SAMPLE = HERE.parent / "data" / "sample" / "encyclopedia.jsonl.zst"
VOCABULARY = 16_000
ORDER, PRUNING, BITS = 3, (0, 1, 2), 8
"""As the card of WORDS says."""


def piece_models(python: Path, directory: Path) -> Path:
    """A directory with en.sp.model and en.arpa.bin, made at first use with a Python that has sentencepiece."""
    if not all((directory / name).exists() for name in ("en.sp.model", "en.arpa.bin")):
        if not SAMPLE.exists():
            raise BenchmarkError(f"{SAMPLE} is missing: make it with `tamis sample`")
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            _make(python, directory, Path(folder))
    return directory


def _make(python: Path, directory: Path, folder: Path) -> None:
    text = folder / "text.txt"
    text.write_text("".join(_english()), encoding="utf-8")
    command = [str(python), str(HERE / "chain_pieces.py"), str(text), str(folder), str(VOCABULARY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"cannot train a SentencePiece model: {done.stderr[-2000:]}")
    with estimating(folder / "en.arpa", ORDER, PRUNING, "512M", folder) as lines:
        lines.write((folder / "pieces.txt").read_bytes())
    build_binary(folder / "en.arpa", folder / "en.arpa.bin", "trie", BITS, "512M", folder)
    for name in ("en.sp.model", "en.arpa.bin"):
        (folder / name).replace(directory / name)


def _english() -> list[str]:
    with SAMPLE.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        rows = [json.loads(line) for line in io.TextIOWrapper(stream, "utf-8")]
    return [f"{line}\n" for row in rows if row["language"] == "en" for line in row["text"].splitlines() if line.strip()]
