"""Train a model whose mixture is decided while it trains, and go on where it was stopped: an example, to be copied.

    python jobs/train_online.py runs/online --output runs/online/model --steps 400
    python jobs/train_online.py runs/online --output runs/online/model --steps 400 --prior runs/mine/mixture.jsonl

Aioli probes each group within the run, measures the validation losses of all, and moves the shares; every decision is
a line of OUTPUT/mixture.jsonl before a sample is trained on it. The last contexts of each group validate and are not
trained on. Killed at any moment, the same command goes on from OUTPUT/checkpoint.pt, on the same order of data; under
other settings it refuses to. At the end the trained model is in OUTPUT/checkpoint.pt.
With `--prior` a tenth of the steps is trained first on the last mixture of another log of the same groups.

For the Hugging Face Trainer, `pipeline.data.trainer` has a callback that does the same.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from jobs.train_on_mixture import collated, model_of
from pipeline.data import ContextSource, Held, MixtureDataset, MixtureRun, parquet_groups
from pipeline.data.loops import facts_of
from stages.errors import InputError, TamisError
from stages.mixture_aioli import Aioli
from stages.mixture_log import LogWriter, read_log
from stages.mixture_task import Task

Sources = Mapping[str, ContextSource]
RATE = 3e-3
"""Learning rate."""


def main() -> None:
    """Train, and print what was decided."""
    arguments = _arguments()
    try:
        train(arguments)
    except TamisError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def train(arguments: argparse.Namespace) -> None:
    """A plain loop: tell the estimator the losses that it wants, and train on what it serves."""
    from torch.utils.data import DataLoader

    groups = parquet_groups(arguments.run / "contexts")
    sources, held = _divided(groups, arguments.held)
    task = Task({name: len(source) for name, source in sources.items()}, arguments.steps, arguments.batch)
    writer = _writer(task, sources, arguments)
    learner = _learner(model_of(arguments, groups), arguments)
    run = MixtureRun(_estimator(task, arguments), writer, learner.estimator)
    dataset = MixtureDataset(arguments.output / "mixture.jsonl", dict(sources), arguments.batch)
    dataset.seek(learner.step * arguments.batch)
    _tell(run, learner, held)
    for rows in DataLoader(dataset, arguments.batch, collate_fn=lambda rows: rows):
        learner.train(rows)
        _tell(run, learner, held)
        if learner.step % arguments.every == 0:
            learner.save(run.state_dict())
    learner.save(run.state_dict())


@dataclass
class Learner:
    """A model with its optimizer, and how far it is; yours goes here."""

    model: Any
    optimizer: Any
    tokens: int
    checkpoint: Path
    step: int = 0
    estimator: Any = None
    """The estimator's state in the checkpoint."""

    def train(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """One step."""
        self.model(**collated(list(rows), self.tokens)).loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1

    def loss(self, rows: Iterable[Mapping[str, Any]]) -> float:
        """Mean validation loss, nats per token."""
        import torch

        with torch.no_grad():
            return float(self.model(**collated(list(rows), self.tokens)).loss)

    def save(self, estimator: Any) -> None:
        """Model, optimizer and the estimator's state, whole or not at all."""
        import torch

        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        new = self.checkpoint.with_suffix(".new")
        torch.save({**state, "step": self.step, "estimator": estimator}, new)
        new.replace(self.checkpoint)


def _learner(model: Any, arguments: argparse.Namespace) -> Learner:
    """As it was saved, or at the start."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    learner = Learner(model, optimizer, arguments.tokens, arguments.output / "checkpoint.pt")
    if learner.checkpoint.exists():
        state = torch.load(learner.checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        learner.step, learner.estimator = state["step"], state["estimator"]
    return learner


def _divided(groups: Sources, held: int) -> tuple[dict[str, Held], dict[str, Held]]:
    """What is trained on, and what validates: of small groups a quarter."""
    ends = {name: len(source) - max(1, min(held, len(source) // 4)) for name, source in groups.items()}
    first = {name: Held(source, 0, ends[name]) for name, source in groups.items()}
    return first, {name: Held(source, ends[name], len(source)) for name, source in groups.items()}


def _estimator(task: Task, arguments: argparse.Namespace) -> Aioli:
    """Raises ConfigError if there are too few steps to probe every group in each round, or the prior is of others."""
    prior = dict(read_log(arguments.prior).entries[-1].decision.mixture) if arguments.prior else None
    return Aioli(task, arguments.rounds, prior=prior, warm_steps=arguments.steps // 10 if prior else 0)


def _writer(task: Task, sources: Mapping[str, Held], arguments: argparse.Namespace) -> LogWriter:
    """Raises ConfigError if the log is of other data or settings, InputError if the run or the prior is not there."""
    checksums = {name: source.checksum for name, source in sources.items()}
    facts = facts_of(task, checksums, _tokenizer(arguments.run / "manifest.json"), _settings(arguments))
    arguments.output.mkdir(parents=True, exist_ok=True)
    return LogWriter(arguments.output / "mixture.jsonl", facts)


def _settings(arguments: argparse.Namespace) -> str:
    """What the facts do not hold already, in words, so that a refusal shows what differs; of the prior its checksum."""
    prior = "none"
    if arguments.prior:
        if not arguments.prior.is_file():
            raise InputError(f"--prior: {arguments.prior} is no file: expected the mixture.jsonl of another run")
        prior = hashlib.sha256(arguments.prior.read_bytes()).hexdigest()[:16]
    told = {name: getattr(arguments, name) for name in ("rounds", "tokens", "every")}
    return ", ".join(f"{name} {value}" for name, value in {**told, "rate": RATE, "prior": prior}.items())


def _tokenizer(manifest: Path) -> str:
    """The id of the tokenizer whose tokens the contexts hold."""
    import orjson

    try:
        return str(orjson.loads(manifest.read_bytes())["contexts"]["tokenizer"])
    except FileNotFoundError:
        raise InputError(f"{manifest} is missing, so the run is not finished: finish it with `tamis run`") from None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        why = "names no tokenizer of contexts, so the run packed none"
        raise InputError(f"{manifest} {why}: end its chain with `pack`, see configs/recipes/online.yaml") from None


def _tell(run: MixtureRun, learner: Learner, held: Sources) -> None:
    decision = run.tell(
        learner.step, lambda: {name: learner.loss(rows.rows(0, len(rows))) for name, rows in held.items()}
    )
    if decision:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in sorted(decision.mixture.items()))
        print(f"step {learner.step}: {'moved' if decision.moved else 'held'}: {shares}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory with contexts/")
    parser.add_argument("--output", type=Path, required=True, help="directory of the log and the checkpoint")
    parser.add_argument("--prior", type=Path, help="a mixture log to start from")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8, help="contexts in a step")
    parser.add_argument("--tokens", type=int, default=256, help="of each context, its first")
    parser.add_argument("--rounds", type=int, default=4, help="decisions")
    parser.add_argument("--held", type=int, default=8, help="contexts of each group that validate")
    parser.add_argument("--every", type=int, default=50, help="steps from one checkpoint to the next")
    return parser.parse_args()


if __name__ == "__main__":
    main()
