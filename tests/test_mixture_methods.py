"""Rivals of Aioli against their equations, behind the same interface; averages of models."""

import doctest
import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.mixture_worlds import Drive, random_law, task_of
from stages.errors import ConfigError
from stages.mixture_doremi import PROXY, DoReMi
from stages.mixture_estimator import Estimator
from stages.mixture_fixed import Fixed, proportional, stratified, temperature, unimax_of
from stages.mixture_laws import best_mixture, fit_laws
from stages.mixture_merge import merged, ranked
from stages.mixture_skillit import SkillIt
from stages.mixture_survey import MixingLaws, RegMix, dirichlet
from stages.mixture_task import Task
from stages.mixture_trees import boosted

STEPS = 200
WORLD = random_law(3, STEPS, 4)
TASK = Task(dict.fromkeys(WORLD.groups, 10_000), STEPS, batch=8)
ESTIMATORS = {
    "skillit": lambda: SkillIt(TASK, rounds=5, trial_steps=20),
    "doremi": lambda: DoReMi(TASK, trial_steps=40, every=10),
    "laws": lambda: MixingLaws(TASK, trials=6, trial_steps=STEPS),
    "regmix": lambda: RegMix(TASK, trials=12, trial_steps=STEPS, samples=500, best=10),
}
MODULES = sorted(path.stem for path in (Path(__file__).parents[1] / "stages").glob("mixture_*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_the_worked_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"stages.{name}")).failed == 0


def test_fixed_mixtures() -> None:
    task = Task({"big": 900, "small": 100}, steps=100, batch=4)
    assert stratified(task).decision.mixture == {"big": 0.5, "small": 0.5}
    assert proportional(task).decision.mixture == pytest.approx({"big": 0.9, "small": 0.1})
    assert temperature(task, 2.0).decision.mixture == pytest.approx({"big": 0.75, "small": 0.25})
    assert unimax_of(task, 1.0).decision.mixture == pytest.approx({"big": 0.75, "small": 0.25})
    capped = stratified(Task({"big": 900, "small": 100}, steps=100, batch=4, max_epochs=1.0))
    assert capped.decision.mixture == pytest.approx({"big": 0.75, "small": 0.25})
    assert capped.decision.caps == ("small",)
    assert capped.decision.reason == "stratified; max_epochs cuts small"
    given = Fixed(task, {"small": 0.3, "big": 0.7})
    assert [(s.begin, s.end, dict(s.mixture)) for s in given.plan(40)] == [(40, 100, {"big": 0.7, "small": 0.3})]
    with pytest.raises(ConfigError, match="did you mean 'small'"):
        Fixed(task, {"smal": 0.3, "big": 0.4, "small": 0.3})
    with pytest.raises(ConfigError, match="sum to 1"):
        Fixed(task, {"small": 0.5, "big": 0.7})


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_method_trains_all_steps_and_resumes_from_its_state(name: str) -> None:
    def reload(estimator: Estimator) -> Estimator:
        again: Estimator = ESTIMATORS[name]()
        again.load_state_dict(json.loads(json.dumps(estimator.state_dict(), allow_nan=False)))
        assert (again.plan(0), again.decision) == (estimator.plan(0), estimator.decision)
        return again

    whole, pieces, estimator, step = ESTIMATORS[name](), Drive(WORLD, 0), ESTIMATORS[name](), 0
    drive = Drive(WORLD, 0).run(whole, STEPS)
    pieces._tell(estimator, 0, None)
    while step < STEPS:
        estimator = reload(estimator)
        segment = estimator.plan(step)[0]
        pieces._train(segment.trial, segment.steps * np.array([segment.mixture[group] for group in WORLD.groups]))
        step = step if segment.trial else segment.end
        pieces._tell(estimator, segment.end, segment.trial)
    assert pieces.decisions == drive.decisions
    assert drive.given.sum() == pytest.approx(STEPS)
    assert all(min(decision.mixture.values()) >= 0.02 / 3 - 1e-12 for decision in drive.decisions)


def test_skillit_is_its_equations() -> None:
    skillit = SkillIt(TASK, rounds=5, trial_steps=20, eta=0.7, window=2, floor=0.0)
    drive = Drive(WORLD, 0).run(skillit, STEPS)
    start = WORLD.losses(np.zeros(3))
    helps = np.array([(start - WORLD.losses(20.0 * row)) / start for row in np.eye(3)])
    given, history = np.zeros(3), []
    for decision in drive.decisions:
        history.append(WORLD.losses(given))
        recent = sum(history[-2:])
        raw = [math.exp(0.7 * sum(helps[i][j] * recent[j] for j in range(3))) for i in range(3)]
        assert list(decision.mixture.values()) == pytest.approx([value / sum(raw) for value in raw])
        given = given + STEPS / 5 * np.array(list(decision.mixture.values()))
    assert len(drive.decisions) == 5
    assert drive.spent == 60


def test_doremi_is_its_equations() -> None:
    drive = Drive(WORLD, 0).run(DoReMi(TASK, trial_steps=40, every=10, eta=2.0, floor=0.0), STEPS)
    reference = WORLD.losses(np.full(3, 40 / 3))
    a, given, weights = np.full(3, 1 / 3), np.zeros(3), []
    for _ in range(4):
        given = given + 10 * a
        a = a * np.exp(2.0 * np.maximum(WORLD.losses(given) - reference, 0))
        a = 0.999 * a / a.sum() + 0.001 / 3
        weights.append(a)
    assert list(drive.decisions[0].mixture.values()) == pytest.approx(list(np.mean(weights, axis=0)))
    assert drive.spent == 80


def test_a_bad_loss_in_a_trial_moves_nothing() -> None:
    doremi = DoReMi(TASK, trial_steps=10, every=10)
    good = dict.fromkeys(TASK.groups, 1.0)
    doremi.observe(10, good, "reference")
    decision = doremi.observe(10, {**good, "g1": math.nan}, PROXY)
    assert decision is not None
    assert decision.mixture == pytest.approx(dict.fromkeys(TASK.groups, 1 / 3))
    laws = MixingLaws(TASK, trials=4, trial_steps=5)
    found = [laws.observe(5, {**good, "g0": math.inf}, f"trial-{n:04}") for n in range(4)][-1]
    assert found is not None
    assert found.reason == "held: only 0 of 4 trials have finite losses"
    skillit = SkillIt(TASK, rounds=2, trial_steps=5)
    skillit.observe(0, good)
    held = [skillit.observe(5, {**good, "g0": math.nan}, name) for name in TASK.groups][-1]
    assert held is not None
    assert (held.reason, held.matrix) == ("held: a trial's losses are not finite", ())  # JSON has no such numbers


@pytest.mark.parametrize("seed", range(3))
def test_mixing_laws_find_the_law(seed: int) -> None:
    """Trials as long as the run in a world that obeys the law: the fit predicts, and its best mixture is the best."""
    world = random_law(3, STEPS, seed)
    mixtures = dirichlet(3, 20, seed)
    losses = np.array([world.losses(STEPS * mixture) for mixture in mixtures])
    laws = fit_laws(mixtures, losses, 12, 0)
    others = dirichlet(3, 50, seed + 100)
    assert np.abs(laws.losses(others) - [world.losses(STEPS * mixture) for mixture in others]).max() < 0.02
    best = world.losses(STEPS * world.optimum(STEPS, np.ones(3))).sum()
    assert world.losses(STEPS * best_mixture(laws, np.ones(3))).sum() < best + 0.01


def test_the_optimum_is_the_best_of_a_grid() -> None:
    world = random_law(3, STEPS, 7)
    grid = [(a / 40, b / 40, 1 - a / 40 - b / 40) for a in range(41) for b in range(41 - a)]
    best = min(world.losses(STEPS * np.array(point)).sum() for point in grid)
    assert best - 0.01 < world.losses(STEPS * world.optimum(STEPS, np.ones(3))).sum() <= best + 1e-9


def test_boosted_trees_learn_a_surface() -> None:
    random = np.random.default_rng(0)
    features = random.random((400, 3))
    values = np.sin(4 * features[:, 0]) + features[:, 1] ** 2
    predict = boosted(features[:300], values[:300])
    error = np.mean((predict(features[300:]) - values[300:]) ** 2)
    assert error < 0.02 * values.var()


def test_regmix_beats_uniform_in_a_world_of_full_trials() -> None:
    drive = Drive(WORLD, 0).run(RegMix(TASK, trials=40, trial_steps=STEPS, samples=5000), STEPS)
    uniform = Drive(WORLD, 0).run(stratified(task_of(WORLD, STEPS)), STEPS)
    assert WORLD.losses(drive.given).sum() < WORLD.losses(uniform.given).sum()


def test_merging_is_a_weighted_mean_of_each_parameter() -> None:
    random = np.random.default_rng(0)
    models = {
        name: {"w": random.normal(size=(3, 2)).astype(np.float32), "steps": np.array([7])} for name in ("a", "b", "c")
    }
    found = merged(models, {"a": 0.2, "b": 0.5, "c": 0.3})
    for row in range(3):
        for column in range(2):
            by_hand = sum(s * float(models[n]["w"][row, column]) for n, s in (("a", 0.2), ("b", 0.5), ("c", 0.3)))
            assert found["w"][row, column] == pytest.approx(by_hand, rel=1e-6)
    assert found["w"].dtype == np.float32
    assert found["steps"].tolist() == [7]
    order = ranked(models, [{"a": 1.0}, {"b": 1.0}], lambda model: float(model["w"].sum()))
    assert order[0][0] <= order[1][0]
    with pytest.raises(ConfigError, match="no model of partition 'd'"):
        merged(models, {"d": 1.0})
    with pytest.raises(ConfigError, match="differ in their parameters"):
        merged({"a": {"w": np.zeros(2)}, "b": {"w": np.zeros(3)}}, {"a": 1.0})
    with pytest.raises(ConfigError, match="sum to 1"):
        merged(models, {"a": 0.6})
