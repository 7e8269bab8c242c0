"""From the settings of `mixture` to an estimator of a task."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from stages.mixture_aioli import Aioli
from stages.mixture_doremi import DoReMi
from stages.mixture_estimator import Estimator
from stages.mixture_fixed import Fixed, proportional, stratified, temperature, unimax_of
from stages.mixture_skillit import SkillIt
from stages.mixture_survey import MixingLaws, RegMix
from stages.mixture_task import Task

if TYPE_CHECKING:
    from stages.mixture import Mixture

_DECISIONS = 20
"""Moves of DoReMi's weights in its proxy's run."""


def estimator_of(settings: "Mixture", task: Task) -> Estimator:
    """The estimator that the settings name. Raises ConfigError, naming the group or setting, if it cannot run so."""
    return _MAKERS[settings.estimator](settings, task)


def trial_steps(settings: "Mixture", task: Task) -> int:
    """Steps of each short run from the first weights."""
    return settings.trial_steps or max(task.steps // 4, 1)


def fitting_rounds(settings: "Mixture", task: Task) -> int:
    """Rounds of Aioli: as many as asked, fewer where probes would have no step.

    >>> from stages.mixture import Mixture
    >>> fitting_rounds(Mixture(steps=400, rounds=8, sweeps=2, delta=0.25), Task({"a": 9, "b": 9, "c": 9}, 400))
    8
    >>> fitting_rounds(Mixture(steps=400, rounds=8, sweeps=2, delta=0.25), Task({f"{n}": 9 for n in range(12)}, 400))
    4
    """
    probes = settings.sweeps * len(task.groups)
    left = task.steps - _warm_steps(settings, task)
    fits = (rounds for rounds in range(settings.rounds, 1, -1) if int(settings.delta * (left // rounds)) >= probes)
    return next(fits, 1)


def _aioli(settings: "Mixture", task: Task) -> Estimator:
    return Aioli(
        task,
        rounds=fitting_rounds(settings, task),
        sweeps=settings.sweeps,
        delta=settings.delta,
        own=settings.own or None,
        eta=settings.eta or None,
        hold=settings.hold,
        memory=settings.memory,
        shrink=settings.shrink,
        pull=settings.pull,
        fade=settings.fade,
        floor=settings.floor,
        ema=settings.ema or None,
        diagonal=settings.diagonal,
        static=settings.static,
        prior=settings.prior or None,
        warm_steps=_warm_steps(settings, task),
    )


def _skillit(settings: "Mixture", task: Task) -> Estimator:
    rounds = min(settings.rounds, task.steps)
    return SkillIt(task, rounds, trial_steps(settings, task), settings.eta or 0.2, floor=settings.floor)


def _doremi(settings: "Mixture", task: Task) -> Estimator:
    steps = trial_steps(settings, task)
    every = max(steps // _DECISIONS, 1)
    return DoReMi(task, steps, every, settings.eta or 1.0, floor=settings.floor, prior=settings.prior or None)


def _laws(settings: "Mixture", task: Task) -> Estimator:
    trials = settings.trials or 2 * len(task.groups) + 4
    return MixingLaws(task, trials, trial_steps(settings, task), settings.floor)


def _regmix(settings: "Mixture", task: Task) -> Estimator:
    return RegMix(task, settings.trials or 8 * len(task.groups), trial_steps(settings, task), settings.floor)


def _unimax(settings: "Mixture", task: Task) -> Estimator:
    """With the mean of `max_epochs` where it differs by group; the caps hold each group to its own all the same."""
    return unimax_of(task, float((task.allowances / task.sizes).mean()), settings.floor)


def _warm_steps(settings: "Mixture", task: Task) -> int:
    return int(settings.warm * task.steps)


_MAKERS: dict[str, Callable[["Mixture", Task], Estimator]] = {
    "aioli": _aioli,
    "skillit": _skillit,
    "doremi": _doremi,
    "laws": _laws,
    "regmix": _regmix,
    "stratified": lambda settings, task: stratified(task),
    "proportional": lambda settings, task: proportional(task, settings.floor),
    "temperature": lambda settings, task: temperature(task, settings.temperature, settings.floor),
    "unimax": _unimax,
    "given": lambda settings, task: Fixed(task, settings.shares),
}
