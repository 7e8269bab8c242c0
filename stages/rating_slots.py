"""Slot scoring: the greedy answer of a causal language model to a question whose answer has a fixed shape.

The answer is one token a line and each line chooses from a few tokens, so nothing is generated freely. The prompts of
a batch are read once; then, slot by slot, the logits of the tokens allowed there are compared, the best one and a
newline are appended in one forward pass of two tokens, and the key-value cache carries on: 15 passes in place of 29.

    prompt -> logits: A -1.2  B 3.4 ... -> "B\\n" -> logits: 1 -2.0 ... 4 5.1  5 4.9 -> "4\\n" -> ...

Wherever free greedy generation of the same model gives a valid answer, this is that answer (up to rounding: the two
add the same numbers in another order, so tokens whose logits are closer than the dtype's precision may change places).
What free generation would put in place of the newlines is not looked at.

Source: the answer's shape is that of "DataMan: Data Manager for Pre-training Large Language Models" (arXiv 2502.19363).
"""

import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.errors import ModelError


@dataclass(frozen=True)
class AnswerTokens:
    """The tokens of an answer."""

    slots: tuple[tuple[int, ...], ...]
    """For each line the tokens that it chooses from, in the order of their meaning (A to O, 1 to 5)."""
    newline: int

    @property
    def length(self) -> int:
        """Tokens of an answer: one a line, and the newlines between."""
        return 2 * len(self.slots) - 1


@dataclass(frozen=True)
class SlotScores:
    """Answers to `n` prompts; all arrays have the shape (n, slots)."""

    chosen: np.ndarray
    """int64: index of the best allowed token."""
    probability: np.ndarray
    """float32: its probability among all tokens, so that a model which wants to say something else is seen."""
    mass: np.ndarray
    """float32: probability of all allowed tokens together."""
    expected: np.ndarray
    """float32: mean index, counted from 1, by the probabilities among the allowed tokens alone: the expected score."""
    strayed: np.ndarray
    """bool: the best token of the whole vocabulary is not an allowed one."""
    failed: np.ndarray
    """bool: the logits were no numbers; the other values mean nothing."""


def score_all(model: Any, prompts: Sequence[list[int]], answer: AnswerTokens, batch_tokens: int) -> SlotScores:
    """Score all prompts, in their order, in batches of like length of at most `batch_tokens` tokens with padding.

    What all prompts begin with is read once. A batch that does not fit a GPU's memory is halved; ModelError if a single
    prompt does not fit.
    """
    import torch

    found = np.zeros((len(prompts), len(answer.slots), _VALUES), np.float32)
    with torch.inference_mode():
        prefix = _Prefix(model, prompts)
        for rows in packed([len(prompt) - prefix.length + answer.length for prompt in prompts], batch_tokens):
            found[rows] = _halving(model, [prompts[row] for row in rows], answer, prefix)
    chosen, probability, mass, expected, strayed, failed = np.moveaxis(found, -1, 0)
    return SlotScores(chosen.astype(np.int64), probability, mass, expected, strayed > 0, failed > 0)


