"""A mixture that is estimated while a small model trains: in a plain loop, and in the Hugging Face Trainer.

    python benchmarks/mixture_trainers.py loop
    python benchmarks/mixture_trainers.py trainer    # needs accelerate

Both print the decisions; the data are made up, so the figures mean nothing. Copy what you need.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.data import MixtureRun
from pipeline.data.loops import facts_of
from pipeline.data.trainer import callback
from stages.mixture_aioli import Aioli
from stages.mixture_log import LogWriter, read_log
from stages.mixture_task import Task

BATCH, STEPS, LENGTH, VOCABULARY = 8, 60, 32, 64


class Counting:
    """A group of made-up contexts: counting in steps of its own. `parquet_groups` gives such sources from files."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __len__(self) -> int:
        return 1_000

    def rows(self, begin: int, end: int) -> list[Mapping[str, Any]]:
        """Contexts from `begin` to before `end`."""
        return [{"input_ids": (np.arange(LENGTH) * self.step + row) % VOCABULARY} for row in range(begin, end)]


SOURCES = {"ones": Counting(1), "sevens": Counting(7)}


def model_of() -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=32, n_layer=1, n_head=2))


def losses(model: Any) -> dict[str, float]:
    """The validation loss of each group (nats per token), on its last contexts."""
    import torch

    model.eval()
    with torch.no_grad():
        found = {name: _tokens(source.rows(990, 998)) for name, source in SOURCES.items()}
        values = {name: float(model(input_ids=tokens, labels=tokens).loss) for name, tokens in found.items()}
    model.train()
    return values


def run_of(path: Path, lag: int) -> MixtureRun:
    task = Task({name: len(source) for name, source in SOURCES.items()}, STEPS, BATCH)
    return MixtureRun(Aioli(task, rounds=3, lag=lag), LogWriter(path, facts_of(task, {}, "numbers")))


def loop(path: Path) -> None:
    """Decisions land at once; workers wait for them."""
    import torch
    from torch.utils.data import DataLoader

    from pipeline.data import MixtureDataset

    run, model = run_of(path, lag=0), model_of()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    dataset = MixtureDataset(path, SOURCES, batch_size=BATCH)
    run.tell(0, lambda: losses(model))
    for step, batch in enumerate(DataLoader(dataset, batch_size=BATCH, num_workers=1), start=1):
        model(input_ids=batch["input_ids"], labels=batch["input_ids"]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        run.tell(step, lambda: losses(model))


def trainer(path: Path) -> None:
    """Decisions land two steps later, since the Trainer fetches ahead."""
    from transformers import Trainer, TrainingArguments

    from pipeline.data import MixtureDataset

    run = run_of(path, lag=2)
    dataset = MixtureDataset(path, SOURCES, batch_size=BATCH)
    arguments = TrainingArguments(
        output_dir=str(path.parent / "out"),
        max_steps=STEPS,
        per_device_train_batch_size=BATCH,
        remove_unused_columns=False,
        ignore_data_skip=True,
        report_to=[],
    )
    told = [callback(run, dataset, losses)]
    Trainer(model_of(), arguments, data_collator=_collated, train_dataset=dataset, callbacks=told).train()


def _collated(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    tokens = _tokens(rows)
    return {"input_ids": tokens, "labels": tokens}


def _tokens(rows: list[Mapping[str, Any]]) -> Any:
    import torch

    return torch.tensor(np.stack([row["input_ids"] for row in rows]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=["loop", "trainer"])
    how = parser.parse_args().how
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mixture.jsonl"
        {"loop": loop, "trainer": trainer}[how](path)
        for entry in read_log(path).entries:
            shares = ", ".join(f"{name} {share:.2f}" for name, share in entry.decision.mixture.items())
            print(f"from sample {entry.sample}: {shares} ({entry.decision.reason})")


if __name__ == "__main__":
    main()
