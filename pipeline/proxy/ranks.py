"""The processes that train one proxy together: this one alone, or those of torchrun.

Every rank holds the same weights and the same estimator, and takes its share of each batch; gradients and losses are
summed over all. Rank 0 writes.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stages.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """This process among `count`."""

    number: int = 0
    count: int = 1

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.number == 0

    def check(self, batch: int) -> None:
        """Raise ConfigError unless all ranks take the same part of a batch."""
        if batch % self.count:
            raise ConfigError(f"mixture.batch: found {batch}, expected a multiple of the {self.count} processes")

    def total(self, values: Any) -> Any:
        """A tensor summed over all ranks, in place; the same bytes on each."""
        if self.count > 1:
            import torch.distributed as dist

            dist.all_reduce(values)
        return values

    def total_gradients(self, parameters: Iterable[Any]) -> None:
        """Sum the gradients of all ranks, in one message."""
        if self.count == 1:
            return
        import torch

        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.total(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.count > 1:
            import torch.distributed as dist

            dist.barrier()


@contextmanager
def joined(*, gpu: bool) -> Iterator[Ranks]:
    """The ranks that torchrun started, or this process alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    import torch.distributed as dist

    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
