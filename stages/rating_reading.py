"""Token sequences that a causal language model is reading, its key-value cache, and what prompts have in common."""

import copy
import inspect
from collections.abc import Sequence
from typing import Any


class Reading:
    """A batch of token sequences, padded on the left, and the model's key-value cache after them."""

    def __init__(self, model: Any, rows: int, cache: Any = None, length: int = 0) -> None:
        """`cache` holds `length` tokens of each of `rows` sequences."""
        import torch

        self._model = model
        self._accepted = inspect.signature(model.forward).parameters
        self._mask = torch.ones((rows, length), dtype=torch.long, device=model.device)
        self.cache = cache

    def read(self, rows: Sequence[list[int]], places: int = 1) -> Any:
        """Read on, with padding on the left. Gives the logits at `places` places, (rows, places, vocabulary).

        The last place is that of the last token, and each other one two tokens before the next.
        """
        import torch

        width = max(map(len, rows))
        padded = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        return self.append(padded.to(self._model.device), mask.to(self._model.device), places)

    def append(self, tokens: Any, mask: Any, places: int = 1) -> Any:
        """The same for tokens and mask as tensors, (rows, width)."""
        import torch

        width = tokens.shape[1]
        self._mask = torch.cat([self._mask, mask], -1)
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)[:, -width:]
        wanted = torch.arange(width + 1 - 2 * places, width, 2, device=tokens.device)
        optional = {"position_ids": positions, "logits_to_keep": 1 if places == 1 else wanted}
        answer = self._model(
            input_ids=tokens,
            attention_mask=self._mask,
            past_key_values=self.cache,
            use_cache=True,
            **{name: value for name, value in optional.items() if name in self._accepted},
        )
        self.cache = answer.past_key_values
        return answer.logits if answer.logits.shape[1] == places else answer.logits[:, wanted]

    @property
    def can_forget(self) -> bool:
        """Whether the cache can be taken back: it keeps all keys and values of all layers, and nothing else."""
        layers = getattr(self.cache, "layers", [])
        return bool(layers) and all(type(layer).__name__ == "DynamicLayer" for layer in layers)

    def forget(self, tokens: int) -> None:
        """Take back the last tokens of all sequences."""
        self.cache.crop(-tokens)
        self._mask = self._mask[:, : self._mask.shape[1] - tokens]

    def select(self, rows: Any) -> None:
        """Go on with some of the sequences, given by a tensor of indices."""
        self.cache.batch_select_indices(rows)
        self._mask = self._mask[rows]


class Prefix:
    """The tokens that all prompts begin with, read once."""

    def __init__(self, model: Any, prompts: Sequence[list[int]], length: int) -> None:
        self.length = length
        self._cache = None
        if length:
            reading = Reading(model, 1)
            reading.read([prompts[0][:length]])
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


def shareable(model: Any) -> bool:
    """Whether padding may stand between shared tokens and the rest: not where distance counts places in the cache."""
    return sees_everything(model) and "position_ids" in inspect.signature(model.forward).parameters


def sees_everything(model: Any) -> bool:
    """Whether all layers attend to all tokens, so that a cache can be taken back."""
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    return set(kinds) == {"full_attention"} if kinds else getattr(config, "sliding_window", None) is None
