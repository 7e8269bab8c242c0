"""The tokens of an answer of fixed shape, and what the logits at one of its slots say."""

from dataclasses import dataclass
from typing import Any

VALUES = 7
"""Numbers that are read at a slot, in the order of `rating_slots.SlotScores`."""


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


def read_slot(logits: Any, allowed: Any, number: int) -> Any:
    """The values of one slot, float32, (rows, VALUES), from logits (rows, vocabulary) of pass `number`."""
    import torch

    logits = logits.float()
    inside, total = logits[:, allowed], logits.logsumexp(-1, keepdim=True)
    own = logits.argmax(-1, keepdim=True) == allowed
    strayed = ~own.any(-1)
    chosen = torch.where(strayed, inside.argmax(-1), own.int().argmax(-1))
    shares = (inside - total).exp()
    meanings = torch.arange(1, len(allowed) + 1, device=logits.device, dtype=torch.float32)
    expected = inside.softmax(-1) @ meanings
    probability = shares.gather(-1, chosen[:, None])[:, 0]
    failed = ~total[:, 0].isfinite()
    passes = torch.full_like(probability, number)
    values = [chosen.float(), probability, shares.sum(-1), expected, strayed.float(), failed.float(), passes]
    return torch.stack(values, -1)
