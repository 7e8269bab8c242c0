"""The stage `mixture`: its settings, the replay of decisions, a run's log, bad contexts, the report, the job."""

import dataclasses
import doctest
import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from pipeline.data import MixtureStream, parquet_groups
from pipeline.data.loops import facts_of
from pipeline.engines import Counter
from pipeline.mixing import NAME, MixingRecord, estimate, mix
from pipeline.mixing_inputs import Contexts, Estimated, Place, longest, task_of
from pipeline.mixture_report import mixture_facts
from pipeline.plan import Step
from pipeline.proxy.checkpoint import Folder
from pipeline.proxy.watch import Lines
from pipeline.report_page import environment
from pipeline.sections import build
from pipeline.storage import Store
from stages.contract import is_context_stage, settings_of
from stages.errors import ConfigError, InputError
from stages.mixture import Mixture
from stages.mixture_aioli import Aioli
from stages.mixture_choice import estimator_of, fitting_rounds, trial_steps
from stages.mixture_estimator import Decision, Segment
from stages.mixture_log import LogWriter, MixtureLog, read_log, spans_of
from stages.mixture_replay import mean_mixture, replayed
from stages.mixture_task import Task
from tests.tiny_contexts import LENGTH, TOKENIZER, contexts, quick, write_contexts

GROUPS = {"a": 40, "b/x": 40, "noise": 12}
HALF = {"a": 0.5, "b/x": 0.25, "noise": 0.25}
ROOT = Path(__file__).parents[1]


def place(folder: Path) -> Place:
    folder.mkdir(parents=True, exist_ok=True)
    return Place(Folder(folder), Lines())


def shares(log: MixtureLog) -> dict[str, float]:
    return dict(log.entries[-1].decision.mixture)


@pytest.mark.parametrize("name", ["stages.mixture_choice", "pipeline.mixture_charts", "pipeline.mixing_inputs"])
def test_examples_of_the_docstrings_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"estimator": "doge"}, "mixture.estimator: found doge, expected one of aioli"),
        ({"replay": "first"}, "mixture.replay"),
        ({"device": "tpu"}, "mixture.device"),
        ({"steps": 0}, "mixture.steps: found 0, expected 1 or more"),
        ({"tokens": -1}, "mixture.tokens"),
        ({"delta": 1.5}, "mixture.delta: found 1.5, expected 0 to 1"),
        ({"window": 1}, "mixture.window"),
        ({"learning_rate": 0.0}, "mixture.learning_rate"),
        ({"eta": -1.0}, "mixture.eta"),
        ({"sweeps": 1}, "mixture.sweeps: found 1, expected 2 or more, or hold 0"),
        ({"warm": 0.1}, "mixture.warm: found 0.1, expected 0, or a prior"),
        ({"max_epochs": 0.0}, "mixture.max_epochs"),
        ({"max_epochs": {"a": -1}}, "mixture.max_epochs"),
        ({"estimator": "given"}, "needs shares, such as"),
        ({"shares": {"a": 1.0}}, "no other takes any"),
        ({"estimator": "given", "shares": {"a": 0.5}}, "sum to 1"),
        ({"prior": {"a": 2.0}}, "mixture.prior"),
        ({"log": "/no/such/log"}, "mixture.log: /no/such/log is no file"),
        ({"objective": {"a": "much"}}, "mixture.objective"),
    ],
)
def test_a_value_that_cannot_be_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        build(Mixture, settings, "mixture")
    assert told in str(error.value)


def test_the_stage_is_declared_as_others_are() -> None:
    stage = build(Mixture, {"objective": {"a": 0}, "max_epochs": {"a": 2}}, "mixture")
    assert is_context_stage(stage)
    assert hash(stage) != hash(Mixture())
    assert (stage.reads, stage.adds.names, dict(stage.models())) == ((), [], {})
    assert stage.decide(pa.RecordBatch.from_pydict({"a": [1, 2]})).null_count == 2
    assert all(setting.help for setting in settings_of(Mixture))
    assert "torch" not in Mixture(estimator="proportional").libraries


def test_a_proxy_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.mixture.find_spec", lambda name: None)
    assert Mixture(estimator="unimax").libraries == ("numpy",)
    with pytest.raises(ConfigError, match=r"needs torch.*pip install 'tamis\[llm\]'"):
        _ = Mixture().libraries


