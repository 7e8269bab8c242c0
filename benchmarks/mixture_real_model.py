"""Many small language models of bytes that train at once: every parameter has a leading axis of replicas.

A replica is a transformer of one layer (pre-norm, no gains), with an optimizer (Adam), a learning rate and a count of
steps of its own; what is shared is each call into torch. All weights are one matrix, a row a replica, so that a replica
starts, is copied and is averaged as a vector.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Windows = npt.NDArray[np.int64]

CONTEXT, BYTES, SEEN = 256, 256, 3
_EPSILON, _FIRST, _SECOND = 1e-8, 0.9, 0.95


@dataclass(frozen=True)
class Shape:
    """Sizes of the model."""

    width: int = 48
    heads: int = 3

    def weights(self) -> list[tuple[str, tuple[int, int]]]:
        """Name and shape of each weight, in the order of the vector."""
        wide = 4 * self.width
        return [
            ("bytes", (BYTES * SEEN, self.width)),
            ("places", (CONTEXT, self.width)),
            ("query", (self.width, 3 * self.width)),
            ("output", (self.width, self.width)),
            ("up", (self.width, wide)),
            ("down", (wide, self.width)),
            ("head", (self.width, BYTES)),
        ]

    @property
    def parameters(self) -> int:
        """How many there are."""
        return sum(math.prod(size) for _, size in self.weights())

    def initial(self, seed: int) -> torch.Tensor:
        """First weights (parameters,): normal, by the width that goes in."""
        random = torch.Generator().manual_seed(seed)
        drawn = []
        for name, size in self.weights():
            scale = 0.02 if name in ("bytes", "places") else size[0] ** -0.5 * (0.3 if name == "head" else 1.0)
            drawn.append(scale * torch.randn(math.prod(size), generator=random))
        return torch.cat(drawn)


class Replicas:
    """Models of one shape that train side by side."""

    def __init__(self, shape: Shape, vectors: torch.Tensor) -> None:
        """Start with these weights (replicas, parameters)."""
        self.shape, self.flat = shape, vectors.contiguous()
        self._slope, self._mean, self._square = (torch.zeros_like(self.flat) for _ in range(3))
        self._steps = np.zeros(len(vectors))
        self._weights = self._views(self.flat, self._slope)

    def __len__(self) -> int:
        """Number of replicas."""
        return len(self.flat)

    def with_more(self, vectors: torch.Tensor) -> "Replicas":
        """These, and after them replicas that start with these weights."""
        more = Replicas(self.shape, vectors)
        both = Replicas(self.shape, torch.cat([self.flat, more.flat]))
        both._mean = torch.cat([self._mean, more._mean])
        both._square = torch.cat([self._square, more._square])
        both._steps = np.concatenate([self._steps, more._steps])
        return both

    def keep(self, slots: Sequence[int]) -> "Replicas":
        """Only these, in this order."""
        kept = Replicas(self.shape, self.flat[list(slots)])
        kept._mean, kept._square = self._mean[list(slots)], self._square[list(slots)]
        kept._steps = self._steps[list(slots)]
        return kept

    def step(self, batch: Windows, rates: npt.NDArray[np.float64]) -> None:
        """One step of Adam on windows (replicas, contexts, CONTEXT + 1); gradients are clipped to a length of 1."""
        self._slope.zero_()
        _losses(self.shape, self._weights, torch.from_numpy(batch)).mean(1).sum().backward()
        self._steps += 1
        slope = self._slope
        slope.mul_((1 / slope.norm(dim=1, keepdim=True)).clamp(max=1))
        self._mean.lerp_(slope, 1 - _FIRST)
        self._square.mul_(_SECOND).addcmul_(slope, slope, value=1 - _SECOND)
        scale = rates * np.sqrt(1 - _SECOND**self._steps) / (1 - _FIRST**self._steps)
        change = self._mean / self._square.sqrt().add_(_EPSILON)
        self.flat.sub_(change.mul_(torch.from_numpy(scale).float()[:, None]))

    def losses(self, slots: Sequence[int], windows: Windows) -> npt.NDArray[np.float64]:
        """Mean loss (nats a byte) of each window: (slots, windows) of windows (slots, windows, CONTEXT + 1)."""
        return losses_of(self.shape, self.flat[list(slots)], windows)

    def _views(self, flat: torch.Tensor, slope: torch.Tensor) -> dict[str, torch.Tensor]:
        found, begin = {}, 0
        for name, size in self.shape.weights():
            end = begin + math.prod(size)
            weight = flat[:, begin:end].view(-1, *size).detach().requires_grad_()
            weight.grad = slope[:, begin:end].view(-1, *size)
            found[name], begin = weight, end
        return found


def losses_of(shape: Shape, vectors: torch.Tensor, windows: Windows, at_once: int = 16) -> npt.NDArray[np.float64]:
    """Mean loss (nats a byte) of each window (models, windows) under models given as vectors (models, parameters)."""
    weights, begin = {}, 0
    for name, size in shape.weights():
        end = begin + math.prod(size)
        weights[name], begin = vectors[:, begin:end].view(-1, *size), end
    parts = []
    with torch.no_grad():
        for first in range(0, windows.shape[1], at_once):
            part = torch.from_numpy(np.ascontiguousarray(windows[:, first : first + at_once]))
            parts.append(_losses(shape, weights, part).numpy())
    return np.concatenate(parts, axis=1).astype(np.float64)


def _losses(shape: Shape, weights: dict[str, torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
    """Mean loss of each window (replicas, contexts)."""
    count, contexts, length = batch.shape[0], batch.shape[1], batch.shape[2] - 1
    x = _embedded(shape, weights["bytes"], batch[:, :, :-1]) + weights["places"][:, None, :length]
    x = x.view(count, contexts * length, shape.width)
    x = x + torch.bmm(_attended(shape, torch.bmm(_norm(x), weights["query"]), count * contexts), weights["output"])
    x = x + torch.bmm(functional.relu(torch.bmm(_norm(x), weights["up"])), weights["down"])
    guesses = torch.bmm(_norm(x), weights["head"]).view(-1, BYTES)
    found: Any = functional.cross_entropy(guesses, batch[:, :, 1:].reshape(-1), reduction="none")
    return found.view(count, contexts, length).mean(2)


def _embedded(shape: Shape, tables: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
    """The sum of the vectors of a byte and of the two before it, each place with a table of its own."""
    flat, total = tables.reshape(-1, shape.width), torch.zeros(())
    for back in range(SEEN):
        table = (torch.arange(len(read)) * SEEN + back).view(-1, 1, 1) * BYTES
        total = total + functional.embedding(functional.pad(read, (back, 0))[:, :, : read.shape[2]] + table, flat)
    return total


def _attended(shape: Shape, projected: torch.Tensor, contexts: int) -> torch.Tensor:
    """Causal attention inside each context; `projected` (replicas, tokens, 3 width) holds queries, keys and values."""
    parts = projected.view(contexts, -1, 3, shape.heads, shape.width // shape.heads).permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
    return mixed.transpose(1, 2).reshape(projected.shape[0], -1, shape.width)


def _norm(x: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:])
