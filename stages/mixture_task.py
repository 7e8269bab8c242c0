"""What every method of mixing is told of a run: its named groups, their sizes, the budget, the limits."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from stages.errors import ConfigError
from stages.mixture_simplex import Floats, capped


@dataclass(frozen=True)
class Task:
    """The groups of a run by name; arrays are in the order of `groups`, which is sorted: no position means anything."""

    contexts: Mapping[str, int]
    """Group -> contexts (training rows of one length) that it holds."""
    steps: int
    """Training steps of the run."""
    batch: int = 1
    """Contexts in a step, over all ranks."""
    seed: int = 0
    objective: Mapping[str, float] = field(default_factory=dict)
    """Group -> weight of its validation loss in what is minimised; 1 for groups that are not named."""
    max_epochs: Mapping[str, float] | float = math.inf
    """How often a group's contexts may be served, for all groups or by name."""

    def __post_init__(self) -> None:
        """Raise ConfigError, naming the group, where no run could be made of it."""
        if not self.contexts:
            raise ConfigError("a mixture needs at least one group, found none")
        for name, count in self.contexts.items():
            if count <= 0:
                raise ConfigError(
                    f"group '{name}' holds no context: leave it out, or check what its group is made from"
                )
        if self.steps < 1 or self.batch < 1:
            raise ConfigError(f"a run needs at least one step of one context, not {self.steps} of {self.batch}")
        self._check_weights()
        self._check_allowances()

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups, sorted."""
        return tuple(sorted(self.contexts))

    @cached_property
    def sizes(self) -> Floats:
        """Contexts of each group (m,)."""
        return np.array([self.contexts[name] for name in self.groups], np.float64)

    @cached_property
    def weights(self) -> Floats:
        """Weight of each group's loss in the objective (m,)."""
        return np.array([self.objective.get(name, 1.0) for name in self.groups])

    @cached_property
    def allowances(self) -> Floats:
        """How many contexts of each group the run may be served (m,): size times epochs, rounded down; or infinity."""
        epochs = self.max_epochs
        of = np.array([epochs.get(g, math.inf) if isinstance(epochs, Mapping) else epochs for g in self.groups])
        return np.asarray(np.floor(self.sizes * of + 1e-9), np.float64)

    def by_name(self, values: Floats) -> dict[str, float]:
        """Values (m,) under the names of their groups."""
        return {name: float(value) for name, value in zip(self.groups, values, strict=True)}

    def values(self, named: Mapping[str, float], what: str) -> Floats:
        """Values by name as an array (m,). Raises ConfigError naming a group that is missing or unknown."""
        missing = [name for name in self.groups if name not in named]
        if missing:
            raise ConfigError(f"{what} has no value for group '{missing[0]}': it must name {', '.join(self.groups)}")
        unknown = [name for name in named if name not in self.contexts]
        if unknown:
            raise ConfigError(f"{what} names group '{unknown[0]}'{self._hint(unknown[0])}")
        return np.array([named[name] for name in self.groups], np.float64)

    def mixture(self, named: Mapping[str, float], what: str = "the mixture") -> Floats:
        """A mixture by name as an array (m,). Raises ConfigError unless it is a point on the simplex."""
        values = self.values(named, what)
        if not np.isfinite(values).all() or (values < 0).any() or abs(values.sum() - 1) > 1e-6:
            raise ConfigError(f"{what} must have shares that are not negative and sum to 1, found {dict(named)}")
        shares: Floats = values / values.sum()
        return shares

    def within_caps(self, mixture: Floats, used: Floats, step: int) -> tuple[Floats, tuple[str, ...]]:
        """The mixture for the steps from `step` to the end that keeps the caps, and the groups that it was cut for.

        `used` (m,) contexts were served. What is left of an allowance is spread evenly over what is left of the run.
        """
        left = max(self.steps - step, 1) * self.batch
        limits = np.maximum(self.allowances - used, 0) / left
        shares = capped(mixture, np.minimum(limits, 1.0))
        return shares, tuple(name for name, cut in zip(self.groups, shares < mixture - 1e-9, strict=True) if cut)

    def _check_weights(self) -> None:
        for name, weight in self.objective.items():
            if name not in self.contexts:
                raise ConfigError(f"the objective names group '{name}'{self._hint(name)}")
            if not 0 <= weight < math.inf:
                raise ConfigError(f"the objective's weight of '{name}' must not be negative, found {weight}")
        if not self.weights.any():
            raise ConfigError("the objective gives every group weight 0: nothing would be minimised")

    def _check_allowances(self) -> None:
        if isinstance(self.max_epochs, Mapping):
            for name in self.max_epochs:
                if name not in self.contexts:
                    raise ConfigError(f"max_epochs names group '{name}'{self._hint(name)}")
        needed, allowed = self.steps * self.batch, self.allowances.sum()
        if allowed < needed:
            raise ConfigError(
                f"the run needs {needed:,} contexts, but its groups with max_epochs = {self.max_epochs} allow "
                f"{allowed:,.0f}: train less, raise max_epochs, or add data"
            )

    def _hint(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.groups, n=1)
        return f"; did you mean '{near[0]}'?" if near else f", which is none of {', '.join(self.groups)}"
