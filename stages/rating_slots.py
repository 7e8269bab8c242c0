"""Slot scoring: the greedy answer of a causal language model to a question whose answer has a fixed shape.

The answer is one token a line and each line chooses from a few tokens, so nothing is generated freely: the logits of
the tokens allowed at each slot are compared, given the best tokens of the slots before and the newlines between. Two
ways lead to the same answer:

- drafted (`rating_drafts`): a whole answer is guessed and read at once; what was wrong is read again until nothing is;
- slot by slot, for models whose key-value cache cannot be taken back (sliding windows): the prompts are read once, then
  the best token and a newline are appended in one pass of two tokens: 15 passes.

Wherever free greedy generation of the same model gives a valid answer, this is that answer (up to rounding: the ways
add the same numbers in another order, so tokens whose logits are closer than the dtype's precision may change places).
What free generation would put in place of the newlines is not looked at.

Source: the answer's shape is that of "DataMan: Data Manager for Pre-training Large Language Models" (arXiv 2502.19363).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.errors import ModelError
from stages.rating_drafts import score_drafted
from stages.rating_reading import Prefix, Reading, sees_everything, shareable, shared_length
from stages.rating_shape import VALUES, AnswerTokens, read_slot

MOST_LOGITS = 2**27
"""Logits of a batch of drafted answers (512 MB as float32): 58 documents with a vocabulary of 152,000 tokens."""
LEAST_SHARED = 16
"""On a CPU what prompts share is read once if it is a part in so many of them: after a cache attention needs a mask,
which at prompts of 312 tokens cost less than was saved (34 tokens shared), and at 2,105 more."""


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
    passes: np.ndarray
    """int64: the pass in which the slot became final, counted from 1; in the last slot, how many the prompt took."""


def score_all(
    model: Any, prompts: Sequence[list[int]], answer: AnswerTokens, batch_tokens: int, *, drafted: bool = True
) -> SlotScores:
    """Score all prompts, in their order, in batches of like length of at most `batch_tokens` tokens with padding.

    What all prompts begin with is read once where that pays. A batch that does not fit a GPU's memory is halved;
    ModelError if a single prompt does not fit. Without `drafted` all is read slot by slot.
    """
    import torch

    found = np.zeros((len(prompts), len(answer.slots), VALUES), np.float32)
    drafted = drafted and sees_everything(model)
    most = MOST_LOGITS // (len(answer.slots) * model.config.get_text_config().vocab_size)
    with torch.inference_mode():
        prefix = Prefix(model, prompts, _shared(model, prompts))
        lengths = [len(prompt) - prefix.length + answer.length for prompt in prompts]
        for rows in packed(lengths, batch_tokens, max(1, most)):
            found[rows] = _halving(model, [prompts[row] for row in rows], answer, prefix, drafted)
    chosen, probability, mass, expected, strayed, failed, passes = np.moveaxis(found, -1, 0)
    return SlotScores(
        chosen.astype(np.int64), probability, mass, expected, strayed > 0, failed > 0, passes.astype(np.int64)
    )


def _shared(model: Any, prompts: Sequence[list[int]]) -> int:
    """How many tokens to read once for all prompts."""
    length = shared_length(prompts) if shareable(model) else 0
    pays = model.device.type != "cpu" or length * LEAST_SHARED * len(prompts) >= sum(map(len, prompts))
    return length if pays else 0


def packed(lengths: Sequence[int], most: int, rows: int = 2**31) -> Iterator[list[int]]:
    """Rows in batches: by length, and as many to a batch as fit into `most` tokens when all are padded to its longest.

    The longest come first, so that memory is known to suffice early. A row that is longer than `most` is alone. No
    batch has more than `rows`.

    >>> list(packed([5, 1, 4, 5, 2], 10))
    [[0, 3], [2, 4], [1]]
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if batch and (len(batch) == rows or (len(batch) + 1) * lengths[batch[0]] > most):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _halving(model: Any, prompts: list[list[int]], answer: AnswerTokens, prefix: Prefix, drafted: bool) -> np.ndarray:
    """`_score_batch`, in halves if a GPU's memory does not suffice."""
    import torch

    try:
        return _score_batch(model, prompts, answer, prefix, drafted)
    except torch.cuda.OutOfMemoryError as error:
        if len(prompts) == 1:
            raise ModelError(
                f"out of memory on {model.device} with one prompt of {len(prompts[0])} tokens: set rating.dtype to "
                "bfloat16, take a smaller model or a larger GPU, or set rating.device to cpu"
            ) from error
    torch.cuda.empty_cache()  # after the handler, whose traceback keeps tensors alive
    middle = len(prompts) // 2
    halves = prompts[:middle], prompts[middle:]
    return np.concatenate([_halving(model, half, answer, prefix, drafted) for half in halves])


def _score_batch(
    model: Any, prompts: list[list[int]], answer: AnswerTokens, prefix: Prefix, drafted: bool
) -> np.ndarray:
    """The values of SlotScores, float32, (prompts, slots, VALUES)."""
    own, values = [prompt[prefix.length :] for prompt in prompts], None
    if drafted:
        values = score_drafted(_reading(model, own, prefix), own, answer)
    if values is None:
        values = _score_stepwise(_reading(model, own, prefix), own, answer)
    found: np.ndarray = values.cpu().numpy()
    return found


def _reading(model: Any, prompts: list[list[int]], prefix: Prefix) -> Reading:
    return Reading(model, len(prompts), prefix.cache(len(prompts)), prefix.length)


def _score_stepwise(reading: Reading, prompts: list[list[int]], answer: AnswerTokens) -> Any:
    """The same values, a pass for each slot. Nothing waits for a GPU before the end."""
    import torch

    logits = reading.read(prompts)
    newline = torch.full((len(prompts),), answer.newline, device=logits.device)
    values = []
    for place, slot in enumerate(answer.slots, 1):
        allowed = torch.tensor(slot, device=logits.device)
        values.append(read_slot(logits[:, -1], allowed, place))
        if place < len(answer.slots):
            line = torch.stack([allowed[values[-1][:, 0].long()], newline], -1)
            logits = reading.append(line, torch.ones_like(line))
    return torch.stack(values, 1)
