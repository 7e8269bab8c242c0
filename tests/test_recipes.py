"""The recipes: every one loads, is on its page, and runs on a few documents as it says."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.train_online import Learner, train
from pipeline.config import load_config
from stages.errors import ConfigError, InputError
from stages.mixture_log import read_log
from tests.rater_servers import FakeEndpoint
from tests.runs import documents, go, write_jsonl
from tests.tiny_contexts import TOKENIZER, write_contexts
from tests.tiny_corpus import corpus
from tests.warc_files import wet, zipped

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "configs" / "recipes").glob("*.yaml"))
PAGE = (ROOT / "configs" / "recipes" / "README.md").read_text(encoding="utf-8")
MANIFEST = {"contexts": {"tokenizer": TOKENIZER}}
PROSE = (
    "{0} is a country with a population of several million people. The capital and largest city is an important port. "
    "The history of {0} began in the Middle Ages, when it was part of a larger kingdom. It became independent in the "
    "nineteenth century, after a war between the two most important states of the region. The economy is based on "
    "agriculture, fishing and tourism. The official language is spoken by most of the population. Its climate is mild, "
    "and the highest mountain of the country lies in the north, near the border."
)


def ran(name: str, inputs: list[Path], output: Path, *overrides: str) -> Path:
    """A recipe on these files, its settings but for what makes it small."""
    paths = f"input.paths={json.dumps([str(path) for path in inputs])}"
    small = ("input.max_bad_fraction=0.5", "input.split_mb=1")
    go(ROOT / "configs" / "recipes" / f"{name}.yaml", paths, f"output={output}", *small, *overrides)
    return output


def kept(run: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in (run / "data").glob("*.parquet"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_a_configuration_with_its_place_on_the_page(path: Path) -> None:
    assert load_config(path).stages
    assert f"[{path.name}]({path.name})" in PAGE
    assert all("#" in line for line in path.read_text().splitlines()[:1])


def test_the_page_names_what_there_is() -> None:
    assert set(re.findall(r"configs/recipes/(\w+)\.yaml", PAGE)) - {"NAME"} <= {path.stem for path in RECIPES}
    assert all((ROOT / job).is_file() for job in re.findall(r"jobs/\w+\.py", PAGE))
    assert "configs/recipes/README.md" in (ROOT / "README.md").read_text()
    known = [stage for path in RECIPES for stage in load_config(path).stages]
    for name, key in re.findall(r"--set (\w+)\.(\w+)=", PAGE):
        assert any(stage.name == name and hasattr(stage, key) for stage in known), (name, key)


def test_wet_files_become_mixed_contexts(tmp_path: Path) -> None:
    pytest.importorskip("fastwarc")
    rows = [row for path in corpus(tmp_path / "texts")[:2] for row in map(json.loads, path.read_text().splitlines())]
    crawl = tmp_path / "crawl.warc.wet.gz"
    crawl.write_bytes(zipped(wet(number, row["text"]) for number, row in enumerate(rows)))
    run = ran("common_crawl", [crawl], tmp_path / "run", "mixture.estimator=unimax", "tokens.min_tokens=8")
    groups = {path.name for path in (run / "contexts").iterdir()}
    assert groups and all("%2F" in group for group in groups)
    log = json.loads((run / "mixture.jsonl").read_text().splitlines()[0])
    assert set(log["run"]["contexts"]) == {group.removeprefix("group=").replace("%2F", "/") for group in groups}
    assert sum(pq.read_metadata(path).num_rows for path in (run / "mixed").glob("*.parquet")) == log["run"]["samples"]


def test_english_alone_stays(tmp_path: Path) -> None:
    rows = [{"id": str(number), "text": PROSE.format(place)} for number, place in enumerate(("Malta", "Peru", "Chad"))]
    inputs = [write_jsonl(tmp_path / "prose.jsonl", rows), *corpus(tmp_path)[1:2]]
    rows = [{"id": str(number), "text": PROSE.format(place)} for number, place in enumerate(("Malta", "Peru", "Chad"))]
    inputs = [write_jsonl(tmp_path / "prose.jsonl", rows), *corpus(tmp_path / "mixed")[1:2]]
    run = ran("english", inputs, tmp_path / "run", "rating.min_overall_score=1", "order.duplicates=0")
    table = pq.read_table(run / "data")
    assert set(table["lang"].to_pylist()) == {"en"}
    assert {"0", "1", "2"} <= set(table["id"].to_pylist())
    assert {"harmful_ratio", "quality_ppl", "rating_overall_score", "order_status"} <= set(table.column_names)


def test_small_languages_are_raised(tmp_path: Path) -> None:
    rows = [row for row in documents(80, sentences=6) if row["made_in"] != "de" or int(row["id"][2:]) % 4 == 0]
    run = ran("multilingual", [write_jsonl(tmp_path / "in.jsonl", rows)], tmp_path / "run", "language.min_score=0")
    log = json.loads((run / "mixture.jsonl").read_text().splitlines()[0])
    assert {"de", "en", "ru"} <= set(log["mixture"])
    assert len(set(pq.read_table(run / "data")["lang"].to_pylist())) >= 5


def test_contexts_are_packed_for_a_trainer(tmp_path: Path) -> None:
    run = ran("online", [write_jsonl(tmp_path / "in.jsonl", documents(40))], tmp_path / "run", "language.min_score=0")
    assert {path.name for path in (run / "contexts").iterdir()} == {f"group=source-{number}" for number in range(3)}
    assert not (run / "mixture.jsonl").exists()


def test_a_trainer_decides_on_the_mixture_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    packed(tmp_path)
    train(asked(tmp_path, "whole"))
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told] == ["step 6", "step 30"]

    def stops(learner: Learner, rows: Any) -> None:
        if learner.step == 25:
            raise KeyboardInterrupt
        going_on(learner, rows)

    going_on = Learner.train
    monkeypatch.setattr(Learner, "train", stops)
    with pytest.raises(KeyboardInterrupt):
        train(asked(tmp_path, "parts"))
    monkeypatch.setattr(Learner, "train", going_on)
    capsys.readouterr()
    train(asked(tmp_path, "parts"))
    assert capsys.readouterr().out.splitlines() == told[1:]
    logs = [(tmp_path / name / "mixture.jsonl").read_bytes() for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    whole, parts = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("whole", "parts"))
    assert whole["step"] == parts["step"] == 48, "no multiple of --every"
    assert all(torch.equal(value, parts["model"][name]) for name, value in whole["model"].items())
    train(asked(tmp_path, "other", prior=tmp_path / "whole" / "mixture.jsonl", steps=60))
    first = read_log(tmp_path / "other" / "mixture.jsonl").entries[0].segments[0]
    assert first.mixture == read_log(tmp_path / "whole" / "mixture.jsonl").entries[-1].decision.mixture


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ({"rounds": 1}, "rounds 2, .* this run has rounds 1,"),
        ({"tokens": 8}, "tokens 16, .* this run has .*tokens 8,"),
        ({"every": 10}, "every 20, .* this run has .*every 10,"),
        ({"held": 1}, "contexts = "),
        ({"prior": Path("whole/mixture.jsonl")}, "prior none, this run has .*prior [0-9a-f]{16}"),
    ],
)
def test_a_trainer_does_not_go_on_under_other_settings(tmp_path: Path, others: dict[str, Any], found: str) -> None:
    pytest.importorskip("transformers")
    packed(tmp_path)
    train(asked(tmp_path, "whole"))
    before = (tmp_path / "whole" / "mixture.jsonl").read_bytes()
    if "prior" in others:
        others = {"prior": tmp_path / others["prior"]}
    with pytest.raises(ConfigError, match=f"mixture.jsonl was written with .*{found}"):
        train(asked(tmp_path, "whole", **others))
    assert (tmp_path / "whole" / "mixture.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("manifest", "prior", "found"),
    [
        (MANIFEST, "nowhere.jsonl", "nowhere.jsonl is no file: expected the mixture"),
        (None, None, "manifest.json is missing, so the run is not finished"),
        ({}, None, "names no tokenizer of contexts"),
        ({"contexts": None}, None, "names no tokenizer of contexts"),
        ([], None, "names no tokenizer of contexts"),
    ],
)
def test_a_trainer_says_what_is_missing(tmp_path: Path, manifest: Any, prior: str | None, found: str) -> None:
    packed(tmp_path, manifest)
    with pytest.raises(InputError, match=found):
        train(asked(tmp_path, "out", prior=tmp_path / prior if prior else None))
    assert not (tmp_path / "out").exists()


def packed(run: Path, manifest: Any = MANIFEST) -> None:
    """What the trainer wants of a run; without a manifest if that is None."""
    write_contexts(run / "contexts", {"a": 40, "b": 40, "noise": 9})
    if manifest is not None:
        (run / "manifest.json").write_text(json.dumps(manifest))


def asked(run: Path, name: str, **others: Any) -> argparse.Namespace:
    """The command line of jobs/train_online.py, small."""
    given = {"steps": 48, "batch": 2, "rounds": 2, "tokens": 16, "held": 2, "every": 20, "prior": None}
    return argparse.Namespace(run=run, output=run / name, **{**given, **others})


def test_ratings_are_asked_of_an_endpoint(tmp_path: Path) -> None:
    pytest.importorskip("openai")
    with FakeEndpoint() as endpoint:
        endpoint.models = json.dumps({"data": [{"id": "rater"}]})
        keeps = (f"rating.url={endpoint.url}", f"rating.answers={tmp_path}/answers", "rating.min_overall_score=1")
        run = ran("vllm", corpus(tmp_path)[:1], tmp_path / "run", *keeps)
        assert kept(run) == len(pq.read_table(run / "data", columns=["rater"]))
        assert {body["model"] for body in endpoint.bodies} == {"rater"}
        assert all(body["structured_outputs"]["regex"] for body in endpoint.bodies)
