"""`MixtureDataset`: the mixture stream as a torch `IterableDataset`, for DataLoader and torchdata's StatefulDataLoader.

    dataset = MixtureDataset("run/mixture.jsonl", parquet_groups("run/contexts"), batch_size=8)
    loader = DataLoader(dataset, batch_size=8, num_workers=2)
    for batch in loader:
        batch["input_ids"], batch["group"], batch["sample"]

To resume anywhere, with any number of ranks and workers: `dataset.seek(samples_trained)`, contexts over all ranks; or
`dataset.load_state_dict(state)`, which StatefulDataLoader does itself.
"""

from typing import TYPE_CHECKING, Any

from pipeline.data.stream import MixtureStream

if TYPE_CHECKING:
    MixtureDataset = MixtureStream


def __getattr__(name: str) -> Any:
    """Make the class when it is first asked for: it derives from one of torch, which is not to be imported before."""
    if name != "MixtureDataset":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from torch.utils.data import IterableDataset

    members = {"__module__": __name__, "__qualname__": name, "__doc__": MixtureStream.__doc__}
    return globals().setdefault(name, type(name, (MixtureStream, IterableDataset), members))
