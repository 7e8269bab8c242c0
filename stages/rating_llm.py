"""The rater `llm`: a causal language model in this process, scored slot by slot.

The model is a directory with config.json, safetensors and a tokenizer with a chat template, of any architecture that
transformers knows and that keeps a key-value cache. Nothing is downloaded and no code of the directory is run.

Status of a document: `ok`; `empty` if nothing of it is left to show; `error` if the model's logits are no numbers or
the prompt is longer than the model reads; `invalid` if at any slot the model's own choice is no allowed token and all
allowed ones together have less than LEAST_MASS of the probability. A model that merely prefers to say something else
is answered for by its best allowed token, and a low `rating_confidence` or `domain_confidence` shows it.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.errors import ConfigError, ModelError
from stages.model_files import sha256_of
from stages.rating_attention import share_keys
from stages.rating_chat import Chat
from stages.rating_protocol import DIGITS, DOMAINS, LETTERS, slots
from stages.rating_slots import SlotScores, score_all
from stages.ratings import ERROR, INVALID, OK, Ratings

if TYPE_CHECKING:
    from stages.rating import Rating

LEAST_MASS = 0.01
"""Share of the probability that the allowed tokens must have together if the model would rather say something else."""
CPU_BATCH_TOKENS = 2048
"""On a CPU batches are no larger. Drafted answers took as long at 2,048 tokens as one by one, and longer at 4,096
(padding and its masks); models that are read slot by slot gain from batches (benchmarks/README.md)."""
_SUFFIXES = (".json", ".safetensors", ".jinja", ".model")
_NAMES = ("merges.txt", "vocab.txt")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")


def files(settings: "Rating") -> Mapping[str, Path]:
    """Weights, configuration and tokenizer by name. Raises ModelError if one is missing or weights are pickled."""
    directory = _directory(settings.model)
    found = {
        path.relative_to(directory).as_posix(): path
        for path in sorted([*directory.iterdir(), *directory.glob("additional_chat_templates/*.jinja")])
        if path.is_file() and (path.suffix in _SUFFIXES or path.name in _NAMES)
    }
    _check_weights(directory, found)
    if "config.json" not in found:
        raise ModelError(
            f"{directory}: found no config.json, expected a causal language model as transformers saves it"
        )
    if not {"tokenizer.json", "tokenizer.model", "vocab.json"} & set(found):
        raise ModelError(f"{directory}: found no tokenizer.json, expected the model's tokenizer beside its weights")
    return found


def open_rater(settings: "Rating") -> "LlmRater":
    """Load model and tokenizer. Raises ModelError if they cannot be used, ConfigError if there is no such device."""
    found = files(settings)
    directory = _directory(settings.model)
    model = _load(directory, settings)
    if model.device.type == "cpu":
        _prepare_for_cpu(model)
    tokenizer = _tokenizer(directory)
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    chat = Chat(tokenizer, directory, settings.language, settings.mode, most)
    limit = settings.batch_tokens if model.device.type == "cuda" else min(settings.batch_tokens, CPU_BATCH_TOKENS)
    return LlmRater(f"{directory.resolve().name}@{checksum(found)[:8]}", model, chat, settings.mode, limit)


def checksum(found: Mapping[str, Path]) -> str:
    """SHA-256, in hexadecimal, over the names and the contents of a model's files."""
    lines = [f"{name} {sha256_of(path)}\n" for name, path in sorted(found.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class LlmRater:
    """A loaded model and the questions that it is asked."""

    def __init__(self, name: str, model: Any, chat: Chat, mode: str, batch_tokens: int) -> None:
        self.name = name
        self._model, self._chat, self._mode, self._batch_tokens = model, chat, mode, batch_tokens

    def rate(self, texts: Sequence[str]) -> Ratings:
        """Ratings of the texts, in their order."""
        ratings = Ratings.none(len(texts))
        shown = {row: self._chat.shown(text) for row, text in enumerate(texts)}
        prompts = {row: self._chat.tokens(text) for row, text in shown.items() if text}
        for row, prompt in prompts.items():
            ratings.tokens[row] = len(prompt), 0
            ratings.status[row] = ERROR
        rows = [row for row, prompt in prompts.items() if len(prompt) <= self._chat.longest]
        if rows:
            scores = score_all(self._model, [prompts[row] for row in rows], self._chat.answer, self._batch_tokens)
            ratings.tokens[rows, 1] = self._chat.answer.length
            _fill(ratings, np.array(rows), scores, self._mode)
        return ratings


def statuses(scores: SlotScores) -> list[str]:
    """The status of each prompt, as the module's documentation says."""
    invalid = (scores.strayed & (scores.mass < LEAST_MASS)).any(-1)
    return list(np.where(scores.failed.any(-1), ERROR, np.where(invalid, INVALID, OK)))


def _fill(ratings: Ratings, rows: np.ndarray, scores: SlotScores, mode: str) -> None:
    """Enter what is known of the documents that were rated."""
    found = statuses(scores)
    for row, status in zip(rows, found, strict=True):
        ratings.status[row] = str(status)
    good = np.array([status == OK for status in found])
    wanted = slots(mode)
    digits = [place for place, choices in enumerate(wanted) if choices == DIGITS]
    if digits:
        into = np.ix_(rows[good], range(-len(digits), 0))
        ratings.scores[into] = scores.chosen[good][:, digits] + 1
        ratings.means[into] = scores.expected[good][:, digits]
        ratings.confidence[rows[good]] = scores.probability[good][:, digits].mean(-1)
    if wanted[0] == LETTERS:
        ratings.domain_confidence[rows[good]] = scores.probability[good][:, 0]
        for row, letter in zip(rows[good], scores.chosen[good][:, 0], strict=True):
            ratings.domains[row] = DOMAINS[letter]


def _directory(model: str) -> Path:
    if model == "default":
        raise ModelError("rating.model: found 'default', but the rater 'llm' has none: name a model's directory")
    if not Path(model).is_dir():
        raise ModelError(
            f"rating.model: {model}: found no directory, expected a causal language model; nothing is downloaded here: "
            "fetch it first, for instance with `hf download NAME --local-dir DIRECTORY`"
        )
    return Path(model)


def _check_weights(directory: Path, found: Mapping[str, Path]) -> None:
    """Raise ModelError unless all weights are there as safetensors."""
    import orjson

    if not any(name.endswith(".safetensors") for name in found):
        pickled = sorted(path.name for path in directory.iterdir() if path.suffix in _PICKLED)
        what = f"pickled weights ({pickled[0]}), which may run code when they are loaded" if pickled else "no weights"
        remedy = "; load them where that can do no harm and save them again with `save_pretrained`" if pickled else ""
        raise ModelError(f"{directory}: found {what}, expected safetensors{remedy}")
    index = found.get("model.safetensors.index.json")
    if index:
        parts = set(orjson.loads(index.read_bytes()).get("weight_map", {}).values())
        if missing := sorted(parts - set(found)):
            raise ModelError(
                f"{directory}: found no {missing[0]}, expected all {len(parts)} parts that {index.name} names"
            )


def _load(directory: Path, settings: "Rating") -> Any:
    """The model on its device. Raises ModelError if weights are missing or nobody knows the architecture."""
    try:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging
    except ImportError as error:
        raise ModelError("the rater 'llm' needs torch and transformers: run pip install 'tamis[llm]'") from error
    device = ("cuda" if torch.cuda.is_available() else "cpu") if settings.device == "auto" else settings.device
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("rating.device: found 'cuda', but torch sees no GPU here: set it to auto or cpu")
    dtype = {"cuda": "bfloat16", "cpu": "float32"}[device] if settings.dtype == "auto" else settings.dtype
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    load: Any = AutoModelForCausalLM.from_pretrained
    try:
        model, info = load(
            directory,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=getattr(torch, dtype),
            output_loading_info=True,
        )
    except Exception as error:
        raise _unusable(directory, "model", error) from error
    if info["missing_keys"]:
        raise ModelError(f"{directory}: found no weights for {sorted(info['missing_keys'])[0]}: no whole causal LM")
    if getattr(model, "_is_stateful", False):
        raise ModelError(f"{directory}: {type(model).__name__} keeps a running state, expected a key-value cache")
    return model.to(device).eval()


def _prepare_for_cpu(model: Any) -> None:
    """One thread, since there is a worker process for each core (unless OMP_NUM_THREADS says otherwise)."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    share_keys(model)


def _tokenizer(directory: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise _unusable(directory, "tokenizer", error) from error


def _unusable(directory: Path, what: str, error: Exception) -> ModelError:
    reason = (str(error).strip() or "no reason given").splitlines()[0]
    return ModelError(f"{directory}: transformers cannot load this {what}: {type(error).__name__}: {reason}")