def test_estimators_have_the_settings_that_were_given() -> None:
    task = Task(GROUPS, steps=200, batch=2)
    made = {
        name: estimator_of(Mixture(estimator=name, rounds=5, eta=2.0, floor=0.1), task)
        for name in ("aioli", "skillit", "doremi", "laws", "regmix")
    }
    for name, estimator in made.items():
        assert getattr(estimator, "floor", None) == 0.1, name
    assert [getattr(made[name], "eta", None) for name in ("aioli", "skillit", "doremi")] == [2.0, 2.0, 2.0]
    assert (getattr(made["aioli"], "rounds", 0), getattr(made["laws"], "trials", 0)) == (5, 10)
    assert trial_steps(Mixture(), task) == 50
    assert fitting_rounds(Mixture(steps=10, rounds=3, delta=0.1), Task(GROUPS, 10)) == 1
    prior = Mixture(prior={"a": 1.0, "b/x": 0.0, "noise": 0.0}, warm=0.5)
    assert estimator_of(prior, task).plan(0)[0] == Segment(0, 100, {"a": 1.0, "b/x": 0.0, "noise": 0.0})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"estimator": "stratified"}, {"a": 1 / 3, "b/x": 1 / 3, "noise": 1 / 3}),
        ({"estimator": "proportional", "floor": 0.0}, {"a": 40 / 92, "b/x": 40 / 92, "noise": 12 / 92}),
        ({"estimator": "temperature", "temperature": 1e9, "floor": 0.0}, {"a": 1 / 3, "b/x": 1 / 3, "noise": 1 / 3}),
        ({"estimator": "unimax", "max_epochs": 1.0, "floor": 0.0}, {"a": 40 / 92, "b/x": 40 / 92, "noise": 12 / 92}),
        ({"estimator": "given", "shares": HALF}, HALF),
        ({"estimator": "stratified", "max_epochs": {"noise": 1}}, {"a": 40 / 92, "b/x": 40 / 92, "noise": 12 / 92}),
    ],
)  # fmt: skip
def test_known_mixtures_are_served_as_they_stand(
    tmp_path: Path, settings: dict[str, Any], expected: dict[str, float]
) -> None:
    data = contexts(tmp_path / "contexts", GROUPS)
    found = mix(Mixture(block=8, **settings), data, place(tmp_path / "out"))
    log = read_log(tmp_path / "out" / NAME)
    assert shares(log) == pytest.approx(expected)
    assert (found.proxy, log.facts.tokenizer, log.facts.block, log.complete) == ({}, TOKENIZER, 8, True)
    served = [sample["group"] for sample in MixtureStream(tmp_path / "out" / NAME, dict(data.groups))]
    assert len(served) == sum(GROUPS.values())
    for name, share in expected.items():
        assert abs(served.count(name) - share * len(served)) < 1.01


def test_the_budget_is_in_tokens_and_groups_that_run_out_are_told(tmp_path: Path) -> None:
    data = contexts(tmp_path / "contexts", GROUPS)
    settings = Mixture(estimator="stratified", tokens=60 * LENGTH + 3, max_epochs={"noise": 1.0}, block=16)
    found = mix(settings, data, place(tmp_path / "out"))
    log = read_log(tmp_path / "out" / NAME)
    assert log.facts.samples == 60
    assert shares(log)["noise"] == pytest.approx(12 / 60)
    assert "group 'noise' runs out" in found.run_out[0]
    assert found.notes == ["groups with fewer contexts than a block of 16 may come again within one: noise (12)"]
    with pytest.raises(ConfigError, match="less than one context of 64"):
        task_of(replace(settings, tokens=5), data)
    with pytest.raises(ConfigError, match="raise max_epochs"):
        task_of(replace(settings, tokens=10_000_000, max_epochs=4.0), data)


@pytest.mark.parametrize("estimator", ["aioli", "proportional"])
def test_one_group_has_all(tmp_path: Path, estimator: str) -> None:
    found = mix(Mixture(estimator=estimator), contexts(tmp_path / "contexts", {"a": 5}), place(tmp_path / "out"))
    assert shares(read_log(tmp_path / "out" / NAME)) == {"a": 1.0}
    assert found.notes[0] == "one group, 'a': its share is 1, and nothing is estimated"


