"""Mixtures that are known before training: stratified, proportional, temperature, unimax, given.

Each names a mixture of a `Task`; `Fixed` serves it behind the interface of all estimators.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stages.errors import ConfigError
from stages.mixture_base import Base
from stages.mixture_estimator import Decision
from stages.mixture_simplex import Floats, tempered, uniform, unimax, with_floor
from stages.mixture_task import Task


@dataclass
class Fixed(Base):
    """One mixture for the whole run; `reason` says where it is from."""

    mixture: Mapping[str, float]
    reason: str = "given"
    floor: float = 0.0

    def __post_init__(self) -> None:
        """Decision 0, and one segment. Raises ConfigError unless the mixture is one of the run's groups."""
        self._start(with_floor(self.task.mixture(self.mixture), self.floor), self.reason)
        self._segments = self._train(0, self.task.steps)

    def wants(self, step: int, trial: str | None = None) -> bool:
        """Never."""
        return False

    def observe(self, step: int, losses: Mapping[str, float], trial: str | None = None) -> Decision | None:
        """Nothing to learn."""
        return None


def stratified(task: Task) -> Fixed:
    """The same share for every group."""
    return _fixed(task, uniform(len(task.groups)), "stratified")


def proportional(task: Task, floor: float = 0.0) -> Fixed:
    """Shares proportional to the sizes of groups, in tokens (contexts all have the same length)."""
    return _fixed(task, tempered(task.sizes, 1.0), "proportional", floor)


def temperature(task: Task, tau: float = 2.0, floor: float = 0.0) -> Fixed:
    """Shares proportional to `size ** (1 / tau)`."""
    if not tau > 0:
        raise ConfigError(f"the temperature must be above 0, found {tau}")
    return _fixed(task, tempered(task.sizes, tau), f"temperature {tau:g}", floor)


def unimax_of(task: Task, epochs: float = 4.0, floor: float = 0.0) -> Fixed:
    """Uniform shares, but no group more often than `epochs` times."""
    return _fixed(task, unimax(task.sizes, task.steps * task.batch, epochs), f"unimax, {epochs:g} epochs", floor)


def _fixed(task: Task, mixture: Floats, reason: str, floor: float = 0.0) -> Fixed:
    return Fixed(task, task.by_name(mixture), reason, floor)
