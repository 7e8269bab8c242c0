"""Models put where datatrove would download them to; for children of benchmarks that run in datatrove's environment.

datatrove has no option for a model's path, so files are placed below $HF_ASSETS_CACHE. fastText looks at the content,
not at the name, so a quantised model may stand for lid.176.bin.
"""

import shutil
from pathlib import Path

from datatrove.utils.lid import FT176LID
from datatrove.utils.perplexity import MODEL_REPO
from fsspec.core import strip_protocol
from huggingface_hub import cached_assets_path, hf_hub_url

PIECES = "wikipedia"
"""The folder of datatrove's model repository that the benchmark's own models stand for."""


def place_language(model: Path) -> None:
    """The fastText model of language identification."""
    _place(model, FT176LID.MODEL_URL, "lid", FT176LID.MODEL_SUBFOLDER)


def place_perplexity(directory: Path) -> None:
    """The SentencePiece model and the KenLM model of English."""
    for name in ("en.sp.model", "en.arpa.bin"):
        _place(directory / name, hf_hub_url(MODEL_REPO, f"{PIECES}/{name}"), "default", "default")


def _place(model: Path, url: str, namespace: str, subfolder: str) -> None:
    directory = cached_assets_path(library_name="datatrove", namespace=namespace, subfolder=subfolder)
    target = Path(directory) / strip_protocol(url).replace("/", "_")
    shutil.copyfile(model, target)
    target.with_name(f"{target.name}.completed").touch()
