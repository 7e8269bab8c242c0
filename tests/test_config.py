"""The configuration: what is wrong is named, with the remedy; what is right comes back as it was."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import stages
from pipeline.config import InputConfig, as_plain, build_config, load_config, stage_values
from pipeline.sections import build
from stages.errors import ConfigError
from tests.tiny import Length

MINIMAL: dict[str, Any] = {"input": {"paths": ["a.jsonl"]}, "output": "runs/a"}


@pytest.fixture(autouse=True)
def tiny_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """`length` is the one stage, so that the tests depend on no other."""
    known = stages.stage_class
    monkeypatch.setattr(stages, "NAMES", ("length",))
    monkeypatch.setattr(stages, "stage_class", lambda name: Length if name == "length" else known(name))


def message(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        build_config(raw)
    return str(error.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A configuration file with one stage."""
    raw = MINIMAL | {"stages": [{"length": {"least": 3}}], "shards": None}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(raw))
    return tmp_path / "run.yaml"


def test_defaults() -> None:
    config = build_config(MINIMAL)
    assert config.input == InputConfig(paths=("a.jsonl",))
    assert (config.output, config.stages, config.seed, config.limit) == ("runs/a", (), 0, 0)
    assert config.shards.text_mb == 256


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inptu": {}}, ["inptu: no such key", "did you mean 'input'?"]),
        ({"zzz": 1}, ["zzz: no such key", "Known: input, output, seed, stages, shards"]),
        ({"input": {"path": []}}, ["input.path: no such key", "did you mean 'paths'?"]),
        ({"input": {"qqq": []}}, ["input.qqq: no such key. Known: paths"]),
        ({"shards": {"text_gb": 1}}, ["shards.text_gb", "did you mean 'text_mb'?"]),
        ({"stages": ["lenght"]}, ["no stage 'lenght'", "did you mean 'length'?"]),
        ({"stages": [{"length": {"lest": 1}}]}, ["stages[0].length.lest", "did you mean 'least'?"]),
        ({"stages": ["length", {"length": {"unit": "x"}}]}, ["stages[1].length.unit", "'x'"]),
        ({"stages": [{"length": {}, "echo": {}}]}, ["stages[0]", "one stage name"]),
        ({"stages": [3]}, ["stages[0]: found 3"]),
        ({"stages": {"length": {"least": 3}}}, ["stages: found", "a list"]),
        ({"stages": "length"}, ["stages: found 'length'", "a list"]),
        ({"stages": 7}, ["stages: found 7", "a list"]),
        ({"input": {"paths": "a.jsonl"}}, ["input.paths", "'a.jsonl'"]),
        ({"input": {"paths": [1]}}, ["input.paths.0", "found 1"]),
        ({"input": {"paths": [], "id": 5}}, ["input.id: found 5"]),
        ({"input": {"id": False}}, ["input.id: found False", "YAML reads bare no", "quote them"]),
        ({"input": {"paths": [True]}}, ["input.paths.0: found True", "quote them"]),
        ({"input": {"split_mb": True}}, ["input.split_mb: found True", "quote them"]),
        ({"stages": [{"length": {"least": False}}]}, ["stages[0].length.least: found False"]),
        ({"input": {"split_mb": 0}}, ["input.split_mb: found 0"]),
        ({"input": {"split_mb": 1e-7}}, ["input.split_mb"]),
        ({"input": {"split_mb": float("inf")}}, ["input.split_mb: found inf"]),
        ({"input": {"split_mb": float("nan")}}, ["input.split_mb: found nan"]),
        ({"input": {"max_document_mb": -1}}, ["input.max_document_mb: found -1"]),
        ({"shards": {"row_group_mb": -1}}, ["shards.row_group_mb: found -1"]),
        ({"input": {"max_bad_fraction": 1.5}}, ["input.max_bad_fraction: found 1.5", "0 to 1"]),
        ({"input": {"format": "csv"}}, ["input.format: found 'csv'", "jsonl"]),
        ({"input": ["a.jsonl"]}, ["input: found ['a.jsonl']", "a mapping"]),
        ({"output": 3}, ["output: found 3", "a path or URL"]),
        ({"output": ""}, ["output: found ''"]),
        ({"seed": "x"}, ["seed: found 'x'", "whole number"]),
        ({"seed": True}, ["seed: found True"]),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], words: list[str]) -> None:
    found = message(MINIMAL | change)
    assert all(word in found for word in words), found


