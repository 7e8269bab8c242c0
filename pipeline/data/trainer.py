"""The mixture stream in the Hugging Face Trainer: a callback that evaluates, decides, logs, and resumes.

    run = MixtureRun(Aioli(task, lag=2), LogWriter(path, facts_of(...)))
    dataset = MixtureDataset(path, sources, batch_size=arguments.per_device_train_batch_size)
    Trainer(model, arguments, train_dataset=dataset, callbacks=[callback(run, dataset, losses)]).train()

`losses(model)` gives the validation loss of each group. The Trainer fetches a batch ahead of the step that it is at, in
its own process if it has no workers: an estimator whose decisions landed at once would wait for itself. So the callback
asks for a lag. It shares batches among processes itself: leave the dataset's rank and ranks alone. With
`ignore_data_skip=True` it resumes by seeking; else it reads and skips what was trained on.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from pipeline.data.loops import MixtureRun
from pipeline.data.stream import MixtureStream
from stages.errors import ConfigError

STATE = "mixture.json"
"""In a checkpoint: the estimator's state."""


def callback(run: MixtureRun, dataset: MixtureStream, losses: Callable[[Any], Mapping[str, float]]) -> Any:
    """A TrainerCallback. Raises ConfigError for an estimator with trials or without a lag."""
    if run.has_trials:
        raise ConfigError(
            "this estimator runs trials from the first weights, which the Trainer cannot: use a plain loop"
        )
    if getattr(run.estimator, "lag", 2) < 2:
        raise ConfigError("the Trainer fetches batches ahead: give the estimator a lag of 2 steps or more")
    from transformers import TrainerCallback

    class MixtureCallback(TrainerCallback):
        """Tells the estimator the losses it wants, after the steps at which it wants them."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **found: Any) -> None:
            """Seek to where training goes on, unless the Trainer skips there itself."""
            if state.global_step and getattr(args, "ignore_data_skip", False):
                dataset.seek(state.global_step * dataset.facts.batch)
            run.tell(state.global_step, lambda: losses(found["model"]))

        def on_step_end(self, args: Any, state: Any, control: Any, **found: Any) -> None:
            """Evaluate and decide, where the estimator wants it."""
            run.tell(state.global_step, lambda: losses(found["model"]))

        def on_save(self, args: Any, state: Any, control: Any, **found: Any) -> None:
            """Write the estimator's state into the checkpoint."""
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (folder / STATE).write_bytes(orjson.dumps(run.state_dict()))

    return MixtureCallback()


def saved_state(checkpoint: str | Path) -> Any:
    """The estimator's state in a checkpoint, for `MixtureRun(..., state)`."""
    return orjson.loads((Path(checkpoint) / STATE).read_bytes())