def test_groups_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="group 'empty' holds no context"):
        mix(Mixture(), contexts(tmp_path / "1", {"a": 5, "empty": 0}), place(tmp_path / "out"))
    data = contexts(tmp_path / "2", GROUPS)
    for settings in ({"objective": {"noisy": 0.0}}, {"max_epochs": {"noisy": 1.0}}):
        with pytest.raises(ConfigError, match="'noisy'; did you mean 'noise'"):
            mix(Mixture(**settings), data, place(tmp_path / "out"))
    shares = {"a": 0.5, "noise": 0.5}
    with pytest.raises(ConfigError, match="no value for group 'b/x'"):
        mix(Mixture(estimator="given", shares=shares), data, place(tmp_path / "out"))
    with pytest.raises(ConfigError, match="tokenizer"):
        mix(Mixture(estimator="stratified"), replace(data, tokenizer=""), place(tmp_path / "out"))


def decided(version: int, lands: int, mixture: Mapping[str, float]) -> Decision:
    reason = "moved: so; max_epochs cuts a" if version else "start"
    return Decision(version, lands, lands, mixture, True, reason, losses={"a": 1.0, "b": 2.0}, matrix=((1.0, 0.0),) * 2)


def logged(path: Path, lands: list[int], first: list[float], steps: int = 10, batch: int = 2) -> MixtureLog:
    """A finished log of two groups, with the share of "a" from each of `lands` on."""
    task = Task({"a": 50, "b": 50}, steps, batch)
    writer = LogWriter(path, facts_of(task, {}, TOKENIZER))
    ends = [*lands[1:], steps]
    for version, (begin, end, share) in enumerate(zip(lands, ends, first, strict=True)):
        mixture = {"a": share, "b": 1 - share}
        spans = [Segment(begin, end - begin, mixture)] if end > begin else []
        writer.append(decided(version, begin, mixture), spans)
    return read_log(path)


def test_decisions_land_after_the_same_part_of_the_large_run(tmp_path: Path) -> None:
    log = logged(tmp_path / "log", [0, 2, 5], [0.5, 0.8, 0.1])
    task = Task({"a": 700, "b": 900}, 1000)
    found = list(replayed(log, task))
    assert [decision.lands for decision, _ in found] == [0, 200, 500]
    assert [(s.begin, s.end, round(s.mixture["a"], 9)) for _, segments in found for s in segments] == [
        (0, 200, 0.5), (200, 500, 0.8), (500, 1000, 0.1),
    ]  # fmt: skip
    assert found[1][0].reason == "moved: so (after step 2 of 10 of the proxy)"
    assert (found[1][0].losses, found[1][0].matrix) == ({"a": 1.0, "b": 2.0}, ((1.0, 0.0), (1.0, 0.0)))
    assert mean_mixture(log)["a"] == pytest.approx(0.2 * 0.5 + 0.3 * 0.8 + 0.5 * 0.1)
    for how, share in (("average", mean_mixture(log)["a"]), ("final", 0.1)):
        ((decision, (segment,)),) = replayed(log, task, how)
        assert (decision.version, segment.begin, segment.end) == (0, 0, 1000)
        assert decision.mixture["a"] == pytest.approx(share)


@limits(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(0, 10), min_size=0, max_size=5),
    st.lists(st.floats(0, 1), min_size=6, max_size=6),
    st.integers(1, 400),
)
def test_a_replay_covers_the_run_and_keeps_the_caps(
    tmp_path_factory: pytest.TempPathFactory, lands: list[int], first: list[float], steps: int
) -> None:
    log = logged(tmp_path_factory.mktemp("log") / "log", [0, *sorted(lands)], first[: len(lands) + 1])
    task = Task({"a": 100, "b": 400}, steps, max_epochs={"a": 1.0})
    path = tmp_path_factory.mktemp("replay") / "log"
    writer = LogWriter(path, facts_of(task, {}, TOKENIZER, block=16))
    for decision, segments in replayed(log, task):
        writer.append(decision, segments)
    found = read_log(path)
    assert found.complete
    assert sum(span.end - span.begin for span in spans_of(found)) == steps
    counts = dict(zip(("a", "b"), found.schedule().counts(steps).tolist(), strict=True))
    assert counts["a"] + counts["b"] == steps
    assert counts["a"] <= 100


def test_a_log_of_other_groups_or_without_an_end_is_not_replayed(tmp_path: Path) -> None:
    log = logged(tmp_path / "log", [0, 2], [0.5, 0.8])
    with pytest.raises(ConfigError, match="the log is of groups a, b, found a, c"):
        list(replayed(log, Task({"a": 5, "c": 5}, 5)))
    with pytest.raises(ConfigError, match="ends before sample 20"):
        list(replayed(replace(log, entries=log.entries[:1]), Task({"a": 5, "b": 5}, 5)))


