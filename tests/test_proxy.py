"""The proxy: windows, losses, the order of data, checkpoints and kills, several ranks, bad gradients, merging."""

import doctest
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data import MixtureStream
from pipeline.mixing_inputs import Contexts, Place, config_of
from pipeline.mixing_proxy import divisions, proxy_run
from pipeline.proxy.checkpoint import NAME, Folder
from pipeline.proxy.learner import Learner, tensors
from pipeline.proxy.losses import summed_loss, window_losses
from pipeline.proxy.merging import group_models, parameters_of, scorer
from pipeline.proxy.model import computing, make_model
from pipeline.proxy.trainer import ProxyRun
from pipeline.proxy.vocabulary import vocabulary_of
from pipeline.proxy.watch import Lines
from pipeline.proxy.windows import divided, windows_of
from pipeline.storage import Store
from stages.errors import ConfigError, InputError, ModelError
from stages.mixture import Mixture
from stages.mixture_estimator import Segment
from stages.mixture_log import read_log
from stages.mixture_merge import ranked
from tests.tiny_contexts import LENGTH, VOCABULARY, contexts, quick

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
GROUPS = {"a": 40, "b/x": 40, "noise": 12}
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return contexts(tmp_path_factory.mktemp("contexts"), GROUPS)


def run_of(data: Contexts, folder: Path, watch: Lines | None = None, **settings: Any) -> ProxyRun:
    chosen = quick(**settings)
    place = Place(Folder(folder), watch or Lines())
    return proxy_run(chosen, data, divisions(chosen, data), place)


def go(run: ProxyRun) -> Learner:
    with computing(1, "cpu"):
        return run.go()


def result(folder: Path) -> dict[str, bytes]:
    names = ("proxy.jsonl", "proxy/model.safetensors", "proxy/config.json", NAME)
    return {name: (folder / name).read_bytes() for name in names}


