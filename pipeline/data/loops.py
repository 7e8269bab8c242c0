"""A run of an estimator beside a trainer: who is asked, what is logged, where training is on which mixture.

    run = MixtureRun(estimator, LogWriter(path, facts))
    dataset = MixtureDataset(path, sources, batch_size)
    run.tell(0, lambda: losses(model))
    for step, batch in enumerate(DataLoader(dataset, batch_size), start=1):
        train(model, batch)
        run.tell(step, lambda: losses(model))

That is all for estimators without trials. With trials, follow `plan` as in `stages.mixture_estimator`.
"""

from collections.abc import Callable, Mapping

from stages.errors import ConfigError
from stages.mixture_estimator import Decision, Estimator, State
from stages.mixture_log import Facts, LogWriter
from stages.mixture_task import Task

Losses = Callable[[], Mapping[str, float]]


class MixtureRun:
    """An estimator whose decisions go to a log, from the first on."""

    def __init__(self, estimator: Estimator, writer: LogWriter, state: State | None = None) -> None:
        """Start, or continue from a state: the decision in force is in the log when this returns."""
        self.estimator, self._writer = estimator, writer
        if state is not None:
            estimator.load_state_dict(state)
        self._log(estimator.decision)

    @property
    def has_trials(self) -> bool:
        """Whether trials are to be run before the run goes on."""
        return any(segment.trial for segment in self.estimator.plan(0))

    def tell(self, step: int, losses: Losses, trial: str | None = None) -> Decision | None:
        """Evaluate if the estimator wants to know the losses after `step` steps; the decision, if it makes one."""
        if not self.estimator.wants(step, trial):
            return None
        decision = self.estimator.observe(step, losses(), trial)
        if decision is not None:
            self._log(decision)
        return decision

    def state_dict(self) -> State:
        """The estimator's; save it with the model."""
        return self.estimator.state_dict()

    def _log(self, decision: Decision) -> None:
        self._writer.append(decision, self.estimator.plan(decision.lands))


def facts_of(task: Task, data: Mapping[str, str], tokenizer: str, config: str = "", block: int = 0) -> Facts:
    """The facts of a run for its log. Raises ConfigError if the tokenizer, of whose tokens shares are, has no name."""
    if not tokenizer:
        raise ConfigError("the log must say of which tokenizer's tokens its shares are: give the tokenizer's id")
    allowed = {name: None if value == float("inf") else int(value) for name, value in _allowances(task).items()}
    return Facts(
        contexts={name: task.contexts[name] for name in task.groups},
        batch=task.batch,
        seed=task.seed,
        block=block,
        allowances=allowed,
        samples=task.steps * task.batch,
        config=config,
        data=dict(data),
        tokenizer=tokenizer,
    )


def _allowances(task: Task) -> dict[str, float]:
    return task.by_name(task.allowances)
