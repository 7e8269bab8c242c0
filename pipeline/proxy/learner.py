"""A model in training: weights, optimizer, learning rate, the order of its windows, and all of that as a state."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pipeline.data.contexts import INPUT_IDS, ContextSource
from pipeline.proxy.losses import summed_loss, window_losses
from pipeline.proxy.ranks import Ranks
from pipeline.proxy.windows import Windows
from stages.mixture_estimator import Segment, State
from stages.mixture_schedule import Schedule, Span

_WARM, _LEAST = 0.05, 0.1
_BETAS, _DECAY, _CLIP = (0.9, 0.95), 0.1, 1.0
Row = Mapping[str, Any]
_MOMENTS = ("exp_avg", "exp_avg_sq")


def rate_at(step: int, steps: int, highest: float) -> float:
    """The learning rate of a step: up in a twentieth of the steps, then a cosine down to a tenth.

    >>> [round(rate_at(step, 100, 1.0), 3) for step in (0, 4, 5, 52, 99)]
    [0.2, 1.0, 1.0, 0.557, 0.1]
    """
    warm = max(int(_WARM * steps), 1)
    if step < warm:
        return highest * (step + 1) / warm
    done = (step - warm) / max(steps - warm, 1)
    return highest * (_LEAST + (1 - _LEAST) * (1 + math.cos(math.pi * done)) / 2)


@dataclass
class Learner:
    """A model on its way through `steps` steps, of the run or of a trial."""

    model: Any
    schedule: Schedule
    steps: int
    batch: int
    highest: float
    """Learning rate."""
    ranks: Ranks
    trial: str | None = None
    step: int = 0
    updates: int = 0
    """Steps whose gradient was finite."""
    tokens: int = 0
    """Trained on."""
    _spans: list[Span] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Make the optimizer: matrices decay, vectors do not."""
        import torch

        parameters = [parameter for _, parameter in self._named()]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": _DECAY},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=self.highest, betas=_BETAS)

    def follow(self, segment: Segment) -> None:
        """Take a segment into the order of windows, unless it is there already."""
        begin, end = self.schedule.end, segment.end * self.batch
        if end > begin:
            self._extend(Span(begin, end, segment.mixture, segment.kind))

    def train(self, sources: Mapping[str, ContextSource]) -> int:
        """A step on the next batch; tokens that were trained on, over all ranks. A gradient that is not finite is left
        out."""
        import torch

        rows = self._rows(sources)
        tokens, counts = tensors(rows, self._device)
        count = int(self.ranks.total((counts - 1).sum()))
        (summed_loss(self.model, tokens, counts) / count).backward()
        parameters = [parameter for _, parameter in self._named()]
        self.ranks.total_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
        for group in self._optimizer.param_groups:
            group["lr"] = rate_at(self.step, self.steps, self.highest)
        if bool(torch.isfinite(norm)):
            self._optimizer.step()
            self.updates += 1
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += count
        return count

    def losses(self, validation: Mapping[str, Windows]) -> tuple[dict[str, float], int]:
        """Mean token cross-entropy (nats) of each group, and the tokens that were looked at, over all ranks."""
        import torch

        found = torch.zeros((len(validation), 2), dtype=torch.float64, device=self._device)
        rows = [(number, row) for number, windows in enumerate(validation.values()) for row in _all(windows)]
        mine = rows[self.ranks.number :: self.ranks.count]
        for begin in range(0, len(mine), self.batch):
            part = mine[begin : begin + self.batch]
            tokens, counts = tensors([row for _, row in part], self._device)
            values = torch.stack([window_losses(self.model, tokens, counts), (counts - 1).double()], dim=1)
            found.index_add_(0, torch.tensor([number for number, _ in part], device=self._device), values)
        sums = self.ranks.total(found).cpu().numpy()
        return dict(zip(validation, (sums[:, 0] / sums[:, 1]).tolist(), strict=True)), int(sums[:, 1].sum())

    def tensors(self) -> dict[str, Any]:
        """Weights and moments by name."""
        found = {f"weight.{name}": parameter.detach() for name, parameter in self._named()}
        for name, parameter in self._named():
            state = self._optimizer.state.get(parameter, {})
            found |= {f"{moment}.{name}": state[moment] for moment in _MOMENTS if moment in state}
        return found

    def state_dict(self) -> State:
        """The rest, as JSON."""
        spans = [asdict(span) for span in self._spans]
        return {"step": self.step, "updates": self.updates, "tokens": self.tokens, "spans": spans, "trial": self.trial}

    def load(self, state: State, tensors: Mapping[str, Any]) -> None:
        """Go on from a state."""
        import torch

        for span in state["spans"]:
            self._extend(Span(**span))
        self.step, self.updates, self.tokens = state["step"], state["updates"], state["tokens"]
        with torch.no_grad():
            for name, parameter in self._named():
                parameter.copy_(tensors[f"weight.{name}"])
        for name, parameter in self._named():
            if f"{_MOMENTS[0]}.{name}" not in tensors:  # never had a gradient
                continue
            moments = {moment: tensors[f"{moment}.{name}"].to(parameter.device) for moment in _MOMENTS}
            self._optimizer.state[parameter] = {"step": torch.tensor(float(self.updates)), **moments}

    def _rows(self, sources: Mapping[str, ContextSource]) -> list[Row]:
        """This rank's part of the batch."""
        begin = self.step * self.batch
        block = next(self.schedule.blocks(begin))
        assert block.begin == begin, "blocks are batches"
        mine = slice(self.ranks.number, None, self.ranks.count)
        found = []
        for group, drawn in zip(block.groups[mine], block.drawn[mine], strict=True):
            source = sources[self.schedule.groups[group]]
            place = int(drawn) % len(source)
            found.append(source.rows(place, place + 1)[0])
        return found

    def _extend(self, span: Span) -> None:
        self._spans.append(span)
        self.schedule.extend(span)

    def _named(self) -> list[tuple[str, Any]]:
        return [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]

    @property
    def _device(self) -> Any:
        return next(self.model.parameters()).device


def tensors(rows: Sequence[Row], device: Any) -> tuple[Any, Any]:
    """Windows as a padded array of token ids (n, longest), and the number of tokens in each (n,)."""
    import torch

    counts = np.array([len(row[INPUT_IDS]) for row in rows], np.int64)
    tokens = np.zeros((len(rows), int(counts.max())), np.int64)
    for place, row in enumerate(rows):
        tokens[place, : counts[place]] = row[INPUT_IDS]
    return torch.from_numpy(tokens).to(device), torch.from_numpy(counts).to(device)


def _all(windows: Windows) -> list[Row]:
    return list(windows.rows(0, len(windows)))
