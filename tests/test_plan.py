"""The plan: hashes change exactly when the content would; what cannot run is refused at the start."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import InputConfig, RunConfig, ShardsConfig
from pipeline.listing import list_inputs
from pipeline.plan import Plan, checksum, make_plan
from stages.errors import ConfigError, InputError
from tests.tiny import Echo, Length, Twice


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with an input file of two records."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl")
    return tmp_path


def write(path: Path, text: str = "The tide.") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text, "key": n, "origin": "log"}) + "\n" for n in range(2)))
    return path


def config(**changes: Any) -> RunConfig:
    """Length and Echo on a.jsonl; `changes` are settings of the run or, with two underscores, of a section."""
    sections: dict[str, Any] = {
        "input": InputConfig(paths=("a.jsonl",)),
        "shards": ShardsConfig(),
        "length": Length(),
        "echo": Echo(),
    }
    plain = {key: value for key, value in changes.items() if "__" not in key}
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            sections[section] = dataclasses.replace(sections[section], **{name: value})
    chain = (sections["length"], sections["echo"])
    return RunConfig(
        **{"output": "run", "input": sections["input"], "stages": chain, "shards": sections["shards"]} | plain
    )


def changed(before: Plan, after: Plan) -> list[str]:
    pairs = zip(before.steps, after.steps, strict=True)
    return [one.name for one, other in pairs if one.hash != other.hash]


ALL = ["read", "length", "echo", "write"]


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, []),
        ({"output": "elsewhere"}, []),
        ({"input__max_bad_fraction": 0.5}, []),
        ({"input__format": "jsonl"}, []),
        ({"length__unit": 2}, ["length", "echo", "write"]),
        ({"length__least": 2}, ["echo", "write"]),
        ({"echo__fail_on": "x"}, ["echo", "write"]),
        ({"shards__text_mb": 300.0}, ["write"]),
        ({"shards__row_group_mb": 3.0}, ["write"]),
        ({"input__split_mb": 1.0}, ALL),
        ({"input__max_document_mb": 1.0}, ALL),
        ({"input__text": "origin"}, ALL),
        ({"input__id": "key"}, ALL),
        ({"input__source": "origin"}, ALL),
        ({"limit": 1}, ALL),
    ],
)
def test_a_change_reaches_the_steps_whose_content_it_moves(changes: dict[str, Any], steps: list[str]) -> None:
    assert changed(make_plan(config()), make_plan(config(**changes))) == steps


def test_shards_smaller_than_splits_move_the_cut_of_the_read_step() -> None:
    """Otherwise another cut of the input would meet the records of the old one and documents would come twice."""
    assert changed(make_plan(config()), make_plan(config(shards__text_mb=1.0))) == ALL


def test_the_chain_itself_is_part_of_the_hash() -> None:
    alone, chain = make_plan(config(stages=(Length(),))), make_plan(config())
    assert [step.hash for step in alone.steps[:2]] == [step.hash for step in chain.steps[:2]]
    assert alone.write.hash != chain.write.hash
    assert [step.directory for step in chain.steps] == [
        f"steps/0{index}-{name}-{step.hash}" for index, (name, step) in enumerate(zip(ALL, chain.steps, strict=True))
    ]


def test_a_new_version_of_a_stage_is_part_of_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_plan(config())
    monkeypatch.setattr(Length, "version", "2")
    assert changed(before, make_plan(config())) == ["length", "echo", "write"]


def test_a_model_counts_by_its_content(folder: Path) -> None:
    model = folder / "table.bin"
    model.write_bytes(b"one")
    before = make_plan(config(length__model=str(model)))
    model.write_bytes(b"one")
    assert changed(before, make_plan(config(length__model=str(model)))) == []
    model.write_bytes(b"other")
    assert changed(before, make_plan(config(length__model=str(model)))) == ["length", "echo", "write"]


def test_a_checksum_is_that_of_sha256sum(folder: Path) -> None:
    (folder / "empty").write_bytes(b"")
    assert checksum(folder / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _same_size(path: Path) -> None:
    write(path, "The time.")
    os.utime(path, (1, 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda path: write(path, "A longer text."),
        _same_size,
        lambda path: os.utime(path, (1, 1)),
        lambda path: write(path.with_name("b.jsonl")),
    ],
    ids=["other content", "other content of the same size", "other time", "one more file"],
)
def test_a_change_of_the_input_changes_every_step(folder: Path, change: Callable[[Path], object]) -> None:
    before = make_plan(config(input__paths=("*.jsonl",)))
    assert changed(before, make_plan(config(input__paths=("*.jsonl",)))) == []
    change(folder / "a.jsonl")
    assert changed(before, make_plan(config(input__paths=("*.jsonl",)))) == ALL


def refused(kind: type[Exception] = ConfigError, **changes: Any) -> str:
    with pytest.raises(kind) as error:
        make_plan(config(**changes))
    return str(error.value)


def test_a_stage_needs_the_columns_of_one_before_it() -> None:
    assert "stages[0].echo: needs the column 'length'" in refused(stages=(Echo(), Length()))


@pytest.mark.parametrize("second", [Length(), Twice()])
def test_a_column_is_added_once(second: Length) -> None:
    found = refused(stages=(Length(), second))
    assert f"stages[1].{second.name}: adds the column 'length'" in found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"input__text": "txt"},
            ["input.text", "first 2 records", "'txt'; did you mean 'text'?", "key, origin, text"],
        ),
        ({"input__text": "zzz"}, ["input.text", "'zzz'. Fields found: key, origin, text"]),
        ({"input__id": "keys"}, ["input.id", "did you mean 'key'?"]),
        ({"input__source": "orgin"}, ["input.source", "did you mean 'origin'?"]),
    ],
)
def test_a_field_that_no_record_has_is_named_at_the_start(changes: dict[str, Any], words: list[str]) -> None:
    found = refused(**changes)
    assert all(word in found for word in words), found


def test_id_and_source_may_be_absent_if_the_user_did_not_name_them(folder: Path) -> None:
    assert make_plan(config()).config.input.id == "id"


@pytest.mark.parametrize("pattern", ["nothing.jsonl", "nothing/*.jsonl", "nothing*"])
def test_a_path_that_matches_nothing_is_named(pattern: str) -> None:
    assert f"nothing matches {pattern}" in refused(InputError, input__paths=("a.jsonl", pattern))


def test_no_path_is_a_fault_of_the_configuration() -> None:
    assert "input.paths is empty" in refused(input__paths=())


def test_an_unknown_suffix_needs_the_format(folder: Path) -> None:
    write(folder / "a.log")
    assert "cannot tell the format of a.log" in refused(input__paths=("a.log",))
    plan = make_plan(config(input__paths=("a.log",), input__format="jsonl"))
    assert [item.file.format for item in plan.inputs] == ["jsonl"]


def urls(*paths: str) -> list[str]:
    return [item.file.url for item in list_inputs(InputConfig(paths=paths))]


def test_files_come_in_the_order_of_the_paths_and_sorted_in_a_glob(folder: Path) -> None:
    for name in ("d/c.jsonl", "d/b.jsonl", "d/b10.jsonl", "d/b2.jsonl", "e/a.jsonl.gz"):
        write(folder / name)
    inside = ["d/b.jsonl", "d/b10.jsonl", "d/b2.jsonl", "d/c.jsonl"]
    assert urls("e/*", "d/*.jsonl") == ["e/a.jsonl.gz", *inside]
    assert urls("**/*.jsonl") == ["a.jsonl", *inside]
    assert urls("d/c.jsonl", "d/*.jsonl", "d/b.jsonl") == ["d/c.jsonl", *inside[:3]]
    assert urls("./d/b.jsonl") == ["d/b.jsonl"]
    assert urls(f"{folder}/d/b.jsonl") == [f"{folder}/d/b.jsonl"]


def test_a_directory_stands_for_the_files_in_it(folder: Path) -> None:
    for name in ("d/b.jsonl", "d/a.txt", "d/.hidden.jsonl", "d/_SUCCESS", "d/below/c.jsonl", "d/_t/x.jsonl"):
        write(folder / name)
    assert urls("d") == urls("d/") == ["d/a.txt", "d/b.jsonl", "d/below/c.jsonl"]
    (folder / "empty").mkdir()
    assert "nothing matches empty" in refused(InputError, input__paths=("empty",))


def test_a_file_whose_name_looks_like_a_glob_is_found(folder: Path) -> None:
    write(folder / "part[1].jsonl")
    assert urls("part[1].jsonl") == ["part[1].jsonl"]
    assert urls("part*") == ["part[1].jsonl"]


def test_the_listing_knows_size_and_format(folder: Path) -> None:
    (found,) = list_inputs(InputConfig(paths=("a.jsonl",)))
    assert (found.file.size, found.file.format) == ((folder / "a.jsonl").stat().st_size, "jsonl")


def test_the_schema_is_reserved_columns_and_what_stages_add() -> None:
    assert make_plan(config()).schema.names == ["id", "text", "source", "metadata", "length", "echo", "half"]
