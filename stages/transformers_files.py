"""What a directory of a transformers model must hold before anything of it is loaded: safetensors, JSON, and no code.

Pickled weights run code when they are loaded, and so does a model with code of its own; neither is ever opened here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.errors import ModelError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
JSON_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")


def model_files(directory: Path, setting: str) -> dict[str, Path]:
    """The files that a model is loaded from, by name: its config, tokenizer and weights.

    `setting` names what the user set, for the message: `embed.model`. Raises ModelError for a missing directory or
    file, for pickled weights, and for a model that needs code of its own.
    """
    if not directory.is_dir():
        raise ModelError(
            f"{directory}: found no directory, expected one with config.json, tokenizer.json and {WEIGHTS}; "
            f"set {setting} to the path of a model on this machine (nothing is downloaded)"
        )
    config = read_json(directory / "config.json")
    without_code(directory / "config.json", config)
    tokenizer = directory / "tokenizer.json"
    if not tokenizer.is_file():
        raise ModelError(
            f"{tokenizer}: found no file, expected a tokenizer of the tokenizers library; make it where the model is "
            "trusted: transformers.AutoTokenizer.from_pretrained(PATH).save_pretrained(PATH)"
        )
    beside = {name: directory / name for name in JSON_FILES if (directory / name).is_file()}
    if "tokenizer_config.json" in beside:
        without_code(beside["tokenizer_config.json"], read_json(beside["tokenizer_config.json"]))
    return {"config.json": directory / "config.json", **beside, **weight_files(directory)}


def config_files(directory: Path, setting: str) -> dict[str, Path]:
    """The config of a model to be trained, and the weights to start from if there are any, by name.

    Raises ModelError for a missing directory or config, pickled weights, and a model that needs code of its own.
    """
    config = directory / "config.json"
    if not config.is_file():
        raise ModelError(f"{directory}: found no config.json; set {setting} to the directory of a transformers model")
    without_code(config, read_json(config))
    pickled = any(path for pattern in PICKLED for path in directory.glob(pattern))
    weighted = pickled or (directory / WEIGHTS).is_file() or (directory / INDEX).is_file()
    return {"config.json": config, **(weight_files(directory) if weighted else {})}


def weight_files(directory: Path) -> dict[str, Path]:
    """The safetensors files of a model, by name. Raises ModelError if one is missing or only pickles are there."""
    if (directory / WEIGHTS).is_file():
        return {WEIGHTS: directory / WEIGHTS}
    index = directory / INDEX
    if not index.is_file():
        raise ModelError(f"{directory}: {_instead(directory)}")
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ModelError(f"{index}: found no weight_map, expected the names of the files with the weights")
    parts = {name: directory / str(name) for name in sorted({str(value) for value in names.values()})}
    for name, path in parts.items():
        if Path(name).name != name or not name.endswith(".safetensors") or not path.is_file():
            raise ModelError(f"{index}: names '{name}', expected a safetensors file in the same directory")
    return {INDEX: index, **parts}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ModelError if the file is missing or holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: found no file, expected the JSON of a model; is it the directory meant?") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({type(error).__name__}); copy the model again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: found {type(found).__name__}, expected a JSON object")
    return found


def without_code(path: Path, config: Mapping[str, Any]) -> None:
    """Raise ModelError for the config of a model that needs code of its own."""
    if config.get("auto_map"):
        raise ModelError(
            f"{path}: found auto_map, a model with code of its own, which is never run; "
            "use a model whose architecture is part of transformers"
        )


def _instead(directory: Path) -> str:
    pickles = sorted(path.name for pattern in PICKLED for path in directory.glob(pattern))
    if not pickles:
        return f"found no weights, expected {WEIGHTS} or {INDEX}; copy the whole model"
    return (
        f"found pickled weights ({', '.join(pickles[:3])}), which run code when they are loaded, expected {WEIGHTS}; "
        "convert them where the model is trusted: "
        "transformers.AutoModel.from_pretrained(PATH).save_pretrained(PATH)"
    )