def packed(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Rows in batches: by length, and as many to a batch as fit into `most` tokens when all are padded to its longest.

    The longest come first, so that memory is known to suffice early. A row that is longer than `most` is alone.

    >>> list(packed([5, 1, 4, 5, 2], 10))
    [[0, 3], [2, 4], [1]]
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if batch and (len(batch) + 1) * lengths[batch[0]] > most:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


class _Prefix:
    """The tokens that all prompts begin with, read once."""

    def __init__(self, model: Any, prompts: Sequence[list[int]]) -> None:
        self.length = shared_length(prompts) if _shareable(model) else 0
        self._cache = None
        if self.length:
            reading = _Reading(model, 1)
            reading.read([prompts[0][: self.length]])
            self._cache = reading.cache

    def cache(self, rows: int) -> Any:
        """The model's cache after reading them, for a batch of `rows` prompts to go on from; None if there are none."""
        cache = copy.deepcopy(self._cache)
        if cache is not None:
            cache.batch_repeat_interleave(rows)
        return cache


def shared_length(prompts: Sequence[list[int]]) -> int:
    """How many tokens all prompts begin with; each keeps one of its own, and a single prompt shares nothing.

    >>> shared_length([[1, 2, 3, 4], [1, 2, 5], [1, 2, 3]])
    2
    """
    if len(prompts) < 2:
        return 0
    first, last = min(prompts), max(prompts)
    pairs = zip(first, last, strict=False)
    same = next((place for place, (one, other) in enumerate(pairs) if one != other), len(first))
    return min(same, min(map(len, prompts)) - 1)


def _shareable(model: Any) -> bool:
    """Whether padding may stand between shared tokens and the rest: not where distance counts places in the cache."""
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    everywhere = set(kinds) == {"full_attention"} if kinds else getattr(config, "sliding_window", None) is None
    return everywhere and "position_ids" in inspect.signature(model.forward).parameters


class _Reading:
    """A batch of token sequences that a model is reading, and its key-value cache."""

    def __init__(self, model: Any, rows: int, cache: Any = None, length: int = 0) -> None:
        import torch

        self._model = model
        self._accepted = inspect.signature(model.forward).parameters
        self._mask = torch.ones((rows, length), dtype=torch.long, device=model.device)
        self.cache = cache

    def read(self, rows: Sequence[list[int]]) -> Any:
        """Read on, with padding on the left; the logits after the last token, float32, (rows, vocabulary)."""
        import torch

        width = max(map(len, rows))
        padded = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        return self.append(padded.to(self._model.device), mask.to(self._model.device))

    def append(self, tokens: Any, mask: Any) -> Any:
        """The same for tokens and mask as tensors, (rows, width)."""
        import torch

        self._mask = torch.cat([self._mask, mask], -1)
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        optional = {"position_ids": positions, "logits_to_keep": 1}
        answer = self._model(
            input_ids=tokens,
            attention_mask=self._mask,
            past_key_values=self.cache,
            use_cache=True,
            **{name: value for name, value in optional.items() if name in self._accepted},
        )
        self.cache = answer.past_key_values
        return answer.logits[:, -1].float()


def _halving(model: Any, prompts: list[list[int]], answer: AnswerTokens, prefix: _Prefix) -> np.ndarray:
    """`_score_batch`, in halves if a GPU's memory does not suffice."""
    import torch

    try:
        return _score_batch(model, prompts, answer, prefix)
    except torch.cuda.OutOfMemoryError as error:
        if len(prompts) == 1:
            raise ModelError(
                f"out of memory on {model.device} with one prompt of {len(prompts[0])} tokens: set rating.dtype to "
                "bfloat16, take a smaller model or a larger GPU, or set rating.device to cpu"
            ) from error
    torch.cuda.empty_cache()  # after the handler, whose traceback keeps tensors alive
    middle = len(prompts) // 2
    halves = prompts[:middle], prompts[middle:]
    return np.concatenate([_halving(model, half, answer, prefix) for half in halves])


_VALUES = 6


def _score_batch(model: Any, prompts: list[list[int]], answer: AnswerTokens, prefix: _Prefix) -> np.ndarray:
    """The values of SlotScores, float32, (prompts, slots, _VALUES). Nothing waits for a GPU before the end."""
    import torch

    reading = _Reading(model, len(prompts), prefix.cache(len(prompts)), prefix.length)
    logits = reading.read([prompt[prefix.length :] for prompt in prompts])
    newline = torch.full((len(prompts),), answer.newline, device=model.device)
    values = []
    for place, slot in enumerate(answer.slots, 1):
        allowed = torch.tensor(slot, device=model.device)
        values.append(_read_slot(logits, allowed))
        if place < len(answer.slots):
            line = torch.stack([allowed[values[-1][:, 0].long()], newline], -1)
            logits = reading.append(line, torch.ones_like(line))
    return torch.stack(values, 1).cpu().numpy()


def _read_slot(logits: Any, allowed: Any) -> Any:
    """The values of one slot from logits (rows, vocabulary) and the allowed tokens: float32, (rows, _VALUES)."""
    import torch

    inside, total = logits[:, allowed], logits.logsumexp(-1, keepdim=True)
    own = logits.argmax(-1, keepdim=True) == allowed
    strayed = ~own.any(-1)
    chosen = torch.where(strayed, inside.argmax(-1), own.int().argmax(-1))
    shares = (inside - total).exp()
    meanings = torch.arange(1, len(allowed) + 1, device=logits.device, dtype=torch.float32)
    expected = inside.softmax(-1) @ meanings
    probability = shares.gather(-1, chosen[:, None])[:, 0]
    failed = ~total[:, 0].isfinite()
    return torch.stack([chosen.float(), probability, shares.sum(-1), expected, strayed.float(), failed.float()], -1)
