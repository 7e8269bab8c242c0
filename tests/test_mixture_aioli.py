"""Aioli against its equations, written anew as loops; and what it does with noise, caps and bad losses."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.mixture_worlds import Drive, LinearWorld, objective, random_law, task_of
from stages.errors import ConfigError
from stages.mixture_aioli import PAPER, Aioli
from stages.mixture_estimator import Decision, Rounds
from stages.mixture_evidence import Evidence
from stages.mixture_fixed import stratified
from stages.mixture_probes import noise, normalised_matrix, solved, sweep_orders
from stages.mixture_simplex import capped, probe_mixtures
from stages.mixture_task import Task

WORLDS = st.tuples(st.integers(2, 6), st.integers(0, 99))


def _linear(groups: int, seed: int, noise: float = 0.0) -> LinearWorld:
    slope = np.random.default_rng(seed).uniform(-0.1, 1.0, (groups, groups)) * 1e-3
    return LinearWorld(tuple(f"g{n}" for n in range(groups)), slope, noise)


def _naive_p(p: list[float], matrix: list[list[float]], eta: float) -> list[float]:
    """The paper's update in plain loops."""
    size = len(p)
    low = min(min(row) for row in matrix)
    moved = [[a - low if low < 0 else a for a in row] for row in matrix]
    total = sum(sum(row) for row in moved)
    raw = [p[j] * math.exp(eta * sum(moved[i][j] / total for i in range(size))) for j in range(size)]
    return [value / sum(raw) for value in raw]


def test_a_worked_example() -> None:
    """Two groups, own share 3/4, one sweep: losses 4, 4 -> 3, 3.5 after `a` -> 2.5, 3.25 after `b`, by hand.

    B = [[1, .5], [.5, .25]] (columns: probe of a, of b). P = [[.75, .25], [.25, .75]], its inverse [[1.5, -.5], [-.5, 1.5]].
    A = [[1.25, .25], [.625, .125]]; the sum is 2.25; columns 1.875 and .375; Abar's 5/6 and 1/6.
    """  # noqa: E501
    task = Task({"a": 100, "b": 100}, steps=8)
    seed = next(s for s in range(9) if sweep_orders(2, 1, (s, 0))[0].tolist() == [0, 1])
    task = Task({"a": 100, "b": 100}, steps=8, seed=seed)
    aioli = Aioli(task, rounds=1, sweeps=1, own=0.75, eta=1.0, **PAPER)
    assert [(s.begin, s.steps, s.kind, s.mixture["a"]) for s in aioli.plan(0)] == [
        (0, 1, "probe", 0.75),
        (1, 1, "probe", 0.25),
    ]
    assert aioli.observe(0, {"a": 4.0, "b": 4.0}) is None
    assert aioli.observe(1, {"a": 3.0, "b": 3.5}) is None
    decision = aioli.observe(2, {"a": 2.5, "b": 3.25})
    assert decision is not None
    assert np.allclose(decision.matrix, [[1.25, 0.25], [0.625, 0.125]])
    odds = math.exp(5 / 6) / math.exp(1 / 6)
    assert decision.mixture == pytest.approx({"a": odds / (1 + odds), "b": 1 / (1 + odds)})
    assert [(p.group, p.before["a"], p.after["b"]) for p in decision.probes] == [("a", 4.0, 3.5), ("b", 3.0, 3.25)]
    assert [(s.begin, s.end, s.kind) for s in aioli.plan(2)] == [(2, 8, "train")]


@settings(max_examples=20, deadline=None)
@given(world=WORLDS, eta=st.floats(0.1, 3.0))
def test_the_papers_trajectory(world: tuple[int, int], eta: float) -> None:
    linear = _linear(*world)
    aioli = Aioli(task_of(linear, 400), rounds=4, eta=eta, **PAPER)
    decisions = Drive(linear, 0).run(aioli, 400).decisions
    assert len(decisions) == 4
    p = [1 / world[0]] * world[0]
    for decision in decisions:
        exact = (linear.slope * aioli.probe_steps).tolist()
        assert np.allclose(decision.matrix, exact, rtol=1e-6, atol=1e-9)
        p = _naive_p(p, exact, eta)
        assert np.allclose([decision.mixture[name] for name in linear.groups], p, atol=1e-6)


