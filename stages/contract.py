"""The stage contract: what a stage is. `contract_checks` holds it to its word.

A stage is a frozen dataclass whose fields are its section in the YAML. It *annotates*: `open()` loads its models
once per worker and returns a pure function from a record batch to a batch of the added columns, one row per row, in
the same order. Whether a document is kept is a second, cheap and pure step, `decide()`, which sees the added columns
alone. So thresholds live outside the models: changing one re-runs no model.

Most stages are batch stages, whose rows are independent. A survey stage first looks at all rows, in rounds. A group
stage then sees rows that belong together, a *part* of all rows, at once.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeGuard

import numpy as np
import pyarrow as pa

Annotate = Callable[[pa.RecordBatch], pa.RecordBatch]
State = Mapping[str, Any]
"""What a survey knows, as values for JSON."""

STATUS_SUFFIX = "_status"
"""A string column whose name ends so says what the stage did with each document (`scored`, `no_model`); a run's summary
counts its values, so that documents which passed without being judged are seen."""

_FILTER = "filter"
_OPERATIONAL = "operational"
_HELP = "help"


class Stage(Protocol):
    """What all stages have in common."""

    name: ClassVar[str]
    """Module name, YAML key and drop reason at once."""
    version: ClassVar[str]
    """Changed whenever the same settings and models would give other annotations."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version changes what the stage answers; their versions enter the step's hash."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that the annotating function needs."""
        ...

    @property
    def adds(self) -> pa.Schema:
        """The added columns, of portable Arrow types only (no fixed-size lists: Spark refuses them)."""
        ...

    def models(self) -> Mapping[str, Path]:
        """Model files by role; their checksums enter the step's hash. Raises ModelError if one is missing."""
        ...

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        """For each row null (keep) or the reason why it is dropped, from the added columns alone."""
        ...


class BatchStage(Stage, Protocol):
    """A stage whose rows are independent of each other."""

    def open(self) -> Annotate:
        """Load the models and return the annotating function. Called once per worker process."""
        ...


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a survey found, for people: sentences, and a table."""

    notes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]


class Surveying(Stage, Protocol):
    """A stage that finds a small state of all rows before it answers, by rounds of map and reduce.

    In each round `survey` sees the rows of every shard that reach the stage, narrowed to `id` and `reads` (never text),
    `merge` sums up what it said, in any order and any grouping, and `reduce` makes the next state of it. So no process
    sees all rows, and the state depends on the rows and the seed alone: not on shards, their order, workers or engine.
    """

    def begin(self, seed: int) -> State:
        """The state before the first round."""
        ...

    def survey(self, state: State, rows: pa.RecordBatch) -> Any:
        """What is to be known of some rows in this round: a picklable value of bounded size."""
        ...

    def merge(self, partials: Sequence[Any]) -> Any:
        """One such value for the rows of several (at least one)."""
        ...

    def reduce(self, state: State, partial: Any) -> State:
        """The state after a round that found `partial`. Raises ConfigError if the settings do not fit the rows."""
        ...

    def finished(self, state: State) -> bool:
        """Whether no further round is needed."""
        ...

    def summary(self, state: State) -> Summary:
        """What a finished state says, for the report and the terminal."""
        ...


class SurveyStage(Surveying, Protocol):
    """A stage whose answer for one row depends on all rows by the state alone: with it, rows are independent again."""

    def open_with(self, state: State) -> Annotate:
        """The annotating function of a finished state."""
        ...


class Parts(Protocol):
    """How a group stage divides the rows, and what it answers for those of one part."""

    def part(self, rows: pa.RecordBatch) -> np.ndarray:
        """The part of each row, int32: any number from 0, or -1 if it cannot be placed. Rows are independent."""
        ...

    def solve(self, part: int, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The added columns of all rows of a part (-1 is one like the others), one row per row in the same order.

        The rows come sorted by id.
        """
        ...


class GroupStage(Surveying, Protocol):
    """A stage whose answer for one row depends on the rows of the same part, and on the state.

    The rows of a part, narrowed to `id` and `reads` (never text), are brought together from all shards, so one process
    must be able to hold them. A stage that needs no rounds begins with a state that is finished.
    """

    def open_parts(self, state: State) -> Parts:
        """The parts of a finished state. Called once per worker process."""
        ...


class Measuring(GroupStage, Protocol):
    """A group stage that also says how good its answers are, by small values for JSON that are summed up over parts."""

    def measure(self, part: int, rows: pa.RecordBatch, answer: pa.RecordBatch) -> Any:
        """What is to be known of a part that was solved: what it saw, and what it answered, both sorted by id."""
        ...

    def combine(self, found: Sequence[Any]) -> Any:
        """One such value for the parts of several (at least one), in any grouping."""
        ...

    def measured(self, found: Any) -> Summary:
        """What the value of all parts says, for the report and the terminal."""
        ...


class ContextStage(Stage, Protocol):
    """A stage that works on packed contexts, after the documents are written: it adds no column and drops nothing."""

    works_on_contexts: ClassVar[bool]
    """True."""


def is_context_stage(stage: object) -> TypeGuard[ContextStage]:
    """Whether a stage works on packed contexts instead of documents."""
    return bool(getattr(stage, "works_on_contexts", False))


def is_survey(stage: object) -> TypeGuard[SurveyStage]:
    """Whether a stage needs rounds over all rows before it can annotate each by itself."""
    return hasattr(stage, "open_with")


def is_group(stage: object) -> TypeGuard[GroupStage]:
    """Whether a stage must see rows that belong together at once."""
    return hasattr(stage, "open_parts")


def is_measuring(stage: object) -> TypeGuard[Measuring]:
    """Whether a stage says how good its answers are."""
    return hasattr(stage, "measure")


def has_survey(stage: object) -> TypeGuard[Surveying]:
    """Whether a stage goes over all rows in rounds before it answers."""
    return is_survey(stage) or is_group(stage)


def gathers(stage: Stage) -> tuple[str, ...]:
    """The columns of a survey or group stage that it sees: `id`, and what it reads."""
    return tuple(dict.fromkeys(("id", *stage.reads)))


def setting(default: Any, help: str, *, filter: bool = False, operational: bool = False) -> Any:
    """A documented dataclass field.

    `filter=True` marks a threshold: it moves decisions, never annotations. `operational=True` marks how the work is
    done, such as a time-out: it moves neither, so it enters no hash.
    """
    metadata = {_HELP: help, _FILTER: filter, _OPERATIONAL: operational}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class SettingInfo:
    """One setting of a stage, as `tamis stages` shows it."""

    name: str
    type: str
    default: object
    help: str
    filter: bool
    operational: bool


def settings_of(stage: type | object) -> list[SettingInfo]:
    """The settings of a stage class or instance, in order of declaration."""
    return [
        SettingInfo(
            f.name,
            _type_name(f.type),
            f.default,
            f.metadata.get(_HELP, ""),
            f.metadata.get(_FILTER, False),
            f.metadata.get(_OPERATIONAL, False),
        )
        for f in dataclasses.fields(stage)  # type: ignore[arg-type]
    ]


def values_of(stage: Stage, *, filter: bool) -> dict[str, object]:
    """The thresholds (`filter=True`) or the annotation settings (`filter=False`) of a stage, by name."""
    wanted = (s.name for s in settings_of(stage) if s.filter is filter and not s.operational)
    return {name: getattr(stage, name) for name in wanted}


def _type_name(annotation: object) -> str:
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__name__
    return str(annotation).replace("typing.", "")