class Rows:
    """Contexts of given lengths, counting through all tokens."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def rows(self, begin: int, end: int) -> list[Mapping[str, Any]]:
        firsts = np.cumsum([0, *self.lengths])
        return [{"input_ids": np.arange(firsts[n], firsts[n + 1])} for n in range(begin, end)]


@pytest.mark.parametrize("name", ["learner", "windows", "watch"])
def test_examples_of_the_docstrings_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"pipeline.proxy.{name}")).failed == 0


def test_windows_are_whole_and_in_order() -> None:
    windows = windows_of(Rows(10, 3, 1, 8), 4, 0, 4, most=99)
    assert [row["input_ids"].tolist() for row in windows.rows(0, len(windows))] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [10, 11, 12], [14, 15, 16, 17], [18, 19, 20, 21],
    ]  # fmt: skip
    assert [row["input_ids"][0] for row in windows.spread(2).rows(0, 2)] == [0, 10]
    assert len(windows_of(Rows(*[8] * 1000), 4, 0, 1000, most=7)) == 7


def test_a_group_is_divided_by_contexts_or_by_windows_or_refused() -> None:
    large = divided("g", Rows(*[8] * 20), 4, held=3, most=99)
    assert (set(large.training.contexts), set(large.validation.contexts)) == (set(range(17)), {17, 18, 19})
    assert not large.note
    small = divided("g", Rows(8, 8), 4, held=3, most=99)
    assert (len(small.training), len(small.validation)) == (3, 1)
    assert "too few to hold 3" in small.note
    for rows in (Rows(4), Rows(1, 1), Rows()):
        with pytest.raises(ConfigError, match="group 'g' holds too little"):
            divided("g", rows, 4, held=1, most=99)


def test_the_head_in_cache_gives_the_loss_and_the_gradient_of_the_logits() -> None:
    rows = [{"input_ids": np.arange(9) % 7}, {"input_ids": np.array([3, 1, 2])}]
    tokens, counts = tensors(rows, "cpu")
    found = []
    for kind in ("llama", "none"):
        model = make_model("tiny", VOCABULARY, 16, seed=1)
        model.config.model_type = kind
        loss = summed_loss(model, tokens, counts)
        loss.backward()
        gradients = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
        found.append((loss.item(), gradients, window_losses(model, tokens, counts)))
    (fast, slope, windows), (plain, expected, expected_windows) = found
    assert fast == pytest.approx(plain, rel=1e-6)
    assert float(windows.sum()) == pytest.approx(plain, rel=1e-6)
    torch.testing.assert_close(windows, expected_windows, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-5)
    alone = summed_loss(model, tokens[1:, :3], counts[1:]).item()
    assert float(windows[1]) == pytest.approx(alone, rel=1e-5)


def test_it_trains_on_what_the_log_says_and_the_loss_falls(data: Contexts, tmp_path: Path) -> None:
    run = run_of(data, tmp_path)
    served: list[tuple[str, bytes]] = []
    parts = run.data.training
    recorded = {name: Recording(name, source, served) for name, source in parts.items()}
    go(replace(run, data=replace(run.data, training=recorded)))
    stream = MixtureStream(tmp_path / "proxy.jsonl", dict(parts), batch_size=4)
    expected = [(sample["group"], sample["input_ids"].tobytes()) for sample in stream]
    assert served == expected
    assert len(expected) == 32 * 4
    log = read_log(tmp_path / "proxy.jsonl")
    assert log.complete
    assert [entry.decision.version for entry in log.entries] == [0, 1, 2]
    assert run.spent["probe"] == run.spent["train"] * 24 // 40 == 24 * 15 * 4 // 2
    for name in ("a", "b/x"):
        assert run.history[-1][1][name] < run.history[0][1][name] - 0.3
    assert run.history[-1][0] == 32


class Recording:
    def __init__(self, name: str, source: Any, served: list[tuple[str, bytes]]) -> None:
        self.name, self.source, self.served = name, source, served

    def __len__(self) -> int:
        return len(self.source)

    def rows(self, begin: int, end: int) -> Any:
        found = self.source.rows(begin, end)
        self.served += [(self.name, row["input_ids"].tobytes()) for row in found]
        return found


class Stopped(Exception):
    pass


class Stopping(Lines):
    """Stops after so many steps, of the run and its trials."""

    left = 0
    kill = False

    def stepped(self, step: int, steps: int, windows: int, tokens: int, trial: str | None) -> None:
        self.left -= 1
        if self.left == 0 and self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.left == 0:
            raise Stopped


@pytest.mark.parametrize("estimator", ["aioli", "doremi", "skillit"])
def test_a_run_that_was_stopped_anywhere_ends_the_same(data: Contexts, tmp_path: Path, estimator: str) -> None:
    settings = {"estimator": estimator, "steps": 16, "delta": 0.75, "trial_steps": 5}
    calm, stopped = tmp_path / "calm", tmp_path / "stopped"
    calm.mkdir()
    stopped.mkdir()
    go(run_of(data, calm, **settings))
    for every, left in ((0.0, 3), (0.0, 4), (1e9, 9), (0.0, 6)):
        watch = Stopping()
        watch.left = left
        run = run_of(data, stopped, watch, **settings)
        with pytest.raises(Stopped):
            go(replace(run, training=replace(run.training, every_s=every)))
    last = run_of(data, stopped, **settings)
    go(last)
    assert result(stopped) == result(calm)
    again = run_of(data, stopped, **settings)
    go(again)
    assert (result(stopped), again.spent, again.history) == (result(calm), last.spent, last.history)


def test_a_run_that_was_killed_ends_the_same(data: Contexts, tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    calm.mkdir()
    killed.mkdir()
    go(run_of(data, calm))
    folder = Path(next(iter(data.groups.values())).paths[0].removeprefix("file://")).parents[1]
    done = subprocess.run([sys.executable, "-m", "tests.test_proxy", str(folder), str(killed)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (killed / NAME).is_file()
    assert not (killed / "proxy").exists()
    go(run_of(data, killed))
    assert result(killed) == result(calm)


def kill(folder: Path, output: Path) -> None:
    """In a process of its own: train, and die in the middle."""
    from pipeline.data.contexts import parquet_groups
    from tests.tiny_contexts import TOKENIZER

    watch = Stopping()
    watch.left, watch.kill = 20, True
    run = run_of(Contexts(parquet_groups(folder), TOKENIZER, LENGTH), output, watch)
    go(replace(run, training=replace(run.training, every_s=0.02)))


def test_a_checkpoint_of_other_settings_is_left_and_a_damaged_one_refused(data: Contexts, tmp_path: Path) -> None:
    go(run_of(data, tmp_path, estimator="laws", trials=4, trial_steps=1, steps=3))
    run = run_of(data, tmp_path, estimator="laws", trials=4, trial_steps=1, steps=4)
    go(run)
    assert read_log(tmp_path / "proxy.jsonl").facts.samples == 16
    assert run.spent["trial"] == 4 * 1 * 4 * 15
    (tmp_path / NAME).write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="damaged"):
        run_of(data, tmp_path, estimator="laws", trials=4, trial_steps=1, steps=4).go()


def test_a_remote_folder_has_the_checkpoint_and_another_machine_goes_on(data: Contexts, tmp_path: Path) -> None:
    calm, first, second = tmp_path / "calm", tmp_path / "first", tmp_path / "second"
    for folder in (calm, first, second):
        folder.mkdir()
    go(run_of(data, calm))
    remote = Store(f"memory://{tmp_path.name}")
    watch = Stopping()
    watch.left = 20
    run = replace(run_of(data, first, watch), folder=Folder(first, remote))
    with pytest.raises(Stopped):
        go(run)
    assert remote.exists(NAME)
    again = replace(run_of(data, second), folder=Folder(second, remote))
    go(again)
    assert result(second) == result(calm)
    assert again.spent["evaluation"] > run.spent["evaluation"] > 0
    for name in ("proxy/model.safetensors", "proxy/config.json"):  # the local folder of a remote run is a temporary one
        with remote.open(name) as file:
            assert file.read() == result(calm)[name]


def test_a_parameter_that_no_token_moves_is_no_obstacle_to_going_on(data: Contexts, tmp_path: Path) -> None:
    def make() -> Any:
        model = first.training.make()
        model.model.idle = torch.nn.Parameter(torch.ones(3))
        return model

    first = run_of(data, tmp_path)
    watch = Stopping()
    watch.left = 9
    run = replace(run_of(data, tmp_path, watch), training=replace(first.training, make=make, every_s=0.0))
    with pytest.raises(Stopped):
        go(run)
    learner = go(replace(run_of(data, tmp_path), training=replace(first.training, make=make)))
    assert learner.step == first.task.steps


def test_gradients_and_losses_that_are_no_numbers_hold_and_are_left_out(
    data: Contexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {5, 6}
    calls = {"train": 0}

    def loss(model: Any, tokens: Any, counts: Any) -> Any:
        calls["train"] += 1
        found = summed_loss(model, tokens, counts)
        return found * float("nan") if calls["train"] in broken else found

    def losses(learner: Learner, validation: Any) -> Any:
        found, tokens = told(learner, validation)
        return (found | {"noise": float("nan")} if learner.step == 6 else found), tokens

    told = Learner.losses
    monkeypatch.setattr("pipeline.proxy.learner.summed_loss", loss)
    monkeypatch.setattr(Learner, "losses", losses)
    run = run_of(data, tmp_path)
    learner = go(run)
    assert run.skipped == 2
    assert all(bool(torch.isfinite(p).all()) for p in learner.model.parameters())
    first, second = read_log(tmp_path / "proxy.jsonl").entries[1:]
    assert first.decision.reason == "held: the loss of 'noise' is not finite after step 6"
    assert "not finite" not in second.decision.reason
    again = run_of(data, tmp_path)
    go(again)
    assert np.isnan(dict(again.history)[6]["noise"])


def test_two_ranks_train_as_one(data: Contexts, tmp_path: Path) -> None:
    folder = Path(next(iter(data.groups.values())).paths[0].removeprefix("file://")).parents[1]
    go(alone := run_of(data, tmp_path))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in vars(quick()).items() if value not in ({}, "")]
    ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "jobs/estimate_mixture.py"]
    output = tmp_path / "two"
    done = subprocess.run(
        [sys.executable, *ranks, str(folder), f"--output={output}", "--tokenizer=numbers-0", *flags],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    proxy = json.loads((output / "summary.json").read_text())["proxy"]
    assert proxy["processes"] == 2
    assert proxy["spent"] == alone.spent
    for (step, losses), (step_alone, expected) in zip(proxy["losses"], alone.history, strict=True):
        assert step == step_alone
        assert losses == pytest.approx(expected, abs=2e-3)
    stream = MixtureStream(output / "mixture.jsonl", dict(data.groups))
    assert sum(1 for _ in stream) == sum(GROUPS.values())
    assert "mixture.jsonl" in done.stdout


def test_models_of_a_directory_with_and_without_weights(tmp_path: Path) -> None:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    shape = {"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    torch.manual_seed(5)
    made = GPTNeoXForCausalLM(GPTNeoXConfig(**shape, intermediate_size=16, max_position_embeddings=16))
    made.save_pretrained(tmp_path / "with")
    made.config.save_pretrained(tmp_path / "without")
    with_weights = make_model(str(tmp_path / "with"), 40, 16, seed=0)
    torch.testing.assert_close(with_weights.state_dict(), made.state_dict())
    drawn = [make_model(str(tmp_path / "without"), 40, 16, seed).get_output_embeddings().weight for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert set(Mixture(proxy=str(tmp_path / "with")).models()) == {"config.json", "model.safetensors"}
    assert set(Mixture(proxy=str(tmp_path / "without")).models()) == {"config.json"}
    with pytest.raises(ModelError, match="vocabulary has 40 tokens, the contexts have 41"):
        make_model(str(tmp_path / "with"), 41, 16, seed=0)
    with pytest.raises(ModelError, match="takes 16 tokens"):
        make_model(str(tmp_path / "with"), 40, 17, seed=0)
    (tmp_path / "with" / "model.safetensors").unlink()
    (tmp_path / "with" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="pickled"):
        Mixture(proxy=str(tmp_path / "with")).models()
    (tmp_path / "without" / "config.json").write_text('{"auto_map": {"AutoModel": "code.Model"}}')
    with pytest.raises(ModelError, match="auto_map"):
        Mixture(proxy=str(tmp_path / "without")).models()


def test_averages_of_models_of_one_group_score_mixtures(data: Contexts, tmp_path: Path) -> None:
    run = run_of(data, tmp_path, objective={"noise": 0.0}, steps=40)
    with computing(1, "cpu"):
        models = group_models(run, seed_steps=10, steps=20)
        score = scorer(run)
        mixtures = [{"a": 0.5, "b/x": 0.5, "noise": 0.0}, {"a": 0.0, "b/x": 0.0, "noise": 1.0}]
        best = ranked(models, mixtures, score)
        assert [mixture for _, mixture in best] == mixtures
        own = {name: score(models[name]) for name in models}
        assert best[1][0] == own["noise"]
        learner = Learner(run.training.make(), run.facts.schedule(), 5, 4, 0.01, run.ranks)
        learner.follow(Segment(0, 5, {"a": 1.0, "b/x": 0.0, "noise": 0.0}))
        before = parameters_of(learner)
        learner.train(run.data.training)
        assert any((before[name] != value).any() for name, value in parameters_of(learner).items())


def test_the_vocabulary_is_what_the_files_use(data: Contexts, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = [path for source in data.groups.values() for path in source.paths]
    assert vocabulary_of(paths) == VOCABULARY
    for name, ids, statistics in (("plain", [[1, 6], []], False), ("bad", [[-1]], True), ("empty", [[]], True)):
        table = pa.table({"input_ids": pa.array(ids, pa.list_(pa.int32()))})
        pq.write_table(table, tmp_path / name, write_statistics=statistics)
    assert vocabulary_of([str(tmp_path / "plain")]) == 7
    assert vocabulary_of([str(tmp_path / "empty")]) == 0
    with pytest.raises(InputError, match="token id -1"):
        vocabulary_of([str(tmp_path / "bad")])
    pq.write_table(pa.table({"ids": ["a"]}), tmp_path / "none")
    with pytest.raises(InputError, match="set pack"):
        vocabulary_of([str(tmp_path / "none")])


def test_the_checksum_of_a_run_covers_settings_and_contexts(data: Contexts) -> None:
    first = config_of(quick(), data)
    assert first == config_of(quick(), data)
    others = [config_of(quick(eta=2.0), data), config_of(quick(), replace(data, seed=1))]
    others.append(config_of(quick(), replace(data, tokenizer="other")))
    assert len({first, *others}) == 4


if __name__ == "__main__":
    kill(Path(sys.argv[1]), Path(sys.argv[2]))
