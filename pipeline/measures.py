"""Measures of solved parts: what a group stage says of how good its answers are, summed up and kept with its step."""

from collections.abc import Sequence
from typing import Any

import orjson

from pipeline.plan import Step
from pipeline.storage import Store
from stages.contract import Measuring, State, Summary, Surveying, is_measuring

_NAME = "measured.json"
_RESULT = "result"


def combined(stage: object, found: Sequence[Any]) -> Any:
    """One value, as JSON gives it back, for several, of which some may be None; None if there is nothing."""
    known = [value for value in found if value is not None]
    return orjson.loads(orjson.dumps(stage.combine(known))) if known and is_measuring(stage) else None


def save_measures(store: Store, step: Step, found: Sequence[Any]) -> None:
    """Keep what was measured of all parts, for whoever goes on when the files of the exchange are gone."""
    if is_measuring(step.stage):
        measures = combined(step.stage, found)
        if measures is None or load_measures(store, step) != measures:
            store.write_json(f"{step.directory}/{_NAME}", measures)


def load_measures(store: Store, step: Step) -> Any:
    """What was measured of all parts; None if the stage measures nothing, or had no rows."""
    return store.read_json(f"{step.directory}/{_NAME}")


def summaries(stage: Surveying, state: State, found: Any) -> dict[str, Summary]:
    """What a survey found, and what was measured: all notes under the stage's name, with the first of both tables."""
    survey = stage.summary(state)
    if found is None or not is_measuring(stage):
        return {stage.name: survey}
    return _both(stage, survey, found)


def _both(stage: Measuring, survey: Summary, found: Any) -> dict[str, Summary]:
    result = stage.measured(found)
    return {
        stage.name: Summary((*survey.notes, *result.notes), survey.columns, survey.rows),
        f"{stage.name} {_RESULT}": Summary((), result.columns, result.rows),
    }
