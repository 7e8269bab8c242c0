"""Token losses of a causal language model: summed to train on, by window to measure with (cross-entropy, nats).

A small model with a vocabulary of thousands spends most of its time on the head, and most of that on moving logits
through memory. For models whose head is one plain matrix, logits are made a few tokens at a time, in cache, and their
gradient with them, so they are never kept. All other models are asked for their logits.
"""

from functools import cache
from typing import Any

_PLAIN_HEADS = ("llama", "gpt_neox", "qwen2", "mistral", "gpt2")
"""Architectures whose logits are hidden states times one matrix, and nothing else."""
_CHUNK = {"cpu": 1 << 19, "cuda": 1 << 26}
"""Logits that are made at once."""


def summed_loss(model: Any, tokens: Any, counts: Any) -> Any:
    """Sum of the losses of windows (n, length) of which `counts` (n,) tokens are real; differentiable."""
    import torch

    targets, told = _targets(tokens, counts)
    if model.config.model_type in _PLAIN_HEADS:
        hidden = _hidden(model, tokens)[told]
        return _head_loss().apply(hidden, model.get_output_embeddings().weight, targets[told])
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits[told].float(), targets[told], reduction="sum")


def window_losses(model: Any, tokens: Any, counts: Any) -> Any:
    """Summed loss of each window, float64 (n,); no gradient."""
    import torch

    with torch.no_grad():
        targets, told = _targets(tokens, counts)
        if model.config.model_type in _PLAIN_HEADS:
            found = _token_losses(_hidden(model, tokens)[told], model.get_output_embeddings().weight, targets[told])
        else:
            logits = model(input_ids=tokens, use_cache=False).logits[:, :-1][told].float()
            found = torch.nn.functional.cross_entropy(logits, targets[told], reduction="none")
        rows = torch.arange(len(tokens), device=tokens.device)[:, None].expand_as(told)[told]
        return torch.zeros(len(tokens), dtype=torch.float64, device=tokens.device).index_add_(0, rows, found.double())


def _targets(tokens: Any, counts: Any) -> tuple[Any, Any]:
    """The next token of each place (n, length - 1), and whether it is real."""
    import torch

    places = torch.arange(1, tokens.shape[1], device=tokens.device)
    return tokens[:, 1:], places[None, :] < counts[:, None]


def _hidden(model: Any, tokens: Any) -> Any:
    """Last hidden states of all places but the last (n, length - 1, width)."""
    return model.base_model(input_ids=tokens, use_cache=False).last_hidden_state[:, :-1]


def _token_losses(hidden: Any, weight: Any, targets: Any) -> Any:
    import torch

    size = _chunk(weight)
    found = [
        torch.nn.functional.cross_entropy((part @ weight.T).float(), aims, reduction="none")
        for part, aims in zip(hidden.split(size), targets.split(size), strict=True)
    ]
    return torch.cat(found) if found else hidden.new_zeros(0)


def _chunk(weight: Any) -> int:
    return max(_CHUNK.get(weight.device.type, 1 << 22) // len(weight), 1)


@cache
def _head_loss() -> Any:
    """The autograd function of a head's summed loss, made when it is first asked for: it derives from one of torch."""
    import torch

    class HeadLoss(torch.autograd.Function):
        """Hidden states (n, width), head (vocabulary, width), next tokens (n,) -> summed loss; gradients come along."""

        @staticmethod
        def forward(context: Any, hidden: Any, weight: Any, targets: Any) -> Any:
            size = _chunk(weight)
            total = torch.zeros((), dtype=torch.float64, device=hidden.device)
            of_hidden, of_weight = torch.empty_like(hidden), torch.zeros_like(weight)
            for begin in range(0, len(hidden), size):
                part, aims = hidden[begin : begin + size], targets[begin : begin + size, None]
                logs = torch.log_softmax((part @ weight.T).float(), dim=1)
                total -= logs.gather(1, aims).double().sum()
                slopes = logs.exp_().scatter_add_(1, aims, logs.new_full(aims.shape, -1.0)).to(part.dtype)
                torch.mm(slopes, weight.to(part.dtype), out=of_hidden[begin : begin + size])
                of_weight.addmm_(slopes.T.to(weight.dtype), part.to(weight.dtype))
            context.save_for_backward(of_hidden, of_weight)
            return total

        @staticmethod
        def backward(context: Any, slope: Any) -> Any:
            of_hidden, of_weight = context.saved_tensors
            return of_hidden * slope.to(of_hidden.dtype), of_weight * slope.to(of_weight.dtype), None

    return HeadLoss
