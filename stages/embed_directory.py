"""What a directory says about its embedding model: how to pool, how long a window may be, what stands before a text.

Directories of sentence-transformers are read by their JSON files, without that package; plain transformers encoders
have only a config, and their card (README.md) may ask for a prefix, as those of E5 do.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.errors import ModelError
from stages.transformers_files import model_files, read_json, weight_files

SETTING = "embed.model"
LONGEST_WINDOW = 512
"""Tokens of a window unless the model takes fewer or the user asks for more."""
E5_PREFIX = "passage: "
"""What the cards of E5 want before a text that is not a query ("Text Embeddings by Weakly-Supervised Contrastive
Pre-training", 2022)."""

_E5_CARD = re.compile(r"""["'`“]passage: ?["'`”]""")
_E5_NAME = re.compile(r"(?:^|[/_-])e5(?:[/_-]|$)", re.IGNORECASE)
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl", "longformer")
"""Architectures that number positions from the padding token's id plus 1."""
_POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True)
class Directory:
    """A model on disk, its files checked; nothing of it is loaded yet."""

    name: str
    path: Path
    """Where weights and tokenizer are."""
    files: Mapping[str, Path] = field(hash=False)
    """All files that decide what the vectors are, by name."""
    static: bool = False
    """Whether it is a table of token vectors and no network."""
    pooling: str = "mean"
    unit: bool = False
    """Whether the model itself scales its vectors to length 1."""
    prefix: str = ""
    limit: int = LONGEST_WINDOW
    """Tokens that the model can take at once, special ones and prefix included."""
    preferred: int = LONGEST_WINDOW
    """Tokens of a window that the model's files, or this module, choose."""
    lower_case: bool = False


def read_directory(path: Path) -> Directory:
    """The model in a directory. Raises ModelError if it is missing, unsafe or of a kind that is not supported."""
    if not (path / "modules.json").is_file():
        return _encoder(path, path, [], {})
    modules = _modules(path)
    kinds = [kind for kind, _ in modules]
    place, files = path / modules[0][1], {"modules.json": path / "modules.json"}
    if kinds[0] == "StaticEmbedding" and set(kinds[1:]) <= {"Normalize"}:
        weights = weight_files(place)
        tokenizer = _there(place / "tokenizer.json")
        found = {**files, **weights, "tokenizer": tokenizer, "embedding": next(iter(weights.values()))}
        return Directory(path.name, place, found, static=True, unit="Normalize" in kinds)
    if kinds[0] != "Transformer" or kinds[1:] not in (["Pooling"], ["Pooling", "Normalize"]):
        raise ModelError(
            f"{path / 'modules.json'}: found {', '.join(kinds)}, expected Transformer, Pooling and perhaps Normalize, "
            "or StaticEmbedding; use a model of such modules"
        )
    return _encoder(path, place, kinds, {**files, "pooling": path / modules[1][1] / "config.json"})


def _encoder(path: Path, place: Path, kinds: list[str], files: dict[str, Path]) -> Directory:
    files = {**files, **model_files(place, SETTING)}
    config = read_json(files["config.json"])
    if config.get("is_encoder_decoder"):
        raise ModelError(f"{place}: found a model with encoder and decoder, expected an encoder such as BERT")
    for name, home in (("sentence_bert_config.json", place), ("config_sentence_transformers.json", path)):
        if (home / name).is_file():
            files[name] = home / name
    if (path / "README.md").is_file():
        files["README.md"] = path / "README.md"
    own = read_json(files["sentence_bert_config.json"]) if "sentence_bert_config.json" in files else {}
    limit = _limit(config, files)
    return Directory(
        path.name,
        place,
        files,
        pooling=_pooling(files["pooling"]) if "pooling" in files else "mean",
        unit="Normalize" in kinds,
        prefix=_prefix(config, files),
        limit=limit,
        preferred=min(limit, own.get("max_seq_length") or LONGEST_WINDOW),
        lower_case=bool(own.get("do_lower_case")),
    )


def _modules(path: Path) -> list[tuple[str, str]]:
    """Kind and folder of each module, in order."""
    import json

    try:
        found = json.loads((path / "modules.json").read_text(encoding="utf-8"))
        modules = [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path / 'modules.json'}: is no list of modules ({type(error).__name__})") from error
    outside = [folder for _, folder in modules if Path(folder).is_absolute() or ".." in Path(folder).parts]
    if not modules or outside:
        raise ModelError(f"{path / 'modules.json'}: found {outside or 'no module'}, expected folders of this directory")
    return modules


def _pooling(path: Path) -> str:
    """`mean` or `cls`, from the config of sentence-transformers' pooling module, old or new."""
    config = read_json(path)
    chosen = [mode for mode, on in config.items() if mode.startswith("pooling_mode_") and on is True]
    found = [_POOLINGS.get(mode, mode) for mode in chosen] or [str(config.get("pooling_mode"))]
    if len(found) != 1 or found[0] not in ("mean", "cls") or config.get("include_prompt") is False:
        raise ModelError(
            f"{path}: found pooling {', '.join(found)} with include_prompt {config.get('include_prompt', True)}, "
            "expected mean or cls over all tokens; use such a model"
        )
    return found[0]


def _prefix(config: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    """The prompt for documents that the model's files name, E5's convention, or nothing."""
    own = files.get("config_sentence_transformers.json")
    known = read_json(own) if own else {}
    prompts = known.get("prompts") or {}
    for name in (known.get("default_prompt_name"), "document", "passage"):
        if prompts.get(name):
            return str(prompts[name])
    card = files["README.md"].read_text(encoding="utf-8", errors="replace") if "README.md" in files else ""
    is_e5 = _E5_CARD.search(card) or _E5_NAME.search(str(config.get("_name_or_path", "")))
    return E5_PREFIX if is_e5 else ""


def _limit(config: Mapping[str, Any], files: Mapping[str, Path]) -> int:
    positions = config.get("max_position_embeddings") or LONGEST_WINDOW
    if config.get("model_type") in _OFFSET_POSITIONS:
        positions -= (config.get("pad_token_id") or 0) + 1
    tokenizer = files.get("tokenizer_config.json")
    longest = read_json(tokenizer).get("model_max_length") if tokenizer else None
    return int(min(positions, longest or positions))


def _there(path: Path) -> Path:
    if not path.is_file():
        raise ModelError(f"{path}: found no file, expected a tokenizer of the tokenizers library; copy the whole model")
    return path