@pytest.mark.parametrize("key", ["input", "output"])
def test_a_section_that_is_missing_is_named(key: str) -> None:
    assert f"no '{key}'" in message({name: value for name, value in MINIMAL.items() if name != key})


def test_bare_no_and_yes_in_yaml(path: Path) -> None:
    path.write_text("input: {paths: [a.jsonl], text: no}\noutput: runs/a\n")
    with pytest.raises(ConfigError, match=r"input\.text: found False.*quote them"):
        load_config(path)


@pytest.mark.parametrize("content", ["", "- a", "just words", "a: [", "\t", "a: \x00"])
def test_a_file_that_is_no_mapping_is_refused(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*nothing\.yaml"):
        load_config(tmp_path / "nothing.yaml")


def test_overrides_reach_every_place(path: Path) -> None:
    pairs = ["seed=7", "input.split_mb=16", "output=runs/b", "input.paths=[b.jsonl, c.jsonl]"]
    found = load_config(path, [*pairs, "length.least=5", "length.unit=2"])
    assert (found.seed, found.output, found.input.split_mb) == (7, "runs/b", 16)
    assert found.input.paths == ("b.jsonl", "c.jsonl")
    assert found.stages == (Length(unit=2, least=5),)


@pytest.mark.parametrize("entry", ["length", {"length": None}, {"length": {}}])
def test_an_override_reaches_a_stage_without_settings(path: Path, entry: object) -> None:
    path.write_text(yaml.safe_dump(MINIMAL | {"stages": [entry]}))
    assert load_config(path, ["length.least=5"]).stages == (Length(least=5),)


def test_an_override_makes_a_section_that_is_not_there(path: Path) -> None:
    path.write_text(yaml.safe_dump(MINIMAL))
    assert load_config(path, ["shards.text_mb=1"]).shards.text_mb == 1


def test_the_last_override_counts_and_values_are_yaml(path: Path) -> None:
    assert load_config(path, ["input.text=a=b", "input.text='no'"]).input.text == "no"
    assert load_config(path, ["input.text=a=b"]).input.text == "a=b"


def test_a_stage_among_several_of_its_name_is_told_by_its_place(path: Path) -> None:
    path.write_text(yaml.safe_dump(MINIMAL | {"stages": ["length", {"length": {"unit": 2}}]}))
    assert load_config(path, ["stages.1.length.least=5"]).stages == (Length(), Length(unit=2, least=5))
    assert load_config(path, ["stages.0.length.least=5"]).stages == (Length(least=5), Length(unit=2))
    expected = r"found 2 stages 'length'.*--set stages.0.length.least or stages.1.length.least$"
    with pytest.raises(ConfigError, match=expected):
        load_config(path, ["length.least=5"])
    for wrong in ("stages.2.length.least=5", "stages.-1.length.least=5", "stages.0.language.least=5"):
        with pytest.raises(ConfigError, match=r"'stages\..*' is neither a section nor a stage"):
            load_config(path, [wrong])
    with pytest.raises(ConfigError, match=r"'lenght' is neither.*did you mean 'length'\? Its stages: length$"):
        load_config(path, ["lenght.least=5"])


@pytest.mark.parametrize(
    "override",
    [
        *("seed", "seed=[", "sead=1", "=1", "language.min=1", "input.nothing=1", "input.paths.x=1", "limit=3"),
        *("input.paths.x.y=1", "output.a=1", "output.a.b=1", "length.nothing=1", "length.least.x=1", "stages=length"),
    ],
)
def test_a_wrong_override_is_refused(path: Path, override: str) -> None:
    with pytest.raises(ConfigError):
        load_config(path, [override])


def test_overrides_of_a_stage_alone_reach_into_mappings() -> None:
    found = stage_values("select", ["tokens=5", "select.weights.accuracy=1", "weights.coherence=2", "shares=equal"])
    assert found == {"tokens": 5, "weights": {"accuracy": 1, "coherence": 2}, "shares": "equal"}
    for wrong in ("tokens", "weights={[a]: 1}", "weights={a: 1, a: 2}", "weights=["):
        with pytest.raises(ConfigError, match=r"--set "):
            stage_values("select", [wrong])
    with pytest.raises(ConfigError, match=r"--set shares\.law=1"):
        stage_values("select", ["shares=equal", "shares.law=1"])


SECRET = "http://user:hidden/pass@host/v1"


@pytest.mark.parametrize(
    "stages_",
    [
        [{"rating": {"url": [SECRET]}}],
        [{"rating": {"url": {"address": "http://host?key=hidden"}}}],
        [{"rating": {"model": [SECRET]}}],
        [{"rating": [SECRET]}],
        [{"rating": {SECRET: 1}}],
        [{"rating": {}, "url": SECRET}],
        {"rating": {"url": SECRET}},
    ],
)
def test_no_message_holds_a_password(stages_: object) -> None:
    assert "hidden" not in message(MINIMAL | {"stages": stages_})


@pytest.mark.parametrize(
    "override", [f"rating.url=[{SECRET}", "rating.url=[http://h?k=hidden", f"a.b=[{SECRET}", SECRET]
)
def test_no_message_of_an_override_holds_a_password(path: Path, override: str) -> None:
    path.write_text(yaml.safe_dump(MINIMAL | {"stages": ["rating"]}))
    with pytest.raises(ConfigError) as error:
        load_config(path, [override])
    assert "hidden" not in str(error.value)


def test_no_message_of_a_broken_file_holds_a_password(path: Path) -> None:
    path.write_text(f"stages: [{{rating: {{url: [{SECRET}}}]\n")
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert "hidden" not in str(error.value)


def test_a_limit_has_an_output_of_its_own(path: Path) -> None:
    assert load_config(path).limit == 0
    found = load_config(path, ["output=runs/a/"], limit=50)
    assert (found.limit, found.output) == (50, "runs/a.limit-50")


def test_as_plain_names_every_default() -> None:
    plain = as_plain(build_config(MINIMAL | {"stages": ["length"]}))
    assert plain["stages"] == [{"length": {"unit": 1, "least": 0, "model": ""}}]
    assert plain["input"]["format"] == "auto"
    assert "limit" not in plain


WORD = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
SIZE = st.floats(0.001, 1e6)


@settings(max_examples=60, deadline=None)
@given(
    paths=st.lists(WORD, max_size=3),
    names=st.tuples(WORD, WORD, WORD),
    sizes=st.tuples(SIZE, SIZE, SIZE, SIZE),
    fraction=st.floats(0, 1),
    seed=st.integers(-5, 2**40),
    chain=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=2),
)
def test_as_plain_comes_back_as_the_same_configuration(
    paths: list[str],
    names: tuple[str, str, str],
    sizes: tuple[float, float, float, float],
    fraction: float,
    seed: int,
    chain: list[tuple[int, int]],
) -> None:
    section = dict(zip(("text", "id", "source"), names, strict=True))
    raw = {
        "input": {"paths": paths, **section, "split_mb": sizes[0], "max_document_mb": sizes[1]},
        "output": "runs/a",
        "seed": seed,
        "shards": {"text_mb": sizes[2], "row_group_mb": sizes[3]},
        "stages": [{"length": {"unit": unit, "least": least}} for unit, least in chain],
    }
    raw["input"]["max_bad_fraction"] = fraction  # type: ignore[index]
    config = build_config(raw)
    assert build_config(yaml.safe_load(yaml.safe_dump(as_plain(config)))) == config


def test_build_takes_nothing_as_all_defaults() -> None:
    assert build(InputConfig, None, "input") == build(InputConfig, {}, "input") == InputConfig()