@given(st.integers(2, 8), st.integers(0, 99))
def test_solving_undoes_the_probes(groups: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix, own = random.normal(size=(groups, groups)), 1 / groups + 0.3
    mixtures = probe_mixtures(groups, own)
    drops = np.zeros((1, groups, groups))
    for i in range(groups):
        for j in range(groups):
            drops[0, i, j] = sum(matrix[i, k] * mixtures[j, k] for k in range(groups))
    assert np.allclose(solved(drops, own), matrix)


@pytest.mark.parametrize("seed", range(5))
def test_it_beats_stratified_where_a_is_known(seed: int) -> None:
    world = random_law(2 + seed, 800, seed)
    found = Drive(world, seed).run(Aioli(task_of(world, 800), rounds=10), 800)
    plain = Drive(world, seed).run(stratified(task_of(world, 800)), 800)
    assert objective(world, found.given) < objective(world, plain.given)
    assert found.given.sum() == pytest.approx(800)


@pytest.mark.parametrize(("hold", "moves", "far"), [(1.0, 35, 0.08), (2.0, 6, 0.01)])
def test_noise_alone_seldom_moves_p_and_not_far(hold: float, moves: int, far: float) -> None:
    """Groups that teach the same: 100 rounds of noise, in 10 runs. The published rule moves in each, by .06."""
    found = []
    for seed in range(10):
        world = LinearWorld(("a", "b", "c", "d"), np.full((4, 4), 1e-4), noise=0.01)
        aioli = Aioli(task_of(world, 400, seed), rounds=10, hold=hold)
        found += Drive(world, seed).run(aioli, 400).decisions
    held = [decision for decision in found if not decision.moved]
    assert all(decision.reason.startswith("held: a column of A is") for decision in held)
    assert all(len(decision.error) == 4 for decision in found)
    assert len(found) - len(held) <= moves
    assert np.mean([abs(share - 0.25) for decision in found for share in decision.mixture.values()]) < far


def test_the_error_of_a_is_right() -> None:
    """The spread of A over 200 noisy rounds is what each round says of itself."""
    world = _linear(4, 1, noise=0.01)
    decisions = Drive(world, 1).run(Aioli(task_of(world, 6400), rounds=200, **PAPER), 6400).decisions
    found = np.std([decision.matrix for decision in decisions], axis=0)
    said = np.sqrt(np.mean(np.square([decision.error for decision in decisions]), axis=0))
    assert 0.7 < (said / found).mean() < 1.5


def test_a_degenerate_matrix_moves_nothing() -> None:
    world = LinearWorld(("a", "b"), np.zeros((2, 2)))
    decisions = Drive(world, 0).run(Aioli(task_of(world, 100), rounds=3, **PAPER), 100).decisions
    assert [d.reason for d in decisions] == ["held: A is degenerate"] * 3
    assert all(d.mixture == {"a": 0.5, "b": 0.5} and not d.moved for d in decisions)
    assert normalised_matrix(np.full((2, 2), np.nan), np.ones(2)) is None


def _round(aioli: Aioli, losses: dict[str, float], last: dict[str, float]) -> Decision:
    grid = [step for step in range(aioli.task.steps) if aioli.wants(step)]
    for step in grid[:-1]:
        assert aioli.observe(step, losses) is None
    decision = aioli.observe(grid[-1], last)
    assert decision is not None
    return decision


def test_a_loss_that_is_no_number_holds_and_training_goes_on() -> None:
    aioli = Aioli(Task({"a": 100, "b": 100}, steps=40), rounds=2)
    decision = _round(aioli, {"a": 1.0, "b": 1.0}, {"a": 1.0, "b": math.nan})
    assert not decision.moved
    assert decision.reason == "held: the loss of 'b' is not finite after step 4"
    json.dumps(aioli.state_dict(), allow_nan=False)
    again = Aioli(Task({"a": 100, "b": 100}, steps=40), rounds=2)
    again.load_state_dict(aioli.state_dict())
    assert math.isnan(again.decision.losses["b"])
    assert _round(aioli, {"a": 1.0, "b": 1.0}, {"a": 0.9, "b": 0.9}).version == 2


def test_mistakes_are_named() -> None:
    task = Task({"code": 100, "prose": 100}, steps=40)
    with pytest.raises(ConfigError, match="after step 0 have none for group 'prose'"):
        Aioli(task, rounds=2).observe(0, {"code": 1.0})
    with pytest.raises(ConfigError, match="has no room"):
        Aioli(task, rounds=20)
    with pytest.raises(ConfigError, match="delta = 1 leaves a round no step"):
        Aioli(task, rounds=2, delta=1.0)
    assert Aioli(task, rounds=1, delta=1.0).probe_steps == 10
    with pytest.raises(ConfigError, match=r"own = 0\.5"):
        Aioli(task, rounds=2, own=0.5)
    with pytest.raises(ConfigError, match="one sweep"):
        Aioli(task, rounds=2, sweeps=1)
    with pytest.raises(ConfigError, match="group 'empty' holds no context"):
        Task({"code": 1, "empty": 0}, steps=4)
    with pytest.raises(ConfigError, match="did you mean 'prose'"):
        Task({"code": 1, "prose": 1}, steps=4, objective={"proze": 1.0})
    with pytest.raises(ConfigError, match="allow 200"):
        Task({"code": 100, "prose": 100}, steps=400, max_epochs=1)
    aioli = Aioli(task, rounds=2)
    aioli.observe(0, {"code": 1.0, "prose": 1.0})
    with pytest.raises(ConfigError, match="after step 1 were never given"):
        aioli.observe(4, {"code": 1.0, "prose": 1.0})


def test_one_group_is_served_alone() -> None:
    aioli = Aioli(Task({"a": 10}, steps=40), rounds=2)
    assert [(s.begin, s.end, dict(s.mixture)) for s in aioli.plan(0)] == [(0, 40, {"a": 1.0})]
    assert not aioli.wants(0)


@settings(max_examples=30, deadline=None)
@given(world=WORLDS, lag=st.integers(0, 3), floor=st.floats(0.0, 0.5), epochs=st.floats(1.1, 3.0))
def test_shares_caps_floor_and_steps(world: tuple[int, int], lag: int, floor: float, epochs: float) -> None:
    groups, seed = world
    linear = _linear(groups, seed, 1e-3)
    sizes = np.random.default_rng(seed).integers(50, 200, groups)
    sizes[0] += max(0, int(300 - sizes.sum()))
    task = Task(dict(zip(linear.groups, sizes.tolist(), strict=True)), steps=300, seed=seed, max_epochs=epochs)
    drive = Drive(linear, seed).run(Aioli(task, rounds=5, lag=lag, floor=floor, hold=0.0), 300)
    assert drive.given.sum() == pytest.approx(300)
    for decision in drive.decisions:
        shares = np.array(list(decision.mixture.values()))
        assert shares.min() >= 0
        assert shares.sum() == pytest.approx(1)
        assert decision.lands == min(decision.step + lag, 300)
        uncut = [name not in decision.caps for name in task.groups]
        if not decision.caps:
            assert (shares[uncut] >= floor / groups - 1e-9).all()
    assert (drive.given <= np.maximum(task.allowances, 0.25 * 300) + 1).all()


def test_the_plan_is_the_same_from_any_step_and_any_state() -> None:
    world = _linear(3, 5, 1e-3)
    task = task_of(world, 300)
    whole = Aioli(task, rounds=4, lag=2, hold=0.0)
    kinds, drive = [], Drive(world, 3)
    for step in range(300):
        other = Aioli(task, rounds=4, lag=2, hold=0.0)
        other.load_state_dict(json.loads(json.dumps(whole.state_dict(), allow_nan=False)))
        assert other.plan(step) == whole.plan(step)
        assert other.decision == whole.decision
        segment = whole.plan(step)[0]
        assert segment.begin == step
        kinds.append(segment.kind)
        drive._tell(whole, step, None)
        drive._tell(other, step, None) if step == 299 else None
        drive.given = drive.given + np.array([segment.mixture[name] for name in world.groups])
    assert kinds.count("probe") == 4 * 2 * 3 * whole.probe_steps
    assert whole.decision.version == 4


@pytest.mark.parametrize("options", [{"ema": 0.5}, {"diagonal": True}, {"static": True}])
def test_options_run_and_differ(options: dict[str, object]) -> None:
    world = _linear(3, 2)
    plain = Drive(world, 0).run(Aioli(task_of(world, 300), rounds=4, **PAPER), 300).decisions  # type: ignore[arg-type]
    found = Drive(world, 0).run(Aioli(task_of(world, 300), rounds=4, **PAPER, **options), 300).decisions  # type: ignore[arg-type]
    assert len(found) == 4
    if "static" in options:
        assert [bool(decision.probes) for decision in found] == [True, False, False, False]
        assert np.allclose(list(found[-1].mixture.values()), list(plain[-1].mixture.values()), atol=1e-6)
    else:
        assert found[-1].mixture != pytest.approx(plain[-1].mixture)


def test_a_group_that_the_objective_leaves_out_loses_its_share() -> None:
    """It teaches itself best and others nothing: left out of the objective it is noise."""
    slope = np.full((3, 3), 2e-4) + np.diag([3e-4, 3e-4, 0])
    slope[:, 2] = [0, 0, 9e-4]
    world = LinearWorld(("a", "b", "noise"), slope)
    contexts = dict.fromkeys(world.groups, 1000)
    asked = Aioli(Task(contexts, 300, objective={"noise": 0.0}), rounds=6)
    assert Drive(world, 0).run(asked, 300).decisions[-1].mixture["noise"] < 0.1
    assert Drive(world, 0).run(Aioli(Task(contexts, 300), rounds=6), 300).decisions[-1].mixture["noise"] > 0.3


def test_rounds_count_by_their_own_errors() -> None:
    """Two rounds by hand: each is divided by its error, that of the second remembers the first's by 0.8 x memory."""
    orders, random, memory = sweep_orders(3, 4, (0, 0)), np.random.default_rng(0), 0.5
    evidence, drops = Evidence(memory, hold=1e9), [scale * random.normal(0, 1, (4, 3, 3)) for scale in (100.0, 1.0)]
    found = [noise(drop.sum(axis=1), orders) for drop in drops]
    for drop in drops:
        evidence.add(solved(drop, 1.0), drop, orders, 1.0, np.ones(3))
    kept = 0.8 * memory
    squares = [found[0].squares, found[1].squares + kept * found[0].squares]
    freedom = [found[0].freedom, found[1].freedom + kept * found[0].freedom]
    units = [math.sqrt(s / f / 4) for s, f in zip(squares, freedom, strict=True)]
    first, second = (drop.mean(axis=0) / unit for drop, unit in zip(drops, units, strict=True))
    assert np.allclose(evidence.matrix(shrink=False), (memory * first + second) / (1 + memory) * units[1])
    assert evidence.error == pytest.approx(units[1] * math.sqrt(1 + memory**2) / (1 + memory))


def _share_of_a(fade: float) -> list[float]:
    """`a` teaches for 80 steps; after that `b` does, a little, under much noise, so that no round is clear."""
    task = Task({"a": 10_000, "b": 10_000}, 800)
    aioli, random = Aioli(task, rounds=20, sweeps=4, own=1.0, eta=1.0, fade=fade), np.random.default_rng(0)
    shares, level = [], 9.0
    for step in range(800):
        seen = level + (0.02 * random.standard_normal() if step > 80 else 0.0)
        if aioli.wants(step) and (decision := aioli.observe(step, {"a": seen, "b": seen})):
            shares.append(decision.mixture["a"])
        level -= (0.02 if step < 80 else -0.01) * aioli.plan(step)[0].mixture["a"]
    return shares


def test_evidence_against_p_draws_it_to_uniform() -> None:
    held, faded = _share_of_a(0.0), _share_of_a(0.3)
    assert max(held) == max(faded) > 0.8
    assert abs(faded[-1] - 0.5) < abs(held[-1] - 0.5)


def test_a_warm_start_trains_the_prior_and_p_starts_from_uniform() -> None:
    task = Task({"a": 100, "b": 100}, steps=100)
    aioli = Aioli(task, rounds=2, prior={"a": 0.9, "b": 0.1}, warm_steps=20)
    first = aioli.plan(0)[0]
    assert (first.steps, first.kind, first.mixture) == (20, "train", {"a": 0.9, "b": 0.1})
    assert not aioli.wants(0)
    assert aioli.wants(20)
    assert aioli.decision.mixture == {"a": 0.5, "b": 0.5}


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_rounds_are_where_a_loop_finds_them(extra: int, count: int, warm: int) -> None:
    rounds = Rounds(warm + count + extra, count, warm)
    for step in range(warm, rounds.steps):
        assert rounds.begin(rounds.of(step)) <= step < rounds.begin(rounds.of(step) + 1)


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_capping_keeps_limits_and_order(raw: list[float], random: object) -> None:
    shares = np.array(raw) / sum(raw)
    limits = np.array([random.uniform(0.0, 1.0) for _ in raw])  # type: ignore[attr-defined]
    found = capped(shares, limits)
    assert found.sum() == pytest.approx(1)
    if limits.sum() > 1:
        assert (found <= limits + 1e-9).all()
        free = found < limits - 1e-9
        assert np.ptp(found[free] / shares[free]) < 1e-6 if free.sum() > 1 else True
