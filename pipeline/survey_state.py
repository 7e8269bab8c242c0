"""The state of a survey stage as a file of its step: written whole after each round, to go on from."""

from dataclasses import dataclass
from typing import cast

from pipeline.plan import Step
from pipeline.storage import Store
from stages.contract import State, Surveying
from stages.errors import EngineError


@dataclass(frozen=True)
class Survey:
    """How far a survey is."""

    rounds: int
    """Rounds over all shards that are behind."""
    state: State


def load_survey(store: Store, step: Step) -> Survey | None:
    """The survey of a step as it was recorded last; None if it has not begun."""
    found = store.read_json(_name(step))
    return Survey(found["rounds"], found["state"]) if isinstance(found, dict) else None


def save_survey(store: Store, step: Step, survey: Survey) -> None:
    """Record how far a survey is. The next round of every worker starts from this."""
    store.write_json(_name(step), survey)


def finished_state(store: Store, step: Step) -> State:
    """The state to annotate with. Raises EngineError if the survey is not finished, which would be a fault of Tamis."""
    survey = load_survey(store, step)
    if survey is None or not cast(Surveying, step.stage).finished(survey.state):
        raise EngineError(f"{store.path(_name(step))}: the survey is not finished, which is a fault of Tamis")
    return survey.state


def _name(step: Step) -> str:
    return f"{step.directory}/state.json"
