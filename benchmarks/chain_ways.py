"""How each tool is called for chain_peers.py, with what settings, and what it says of each document.

All keep documents that are English with a score of at least MIN_SCORE, read the same two files with two workers, and
drop nothing by perplexity, so that what they say can be compared.
"""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chain_models import WORDS
from chain_outputs import Found, from_json_lines, from_parquet, one_score, stats_of

HERE = Path(__file__).resolve().parent
MIN_SCORE = 0.65
WORKERS = 2
ANY = 1e9
"""A limit that every perplexity keeps."""


@dataclass(frozen=True)
class Setting:
    """What the ways share."""

    work: Path
    corpus: Path
    """Directory `documents` with two JSON Lines files."""
    model: Path
    """fastText's, for language identification."""
    pieces: Path
    pythons: dict[str, Path]
    """By tool, of those that could be installed."""


@dataclass(frozen=True)
class Way:
    """A tool on a chain, ready to be run."""

    command: list[str]
    environment: dict[str, str]
    output: Path
    read: Callable[[Path], Found]


def tamis(setting: Setting, chain: str, name: str) -> Way:
    """`tamis run`: fastText alone on the whole text; the quality side of the perplexity stage."""
    output = _emptied(setting, name)
    language = {"members": ["fasttext"], "prefix": 0, "mix": False, "keep": ["en"], "min_score": MIN_SCORE}
    perplexity = {"side": "below", "model": str(WORDS.parent), "threshold": ANY, "min_words": 1}
    stages = [{"language": language}] + ([{"perplexity": perplexity}] if chain == "perplexity" else [])
    config = {"input": {"paths": [f"{setting.corpus}/*.jsonl"]}, "output": str(output), "stages": stages}
    path = output.with_suffix(".yaml")
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "pipeline.cli", "run", str(path), "--workers", str(WORKERS)]
    read = from_parquet("id", lambda row: (row["lang"], row.get("quality_ppl")))
    return Way(command, {"PYTHONPATH": str(HERE.parent)}, output / "data", read)


def datatrove(setting: Setting, chain: str, name: str, same: bool = False) -> Way:
    """datatrove on two tasks; `same`: with Tamis's KenLM file."""
    output = _emptied(setting, name)
    parts = [setting.pythons["datatrove"], HERE / "chain_datatrove.py", setting.model, setting.corpus, output]
    extra = ["--min-score", MIN_SCORE, "--workers", WORKERS]
    if chain == "perplexity":
        extra += ["--words", WORDS] if same else ["--pieces", setting.pieces]
    read = from_parquet("id", lambda row: (row["metadata"]["language"], row["metadata"].get("perplexity")))
    cache = {"HF_ASSETS_CACHE": str(setting.work / "assets")}
    return Way([str(part) for part in parts + extra], cache, output / "data", read)


def datatrove_same(setting: Setting, chain: str, name: str) -> Way:
    """datatrove with Tamis's KenLM file and words at blanks."""
    return datatrove(setting, chain, name, same=True)


def dolma(setting: Setting, chain: str, name: str) -> Way:
    """`dolma tag` and then `dolma mix`, which drops by the tags; both with two processes."""
    output = _emptied(setting, name)
    (output / "documents").parent.mkdir(parents=True)
    (output / "documents").symlink_to(setting.corpus)
    taggers = ["local_en", *(["local_ppl"] if chain == "perplexity" else [])]
    label, ppl = "chain__local_en__en", "chain__local_ppl__ppl"
    stream = {
        "name": "chain",
        "documents": [f"{output}/documents/*.jsonl"],
        "attributes": ["chain"],
        "filter": {"syntax": "jsonpath", "include": [f"$.attributes[?(@.{label}[0][2] >= {MIN_SCORE})]"]},
        "output": {"path": str(output / "data"), "max_size_in_bytes": 1_000_000_000},
    }
    config = output.with_suffix(".json")
    config.write_text(json.dumps({"streams": [stream], "processes": WORKERS}))
    program = [str(setting.pythons["dolma"]), "-W", "ignore", "-m", "dolma.cli"]
    tag = [*program, "tag", "--documents", f"{output}/documents/*.jsonl", "--experiment", "chain"]
    tag += ["--tagger_modules", str(HERE / "chain_dolma.py"), "--processes", str(WORKERS), "--taggers", *taggers]
    mix = [*program, "-c", str(config), "mix"]
    both = f"{shlex.join(tag)} && {shlex.join(mix)}"
    read = from_json_lines("*.gz", lambda row: ("en", one_score(row["attributes"], ppl)))
    environment = {"CHAIN_LID": str(setting.model), "CHAIN_KENLM": str(WORDS), "PYTHONPATH": str(HERE)}
    return Way(["bash", "-c", both], environment, output / "data", read)


def data_juicer(setting: Setting, chain: str, name: str) -> Way:
    """`dj-process` with its own two filters, which write what they found beside the text."""
    output = _emptied(setting, name)
    models = setting.work / "data-juicer-models"
    models.mkdir(parents=True, exist_ok=True)
    for source, target in ((setting.model, "lid.176.bin"), *((setting.pieces / n, n) for n in _PIECES)):
        shutil.copyfile(source, models / target)
    process = [{"language_id_score_filter": {"lang": "en", "min_score": MIN_SCORE}}]
    if chain == "perplexity":
        process.append({"perplexity_filter": {"lang": "en", "max_ppl": ANY}})
    config = {
        "project_name": "chain",
        "dataset_path": str(setting.corpus),
        "export_path": str(output / "data" / "kept.jsonl"),
        "np": WORKERS,
        "use_cache": False,
        "keep_stats_in_res_ds": True,
        "process": process,
    }
    path = output.with_suffix(".yaml")
    path.write_text(json.dumps(config))
    program = setting.pythons["data-juicer"].with_name("dj-process")
    environment = {"DATA_JUICER_MODELS_CACHE": str(models), "DATA_JUICER_CACHE_HOME": str(setting.work / "dj")}
    read = from_json_lines("kept.jsonl", stats_of)
    return Way([str(program), "--config", str(path)], environment, output / "data", read)


def nemo_curator(setting: Setting, chain: str, name: str) -> Way:
    """NeMo Curator's language filter on its Ray executor."""
    assert chain == "language"
    output = _emptied(setting, name)
    parts = [setting.pythons["nemo-curator"], HERE / "chain_nemo.py", setting.model, setting.corpus, output]
    command = [str(part) for part in (*parts, "--min-score", MIN_SCORE, "--workers", WORKERS)]
    read = from_parquet("id", lambda row: ("en", None))
    path = f"{setting.pythons['nemo-curator'].parent}{os.pathsep}{os.environ['PATH']}"
    ray = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_agent_register_timeout_ms": "300000"}
    return Way(command, {**ray, "PATH": path}, output / "data", read)


WAYS: dict[str, dict[str, Callable[[Setting, str, str], Way]]] = {
    "language": {
        "Tamis": tamis,
        "datatrove": datatrove,
        "Dolma": dolma,
        "Data-Juicer": data_juicer,
        "NeMo Curator": nemo_curator,
    },
    "perplexity": {
        "Tamis": tamis,
        "datatrove": datatrove,
        "datatrove, Tamis's KenLM file": datatrove_same,
        "Dolma": dolma,
        "Data-Juicer": data_juicer,
    },
}
"""Chain -> name -> how to make it ready."""
_PIECES = ("en.sp.model", "en.arpa.bin")


def _emptied(setting: Setting, name: str) -> Path:
    output = setting.work / "runs" / "".join(c if c.isalnum() else "-" for c in name)
    shutil.rmtree(output, ignore_errors=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    return output