def finished(data: Contexts, path: Path) -> Path:
    """A finished log of some contexts."""
    task = Task(data.counts, 10, 2)
    writer = LogWriter(path, facts_of(task, data.checksums, data.tokenizer))
    mixture = {name: 1 / len(data.counts) for name in data.counts}
    writer.append(Decision(0, 0, 0, mixture, True, "start"), [Segment(0, 10, mixture)])
    return path


def test_a_finished_log_takes_the_place_of_a_proxy_if_it_is_of_these_contexts(tmp_path: Path) -> None:
    data = contexts(tmp_path / "contexts", GROUPS)
    settings = Mixture(log=str(finished(data, tmp_path / "proxy.jsonl")))
    assert ("torch" in settings.libraries, set(settings.models())) == (False, {"log"})
    found = mix(settings, data, place(tmp_path / "out"))
    assert found.replay == "trajectory"
    assert read_log(tmp_path / "out" / NAME).facts.samples == 92
    with pytest.raises(ConfigError, match="tokens of numbers-0, the contexts have tokens of other"):
        mix(settings, replace(data, tokenizer="other"), place(tmp_path / "out"))
    write_contexts(tmp_path / "contexts", {"a": 40}, seed=9)
    changed = Contexts(parquet_groups(tmp_path / "contexts"), TOKENIZER, LENGTH)
    with pytest.raises(InputError, match="group 'a' has changed since"):
        mix(settings, changed, place(tmp_path / "out"))
    write_contexts(tmp_path / "contexts", {"new": 4})
    more = Contexts(parquet_groups(tmp_path / "contexts"), TOKENIZER, LENGTH)
    with pytest.raises((ConfigError, InputError)):
        mix(settings, more, place(tmp_path / "out"))


class Phase:
    """Tasks done here, and how many were."""

    done = 0

    def __call__(self, name: str, tasks: Any, finished: Any, function: Any) -> list[Any]:
        found = []
        for task in tasks:
            record = finished(task)
            self.done += record is None
            found.append(record or function(task, Counter()))
        return found


def test_a_run_has_its_mixture_once_and_anew_for_other_contexts(tmp_path: Path) -> None:
    write_contexts(tmp_path / "contexts", GROUPS)
    step, phase = Step(9, "mixture", "abc", Mixture(estimator="unimax", block=8)), Phase()
    store = Store(str(tmp_path))
    first = estimate(store, step, TOKENIZER, LENGTH, 0, phase)
    again = estimate(store, step, TOKENIZER, LENGTH, 0, phase)
    assert (first, phase.done) == (again, 1)
    assert isinstance(again, MixingRecord)
    assert first.log.name == NAME
    log = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).unlink()
    estimate(store, step, TOKENIZER, LENGTH, 0, phase)
    assert ((tmp_path / NAME).read_bytes(), phase.done) == (log, 2)
    write_contexts(tmp_path / "contexts", GROUPS, seed=1)
    estimate(store, step, TOKENIZER, LENGTH, 0, phase)
    assert (phase.done, (tmp_path / NAME).read_bytes() != log) == (3, True)


def test_a_run_in_a_remote_store_has_its_mixture_there() -> None:
    store = Store("memory://run")
    store.filesystem.mkdirs("/run/contexts/group=a", exist_ok=True)
    import pyarrow.parquet as pq

    table = pa.table({"context": [0], "input_ids": [[1, 2]]})
    with store.create("contexts/group=a/part-00000.parquet") as file:
        pq.write_table(table, pa.PythonFile(file, "w"))
    estimate(store, Step(9, "mixture", "abc", Mixture()), TOKENIZER, 2, 0, Phase())
    with store.open(NAME) as file:
        assert b'"mixture":{"a":1.0}' in file.read()


