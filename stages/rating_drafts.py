"""Slot scoring in few passes: a whole answer is drafted, all its slots are read at once, and wrong ones are replaced.

The first pass reads the prompt and a draft that is the same for every document, and gives the logits of all slots. A
slot is final as soon as all slots before it held the right tokens. The draft's other tokens are replaced by the best
allowed ones, and the answer is read again from the first that was wrong; what was right stays in the key-value cache:

    3 3 3 3 3 -> best: 4 3 5 4 4   the first slot is final: 4
    4 3 5 4 4 -> best:   4 5 4 4   the second is final, and was wrong: 4
      4 5 4 4 -> best:     5 4 4   5, and since it was right the next is final too, and so on: finished

Each pass makes at least one more slot of each row final, and a row whose draft agrees with its best tokens has
converged: to the greedy answer, slot for slot. Rows that are finished leave the batch. How many passes a row takes
depends on the model and on nothing but the row.

Source: Jacobi decoding, as in "Accelerating Transformer Inference for Translation via Parallel Decoding" and "Break the
Sequential Dependency of LLM Inference Using Lookahead Decoding", here with an answer of fixed length and shape.
"""

from collections.abc import Sequence
from typing import Any

from stages.rating_reading import Reading
from stages.rating_shape import VALUES, AnswerTokens, read_slot


def score_drafted(reading: Reading, prompts: Sequence[list[int]], answer: AnswerTokens) -> Any | None:
    """Values of all slots, float32, (prompts, slots, VALUES); None if the model's cache cannot be taken back."""
    draft = [slot[len(slot) // 2] for slot in answer.slots]
    lines = [token for one in draft[:-1] for token in (one, answer.newline)]
    logits = reading.read([[*prompt, *lines] for prompt in prompts], len(draft))
    answers = _Answers(answer, len(prompts), logits.device)
    answers.enter(logits)
    while len(answers.rows):
        if not reading.can_forget:
            return None
        kept = answers.unfinished()
        if len(kept) < len(answers.rows):
            reading.select(kept)
            answers.keep(kept)
        if len(kept):
            lines, slots = answers.lines()
            reading.forget(lines.shape[1])
            answers.enter(reading.append(lines, lines.new_ones(lines.shape), slots))
    return answers.values


class _Answers:
    """The answers to a batch of prompts as far as they are known."""

    def __init__(self, answer: AnswerTokens, prompts: int, device: Any) -> None:
        import torch

        slots = len(answer.slots)
        self._newline = answer.newline
        self._allowed = [torch.tensor(slot, device=device) for slot in answer.slots]
        self.values = torch.zeros((prompts, slots, VALUES), device=device)
        self.rows = torch.arange(prompts, device=device)
        """Prompts whose answers are being read, (rows,); the three that follow are theirs."""
        middle = torch.tensor([len(slot) // 2 for slot in answer.slots], device=device)
        self._chosen = middle.expand(prompts, slots).clone()
        """The draft: indices of allowed tokens, (rows, slots)."""
        self._final = torch.zeros(prompts, dtype=torch.long, device=device)
        """How many slots are final, (rows,)."""
        self._passes = 0

    def enter(self, logits: Any) -> None:
        """Take note of the logits of the last slots, (rows, some slots, vocabulary), that followed the draft."""
        import torch

        self._passes += 1
        slots = len(self._allowed)
        begin = slots - logits.shape[1]
        found = self.values[self.rows]
        for place in range(begin, slots):
            found[:, place] = read_slot(logits[:, place - begin], self._allowed[place], self._passes)
        places, before = torch.arange(slots, device=logits.device), self._final[:, None]
        chosen = torch.where(places < before, self._chosen, found[..., 0].long())
        right = (chosen == self._chosen).long().cumprod(-1).sum(-1)
        self._final = (right + 1).clamp(max=slots)
        fresh = (places >= before) & (places < self._final[:, None])
        self.values[self.rows] = torch.where(fresh[..., None], found, self.values[self.rows])
        self._chosen = chosen

    def unfinished(self) -> Any:
        """Indices among the rows."""
        return (self._final < len(self._allowed)).nonzero()[:, 0]

    def keep(self, rows: Any) -> None:
        """Go on with these."""
        self.rows, self._chosen, self._final = self.rows[rows], self._chosen[rows], self._final[rows]

    def lines(self) -> tuple[Any, int]:
        """What must be read again, from the last slot that is final in all rows, and how many slots follow it.

        Tokens and newlines: (rows, 2 * slots that follow).
        """
        import torch

        begin = int(self._final.min())
        places = range(begin - 1, len(self._allowed) - 1)
        tokens = torch.stack([self._allowed[place][self._chosen[:, place]] for place in places], -1)
        return torch.stack([tokens, torch.full_like(tokens, self._newline)], -1).flatten(1), len(places)
