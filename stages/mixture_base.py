"""What all estimators keep: the latest decision, the segments up to the next one, and what was served."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from stages.errors import ConfigError
from stages.mixture_estimator import Decision, Probe, Segment, State, rest, served
from stages.mixture_simplex import Floats
from stages.mixture_task import Task


@dataclass
class Base:
    """The part of an estimator that is the same for every method; a method fills `_segments` after each decision."""

    task: Task
    _decision: Decision = field(init=False, repr=False)
    _segments: list[Segment] = field(init=False, repr=False, default_factory=list)
    _tail: list[Segment] = field(init=False, repr=False, default_factory=list)
    """What is left of the decision before, between the latest decision and where it lands."""
    _used: Floats = field(init=False, repr=False)

    @property
    def decision(self) -> Decision:
        """The latest decision."""
        return self._decision

    def plan(self, step: int) -> list[Segment]:
        """Trials that are not finished, then the run's segments from `step` to where the next decision lands."""
        trials = [segment for segment in self._segments if segment.trial]
        return trials + rest(self._tail + [segment for segment in self._segments if not segment.trial], step)

    def state_dict(self) -> State:
        """All that is not settings, as JSON."""
        return {
            "decision": plain(asdict(self._decision)),
            "segments": [asdict(segment) for segment in self._segments],
            "tail": [asdict(segment) for segment in self._tail],
            "used": self._used.tolist(),
            "groups": list(self.task.groups),
            **plain(self._memory()),
        }

    def load_state_dict(self, state: State) -> None:
        """Continue from a state. Raises ConfigError if it is of other groups."""
        if tuple(state["groups"]) != self.task.groups:
            raise ConfigError(
                f"the state is of groups {', '.join(state['groups'])}, the run has {', '.join(self.task.groups)}"
            )
        self._decision = decision_of(state["decision"])
        self._segments = [Segment(**segment) for segment in state["segments"]]
        self._tail = [Segment(**segment) for segment in state["tail"]]
        self._used = np.array(state["used"], np.float64)
        self._remember(state)

    def _memory(self) -> State:
        """What the method adds to the state."""
        return {}

    def _remember(self, state: State) -> None:
        """Take back what `_memory` gave."""

    def _start(self, mixture: Floats, reason: str) -> None:
        """Decision 0."""
        self._used = np.zeros(len(self.task.groups))
        shares, caps = self.task.within_caps(mixture, self._used, 0)
        named = self.task.by_name(shares)
        self._decision = Decision(0, 0, 0, named, moved=True, reason=_with_caps(reason, caps), caps=caps)

    def _decide(self, step: int, lands: int, mixture: Floats, reason: str, **facts: Any) -> Decision:
        """The next decision: `mixture` within the caps from step `lands` on; `_segments` end there and are spent."""
        self._used = served(self.task, self._used, self._segments)
        self._tail = rest([segment for segment in self._segments if not segment.trial], step)
        shares, caps = self.task.within_caps(mixture, self._used, lands)
        moved = bool(np.abs(shares - self.task.values(self._decision.mixture, "the mixture")).max() > 1e-12)
        self._decision = Decision(
            self._decision.version + 1,
            step,
            lands,
            self.task.by_name(shares),
            moved=moved,
            reason=_with_caps(reason, caps),
            caps=caps,
            **facts,
        )
        return self._decision

    def _train(self, begin: int, end: int, trial: str | None = None) -> list[Segment]:
        """Steps on the decision's mixture; [] if there are none."""
        return [Segment(begin, end - begin, self._decision.mixture, "train", trial)] if end > begin else []


def checked(task: Task, losses: Mapping[str, float], step: int) -> tuple[dict[str, float], str]:
    """Losses by name, and the name of a group whose loss is not finite ('' if all are).

    Raises ConfigError naming a group that is missing. Losses of things that are no groups are left out.
    """
    missing = [name for name in task.groups if name not in losses]
    if missing:
        raise ConfigError(
            f"the validation losses after step {step} have none for group '{missing[0]}': found {', '.join(losses)}"
        )
    found = {name: float(losses[name]) for name in task.groups}
    return found, next((name for name, loss in found.items() if not np.isfinite(loss)), "")


def plain(value: Any) -> Any:
    """The value with None for floats that are not finite, which JSON has not; tuples become lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def numbers(losses: Mapping[str, float | None]) -> dict[str, float]:
    """Losses with NaN where `plain` wrote None."""
    return {name: math.nan if loss is None else loss for name, loss in losses.items()}


def decision_of(found: Mapping[str, Any]) -> Decision:
    """A decision from its JSON form."""
    return Decision(
        **{
            **found,
            "probes": tuple(
                Probe(**{**probe, "before": numbers(probe["before"]), "after": numbers(probe["after"])})
                for probe in found["probes"]
            ),
            "losses": numbers(found["losses"]),
            "matrix": tuple(map(tuple, found["matrix"])),
            "error": tuple(map(tuple, found["error"])),
            "caps": tuple(found["caps"]),
        }
    )


def _with_caps(reason: str, caps: tuple[str, ...]) -> str:
    return f"{reason}; max_epochs cuts {', '.join(caps)}" if caps else reason
