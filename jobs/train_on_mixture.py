"""Train a small model in the order of a run's mixture log: an example of the sampler, to be copied.

    python jobs/train_on_mixture.py runs/mine loop --steps 100
    python jobs/train_on_mixture.py runs/mine trainer --steps 100     # the Hugging Face Trainer; needs accelerate

Prints the training loss and the share of each group that was served. Resume a loop with `dataset.seek(samples)`.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.data import MixtureDataset, parquet_groups

Served = Counter[str]


def main() -> None:
    """Train, and print what was served."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory with contexts/ and mixture.jsonl")
    parser.add_argument("how", choices=["loop", "trainer"])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=4, help="contexts in a step")
    parser.add_argument("--tokens", type=int, default=256, help="of each context, its first")
    arguments = parser.parse_args()
    groups = parquet_groups(arguments.run / "contexts")
    dataset = MixtureDataset(arguments.run / "mixture.jsonl", dict(groups), batch_size=arguments.batch)
    served: Served = Counter()
    {"loop": loop, "trainer": trainer}[arguments.how](dataset, model_of(arguments, groups), arguments, served)
    for name, count in sorted(served.items()):
        print(f"{name}: {count / served.total():.1%} of {served.total()} contexts")


def loop(dataset: Any, model: Any, arguments: argparse.Namespace, served: Served) -> None:
    """A plain loop."""
    import torch
    from torch.utils.data import DataLoader

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batches = DataLoader(dataset, arguments.batch, collate_fn=lambda rows: rows)
    for step, rows in zip(range(1, arguments.steps + 1), batches, strict=False):
        served.update(row["group"] for row in rows)
        loss = model(**collated(rows, arguments.tokens)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"step {step}: loss {loss.item():.3f}, {step * arguments.batch} samples")


def trainer(dataset: Any, model: Any, arguments: argparse.Namespace, served: Served) -> None:
    """The Hugging Face Trainer."""
    from transformers import Trainer, TrainingArguments

    def together(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
        served.update(row["group"] for row in rows)
        return collated(rows, arguments.tokens)

    settings = TrainingArguments(
        output_dir=str(arguments.run / "trained"),
        max_steps=arguments.steps,
        per_device_train_batch_size=arguments.batch,
        remove_unused_columns=False,
        save_strategy="no",
        report_to=[],
    )
    Trainer(model, settings, data_collator=together, train_dataset=dataset).train()


def model_of(arguments: argparse.Namespace, groups: Mapping[str, Any]) -> Any:
    """A model of a few layers, from scratch."""
    from pipeline.proxy.model import make_model
    from pipeline.proxy.vocabulary import vocabulary_of

    vocabulary = vocabulary_of(path for source in groups.values() for path in source.paths)
    return make_model("tiny", vocabulary, arguments.tokens, seed=0).train()


def collated(rows: list[Mapping[str, Any]], most: int) -> dict[str, Any]:
    """Token ids (n, longest), padded, and labels that leave out the padding."""
    import torch

    ids = [torch.as_tensor(row["input_ids"][:most]).long() for row in rows]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    return {"input_ids": padded, "labels": torch.nn.utils.rnn.pad_sequence(ids, True, -100)}


if __name__ == "__main__":
    main()