def test_a_proxy_learns_which_group_is_noise_and_the_report_shows_it(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    write_contexts(tmp_path / "contexts", GROUPS)
    settings = quick(steps=48, rounds=2, objective={"noise": 0.0}, hold=0.0, shrink=False, eta=3.0)
    record = estimate(Store(str(tmp_path)), Step(9, "mixture", "abc", settings), TOKENIZER, LENGTH, 0, Phase())
    log = read_log(tmp_path / NAME)
    assert shares(log)["noise"] < 0.3, log.entries[-1].decision.reason
    facts = json.loads(json.dumps(mixture_facts(log, record.found)))
    assert sum(row["realised"] for row in facts["groups"]) == pytest.approx(1)
    for row in facts["groups"]:
        assert abs(row["asked"] - row["realised"]) < 2 / log.facts.samples
        assert row["repetitions"] == row["samples"] / row["contexts"]
    assert facts["proxy"]["spent"]["probe"]["tokens"] == record.found.proxy["spent"]["probe"] > 0
    assert sum(kind["share"] for kind in facts["proxy"]["spent"].values()) == pytest.approx(1)
    assert len(facts["losses"]["lines"]) == 3
    assert facts["caution"].startswith("A lower loss is not yet")
    page = rendered(facts)
    assert page.count("<table") == 4
    assert 'role="img" aria-label="share of the group: a from 0.333 to' in page


def rendered(facts: Mapping[str, Any]) -> str:
    return environment().get_template("mixture.html").render(facts={"mixture": facts})


def test_names_of_groups_are_escaped_in_the_report(tmp_path: Path) -> None:
    evil = '<script>"&'
    data = contexts(tmp_path / "contexts", {evil: 9, "b": 9})
    found = mix(Mixture(estimator="stratified"), data, place(tmp_path / "out"))
    page = rendered(mixture_facts(read_log(tmp_path / "out" / NAME), found))
    assert "<script>" not in page
    assert "&lt;script&gt;&#34;&amp;" in page
    assert "standard error" not in page


def test_a_report_of_a_replayed_log_shows_its_matrix(tmp_path: Path) -> None:
    log = logged(tmp_path / "log", [0, 2, 5], [0.5, 0.8, 0.1])
    facts = mixture_facts(log, Estimated("aioli"))
    row = facts["decisions"][1]["matrix"][0]
    assert [(cell["value"], cell["error"], cell["shade"]) for cell in row["cells"]] == [(1.0, None, 60), (0.0, None, 0)]
    assert facts["groups"][0] == {
        "name": "b", "contexts": 50, "asked": pytest.approx(0.61), "samples": 12, "realised": 0.6,
        "repetitions": 0.24, "runs_out": None, "first_loss": None, "last_loss": None,
    }  # fmt: skip
    assert rendered(facts).count('<table class="matrix"') == 3


def job(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "jobs/estimate_mixture.py", *(str(argument) for argument in arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_job_writes_a_log_that_a_trainer_can_follow(tmp_path: Path) -> None:
    folder = write_contexts(tmp_path / "contexts", GROUPS)
    (tmp_path / "run.yaml").write_text("stages: [{pack: {}}, {mixture: {estimator: temperature, block: 8}}]")
    (tmp_path / "manifest.json").write_text('{"contexts": {"tokenizer": "numbers-0", "context": 64}}')
    done = job(tmp_path, "--output", tmp_path / "out", "--config", tmp_path / "run.yaml", "--max-epochs", "{noise: 1}")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (
        summary["settings"] | {"estimator": "temperature", "block": 8, "max_epochs": {"noise": 1}}
        == summary["settings"]
    )
    assert "runs out" in done.stderr
    assert sum(1 for _ in MixtureStream(tmp_path / "out" / NAME, dict(parquet_groups(folder)))) == 92
    done = job(folder, "--output", tmp_path / "none")
    assert (done.returncode, "give --tokenizer ID" in done.stderr) == (3, True)


def test_the_longest_context_is_found(tmp_path: Path) -> None:
    assert longest(contexts(tmp_path, {"a": 2}).groups) == LENGTH


def test_the_example_of_a_loop_trains_on_a_run(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    data = Contexts(parquet_groups(write_contexts(tmp_path / "contexts", GROUPS)), TOKENIZER, LENGTH)
    mix(Mixture(estimator="given", shares=HALF, block=4), data, place(tmp_path))
    command = [sys.executable, "jobs/train_on_mixture.py", str(tmp_path), "loop", "--steps", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3:] == [
        "a: 50.0% of 16 contexts", "b/x: 25.0% of 16 contexts", "noise: 25.0% of 16 contexts",
    ]  # fmt: skip
    assert "step 4: loss" in done.stdout


@pytest.mark.parametrize("name", ["sweeps", "delta", "hold", "memory", "shrink", "pull", "fade", "floor"])
def test_the_defaults_of_the_stage_are_those_of_aioli(name: str) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Aioli)}
    assert getattr(Mixture(), name) == defaults[name]
