"""Mixed training data for any trainer: `MixtureDataset` serves packed contexts in the order that a mixture log gives.

In reading order: `contexts` (where rows come from), `held` (a range of them), `stream` (the order, ranks, workers,
resuming), `dataset` (that as a torch `IterableDataset`), `loops` (an estimator beside a plain loop), `trainer` (and in
the Hugging Face Trainer).
Nothing here imports torch until `MixtureDataset` is asked for.
"""

from typing import TYPE_CHECKING, Any

from pipeline.data.contexts import ContextSource, ParquetContexts, parquet_groups
from pipeline.data.held import Held
from pipeline.data.loops import MixtureRun
from pipeline.data.stream import MixtureStream

if TYPE_CHECKING:
    from pipeline.data.dataset import MixtureDataset

__all__ = [
    "ContextSource",
    "Held",
    "MixtureDataset",
    "MixtureRun",
    "MixtureStream",
    "ParquetContexts",
    "parquet_groups",
]


def __getattr__(name: str) -> Any:
    """`MixtureDataset`, which needs torch, when it is first asked for."""
    if name == "MixtureDataset":
        from pipeline.data import dataset

        return dataset.MixtureDataset
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
